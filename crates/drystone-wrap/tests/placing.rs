//! Where the placing wrappers put blocks, and what they say when the system refuses. The pages are
//! those of a test; `drystone/tests/guard_death.rs` runs into real ones.

mod common;

use core::num::NonZeroU16;

use common::{Block, Blocks, PAGE, SLOT, Slots, layout};
use drystone_core::{
    Advice, AllocError, Allocator, CACHE_LINE, Contents, OsError, OverPages, Owns, Reset,
};
use drystone_wrap::{CacheJitter, GuardPages, HugePageAdvised, NumaLocal, Off, Placement};

mod guard_pages {
    use super::*;

    fn wide(count: u32) -> Slots {
        Slots::sized(count, 256)
    }

    fn edges(guarded: &GuardPages<Slots>, block: Block) -> (bool, bool) {
        let start = block.ptr.addr().get();
        let pages = guarded.pages();
        assert!(!pages.faults_at(start) && !pages.faults_at(start + block.len - 1));
        (
            pages.faults_at(start - 1),
            pages.faults_at(start + block.len),
        )
    }

    #[test]
    fn the_exact_side_is_the_one_that_was_chosen() {
        for size in 1..=40 {
            let at_end = GuardPages::new(wide(1));
            let block = at_end.take(size, 1).expect("room");
            assert_eq!(edges(&at_end, block), (size % PAGE == 0, true), "{size}");
            let at_start = GuardPages::with_guards(wide(1), 2, Placement::AtStart);
            let block = at_start.take(size, 1).expect("room");
            assert_eq!(edges(&at_start, block), (true, size % PAGE == 0), "{size}");
            assert_eq!(at_start.pages().inaccessible(), 4);
        }
    }

    #[test]
    fn guards_go_with_their_block() {
        let guarded = GuardPages::new(wide(4));
        let blocks = [1, 16, 100, 3].map(|size| guarded.take(size, 1).expect("room"));
        for (left, block) in (0..4).rev().zip(blocks) {
            guarded.give(block);
            assert_eq!(guarded.pages().inaccessible(), 2 * left);
        }
        assert_eq!(guarded.inner().live(), 0);
    }

    #[test]
    fn a_block_is_resized_in_place_while_its_pages_stay() {
        let guarded = GuardPages::with_guards(wide(2), 1, Placement::AtStart);
        let block = guarded.take(3, 1).expect("room");
        block.fill(9);
        let grown = guarded.grow_zeroed_to(block, PAGE).expect("in place");
        assert_eq!(grown.ptr, block.ptr);
        grown.check(9, 3);
        grown.check_zero_from(3);
        let shrunk = guarded.shrink_to(grown, 2, 1).expect("in place");
        assert_eq!(shrunk.ptr, block.ptr);
        let moved = guarded.grow_to(shrunk, PAGE + 1).expect("room");
        assert_ne!(moved.ptr, block.ptr);
        moved.check(9, 2);
        let moved = guarded.grow_zeroed_to(moved, 5 * PAGE).expect("room");
        moved.check(9, 2);
        moved.check_zero_from(PAGE + 1);
        guarded.give(moved);
        assert_eq!(guarded.pages().inaccessible(), 0);
        assert_eq!(guarded.usable(block), Some(3));
    }

    #[test]
    fn a_refused_guard_is_a_refused_request() {
        for passes in 0..2 {
            let guarded = GuardPages::new(wide(1));
            guarded.pages().refuse_after(passes);
            assert_eq!(guarded.take(1, 1), Err(AllocError));
            assert_eq!((guarded.refusals(), guarded.stranded_blocks()), (1, 0));
            assert_eq!(
                (guarded.pages().inaccessible(), guarded.inner().live()),
                (0, 0)
            );
            let block = guarded.take(1, 1).expect("not refused any more");
            guarded.give(block);
        }
    }

