//! The loom models: every interleaving of a few threads, on the production types.

use crate::args::Args;
use crate::exec::{Cmd, tests_passed};
use crate::failure::Failure;
use crate::workspace::Workspace;

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let threads = args.value("--threads")?;
    let wanted = args.values("-p")?;
    args.finish()?;
    let workspace = Workspace::load()?;
    match threads.as_deref() {
        None | Some("2") => run(&workspace, &wanted, "loom2_", None),
        Some("3") => run(&workspace, &wanted, "loom3_", Some(3)),
        Some(other) => Err(Failure::usage(format!(
            "--threads is 2 or 3, not `{other}`"
        ))),
    }
}

pub(crate) fn two_threads(workspace: &Workspace) -> Result<(), Failure> {
    run(workspace, &[], "loom2_", None)
}

pub(crate) fn three_threads(workspace: &Workspace) -> Result<(), Failure> {
    run(workspace, &[], "loom3_", Some(3))
}

/// Every crate that says it has models must have some for two threads; three threads are for the
/// protocols that need them.
fn run(
    workspace: &Workspace,
    wanted: &[String],
    models: &str,
    preemptions_max: Option<u32>,
) -> Result<(), Failure> {
    let mut passed_in_all = 0;
    for package in workspace.select(wanted, |package| package.keys.loom)? {
        let command = test(workspace, &package.name, models);
        let command = match preemptions_max {
            Some(bound) => command.env("LOOM_MAX_PREEMPTIONS", bound.to_string()),
            None => command,
        };
        let passed = tests_passed(&command.run_and_read()?);
        if passed == 0 && preemptions_max.is_none() {
            return Err(Failure::failed(format!(
                "{} has no model {models}…",
                package.name
            )));
        }
        passed_in_all += passed;
    }
    match passed_in_all {
        0 => Err(Failure::failed(format!("no crate has a model {models}…"))),
        _ => Ok(()),
    }
}

/// Optimised, since loom runs each model many thousand times, and with the assertions on that
/// the models exist to break.
fn test(workspace: &Workspace, package: &str, models: &str) -> Cmd {
    Cmd::cargo("test")
        .env("RUSTFLAGS", "--cfg loom -Cdebug-assertions")
        .env("LOOM_MAX_BRANCHES", "50000")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .target_dir(&workspace.target_dir.join("loom"))
        .args([
            "--release",
            "-p",
            package,
            "--all-features",
            "--lib",
            models,
        ])
}
