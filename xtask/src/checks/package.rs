//! The packages as a registry would receive them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
    forget_unpacked(workspace)?;
    let target_dir = workspace.target_dir.join("packages");
    forget(&target_dir)?;
    let command = Cmd::cargo("package")
        .target_dir(&target_dir)
        .packages(workspace.published().map(|package| package.name.as_str()));
    // A developer packages before committing; a clean clone must be packed as it is.
    let clean = std::env::var_os("CI").is_some();
    if clean {
        command.run()
    } else {
        command.arg("--allow-dirty").run()
    }
}

/// Removes what cargo unpacked of these crates in an earlier run. It keeps it by version, which is
/// still the same, and would build today's crates against yesterday's; as it would with what it built.
fn forget_unpacked(workspace: &Workspace) -> Result<(), Failure> {
    for registry in folders(cargo_home().join("registry/src")) {
        // The registry that stands in for one while packing has no host in its name.
        if !name_of(&registry).starts_with('-') {
            continue;
        }
        for unpacked in folders(registry) {
            let name = name_of(&unpacked);
            let ours = |name: &str| workspace.published().any(|package| package.name == name);
            if name.rsplit_once('-').is_some_and(|(name, _)| ours(name)) {
                forget(&unpacked)?;
            }
        }
    }
    Ok(())
}

/// Removes a folder, if it is there.
fn forget(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::failed(format!("{}: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || std::env::home_dir().unwrap_or_default().join(".cargo"),
        PathBuf::from,
    )
}

/// The folders in `parent`; none if it is not there.
fn folders(parent: PathBuf) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
