//! The packages as a registry would receive them.

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::Workspace;

pub(crate) fn command(args: Args) -> Result<(), Failure> {
    args.finish()?;
    check(&Workspace::load()?)
}

/// Packs every published crate and builds each package from what was packed. Cargo resolves the
/// crates that are packed together among themselves, so none has to be published first.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let command =
        Cmd::cargo("package").packages(workspace.published().map(|package| package.name.as_str()));
    // A developer packages before committing; a clean clone must be packed as it is.
    let clean = std::env::var_os("CI").is_some();
    if clean {
        command.run()
    } else {
        command.arg("--allow-dirty").run()
    }
}
