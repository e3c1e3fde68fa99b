//! `Recorder` around and inside each other wrapper: the trace has the operations, and the other still acts.
#![cfg(all(feature = "trace", not(miri)))] // Writes files.

#[path = "../../drystone-wrap/tests/common/mod.rs"]
mod common;

use std::num::NonZeroU16;
use std::sync::{Mutex, PoisonError};

use common::content::{Record, SECRET};
use common::{Block, Blocks, PAGE, Pages, Slots, Tally};
use drystone_core::{Advice, AllocError, Allocator, CACHE_LINE, Late, Misuse, OverPages, Owns};
use drystone_trace::{Op, Recorder, Trace, finish_recording, record_to};
use drystone_wrap::{
    Budget, CacheJitter, Canary, FailAfter, Faulty, GuardPages, HugePageAdvised, Locked, NumaLocal,
    On, PoisonOnFree, Quarantine, Segregate, SpinLock, Statistics, Tagged, Watermark, WithFallback,
};

/// Slots of the inner allocator, and their size: pages enough for a guard at each side.
const SLOTS: usize = 8;
const WIDE: usize = 2048;

fn slots(count: usize) -> Slots {
    Slots::sized(count as u32, WIDE)
}

/// What a recording has: operation, object and size of each record.
type Rows = Vec<(Op, u32, u64)>;

/// What [`use_once`] does, as a recorder hears it that is asked itself.
const USED_ONCE: [(Op, u32, u64); 3] = [
    (Op::Allocate, 0, 24),
    (Op::Reallocate, 0, 40),
    (Op::Free, 0, 40),
];

fn use_once(stack: &impl Allocator) {
    let block = stack.take(24, 8).expect("room");
    block.fill(3);
    let block = stack.grow_to(block, 40).expect("room");
    block.check(3, 24);
    stack.give(block);
}

/// Records what `work` does. There is one recording in a process, so one test at a time records.
fn recorded(name: &str, work: impl FnOnce()) -> Rows {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("drystone-pair-{name}-{}.dst", std::process::id());
    let path = std::env::temp_dir().join(name);
    record_to(&path).expect("a new file");
    work();
    finish_recording().expect("a whole file");
    let trace = Trace::read(&path).expect("a trace");
    std::fs::remove_file(&path).expect("it is there");
    assert!(trace.recording().complete);
    assert_eq!(trace.recording().unmatched, 0);
    let rows = trace.records().iter();
    rows.map(|row| (row.op, row.object, row.size)).collect()
}

/// Every block that the recording knows was freed.
fn assert_balanced(rows: &Rows) {
    let allocations = rows.iter().filter(|row| row.0.allocates()).count();
    let frees = rows.iter().filter(|row| row.0 == Op::Free).count();
    assert_eq!(allocations, frees, "{rows:?}");
}

/// `recorder_around_and_inside!(name: |inner| wrapper, |stack, wrapper| what shows that it acts;)`: two
/// tests for each, whose `stack` is asked, and has `wrapper` in it.
macro_rules! recorder_around_and_inside {
    ($($name:ident: |$inner:ident| $make:expr, |$stack:ident, $wrapper:ident| $acts:block)+) => { $(
        mod $name {
            use super::*;

            #[test]
            fn inside_a_recorder() {
                let rows = recorded(concat!(stringify!($name), "-inside"), || {
                    let $inner = slots(SLOTS);
                    let recorder = Recorder::new($make);
                    use_once(&recorder);
                    let ($stack, $wrapper) = (&recorder, recorder.inner());
                    $acts
                });
                assert_eq!(rows[..3], USED_ONCE);
                assert_balanced(&rows);
            }

            #[test]
            fn around_a_recorder() {
                let rows = recorded(concat!(stringify!($name), "-around"), || {
                    let $inner = Recorder::new(slots(SLOTS));
                    let wrapper = $make;
                    use_once(&wrapper);
                    let ($stack, $wrapper) = (&wrapper, &wrapper);
                    $acts
                });
                // What a wrapper adds to a block, or moves, is heard too.
                assert!(rows[0].0 == Op::Allocate && rows[0].2 >= 24, "{rows:?}");
                assert!(rows[1].0.allocates() || rows[1].0 == Op::Reallocate, "{rows:?}");
                assert!(rows[1].2 >= 40, "{rows:?}");
                assert_balanced(&rows);
            }
        }
    )+ };
}

