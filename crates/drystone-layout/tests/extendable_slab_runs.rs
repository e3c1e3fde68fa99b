//! Segments that are cut from longer ranges, where the source says that those are worth it.
#![cfg(feature = "std")]

mod counting;

use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::thread;

use drystone_core::{
    AllocError, Allocator, Deallocator, HeapSource, NoProtection, NonZeroLayout, SegmentSource,
};
use drystone_layout::ExtendableSlab;

use counting::{CountedSegment, Counting, Log, Sent};

/// Slots of eight bytes, eight to a segment, which so fills its place.
const CAPACITY: usize = 8;
const SEGMENT: usize = CAPACITY * size_of::<u64>();

/// The share of what there is that may be taken ahead.
const SHARE: usize = 8;

/// Counted ranges, of at most `longest` bytes.
struct Lengthy {
    inner: Counting,
    run_bytes: usize,
    longest: usize,
}

// SAFETY: the segments are those of the inner source.
unsafe impl SegmentSource for Lengthy {
    type Segment = CountedSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<CountedSegment, AllocError> {
        if layout.size().get() > self.longest {
            return Err(AllocError);
        }
        self.inner.segment(layout)
    }

    fn run_bytes(&self) -> usize {
        self.run_bytes
    }
}

type Slab = ExtendableSlab<u64, NoProtection, Lengthy>;

fn slab(run_bytes: usize, longest: usize) -> (Slab, Arc<Log>) {
    let inner = Counting::new(usize::MAX);
    let log = inner.0.clone();
    let source = Lengthy {
        inner,
        run_bytes,
        longest,
    };
    let slab = Slab::with_source(CAPACITY, || NoProtection, source);
    (slab, log)
}

fn layout() -> NonZeroLayout {
    NonZeroLayout::for_type::<u64>().expect("eight bytes")
}

fn fill(slab: &Slab, segments: usize) -> Vec<NonNull<u8>> {
    (0..segments * CAPACITY)
        .map(|number| {
            let block = slab.allocate(layout()).expect("memory").cast::<u64>();
            // SAFETY: the block is live and eight bytes long.
            unsafe { block.write(number as u64) };
            block.cast()
        })
        .collect()
}

/// Frees blocks, the first of which has `first` written to it.
fn free(slab: &Slab, first: usize, blocks: impl IntoIterator<Item = NonNull<u8>>) {
    for (number, block) in blocks.into_iter().enumerate() {
        // SAFETY: the block is live and holds what `fill` wrote.
        let value = unsafe { block.cast::<u64>().read() };
        assert_eq!(
            value as usize,
            first + number,
            "somebody else wrote to the block"
        );
        // SAFETY: the block is live, of this slab and this layout.
        unsafe { slab.deallocate(block, layout()) };
    }
}

#[test]
fn what_is_taken_ahead_stays_in_proportion() {
    let (slab, log) = slab(16 * SEGMENT, usize::MAX);
    let mut live = Vec::new();
    let mut taken = Vec::new();
    for segments in 1..=if cfg!(miri) { 40 } else { 300 } {
        live.extend(fill(&slab, 1));
        assert_eq!(slab.segment_count(), segments);
        slab.debug_assert_invariants();
        if log.out() > taken.len() {
            taken.push(segments);
        }
    }
    // From one request to the next lie the segments that the first one brought.
    let brought = |pair: &[usize]| (pair[0], pair[1] - pair[0]);
    for (with_it, run) in taken.windows(2).map(brought) {
        assert_eq!(
            run,
            ((with_it - 1) / SHARE).clamp(1, 16),
            "at {with_it} segments"
        );
    }
    assert!(
        taken.len() < live.len() / CAPACITY / 2 || cfg!(miri),
        "{taken:?}"
    );
    drop(slab);
    assert_eq!(log.out(), 0);
}

