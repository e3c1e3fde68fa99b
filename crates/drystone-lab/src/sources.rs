//! Where traces come from: files that are named, bundled files, synthetic scenarios.

use std::path::{Path, PathBuf};

use drystone_trace::synth::Scenario;
use drystone_trace::{Figures, Trace};

use crate::error::{Failure, Reason};

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
pub(crate) enum Source {
    File(PathBuf),
    Synthetic { scenario: Scenario, seed: u64 },
}

impl Source {
    /// Short name for tables: without directory and endings.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                let name = name.to_string_lossy();
                let name = name.strip_suffix(".zst").unwrap_or(&name);
                name.strip_suffix(".satrace").unwrap_or(name).to_owned()
            }
            Self::Synthetic { scenario, .. } => scenario.name().to_owned(),
        }
    }

    pub(crate) fn is_synthetic(&self) -> bool {
        matches!(self, Self::Synthetic { .. })
    }

    pub(crate) fn load(&self) -> Result<Trace, Failure> {
        match self {
            Self::File(path) => Ok(Trace::read(path)?),
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
