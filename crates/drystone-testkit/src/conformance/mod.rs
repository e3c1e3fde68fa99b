//! The conformance suite: one check for each promise of the contracts.
//!
//! A check takes a function that makes fresh allocators and the [`Caps`] that they undertake to
//! serve, and panics at its caller with the name of the promise and what is wrong.
//! [`conformance_suite!`](crate::conformance_suite) makes a test of each:
//!
//! ```
//! use drystone_backing::System;
//! use drystone_testkit::conformance::Caps;
//!
//! drystone_testkit::conformance_suite!(system, || System, Caps::general(); stable_address, shares);
//! # fn main() {}
//! ```
//!
//! The checks write to the blocks they are given and free them, so an allocator that breaks its
//! contract may do any harm to the process that checks it. Under Miri the sweeps are shorter.

mod block;
mod caps;
mod content;
mod exhaustion;
mod inspect;
mod place;
mod range;
mod resize;
mod serve;
mod suite;
mod threads;

pub use caps::Caps;
pub use content::{disjoint, fits, usable_size, zeroed};
pub use exhaustion::{capacity, corruption_events, exhaustion, reset};
pub use inspect::inspect;
pub use place::{owns, stable_address};
pub use range::{fixed_range, fixed_range_contents, stable_range};
pub use resize::{grow_shrink, resize_refusal};
pub use serve::{alignment, basic_round_trip, dyn_usable, lengths, refuses_absurd_sizes};
pub use threads::{sends, shares};

use drystone_core::Allocator;

/// Every promise that an [`Allocator`] makes without further traits, one after another.
///
/// # Panics
///
/// At the caller, with the name of the first promise found broken.
#[track_caller]
pub fn check_allocator<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    let make = &make;
    basic_round_trip(make, caps);
    alignment(make, caps);
    lengths(make, caps);
    refuses_absurd_sizes(make, caps);
    disjoint(make, caps);
    zeroed(make, caps);
    fits(make, caps);
    usable_size(make, caps);
    grow_shrink(make, caps);
    resize_refusal(make, caps);
    exhaustion(make, caps);
    capacity(make, caps);
    corruption_events(make, caps);
    dyn_usable(make, caps);
}

/// Panics at the caller of the check with the promise's name in front.
#[track_caller]
fn settle(promise: &str, verdict: block::Verdict) {
    if let Err(words) = verdict {
        panic!("{promise}: {words}");
    }
}
