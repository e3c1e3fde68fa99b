//! Which ranges and sources never touch the global heap. Those of the heap are not among them.

#[cfg(feature = "std")]
use drystone_core::GlobalSafe;
use drystone_core::NoHeap;

#[cfg(feature = "std")]
use crate::System;
#[cfg(feature = "mmap")]
use crate::{
    FlaggedMmapSource, GuardedMmapBacked, HugePageBacked, LockedMmapBacked, MmapBacked, MmapSource,
};
use crate::{InlineBacked, StaticBacked};

// SAFETY: its methods compute addresses.
unsafe impl<const N: usize> NoHeap for InlineBacked<N> {}
// SAFETY: its methods compute addresses.
unsafe impl NoHeap for StaticBacked<'_> {}
// SAFETY: pages are mapped, advised and unmapped by calls to the operating system.
#[cfg(feature = "mmap")]
unsafe impl NoHeap for MmapBacked {}
// SAFETY: as for `MmapBacked`, of which it is made.
#[cfg(feature = "mmap")]
unsafe impl NoHeap for HugePageBacked {}
// SAFETY: as for `MmapBacked`, of which it is made.
#[cfg(feature = "mmap")]
unsafe impl NoHeap for LockedMmapBacked {}
// SAFETY: as for `MmapBacked`, of which it is made.
#[cfg(feature = "mmap")]
unsafe impl NoHeap for GuardedMmapBacked {}
// SAFETY: a segment is an `MmapBacked`, made by a call to the operating system.
#[cfg(feature = "mmap")]
unsafe impl NoHeap for MmapSource {}
// SAFETY: as for `MmapSource`.
#[cfg(feature = "mmap")]
unsafe impl NoHeap for FlaggedMmapSource {}
// SAFETY: the platform's allocator is below the global heap and does not know it.
#[cfg(feature = "std")]
unsafe impl NoHeap for System {}
// SAFETY: as for `NoHeap`.
#[cfg(feature = "std")]
unsafe impl GlobalSafe for System {}
