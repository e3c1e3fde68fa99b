//! loom models: the counters under every interleaving of two threads.

use drystone_core::Stats;
use loom::sync::Arc;
use loom::thread;

use super::{Counters, Event, Record};

fn read(counters: &Counters) -> Stats {
    let mut stats = Stats::default();
    counters.read(&mut stats);
    stats
}

fn count(counters: &Counters, event: Event) {
    if !counters.count_alone(event) {
        counters.count_together(event);
    }
}

/// Runs `here` on the model's own thread beside `there` on another, then reads the counts.
fn beside(
    here: impl Fn(&Counters) + Sync + Send + Copy + 'static,
    there: impl Fn(&Counters) + Sync + Send + Copy + 'static,
    check: impl Fn(Stats) + Sync + Send + 'static,
) {
    loom::model(move || {
        let counters = Arc::new(Counters::new());
        let other = thread::spawn({
            let counters = Arc::clone(&counters);
            move || there(&counters)
        });
        here(&counters);
        other.join().expect("no panic");
        check(read(&counters));
    });
}

#[test]
fn loom2_blocks_held_by_two_threads_are_counted_once_each_and_make_the_peak() {
    beside(
        |counters| count(counters, Event::Allocated(8)),
        |counters| count(counters, Event::Allocated(16)),
        |stats| {
            assert_eq!((stats.allocations, stats.allocated_bytes), (2, 24));
            assert_eq!((stats.live_bytes(), stats.peak_live_bytes), (24, 24));
        },
    );
}

#[test]
fn loom2_no_count_is_lost_when_two_threads_allocate_and_free() {
    let pair = |counters: &Counters| {
        count(counters, Event::Allocated(8));
        count(counters, Event::Deallocated(8));
    };
    beside(pair, pair, |stats| {
        assert_eq!((stats.allocations, stats.deallocations), (2, 2));
        assert_eq!((stats.allocated_bytes, stats.deallocated_bytes), (16, 16));
        assert!((8..=16).contains(&stats.peak_live_bytes), "{stats:?}");
    });
}

#[test]
fn loom2_refusals_and_resizes_are_counted_by_both_kinds_of_thread() {
    let mixed = |counters: &Counters| {
        count(counters, Event::Failed);
        count(counters, Event::Grown(3));
    };
    beside(mixed, mixed, |stats| {
        assert_eq!((stats.failures, stats.reallocations), (2, 2));
        assert_eq!((stats.live_bytes(), stats.peak_live_bytes), (6, 6));
    });
}

#[test]
fn loom2_a_block_that_changes_threads_leaves_an_exact_peak() {
    loom::model(|| {
        let counters = Arc::new(Counters::new());
        count(&counters, Event::Allocated(8));
        let other = thread::spawn({
            let counters = Arc::clone(&counters);
            move || {
                count(&counters, Event::Deallocated(8));
                count(&counters, Event::Allocated(5));
            }
        });
        other.join().expect("no panic");
        assert_eq!(read(&counters).peak_live_bytes, 8);
        count(&counters, Event::Allocated(4));
        let stats = read(&counters);
        assert_eq!((stats.live_bytes(), stats.peak_live_bytes), (9, 9));
    });
}

#[test]
fn loom2_a_thread_that_comes_back_after_another_counts_with_it() {
    beside(
        |counters| {
            count(counters, Event::Allocated(1));
            count(counters, Event::Allocated(2));
        },
        |counters| count(counters, Event::Shrunk(0)),
        |stats| {
            assert_eq!((stats.allocations, stats.reallocations), (2, 1));
            assert_eq!((stats.live_bytes(), stats.peak_live_bytes), (3, 3));
        },
    );
}

/// Counts a block of `here` bytes beside two other threads, which have 2 and 4, and one of `before` earlier, if
/// any; then reads the counts.
fn of_three(before: Option<usize>, here: usize, check: impl Fn(Stats) + Sync + Send + 'static) {
    loom::model(move || {
        let counters = Arc::new(Counters::new());
        if let Some(bytes) = before {
            count(&counters, Event::Allocated(bytes));
        }
        let others = [2, 4].map(|bytes| {
            let counters = Arc::clone(&counters);
            thread::spawn(move || count(&counters, Event::Allocated(bytes)))
        });
        count(&counters, Event::Allocated(here));
        for other in others {
            other.join().expect("no panic");
        }
        check(read(&counters));
    });
}

#[test]
fn loom3_no_count_of_three_threads_is_lost() {
    of_three(None, 1, |stats| {
        assert_eq!((stats.allocations, stats.allocated_bytes), (3, 7));
        assert_eq!(stats.peak_live_bytes, 7);
    });
}

#[test]
fn loom3_threads_that_find_every_shard_taken_lose_no_count() {
    // This thread is the last of three to share: there are two shards.
    of_three(Some(1), 8, |stats| {
        assert_eq!((stats.allocations, stats.allocated_bytes), (4, 15));
        assert_eq!(stats.peak_live_bytes, 15);
    });
}
