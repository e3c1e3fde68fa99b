//! Size classes: which class serves what, exhaustion to the last block, runs, shares, and a model.

mod ranges;

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use drystone_core::{
    AllocError, Allocator, BlockInfo, Deallocator, FixedRange, HeapSegment, Inspect, Misuse,
    NonZeroLayout, Owns, Reset, SizeClass, StableAddress,
};
use drystone_layout::{SetupError, SizeClassed};
use ranges::{Inline, Lazy, Skewed, heap, layout};

const DEFAULT: usize = SizeClass::COUNT;

fn free<B: FixedRange, const N: usize>(
    blocks: &SizeClassed<B, N>,
    block: NonNull<[u8]>,
    layout: NonZeroLayout,
) {
    // SAFETY: every caller passes a live block and a layout that fits it.
    unsafe { blocks.deallocate(block.cast(), layout) };
}

fn fill(block: NonNull<[u8]>, byte: u8) {
    // SAFETY: the block is live and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(byte, block.len()) };
}

/// Allocates blocks of `layout` until there are none.
fn exhaust<B: FixedRange, const N: usize>(
    blocks: &SizeClassed<B, N>,
    layout: NonZeroLayout,
) -> Vec<NonNull<[u8]>> {
    std::iter::from_fn(|| blocks.allocate(layout).ok()).collect()
}

#[test]
fn each_layout_gets_a_block_of_its_class() {
    let blocks = SizeClassed::with_default_classes(heap(4 << 20, 4096)).expect("it fits");
    assert_eq!(blocks.class_sizes().len(), DEFAULT);
    for size in (1..=SizeClass::SIZE_MAX + 1).step_by(if cfg!(miri) { 30_011 } else { 57 }) {
        for align in [1, 8, 16, 64, 4096, 1 << 16, 1 << 17] {
            let layout = layout(size, align);
            let expected = SizeClass::from_layout(layout).map(SizeClass::block_size);
            let block = blocks.allocate(layout);
            assert_eq!(block.ok().map(|block| block.len()), expected, "{layout:?}");
            if let Ok(block) = block {
                assert!(block.cast::<u8>().addr().get().is_multiple_of(align));
                // SAFETY: the block is live.
                let usable = unsafe { blocks.usable_size(block.cast(), layout) };
                assert_eq!(usable, expected);
                free(&blocks, block, layout);
            }
        }
    }
    blocks.debug_assert_invariants();
}

#[test]
fn own_classes_serve_exactly_their_share() {
    let sizes = [8, 24, 64, 200, 4096];
    let range = heap(5 * (8 + 24 + 64 + 200 + 4096) + 64, 4096);
    let blocks = SizeClassed::with_class_sizes(range, sizes, 5).expect("it fits");
    assert_eq!(blocks.class_sizes(), &sizes);
    assert_eq!(
        blocks.capacity_bytes(),
        Some(5 * sizes.iter().sum::<usize>())
    );
    let mut all = Vec::new();
    for size in sizes {
        let one = layout(size, 8);
        let taken = exhaust(&blocks, one);
        assert_eq!(taken.len(), 5, "size {size}");
        for (n, &block) in taken.iter().enumerate() {
            assert_eq!(block.len(), size);
            fill(block, n as u8);
        }
        all.push((one, taken));
        blocks.debug_assert_invariants();
    }
    let digest = blocks.state_digest();
    assert_eq!(
        blocks.allocate(layout(8, 8)),
        Err(AllocError),
        "no spill into larger classes"
    );
    assert_eq!(blocks.allocate(layout(4097, 1)), Err(AllocError));
    assert_eq!(blocks.state_digest(), digest);
    for (one, taken) in &all {
        for (n, &block) in taken.iter().enumerate() {
            // SAFETY: the block is live and filled.
            let bytes = unsafe { block.as_ref() };
            assert!(bytes.iter().all(|&byte| byte == n as u8));
            free(&blocks, block, *one);
        }
    }
    for (one, taken) in &all {
        let again = exhaust(&blocks, *one);
        assert_eq!(again.len(), taken.len(), "everything is back");
    }
    blocks.debug_assert_invariants();
}

