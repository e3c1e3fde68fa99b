//! What an extendable slab does that no other layout does: grow, shrink, and serve threads.
#![cfg(feature = "std")]

mod counting;

use std::alloc::Layout;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::thread;

use drystone_core::{
    AllocError, Allocator, HeapSource, Inspect, Misuse, NoProtection, NonZeroLayout, Owns, Reset,
    SegmentSource,
};
use drystone_layout::{ExtendableSlab, SetupError};

use counting::{Block, Sent, block, counted, fill, free};

#[test]
fn grows_segment_by_segment_and_only_when_dry() {
    for capacity in [1, 2, 63, 64, 65, 200] {
        let (slab, log) = counted(capacity, usize::MAX);
        assert_eq!((slab.segment_count(), log.out()), (0, 0));
        let mut live = Vec::new();
        for segments in 1..=4 {
            live.extend(fill(&slab, capacity));
            assert_eq!((slab.segment_count(), log.out()), (segments, segments));
            slab.debug_assert_invariants();
        }
        // SAFETY: all live.
        unsafe { free(&slab, live.drain(..)) };
        slab.debug_assert_invariants();
        live.extend(fill(&slab, 4 * capacity));
        assert_eq!((slab.segment_count(), log.out()), (4, 4));
        drop(slab);
        assert_eq!(log.out(), 0);
    }
}

#[test]
fn a_layout_that_fits_no_slot_takes_no_segment() {
    let (slab, log) = counted(64, usize::MAX);
    for (size, align) in [
        (25, 8),
        (24, 16),
        (usize::MAX / 4 + 1, 8),
        (1, usize::MAX / 4 + 1),
    ] {
        let layout = NonZeroLayout::from_size_align(size, align).expect("valid");
        assert_eq!(slab.allocate(layout), Err(AllocError));
    }
    assert_eq!((log.out(), log.refused.load(Ordering::Relaxed)), (0, 0));
}

#[test]
fn a_capacity_without_a_segment_refuses_everything() {
    for capacity in [0, usize::MAX, u32::MAX as usize] {
        let (slab, log) = counted(capacity, usize::MAX);
        assert_eq!(slab.allocate(block()), Err(AllocError));
        assert_eq!((slab.segment_count(), log.out()), (0, 0));
        assert_eq!(
            (slab.segment_capacity(), slab.capacity_bytes()),
            (0, Some(0))
        );
        assert_eq!(slab.trim(), 0);
        slab.debug_assert_invariants();
    }
    let initial = |count, capacity| {
        ExtendableSlab::<Block>::with_initial_segments(count, capacity, || NoProtection)
            .map(|slab| slab.segment_count())
    };
    assert_eq!(initial(1, 0), Err(SetupError::ZeroCapacity));
    assert!(matches!(
        initial(1, usize::MAX),
        Err(SetupError::CapacityAboveLimit { .. })
    ));
    // At once: no machine's memory is used up to find it out.
    assert_eq!(initial(usize::MAX, 10), Err(SetupError::OutOfMemory));
    assert_eq!(initial(3, 10), Ok(3));
    assert_eq!(initial(0, 10), Ok(0));
}

#[test]
fn initial_segments_serve_whichever_thread_comes() {
    let slab = ExtendableSlab::<Block>::with_initial_segments(4, 8, || NoProtection).expect("fits");
    thread::scope(|scope| {
        for _ in 0..3 {
            let blocks = scope.spawn(|| fill(&slab, 8).len()).join();
            assert_eq!(blocks.expect("does not panic"), 8);
        }
    });
    fill(&slab, 8);
    assert_eq!(slab.segment_count(), 4);
}

