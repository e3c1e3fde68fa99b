//! The files that a recording makes.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::PROCESS;
use crate::error::Failure;

/// Removes a file of that name, so that an old one is not taken for the new.
pub(super) fn clear(output: &Path) -> Result<(), Failure> {
    let is_file = std::fs::symlink_metadata(output).is_ok_and(|found| found.is_file());
    if !is_file {
        return Ok(());
    }
    std::fs::remove_file(output)
        .map_err(|e| Failure::io(&output.display().to_string(), "cannot replace it", &e))
}

/// The files that are there, made since `begun`; those of processes in the order of their names.
pub(super) fn files(output: &Path, begun: SystemTime) -> Vec<PathBuf> {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    let Some((before, behind)) = name.split_once(PROCESS) else {
        return if output.is_file() {
            vec![output.to_path_buf()]
        } else {
            Vec::new()
        };
    };
    let directory = match output.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let is_ours = |name: &str| {
        let number = name
            .strip_prefix(before)
            .and_then(|n| n.strip_suffix(behind));
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit()))
    };
    // File times are as coarse as the system's tick.
    let since = begun - Duration::from_millis(20);
    let mut files: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| is_ours(&entry.file_name().to_string_lossy()))
        .filter(|entry| {
            let changed = entry.metadata().and_then(|metadata| metadata.modified());
            changed.is_ok_and(|time| time >= since)
        })
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files
}
