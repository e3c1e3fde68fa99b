//! `WithFallback`: who serves, who frees, and what moves across.

mod common;

use common::{Blocks, Heap, OwnsAll, SLOT, Slots, layout};
use drystone_core::{AllocError, Allocator, Owns, Reset};
use drystone_wrap::{AlwaysFail, Faulty, NeverFail, WithFallback};
use proptest::prelude::*;

fn two_and_two() -> WithFallback<Slots, Slots> {
    WithFallback::new(Slots::new(2), Slots::new(2))
}

#[test]
fn the_primary_serves_until_it_is_full() {
    let both = two_and_two();
    let blocks = [(); 4].map(|()| both.take(8, 8).expect("room"));
    for (i, block) in blocks.iter().enumerate() {
        assert_eq!(both.primary().owns(block.ptr), i < 2, "block {i}");
        assert_eq!(both.secondary().owns(block.ptr), i >= 2, "block {i}");
        assert!(both.owns(block.ptr));
    }
    assert_eq!(both.take(8, 8), Err(AllocError));
    assert!(!both.owns(core::ptr::NonNull::dangling()));

    both.give(blocks[0]);
    both.give(blocks[2]);
    assert_eq!((both.primary().live(), both.secondary().live()), (1, 1));
    assert!(both.primary().owns(both.take(8, 8).expect("freed").ptr));
}

#[test]
fn what_is_too_large_for_the_primary_goes_to_the_secondary() {
    let both = WithFallback::new(Slots::new(2), Heap::new(8));
    let large = both.take(SLOT + 1, 128).expect("the heap has room");
    assert!(!both.primary().owns(large.ptr));
    both.give(large);
    assert_eq!(both.secondary().live(), 0);
}

#[test]
fn zeroed_blocks_are_zero_from_either_part() {
    let both = two_and_two();
    for _ in 0..2 {
        let blocks = [(); 4].map(|()| both.take_zeroed(40, 8).expect("room"));
        for block in blocks {
            block.check_zero_from(0);
            block.fill(0x5a);
        }
        for block in blocks {
            both.give(block);
        }
    }
}

#[test]
fn a_block_grows_where_it_lives_if_it_can() {
    let both = two_and_two();
    let blocks = [(); 4].map(|()| both.take(8, 8).expect("room"));
    for (seed, block) in (0..).zip(blocks) {
        block.fill(seed);
        let grown = both.grow_to(block, SLOT).expect("a slot is that long");
        assert_eq!(grown.ptr, block.ptr);
        grown.check(seed, 8);
        let shrunk = both.shrink_to(grown, 4, 8).expect("in place");
        assert_eq!(shrunk.ptr, block.ptr);
        shrunk.check(seed, 4);
        both.give(shrunk);
    }
}

#[test]
fn a_block_that_outgrows_the_primary_moves_to_the_secondary() {
    let both = WithFallback::new(Slots::new(1), Heap::new(8));
    let block = both.take(SLOT, 8).expect("room");
    block.fill(7);
    let grown = both.grow_to(block, 3 * SLOT).expect("the heap has room");
    assert!(!both.primary().owns(grown.ptr));
    grown.check(7, SLOT);
    assert_eq!((both.primary().live(), both.secondary().live()), (0, 1));
    both.give(grown);
    assert_eq!(both.secondary().live(), 0);
}

#[test]
fn growing_across_zeroes_the_new_bytes_only() {
    let both = WithFallback::new(Slots::new(1), Heap::new(8));
    let block = both.take(20, 8).expect("room");
    block.fill(9);
    let grown = both.grow_zeroed_to(block, 100).expect("room");
    grown.check(9, 20);
    grown.check_zero_from(20);
    both.give(grown);
}

