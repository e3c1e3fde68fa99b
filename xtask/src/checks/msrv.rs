//! The published crates with the oldest compiler that their manifests promise.

use std::collections::BTreeMap;

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::tools;
use crate::workspace::Workspace;

pub(crate) fn command(args: Args) -> Result<(), Failure> {
    args.finish()?;
    check(&Workspace::load()?)
}

/// One run a compiler version, over the crates that promise it.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut crates: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in workspace.libraries() {
        let version = package
            .rust_version
            .as_deref()
            .ok_or_else(|| Failure::failed(format!("{} names no rust-version", package.name)))?;
        crates.entry(version).or_default().push(&package.name);
    }
    for (version, names) in crates {
        tools::toolchain(version)?;
        Cmd::cargo_of(version, "check").packages(names).run()?;
    }
    Ok(())
}
