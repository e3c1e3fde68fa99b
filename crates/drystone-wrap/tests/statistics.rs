//! `Statistics`: exact counts, by one thread and by several.

mod common;

use common::{Blocks, SLOT, Slots, layout};
use drystone_core::{AllocError, Allocator, Owns, Reset, Stats};
use drystone_wrap::{Locked, Off, On, Statistics};
use proptest::prelude::*;

/// The figures of `stats` that tests compare.
fn figures(stats: &Stats) -> [u64; 7] {
    [
        stats.allocations,
        stats.deallocations,
        stats.reallocations,
        stats.failures,
        stats.allocated_bytes,
        stats.deallocated_bytes,
        stats.peak_live_bytes,
    ]
}

#[test]
fn each_request_is_counted_by_its_kind_and_the_callers_sizes() {
    let counted = Statistics::new(Slots::new(2));
    assert_eq!(figures(&counted.stats()), [0; 7]);

    let first = counted.take(10, 1).expect("room");
    let second = counted.take_zeroed(20, 1).expect("room");
    assert_eq!(figures(&counted.stats()), [2, 0, 0, 0, 30, 0, 30]);

    let first = counted.grow_to(first, 15).expect("in place");
    let first = counted.grow_zeroed_to(first, 25).expect("in place");
    assert_eq!(figures(&counted.stats()), [2, 0, 2, 0, 45, 0, 45]);

    let second = counted.shrink_to(second, 5, 1).expect("in place");
    assert_eq!(figures(&counted.stats()), [2, 0, 3, 0, 45, 15, 45]);

    assert_eq!(counted.take(1, 1), Err(AllocError));
    assert_eq!(counted.take_zeroed(SLOT + 1, 1), Err(AllocError));
    assert_eq!(counted.grow_to(first, SLOT + 1), Err(AllocError));
    assert_eq!(counted.grow_zeroed_to(first, SLOT + 1), Err(AllocError));
    assert_eq!(counted.shrink_to(first, 1, 2 * SLOT), Err(AllocError));
    assert_eq!(figures(&counted.stats()), [2, 0, 3, 5, 45, 15, 45]);

    counted.give(first);
    counted.give(second);
    let stats = counted.stats();
    assert_eq!(figures(&stats), [2, 2, 3, 5, 45, 45, 45]);
    assert_eq!((stats.live_blocks(), stats.live_bytes()), (0, 0));
}

#[test]
fn capacity_and_corruption_are_the_inner_allocators() {
    let counted = Statistics::new(Slots::new(3));
    counted.inner().set_corruption(4);
    let stats = counted.stats();
    assert_eq!(stats.capacity_bytes, Some(3 * SLOT as u64));
    assert_eq!(stats.corruption_events, 4);
    assert_eq!(counted.corruption_events(), 4);
}

/// Frees a block as a table does that found out its whole length: with the largest size that fits.
fn give_by_the_whole_length(
    counted: &impl Allocator,
    block: core::ptr::NonNull<[u8]>,
    align: usize,
) {
    // SAFETY: the block is live, and has this length by its allocation.
    unsafe { counted.deallocate(block.cast(), layout(block.len(), align)) };
}

#[test]
fn a_free_by_the_whole_length_of_a_block_takes_off_what_the_allocation_added() {
    let counted = Statistics::new(Slots::new(2));
    let kept = counted.take(7, 1).expect("room");
    for rounds in 1..=3 {
        let block = counted.allocate(layout(10, 1)).expect("room");
        give_by_the_whole_length(&counted, block, 1);
        let block = counted.allocate_zeroed(layout(10, 1)).expect("room");
        // SAFETY: the block is live, and its whole length fits it.
        let block = unsafe { counted.grow(block.cast(), layout(block.len(), 1), layout(20, 1)) }
            .expect("in place");
        // SAFETY: as above.
        let block = unsafe { counted.shrink(block.cast(), layout(block.len(), 1), layout(5, 1)) }
            .expect("in place");
        give_by_the_whole_length(&counted, block, 1);
        let stats = counted.stats();
        assert_eq!((stats.live_bytes(), stats.live_blocks()), (7, 1));
        assert_eq!(stats.deallocated_bytes, rounds * (10 + 20));
        assert_eq!(stats.peak_live_bytes, 27);
    }
    counted.give(kept);

    // Switched off, blocks are as long as inside.
    let off = Statistics::with_switch(Slots::new(1), Off);
    let block = off.allocate(layout(10, 1)).expect("room");
    assert_eq!(block.len(), SLOT);
    give_by_the_whole_length(&off, block, 1);
}

