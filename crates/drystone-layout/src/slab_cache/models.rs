//! Models of what handles, boxes, growth and trimming do to each other.
//!
//! The lock's state cell and the provider's cell are loom's. Every use of the master under its lock
//! touches the first, every call of the provider reads the second, and ending the hierarchy writes
//! both: a use of the master that is not ordered before its end is reported.

extern crate std;

use core::alloc::Layout;
use core::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use drystone_sync::SpinLock;
use drystone_sync::cell::UnsafeCell;
use loom::thread;

use super::{SlabBox, SlabCache, SlabProvider};

/// Two of them fit in a master, three in a slave.
type Value = [u64; 80];
type Cache = SlabCache<Value, Heap, SpinLock, 2048>;
type Boxed = SlabBox<Value, Heap, SpinLock, 2048>;

/// Counts what is out. A lock that loom does not know, so that it orders nothing in the models.
#[derive(Default)]
struct Ledger {
    /// Slabs out, and times that the provider was dropped.
    counts: Mutex<(usize, usize)>,
}

impl Ledger {
    fn count(&self, change: impl FnOnce(&mut (usize, usize))) {
        change(&mut self.counts.lock().expect("no panic while held"));
    }

    fn out(&self) -> usize {
        self.counts.lock().expect("no panic while held").0
    }

    fn assert_closed(&self) {
        let counts = *self.counts.lock().expect("no panic while held");
        assert_eq!(counts, (0, 1), "slabs that are out, drops of the provider");
    }
}

struct Heap {
    ledger: Arc<Ledger>,
    witness: UnsafeCell<()>,
}

// SAFETY: the cell is read by calls and written by the drop, which is what the models check.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

#[allow(
    clippy::disallowed_methods,
    reason = "the models need no other allocator"
)]
// SAFETY: the heap's blocks are exclusive, have the size asked for, and live until freed.
unsafe impl SlabProvider for Heap {
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        self.witness.with(|_| ());
        self.ledger.count(|counts| counts.0 += 1);
        // SAFETY: a slab's layout is not zero-sized.
        NonNull::new(unsafe { std::alloc::alloc(layout) })
    }

    unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout) {
        self.witness.with(|_| ());
        self.ledger.count(|counts| counts.0 -= 1);
        // SAFETY: the block came from `provide` with this layout.
        unsafe { std::alloc::dealloc(ptr.as_ptr(), layout) };
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        self.witness.with_mut(|_| ());
        self.ledger.count(|counts| counts.1 += 1);
    }
}

fn cache() -> (Cache, Arc<Ledger>) {
    let ledger = Arc::new(Ledger::default());
    let heap = Heap {
        ledger: Arc::clone(&ledger),
        witness: UnsafeCell::new(()),
    };
    let cache = Cache::with_lock(heap, SpinLock::new()).expect("memory");
    assert_eq!(Cache::SLOTS_IN_MASTER, 2);
    (cache, ledger)
}

fn alloc(cache: &Cache) -> Boxed {
    cache.alloc([7; 80]).expect("memory")
}

fn fill_master(cache: &Cache) -> Vec<Boxed> {
    (0..Cache::SLOTS_IN_MASTER).map(|_| alloc(cache)).collect()
}

/// The last box and the last handle go at the same time: one of the two threads ends the
/// hierarchy, after the other has left it.
#[test]
fn loom2_last_box_against_last_handle() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let boxed = alloc(&cache);
        let other = thread::spawn(move || drop(boxed));
        drop(cache);
        other.join().expect("joins");
        ledger.assert_closed();
    });
}

/// A slave becomes empty and goes back to the provider while the other thread lets go of the last
/// box: the provider lives until it has the slave.
#[test]
fn loom2_last_slave_against_end_of_master() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let mut boxes = fill_master(&cache);
        let in_slave = alloc(&cache);
        let in_master = boxes.pop();
        drop((boxes, cache));
        let other = thread::spawn(move || drop(in_slave));
        drop(in_master);
        other.join().expect("joins");
        ledger.assert_closed();
    });
}

/// The last handle goes while a slave becomes empty: whoever is second gives it back.
#[test]
fn loom2_empty_slave_against_last_handle() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let boxes = fill_master(&cache);
        let in_slave = alloc(&cache);
        drop(boxes);
        let other = thread::spawn(move || drop(in_slave));
        drop(cache);
        other.join().expect("joins");
        ledger.assert_closed();
    });
}

/// Two threads find every slab full: both get a slot, and at most one slab is left over.
#[test]
fn loom2_two_threads_run_dry() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let boxes = fill_master(&cache);
        let other = {
            let cache = cache.clone();
            thread::spawn(move || alloc(&cache))
        };
        let here = alloc(&cache);
        let there = other.join().expect("joins");
        assert_ne!(SlabBox::as_ptr(&here), SlabBox::as_ptr(&there));
        let out = ledger.out();
        assert!(out <= 3, "{out} slabs for four values");
        assert_eq!(cache.verify_all(), Ok(()));
        assert_eq!(cache.stats().live_blocks(), 4);
        assert_eq!(*here, [7; 80]);
        drop((cache, boxes, here, there));
        ledger.assert_closed();
    });
}

/// A slot becomes free while the other thread waits for the provider: the slab it brings is not
/// needed, and is kept, or surplus.
#[test]
fn loom2_free_against_growth() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let mut boxes = fill_master(&cache);
        let freed = boxes.pop();
        let other = thread::spawn(move || drop(freed));
        let here = alloc(&cache);
        other.join().expect("joins");
        assert_eq!(cache.verify_all(), Ok(()));
        assert_eq!(cache.stats().live_blocks(), 2);
        drop((cache, boxes, here));
        ledger.assert_closed();
    });
}

/// A slave becomes empty while the other thread trims: it goes back once, or is kept.
#[test]
fn loom2_free_against_trim() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let boxes = fill_master(&cache);
        let in_slave = alloc(&cache);
        let other = thread::spawn(move || drop(in_slave));
        let trimmed = cache.trim();
        other.join().expect("joins");
        assert_eq!(cache.verify_all(), Ok(()));
        let out = ledger.out();
        assert_eq!(out, if trimmed == 0 { 2 } else { 1 });
        drop(cache);
        drop(boxes);
        ledger.assert_closed();
    });
}

/// A handle is cloned from one that another thread's drop would otherwise make the last.
#[test]
fn loom2_clone_against_drop() {
    loom::model(|| {
        let (cache, ledger) = cache();
        let other = {
            let cache = cache.clone();
            thread::spawn(move || {
                let again = cache.clone();
                drop((cache, again));
            })
        };
        drop(cache);
        other.join().expect("joins");
        ledger.assert_closed();
    });
}
