//! Many threads on one extendable slab: every block carries a stamp, none is lost or doubled.
#![cfg(feature = "std")]

mod counting;

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::thread;

use drystone_core::{Allocator, Checked, Deallocator, FreelistProtection, Inspect, NoProtection};
use drystone_layout::ExtendableSlab;

use counting::{Block, Counting, Sent, block, counted, fill, free};

/// Sized for a run of seconds on two processors, unoptimised.
const THREADS: usize = if cfg!(miri) { 4 } else { 64 };
const OPERATIONS: usize = if cfg!(miri) {
    40
} else if cfg!(drystone_tsan) {
    10_000
} else {
    200_000
};
const MANY_OPERATIONS: usize = if cfg!(any(miri, drystone_tsan)) {
    OPERATIONS
} else {
    1_000_000
};

/// The most blocks that a thread keeps.
const KEPT: usize = 100;

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * bound as u128) >> 64) as usize
    }
}

/// Where threads leave blocks for others.
struct Exchange {
    cells: Vec<AtomicPtr<u8>>,
}

impl Exchange {
    fn new(cells: usize) -> Self {
        Self {
            cells: (0..cells)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
        }
    }

    /// Leaves a block, or nothing, and takes what was there.
    fn trade(&self, cell: usize, block: *mut u8) -> Option<NonNull<u8>> {
        NonNull::new(self.cells[cell].swap(block, Ordering::AcqRel))
    }
}

/// Takes a block and stamps it.
fn take<A: Allocator>(slab: &A, stamp: u64) -> NonNull<u8> {
    let ptr = slab.allocate(block()).expect("the heap has memory").cast();
    let words = ptr.cast::<Block>();
    // The address belongs to the stamp, so a stamp of another block is not mistaken for it.
    let address = ptr.addr().get() as u64;
    // SAFETY: live, 24 bytes long and aligned for words.
    unsafe { words.write([stamp, address, stamp ^ address]) };
    ptr
}

/// Checks the stamp, spoils it, and frees the block.
fn give<A: Deallocator>(slab: &A, ptr: NonNull<u8>) {
    let words = ptr.cast::<Block>();
    // SAFETY: live, and stamped when it was taken.
    let [stamp, address, both] = unsafe { words.read() };
    assert_eq!(
        address,
        ptr.addr().get() as u64,
        "the stamp of another block"
    );
    assert_eq!(both, stamp ^ address, "a stamp that was overwritten");
    // SAFETY: live until it is freed below.
    unsafe { words.write([0; 3]) };
    // SAFETY: a live block that this thread has.
    unsafe { slab.deallocate(ptr, block()) };
}

/// What one thread does: takes, gives back, and hands `share` of 100 blocks to others.
fn work<A: Allocator>(
    slab: &A,
    exchange: &Exchange,
    thread: usize,
    share: usize,
    operations: usize,
) {
    let mut random = Random(thread as u64);
    let mut kept = Vec::with_capacity(KEPT);
    for operation in 0..operations {
        if kept.is_empty() || (kept.len() < KEPT && random.below(2) == 0) {
            kept.push(take(slab, (thread as u64) << 32 | operation as u64));
            continue;
        }
        let ptr = kept.swap_remove(random.below(kept.len()));
        if random.below(100) < share {
            let cell = random.below(exchange.cells.len());
            if let Some(other) = exchange.trade(cell, ptr.as_ptr()) {
                give(slab, other);
            }
        } else {
            give(slab, ptr);
        }
    }
    kept.into_iter().for_each(|ptr| give(slab, ptr));
}

fn stress<M: FreelistProtection + Send + Sync + 'static>(
    capacity: usize,
    share: usize,
    operations: usize,
    factory: impl Fn() -> M + Send + Sync + 'static,
) {
    let source = Counting::new(usize::MAX);
    let log = source.0.clone();
    let slab = ExtendableSlab::<Block, M, _>::with_source(capacity, factory, source);
    let exchange = Exchange::new(4 * THREADS);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (slab, exchange) = (&slab, &exchange);
                scope.spawn(move || work(slab, exchange, thread, share, operations))
            })
            .collect();
        for worker in workers {
            worker.join().expect("no stamp was wrong");
        }
    });
    for cell in 0..exchange.cells.len() {
        if let Some(ptr) = exchange.trade(cell, ptr::null_mut()) {
            give(&slab, ptr);
        }
    }
    slab.debug_assert_invariants();
    let report = slab.verify_all().expect("every invariant holds");
    assert_eq!(report.live_blocks, 0, "blocks were lost");
    assert_eq!(slab.corruption_events(), 0);
    slab.trim();
    assert_eq!(slab.segment_count(), 0, "segments were lost");
    assert_eq!(log.out(), 0);
}

