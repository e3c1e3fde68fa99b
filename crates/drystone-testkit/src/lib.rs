//! Checks for allocators: their promises one by one, an oracle, injected faults, random programs.
//!
//! Everything here works on any [`Allocator`](drystone_core::Allocator), drystone's or yours:
//!
//! | module | what it does |
//! |---|---|
//! | [`conformance`] | checks one promise of the contracts at a time, or all of them |
//! | [`reference`] | plain allocators that are right by inspection, to compare with |
//!
//! The kit uses the standard library and the global heap freely; it is for tests, and for no
//! allocation path.

mod bytes;
pub mod conformance;
pub mod reference;
