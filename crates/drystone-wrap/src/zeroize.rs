//! [`ZeroizeOnFree`]: freed bytes are zero.
//!
//! # What
//!
//! Sets what is freed to zero, so that no secret stays behind in memory that others get. How blocks
//! are covered is said at [`ScrubOnFree`].
//!
//! The zeros are written by `memset`, and kept by the barrier of the `zeroize` crate, which the
//! compiler takes for a reader of the bytes. The crate's own `zeroize` of a slice writes one element
//! at a time with volatile stores, which for bytes is many times slower.
//!
//! # Memory picture
//!
//! As [`ScrubOnFree`].
//!
//! # Invariants
//!
//! Those of [`ScrubOnFree`].
//!
//! What this does not reach: copies that the program made elsewhere, registers, bytes of a block that
//! the operating system wrote to swap or to a core file (`LockedMmapBacked` keeps it from that), and
//! blocks that are freed around the wrapper.
//!
//! # Threads
//!
//! As the inner allocator.
//!
//! # Cost
//!
//! One `memset` of the block for each free, measured in `docs/design/content-wrappers.md`.

use core::mem::MaybeUninit;

use drystone_core::Contents;

use crate::scrub::{self, Scrub, ScrubOnFree, fill};
use crate::{On, Switch};

/// What a [`ZeroizeOnFree`] writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Zeros(());

impl Scrub for Zeros {}

impl scrub::sealed::Scrub for Zeros {
    #[inline]
    fn scrub(&self, bytes: &mut [MaybeUninit<u8>]) {
        fill(bytes, 0);
        ::zeroize::optimization_barrier(bytes);
    }
}

/// `A`, whose bytes are zero after they were freed.
///
/// ```
/// # use drystone_core::{Allocator, Contents, Deallocator, NonZeroLayout};
/// # use drystone_wrap::ZeroizeOnFree;
/// fn session_key<A: Contents>(memory: A, layout: NonZeroLayout) {
///     let secrets = ZeroizeOnFree::new(memory);
///     let key = secrets.allocate(layout).expect("there is room").cast::<u8>();
///     unsafe { key.write_bytes(0x5e, layout.size().get()) };
///     // Nothing of the key is left when the allocator inside takes the block back.
///     unsafe { secrets.deallocate(key, layout) };
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # session_key(slots::Slots::new(4), NonZeroLayout::from_size_align(32, 8).unwrap());
/// ```
pub type ZeroizeOnFree<A, S = On> = ScrubOnFree<A, Zeros, S>;

impl<A: Contents> ScrubOnFree<A, Zeros> {
    /// `inner`, whose freed bytes become zero.
    #[inline]
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self::from_parts(inner, Zeros(()))
    }
}

impl<A: Contents, S: Switch> ScrubOnFree<A, Zeros, S> {
    /// `inner`, whose freed bytes become zero or stay as they are, as `switch` says.
    #[inline]
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        Self::switched(inner, Zeros(()))
    }
}