#[test]
fn own_classes_serve_the_alignments_that_divide_them() {
    let range = heap(1 << 16, 4096);
    let blocks = SizeClassed::with_class_sizes(range, [24, 40, 96, 256], 3).expect("it fits");
    for (size, align, expected) in [
        (1, 1, Some(24)),
        (24, 8, Some(24)),
        (24, 16, Some(96)),
        (40, 8, Some(40)),
        (90, 32, Some(96)),
        (90, 64, Some(256)),
        (256, 256, Some(256)),
        (256, 512, None),
        (257, 1, None),
    ] {
        let one = layout(size, align);
        let block = blocks.allocate(one);
        assert_eq!(block.ok().map(|block| block.len()), expected, "{one:?}");
        if let Ok(block) = block {
            assert!(block.cast::<u8>().addr().get().is_multiple_of(align));
            free(&blocks, block, one);
        }
    }
}

#[test]
fn set_up_errors_name_what_is_wrong() {
    let own = |sizes: [usize; 2], slots, bytes| {
        SizeClassed::with_class_sizes(heap(bytes, 64), sizes, slots).err()
    };
    let class = |class, size_bytes| Some(SetupError::ClassSize { class, size_bytes });
    assert_eq!(own([0, 8], 1, 64), class(0, 0));
    assert_eq!(own([8, 8], 1, 64), class(1, 8));
    assert_eq!(own([16, 12], 1, 64), class(1, 12));
    assert_eq!(own([8, 1 << 31], 1, 64), class(1, 1 << 31));
    assert_eq!(own([8, 16], 0, 64), Some(SetupError::ZeroCapacity));
    assert!(matches!(
        own([8, 16], usize::MAX / 8, 64),
        Some(SetupError::CapacityAboveLimit { .. })
    ));
    assert_eq!(own([8, 56], 1, 64), None);
    let too_small = SetupError::RangeTooSmall {
        needed_bytes: 72,
        available_bytes: 64,
    };
    assert_eq!(own([8, 64], 1, 64), Some(too_small));
    let none = SizeClassed::with_class_sizes(heap(64, 64), [], 1).err();
    assert!(matches!(
        none,
        Some(SetupError::ClassCount { classes: 0, .. })
    ));
    for (bytes, skip, fits) in [(7, 0, false), (8, 0, true), (14, 1, false), (15, 1, true)] {
        let default = SizeClassed::with_default_classes(Skewed::new(bytes, skip));
        assert_eq!(default.is_ok(), fits, "{bytes} bytes at {skip}");
        if let Ok(blocks) = default {
            assert_eq!(exhaust(&blocks, layout(8, 8)).len(), 1);
        }
    }
}

#[test]
fn a_range_is_dropped_when_the_set_up_fails() {
    let (lazy, log) = Lazy::new(64, 0, 0);
    assert!(SizeClassed::with_class_sizes(lazy, [8, 64], 1).is_err());
    assert_eq!(log.drops.load(Ordering::Relaxed), 1);
}

/// One size alone gets the whole range, whatever its size.
#[test]
fn one_size_alone_uses_the_whole_range() {
    const BYTES: usize = if cfg!(miri) { 1 << 11 } else { 1 << 17 };
    for class in SizeClass::all().step_by(if cfg!(miri) { 7 } else { 1 }) {
        let range = heap(BYTES, 1 << 16);
        let blocks = SizeClassed::with_default_classes(range).expect("it fits");
        let one = layout(class.block_size(), 1);
        let taken = exhaust(&blocks, one);
        assert_eq!(taken.len(), BYTES / class.block_size(), "{class:?}");
        for &block in &taken {
            free(&blocks, block, one);
        }
        assert_eq!(exhaust(&blocks, one).len(), taken.len(), "{class:?}");
        blocks.debug_assert_invariants();
    }
}

/// Classes in turn fill the range up to the bytes that records and one run's alignment take.
#[test]
fn a_mix_of_sizes_uses_the_whole_range() {
    const BYTES: usize = if cfg!(miri) { 1 << 14 } else { 1 << 20 };
    let sizes = [8, 24, 64, 100, 257, 700, 1500];
    let blocks = SizeClassed::with_default_classes(heap(BYTES, 4096)).expect("it fits");
    let mut used = 0;
    let mut dry = 0;
    for size in sizes.iter().cycle() {
        match blocks.allocate(layout(*size, 1)) {
            Ok(block) => {
                used += block.len();
                dry = 0;
            }
            Err(AllocError) => dry += 1,
        }
        if dry == sizes.len() {
            break;
        }
    }
    blocks.debug_assert_invariants();
    // The skipped bytes went to classes not asked for here; what remains is records.
    let others: usize = exhaust_all(&blocks).iter().map(|block| block.len()).sum();
    let left = blocks.verify_all().expect("sound").untouched_bytes;
    assert!(left < 32, "{left} bytes that no class can use");
    let records = BYTES - used - others - left;
    assert!(
        records * 50 <= BYTES,
        "{records} bytes of records in {BYTES}"
    );
}

