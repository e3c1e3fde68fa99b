//! Protected slabs: what each misuse is called, what it leaves untouched, and what a damaged list
//! costs.

mod ranges;

use std::cell::RefCell;
use std::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, BlockInfo, Checked, Deallocator, FixedRange, FreelistProtection,
    HeapSegment, Inspect, Misuse, MisusePolicy, NoProtection, NonZeroLayout, OnMisuse, Report,
    Reset, SipHashMac,
};
use drystone_layout::{SetupError, Slab};
use ranges::{Inline, Lazy, Skewed, heap, layout};

/// What a slab reported.
#[derive(Default)]
struct Log(RefCell<Vec<(Misuse, usize)>>);

impl Log {
    fn take(&self) -> Vec<(Misuse, usize)> {
        self.0.take()
    }
}

impl MisusePolicy for Log {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        self.0.borrow_mut().push((misuse, address));
    }
}

type Told<'a, M> = OnMisuse<M, &'a Log>;

fn mac() -> SipHashMac {
    SipHashMac::with_key(*b"a key for a test")
}

/// A slab that fills its range exactly, and tells `log`.
fn slab<T, M: FreelistProtection>(
    capacity: usize,
    protection: M,
    log: &Log,
) -> Slab<T, HeapSegment, Told<'_, M>> {
    let align = Slab::<T, (), Told<'_, M>>::SLOT_ALIGN;
    let bytes = Slab::<T, (), Told<'_, M>>::bytes_for(capacity).expect("few");
    let protection = OnMisuse::new(protection, log);
    Slab::with_protection(capacity, heap(bytes, align), protection).expect("it fits")
}

fn take<T, B: FixedRange, M: FreelistProtection>(slab: &Slab<T, B, M>) -> NonNull<u8> {
    let block = slab.allocate(layout(1, 1)).expect("room");
    // SAFETY: the block is live and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(0xA5, block.len()) };
    block.cast()
}

/// Gives back what may or may not be a block: that is what the slab has to find out.
fn give<T, B: FixedRange, M: FreelistProtection>(slab: &Slab<T, B, M>, ptr: NonNull<u8>) {
    give_as(slab, ptr, layout(1, 1));
}

fn give_as<T, B: FixedRange, M: FreelistProtection>(
    slab: &Slab<T, B, M>,
    ptr: NonNull<u8>,
    layout: NonZeroLayout,
) {
    // SAFETY: none for a pointer that is no live block; the slab uses its address only, and what
    // it does then is under test.
    unsafe { slab.deallocate(ptr, layout) };
}

fn shifted(ptr: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    ptr.map_addr(|addr| addr.saturating_add(bytes))
}

/// Runs a generic check under both protections that keep states.
macro_rules! under_both {
    ($($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                checks::$check(|| Checked);
                checks::$check(mac);
            }
        )*
    };
}

under_both! {
    every_misuse_has_its_name_and_changes_nothing
    strides_of_every_shape_find_the_slot_starts
    resizing_a_block_that_is_not_live_is_refused
    a_fresh_block_shows_nothing_of_its_link
    a_damaged_slot_is_withheld_and_the_others_come_back
    every_damage_on_the_list_is_counted
    a_list_cut_short_is_noticed_when_the_slab_is_dry
    a_loop_in_the_list_hands_nothing_out_twice
    a_reset_slab_serves_all_its_slots_again
    the_record_lies_before_the_slots
    the_range_holds_the_record_to_the_byte
    a_range_that_commits_on_demand_commits_the_record
    a_slab_that_moved_keeps_its_record
}

mod checks {
    use super::*;

