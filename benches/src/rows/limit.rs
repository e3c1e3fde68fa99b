//! The physical limits as rows of their own.

use crate::limits;
use crate::{Arm, Kind, Row};

/// Builds the limit row of this name.
pub(crate) fn build(id: &str) -> Option<Row> {
    let (id, unit, about, run): (_, _, _, fn(u64)) = match id {
        "limit-add" => (
            "limit-add",
            "addition",
            "a chain of dependent additions: one core cycle each",
            limits::dependent_adds,
        ),
        "limit-tls" => (
            "limit-tls",
            "read",
            "a constant-initialised thread-local word, in an executable",
            limits::thread_local_reads,
        ),
        "limit-atomic" => (
            "limit-atomic",
            "operation",
            "an atomic addition to a line that no other core holds",
            limits::uncontended_atomics,
        ),
        "limit-ping-pong" => (
            "limit-ping-pong",
            "hand-over",
            "one line handed between two pinned cores, one way",
            limits::ping_pong,
        ),
        "limit-clock" => (
            "limit-clock",
            "read",
            "the monotonic clock",
            limits::clock_reads,
        ),
        _ => return None,
    };
    let arms = vec![
        Arm::new("hardware", Kind::Limit, run),
        Arm::new("again", Kind::Control, run),
    ];
    Some(Row {
        id,
        unit,
        about,
        arms,
    })
}
