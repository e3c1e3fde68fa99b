//! Checks for allocators: their promises one by one, an oracle, injected faults, random programs.
//!
//! Everything here works on any [`Allocator`](drystone_core::Allocator), drystone's or yours:
//!
//! | module | what it does |
//! |---|---|
//! | [`conformance`] | checks one promise of the contracts at a time, or all of them |
//! | [`FirstFit`] | a textbook allocator, right by inspection, to compare with |
//!
//! The kit uses the standard library and the global heap freely; it is for tests, and for no
//! allocation path.

mod bytes;
pub mod conformance;
mod first_fit;

pub use first_fit::FirstFit;