    pub(super) fn every_misuse_has_its_name_and_changes_nothing<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let slab = slab::<[u64; 3], M>(6, protection(), &log);
        let (a, b, c) = (take(&slab), take(&slab), take(&slab));
        give(&slab, b);
        assert_eq!(log.take(), []);
        let stranger = 0u64;
        let stranger: NonNull<u8> = NonNull::from(&stranger).cast();
        let before = slab.verify_all();
        let wrong = [
            (stranger, layout(1, 1), Misuse::ForeignPointer),
            (NonNull::dangling(), layout(1, 1), Misuse::ForeignPointer),
            (
                a.map_addr(|addr| addr.checked_add(usize::MAX / 2).expect("not zero")),
                layout(1, 1),
                Misuse::ForeignPointer,
            ),
            (shifted(c, 4 * 24), layout(1, 1), Misuse::ForeignPointer),
            (shifted(a, 8), layout(1, 1), Misuse::InteriorPointer),
            (shifted(a, 1), layout(1, 1), Misuse::InteriorPointer),
            (shifted(c, 23), layout(1, 1), Misuse::InteriorPointer),
            (shifted(b, 12), layout(1, 1), Misuse::InteriorPointer),
            (shifted(c, 24), layout(1, 1), Misuse::NeverAllocated),
            (shifted(c, 25), layout(1, 1), Misuse::NeverAllocated),
            (b, layout(1, 1), Misuse::DoubleFree),
            (a, layout(25, 1), Misuse::LayoutMismatch),
            (a, layout(8, 16), Misuse::LayoutMismatch),
        ];
        for (n, &(ptr, layout, misuse)) in wrong.iter().enumerate() {
            give_as(&slab, ptr, layout);
            assert_eq!(log.take(), [(misuse, ptr.addr().get())], "{n}");
            assert_eq!(slab.corruption_events(), n as u64 + 1);
            assert_eq!(slab.verify_all(), before, "{n}");
            if misuse != Misuse::LayoutMismatch {
                assert_eq!(slab.validate(ptr), Err(misuse), "{n}");
            }
        }
        // What a right call finds is what was there before.
        assert_eq!(take(&slab), b);
        assert_eq!(take(&slab), shifted(c, 24));
        for live in [a, b, c] {
            // SAFETY: the block is live, and was filled.
            let bytes = unsafe { NonNull::slice_from_raw_parts(live, 24).as_ref() };
            assert!(bytes.iter().all(|&byte| byte == 0xA5));
            assert_eq!(slab.validate(live), Ok(BlockInfo { usable_bytes: 24 }));
            give(&slab, live);
        }
        assert_eq!(log.take(), []);
    }

    fn slot_starts<T, M: FreelistProtection>(protection: M) {
        const SLOTS: usize = 7;
        let log = Log::default();
        let slab = slab::<T, M>(SLOTS, protection, &log);
        let stride = slab.block_stride();
        let first = take(&slab);
        let rest: Vec<_> = (1..SLOTS).map(|_| take(&slab)).collect();
        for distance in (0..SLOTS * stride).step_by(if cfg!(miri) { 5 } else { 1 }) {
            let ptr = shifted(first, distance);
            let expected = if distance.is_multiple_of(stride) {
                Ok(BlockInfo {
                    usable_bytes: stride,
                })
            } else {
                Err(Misuse::InteriorPointer)
            };
            assert_eq!(slab.validate(ptr), expected, "{distance} of {stride}");
            if expected.is_err() {
                give(&slab, ptr);
                let reported = (Misuse::InteriorPointer, ptr.addr().get());
                assert_eq!(log.take(), [reported], "{distance} of {stride}");
            }
        }
        for block in rest.into_iter().chain([first]) {
            give(&slab, block);
        }
        assert_eq!(log.take(), []);
        assert_eq!(
            slab.verify_all().map(|report| report.free_blocks),
            Ok(SLOTS)
        );
    }

    pub(super) fn strides_of_every_shape_find_the_slot_starts<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        #[repr(align(64))]
        struct Wide(#[allow(dead_code, reason = "only its size matters")] [u8; 65]);
        slot_starts::<u8, M>(protection());
        slot_starts::<[u8; 9], M>(protection());
        slot_starts::<[u16; 7], M>(protection());
        slot_starts::<[u32; 5], M>(protection());
        slot_starts::<[u64; 3], M>(protection());
        slot_starts::<[u8; 63], M>(protection());
        slot_starts::<Wide, M>(protection());
        slot_starts::<[u64; 8], M>(protection());
    }

    pub(super) fn resizing_a_block_that_is_not_live_is_refused<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let slab = slab::<[u64; 2], M>(2, protection(), &log);
        let block = take(&slab);
        give(&slab, block);
        let (small, large) = (layout(4, 4), layout(16, 8));
        // SAFETY: none, the block was freed: that is what the slab has to find out.
        assert_eq!(unsafe { slab.grow(block, small, large) }, Err(AllocError));
        // SAFETY: as above.
        assert_eq!(unsafe { slab.shrink(block, large, small) }, Err(AllocError));
        let reported = (Misuse::DoubleFree, block.addr().get());
        assert_eq!(log.take(), [reported; 2]);
        assert_eq!(take(&slab), block);
    }

    pub(super) fn a_fresh_block_shows_nothing_of_its_link<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let slab = slab::<[u64; 2], M>(4, protection(), &log);
        let blocks: Vec<_> = (0..4).map(|_| take(&slab)).collect();
        for &block in &blocks {
            give(&slab, block);
        }
        for &block in blocks.iter().rev() {
            let fresh = slab.allocate(layout(16, 8)).expect("room");
            assert_eq!(fresh.cast(), block);
            // SAFETY: the block is live, and its bytes were written before.
            let bytes = unsafe { fresh.as_ref() };
            let link = size_of::<u64>().max(size_of::<usize>());
            assert!(bytes[..link].iter().all(|&byte| byte == 0 || byte == 0xA5));
            assert_eq!(bytes[..4], [0; 4]);
            assert!(bytes[link..].iter().all(|&byte| byte == 0xA5));
        }
    }

    /// Writes a word over the link of a free slot: a use after free.
    pub(super) fn damage(slot: NonNull<u8>, word: u64) {
        // SAFETY: the slot is free, but its bytes lie in the range: that is the misuse under test.
        unsafe { slot.cast::<u64>().write_unaligned(word) };
    }

    /// Takes every block that the slab has, and checks that none is live already.
    fn drain<T, B: FixedRange, M: FreelistProtection>(
        slab: &Slab<T, B, M>,
        live: &mut Vec<NonNull<u8>>,
    ) -> usize {
        let before = live.len();
        while let Ok(block) = slab.allocate(layout(1, 1)) {
            assert!(!live.contains(&block.cast()), "a live block was handed out");
            live.push(block.cast());
        }
        live.len() - before
    }

    pub(super) fn a_damaged_slot_is_withheld_and_the_others_come_back<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        for depth in 0..6 {
            let log = Log::default();
            let slab = slab::<[u64; 2], M>(10, protection(), &log);
            let blocks: Vec<_> = (0..8).map(|_| take(&slab)).collect();
            let freed = [5, 1, 6, 2, 0, 4];
            for &n in freed.iter().rev() {
                give(&slab, blocks[n]);
            }
            // The list is now in the order of `freed`.
            let victim = blocks[freed[depth]];
            damage(victim, 0x4141_4141_4141_4141);
            assert!(slab.verify_all().is_err());
            let mut live = vec![blocks[3], blocks[7]];
            assert_eq!(drain(&slab, &mut live), 6 - 1 + 2, "depth {depth}");
            assert_eq!(log.take(), [(Misuse::DamagedLink, victim.addr().get())]);
            assert_eq!(slab.corruption_events(), 1);
            assert!(!live.contains(&victim));
            assert_eq!(slab.validate(victim), Err(Misuse::DoubleFree));
            let sound = Report {
                live_blocks: 9,
                free_blocks: 0,
                untouched_bytes: 0,
            };
            assert_eq!(slab.verify_all(), Ok(sound));
            for block in live {
                give(&slab, block);
            }
            assert_eq!(slab.verify_all().map(|report| report.free_blocks), Ok(9));
            assert_eq!(log.take(), []);
        }
    }

    pub(super) fn every_damage_on_the_list_is_counted<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let slab = slab::<[u64; 2], M>(8, protection(), &log);
        let blocks: Vec<_> = (0..8).map(|_| take(&slab)).collect();
        for &block in &blocks {
            give(&slab, block);
        }
        for n in [1, 4, 7] {
            damage(blocks[n], 0x0BAD_0BAD_0BAD_0BAD);
        }
        let mut live = Vec::new();
        assert_eq!(drain(&slab, &mut live), 5);
        let mut reported = log.take();
        reported.sort_unstable_by_key(|&(_, address)| address);
        let expected = [1, 4, 7].map(|n: usize| (Misuse::DamagedLink, blocks[n].addr().get()));
        assert_eq!(reported, expected);
        assert_eq!(slab.corruption_events(), 3);
        slab.debug_assert_invariants();
    }

    pub(super) fn a_list_cut_short_is_noticed_when_the_slab_is_dry<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let slab = slab::<[u64; 2], M>(5, protection(), &log);
        let blocks: Vec<_> = (0..5).map(|_| take(&slab)).collect();
        for &block in &blocks[..4] {
            give(&slab, block);
        }
        // The list is 3, 2, 1, 0. An end is forged at slot 2: without tags, all ones.
        damage(blocks[2], u64::MAX);
        assert!(slab.verify_all().is_err());
        let mut live = vec![blocks[4]];
        let tagged = M::TAGGED;
        // A tag tells the forged link from a right one, so that the slot is withheld.
        assert_eq!(drain(&slab, &mut live), if tagged { 3 } else { 4 });
        let noticed = if tagged { blocks[2] } else { blocks[0] };
        assert_eq!(log.take(), [(Misuse::DamagedLink, noticed.addr().get())]);
        slab.debug_assert_invariants();
        assert_eq!(slab.allocate(layout(1, 1)), Err(AllocError));
        assert_eq!(slab.corruption_events(), 1, "a dry slab is no damage");
    }

    pub(super) fn a_loop_in_the_list_hands_nothing_out_twice<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        for from in 0..4 {
            for to in 0..4 {
                let log = Log::default();
                let slab = slab::<[u64; 2], M>(6, protection(), &log);
                let blocks: Vec<_> = (0..6).map(|_| take(&slab)).collect();
                for &block in &blocks[..4] {
                    give(&slab, block);
                }
                // A whole link of one slot copied to another: the right words in the wrong place.
                // SAFETY: the slot is free, and its link was written.
                let word = unsafe { blocks[to].cast::<u64>().read_unaligned() };
                damage(blocks[from], word);
                let mut live = vec![blocks[4], blocks[5]];
                let served = drain(&slab, &mut live);
                let changed = from != to;
                // The list is 3, 2, 1, 0. Without tags a link that skips slots is sound, and one
                // that leads back is not.
                let withheld = changed && (M::TAGGED || to > from);
                assert_eq!(served, 4 - usize::from(withheld), "{from} {to}");
                assert_eq!(log.take().is_empty(), !changed, "{from} {to}");
                slab.debug_assert_invariants();
            }
        }
    }

    pub(super) fn a_reset_slab_serves_all_its_slots_again<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let mut slab = slab::<u64, M>(6, protection(), &log);
        for round in 0..3 {
            let blocks: Vec<_> = (0..6).map(|_| take(&slab)).collect();
            give(&slab, blocks[1]);
            give(&slab, blocks[4]);
            damage(blocks[4], 0x5555_5555_5555_5555);
            assert_eq!(take(&slab), blocks[1]);
            slab.reset();
            slab.debug_assert_invariants();
            assert_eq!(slab.validate(blocks[0]), Err(Misuse::NeverAllocated));
            assert_eq!(log.take().len(), 1, "round {round}");
            give(&slab, blocks[0]);
            let stale = (Misuse::NeverAllocated, blocks[0].addr().get());
            assert_eq!(log.take(), [stale]);
        }
    }

    pub(super) fn the_record_lies_before_the_slots<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let log = Log::default();
        let slab = slab::<[u8; 11], M>(9, protection(), &log);
        let stride = slab.block_stride();
        let range_end = slab.backing().base().addr().get() + slab.backing().size();
        let mut last = take(&slab);
        for _ in 1..9 {
            last = take(&slab);
        }
        assert_eq!(last.addr().get() + stride, range_end);
    }

    pub(super) fn the_range_holds_the_record_to_the_byte<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        const SLOTS: usize = 5;
        let record = 1 + 4 * usize::from(M::EPOCHS);
        for skip in 0..9 {
            let pad = (16 - (skip + record * SLOTS) % 8) % 8;
            let needed = pad + SLOTS * (record + 8);
            if skip == 0 {
                assert_eq!(Slab::<u64, (), M>::bytes_for(SLOTS), Some(needed));
            }
            for bytes in needed - 1..needed + 2 {
                let range = Skewed::new(bytes, skip);
                let slab = Slab::<u64, _, M>::with_protection(SLOTS, range, protection());
                if bytes < needed {
                    let error = SetupError::RangeTooSmall {
                        needed_bytes: needed,
                        available_bytes: bytes,
                    };
                    assert_eq!(slab.err(), Some(error), "skip {skip}");
                    continue;
                }
                let slab = slab.expect("it fits");
                let blocks: Vec<_> = (0..SLOTS).map(|_| take(&slab)).collect();
                for &block in &blocks {
                    assert!(block.addr().get().is_multiple_of(8));
                    give(&slab, block);
                }
                slab.debug_assert_invariants();
            }
        }
        assert_eq!(Slab::<u64, (), M>::bytes_for(usize::MAX), None);
        let most = Slab::<u64, (), M>::CAPACITY_MAX;
        assert!(
            Slab::<u64, (), M>::bytes_for(most).is_some_and(|bytes| bytes <= isize::MAX as usize)
        );
        assert_eq!(Slab::<u64, (), M>::bytes_for(most + 1), None);
    }

    pub(super) fn a_range_that_commits_on_demand_commits_the_record<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        const SLOTS: usize = if cfg!(miri) { 10 } else { 1500 };
        type Block = [u64; 16];
        for fail_from in 0..9 {
            for small in [0, 128] {
                let bytes = Slab::<Block, (), M>::bytes_for(SLOTS).expect("few");
                let (lazy, _) = Lazy::new(bytes, fail_from, small);
                let slab =
                    Slab::<Block, _, M>::with_protection(SLOTS, lazy, protection()).expect("fits");
                let mut blocks = Vec::new();
                while let Ok(block) = slab.allocate(layout(128, 8)) {
                    assert!(slab.backing().is_committed(block));
                    blocks.push(block.cast());
                }
                let record = NonNull::slice_from_raw_parts(slab.backing().base(), 1);
                assert!(blocks.is_empty() || slab.backing().is_committed(record));
                let digest = slab.state_digest();
                assert_eq!(slab.allocate(layout(128, 8)), Err(AllocError));
                assert_eq!(slab.state_digest(), digest);
                slab.backing().fail_after(usize::MAX);
                while let Ok(block) = slab.allocate(layout(128, 8)) {
                    blocks.push(block.cast());
                }
                assert_eq!(blocks.len(), SLOTS);
                for block in blocks {
                    give(&slab, block);
                }
                assert_eq!(slab.corruption_events(), 0);
                slab.debug_assert_invariants();
            }
        }
    }

    pub(super) fn a_slab_that_moved_keeps_its_record<M: FreelistProtection>(
        protection: impl Fn() -> M,
    ) {
        let slab = Slab::<u64, _, M>::with_protection(6, Inline::<128>::new(), protection());
        let slab = slab.expect("it fits");
        let blocks: Vec<_> = (0..4).map(|_| take(&slab)).collect();
        give(&slab, blocks[1]);
        give(&slab, blocks[2]);
        let moved = Box::new(slab);
        moved.debug_assert_invariants();
        let mut live = Vec::new();
        assert_eq!(drain(&moved, &mut live), 4);
        for block in live {
            give(&moved, block);
        }
        assert_eq!(moved.corruption_events(), 0);
        moved.debug_assert_invariants();
    }
}