#[test]
fn a_source_that_fails_costs_nothing_that_is_there() {
    let (slab, log) = counted(4, 2);
    let live = fill(&slab, 8);
    let digest = slab.state_digest();
    for _ in 0..3 {
        assert_eq!(slab.allocate(block()), Err(AllocError));
    }
    assert_eq!(slab.state_digest(), digest);
    assert_eq!((log.out(), log.refused.load(Ordering::Relaxed)), (2, 3));
    // SAFETY: all live.
    unsafe { free(&slab, live) };
    assert_eq!(fill(&slab, 8).len(), 8);
    assert_eq!(slab.allocate(block()), Err(AllocError));
    log.limit.store(3, Ordering::Relaxed);
    assert_eq!(fill(&slab, 4).len(), 4);
    slab.debug_assert_invariants();
}

#[test]
fn trim_gives_back_what_is_not_in_use() {
    let (slab, log) = counted(10, usize::MAX);
    let mut live = fill(&slab, 100);
    assert_eq!(slab.trim(), 0);
    // One block of the fourth segment stays, the others are all freed.
    let kept = live.remove(35);
    // SAFETY: all live.
    unsafe { free(&slab, live) };
    assert_eq!(slab.segment_count(), 10);
    assert_eq!(slab.trim(), 9 * 240);
    assert_eq!((slab.segment_count(), log.out()), (1, 1));
    assert!(slab.owns(kept));
    slab.debug_assert_invariants();
    assert_eq!(slab.trim(), 0);
    let again = fill(&slab, 99);
    assert_eq!(slab.segment_count(), 10);
    // SAFETY: all live.
    unsafe { free(&slab, again.into_iter().chain([kept])) };
    assert_eq!(slab.trim(), 10 * 240);
    assert_eq!((slab.segment_count(), log.out()), (0, 0));
    slab.debug_assert_invariants();
}

#[test]
fn an_address_given_back_is_not_owned() {
    let (slab, _log) = counted(1, usize::MAX);
    let live = fill(&slab, 50);
    assert!(live.iter().all(|&ptr| slab.owns(ptr)));
    let (kept, freed) = live.split_at(25);
    // SAFETY: all live.
    unsafe { free(&slab, freed.iter().copied()) };
    slab.trim();
    assert!(kept.iter().all(|&ptr| slab.owns(ptr)));
    assert!(!freed.iter().any(|&ptr| slab.owns(ptr)));
    assert!(!slab.owns(std::ptr::NonNull::from(&slab).cast()));
}

#[test]
fn churn_at_a_segments_edge_calls_no_source() {
    for capacity in [1, 8, 64, 100] {
        let (slab, log) = counted(capacity, usize::MAX);
        let held = fill(&slab, capacity);
        let first = fill(&slab, 1);
        // SAFETY: live.
        unsafe { free(&slab, first) };
        let before = log.given.load(Ordering::Relaxed);
        for _ in 0..if cfg!(miri) { 20 } else { 1000 } {
            let edge = fill(&slab, 1);
            // SAFETY: live.
            unsafe { free(&slab, edge) };
        }
        assert_eq!(log.given.load(Ordering::Relaxed), before);
        assert_eq!(log.returned.load(Ordering::Relaxed), 0);
        drop(held);
    }
}

#[test]
fn filling_and_emptying_again_and_again_keeps_every_segment() {
    let (slab, log) = counted(4, usize::MAX);
    for _ in 0..if cfg!(miri) { 4 } else { 50 } {
        let live = fill(&slab, 200);
        // SAFETY: all live.
        unsafe { free(&slab, live) };
        slab.debug_assert_invariants();
    }
    assert_eq!(log.given.load(Ordering::Relaxed), 50);
    assert_eq!(log.returned.load(Ordering::Relaxed), 0);
}

#[test]
fn a_load_that_fell_for_good_gives_segments_back_by_halves() {
    const SEGMENTS: usize = if cfg!(miri) { 20 } else { 100 };
    let (slab, log) = counted(4, usize::MAX);
    let live = fill(&slab, SEGMENTS * 4);
    // SAFETY: all live.
    unsafe { free(&slab, live) };
    let mut counts = vec![slab.segment_count()];
    for _ in 0..20 * SEGMENTS {
        let live = fill(&slab, 12);
        // SAFETY: all live.
        unsafe { free(&slab, live) };
        if counts.last() != Some(&slab.segment_count()) {
            counts.push(slab.segment_count());
        }
    }
    assert_eq!(counts[0], SEGMENTS);
    assert!(counts.is_sorted_by(|a, b| a > b), "{counts:?}");
    assert!(counts.len() >= 4, "by halves, not at once: {counts:?}");
    assert!(slab.segment_count() <= 6, "{counts:?}");
    assert_eq!(log.out(), slab.segment_count());
    slab.debug_assert_invariants();
}