/// Every block that is left, of any class.
fn exhaust_all<B: FixedRange>(blocks: &SizeClassed<B, DEFAULT>) -> Vec<NonNull<[u8]>> {
    SizeClass::all()
        .rev()
        .flat_map(|class| exhaust(blocks, layout(class.block_size(), 1)))
        .collect()
}

#[test]
fn blocks_stay_in_place_within_their_class_and_move_beyond() {
    let blocks = SizeClassed::with_default_classes(heap(1 << 16, 4096)).expect("it fits");
    let (a, b, c) = (layout(33, 1), layout(40, 8), layout(1000, 8));
    let block = blocks.allocate(a).expect("room");
    fill(block, 7);
    // SAFETY: the block is live with layout `a`.
    let grown = unsafe { blocks.grow(block.cast(), a, b) }.expect("in place");
    assert_eq!(grown, block);
    // SAFETY: the block is live with layout `b`.
    let moved = unsafe { blocks.grow_zeroed(grown.cast(), b, c) }.expect("room");
    assert_ne!(moved.cast::<u8>(), block.cast());
    // SAFETY: the block is live; 40 bytes were kept and the rest zeroed.
    let bytes = unsafe { moved.as_ref() };
    assert!(bytes[..40].iter().all(|&byte| byte == 7));
    assert!(bytes[40..].iter().all(|&byte| byte == 0));
    // SAFETY: the block is live with layout `c`.
    let shrunk = unsafe { blocks.shrink(moved.cast(), c, a) }.expect("room");
    assert_eq!(shrunk, block, "the block freed last");
    // SAFETY: the block is live and kept its first bytes.
    let bytes = unsafe { shrunk.as_ref() };
    assert!(bytes[..33].iter().all(|&byte| byte == 7));
    let digest = blocks.state_digest();
    // SAFETY: the block is live with layout `a`.
    let refused = unsafe { blocks.grow(shrunk.cast(), a, layout(SizeClass::SIZE_MAX + 1, 1)) };
    assert_eq!(refused, Err(AllocError));
    assert_eq!(blocks.state_digest(), digest);
}

#[test]
fn a_movable_range_serves_what_it_guarantees() {
    let mut blocks = SizeClassed::with_default_classes(Inline::<4096>::new()).expect("it fits");
    assert_eq!(blocks.allocate(layout(64, 32)), Err(AllocError));
    let block = blocks.allocate(layout(64, 16)).expect("room");
    fill(block, 1);
    free(&blocks, block, layout(64, 16));
    blocks.allocate(layout(200, 8)).expect("room");
    let mut moved = Box::new(blocks);
    moved.debug_assert_invariants();
    let block = moved.allocate(layout(64, 16)).expect("room");
    assert!(moved.owns(block.cast()));
    fill(block, 2);
    moved.reset();
    blocks = *moved;
    assert_eq!(exhaust(&blocks, layout(64, 16)).len(), 64);
    blocks.debug_assert_invariants();
}

/// Blocks are committed before they are handed out, whichever call fails.
#[test]
fn a_range_that_cannot_commit_fails_and_loses_nothing() {
    const BYTES: usize = 4096;
    let sizes = [8, 40, 64, 136];
    for fail_from in (0..12).step_by(if cfg!(miri) { 5 } else { 1 }) {
        let (default, _) = Lazy::new(BYTES, fail_from, 0);
        let (own, _) = Lazy::new(BYTES, fail_from, 0);
        commit_failures(
            SizeClassed::with_default_classes(default).expect("it fits"),
            &sizes,
        );
        commit_failures(
            SizeClassed::with_class_sizes(own, sizes, 9).expect("it fits"),
            &sizes,
        );
    }
}

fn commit_failures<const N: usize>(mut blocks: SizeClassed<Lazy, N>, sizes: &[usize]) {
    let all = |blocks: &SizeClassed<Lazy, N>| -> usize {
        sizes
            .iter()
            .map(|&size| {
                let mut count = 0;
                while let Ok(block) = blocks.allocate(layout(size, 8)) {
                    assert!(blocks.backing().is_committed(block));
                    fill(block, 1);
                    count += 1;
                }
                count
            })
            .sum()
    };
    let some = all(&blocks);
    blocks.debug_assert_invariants();
    let digest = blocks.state_digest();
    assert_eq!(blocks.allocate(layout(8, 8)), Err(AllocError));
    assert_eq!(blocks.state_digest(), digest);
    blocks.backing().fail_after(usize::MAX);
    let rest = all(&blocks);
    blocks.debug_assert_invariants();
    blocks.reset();
    assert!(some + rest > 0);
    if N == sizes.len() {
        assert_eq!(some + rest, 9 * N);
    }
    assert!(all(&blocks) >= 9 * sizes.len());
}