/// What the documentation of `NoProtection` says can be seen, in a range that stays where it is.
#[test]
fn without_protection_a_fresh_block_of_the_heap_shows_an_address() {
    let slab = Slab::<usize, _>::new(3, heap(3 * size_of::<usize>(), 8)).expect("it fits");
    let blocks: Vec<_> = (0..3).map(|_| take(&slab)).collect();
    give(&slab, blocks[1]);
    give(&slab, blocks[0]);
    let fresh = slab.allocate(layout(1, 1)).expect("room").cast::<usize>();
    // SAFETY: the block is live, and the link was written into it.
    assert_eq!(unsafe { fresh.read() }, blocks[1].addr().get());
}

/// The same, in a range that may move.
#[test]
fn without_protection_a_fresh_block_of_an_inline_range_shows_an_offset() {
    let slab = Slab::<usize, _>::new(3, Inline::<64>::new()).expect("it fits");
    let blocks: Vec<_> = (0..3).map(|_| take(&slab)).collect();
    give(&slab, blocks[1]);
    give(&slab, blocks[0]);
    let fresh = slab.allocate(layout(1, 1)).expect("room").cast::<usize>();
    // SAFETY: the block is live, and the link was written into it.
    assert_eq!(unsafe { fresh.read() }, size_of::<usize>());
    assert_eq!(
        Slab::<usize, (), NoProtection>::bytes_for(3),
        Some(3 * size_of::<usize>())
    );
}