    #[test]
    fn memory_that_stays_inaccessible_is_kept() {
        let mut guarded = GuardPages::new(wide(1));
        let block = guarded.take(1, 1).expect("room");
        guarded.pages().refuse_after(0);
        guarded.give(block);
        assert_eq!((guarded.refusals(), guarded.stranded_blocks()), (1, 1));
        assert_eq!(guarded.take(1, 1), Err(AllocError), "kept, not handed out");
        assert_eq!(guarded.inner().live(), 1);
        // A reset that is refused leaves it so; the next one frees it.
        guarded.pages().refuse_after(0);
        guarded.reset();
        assert_eq!((guarded.refusals(), guarded.stranded_blocks()), (2, 1));
        guarded.reset();
        assert_eq!((guarded.inner().live(), guarded.stranded_blocks()), (0, 0));
        assert_eq!(guarded.pages().inaccessible(), 0);
        let block = guarded.take(1, 1).expect("room again");
        guarded.give(block);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let guarded = GuardPages::new(wide(1));
        for (size, align) in [(256, 1), (1, 256), (isize::MAX as usize, 1)] {
            assert_eq!(guarded.allocate(layout(size, align)), Err(AllocError));
        }
        let none = GuardPages::with_guards(wide(1), usize::MAX, Placement::AtEnd);
        assert_eq!(none.take(1, 1), Err(AllocError));
        let bare = GuardPages::with_guards(wide(1), 0, Placement::AtEnd);
        let block = bare.take(256, 8).expect("the whole slot");
        assert_eq!(bare.pages().inaccessible(), 0);
        bare.give(block);
    }

    #[test]
    fn no_guard_outlives_the_wrapper() {
        for keep_the_inner in [false, true] {
            let guarded = GuardPages::new(wide(2));
            let guards = guarded.pages().guards();
            guarded.take(8, 8).expect("room");
            assert_eq!(guards.count(), 2);
            if keep_the_inner {
                // SAFETY: the block is not used any more.
                let slots = unsafe { guarded.into_inner() };
                assert_eq!((guards.count(), slots.live()), (0, 1));
            } else {
                drop(guarded);
                assert_eq!(guards.count(), 0);
            }
        }
    }

    #[test]
    fn off_puts_nothing_beside_a_block() {
        let off = GuardPages::with_switch(wide(1), Off);
        assert_eq!(size_of_val(&off), size_of::<Slots>());
        let block = off.take(40, 8).expect("room");
        assert_eq!(block.len, SLOT, "as the inner allocator gave it");
        let block = off.grow_to(block, 256).expect("in place");
        let block = off.shrink_to(block, 10, 8).expect("in place");
        assert_eq!(
            (off.usable(block), off.pages().inaccessible()),
            (Some(256), 0)
        );
        // The system is not asked, so it cannot refuse.
        off.pages().refuse_after(0);
        off.give(block);
        assert_eq!(off.inner().live(), 0);
    }

    #[test]
    fn memory_that_ends_is_accessible_to_be_wiped() {
        let mut guarded = GuardPages::new(wide(2));
        let block = guarded.take(8, 8).expect("room");
        assert!(guarded.owns(block.ptr));
        // SAFETY: the block is live.
        let own = unsafe { guarded.own_pointer(block.ptr, block.layout) };
        assert_eq!(own, block.ptr);
        let mut bytes = 0;
        // SAFETY: the block is not used any more, and the value is dropped next.
        unsafe { guarded.ending(&mut |piece| bytes += piece.len()) };
        assert_eq!((bytes, guarded.pages().inaccessible()), (512, 0));
    }
}

mod cache_jitter {
    use super::*;

    /// Slots of eight lines, blocks of 32 bytes and more spread over four of them.
    fn spread() -> CacheJitter<Slots> {
        let four = NonZeroU16::new(4).expect("four");
        CacheJitter::with_positions(Slots::sized(16, 8 * CACHE_LINE), 32, four)
    }

    fn line_of(block: Block) -> usize {
        block.ptr.addr().get() % (8 * CACHE_LINE) / CACHE_LINE
    }

    #[test]
    fn large_blocks_take_turns_and_small_ones_do_not() {
        let spread = spread();
        let lines = [(); 6]
            .map(|()| spread.take(32, 8).expect("room"))
            .map(line_of);
        assert_eq!(lines, [0, 1, 2, 3, 0, 1]);
        let small = [(); 3].map(|()| spread.take(31, 8).expect("room"));
        assert_eq!(small.map(line_of), [0; 3]);
        assert_eq!(small[0].len, 31, "no size that fits is large");
        assert_eq!(spread.usable(small[0]), Some(8 * CACHE_LINE));
    }

    #[test]
    fn turns_keep_the_alignment() {
        let spread = spread();
        let lines = |align| {
            [(); 3]
                .map(|()| spread.take(32, align).expect("room"))
                .map(line_of)
        };
        assert_eq!(lines(2 * CACHE_LINE), [0, 2, 0]);
        // From the span on there is one place only.
        assert_eq!(lines(4 * CACHE_LINE), [0, 0, 0]);
    }