#[test]
fn nothing_is_shared() {
    stress(64, 0, OPERATIONS, || NoProtection);
}

#[test]
fn a_tenth_is_freed_elsewhere() {
    stress(64, 10, OPERATIONS, || NoProtection);
}

#[test]
fn half_is_freed_elsewhere() {
    stress(100, 50, MANY_OPERATIONS, || NoProtection);
}

#[test]
fn everything_is_freed_elsewhere() {
    stress(1000, 100, OPERATIONS, || NoProtection);
}

#[test]
fn half_is_freed_elsewhere_and_checked() {
    stress(64, 50, OPERATIONS, || Checked);
}

/// A slot a segment: every free empties one.
#[test]
fn segments_of_one_slot() {
    stress(1, 20, OPERATIONS, || NoProtection);
}

/// Threads come and go, each leaving blocks to the next; trims in between.
#[test]
fn threads_that_come_and_go_leave_nothing_behind() {
    const ROUNDS: usize = if cfg!(miri) {
        4
    } else if cfg!(drystone_tsan) {
        100
    } else {
        1000
    };
    const AT_ONCE: usize = if cfg!(miri) { 2 } else { 8 };
    let (slab, log) = counted(32, usize::MAX);
    let mut left: Vec<Sent> = Vec::new();
    let mut most = 0;
    for round in 0..ROUNDS {
        let before = std::mem::take(&mut left);
        thread::scope(|scope| {
            let mut before = before.into_iter();
            let workers: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let inherited = before.next();
                    let slab = &slab;
                    scope.spawn(move || {
                        let mut mine = fill(slab, 50);
                        let keep = mine.split_off(40);
                        // SAFETY: all live.
                        unsafe { free(slab, mine) };
                        if let Some(inherited) = inherited {
                            // SAFETY: all live.
                            unsafe { free(slab, inherited.0) };
                        }
                        Sent(keep)
                    })
                })
                .collect();
            left.extend(workers.into_iter().map(|w| w.join().expect("ends")));
        });
        if round % 100 == 99 {
            slab.trim();
        }
        slab.debug_assert_invariants();
        most = most.max(log.out());
    }
    // 60 blocks a thread at most, in segments of 32, and one that it did not need.
    assert!(most <= AT_ONCE * 4, "{most} segments");
    for sent in left {
        // SAFETY: all live.
        unsafe { free(&slab, sent.0) };
    }
    slab.trim();
    assert_eq!(slab.segment_count(), 0);
}

/// Segments are given back and taken again while others look up their own.
#[test]
fn trims_do_not_disturb_the_others() {
    const ROUNDS: usize = if cfg!(miri) { 3 } else { 300 };
    /// So long the others wait for the one that trims, which has to get a core.
    const ROUNDS_MAX: usize = 1 << 20;
    let slab = ExtendableSlab::<Block>::new(4);
    let done = AtomicBool::new(false);
    let has_trimmed = AtomicBool::new(cfg!(miri));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|thread| {
                let (slab, has_trimmed) = (&slab, &has_trimmed);
                scope.spawn(move || {
                    for round in 0..ROUNDS_MAX {
                        if round >= ROUNDS && has_trimmed.load(Ordering::Relaxed) {
                            break;
                        }
                        let live: Vec<_> = (0..200)
                            .map(|n| {
                                take(
                                    slab,
                                    (thread as u64) << 40 | (round as u64) << 20 | n as u64,
                                )
                            })
                            .collect();
                        live.into_iter().for_each(|ptr| give(slab, ptr));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if slab.trim() > 0 {
                    has_trimmed.store(true, Ordering::Relaxed);
                }
                thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().expect("no stamp was wrong");
        }
        done.store(true, Ordering::Relaxed);
        assert!(has_trimmed.load(Ordering::Relaxed));
    });
    slab.trim();
    assert_eq!(slab.segment_count(), 0);
}