/// A link that was right for its slot before does not verify again, across resets too.
#[test]
fn every_former_link_of_a_slot_is_noticed() {
    let rounds = if cfg!(miri) { 6 } else { 200 };
    let log = Log::default();
    let mut slab = slab::<u64, _>(3, mac(), &log);
    let mut former: Vec<u64> = Vec::new();
    for round in 0..rounds {
        // The same two slots freed in the same order: the same link, but for its epoch.
        let (a, b) = (take(&slab), take(&slab));
        give(&slab, b);
        give(&slab, a);
        // SAFETY: the slot is free and holds its link.
        let link = unsafe { a.cast::<u64>().read() };
        assert!(!former.contains(&link), "round {round}");
        if let Some(&old) = former.get(round / 2) {
            checks::damage(a, old);
            let events = slab.corruption_events();
            let next = take(&slab);
            assert_eq!(slab.corruption_events(), events + 1, "round {round}");
            assert_ne!(next, a);
        }
        former.push(link);
        slab.reset();
    }
}

/// With `Checked` a former link may pass, but only to a slot that is free now.
#[test]
fn a_former_link_never_leads_to_a_live_block() {
    let log = Log::default();
    let slab = slab::<u64, _>(4, Checked, &log);
    let [a, b, c] = [take(&slab), take(&slab), take(&slab)];
    give(&slab, b);
    give(&slab, a);
    // SAFETY: the slot is free and holds its link, which leads to `b`.
    let to_b = unsafe { a.cast::<u64>().read() };
    assert_eq!((take(&slab), take(&slab)), (a, b));
    give(&slab, c);
    give(&slab, a);
    checks::damage(a, to_b);
    let next = take(&slab);
    assert!(next == c, "the slot that was not damaged");
    assert_eq!(log.take(), [(Misuse::DamagedLink, a.addr().get())]);
    assert_eq!(slab.validate(b), Ok(BlockInfo { usable_bytes: 8 }));
}
