//! [`InlineBacked`]: bytes inside the value.
//!
//! # What
//!
//! A fixed number of bytes with no indirection: on the stack, in a `static`, in another struct.
//!
//! # Memory picture
//!
//! ```text
//! at a multiple of 16
//! 0                      N       next multiple of 16
//! +----------------------+-------+
//! |        bytes         |  pad  |
//! +----------------------+-------+
//! ```
//!
//! # Invariants
//!
//! - I1: the value's address is a multiple of [`BASE_ALIGN`], and `bytes` is its first field.
//!
//! # Threads
//!
//! Send and Sync: the methods only describe the range.
//!
//! # Cost
//!
//! `N` bytes, rounded up to 16. Making one writes nothing; moving one copies `N` bytes.

use core::cell::UnsafeCell;
use core::fmt;
use core::marker::PhantomPinned;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::FixedRange;

/// The alignment of the first byte, wherever the value is moved.
const BASE_ALIGN: usize = 16;

/// `N` bytes inside the value, at a multiple of 16. `N` may be 0.
///
/// When the value moves, so do its bytes: it is not
/// [`StableAddress`](drystone_core::StableAddress), and blocks cut from it die when it moves.
/// [`Region::borrow`](drystone_core::Region::borrow) holds it in place and is stable. Alignments
/// above 16 cannot be kept across moves and are refused by every layout; in a `Region` they are
/// served.
///
/// A large `N` on the stack is a large stack frame; `Box` and `static` are the places for it.
///
/// ```
/// use drystone_backing::InlineBacked;
/// use drystone_core::{FixedRange, Region};
///
/// let mut buffer = InlineBacked::<1024>::new();
/// let region = Region::borrow(&mut buffer);
/// assert_eq!(region.size(), 1024);
/// ```
// `PhantomPinned`: a `&mut InlineBacked` must not claim that nothing else points into the bytes.
#[repr(C, align(16))]
pub struct InlineBacked<const N: usize> {
    bytes: UnsafeCell<MaybeUninit<[u8; N]>>,
    pinned: PhantomPinned,
}

// SAFETY: through `&self` only the address and the length can be learned; whoever writes to the
// bytes answers for the threads that do.
unsafe impl<const N: usize> Sync for InlineBacked<N> {}

impl<const N: usize> InlineBacked<N> {
    /// `N` uninitialised bytes.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new(MaybeUninit::uninit()),
            pinned: PhantomPinned,
        }
    }
}

impl<const N: usize> Default for InlineBacked<N> {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for InlineBacked<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineBacked").field("size", &N).finish()
    }
}

// SAFETY: the bytes are part of the value: exclusive and valid while it lives (L3, L4), at one
// place until it moves (L1), of a size that a type can have (L2). The pointer is made from the
// cell that covers all of them (L5). L6 is I1. Nothing but the address is read (L7).
unsafe impl<const N: usize> FixedRange for InlineBacked<N> {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        NonNull::from(&self.bytes).cast()
    }

    #[inline]
    fn size(&self) -> usize {
        N
    }

    #[inline]
    fn base_align(&self) -> usize {
        BASE_ALIGN
    }

    #[inline]
    fn commits_on_demand(&self) -> bool {
        false
    }
}
