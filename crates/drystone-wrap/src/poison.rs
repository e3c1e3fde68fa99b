//! [`PoisonOnFree`]: freed bytes carry a pattern.
//!
//! # What
//!
//! Fills what is freed with one byte, over and over, so that a use of it after the free shows: a
//! read finds the pattern, and a pointer read from there leads nowhere. How blocks are covered is
//! said at [`ScrubOnFree`].
//!
//! Whether the pattern is still there when the block is handed out again is not looked at. The inner
//! allocator may keep links in free blocks, and what it hands out counts as uninitialised, which
//! must not be read. [`Quarantine`](crate::Quarantine) looks, because it owns the blocks it keeps.
//!
//! # Memory picture
//!
//! ```text
//!  ┌────┬────────────────────────┐
//!  │link│ df df df df df df df df│  a freed block of a slab, which keeps a link in front
//!  └────┴────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! Those of [`ScrubOnFree`].
//!
//! # Threads
//!
//! As the inner allocator.
//!
//! # Cost
//!
//! One `memset` of the block for each free, measured in `docs/design/content-wrappers.md`.

use core::hint::black_box;
use core::mem::MaybeUninit;

use drystone_core::Contents;

use crate::scrub::{self, Scrub, ScrubOnFree, fill};
use crate::{On, Switch};

/// The pattern of a [`PoisonOnFree`]: one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poison(u8);

impl Poison {
    /// The pattern unless one says so: `0xdf`.
    ///
    /// A pointer of such bytes is no address that x86-64 or AArch64 programs can use, and an
    /// integer of them is large, odd and negative.
    pub const DEFAULT: u8 = 0xdf;
}

impl Scrub for Poison {}

impl scrub::sealed::Scrub for Poison {
    #[inline]
    fn scrub(&self, bytes: &mut [MaybeUninit<u8>]) {
        fill(bytes, self.0);
        // Keeps the writes: whatever the hint is taken for may read them.
        black_box(bytes.as_ptr());
    }
}

/// `A`, whose bytes carry a pattern after they were freed.
///
/// ```
/// # use drystone_core::{Allocator, Contents, Deallocator, NonZeroLayout};
/// # use drystone_wrap::PoisonOnFree;
/// fn freed_twice_over<A: Contents>(memory: A, layout: NonZeroLayout) {
///     let memory = PoisonOnFree::new(memory);
///     let block = memory.allocate(layout).expect("there is room");
///     unsafe { block.cast::<u8>().write(7) };
///     // Every byte of the block is `Poison::DEFAULT` when the allocator inside takes it back.
///     unsafe { memory.deallocate(block.cast(), layout) };
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # freed_twice_over(slots::Slots::new(4), NonZeroLayout::from_size_align(24, 8).unwrap());
/// ```
pub type PoisonOnFree<A, S = On> = ScrubOnFree<A, Poison, S>;

impl<A: Contents> ScrubOnFree<A, Poison> {
    /// `inner`, whose freed bytes become [`Poison::DEFAULT`].
    #[inline]
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self::with_pattern(inner, Poison::DEFAULT)
    }

    /// `inner`, whose freed bytes become `pattern`.
    #[inline]
    #[must_use]
    pub const fn with_pattern(inner: A, pattern: u8) -> Self {
        Self::from_parts(inner, Poison(pattern))
    }

    /// The byte that freed memory is filled with.
    #[inline]
    pub const fn pattern(&self) -> u8 {
        self.scrub().0
    }
}

impl<A: Contents, S: Switch> ScrubOnFree<A, Poison, S> {
    /// `inner`, whose freed bytes become [`Poison::DEFAULT`] or stay as they are, as `switch` says.
    #[inline]
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        Self::switched(inner, Poison(Poison::DEFAULT))
    }
}