#[test]
fn a_block_of_a_failing_secondary_moves_to_the_primary() {
    // The heap's block limit stops its own growing, which allocates before it frees.
    let both = WithFallback::new(Slots::new(1), Heap::new(1));
    let first = both.take(8, 8).expect("the primary's only slot");
    let second = both.take(8, 8).expect("the heap's only block");
    second.fill(3);
    assert_eq!(both.grow_to(second, 16), Err(AllocError), "both are full");
    second.check(3, 8);
    both.give(first);
    let moved = both.grow_to(second, 16).expect("the primary has room");
    assert!(both.primary().owns(moved.ptr));
    moved.check(3, 8);
    assert_eq!(both.secondary().live(), 0);
    both.give(moved);

    let _slot = both.take(8, 8).expect("the slot");
    let block = both.take(64, 8).expect("the heap's only block");
    assert_eq!(
        both.shrink_to(block, 8, 8),
        Err(AllocError),
        "it would move"
    );
    both.give(block);
}

#[test]
fn when_both_refuse_the_block_stays_as_it_was() {
    let both = two_and_two();
    let block = both.take(30, 8).expect("room");
    block.fill(1);
    assert_eq!(both.grow_to(block, SLOT + 1), Err(AllocError));
    assert_eq!(both.grow_zeroed_to(block, SLOT + 1), Err(AllocError));
    assert_eq!(both.shrink_to(block, 8, 2 * SLOT), Err(AllocError));
    block.check(1, 30);
    assert_eq!((both.primary().live(), both.secondary().live()), (1, 0));
    both.give(block);
}

#[test]
fn a_shrink_that_the_primary_cannot_do_moves_the_block() {
    let both = WithFallback::new(Slots::new(1), Heap::new(8));
    let block = both.take(SLOT, 8).expect("room");
    block.fill(11);
    let moved = both
        .shrink_to(block, 16, 4 * SLOT)
        .expect("the heap honours any alignment");
    moved.check(11, 16);
    assert_eq!(both.primary().live(), 0);
    both.give(moved);
}

#[test]
fn a_secondary_inside_the_primarys_memory_is_refused_and_loses_nothing() {
    let both = WithFallback::new(OwnsAll, Heap::new(8));
    assert_eq!(both.take(8, 8), Err(AllocError));
    assert_eq!(both.take_zeroed(8, 8), Err(AllocError));
    assert_eq!(both.secondary().live(), 0);
}

#[test]
fn capacity_is_the_sum_where_both_have_one() {
    assert_eq!(two_and_two().capacity_bytes(), Some(4 * SLOT));
    let open = WithFallback::new(Slots::new(2), Heap::new(1));
    assert_eq!(open.capacity_bytes(), None);
}

#[test]
fn corruption_is_the_sum() {
    let both = two_and_two();
    both.primary().set_corruption(3);
    both.secondary().set_corruption(4);
    assert_eq!(both.corruption_events(), 7);
    both.secondary().set_corruption(u64::MAX);
    assert_eq!(both.corruption_events(), u64::MAX);
}

#[test]
fn usable_size_is_asked_of_the_part_that_has_the_block() {
    let both = WithFallback::new(Slots::new(1), Heap::new(1));
    let first = both.take(8, 8).expect("room");
    let second = both.take(8, 8).expect("room");
    assert_eq!(both.usable(first), Some(SLOT));
    assert_eq!(both.usable(second), None);
    both.give(first);
    both.give(second);
}

#[test]
fn reset_frees_both_parts() {
    let mut both = two_and_two();
    while both.take(8, 8).is_ok() {}
    both.reset();
    assert_eq!((both.primary().live(), both.secondary().live()), (0, 0));
    // SAFETY: the reset ended every block.
    let (primary, _secondary) = unsafe { both.into_parts() };
    assert_eq!(primary.live(), 0);
}

#[test]
fn a_primary_that_always_fails_still_owns_nothing_of_the_secondarys() {
    let both = WithFallback::new(
        Faulty::new(Slots::new(4), AlwaysFail),
        Faulty::new(Slots::new(1), NeverFail),
    );
    let block = both.take(8, 8).expect("the secondary serves");
    block.fill(2);
    let grown = both.grow_to(block, 40).expect("in place there");
    grown.check(2, 8);
    both.give(grown);
    assert_eq!(both.secondary().inner().live(), 0);
}

