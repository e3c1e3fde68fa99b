//! Allocation traces: reading them, checking them, measuring them, and making synthetic ones.
//!
//! # What
//!
//! A trace is the list of every allocation, reallocation and free that one run of a program made,
//! in the order in which the calls happened. This crate reads the `.satrace` form, raw or
//! compressed with zstd, and the `.dst` form, which has times, and gives back a [`Trace`]: a value that
//! has passed every check, so that a replayer indexes tables by its thread and object numbers without
//! checking again. A [`Recorder`] around a program's allocator writes a `.dst` file.
//!
//! ```
//! use drystone_trace::{Figures, Op, Record, Trace};
//!
//! let block = |op, size| Record { object: 0, thread: 0, op, align_log2: 4, size };
//! let records = vec![
//!     block(Op::Allocate, 100),
//!     block(Op::Reallocate, 200),
//!     Record { align_log2: 0, ..block(Op::Free, 200) },
//! ];
//! let trace = Trace::from_records(1, 1, records)?;
//! assert_eq!(Figures::of(&trace).peak_live_bytes, 200);
//! assert_eq!(Trace::from_bytes(&trace.to_bytes())?, trace);
//! # Ok::<(), drystone_trace::TraceError>(())
//! ```
//!
//! | item | purpose |
//! |---|---|
//! | [`Trace`] | reads and writes all forms and the text dump |
//! | [`Recorder`], [`record_to`], [`finish_recording`], [`mark`] | write down what a program allocates |
//! | `raw` | the same for allocators with other functions, on Unix |
//! | [`TraceError`] | says what is wrong, at which record and byte, and whether the input is invalid or unreadable |
//! | [`Event`] | marks, samples of memory, forks, beginnings and ends of threads |
//! | [`Chunks`] | where the chunks of a `.dst` file are, without reading them |
//! | [`Figures`] | counts, peaks and a size histogram in one pass |
//! | [`synth`] | eight synthetic workloads, each fixed by a seed |
//! | [`fuzz_target`] | the check that fuzzers and property tests share |
//!
//! # Memory picture
//!
//! The raw form, little-endian:
//!
//! ```text
//! byte 0         8         12        16             24             32          48
//!      | SATRACE1 | version | threads | record count | object count | record 0 | record 1 | ...
//!      |  8 bytes | u32 = 1 |   u32   |     u64      |     u64      | 16 bytes |
//!
//! record  0        4        6    7            8               16
//!         | object | thread | op | align log2 | size in bytes |
//!         |  u32   |  u16   | u8 |     u8     |      u64      |
//! ```
//!
//! # Invariants
//!
//! Every [`Trace`] satisfies these; anything else is a [`TraceError`]:
//!
//! - T1: each thread index below [`Trace::threads`] has at least one record, and none is above.
//! - T2: each object id below [`Trace::objects`] is allocated at least once, and none is above.
//! - T3: an allocation names an object that is not live; a free or a reallocation names one that
//!   is. A dead id may be allocated again.
//! - T4: each allocation and reallocation has a [`Layout`](core::alloc::Layout), size 0 counting
//!   as size 1. A free has no alignment (`align_log2` is 0).
//! - T5: the size of a free is the size that the block had last.
//! - T6: if there are times, there is one for each record, and they do not fall.
//! - T7: events stand in the order of their positions, and their times fit between those of the records.
//!
//! # Threads
//!
//! [`Trace`], [`Figures`] and [`TraceError`] are plain data, `Send` and `Sync`. A [`Recorder`] is as its
//! inner allocator; how threads record side by side is said in its module.
//!
//! # Cost
//!
//! 16 bytes a record, and while checking 8 bytes an object. A compressed trace is decoded through
//! a buffer of its zstd window (at most 128 MiB) straight into records: the raw bytes are never
//! held whole. No number in a header sizes an allocation before the data behind it was read.
//!
//! # Features
//!
//! | feature | gain |
//! |---|---|
//! | `serde` | [`Figures`] implements `serde::Serialize` |
//! | `initial-exec` | the recorder's word of each thread is reached without a call, from a shared library too |

#![deny(unsafe_code)]

mod dst;
mod dump;
mod error;
mod event;
mod figures;
pub mod fuzz_target;
mod record;
#[allow(unsafe_code, reason = "an allocator, and a value behind a lock")]
mod recorder;
mod satrace;
pub mod synth;
mod trace;
mod validate;
mod zstd_frames;

pub use dst::{ChunkEntry, Chunks};
pub use error::{Fault, TraceError, TraceErrorKind};
pub use event::{Event, EventKind, Sample};
pub use figures::{Figures, LiveAtEnd, Reallocations, SizeBucket, Sizes};
pub use record::{Op, Record};
#[cfg(all(unix, not(miri)))]
pub use recorder::raw;
pub use recorder::{RecordError, Recorded, Recorder, finish_recording, mark, record_to};
pub use trace::{Recording, Trace};
