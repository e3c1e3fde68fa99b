//! Misuse that the types forbid, pinned by the compiler's error codes.
//!
//! Two regions over one backing:
//! ```compile_fail,E0499
//! # use drystone_core::{FixedRange, Region};
//! fn twice<B: FixedRange>(mut backing: B) {
//!     let first = Region::borrow(&mut backing);
//!     let second = Region::borrow(&mut backing);
//!     drop((first, second));
//! }
//! ```
//!
//! The backing moves while it is lent:
//! ```compile_fail,E0505
//! # use drystone_core::{FixedRange, Region};
//! fn moved<B: FixedRange>(mut backing: B) {
//!     let region = Region::borrow(&mut backing);
//!     drop(backing);
//!     drop(region);
//! }
//! ```
//!
//! A shared reference is not a range:
//! ```compile_fail,E0277
//! # use drystone_core::FixedRange;
//! fn takes_a_range(_: impl FixedRange) {}
//! fn lend<B: FixedRange>(backing: B) {
//!     takes_a_range(&backing);
//! }
//! ```
//!
//! A range taken by value from an allocator whose blocks die when it moves:
//! ```compile_fail,E0277
//! # use drystone_core::{AllocatedRegion, Allocator, NonZeroLayout};
//! fn by_value<A: Allocator>(allocator: A, layout: NonZeroLayout) {
//!     let _ = AllocatedRegion::new(allocator, layout);
//! }
//! ```
//!
//! A range stays on the thread of its allocator's handle:
//! ```compile_fail,E0277
//! # use drystone_core::{AllocatedRegion, Allocator};
//! fn send<T: Send>() {}
//! send::<AllocatedRegion<std::rc::Rc<dyn Allocator>>>();
//! ```