#[test]
fn reset_frees_everything_and_keeps_the_segments() {
    let (mut slab, log) = counted(10, usize::MAX);
    let live = fill(&slab, 95);
    thread::scope(|scope| {
        let there = scope.spawn(|| fill(&slab, 20).len());
        there.join().expect("does not panic");
        // Bits on their way home and in words are forgotten too.
        let one = Sent(live[..7].to_vec());
        let there = scope.spawn(|| {
            let one = one;
            // SAFETY: all live.
            unsafe { free(&slab, one.0) };
        });
        there.join().expect("does not panic");
    });
    assert_eq!(slab.segment_count(), 12);
    slab.reset();
    slab.debug_assert_invariants();
    assert_eq!(fill(&slab, 120).len(), 120);
    assert_eq!(log.given.load(Ordering::Relaxed), 12);
    slab.debug_assert_invariants();
}

#[test]
fn blocks_freed_elsewhere_come_home_before_the_slab_grows() {
    let (slab, log) = counted(64, usize::MAX);
    for _ in 0..20 {
        let live = Sent(fill(&slab, 256));
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                let live = live;
                // SAFETY: all live.
                unsafe { free(&slab, live.0) };
            });
            there.join().expect("does not panic");
        });
        slab.debug_assert_invariants();
    }
    assert_eq!(log.given.load(Ordering::Relaxed), 4);
}

#[test]
fn over_growth_is_a_segment_for_each_thread() {
    const THREADS: usize = 8;
    const EACH: usize = if cfg!(miri) { 30 } else { 1000 };
    let (slab, log) = counted(16, usize::MAX);
    let start = std::sync::Barrier::new(THREADS);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    Sent(fill(&slab, EACH))
                })
            })
            .collect();
        let live: Vec<Sent> = workers
            .into_iter()
            .map(|w| w.join().expect("ends"))
            .collect();
        let mut all: Vec<_> = live.iter().flat_map(|sent| &sent.0).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), THREADS * EACH);
    });
    let least = (THREADS * EACH).div_ceil(16);
    assert!(
        (least..=least + THREADS).contains(&log.out()),
        "{} segments for {least}",
        log.out()
    );
}

#[test]
fn a_slot_is_as_large_as_its_type() {
    assert_eq!(ExtendableSlab::<u8>::STRIDE, 1);
    assert_eq!(ExtendableSlab::<[u8; 3]>::STRIDE, 3);
    assert_eq!(ExtendableSlab::<u128>::STRIDE, 16);
    assert_eq!(ExtendableSlab::<[u8; 64]>::SLOT_ALIGN, 8);
    let slab = ExtendableSlab::<u8>::new(100);
    let layout = NonZeroLayout::for_type::<u8>().expect("one byte");
    let mut all: Vec<_> = (0..1000)
        .map(|_| slab.allocate(layout).expect("memory").cast::<u8>())
        .collect();
    assert_eq!(slab.segment_count(), 10);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1000);
}