recorder_around_and_inside! {
    statistics: |inner| Statistics::new(inner), |stack, wrapper| {
        let block = stack.take(8, 8).expect("room");
        let stats = wrapper.stats();
        assert_eq!((stats.allocations, stats.reallocations, stats.live_bytes()), (2, 1, 8));
        stack.give(block);
        assert_eq!(wrapper.stats().live_blocks(), 0);
    }

    faulty: |inner| Faulty::new(inner, FailAfter::new(2)), |stack, wrapper| {
        assert_eq!(wrapper.policy().remaining(), 0);
        assert_eq!(stack.take(8, 8), Err(AllocError));
    }

    fallback: |inner| WithFallback::new(inner, slots(1)), |stack, wrapper| {
        let blocks = [(); SLOTS + 1].map(|()| stack.take(8, 8).expect("one in the other"));
        assert_eq!(wrapper.secondary().live(), 1);
        assert!(wrapper.secondary().owns(blocks[SLOTS].ptr));
        blocks.into_iter().for_each(|block| stack.give(block));
        assert_eq!(wrapper.secondary().live(), 0);
    }

    segregate: |inner| Segregate::new(inner, slots(1), 64), |stack, wrapper| {
        let large = stack.take(65, 8).expect("room");
        assert!(wrapper.large().owns(large.ptr));
        let small = stack.shrink_to(large, 64, 8).expect("room");
        assert!(wrapper.small().owns(small.ptr));
        assert_eq!(wrapper.large().live(), 0);
        stack.give(small);
    }

    locked: |inner| Locked::<_, SpinLock>::new(inner), |stack, wrapper| {
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let block = stack.take(8, 8).expect("a slot for each");
                        stack.give(block);
                    }
                });
            }
        });
        assert!(wrapper.with(|inner| inner.take(8, 8).map(|block| inner.give(block)).is_ok()));
        // No slot is lost, and none is there twice.
        let all = [(); SLOTS].map(|()| stack.take(8, 8).expect("none is lost"));
        assert_eq!(stack.take(8, 8), Err(AllocError));
        all.into_iter().for_each(|block| stack.give(block));
    }

    budget: |inner| Budget::new(inner, 64), |stack, wrapper| {
        let block = stack.take(60, 1).expect("within the budget");
        assert_eq!(wrapper.used_bytes(), 60);
        assert_eq!(stack.take(5, 1), Err(AllocError));
        stack.give(block);
        assert_eq!(wrapper.used_bytes(), 0);
    }

    // It counts slots: one is a quarter of the capacity.
    watermark: |inner| Watermark::with_capacity(inner, Tally::default(), 4 * WIDE, 30, 60), |stack, wrapper| {
        assert_eq!(wrapper.handler().heard(), [0, 0, 0]);
        let blocks = [1, 2, 3].map(|slots| {
            let block = stack.take(8, 8).expect("room");
            let edges = [u32::from(slots >= 2), u32::from(slots >= 3), 0];
            assert_eq!(wrapper.handler().heard(), edges);
            block
        });
        blocks.into_iter().for_each(|block| stack.give(block));
        assert_eq!(wrapper.used_bytes(), 0);
    }

    tagged: |inner| Tagged::new(inner, "recorded"), |stack, wrapper| {
        let block = stack.take(8, 8).expect("room");
        assert_eq!(wrapper.stats().live_bytes(), 8);
        stack.give(block);
        assert_eq!(wrapper.stats().live_bytes(), 0);
    }

    jitter: |inner| CacheJitter::with_positions(inner, 4, NonZeroU16::new(3).expect("three")), |stack, _wrapper| {
        let blocks = [(); 6].map(|()| stack.take(8, 8).expect("room"));
        let mut places = blocks.map(|block| block.ptr.addr().get() % WIDE / CACHE_LINE);
        places.sort_unstable();
        assert!(places.windows(2).any(|pair| pair[0] != pair[1]), "{places:?}");
        blocks.into_iter().for_each(|block| stack.give(block));
    }

    poison: |inner| PoisonOnFree::with_pattern(inner, 0x11), |stack, _wrapper| {
        assert_eq!(left_of_a_secret(stack), [0x11; 24]);
    }

    canary: |inner| Canary::<_, On, _>::with_policy(inner, Record::default()), |stack, wrapper| {
        let block = stack.take(24, 8).expect("room");
        change(block, 24);
        stack.give(block);
        assert_eq!(wrapper.policy().take(), [Misuse::Overrun]);
    }

    quarantine: |inner| Quarantine::<_, 4, On, _>::with_policy(inner, usize::MAX, Record::default()),
        |stack, wrapper| {
            let block = stack.take(24, 8).expect("room");
            stack.give(block);
            change(block, 23);
            wrapper.flush();
            assert_eq!(wrapper.policy().take(), [Misuse::WriteAfterFree]);
        }

    guard: |inner| GuardPages::new(inner), |stack, wrapper| {
        let block = stack.take(8, 8).expect("room");
        assert_guarded(wrapper.pages(), block);
        stack.give(block);
        assert_eq!(wrapper.pages().inaccessible(), 0);
    }

    numa: |inner| NumaLocal::new(inner, 3), |_stack, wrapper| {
        assert_eq!(wrapper.last_refusal(), None);
        assert_eq!(wrapper.pages().bound_to(), Some(3));
    }

    huge: |inner| HugePageAdvised::new(inner), |_stack, wrapper| {
        assert_eq!(wrapper.pages().advised(), Some(Advice::HugePages));
    }

    late: |inner| {
        let late = Late::new();
        assert_eq!(late.take(8, 8), Err(AllocError));
        late.set(inner).map_err(drop).expect("the first");
        late
    }, |stack, wrapper| {
        let block = stack.take(8, 8).expect("room");
        let bound = wrapper.get().expect("it is there");
        assert!(bound.take(WIDE + 1, 8).is_err());
        stack.give(block);
    }
}