    #[test]
    fn blocks_go_home_from_every_place() {
        let mut spread = spread();
        for _ in 0..3 {
            let blocks = [(); 16].map(|()| spread.take(40, 8).expect("room"));
            for (seed, block) in (0..).zip(blocks) {
                assert!(spread.owns(block.ptr));
                block.fill(seed);
            }
            assert_eq!(spread.take(40, 8), Err(AllocError));
            for (seed, block) in (0..).zip(blocks) {
                block.check(seed, 40);
                spread.give(block);
            }
            assert_eq!(spread.inner().live(), 0);
        }
        spread.take(40, 8).expect("room");
        spread.reset();
        assert_eq!(spread.inner().live(), 0);
    }

    #[test]
    fn resizes_stay_in_place_or_carry_the_bytes() {
        let spread = spread();
        spread.take(40, 8).expect("the first turn");
        let block = spread.take(40, 8).expect("the second");
        block.fill(2);
        let grown = spread.grow_zeroed_to(block, 100).expect("in place");
        assert_eq!((grown.ptr, line_of(grown)), (block.ptr, 1));
        grown.check(2, 40);
        grown.check_zero_from(40);
        let shrunk = spread.shrink_to(grown, 50, 8).expect("in place");
        assert_eq!(shrunk.ptr, block.ptr);
        let small = spread.shrink_to(shrunk, 10, 8).expect("room");
        small.check(2, 10);
        let small = spread.grow_to(small, 20).expect("in place");
        let large = spread.grow_to(small, 64).expect("room");
        large.check(2, 10);
        spread.give(large);
        assert_eq!(spread.inner().live(), 1);
    }

    #[test]
    fn one_position_and_off_do_nothing() {
        let one = NonZeroU16::MIN;
        let still = CacheJitter::with_positions(Slots::sized(2, 8 * CACHE_LINE), 1, one);
        let lines = [(); 2]
            .map(|()| still.take(32, 8).expect("room"))
            .map(line_of);
        assert_eq!(lines, [0, 0]);
        let off = CacheJitter::with_switch(Slots::sized(2, 8 * CACHE_LINE), Off);
        assert_eq!(size_of_val(&off), size_of::<Slots>());
        let block = off.take(32, 8).expect("room");
        assert_eq!(block.len, SLOT, "as the inner allocator gave it");
        off.give(block);
    }
}

#[test]
fn a_node_is_bound_or_the_refusal_is_kept() {
    let bound = NumaLocal::new(Slots::new(2), 3);
    assert_eq!(
        (bound.pages().bound_to(), bound.last_refusal()),
        (Some(3), None)
    );
    let slots = Slots::new(2);
    slots.pages().refuse_after(0);
    let mut refused = NumaLocal::new(slots, 3);
    let code = OsError::Call {
        call: "bind_node",
        code: 12,
    };
    assert_eq!(
        (refused.pages().bound_to(), refused.last_refusal()),
        (None, Some(code))
    );
    let block = refused.take(8, 8).expect("serves all the same");
    refused.give(block);
    refused.bind(5).expect("not refused any more");
    assert_eq!((refused.node(), refused.last_refusal()), (5, None));
    assert_eq!(refused.pages().bound_to(), Some(5));
    refused.pages().refuse_after(0);
    assert_eq!(refused.bind(6), Err(code));
    assert_eq!((refused.node(), refused.last_refusal()), (5, Some(code)));
}

#[test]
fn advice_is_taken_or_the_refusal_is_kept() {
    let advised = HugePageAdvised::new(Slots::new(2));
    assert_eq!(advised.pages().advised(), Some(Advice::HugePages));
    assert_eq!(advised.last_refusal(), None);
    let slots = Slots::new(2);
    slots.pages().refuse_after(0);
    let mut refused = HugePageAdvised::new(slots);
    assert!(refused.last_refusal().is_some());
    assert_eq!(refused.pages().advised(), None);
    let block = refused.take(8, 8).expect("serves all the same");
    refused.give(block);
    refused.advise().expect("not refused any more");
    assert_eq!(refused.last_refusal(), None);
}

#[test]
fn off_asks_nothing_of_the_system() {
    let bound = NumaLocal::with_switch(Slots::new(2), 3, Off);
    assert_eq!(size_of_val(&bound), size_of::<Slots>());
    assert_eq!(bound.pages().bound_to(), None);
    let advised = HugePageAdvised::with_switch(bound, Off);
    assert_eq!(size_of_val(&advised), size_of::<Slots>());
    assert_eq!(advised.pages().advised(), None);
    let block = advised.take(8, 8).expect("room");
    advised.give(block);
}