#[test]
fn reset_counts_every_live_block_as_taken_back() {
    let mut counted = Statistics::new(Slots::new(4));
    for _ in 0..3 {
        counted.take(10, 1).expect("room");
    }
    counted.reset();
    assert_eq!(figures(&counted.stats()), [3, 3, 0, 0, 30, 30, 30]);
    let block = counted.take(5, 1).expect("room");
    assert_eq!(figures(&counted.stats()), [4, 3, 0, 0, 35, 30, 30]);
    counted.give(block);
}

#[test]
fn the_inner_allocator_comes_out_when_nothing_is_outstanding() {
    let counted = Statistics::new(Slots::new(1));
    let block = counted.take(8, 8).expect("room");
    let counted = counted.into_inner().expect_err("a block is out");
    assert!(counted.owns(block.ptr));
    counted.give(block);
    let slots = counted.into_inner().expect("nothing is out");
    assert_eq!(slots.live(), 0);
}

#[test]
fn a_statistics_that_is_off_is_the_inner_allocator() {
    const { assert!(size_of::<Statistics<Slots, Off>>() == size_of::<Slots>()) };
    let counted = Statistics::with_switch(Slots::new(1), Off);
    let block = counted.take(8, 8).expect("room");
    assert_eq!(counted.take(8, 8), Err(AllocError));
    let block = counted.grow_to(block, 16).expect("in place");
    assert_eq!(counted.usable(block), Some(SLOT));
    counted.give(block);
    // SAFETY: no block is live.
    assert_eq!(unsafe { counted.into_inner_unchecked() }.live(), 0);

    let counted = Statistics::with_switch(Slots::new(1), On);
    assert_eq!(counted.stats().allocations, 0);
}

#[test]
fn counters_can_be_statics() {
    static COUNTED: Statistics<Locked<()>> = Statistics::new(Locked::new(()));
    static UNCOUNTED: Statistics<Locked<()>, Off> = Statistics::with_switch(Locked::new(()), Off);
    let _: [&(dyn Sync + 'static); 2] = [&COUNTED, &UNCOUNTED];
    let text = format!("{COUNTED:?}");
    assert_eq!(text, "Statistics { inner: Locked { .. }, .. }");
}

#[test]
fn a_peak_made_by_one_thread_survives_the_arrival_of_another() {
    let counted = Statistics::new(Locked::new(Slots::new(8)));
    let held = counted.take(50, 1).expect("room");
    let gone = counted.take(60, 1).expect("room");
    counted.give(gone);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let block = counted.take(40, 1).expect("room");
            assert_eq!(counted.stats().peak_live_bytes, 110, "90 is no new peak");
            let block = counted.grow_to(block, 64).expect("in place");
            assert_eq!(counted.stats().peak_live_bytes, 114);
            counted.give(block);
        });
    });
    let more = counted.take(64, 1).expect("room");
    assert_eq!(counted.stats().peak_live_bytes, 114);
    let last = counted.take(1, 1).expect("room");
    assert_eq!(counted.stats().peak_live_bytes, 115);
    for block in [held, more, last] {
        counted.give(block);
    }
    assert_eq!(counted.stats().live_bytes(), 0);
}

