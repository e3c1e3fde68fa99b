//! The result file: what a comparison measured, as JSON keys.
//!
//! # What
//! Plain data, written by `compare` and `replay`, read by `report` and by the gate. Keys are only
//! ever added. Units stand in the names.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::child::End;
use crate::error::{Failure, Reason};
use crate::host::Host;
use crate::job::StallFigures;
use crate::resources::Resources;
use crate::stats::{Ratio, Verdict};
use crate::text::printable;
use crate::touch::Touch;
use crate::watch::Fault;

/// Form of every JSON object that the program prints.
pub(crate) const SCHEMA: &str = "drystone/1";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) schema: String,
    /// `compare` or `replay`.
    pub(crate) kind: String,
    pub(crate) command: String,
    pub(crate) seed: u64,
    pub(crate) duration_s: f64,
    pub(crate) host: Host,
    pub(crate) settings: Settings,
    pub(crate) targets: Vec<TargetFacts>,
    pub(crate) not_included: Vec<NotIncluded>,
    /// How the figures may and may not be read.
    pub(crate) labels: Vec<String>,
    pub(crate) traces: Vec<TraceResult>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) mode: String,
    pub(crate) threads: String,
    pub(crate) align: String,
    pub(crate) touch: Touch,
    pub(crate) skew_records: u32,
    pub(crate) warm_passes: u32,
    pub(crate) latency_sampled_one_in: u32,
    pub(crate) limit_s: u64,
    pub(crate) baseline: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetFacts {
    pub(crate) name: String,
    pub(crate) about: String,
    pub(crate) version: String,
    pub(crate) flags: String,
    /// `general`, `ceiling` or `harness`.
    pub(crate) role: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct NotIncluded {
    pub(crate) name: String,
    pub(crate) reason: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TraceResult {
    pub(crate) name: String,
    pub(crate) synthetic: bool,
    pub(crate) threads_replayed: u32,
    /// As `drystone info --json` prints them.
    pub(crate) figures: Value,
    pub(crate) live_curve: LiveCurve,
    pub(crate) rounds: u32,
    /// The target that ratios refer to; another than asked for if that one failed.
    pub(crate) baseline: String,
    /// The replay without an allocator.
    pub(crate) harness_ns_per_op: f64,
    /// The baseline against itself.
    pub(crate) noise: Noise,
    pub(crate) rows: Vec<Row>,
}

impl TraceResult {
    pub(crate) fn figure(&self, key: &str) -> u64 {
        self.figures.get(key).and_then(Value::as_u64).unwrap_or(0)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LiveCurve {
    pub(crate) sample_every_records: u32,
    pub(crate) live_bytes: Vec<u64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Noise {
    #[serde(flatten)]
    pub(crate) against_itself: Ratio,
    /// A difference up to this is called "same".
    pub(crate) floor_ratio: f64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) target: String,
    pub(crate) status: Status,
    pub(crate) verification: Option<Verification>,
    pub(crate) throughput: Option<Throughput>,
    pub(crate) versus: Option<Versus>,
    pub(crate) latency: Option<Latency>,
    pub(crate) memory: Option<Memory>,
    pub(crate) refusals: Option<Refusals>,
    pub(crate) stalls: Option<StallFigures>,
    pub(crate) resources: Option<Resources>,
}

/// How a target came through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum Status {
    Ok,
    /// It gave no answer.
    Failed(End),
    /// A byte was wrong.
    WrongByte(Fault),
    /// It could not be made here.
    Unable {
        reason: String,
    },
}

impl Status {
    pub(crate) fn is_ok(&self) -> bool {
        *self == Self::Ok
    }

    /// One word for a table cell.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed(End::TimedOut { .. }) => "hung",
            Self::Failed(End::Killed { .. }) => "killed",
            Self::Failed(_) => "crashed",
            Self::WrongByte(_) => "wrong",
            Self::Unable { .. } => "unable",
        }
    }

    /// The whole reason.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Ok => "ok".to_owned(),
            Self::Failed(end) => end.to_string(),
            Self::WrongByte(fault) => format!("record {}: {}", fault.record, fault.what),
            Self::Unable { reason } => format!("could not run: {reason}"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verification {
    pub(crate) blocks_checked: u64,
    pub(crate) wrong_bytes: u64,
    /// Of all outcomes in order; the same in every run when one thread replays. Sixteen
    /// hexadecimal digits: many readers of JSON keep only 53 bits of a number.
    #[serde(with = "hexadecimal")]
    pub(crate) digest: u64,
}

mod hexadecimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Throughput {
    pub(crate) ops_per_s: f64,
    pub(crate) net_ops_per_s: Option<f64>,
    pub(crate) ns_per_op: f64,
    pub(crate) net_ns_per_op: f64,
    pub(crate) cold_ns_per_op: f64,
    pub(crate) p10_ops_per_s: f64,
    pub(crate) p90_ops_per_s: f64,
    pub(crate) rounds_ops_per_s: Vec<f64>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Versus {
    #[serde(flatten)]
    pub(crate) ratio: Ratio,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50_ns: u64,
    pub(crate) p90_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) samples: u64,
    /// Included in every latency.
    pub(crate) clock_pair_ns: u64,
    /// Share of operations in percent, and the latency that they stay within.
    pub(crate) curve: Vec<(f64, u64)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Greatest resident memory less lazily freed pages, less the harness.
    pub(crate) peak_bytes: u64,
    /// The same after the last record.
    pub(crate) end_bytes: u64,
    /// Greatest live bytes of the replay itself.
    pub(crate) live_peak_bytes: u64,
    pub(crate) peak_over_live_ratio: f64,
    /// Average over the records of (memory - live) / memory.
    pub(crate) mean_overhead_ratio: f64,
    pub(crate) harness_bytes: u64,
    pub(crate) samples: Vec<MemoryPoint>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct MemoryPoint {
    pub(crate) record: u64,
    pub(crate) live_bytes: u64,
    pub(crate) held_bytes: u64,
    pub(crate) rss_bytes: u64,
    pub(crate) pss_bytes: u64,
    pub(crate) anonymous_bytes: u64,
    pub(crate) lazy_free_bytes: u64,
    pub(crate) anon_huge_bytes: u64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Refusals {
    pub(crate) oversized: u64,
    pub(crate) exhausted: u64,
    pub(crate) skipped_operations: u64,
}

impl Refusals {
    pub(crate) fn total(&self) -> u64 {
        self.oversized + self.exhausted
    }
}

impl Results {
    /// Reads a result file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = std::fs::read(path).map_err(|e| Failure::io(&name, "cannot read it", &e))?;
        let invalid = |why: String| {
            Failure::new(
                Reason::Invalid,
                format!("{name}: {why}"),
                "give a results.json that `drystone compare` or `drystone replay` wrote",
            )
        };
        let results: Self = serde_json::from_slice(&text)
            .map_err(|e| invalid(format!("not a result file: {e}")))?;
        if results.schema == SCHEMA {
            Ok(results.with_printable_names())
        } else {
            Err(invalid(format!(
                "schema {:?} is not {SCHEMA:?}",
                results.schema
            )))
        }
    }

    /// A result file may come from anywhere: its names are shown as those of file names are.
    fn with_printable_names(mut self) -> Self {
        self.command = printable(&self.command);
        for label in &mut self.labels {
            *label = printable(label);
        }
        for target in &mut self.targets {
            target.name = printable(&target.name);
        }
        for trace in &mut self.traces {
            trace.name = printable(&trace.name);
            trace.baseline = printable(&trace.baseline);
            for row in &mut trace.rows {
                row.target = printable(&row.target);
            }
        }
        self
    }

    /// The JSON text on one line: the samples are many.
    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        serde_json::to_string(self)
            .map(|text| text + "\n")
            .map_err(|_| Failure::internal("results have no JSON form"))
    }
}

/// The JSON text of anything that has one.
pub(crate) fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|_| Failure::internal("a result has no JSON form"))
}