#[test]
fn a_reset_allocator_is_a_new_one() {
    fn check<const N: usize>(mut blocks: SizeClassed<HeapSegment, N>) {
        let fresh = blocks.state_digest();
        let first = blocks.allocate(layout(64, 8)).expect("room");
        blocks.allocate(layout(24, 8)).expect("room");
        free(
            &blocks,
            blocks.allocate(layout(64, 8)).expect("room"),
            layout(64, 8),
        );
        assert_ne!(blocks.state_digest(), fresh);
        blocks.reset();
        assert_eq!(blocks.state_digest(), fresh);
        assert_eq!(blocks.allocate(layout(64, 8)), Ok(first));
        blocks.debug_assert_invariants();
    }
    check(SizeClassed::with_default_classes(heap(4096, 64)).expect("it fits"));
    check(SizeClassed::with_class_sizes(heap(4096, 64), [24, 64], 5).expect("it fits"));
}

#[test]
fn validate_tells_every_kind_of_wrong_pointer() {
    let blocks = SizeClassed::with_default_classes(Skewed::new(4096, 8)).expect("it fits");
    let (small, wide) = (layout(24, 8), layout(100, 64));
    let a = blocks.allocate(small).expect("room").cast::<u8>();
    let b = blocks.allocate(wide).expect("room").cast::<u8>();
    let c = blocks.allocate(small).expect("room");
    free(&blocks, c, small);
    let at = |ptr: NonNull<u8>, offset: usize| ptr.map_addr(|addr| addr.saturating_add(offset));
    assert_eq!(blocks.validate(a), Ok(BlockInfo { usable_bytes: 24 }));
    assert_eq!(blocks.validate(b), Ok(BlockInfo { usable_bytes: 128 }));
    assert_eq!(blocks.validate(c.cast()), Err(Misuse::DoubleFree));
    assert_eq!(blocks.validate(at(a, 8)), Err(Misuse::InteriorPointer));
    assert_eq!(blocks.validate(at(b, 127)), Err(Misuse::InteriorPointer));
    assert_eq!(blocks.validate(at(b, 128)), Err(Misuse::NeverAllocated));
    assert_eq!(blocks.validate(at(a, 48)), Err(Misuse::NeverAllocated));
    assert_eq!(blocks.validate(at(a, 4096)), Err(Misuse::ForeignPointer));
    assert_eq!(
        blocks.validate(NonNull::dangling()),
        Err(Misuse::ForeignPointer)
    );

    let own = SizeClassed::with_class_sizes(heap(512, 64), [16, 64], 2).expect("it fits");
    let d = own.allocate(layout(10, 2)).expect("room").cast::<u8>();
    assert_eq!(own.validate(d), Ok(BlockInfo { usable_bytes: 16 }));
    assert_eq!(own.validate(at(d, 1)), Err(Misuse::InteriorPointer));
    assert_eq!(own.validate(at(d, 16)), Err(Misuse::NeverAllocated));
    assert_eq!(
        own.validate(own.backing().base()),
        Err(Misuse::NeverAllocated)
    );
}

