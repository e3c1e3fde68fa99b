//! What a trace tells beside what happened to blocks.

use crate::dst::MARK_BYTES_MAX;

/// Something that happened between two operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How many records of the trace come before it.
    pub position: u64,
    /// The index of the thread; `None` for one without records.
    pub thread: Option<u16>,
    /// In nanoseconds since the start of the recording; 0 where the trace has no times.
    pub time_ns: u64,
    /// What it is.
    pub kind: EventKind,
}

/// What an [`Event`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The thread was first seen.
    ThreadStart,
    /// The thread ended. What its thread-locals free at their end may come later.
    ThreadExit,
    /// The program named the place where it was: at most 200 bytes, without control characters.
    Mark(String),
    /// What the process took of the machine's memory.
    Sample(Sample),
    /// The process forked: in its own trace, where it did; in that of the child, at the beginning. Blocks that
    /// the child had from its parent are not in the child's trace.
    Fork,
    /// The recorder could not write so many operations.
    Gap {
        /// How many.
        lost: u64,
    },
}

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Resident.
    pub rss_bytes: u64,
    /// Resident, pages shared with others counted in part.
    pub pss_bytes: u64,
    /// Resident until the system wants it back.
    pub lazy_free_bytes: u64,
}

/// As much of `name` as a mark may have.
pub(crate) fn mark_name(name: &str) -> &str {
    let name = name.split(char::is_control).next().unwrap_or_default();
    let mut end = name.len().min(MARK_BYTES_MAX);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}