#[cfg(feature = "zeroize")]
recorder_around_and_inside! {
    zeroize: |inner| drystone_wrap::ZeroizeOnFree::new(inner), |stack, _wrapper| {
        assert_eq!(left_of_a_secret(stack), [0; 24]);
    }
}

/// What a freed block of secrets has in its bytes. The slot is still there.
fn left_of_a_secret(stack: &impl Allocator) -> [u8; 24] {
    let block = stack.take(24, 8).expect("room");
    // SAFETY: the block is live and so long.
    unsafe { block.ptr.write_bytes(SECRET, 24) };
    stack.give(block);
    // SAFETY: inside the slot, which was written.
    unsafe { block.ptr.cast().read() }
}

/// Changes a byte of a block that may be freed, or one behind it: the slot is still there.
fn change(block: Block, at: usize) {
    // SAFETY: inside the slot.
    let byte = unsafe { block.ptr.add(at) };
    // SAFETY: the wrapper under test has written it.
    let before = unsafe { byte.read() };
    // SAFETY: the memory is there. That the byte is not the test's to write is what is to be found.
    unsafe { byte.write(before ^ 0x20) };
}

/// The block is accessible, and two pages of its slot are not.
fn assert_guarded(pages: &Pages, block: Block) {
    let start = block.ptr.addr().get();
    assert!(!pages.faults_at(start) && !pages.faults_at(start + block.len - 1));
    let slot = start / WIDE * WIDE;
    let guards = (0..WIDE / PAGE).filter(|page| pages.faults_at(slot + page * PAGE));
    assert!(guards.count() >= 2);
}
