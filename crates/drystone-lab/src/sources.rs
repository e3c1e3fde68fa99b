//! Where traces come from: files that are named, bundled files, synthetic scenarios.

use std::path::{Path, PathBuf};

use drystone_trace::synth::Scenario;
use drystone_trace::{Figures, Trace};

use crate::error::{Failure, Reason};
use crate::text::printable;

/// Records of a synthetic trace in a comparison, at most.
const SYNTHETIC_RECORDS: usize = 60_000;

/// Bytes that a synthetic trace asks for in total, about, at most: scenarios of large blocks have
/// fewer records, or their rounds would take most of the time.
const SYNTHETIC_BYTES: u64 = 512 << 20;

/// Records from which the size of a scenario's requests is known.
const PROBE_RECORDS: usize = 2_000;

/// Variable that names the directory of traces.
const VARIABLE: &str = "DRYSTONE_TRACES";

/// One trace to come.
#[derive(PartialEq, Eq)]
pub(crate) enum Source {
    File(PathBuf),
    Synthetic { scenario: Scenario, seed: u64 },
}

impl Source {
    /// Short name for tables: without endings, with so many directories above the file.
    fn name(&self, directories: usize) -> String {
        match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                let name = name.to_string_lossy();
                let name = name.strip_suffix(".zst").unwrap_or(&name);
                let name = name.strip_suffix(".satrace").unwrap_or(name);
                let name = name.strip_suffix(".dst").unwrap_or(name);
                let above = path.ancestors().skip(1).filter_map(Path::file_name);
                let name = above
                    .take(directories)
                    .fold(name.to_owned(), |below, part| {
                        format!("{}/{below}", part.to_string_lossy())
                    });
                printable(&name)
            }
            Self::Synthetic { scenario, .. } => scenario.name().to_owned(),
        }
    }

    pub(crate) fn is_synthetic(&self) -> bool {
        matches!(self, Self::Synthetic { .. })
    }

    pub(crate) fn load(&self) -> Result<Trace, Failure> {
        match self {
            Self::File(path) => read(path),
            Self::Synthetic { scenario, seed } => Ok(synthetic(*scenario, *seed)),
        }
    }

    /// Records as far as known before loading: the size of a file stands for them.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            // Compressed traces take about two bytes a record.
            Self::File(path) => std::fs::metadata(path).map_or(100_000, |m| m.len() / 2),
            Self::Synthetic { .. } => SYNTHETIC_RECORDS as u64,
        }
    }
}

/// Most directories that a name may carry.
const DIRECTORIES_MAX: usize = 8;

/// Names for tables, no two the same: namesakes carry as many directories as tell them apart, and
/// a number if none does.
pub(crate) fn names(sources: &[Source]) -> Vec<String> {
    let mut directories = vec![0; sources.len()];
    for _ in 0..DIRECTORIES_MAX {
        let names = named(sources, &directories);
        for (at, name) in names.iter().enumerate() {
            // No directory tells a file from itself.
            let mut others = names.iter().zip(sources);
            if others.any(|(other, source)| other == name && *source != sources[at]) {
                directories[at] += 1;
            }
        }
    }
    let mut names = named(sources, &directories);
    for at in 0..names.len() {
        let plain = names[at].clone();
        let mut number = 1;
        while names[..at].contains(&names[at]) {
            number += 1;
            names[at] = format!("{plain}#{number}");
        }
    }
    names
}

fn named(sources: &[Source], directories: &[usize]) -> Vec<String> {
    let pairs = sources.iter().zip(directories);
    pairs
        .map(|(source, directories)| source.name(*directories))
        .collect()
}

/// Reads a trace that has records.
pub(crate) fn read(path: &Path) -> Result<Trace, Failure> {
    let trace = Trace::read(path)?;
    if trace.records().is_empty() {
        return Err(Failure::new(
            Reason::Invalid,
            format!("{}: no records to replay", path.display()),
            "the file is a valid trace of a program that allocated nothing; record it again",
        ));
    }
    Ok(trace)
}