#[test]
fn a_run_goes_back_when_its_last_segment_does() {
    let (slab, log) = slab(4 * SEGMENT, usize::MAX);
    let mut live = fill(&slab, 40);
    // With 32 segments a run is four long, so this is of the second of such a run.
    let kept = live.remove(33 * CAPACITY);
    let rest = live.split_off(33 * CAPACITY);
    free(&slab, 0, live);
    free(&slab, 33 * CAPACITY + 1, rest);
    assert_eq!(slab.trim(), 39 * SEGMENT);
    assert_eq!((slab.segment_count(), log.out()), (1, 1));
    slab.debug_assert_invariants();
    // The three others of the run serve before the source is asked.
    let given = || log.given.load(Ordering::Relaxed);
    let before = given();
    let mut again = fill(&slab, 3);
    again.extend(fill(&slab, 1).into_iter().take(CAPACITY));
    assert_eq!((slab.segment_count(), given()), (5, before + 1));
    free(&slab, 0, again.drain(..3 * CAPACITY));
    free(&slab, 0, again);
    free(&slab, 33 * CAPACITY, [kept]);
    slab.trim();
    assert_eq!((slab.segment_count(), log.out()), (0, 0));
    slab.debug_assert_invariants();
}

#[test]
fn where_there_is_no_run_there_may_be_a_segment() {
    let (slab, log) = slab(16 * SEGMENT, 2 * SEGMENT);
    let live = fill(&slab, 40);
    // Runs of two were had from 16 segments to 23.
    assert_eq!((slab.segment_count(), log.out()), (40, 36));
    free(&slab, 0, live);
    assert_eq!(slab.trim(), 40 * SEGMENT);
    assert_eq!(log.out(), 0);
}

#[test]
fn segments_that_do_not_fill_their_places_are_taken_alone() {
    let inner = Counting::new(usize::MAX);
    let log = inner.0.clone();
    let source = Lengthy {
        inner,
        run_bytes: 1 << 20,
        longest: usize::MAX,
    };
    let slab = Slab::with_source(CAPACITY - 1, || NoProtection, source);
    for segments in 1..50 {
        for _ in 1..CAPACITY {
            assert!(slab.allocate(layout()).is_ok());
        }
        assert_eq!((slab.segment_count(), log.out()), (segments, segments));
    }
}

/// Threads fill the slab, and each frees what another one took, while all of them trim.
#[test]
fn threads_share_runs() {
    const THREADS: usize = 4;
    const ROUNDS: usize = if cfg!(miri) { 2 } else { 200 };
    let (slab, log) = slab(8 * SEGMENT, usize::MAX);
    let start = Barrier::new(THREADS);
    for _ in 0..ROUNDS {
        let all = thread::scope(|scope| {
            let work = || {
                start.wait();
                let blocks = fill(&slab, 12);
                slab.trim();
                Sent(blocks)
            };
            let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, Sent>| worker.join().expect("ends");
            workers.into_iter().map(join).collect::<Vec<_>>()
        });
        thread::scope(|scope| {
            for blocks in all {
                let slab = &slab;
                scope.spawn(move || {
                    let blocks = blocks;
                    free(slab, 0, blocks.0);
                    slab.trim();
                });
            }
        });
        slab.debug_assert_invariants();
    }
    slab.trim();
    assert_eq!((slab.segment_count(), log.out()), (0, 0));
}

/// The heap asks for runs.
#[test]
fn short_segments_of_the_heap_come_in_runs() {
    let slab = ExtendableSlab::<[u64; 8]>::new(64);
    let layout = NonZeroLayout::for_type::<[u64; 8]>().expect("64 bytes");
    let mut bases: Vec<usize> = (0..if cfg!(miri) { 100 } else { 640 } * 64)
        .map(|_| {
            slab.allocate(layout)
                .expect("memory")
                .cast::<u8>()
                .addr()
                .get()
                & !4095
        })
        .collect();
    bases.sort_unstable();
    bases.dedup();
    assert_eq!(bases.len(), slab.segment_count());
    assert!(HeapSource.run_bytes() >= 64 * 4096);
    let neighbours = bases
        .windows(2)
        .filter(|pair| pair[1] - pair[0] == 4096)
        .count();
    assert!(
        neighbours * 4 >= bases.len(),
        "{neighbours} of {}",
        bases.len()
    );
}