#[test]
fn auto_traits_follow_the_range() {
    fn send<S: Send>() {}
    fn stable<S: StableAddress>() {}
    send::<SizeClassed<HeapSegment, 4>>();
    send::<SizeClassed<Inline<64>, DEFAULT>>();
    stable::<SizeClassed<HeapSegment, DEFAULT>>();
}

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Allocate { size: usize, align_log2: u32 },
        Free { nth: usize },
        Resize { nth: usize, size: usize },
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        let size = prop_oneof![4 => 1usize..200, 1 => 1usize..3000];
        prop_oneof![
            10 => (size.clone(), 0u32..7)
                .prop_map(|(size, align_log2)| Step::Allocate { size, align_log2 }),
            8 => any::<usize>().prop_map(|nth| Step::Free { nth }),
            3 => (any::<usize>(), size).prop_map(|(nth, size)| Step::Resize { nth, size }),
            1 => prop::bool::weighted(0.3).prop_map(|reset| match reset {
                true => Step::Reset,
                false => Step::Free { nth: 0 },
            }),
        ]
    }

    struct Live {
        ptr: NonNull<u8>,
        len: usize,
        layout: NonZeroLayout,
        byte: u8,
    }

    impl Live {
        /// Notes a new block, which overlaps no other, and fills it.
        fn new(
            block: NonNull<[u8]>,
            layout: NonZeroLayout,
            byte: u8,
            places: &mut BTreeMap<usize, usize>,
        ) -> Self {
            let start = block.cast::<u8>().addr().get();
            let end = start + block.len();
            assert!(start.is_multiple_of(layout.align().get()));
            let before = places.range(..end).next_back();
            assert!(before.is_none_or(|(_, &other)| other <= start), "overlap");
            places.insert(start, end);
            fill(block, byte);
            Self {
                ptr: block.cast(),
                len: block.len(),
                layout,
                byte,
            }
        }
    }

    fn run<B: FixedRange, const N: usize>(mut blocks: SizeClassed<B, N>, steps: &[Step]) {
        let serves = |layout: NonZeroLayout, sizes: &[usize; N]| {
            sizes.iter().copied().find(|size| {
                *size >= layout.size().get() && size.is_multiple_of(layout.align().get())
            })
        };
        // Start address to end address of each live block.
        let mut places = BTreeMap::new();
        let mut live: Vec<Live> = Vec::new();
        for (n, step) in steps.iter().enumerate() {
            match *step {
                Step::Allocate { size, align_log2 } => {
                    let layout = layout(size, 1 << align_log2);
                    if let Ok(block) = blocks.allocate(layout) {
                        assert_eq!(Some(block.len()), serves(layout, blocks.class_sizes()));
                        live.push(Live::new(block, layout, n as u8, &mut places));
                    }
                }
                Step::Free { nth } if !live.is_empty() => {
                    let block = live.swap_remove(nth % live.len());
                    places.remove(&block.ptr.addr().get());
                    let slice = NonNull::slice_from_raw_parts(block.ptr, block.len);
                    // SAFETY: the block is live and was filled.
                    let bytes = unsafe { slice.as_ref() };
                    let requested = &bytes[..block.layout.size().get()];
                    assert!(requested.iter().all(|&byte| byte == block.byte));
                    // Any size from the requested to the returned one fits.
                    let size = if n % 2 == 0 {
                        block.len
                    } else {
                        block.layout.size().get()
                    };
                    free(&blocks, slice, layout(size, block.layout.align().get()));
                    assert_eq!(blocks.validate(block.ptr), Err(Misuse::DoubleFree));
                }
                Step::Resize { nth, size } if !live.is_empty() => {
                    let nth = nth % live.len();
                    let (ptr, old, byte) = (live[nth].ptr, live[nth].layout, live[nth].byte);
                    let new = layout(size, old.align().get());
                    let result = if new.size() >= old.size() {
                        // SAFETY: the block is live with this layout.
                        unsafe { blocks.grow(ptr, old, new) }
                    } else {
                        // SAFETY: as above.
                        unsafe { blocks.shrink(ptr, old, new) }
                    };
                    if let Ok(block) = result {
                        let kept = old.size().min(new.size()).get();
                        // SAFETY: the block is live and kept its first bytes.
                        assert!(unsafe { block.as_ref() }[..kept].iter().all(|&b| b == byte));
                        live.swap_remove(nth);
                        places.remove(&ptr.addr().get());
                        live.push(Live::new(block, new, byte, &mut places));
                    }
                }
                Step::Reset => {
                    blocks.reset();
                    places.clear();
                    live.clear();
                }
                Step::Free { .. } | Step::Resize { .. } => {}
            }
            blocks.debug_assert_invariants();
            assert_eq!(
                blocks.verify_all().map(|report| report.live_blocks),
                Ok(live.len())
            );
            for block in &live {
                let usable_bytes = block.len;
                assert_eq!(blocks.validate(block.ptr), Ok(BlockInfo { usable_bytes }));
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 2 } else { 150 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn default_classes_agree_with_the_model(
            steps in prop::collection::vec(step(), 0..if cfg!(miri) { 30 } else { 150 }),
            skip in 0usize..64,
        ) {
            let range = Skewed::new(6000, skip);
            run(SizeClassed::with_default_classes(range).expect("it fits"), &steps);
            run(SizeClassed::with_default_classes(Lazy::new(6000, 9, 64).0).expect("it fits"), &steps);
        }

        #[test]
        fn own_classes_agree_with_the_model(
            steps in prop::collection::vec(step(), 0..if cfg!(miri) { 30 } else { 150 }),
        ) {
            let sizes = [16, 24, 96, 192, 1024];
            let range = heap(8192, 64);
            run(SizeClassed::with_class_sizes(range, sizes, 5).expect("it fits"), &steps);
        }
    }
}
