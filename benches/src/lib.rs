//! The comparison rows of docs/BENCHMARKS.md: workloads, contestants and the interleaving runner.
//!
//! A *row* is one workload. Its *arms* are the contestants, the physical limit of the workload, and
//! a second copy of our own contestant, whose difference from the first is the noise floor. The
//! runner calls the arms in random order, round after round, in several processes, and reports
//! medians and the medians of the ratios within a round.

mod blocks;
pub mod harness;
mod limits;
pub mod memory;
pub mod program;
pub mod report;
pub mod rivals;
pub mod rows;

pub use harness::{Arm, Kind, Plan, Row, Sample};
pub use report::Summary;