fn synthetic(scenario: Scenario, seed: u64) -> Trace {
    let probe = Figures::of(&scenario.generate(seed, PROBE_RECORDS));
    let bytes_per_record = probe.requested_bytes / probe.records.max(1);
    let affordable = SYNTHETIC_BYTES / bytes_per_record.max(1);
    let records = usize::try_from(affordable).unwrap_or(usize::MAX);
    scenario.generate(seed, records.clamp(PROBE_RECORDS, SYNTHETIC_RECORDS))
}

/// The bundled traces and every synthetic one, and what is to be said of the choice.
pub(crate) fn standard(
    traces: Option<&Path>,
    seed: u64,
) -> Result<(Vec<Source>, Vec<String>), Failure> {
    let mut notes = Vec::new();
    let mut sources: Vec<Source> = bundled(traces, &mut notes)?
        .into_iter()
        .map(Source::File)
        .collect();
    if sources.is_empty() {
        notes.push("no recorded traces found: synthetic traces alone".to_owned());
    }
    sources.extend(Scenario::ALL.map(|scenario| Source::Synthetic { scenario, seed }));
    Ok((sources, notes))
}

fn bundled(traces: Option<&Path>, notes: &mut Vec<String>) -> Result<Vec<PathBuf>, Failure> {
    if let Some(directory) = traces {
        let name = directory.display().to_string();
        let files =
            in_directory(directory).map_err(|e| Failure::io(&name, "cannot list it", &e))?;
        if files.is_empty() {
            return Err(Failure::new(
                Reason::Unreadable,
                format!("{name}: holds no .satrace or .satrace.zst file"),
                "name another directory, or leave --traces out",
            ));
        }
        return Ok(files);
    }
    if let Some(directory) = std::env::var_os(VARIABLE) {
        match in_directory(Path::new(&directory)) {
            Ok(files) if !files.is_empty() => return Ok(files),
            _ => notes.push(format!("{VARIABLE} names no directory with traces")),
        }
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| Some(exe.parent()?.join("traces")));
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("traces");
    let found = [Some(own), beside].into_iter().flatten();
    Ok(found
        .filter_map(|directory| in_directory(&directory).ok())
        .find(|files| !files.is_empty())
        .unwrap_or_default())
}

fn in_directory(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".satrace") || name.ends_with(".satrace.zst")
        })
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(paths: &[&str]) -> Vec<String> {
        let sources: Vec<Source> = paths.iter().map(|path| Source::File(path.into())).collect();
        names(&sources)
    }

    #[test]
    fn namesakes_are_told_apart_by_their_directories() {
        assert_eq!(named(&["p1/x.satrace", "p2/y.satrace.zst"]), ["x", "y"]);
        assert_eq!(
            named(&["a/p1/x.satrace", "a/p2/x.satrace", "a/p2/z"]),
            ["p1/x", "p2/x", "z"]
        );
        assert_eq!(named(&["a/p/x", "b/p/x"]), ["a/p/x", "b/p/x"]);
        assert_eq!(named(&["x.satrace", "p/x.satrace"]), ["x", "p/x"]);
    }

    #[test]
    fn one_file_named_twice_is_numbered() {
        assert_eq!(named(&["a/x", "a/x", "a/x"]), ["x", "x#2", "x#3"]);
    }

    #[test]
    fn a_file_named_like_a_scenario_has_a_name_of_its_own() {
        let scenario = Scenario::LarsonLike;
        let sources = [
            Source::File("p/larson-like.satrace".into()),
            Source::Synthetic { scenario, seed: 1 },
        ];
        assert_eq!(names(&sources), ["p/larson-like", "larson-like"]);
    }

    #[test]
    fn names_hold_no_control_characters() {
        assert_eq!(named(&["a\u{1b}[2J.satrace"]), ["a\u{fffd}[2J"]);
    }
}
