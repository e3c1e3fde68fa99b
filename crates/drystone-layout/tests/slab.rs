//! Slabs: strides, order, limits, set-up errors, moves, damaged links, and a model.

mod ranges;

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use drystone_core::{
    AllocError, Allocator, BlockInfo, Checked, Deallocator, FixedRange, FreeLink,
    FreelistProtection, HeapSegment, Inspect, Misuse, NoProtection, NonZeroLayout, Owns, Reset,
    SipHashMac, StableAddress,
};
use drystone_layout::{SetupError, Slab};
use ranges::{Inline, Lazy, Skewed, heap, layout};

/// A protection with tags: enough to notice every single flipped bit.
#[derive(Clone, Copy)]
struct XorTag(u32);

impl FreelistProtection for XorTag {
    const TAGGED: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        let next = link.next.map_or(0, |next| next.wrapping_add(1));
        self.0 ^ link.slot.wrapping_mul(0x9E37_79B9) ^ next.rotate_left(7)
    }
}

/// A protection that finds nothing.
struct Blind;

impl FreelistProtection for Blind {
    const TAGGED: bool = true;

    fn tag(&self, _link: FreeLink) -> u32 {
        0
    }

    fn verify(&self, _link: FreeLink, _tag: u32) -> bool {
        true
    }
}

fn word() -> NonZeroLayout {
    layout(8, 8)
}

fn free<T, B: FixedRange, M: FreelistProtection>(
    slab: &Slab<T, B, M>,
    block: NonNull<[u8]>,
    layout: NonZeroLayout,
) {
    // SAFETY: every caller passes a live block and its layout.
    unsafe { slab.deallocate(block.cast(), layout) };
}

fn fill(block: NonNull<[u8]>, byte: u8) {
    // SAFETY: the block is live and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(byte, block.len()) };
}

/// A type of a given size and alignment, and the checks of its stride.
macro_rules! stride_of {
    ($align:literal: $($n:literal)*) => {{
        $({
            #[repr(align($align))]
            #[allow(dead_code, reason = "only its size and alignment matter")]
            struct Sized_([u8; $n]);
            check_stride::<Sized_, NoProtection>(NoProtection);
            check_stride::<Sized_, XorTag>(XorTag(7));
            check_stride::<Sized_, Checked>(Checked);
        })*
    }};
}

fn check_stride<T, M: FreelistProtection>(protection: M) {
    let link = if M::TAGGED { 8 } else { size_of::<usize>() };
    let stride = size_of::<T>().max(link).next_multiple_of(align_of::<T>());
    let align = Slab::<T, HeapSegment, M>::SLOT_ALIGN;
    assert_eq!(Slab::<T, HeapSegment, M>::STRIDE, stride);
    assert!(align >= align_of::<T>() && stride.is_multiple_of(align));

    let bytes = Slab::<T, (), M>::bytes_for(3).expect("few");
    let slab =
        Slab::<T, _, M>::with_protection(3, heap(bytes, align), protection).expect("it fits");
    assert_eq!((slab.capacity(), slab.block_stride()), (3, stride));
    assert_eq!(slab.capacity_bytes(), Some(3 * stride));
    let whole = layout(stride, align);
    let blocks: Vec<_> = (0..3)
        .map(|_| slab.allocate(whole).expect("room"))
        .collect();
    for (n, &block) in blocks.iter().enumerate() {
        fill(block, n as u8);
        assert_eq!(block.len(), stride);
        assert!(block.cast::<u8>().addr().get().is_multiple_of(align));
        // SAFETY: the block is live.
        let usable = unsafe { slab.usable_size(block.cast(), whole) };
        assert_eq!(usable, Some(stride));
    }
    assert_eq!(slab.allocate(whole), Err(AllocError));
    for &block in &blocks {
        free(&slab, block, whole);
        slab.debug_assert_invariants();
    }
    assert_eq!(slab.allocate(layout(stride + 1, 1)), Err(AllocError));
    assert_eq!(slab.allocate(layout(1, align * 2)), Err(AllocError));
    assert_eq!(slab.verify_all().map(|report| report.free_blocks), Ok(3));
}