/// One step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Take {
        size: usize,
        zeroed: bool,
    },
    Give {
        pick: prop::sample::Index,
    },
    Resize {
        pick: prop::sample::Index,
        size: usize,
        zeroed: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let size = 1..=100_usize;
    let pick = any::<prop::sample::Index>();
    prop_oneof![
        3 => (size.clone(), any::<bool>()).prop_map(|(size, zeroed)| Step::Take { size, zeroed }),
        2 => pick.clone().prop_map(|pick| Step::Give { pick }),
        2 => (pick, size, any::<bool>())
            .prop_map(|(pick, size, zeroed)| Step::Resize { pick, size, zeroed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Against a model of what each part can hold: slots of 64 bytes first, then a heap with a
    /// limit. Every block keeps its bytes wherever it goes, and nothing is lost at the end.
    #[test]
    fn agrees_with_a_model(steps in prop::collection::vec(step(), 0..80)) {
        const SLOTS: u32 = 4;
        const HEAP: usize = 4;
        let both = WithFallback::new(Slots::new(SLOTS), Heap::new(HEAP));
        let mut live = Vec::new();
        for (seed, step) in (0_u8..).map(|n| n.wrapping_mul(31)).zip(steps) {
            let slot_free = both.primary().live() < SLOTS;
            let heap_free = both.secondary().live() < HEAP;
            match step {
                Step::Take { size, zeroed } => {
                    let taken = if zeroed { both.take_zeroed(size, 8) } else { both.take(size, 8) };
                    let in_slot = size <= SLOT && slot_free;
                    prop_assert_eq!(taken.is_ok(), in_slot || heap_free);
                    if let Ok(block) = taken {
                        prop_assert_eq!(both.primary().owns(block.ptr), in_slot);
                        if zeroed {
                            block.check_zero_from(0);
                        }
                        block.fill(seed);
                        live.push((block, seed));
                    }
                }
                Step::Give { pick } => {
                    if !live.is_empty() {
                        let (block, seed) = live.swap_remove(pick.index(live.len()));
                        block.check(seed, block.layout.size().get());
                        both.give(block);
                    }
                }
                Step::Resize { pick, size, zeroed } => {
                    if live.is_empty() {
                        continue;
                    }
                    let at = pick.index(live.len());
                    let (block, old_seed) = live[at];
                    let old = block.layout.size().get();
                    let resized = if size < old {
                        both.shrink_to(block, size, 8)
                    } else if zeroed {
                        both.grow_zeroed_to(block, size)
                    } else {
                        both.grow_to(block, size)
                    };
                    let in_slot = both.primary().owns(block.ptr);
                    let expected = if in_slot {
                        size <= SLOT || heap_free
                    } else {
                        heap_free || (size <= SLOT && slot_free)
                    };
                    prop_assert_eq!(resized.is_ok(), expected);
                    block_or(resized, block).check(old_seed, old.min(size_of_block(resized, old)));
                    if let Ok(block) = resized {
                        if zeroed && size >= old {
                            block.check_zero_from(old);
                        }
                        block.fill(seed);
                        live[at] = (block, seed);
                    }
                }
            }
            let owned = live.iter().filter(|(block, _)| both.primary().owns(block.ptr)).count();
            prop_assert_eq!(owned, both.primary().live() as usize);
            prop_assert_eq!(live.len() - owned, both.secondary().live());
        }
        for (block, seed) in live {
            block.check(seed, block.layout.size().get());
            both.give(block);
        }
        prop_assert_eq!((both.primary().live(), both.secondary().live()), (0, 0));
    }
}

fn block_or(resized: Result<common::Block, AllocError>, old: common::Block) -> common::Block {
    resized.unwrap_or(old)
}

fn size_of_block(resized: Result<common::Block, AllocError>, old: usize) -> usize {
    resized.map_or(old, |block| block.layout.size().get())
}

#[test]
fn a_request_that_nothing_can_serve_fails_in_both() {
    let both = two_and_two();
    let huge = layout(isize::MAX as usize - 63, 64);
    assert_eq!(both.allocate(huge), Err(AllocError));
    assert_eq!(both.allocate_zeroed(huge), Err(AllocError));
}