#[test]
fn large_alignments_are_honoured() {
    #[repr(align(4096))]
    struct Page(#[expect(dead_code, reason = "gives the type its size")] [u8; 5000]);
    let slab = ExtendableSlab::<Page>::new(3);
    let layout = NonZeroLayout::try_from(Layout::new::<Page>()).expect("not zero-sized");
    let live: Vec<_> = (0..10)
        .map(|_| slab.allocate(layout).expect("memory").cast::<u8>())
        .collect();
    assert!(live.iter().all(|ptr| ptr.addr().get() % 4096 == 0));
    assert_eq!(slab.segment_count(), 4);
}

#[test]
fn validate_tells_what_is_wrong_with_a_pointer() {
    let slab = ExtendableSlab::<Block>::new(100);
    let live = fill(&slab, 3);
    let inside = live[0].map_addr(|addr| addr.checked_add(1).expect("no overflow"));
    let local = 0u8;
    assert!(slab.validate(live[0]).is_ok());
    assert_eq!(slab.validate(inside), Err(Misuse::InteriorPointer));
    assert_eq!(slab.validate((&local).into()), Err(Misuse::ForeignPointer));
    let never = live[0].map_addr(|addr| addr.checked_add(24 * 90).expect("no overflow"));
    assert_eq!(slab.validate(never), Err(Misuse::NeverAllocated));
    // SAFETY: live.
    unsafe { free(&slab, [live[1]]) };
    assert_eq!(slab.validate(live[1]), Err(Misuse::DoubleFree));
}

#[test]
fn the_slab_may_move_while_blocks_are_live() {
    let slab = ExtendableSlab::<Block>::new(4);
    let live = fill(&slab, 10);
    let slab = Box::new(slab);
    let more = fill(&*slab, 10);
    // SAFETY: all live; the slab's blocks survive a move.
    unsafe { free(&*slab, live.into_iter().chain(more)) };
    slab.debug_assert_invariants();
}

/// Send and Sync hold where they should and nowhere else.
mod auto_traits {
    use super::*;
    use drystone_core::{AllocatedRegion, FreeLink, FreelistProtection, SourceFrom};

    const fn send<T: Send>() {}
    const fn sync<T: Sync>() {}

    const _: () = send::<ExtendableSlab<Block>>();
    const _: () = sync::<ExtendableSlab<Block>>();
    // Values are the caller's affair.
    const _: () = send::<ExtendableSlab<Rc<u8>>>();
    const _: () = sync::<ExtendableSlab<Rc<u8>>>();

    /// Neither `Sync` by itself.
    struct OneThread(std::cell::Cell<u32>);
    impl FreelistProtection for OneThread {
        const TAGGED: bool = true;
        fn tag(&self, _link: FreeLink) -> u32 {
            self.0.get()
        }
    }
    const _: () = send::<ExtendableSlab<Block, OneThread>>();

    macro_rules! lacks {
        ($name:ident, $promise:ident, $type:ty) => {
            #[test]
            fn $name() {
                trait Other {
                    const HAS: bool = false;
                }
                impl<T: ?Sized> Other for T {}
                struct Probe<T: ?Sized>(std::marker::PhantomData<T>);
                #[allow(dead_code, reason = "chosen only where the promise is kept")]
                impl<T: ?Sized + $promise> Probe<T> {
                    const HAS: bool = true;
                }
                assert!(<Probe<u8>>::HAS && !<Probe<$type>>::HAS);
            }
        };
    }

    lacks!(a_protection_for_one_thread, Sync, ExtendableSlab<Block, OneThread>);
    lacks!(a_source_of_one_thread_is_not_sent, Send,
        ExtendableSlab<Block, NoProtection, SourceFrom<Rc<dyn Allocator>>>);
    lacks!(a_source_of_one_thread_is_not_shared, Sync,
        ExtendableSlab<Block, NoProtection, SourceFrom<Rc<dyn Allocator>>>);

    /// A source that is `Sync`, of segments that stay on their thread.
    struct Bound;
    // SAFETY: the segments are the heap's.
    unsafe impl SegmentSource for Bound {
        type Segment = AllocatedRegion<Rc<drystone_backing::System>>;
        fn segment(&self, layout: NonZeroLayout) -> Result<Self::Segment, AllocError> {
            AllocatedRegion::new(Rc::new(drystone_backing::System), layout)
        }
    }
    lacks!(segments_that_stay_are_not_sent, Send, ExtendableSlab<Block, NoProtection, Bound>);
    lacks!(segments_that_stay_are_not_shared, Sync, ExtendableSlab<Block, NoProtection, Bound>);

    const _: () = send::<ExtendableSlab<Block, NoProtection, HeapSource>>();
}