#[test]
fn strides_follow_size_link_and_alignment() {
    stride_of!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30
        31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60
        61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79 80);
    stride_of!(2: 1 2 3 7 8 9 10 12 14 15 16 17 30 33 62 64 65 79 80);
    stride_of!(4: 1 4 5 7 8 9 12 13 16 17 20 24 28 31 32 33 60 64 68 80);
    stride_of!(8: 1 7 8 9 16 17 24 25 40 56 64 65 72 80);
    stride_of!(16: 1 8 16 17 32 33 48 64 65 80);
    stride_of!(32: 1 31 32 33 64 65 80);
    stride_of!(64: 1 63 64 65 80);
    check_stride::<u8, NoProtection>(NoProtection);
    check_stride::<u16, NoProtection>(NoProtection);
    check_stride::<u32, NoProtection>(NoProtection);
    check_stride::<u64, NoProtection>(NoProtection);
    check_stride::<u128, NoProtection>(NoProtection);
}

#[test]
fn carved_in_address_order_then_last_freed_first() {
    let slab = Slab::<u64, _>::new(8, heap(64, 8)).expect("it fits");
    let blocks: Vec<_> = (0..8)
        .map(|_| slab.allocate(word()).expect("room"))
        .collect();
    for (n, pair) in blocks.windows(2).enumerate() {
        let distance = pair[1].cast::<u8>().addr().get() - pair[0].cast::<u8>().addr().get();
        assert_eq!(distance, 8, "{n}");
    }
    for n in [3, 0, 7] {
        free(&slab, blocks[n], word());
    }
    for n in [7, 0, 3] {
        assert_eq!(slab.allocate(word()), Ok(blocks[n]));
    }
    assert_eq!(slab.allocate(word()), Err(AllocError));
}

#[test]
fn a_failed_call_changes_nothing() {
    let slab = Slab::<[u64; 2], _>::new(2, heap(32, 8)).expect("it fits");
    let big = layout(16, 8);
    let (a, b) = (
        slab.allocate(big).expect("room"),
        slab.allocate(big).expect("room"),
    );
    fill(a, 0xAB);
    let digest = slab.state_digest();
    assert_eq!(slab.allocate(big), Err(AllocError));
    assert_eq!(slab.allocate(layout(17, 8)), Err(AllocError));
    assert_eq!(slab.allocate(layout(8, 16)), Err(AllocError));
    // SAFETY: the block is live and was allocated with `big`.
    let grown = unsafe { slab.grow(a.cast(), big, layout(24, 8)) };
    assert_eq!(grown, Err(AllocError));
    assert_eq!(slab.state_digest(), digest);
    // SAFETY: the block is live and filled.
    assert!(unsafe { a.as_ref() }.iter().all(|&byte| byte == 0xAB));
    free(&slab, b, big);
    assert_ne!(slab.state_digest(), digest);
}

#[test]
fn blocks_grow_and_shrink_in_place_within_their_slot() {
    let slab = Slab::<[u64; 4], _>::new(1, heap(32, 8)).expect("it fits");
    let (small, whole) = (layout(3, 1), layout(32, 8));
    let block = slab.allocate(small).expect("room");
    fill(block, 1);
    // SAFETY: the block is live and was allocated with `small`.
    let grown = unsafe { slab.grow_zeroed(block.cast(), small, whole) }.expect("in place");
    assert_eq!(grown, block);
    // SAFETY: the block is live, its first 3 bytes were kept and the others zeroed.
    let bytes = unsafe { grown.as_ref() };
    assert_eq!((&bytes[..3], &bytes[3..]), (&[1u8; 3][..], &[0u8; 29][..]));
    // SAFETY: the block is live with the layout `whole`.
    let shrunk = unsafe { slab.shrink(grown.cast(), whole, small) };
    assert_eq!(shrunk, Ok(block));
}

