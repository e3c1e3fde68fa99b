//! [`NoHeap`]: parts that never touch the global heap.

#[cfg(feature = "siphash")]
use crate::SipHashMac;
use crate::{
    AbortOnMisuse, AllocatedRegion, Allocator, Checked, NoProtection, SourceFrom, StableAddress,
};

/// Never touches the global heap.
///
/// A part keeps it if what it is made of does. Those that need the heap lack it:
///
/// ```compile_fail,E0277
/// # use drystone_core::{HeapSource, NoHeap};
/// fn part<P: NoHeap>() {}
/// part::<HeapSource>();
/// ```
///
/// # Safety
///
/// The implementor promises that no method of the value, its drop and its clone included, allocates
/// from the heap that the program's `#[global_allocator]` serves, frees to it, or waits for a thread
/// that may be doing so. A [`SegmentSource`](crate::SegmentSource) promises it for its segments too.
/// Constructors may do as they like.
pub unsafe trait NoHeap {}

// SAFETY: every call goes to the referent; copying a reference does nothing.
unsafe impl<A: NoHeap + ?Sized> NoHeap for &A {}
// SAFETY: it has no method that does anything.
unsafe impl NoHeap for NoProtection {}
// SAFETY: it only compares.
unsafe impl NoHeap for Checked {}
// SAFETY: it puts a line together in a fixed buffer, writes it, and ends the process.
unsafe impl NoHeap for AbortOnMisuse {}
// SAFETY: the hash is computed in registers.
#[cfg(feature = "siphash")]
unsafe impl NoHeap for SipHashMac {}
// SAFETY: it is a block of the allocator, freed by the allocator.
unsafe impl<A: Allocator + StableAddress + NoHeap> NoHeap for AllocatedRegion<A> {}
// SAFETY: a segment is a block of a clone of the allocator.
unsafe impl<A: NoHeap> NoHeap for SourceFrom<A> {}
