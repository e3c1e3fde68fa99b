//! Checks for allocators: their promises one by one, an oracle, injected faults, random programs.
//!
//! # What
//!
//! Everything here works on any [`Allocator`](drystone_core::Allocator), drystone's or yours:
//!
//! | module | what it does |
//! |---|---|
//! | [`conformance`] | checks one promise of the contracts at a time, or all of them |
//! | [`oracle`] | watches over an allocator and its users, and reports what either does wrong |
//! | [`faulting`] | runs a scenario with its first, second, third … allocation failing |
//! | [`death`] | runs what must end its process in a process of its own |
//! | [`program`] | random programs: one interpreter for property tests, Miri and fuzzers |
//! | `targets` | the fuzz targets, with the feature of that name |
//! | [`FirstFit`] | a textbook allocator, right by inspection, to compare with |
//! | [`kept`] | a value that lives as long as the program |
//!
//! # Memory picture
//!
//! ```text
//!  scenario ─▶ Oracle ─▶ allocator under test
//!                └ every live block: address, layout, pattern of its bytes
//! ```
//!
//! # Invariants
//!
//! Of what is tested: a live block is aligned, in no other, and holds what was written. Of the kit: the same seed does
//! the same, and a check that passes has done what its name says at least once.
//!
//! # Threads
//!
//! A check runs on the thread that calls it, and makes threads of its own only where its name says so.
//!
//! # Cost
//!
//! It is for tests: a check fills and compares whole blocks, and the oracle looks at every live one.
//!
//! # Features
//!
//! None by default. `targets` adds the fuzz targets, and with them the layouts that they exercise.
//!
//! The kit uses the standard library and the global heap freely; it is for tests, and for no
//! allocation path.

mod bytes;
pub mod conformance;
pub mod death;
pub mod faulting;
mod first_fit;
mod kept;
pub mod oracle;
pub mod program;
mod random;
#[cfg(feature = "targets")]
pub mod targets;

pub use first_fit::FirstFit;
pub use kept::kept;
pub use random::Random;