#[test]
fn capacities_at_and_beyond_the_limits() {
    let error = |capacity, bytes| Slab::<u64, _>::new(capacity, heap(bytes, 8)).err();
    assert_eq!(error(0, 64), Some(SetupError::ZeroCapacity));
    assert_eq!(error(1, 8), None);
    assert_eq!(error(8, 64), None);
    let too_small = SetupError::RangeTooSmall {
        needed_bytes: 72,
        available_bytes: 64,
    };
    assert_eq!(error(9, 64), Some(too_small));
    let limit = Slab::<u64, HeapSegment>::CAPACITY_MAX;
    assert!(limit < u32::MAX as usize);
    for capacity in [limit + 1, usize::MAX] {
        let above = SetupError::CapacityAboveLimit { capacity, limit };
        assert_eq!(error(capacity, 64), Some(above));
    }
    assert!(matches!(
        error(limit, 64),
        Some(SetupError::RangeTooSmall { .. })
    ));
    const HUGE: usize = 1 << (usize::BITS * 5 / 8);
    struct Huge(#[allow(dead_code, reason = "only its size matters")] [u8; HUGE]);
    let in_bytes = isize::MAX as usize / HUGE;
    assert_eq!(Slab::<Huge, HeapSegment>::CAPACITY_MAX, in_bytes);
    assert_eq!(AllocError::from(too_small), AllocError);
    assert!(too_small.to_string().contains("72"));
}

#[test]
fn odd_ranges_lose_only_the_bytes_before_the_first_slot() {
    for skip in 0..17_usize {
        let pad = (8 - skip % 8) % 8;
        let needed = pad + 4 * 8;
        for bytes in needed.saturating_sub(9).max(1)..needed + 9 {
            let slab = Slab::<u64, _>::new(4, Skewed::new(bytes, skip));
            if bytes < needed {
                let error = SetupError::RangeTooSmall {
                    needed_bytes: needed,
                    available_bytes: bytes,
                };
                assert_eq!(slab.err(), Some(error), "skip {skip}");
                continue;
            }
            let slab = slab.expect("it fits");
            let base = slab.backing().base().addr().get();
            for n in 0..4 {
                let block = slab.allocate(word()).expect("room");
                assert_eq!(block.cast::<u8>().addr().get(), base + pad + n * 8);
                fill(block, 0xFF);
            }
            assert_eq!(slab.allocate(word()), Err(AllocError));
        }
    }
}

#[test]
fn a_movable_range_must_guarantee_the_alignment() {
    #[repr(align(32))]
    struct Wide(#[allow(dead_code, reason = "only its alignment matters")] u8);
    let slab = Slab::<Wide, _>::new(1, Inline::<256>::new());
    let error = SetupError::AlignmentUnavailable {
        align: 32,
        base_align: 16,
    };
    assert_eq!(slab.err(), Some(error));
}

/// Moving ends the blocks of a slab over inline bytes, and nothing else.
#[test]
fn a_moved_inline_slab_serves_from_where_it_is() {
    let slab = Slab::<u64, _>::new(6, Inline::<64>::new()).expect("it fits");
    let blocks: Vec<_> = (0..4)
        .map(|_| slab.allocate(word()).expect("room"))
        .collect();
    free(&slab, blocks[1], word());
    free(&slab, blocks[2], word());
    let moved = Box::new(slab);
    moved.debug_assert_invariants();
    for _ in 0..4 {
        let block = moved.allocate(word()).expect("two freed, two never used");
        assert!(moved.owns(block.cast()));
        fill(block, 0x5A);
    }
    assert_eq!(moved.allocate(word()), Err(AllocError));
    let mut again = *moved;
    again.reset();
    for _ in 0..6 {
        fill(again.allocate(word()).expect("room"), 1);
    }
    again.debug_assert_invariants();
}

/// The range is committed before blocks are handed out, whichever call fails.
#[test]
fn a_range_that_cannot_commit_fails_and_loses_nothing() {
    const SLOTS: usize = if cfg!(miri) { 70 } else { 3000 };
    type Block = [u64; 16];
    let one = layout(128, 8);
    for fail_from in 0..6 {
        for small in [0, 128] {
            let (lazy, log) = Lazy::new(SLOTS * 128, fail_from, small);
            let slab = Slab::<Block, _>::new(SLOTS, lazy).expect("it fits");
            assert_eq!(log.commits.load(Ordering::Relaxed), 0);
            let mut blocks = Vec::new();
            while let Ok(block) = slab.allocate(one) {
                assert!(slab.backing().is_committed(block));
                fill(block, 1);
                blocks.push(block);
            }
            let digest = slab.state_digest();
            assert_eq!(slab.allocate(one), Err(AllocError));
            assert_eq!(slab.state_digest(), digest);
            if small > 0 {
                assert_eq!(blocks.len(), SLOTS, "single slots can be committed");
            }
            slab.backing().fail_after(usize::MAX);
            while let Ok(block) = slab.allocate(one) {
                assert!(slab.backing().is_committed(block));
                blocks.push(block);
            }
            assert_eq!(blocks.len(), SLOTS);
            slab.debug_assert_invariants();
            drop(slab);
            assert_eq!(log.drops.load(Ordering::Relaxed), 1);
        }
    }
}

#[test]
fn a_range_is_dropped_when_the_set_up_fails() {
    let (lazy, log) = Lazy::new(64, 0, 0);
    assert!(Slab::<u64, _>::new(9, lazy).is_err());
    assert_eq!(log.drops.load(Ordering::Relaxed), 1);
    assert_eq!(log.commits.load(Ordering::Relaxed), 0);
}

#[test]
fn a_reset_slab_is_a_new_slab() {
    let mut slab = Slab::<u64, _>::new(5, heap(40, 8)).expect("it fits");
    let fresh = slab.state_digest();
    let first = slab.allocate(word()).expect("room");
    free(&slab, slab.allocate(word()).expect("room"), word());
    assert_ne!(slab.state_digest(), fresh);
    slab.reset();
    assert_eq!(slab.state_digest(), fresh);
    assert_eq!(slab.allocate(word()), Ok(first));
    for _ in 0..4 {
        slab.allocate(word()).expect("room");
    }
    assert_eq!(slab.allocate(word()), Err(AllocError));
}

#[test]
fn validate_tells_every_kind_of_wrong_pointer() {
    let slab = Slab::<[u8; 12], _>::new(4, Skewed::new(60, 8)).expect("it fits");
    let base = slab.backing().base();
    let one = layout(12, 4);
    let a = slab.allocate(one).expect("room");
    let b = slab.allocate(one).expect("room");
    free(&slab, a, one);
    let ask = |offset: usize| slab.validate(base.map_addr(|addr| addr.saturating_add(offset)));
    assert_eq!(ask(0), Err(Misuse::DoubleFree));
    assert_eq!(ask(12), Ok(BlockInfo { usable_bytes: 12 }));
    assert_eq!(
        b.cast::<u8>(),
        base.map_addr(|addr| addr.saturating_add(12))
    );
    assert_eq!(ask(13), Err(Misuse::InteriorPointer));
    assert_eq!(ask(1), Err(Misuse::InteriorPointer));
    assert_eq!(ask(24), Err(Misuse::NeverAllocated));
    assert_eq!(ask(47), Err(Misuse::NeverAllocated));
    assert_eq!(ask(48), Err(Misuse::ForeignPointer), "past the last slot");
    assert_eq!(ask(60), Err(Misuse::ForeignPointer));
    let elsewhere = NonNull::from(&one).cast::<u8>();
    assert_eq!(slab.validate(elsewhere), Err(Misuse::ForeignPointer));
    assert_eq!(
        slab.validate(NonNull::dangling()),
        Err(Misuse::ForeignPointer)
    );
}

/// Flips each bit of each link on the list: the slab never hands out a live or foreign slot.
#[test]
fn every_flipped_bit_of_a_tagged_link_is_noticed() {
    let bits = (0..64).step_by(if cfg!(miri) { 7 } else { 1 });
    for bit in bits {
        for depth in 0..4 {
            let slab =
                Slab::<u64, _, _>::with_protection(12, heap(96, 8), XorTag(0xC0FF_EE00 + bit))
                    .expect("it fits");
            let blocks: Vec<_> = (0..8)
                .map(|_| slab.allocate(word()).expect("room"))
                .collect();
            for n in [5, 1, 6, 2] {
                free(&slab, blocks[n], word());
            }
            // The list is 2, 6, 1, 5: damage the link at `depth`.
            let victim = blocks[[2, 6, 1, 5][depth]].cast::<u8>();
            // SAFETY: the block is freed and its bytes are still in the range: this is the misuse
            // that the protection is there for.
            let byte = unsafe { victim.add(bit as usize / 8) };
            // SAFETY: as above; the byte is part of the link, so it is initialised.
            let old = unsafe { byte.read() };
            // SAFETY: as above.
            unsafe { byte.write(old ^ (1 << (bit % 8))) };
            assert!(slab.verify_all().is_err());

            let mut live: BTreeSet<_> = [0, 3, 4, 7].map(|n| blocks[n].cast::<u8>()).into();
            let mut served = 0;
            while let Ok(block) = slab.allocate(word()) {
                assert!(slab.owns(block.cast()));
                assert!(live.insert(block.cast()), "a live slot, bit {bit}");
                fill(block, 0xEE);
                served += 1;
            }
            assert_eq!(
                served,
                depth + 4,
                "the slots before the damage and those never used"
            );
            assert_eq!(slab.corruption_events(), 1);

            // The slab goes on with what it has.
            for &block in &live {
                free(&slab, NonNull::slice_from_raw_parts(block, 8), word());
            }
            slab.debug_assert_invariants();
            assert_eq!(
                slab.verify_all().map(|report| report.free_blocks),
                Ok(live.len())
            );
        }
    }
}

/// A protection that verifies anything costs detection, never a slot outside the slab.
#[test]
fn a_blind_protection_cannot_make_the_slab_leave_its_range() {
    for forged in [3u32, 4, 7, 8, 100, 0x7FFF_FFFF, u32::MAX - 1] {
        let slab = Slab::<u64, _, _>::with_protection(8, heap(64, 8), Blind).expect("it fits");
        let blocks: Vec<_> = (0..4)
            .map(|_| slab.allocate(word()).expect("room"))
            .collect();
        for &block in &blocks {
            fill(block, 0xFF);
        }
        free(&slab, blocks[0], word());
        // SAFETY: the block is freed, and its bytes still belong to the range.
        unsafe { blocks[0].cast::<u32>().write(forged) };
        for _ in 0..5 {
            if let Ok(block) = slab.allocate(word()) {
                assert!(slab.owns(block.cast()), "{forged}");
            }
        }
        // A link to a carved slot passes where the protection sees nothing.
        assert_eq!(slab.corruption_events(), u64::from(forged >= 4), "{forged}");
    }
}

/// A protection that calls back into its own slab cannot make it hand out a slot twice.
#[test]
fn a_protection_that_calls_back_finds_an_empty_list() {
    use std::cell::Cell;
    use std::rc::{Rc, Weak};

    type CallerSlab = Slab<u64, HeapSegment, Caller>;
    #[derive(Default, Clone)]
    struct Caller(
        Rc<Cell<Option<Weak<CallerSlab>>>>,
        Rc<Cell<Option<NonNull<u8>>>>,
    );

    impl FreelistProtection for Caller {
        const TAGGED: bool = true;

        fn tag(&self, link: FreeLink) -> u32 {
            if let Some(slab) = self.0.take().and_then(|slab| slab.upgrade()) {
                self.1.set(slab.allocate(word()).ok().map(NonNull::cast));
            }
            link.slot
        }
    }

    let caller = Caller::default();
    let slab = Slab::with_protection(8, heap(64, 8), caller.clone()).expect("it fits");
    let slab: Rc<CallerSlab> = Rc::new(slab);
    let blocks: Vec<_> = (0..4)
        .map(|_| slab.allocate(word()).expect("room"))
        .collect();
    free(&slab, blocks[0], word());
    for step in 0..3 {
        // The first step calls back while freeing, the later ones while verifying.
        if step == 0 {
            caller.0.set(Some(Rc::downgrade(&slab)));
            free(&slab, blocks[1], word());
        } else {
            caller.0.set(Some(Rc::downgrade(&slab)));
            let outer = slab.allocate(word()).expect("room").cast::<u8>();
            assert_ne!(caller.1.take(), Some(outer), "step {step}");
        }
        slab.debug_assert_invariants();
    }
}

#[test]
fn auto_traits_follow_the_range() {
    fn send<S: Send>() {}
    fn stable<S: StableAddress>() {}
    send::<Slab<std::rc::Rc<u8>, HeapSegment>>();
    send::<Slab<u64, Inline<64>, XorTag>>();
    stable::<Slab<u64, HeapSegment>>();
}

mod model {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Allocate { size: usize },
        Free { nth: usize },
        Resize { nth: usize, size: usize },
        Validate { offset: usize },
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (1usize..30).prop_map(|size| Step::Allocate { size }),
            6 => any::<usize>().prop_map(|nth| Step::Free { nth }),
            2 => (any::<usize>(), 1usize..30).prop_map(|(nth, size)| Step::Resize { nth, size }),
            4 => (0usize..300).prop_map(|offset| Step::Validate { offset }),
            1 => Just(Step::Reset),
        ]
    }

    /// What a slab should hold: the free stack, the carved count, the live slots with their
    /// sizes and fill.
    #[derive(Default)]
    struct Model {
        free: Vec<usize>,
        carved: usize,
        live: Vec<(usize, usize, u8)>,
    }

    const CAPACITY: usize = 9;
    const STRIDE: usize = 24;

    fn run<M: FreelistProtection>(protection: M, steps: &[Step]) {
        let record = CAPACITY * (usize::from(M::OCCUPANCY) + 4 * usize::from(M::EPOCHS));
        let range = Skewed::new(record + CAPACITY * STRIDE + 16, 5);
        let mut slab =
            Slab::<[u64; 3], _, M>::with_protection(CAPACITY, range, protection).expect("it fits");
        let start = slab
            .backing()
            .align_offset(record, 8)
            .expect("a stable range");
        let base = slab.backing().base();
        let at = |slot: usize| base.map_addr(|addr| addr.saturating_add(start + slot * STRIDE));
        let mut model = Model::default();
        for (n, step) in steps.iter().enumerate() {
            match *step {
                Step::Allocate { size } => {
                    let block = slab.allocate(layout(size, 1));
                    if size > STRIDE {
                        assert_eq!(block, Err(AllocError));
                        continue;
                    }
                    let expected = model.free.pop().or_else(|| {
                        (model.carved < CAPACITY).then(|| {
                            model.carved += 1;
                            model.carved - 1
                        })
                    });
                    assert_eq!(block.ok().map(NonNull::cast), expected.map(at));
                    if let (Ok(block), Some(slot)) = (block, expected) {
                        fill(block, n as u8);
                        model.live.push((slot, size, n as u8));
                    }
                }
                Step::Free { nth } if !model.live.is_empty() => {
                    let (slot, size, byte) = model.live.swap_remove(nth % model.live.len());
                    let block = NonNull::slice_from_raw_parts(at(slot), STRIDE);
                    // SAFETY: the block is live and was filled.
                    assert!(unsafe { block.as_ref() }[..size].iter().all(|&b| b == byte));
                    free(&slab, block, layout(size, 1));
                    model.free.push(slot);
                }
                Step::Resize { nth, size } if !model.live.is_empty() => {
                    let nth = nth % model.live.len();
                    let (slot, old, byte) = model.live[nth];
                    let (old_layout, new) = (layout(old, 1), layout(size, 1));
                    let result = if size >= old {
                        // SAFETY: the block is live with this layout.
                        unsafe { slab.grow(at(slot), old_layout, new) }
                    } else {
                        // SAFETY: as above.
                        unsafe { slab.shrink(at(slot), old_layout, new) }
                    };
                    if size > STRIDE {
                        assert_eq!(result, Err(AllocError));
                    } else {
                        let block = result.expect("it fits its slot");
                        assert_eq!(block.cast(), at(slot));
                        // SAFETY: the block is live, its first bytes kept their values.
                        let bytes = unsafe { block.as_ref() };
                        assert!(bytes[..old.min(size)].iter().all(|&b| b == byte));
                        fill(block, byte);
                        model.live[nth].1 = size;
                    }
                }
                Step::Validate { offset } => {
                    let ptr = base.map_addr(|addr| addr.saturating_add(offset));
                    let expected = match offset.checked_sub(start) {
                        Some(inside) if inside < CAPACITY * STRIDE => {
                            let slot = inside / STRIDE;
                            if slot >= model.carved {
                                Err(Misuse::NeverAllocated)
                            } else if inside % STRIDE != 0 {
                                Err(Misuse::InteriorPointer)
                            } else if model.free.contains(&slot) {
                                Err(Misuse::DoubleFree)
                            } else {
                                Ok(BlockInfo {
                                    usable_bytes: STRIDE,
                                })
                            }
                        }
                        _ => Err(Misuse::ForeignPointer),
                    };
                    assert_eq!(slab.validate(ptr), expected, "offset {offset}");
                }
                Step::Reset => {
                    slab.reset();
                    model = Model::default();
                }
                Step::Free { .. } | Step::Resize { .. } => {}
            }
            slab.debug_assert_invariants();
            let report = slab.verify_all().expect("sound");
            assert_eq!(report.live_blocks, model.live.len());
            assert_eq!(report.free_blocks, model.free.len());
            assert_eq!(report.untouched_bytes, (CAPACITY - model.carved) * STRIDE);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 400 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_slab_agrees_with_the_model(steps in prop::collection::vec(step(), 0..if cfg!(miri) { 40 } else { 200 })) {
            run(NoProtection, &steps);
            run(XorTag(0xDEAD_BEEF), &steps);
            run(Checked, &steps);
            run(SipHashMac::with_key(*b"a key for a test"), &steps);
        }
    }
}
