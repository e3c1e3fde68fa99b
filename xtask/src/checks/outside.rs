//! Crates outside the workspace that use drystone as its users do.

use std::path::PathBuf;

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::{Package, Workspace, metadata, packages};

pub(crate) fn command(args: Args) -> Result<(), Failure> {
    args.finish()?;
    check(&Workspace::load()?)
}

/// Each crate of tests/outside is a workspace of its own, so that no feature of ours leaks into
/// it. It checks its own result and says so by its exit status.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let target_dir = workspace.target_dir.join("outside");
    for dir in crates(workspace)? {
        let manifest = dir.join("Cargo.toml");
        for package in packages(&metadata(&manifest)?)? {
            default_features_are_off(&package)?;
        }
        Cmd::cargo("run")
            .target_dir(&target_dir)
            .args(["--quiet", "--manifest-path"])
            .arg(manifest.display().to_string())
            .run()?;
    }
    Ok(())
}

/// The folders of the crates.
pub(crate) fn crates(workspace: &Workspace) -> Result<Vec<PathBuf>, Failure> {
    let dir = workspace.root.join("tests/outside");
    let unreadable = |error| Failure::failed(format!("{}: {error}", dir.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.join("Cargo.toml").is_file() {
            found.push(path);
        }
    }
    found.sort();
    match found.len() {
        0 => Err(Failure::failed(format!("{} holds no crate", dir.display()))),
        _ => Ok(found),
    }
}

fn default_features_are_off(package: &Package) -> Result<(), Failure> {
    let on = |name: &str, default: bool| default && name.starts_with("drystone");
    match package
        .dependencies
        .iter()
        .find(|dep| on(&dep.name, dep.default_features))
    {
        None => Ok(()),
        Some(dep) => Err(Failure::failed(format!(
            "{}: `{}` needs `default-features = false`: these crates show what each part needs",
            package.name, dep.name
        ))),
    }
}
