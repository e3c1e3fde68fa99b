//! Which layouts never touch the global heap: those whose state lies in the value or in the range, if
//! the range and the protection do not.

#[cfg(target_has_atomic = "ptr")]
use drystone_core::{Allocator, GlobalSafe};
use drystone_core::{NoHeap, SegmentSource};

#[cfg(target_has_atomic = "ptr")]
use crate::SharedBumpArena;
use crate::{BumpArena, GrowableBump, SizeClassed, Slab, StackAlloc};

// SAFETY: beside the range it has two marks.
unsafe impl<B: NoHeap> NoHeap for BumpArena<B> {}
// SAFETY: its records of segments lie in the segments.
unsafe impl<S: SegmentSource + NoHeap> NoHeap for GrowableBump<S> {}
// SAFETY: beside the range it has two marks.
#[cfg(target_has_atomic = "ptr")]
unsafe impl<B: NoHeap> NoHeap for SharedBumpArena<B> {}
// SAFETY: as for `NoHeap`; the marks are never waited for.
#[cfg(target_has_atomic = "ptr")]
unsafe impl<B: NoHeap + 'static> GlobalSafe for SharedBumpArena<B> where Self: Allocator + Sync {}
// SAFETY: its frames lie in the range.
unsafe impl<B: NoHeap> NoHeap for StackAlloc<B> {}
// SAFETY: its links lie in the range; no code of `T` is run.
unsafe impl<T, B: NoHeap, M: NoHeap> NoHeap for Slab<T, B, M> {}
// SAFETY: its links and tables lie in the range and in the value.
unsafe impl<B: NoHeap, const CLASSES: usize> NoHeap for SizeClassed<B, CLASSES> {}
