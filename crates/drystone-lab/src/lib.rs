//! The allocation laboratory as a library: the program `drystone`, open to further contestants.
//!
//! # What
//! [`Lab`] is the program; [`ReplayTarget`] is what it replays traces on. The replay loop is
//! generic over the target, so a composition plugged in here is inlined as in real use. A type
//! that can be a global allocator is a target through [`FromGlobal`].
//!
//! # Memory picture
//! ```text
//!  trace file ─▶ Trace ─▶ Plan ──shared file──▶ child: Program + SlotTable + target
//!                                                 │ one pass of one kind
//!  table, report ◀─ results ◀─ statistics ◀───────┘ JSON on a pipe
//! ```
//!
//! # Invariants
//! A figure comes from a process of its own for each target, trace and round; the rounds of a table are interleaved;
//! nothing is allocated while a trace is replayed; a byte that is wrong is an error and no figure.
//!
//! # Threads
//! The parent measures nothing itself and runs one child at a time.
//!
//! # Cost
//! Said in each module; docs/design/lab.md gives the picture.

mod child;
mod cli;
mod commands;
mod engine;
mod error;
mod host;
mod job;
mod lab;
mod measure;
mod memory;
mod pace;
mod perform;
mod program;
mod progress;
mod random;
mod report;
mod resources;
mod results;
mod schedule;
mod shared_file;
mod slots;
mod sources;
mod stats;
mod table;
mod target;
mod targets;
mod text;
mod touch;
mod watch;

pub use lab::Lab;
pub use target::{Description, FromAllocator, FromGlobal, ReplayTarget, Role, Workload};
