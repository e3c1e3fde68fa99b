//! Compiling for machines other than this one.

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::tools;
use crate::workspace::{Package, Workspace};

/// 32 and 64 bits, with and without 64-bit atomics and compare-and-swap, none with an operating system.
const BARE_METAL: &[&str] = &[
    "thumbv6m-none-eabi",
    "thumbv7em-none-eabi",
    "riscv32imac-unknown-none-elf",
    "x86_64-unknown-none",
    "aarch64-unknown-none",
];

/// The program that is linked for each of them; a workspace of its own.
pub(crate) const PROGRAM: &str = "tests/bare/static-heap";

/// Where the libraries are meant to work beside the machine that runs the tests.
const OTHERS: &[&str] = &[
    "aarch64-unknown-linux-gnu",
    "i686-unknown-linux-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "wasm32-unknown-unknown",
];

pub(crate) fn bare_metal_command(args: Args) -> Result<(), Failure> {
    args.finish()?;
    bare_metal(&Workspace::load()?)
}

pub(crate) fn other_targets_command(args: Args) -> Result<(), Failure> {
    args.finish()?;
    others(&Workspace::load()?)
}

/// One crate at a time: Cargo unites the features of crates that it builds together, and then
/// a crate that needs another's `alloc` without saying so would still compile.
pub(crate) fn bare_metal(workspace: &Workspace) -> Result<(), Failure> {
    let crates: Vec<&Package> = workspace
        .stones()
        .filter(|package| package.keys.no_std)
        .collect();
    for_each_target(BARE_METAL, |target| {
        for package in &crates {
            Cmd::cargo("build")
                .args(["--quiet", "--no-default-features", "--target", target])
                .packages([package.name.as_str()])
                .run()?;
        }
        link_heap(workspace, target)
    })
}

/// Builds and links the program whose global allocator is a composition over static regions.
fn link_heap(workspace: &Workspace, target: &str) -> Result<(), Failure> {
    let manifest = workspace.root.join(PROGRAM).join("Cargo.toml");
    Cmd::cargo("build")
        .target_dir(&workspace.target_dir.join("bare"))
        .args([
            "--quiet",
            "--release",
            "--target",
            target,
            "--manifest-path",
        ])
        .arg(manifest.display().to_string())
        .run()
}

pub(crate) fn others(workspace: &Workspace) -> Result<(), Failure> {
    for_each_target(OTHERS, |target| {
        Cmd::cargo("check")
            .args(["--quiet", "--target", target])
            .packages(workspace.libraries().map(|package| package.name.as_str()))
            .run()?;
        laboratory(target)
    })
}

/// The program `drystone`, without the contestants that a C compiler for the target would have to
/// build. It needs an operating system.
fn laboratory(target: &str) -> Result<(), Failure> {
    if target.starts_with("wasm32") {
        return Ok(());
    }
    Cmd::cargo("check")
        .args(["--quiet", "--no-default-features", "--target", target])
        .packages(["drystone-lab"])
        .run()
}

/// Visits every target. A target that cannot be had does not hide a failure on another.
fn for_each_target(
    targets: &[&'static str],
    check: impl Fn(&'static str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let outcomes = targets
        .iter()
        .map(|target| (*target, tools::target(target).and_then(|()| check(target))));
    fold(outcomes)
}

fn fold(
    outcomes: impl Iterator<Item = (&'static str, Result<(), Failure>)>,
) -> Result<(), Failure> {
    let mut failed = Vec::new();
    let mut missing = Vec::new();
    for (target, outcome) in outcomes {
        match outcome {
            Ok(()) => {}
            Err(Failure::Unavailable(reason)) => missing.push(reason),
            Err(_) => failed.push(target),
        }
    }
    match (failed.is_empty(), missing.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::unavailable(missing.join("; "))),
        (false, _) => Err(Failure::failed(format!("targets: {}", failed.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_target_does_not_hide_a_failure() {
        let good = ("a", Ok(()));
        let missing = || ("b", Err(Failure::unavailable("no b")));
        let broken = ("c", Err(Failure::failed("broken")));
        assert_eq!(fold([good].into_iter()), Ok(()));
        assert_eq!(
            fold([missing()].into_iter()),
            Err(Failure::unavailable("no b"))
        );
        assert_eq!(
            fold([missing(), broken].into_iter()),
            Err(Failure::failed("targets: c"))
        );
    }
}
