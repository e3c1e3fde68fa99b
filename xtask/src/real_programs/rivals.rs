//! The allocators that are preloaded: the library, and those that the machine has or can build.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// An allocator to run programs on.
pub(crate) struct Allocator {
    pub(crate) name: &'static str,
    /// The library to preload; `None` is what the C library has.
    pub(crate) library: Option<PathBuf>,
}

/// What every other is compared with.
pub(crate) const SYSTEM: &str = "glibc";
pub(crate) const OWN: &str = "drystone";
pub(crate) const MIMALLOC: &str = "mimalloc";

/// The allocators, the library with these features, and a line for each that cannot be had.
pub(crate) fn find(
    workspace: &Workspace,
    dir: &Path,
    features: &str,
) -> Result<(Vec<Allocator>, Vec<String>), Failure> {
    let own = build_own(workspace, dir, features)?;
    let mut found = vec![
        Allocator {
            name: SYSTEM,
            library: None,
        },
        Allocator {
            name: OWN,
            library: Some(own),
        },
    ];
    let mut missing = Vec::new();
    let mut enter = |name, library: Result<PathBuf, String>| match library {
        Ok(library) => found.push(Allocator {
            name,
            library: Some(library),
        }),
        Err(reason) => missing.push(format!("{name}: {reason}")),
    };
    enter(MIMALLOC, build_mimalloc(workspace, dir));
    enter("jemalloc", installed(&["libjemalloc.so.2"]));
    let tcmalloc = ["libtcmalloc_minimal.so.4", "libtcmalloc.so.4"];
    enter("tcmalloc", installed(&tcmalloc));
    Ok((found, missing))
}

/// A copy, so that a later build does not change what runs.
fn build_own(workspace: &Workspace, dir: &Path, features: &str) -> Result<PathBuf, Failure> {
    Cmd::cargo("build")
        .args(["--release", "-p", "drystone-malloc"])
        .args(["--features", features])
        .dir(&workspace.root)
        .run()?;
    let built = workspace.target_dir.join("release/libdrystone_malloc.so");
    let copy = dir.join("libdrystone_malloc.so");
    std::fs::copy(&built, &copy)
        .map_err(|error| Failure::failed(format!("{}: {error}", built.display())))?;
    Ok(copy)
}

/// Version 2 of mimalloc, from the sources of the crate that the benchmarks use, with the flags
/// of its own build for a library to preload.
fn build_mimalloc(workspace: &Workspace, dir: &Path) -> Result<PathBuf, String> {
    let metadata = Cmd::cargo("metadata")
        .args(["--format-version", "1"])
        .dir(&workspace.root)
        .capture()
        .map_err(|error| error.to_string())?;
    if !metadata.success {
        return Err(format!("no sources: {}", metadata.stderr.trim()));
    }
    let metadata: Value = serde_json::from_str(&metadata.stdout)
        .map_err(|error| format!("no sources: cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .filter(|package| package["name"] == "libmimalloc-sys")
        .find_map(|package| package["manifest_path"].as_str())
        .ok_or("no sources: the benchmarks' crate is not here")?;
    let sources = Path::new(manifest).with_file_name("c_src/mimalloc/v2");
    let library = dir.join("libmimalloc.so");
    let built = Cmd::new("cc")
        .args([
            "-shared",
            "-fPIC",
            "-O3",
            "-DNDEBUG",
            "-DMI_MALLOC_OVERRIDE",
        ])
        .args([
            "-DMI_SHARED_LIB",
            "-DMI_SHARED_LIB_EXPORT",
            "-fvisibility=hidden",
        ])
        .args([
            "-ftls-model=initial-exec",
            "-fno-builtin-malloc",
            "-pthread",
        ])
        .arg(format!("-I{}", sources.join("include").display()))
        .arg(sources.join("src/static.c").display().to_string())
        .args(["-o".to_owned(), library.display().to_string()])
        .capture()
        .map_err(|error| error.to_string())?;
    match built.success {
        true => Ok(library),
        false => Err(format!("it does not build: {}", built.stderr)),
    }
}

/// A library that the loader knows, by the first of the names that it does.
fn installed(names: &[&str]) -> Result<PathBuf, String> {
    let known = Cmd::new("ldconfig")
        .arg("-p")
        .capture()
        .map_err(|error| error.to_string())?
        .stdout;
    let path_of = |name: &&str| {
        let line = known.lines().find(|line| line.trim().starts_with(*name))?;
        line.split_once("=> ").map(|(_, path)| PathBuf::from(path))
    };
    names
        .iter()
        .find_map(path_of)
        .ok_or_else(|| format!("{} is not installed", names[0]))
}
