//! Tests under the sanitizers of LLVM. The crates are those that run under Miri.

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::tools::{self, NIGHTLY};
use crate::workspace::Workspace;

/// The sanitizers run on this target only.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn tsan_command(args: Args) -> Result<(), Failure> {
    with_packages(args, run_tsan)
}

pub(crate) fn asan_command(args: Args) -> Result<(), Failure> {
    with_packages(args, run_asan)
}

pub(crate) fn tsan(workspace: &Workspace) -> Result<(), Failure> {
    run_tsan(workspace, &[])
}

pub(crate) fn asan(workspace: &Workspace) -> Result<(), Failure> {
    run_asan(workspace, &[])
}

fn with_packages(
    mut args: Args,
    run: fn(&Workspace, &[String]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let wanted = args.values("-p")?;
    args.finish()?;
    run(&Workspace::load()?, &wanted)
}

/// ThreadSanitizer reports falsely on a standard library that it did not compile.
fn run_tsan(workspace: &Workspace, wanted: &[String]) -> Result<(), Failure> {
    tools::nightly_with(&["rust-src"])?;
    tests(workspace, wanted, "tsan")?
        .env("RUSTFLAGS", "-Zsanitizer=thread --cfg drystone_tsan")
        // Tests of guards expect the signal itself.
        .env("TSAN_OPTIONS", "handle_segv=0:handle_sigbus=0")
        .args(["-Zbuild-std", "--", "--test-threads=2"])
        .run()
}

fn run_asan(workspace: &Workspace, wanted: &[String]) -> Result<(), Failure> {
    tools::toolchain(NIGHTLY)?;
    tests(workspace, wanted, "asan")?
        .env("RUSTFLAGS", "-Zsanitizer=address")
        .env(
            "ASAN_OPTIONS",
            "detect_stack_use_after_return=1:handle_segv=0:handle_sigbus=0",
        )
        .run()
}

fn tests(workspace: &Workspace, wanted: &[String], dir: &str) -> Result<Cmd, Failure> {
    let packages = workspace.select(wanted, |package| package.keys.miri)?;
    Ok(Cmd::cargo_of(NIGHTLY, "test")
        .target_dir(&workspace.target_dir.join(dir))
        .args(["--tests", "--all-features", "--target", TARGET])
        .packages(packages.iter().map(|package| package.name.as_str())))
}
