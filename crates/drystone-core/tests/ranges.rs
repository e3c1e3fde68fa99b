//! `Region`, `AllocatedRegion`, `HeapSegment` and `SourceFrom`.

mod common;

use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

use common::{OnDemand, Recording};
use drystone_core::{
    AllocError, AllocatedRegion, FixedRange, HeapSegment, HeapSource, NonZeroLayout, Region,
    SegmentSource, SourceFrom,
};

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a valid layout")
}

/// Writes and reads back every byte.
fn fill<B: FixedRange>(range: &B) {
    range
        .commit(0, range.size())
        .expect("the whole range can be used");
    // SAFETY: the range is committed and exclusive; its length is `size()`.
    unsafe { range.base().as_ptr().write_bytes(0x5C, range.size()) };
    // SAFETY: the bytes were just written and nothing else refers to them.
    let bytes = unsafe { std::slice::from_raw_parts(range.base().as_ptr(), range.size()) };
    assert!(bytes.iter().all(|&b| b == 0x5C));
}

#[test]
fn a_region_is_the_backing_it_borrows() {
    let mut backing = OnDemand::new();
    let (base, size) = (backing.base(), backing.size());
    let region = Region::borrow(&mut backing);
    assert_eq!((region.base(), region.size()), (base, size));
    assert!(region.contains(base) && region.commits_on_demand());
    assert_eq!(region.commit(0, size + 1), Err(AllocError));
    fill(&region);
    assert_eq!(backing.committed.load(Relaxed), size);
}

#[test]
fn a_region_passes_a_failed_commit_on() {
    let mut backing = OnDemand::new();
    backing.fail.store(true, Relaxed);
    assert_eq!(Region::borrow(&mut backing).commit(0, 1), Err(AllocError));
    assert_eq!(backing.committed.load(Relaxed), 0);
}

#[test]
fn a_region_of_a_ready_backing_commits_nothing() {
    let mut backing = HeapSegment::new(layout(4096, 64)).expect("the heap has 4 KiB");
    let region = Region::borrow(&mut backing);
    assert!(!region.commits_on_demand());
    assert_eq!(region.commit(4096, 0), Ok(()));
    assert_eq!(region.commit(4096, 1), Err(AllocError));
    assert_eq!(region.commit(usize::MAX, 2), Err(AllocError));
    fill(&region);
}

#[test]
fn a_region_borrows_a_region() {
    let mut backing = OnDemand::new();
    let mut outer = Region::borrow(&mut backing);
    let inner = Region::borrow(&mut outer);
    fill(&inner);
    fill(&outer);
}

#[test]
fn alignment_is_found_by_address() {
    let mut backing = HeapSegment::new(layout(8192, 1)).expect("the heap has 8 KiB");
    let region = Region::borrow(&mut backing);
    for align in [1, 2, 8, 64, 4096, 1 << 20] {
        for offset in [0, 1, 7, 4095, 8192] {
            let found = region
                .align_offset(offset, align)
                .expect("offsets are far from the limit");
            assert!(found >= offset && found - offset < align);
            assert_eq!((region.base().addr().get() + found) % align, 0);
        }
    }
    assert_eq!(region.align_offset(usize::MAX, 8), None);
}

#[test]
fn a_range_that_moves_refuses_what_it_cannot_keep() {
    let backing = OnDemand::new();
    assert_eq!(backing.align_offset(3, 1), Some(3));
    assert_eq!(backing.align_offset(3, 2), None);
}

#[test]
fn an_allocated_region_gives_its_block_back() {
    let inner = Recording::default();
    let region = AllocatedRegion::new(&inner, layout(512, 64)).expect("served");
    assert_eq!(region.size(), 512);
    assert_eq!(region.layout(), layout(512, 64));
    assert_eq!(region.base().addr().get() % 64, 0);
    assert!(region.base_align() >= 64);
    fill(&region);
    assert_eq!(inner.outstanding.get(), 1);
    drop(region);
    assert_eq!(inner.outstanding.get(), 0);
    inner.refuse.set(true);
    assert!(AllocatedRegion::new(&inner, layout(1, 1)).is_err());
}

#[test]
fn sources_give_disjoint_aligned_segments() {
    let inner = Rc::new(Recording::default());
    check_source(&SourceFrom::new(Rc::clone(&inner)));
    assert_eq!(inner.outstanding.get(), 0);
    check_source(&HeapSource);
}

fn check_source<S: SegmentSource>(source: &S) {
    let segments: Vec<_> = (0..4)
        .map(|_| source.segment(layout(300, 128)).expect("served"))
        .collect();
    for (index, segment) in segments.iter().enumerate() {
        assert!(segment.size() >= 300);
        assert_eq!(segment.base().addr().get() % 128, 0);
        fill(segment);
        for other in &segments[index + 1..] {
            assert!(!segment.contains(other.base()) && !other.contains(segment.base()));
        }
    }
}

#[test]
fn heap_segments_can_start_zeroed() {
    let segment = HeapSegment::new_zeroed(layout(1000, 8)).expect("served");
    // SAFETY: the segment is initialised by the zeroed constructor and exclusive.
    let bytes = unsafe { std::slice::from_raw_parts(segment.base().as_ptr(), segment.size()) };
    assert!(bytes.iter().all(|&b| b == 0));
}
