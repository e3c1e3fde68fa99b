//! What several threads do to one wrapper at the same time. Miri runs this under many schedules.

mod common;

use std::sync::Barrier;

use common::{Blocks, SLOT, Slots, layout};
use drystone_core::{AllocError, AllocFaultPolicy, Owns, Stats};
use drystone_wrap::{FailAfter, FailEveryNth, Locked, RawLock, SpinLock, Statistics};

const THREADS: usize = 4;

/// Threads that allocate, fill, resize, check and free. `Slots` has no protection of its own: a
/// slot given out twice shows in the bytes, and Miri sees the race.
fn hammer<L: RawLock + Sync>(locked: &Locked<Slots, L>) {
    let rounds = if cfg!(miri) { 12 } else { 20_000 };
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for thread in 0..THREADS as u8 {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                for round in 0..rounds {
                    let seed = thread.wrapping_mul(61).wrapping_add(round as u8);
                    let Ok(block) = locked.take(8, 8) else {
                        continue;
                    };
                    block.fill(seed);
                    let block = locked.grow_to(block, SLOT).expect("in place");
                    block.check(seed, 8);
                    assert_eq!(locked.usable(block), Some(SLOT));
                    assert!(locked.owns(block.ptr));
                    locked.give(block);
                }
            });
        }
    });
    assert_eq!(locked.with(Slots::live), 0);
}

#[test]
fn threads_take_turns_with_the_spin_lock() {
    hammer(&Locked::new(Slots::new(3)));
    hammer(&Locked::with_lock(Slots::new(2), SpinLock::new()));
}

#[cfg(feature = "parking_lot")]
#[cfg_attr(
    miri,
    ignore = "parking_lot 0.12 makes pointers from integers while it waits: cargo test --all-features"
)]
#[test]
fn threads_take_turns_with_parking_lot() {
    use drystone_wrap::ParkingLotLock;
    hammer(&Locked::with_lock(Slots::new(3), ParkingLotLock::new()));
    assert_eq!(
        format!("{:?}", ParkingLotLock::default()),
        "ParkingLotLock { locked: false }"
    );
}

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

/// So many threads hold `each` blocks at once, and give them back.
fn held_at_once(threads: usize, each: usize) {
    let counted = Statistics::new(Locked::new(Slots::new(64)));
    let all_hold = Barrier::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let blocks: Vec<_> = (0..each)
                    .map(|_| counted.take(10, 1).expect("room"))
                    .collect();
                all_hold.wait();
                for block in blocks {
                    counted.give(block);
                }
            });
        }
    });
    let total = (threads * each) as u64;
    let peak = 10 * total;
    assert_eq!(
        figures(&counted.stats()),
        [total, total, 0, 0, peak, peak, peak]
    );
}

#[test]
fn blocks_held_by_all_threads_at_once_make_the_exact_peak() {
    held_at_once(THREADS, if cfg!(miri) { 3 } else { 16 });
}

/// Twelve: some have no counts of their own.
#[test]
fn more_threads_than_shards_count_exactly() {
    held_at_once(12, if cfg!(miri) { 1 } else { 5 });
}

#[test]
fn no_count_is_lost_when_threads_do_all_kinds_of_requests() {
    let rounds: u64 = if cfg!(miri) { 8 } else { 20_000 };
    let counted = Statistics::new(Locked::new(Slots::new(THREADS as u32)));
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..rounds {
                    let block = counted.take(8, 1).expect("a slot for each thread");
                    let block = counted.grow_to(block, 24).expect("in place");
                    assert_eq!(counted.grow_to(block, SLOT + 1), Err(AllocError));
                    let block = counted.shrink_to(block, 4, 1).expect("in place");
                    counted.give(block);
                }
            });
        }
    });
    let n = rounds * THREADS as u64;
    let stats = counted.stats();
    assert_eq!(figures(&stats)[..6], [n, n, 2 * n, n, 24 * n, 24 * n]);
    assert!((24..=24 * THREADS as u64).contains(&stats.peak_live_bytes));
}

#[test]
fn threads_that_live_one_after_another_count_exactly() {
    let counted = Statistics::new(Locked::new(Slots::new(2)));
    for rounds in 1..=6 {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let block = counted.take(9, 1).expect("room");
                counted.give(block);
            });
        });
        assert_eq!(
            figures(&counted.stats()),
            [rounds, rounds, 0, 0, 9 * rounds, 9 * rounds, 9]
        );
    }
}

#[test]
fn policies_count_exactly_across_threads() {
    const THREADS: usize = 4;
    let rounds = if cfg!(miri) { 10 } else { 1000 };
    let after = FailAfter::new(rounds + 3);
    let nth = FailEveryNth::new(3);
    let (passed, failed) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let passed = (0..rounds)
                        .filter(|_| !after.should_fail(layout(8, 8)))
                        .count();
                    let failed = (0..rounds)
                        .filter(|_| nth.should_fail(layout(8, 8)))
                        .count();
                    (passed, failed)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .fold((0, 0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
    });
    assert_eq!(passed, rounds + 3);
    assert_eq!(failed, THREADS * rounds / 3);
}
