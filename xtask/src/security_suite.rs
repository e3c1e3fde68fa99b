//! Which faults of programs each build of drystone-malloc finds.
//!
//! The cases, what is promised of them and the runner are `crates/drystone-malloc/tests/security*`; this
//! runs them on the builds one after the other.

use std::path::Path;

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// The features of each build.
const BUILDS: [&str; 3] = ["", "hardened", "guard"];

/// How often each case runs.
const RUNS: &str = "5";

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let runs = args.value("--runs")?.unwrap_or_else(|| RUNS.to_owned());
    let checkout = args.value("--checkout")?;
    args.finish()?;
    if runs.parse::<usize>().map_or(true, |runs| runs == 0) {
        return Err(Failure::usage(format!(
            "--runs takes a number, not `{runs}`"
        )));
    }
    if !cfg!(target_os = "linux") {
        return Err(Failure::unavailable("programs are preloaded on Linux only"));
    }
    let checkout = checkout.map(|dir| absolute(&dir)).transpose()?;
    let workspace = Workspace::load()?;
    let mut failed = Vec::new();
    for features in BUILDS {
        let mut tests = Cmd::cargo("test")
            .args(["--release", "-p", "drystone-malloc", "--test", "security"])
            .args(["--features", features])
            .args(["--", "--nocapture", "--test-threads=1"])
            .env("SECURITY_RUNS", runs.as_str())
            .dir(&workspace.root);
        if let Some(checkout) = &checkout {
            tests = tests.env("SECURITY_CHECKOUT", checkout.as_str());
        }
        if let Err(failure) = tests.run() {
            failed.push(format!("features `{features}`: {failure}"));
        }
    }
    match failed.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(failed.join("\n"))),
    }
}

fn absolute(dir: &str) -> Result<String, Failure> {
    let found = Path::new(dir).canonicalize();
    let found = found.map_err(|error| Failure::failed(format!("{dir}: {error}")))?;
    Ok(found.display().to_string())
}
