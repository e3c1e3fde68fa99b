//! The recording build of the malloc library: where it is, and how it is made.

use std::path::{Path, PathBuf};

use crate::error::{Failure, Reason};

const NAME: &str = "libdrystone_malloc.so";

/// What a library that records has in it.
const MARK: &[u8] = b"drystone-malloc: records by DRYSTONE_TRACE";

const BUILD: &str = "build it: `cargo build --release -p drystone-malloc --features record`";

/// The library: the one that is named, or that stands beside this program, or in `target/release`.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    if !cfg!(target_os = "linux") {
        return Err(Failure::new(
            Reason::Unreadable,
            "programs can be recorded on Linux only",
            "a Rust program is recorded anywhere with `drystone_trace::Recorder`",
        ));
    }
    if let Some(path) = named {
        return match records(path) {
            Ok(true) => absolute(path),
            Ok(false) => Err(no_recording(path)),
            Err(error) => Err(Failure::io(
                &path.display().to_string(),
                "cannot read it",
                &error,
            )),
        };
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join(NAME)));
    let places: Vec<PathBuf> = beside
        .into_iter()
        .chain([Path::new("target/release").join(NAME)])
        .collect();
    let mut silent = None;
    for place in &places {
        match records(place) {
            Ok(true) => return absolute(place),
            Ok(false) => silent = silent.or(Some(place)),
            Err(_) => {}
        }
    }
    match silent {
        Some(place) => Err(no_recording(place)),
        None => {
            let looked: Vec<_> = places
                .iter()
                .map(|place| place.display().to_string())
                .collect();
            Err(Failure::new(
                Reason::Unreadable,
                format!("there is no {NAME}; looked for {}", looked.join(", ")),
                format!("{BUILD}, or name it with --preload"),
            ))
        }
    }
}

/// Whether the file is a library that records.
fn records(path: &Path) -> std::io::Result<bool> {
    let bytes = std::fs::read(path)?;
    Ok(bytes.windows(MARK.len()).any(|window| window == MARK))
}

fn no_recording(path: &Path) -> Failure {
    Failure::new(
        Reason::Unreadable,
        format!("{}: a build that does not record", path.display()),
        BUILD,
    )
}

/// The name by which the loader finds it from any directory. The variable that names it is a list.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.display().to_string();
    let path =
        std::path::absolute(path).map_err(|error| Failure::io(&name, "cannot find it", &error))?;
    let text = path.to_string_lossy();
    if text.contains([':', ' ']) {
        return Err(Failure::new(
            Reason::Unreadable,
            format!("{text}: the loader takes no name with a colon or a space"),
            "move the library, or link to it from another place",
        ));
    }
    Ok(path)
}