#[test]
fn an_allocator_that_changes_threads_keeps_its_figures() {
    let mut counted = Statistics::new(Slots::new(8));
    let block = counted.take(30, 1).expect("room");
    for rebind in [false, true, true] {
        if rebind {
            counted.rebind();
        }
        let before = counted.stats();
        counted = std::thread::spawn(move || {
            let block = counted.take(7, 1).expect("room");
            counted.give(block);
            counted
        })
        .join()
        .expect("no panic");
        let delta = counted.stats() - before;
        assert_eq!(figures(&delta), [1, 1, 0, 0, 7, 7, 37]);
    }
    counted.give(block);
    assert_eq!(counted.stats().live_bytes(), 0);
}

/// Counts in a thread-local's destructor, when other thread-locals may be gone.
#[test]
fn counting_works_while_a_thread_ends() {
    use std::cell::Cell;
    use std::sync::Arc;

    struct Last(Arc<Statistics<Locked<Slots>>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let block = self.0.take(3, 1).expect("room");
            self.0.give(block);
        }
    }
    thread_local! {
        static LAST: Cell<Option<Last>> = const { Cell::new(None) };
    }
    let counted = Arc::new(Statistics::new(Locked::new(Slots::new(2))));
    let inside = Arc::clone(&counted);
    std::thread::spawn(move || LAST.set(Some(Last(inside))))
        .join()
        .expect("no panic");
    assert_eq!(figures(&counted.stats()), [1, 1, 0, 0, 3, 3, 3]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 6 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Against a model, with the requests of a sequence spread over two threads that take turns.
    #[test]
    fn agrees_with_a_model(
        steps in prop::collection::vec((any::<bool>(), 0..4_u8, 1..=70_usize), 0..60),
    ) {
        let counted = Statistics::new(Locked::new(Slots::new(4)));
        let mut live: Vec<common::Block> = Vec::new();
        let mut model = Stats::default();
        for (elsewhere, kind, size) in steps {
            let mut step = || {
                let picked = if live.is_empty() { None } else { Some(live.remove(size % live.len())) };
                match (kind, picked) {
                    (0, Some(block)) => {
                        counted.give(block);
                        model.deallocations += 1;
                        model.deallocated_bytes += block.layout.size().get() as u64;
                    }
                    (1, Some(block)) => {
                        let old = block.layout.size().get();
                        let outcome = if size >= old {
                            counted.grow_to(block, size)
                        } else {
                            counted.shrink_to(block, size, 1)
                        };
                        match outcome {
                            Ok(block) => {
                                model.reallocations += 1;
                                model.allocated_bytes += size.saturating_sub(old) as u64;
                                model.deallocated_bytes += old.saturating_sub(size) as u64;
                                live.push(block);
                            }
                            Err(AllocError) => {
                                model.failures += 1;
                                live.push(block);
                            }
                        }
                    }
                    (_, picked) => {
                        live.extend(picked);
                        match counted.take(size, 1) {
                            Ok(block) => {
                                model.allocations += 1;
                                model.allocated_bytes += size as u64;
                                live.push(block);
                            }
                            Err(AllocError) => model.failures += 1,
                        }
                    }
                }
            };
            if elsewhere {
                run_elsewhere(step);
            } else {
                step();
            }
            model.peak_live_bytes = model.peak_live_bytes.max(model.live_bytes());
            prop_assert_eq!(figures(&counted.stats()), figures(&model));
        }
        for block in live {
            counted.give(block);
        }
    }
}

/// Runs `step` on another thread while this one waits.
fn run_elsewhere(step: impl FnOnce()) {
    /// Blocks are plain pointers, which do not say that they may change threads.
    struct Carried<F>(F);
    // SAFETY: the thread that gave it waits until the other has ended.
    unsafe impl<F> Send for Carried<F> {}
    impl<F: FnOnce()> Carried<F> {
        fn run(self) {
            (self.0)();
        }
    }
    let carried = Carried(step);
    std::thread::scope(|scope| {
        scope.spawn(move || carried.run());
    });
}
