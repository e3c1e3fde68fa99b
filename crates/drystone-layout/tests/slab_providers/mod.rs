//! A provider for the tests of slab caches: counts, refuses, misaligns, and says when it is gone.
#![allow(dead_code, reason = "each test program uses a part")]

use std::alloc::Layout;
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use drystone_backing::System;
use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_layout::SlabProvider;

/// What a [`Counting`] provider has seen. Outlives it.
#[derive(Default)]
pub(crate) struct Ledger {
    /// The slabs that are out, and the padding before each.
    pub(crate) out: Mutex<HashMap<usize, usize>>,
    pub(crate) provided: AtomicUsize,
    pub(crate) taken_back: AtomicUsize,
    /// How many times the provider may still provide.
    pub(crate) left: AtomicUsize,
    /// How far the answers are from where they should be, in bytes.
    pub(crate) skew: AtomicUsize,
    pub(crate) dropped: AtomicUsize,
    /// Set while a call runs, if calls must not overlap a lock: see [`HeldLock`].
    pub(crate) locked: AtomicBool,
}

impl Ledger {
    pub(crate) fn new() -> Arc<Self> {
        let ledger = Self::default();
        ledger.left.store(usize::MAX, Ordering::Relaxed);
        Arc::new(ledger)
    }

    pub(crate) fn provided(&self) -> usize {
        self.provided.load(Ordering::Relaxed)
    }

    pub(crate) fn taken_back(&self) -> usize {
        self.taken_back.load(Ordering::Relaxed)
    }

    /// Calls of either kind.
    pub(crate) fn calls(&self) -> usize {
        self.provided() + self.taken_back()
    }

    pub(crate) fn out(&self) -> usize {
        self.out.lock().expect("no panic while held").len()
    }

    pub(crate) fn allow(&self, slabs: usize) {
        self.left.store(slabs, Ordering::Relaxed);
    }

    /// Everything is back, and the provider was dropped once.
    #[track_caller]
    pub(crate) fn assert_closed(&self) {
        assert_eq!(self.out(), 0, "slabs that did not come back");
        assert_eq!(self.provided(), self.taken_back());
        assert_eq!(self.dropped.load(Ordering::Relaxed), 1, "the provider");
    }
}

/// Slabs from the system, entered in a ledger.
pub(crate) struct Counting(pub(crate) Arc<Ledger>);

impl Counting {
    fn padded(layout: Layout, skew: usize) -> NonZeroLayout {
        NonZeroLayout::from_size_align(layout.size() + skew, layout.align()).expect("small")
    }
}

// SAFETY: the system's blocks are exclusive and long enough; those of a ledger with a skew start
// that far behind their base, inside a block that is as much longer.
unsafe impl SlabProvider for Counting {
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        let ledger = &*self.0;
        assert!(
            !ledger.locked.load(Ordering::Relaxed),
            "called with the lock held"
        );
        let take_one = |left: usize| left.checked_sub(1);
        ledger
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one)
            .ok()?;
        let skew = ledger.skew.load(Ordering::Relaxed);
        let block = System.allocate(Self::padded(layout, skew)).expect("memory");
        // SAFETY: the block is `skew` bytes longer than the slab.
        let base = unsafe { block.cast::<u8>().add(skew) };
        let mut out = ledger.out.lock().expect("no panic while held");
        assert!(out.insert(base.addr().get(), skew).is_none());
        ledger.provided.fetch_add(1, Ordering::Relaxed);
        Some(base)
    }

    unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout) {
        let ledger = &*self.0;
        assert!(
            !ledger.locked.load(Ordering::Relaxed),
            "called with the lock held"
        );
        let skew = ledger
            .out
            .lock()
            .expect("no panic while held")
            .remove(&ptr.addr().get())
            .expect("a slab of this provider, given back once");
        ledger.taken_back.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the base of the block is that far before.
        let block = unsafe { ptr.sub(skew) };
        // SAFETY: the block came from `provide` with this layout, and nobody uses it.
        unsafe { System.deallocate(block, Self::padded(layout, skew)) };
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
    }
}
