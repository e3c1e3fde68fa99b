//! Every allocation below a layout or a wrapper, and every call to the operating system, fails
//! once, one after another: errors come back, nothing is lost, and it works again afterwards.

use std::ptr::NonNull;

use drystone_backing::fault_os::FaultOs;
use drystone_backing::{HeapBacked, MmapBacked};
use drystone_core::{
    AllocError, AllocatedRegion, Allocator, Inspect, NonZeroLayout, SegmentSource, SourceFrom,
    StableAddress,
};
use drystone_layout::{BumpArena, SizeClassed, Slab};
use drystone_testkit::FirstFit;
use drystone_testkit::faulting::{Faulting, fail_each, unchanged_by_failure};
use drystone_testkit::oracle::{Oracle, PanicOnMisuse};
use drystone_wrap::{Faulty, Locked, NeverFail, Statistics, WithFallback};

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

fn first_fit() -> FirstFit {
    FirstFit::new(64 << 10)
}

/// Allocates, grows, shrinks and frees over `allocator`, watched. Whatever fails, every block is
/// freed; the first error is the answer.
fn use_all_methods<A: Allocator>(allocator: &A) -> Result<(), AllocError> {
    let watched = Oracle::new(allocator, PanicOnMisuse);
    let mut live = Vec::new();
    let mut outcome = Ok(());
    for (seed, size) in [8, 24, 48, 64].into_iter().enumerate() {
        let block = match seed % 2 {
            0 => watched.allocate(layout(size)),
            _ => watched.allocate_zeroed(layout(size)),
        };
        match block {
            Ok(block) => live.push((block, layout(size))),
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    for (index, (block, old)) in live.iter_mut().enumerate() {
        // SAFETY: the block is live; only its stamp is written to it.
        unsafe { watched.stamp(block.cast(), index) };
        let ptr = block.cast();
        let new = layout([64, 72, 16, 8][index]);
        let resized = if new.size() < old.size() {
            // SAFETY: the block is live with this layout, and `new` is smaller.
            unsafe { watched.shrink(ptr, *old, new) }
        } else if index == 0 {
            // SAFETY: the block is live with this layout, and `new` is no smaller.
            unsafe { watched.grow_zeroed(ptr, *old, new) }
        } else {
            // SAFETY: as above.
            unsafe { watched.grow(ptr, *old, new) }
        };
        match resized {
            Ok(moved) => (*block, *old) = (moved, new),
            // The oracle has seen that the bytes are the same.
            Err(error) => outcome = outcome.and(Err(error)),
        }
    }
    watched.check_stamps();
    for (block, layout) in live {
        free(&watched, block, layout);
    }
    assert_eq!(watched.live_blocks(), 0);
    outcome
}

fn free<A: Allocator>(allocator: &A, block: NonNull<[u8]>, layout: NonZeroLayout) {
    // SAFETY: the callers pass a live block with its layout, and do not use it again.
    unsafe { allocator.deallocate(block.cast(), layout) };
}

/// Calls of the inner allocator that `use_all_methods` makes: four blocks, four changes.
const CALLS: usize = 8;

#[test]
fn wrappers_that_pass_a_failure_on() {
    // Each call fails once alone, and once with all that follow.
    let all_reached = |hit| assert_eq!(hit, CALLS * 2);
    all_reached(fail_each(first_fit, |inner| {
        use_all_methods(&Statistics::new(Locked::new(Faulty::new(inner, NeverFail))))
    }));
    // Miri has seen every part in the stack above.
    if cfg!(miri) {
        return;
    }
    all_reached(fail_each(first_fit, use_all_methods));
    all_reached(fail_each(first_fit, |inner| {
        use_all_methods(&Locked::new(inner))
    }));
    all_reached(fail_each(first_fit, |inner| {
        use_all_methods(&Statistics::new(inner))
    }));
    all_reached(fail_each(first_fit, |inner| {
        use_all_methods(&Faulty::new(inner, NeverFail))
    }));
}

#[test]
fn failed_calls_are_counted_as_failures_and_nothing_else() {
    fail_each(first_fit, |inner| {
        let counted = Statistics::new(inner);
        let outcome = use_all_methods(&counted);
        let stats = counted.stats();
        assert_eq!(stats.failures, inner.refused() as u64);
        assert_eq!((stats.live_blocks(), stats.live_bytes()), (0, 0));
        outcome
    });
}

#[test]
fn a_fallback_serves_when_its_primary_fails() {
    let hit = fail_each(first_fit, |primary| {
        // Two allocators, of which the first fails: the second serves every request.
        let both = WithFallback::new(primary, first_fit());
        use_all_methods(&both)?;
        assert_eq!(both.secondary().live_blocks(), 0);
        Ok::<(), AllocError>(())
    });
    assert!(hit >= CALLS * 2, "{hit}");
}

#[test]
fn a_fallback_fails_when_its_secondary_does() {
    let hit = fail_each(first_fit, |secondary| {
        let range = HeapBacked::new(64).expect("memory for a test");
        let small = Slab::<[u64; 4], _>::new(2, range).expect("two slots");
        use_all_methods(&WithFallback::new(small, secondary))
    });
    assert!(hit >= 4, "{hit}");
}

/// A layout over a range taken from the faulting allocator.
fn over_region<'a, L>(
    inner: &'a Faulting<FirstFit>,
    make: impl FnOnce(AllocatedRegion<&'a Faulting<FirstFit>>) -> Result<L, AllocError>,
) -> Result<(), AllocError>
where
    L: Allocator + Inspect,
{
    let bytes = NonZeroLayout::from_size_align(16 << 10, 64).expect("valid");
    let laid_out = make(AllocatedRegion::new(inner, bytes)?)?;
    let block = unchanged_by_failure(&laid_out, |a| a.allocate(layout(48)))?;
    free(&laid_out, block, layout(48));
    Ok(())
}

#[test]
fn layouts_over_an_allocated_range() {
    let hits = [
        fail_each(first_fit, |inner| {
            over_region(inner, |range| Ok(BumpArena::new(range)))
        }),
        fail_each(first_fit, |inner| {
            over_region(inner, |range| Ok(Slab::<[u64; 6], _>::new(64, range)?))
        }),
        fail_each(first_fit, |inner| {
            over_region(inner, |range| {
                Ok(SizeClassed::with_class_sizes(range, [16, 64, 128], 16)?)
            })
        }),
    ];
    // One allocation each, alone and with all that follow.
    assert_eq!(hits, [2; 3]);
}

#[test]
fn a_layout_that_cannot_be_set_up_gives_its_range_back() {
    let inner = Faulting::new(first_fit());
    let range = AllocatedRegion::new(&inner, layout(64)).expect("room");
    assert!(Slab::<[u64; 4], _>::new(1000, range).is_err());
    let range = AllocatedRegion::new(&inner, layout(64)).expect("room");
    assert!(SizeClassed::with_class_sizes(range, [16, 64], 1000).is_err());
    assert_eq!(inner.live_blocks(), 0);
}

#[test]
fn segments_of_a_source() {
    let hit = fail_each(first_fit, |inner| {
        let source = SourceFrom::new(inner);
        let segments = [1, 2, 3].map(|n| source.segment(layout(n * 512)));
        segments
            .into_iter()
            .try_for_each(|segment| segment.map(drop))
    });
    assert_eq!(hit, 3 * 2);
}

/// A range of pages and each layout over it, used.
fn over_pages() -> Result<(), AllocError> {
    let bytes = 256 << 10;
    let arena = BumpArena::new(MmapBacked::new(bytes)?);
    let slab = Slab::<[u64; 12], _>::new(512, MmapBacked::new(bytes)?)?;
    let classes = SizeClassed::with_class_sizes(MmapBacked::new(bytes)?, [16, 64, 128], 256)?;
    use_all_methods(&arena)?;
    use_all_methods(&slab)?;
    use_all_methods(&Locked::new(classes))
}

#[test]
fn every_call_to_the_system_below_the_layouts() {
    let mut hit = 0;
    for script in [FaultOs::fail_nth, FaultOs::fail_from] {
        for n in 1.. {
            let faults = script(n);
            let outcome = over_pages();
            let (calls, refused) = (faults.calls(), faults.faults());
            drop(faults);
            assert!(calls < 1000, "a scenario of too many calls");
            assert!(
                refused > 0 || outcome.is_ok(),
                "failed although no call did"
            );
            assert_eq!(over_pages(), Ok(()), "fails after healing, call {n}");
            if refused == 0 {
                break;
            }
            hit += 1;
        }
    }
    // Three mappings at least, alone and with all that follow.
    assert!(hit >= 6, "{hit}");
}

/// The faulting allocator itself is what the layouts need: stable, and shared by reference.
#[test]
fn the_harness_is_stable() {
    fn stable<A: StableAddress>(_: &A) {}
    stable(&&Faulting::new(first_fit()));
}
