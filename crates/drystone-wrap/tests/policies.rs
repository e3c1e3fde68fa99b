//! What each policy wrapper decides: limits, marks, routes and labels.

mod common;

use core::cell::RefCell;

use common::{Block, Blocks, Heap, SLOT, Slots, layout};
use drystone_core::{AllocError, Allocator, Deallocator, Owns, Reset};
use drystone_wrap::{
    Budget, FailAfter, Faulty, Off, Segregate, Tag, Tagged, Watermark, WatermarkHandler,
};
use proptest::prelude::*;

fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

mod budget {
    use super::*;

    #[test]
    fn the_limit_is_the_last_byte_that_fits() {
        let budget = Budget::new(Slots::new(8), 100);
        assert_eq!((budget.limit_bytes(), budget.remaining_bytes()), (100, 100));
        let first = budget.take(60, 8).expect("60 of 100");
        assert_eq!(budget.take(41, 1), Err(AllocError));
        let second = budget.take_zeroed(40, 8).expect("40 of 40");
        second.check_zero_from(0);
        assert_eq!(budget.take(1, 1), Err(AllocError));
        assert_eq!((budget.used_bytes(), budget.remaining_bytes()), (100, 0));
        budget.give(first);
        assert_eq!(budget.used_bytes(), 40);
        budget.give(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn blocks_are_as_long_as_was_paid_for() {
        let budget = Budget::new(Slots::new(2), 100);
        let block = budget.take(9, 8).expect("room");
        assert_eq!((block.len, budget.usable(block)), (9, Some(9)));
        let block = budget.grow_to(block, 33).expect("in place");
        assert_eq!((block.len, budget.used_bytes()), (33, 33));
        let block = budget.shrink_to(block, 3, 8).expect("in place");
        assert_eq!((block.len, budget.used_bytes()), (3, 3));
        budget.give(block);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_refusal_inside_costs_nothing() {
        let budget = Budget::new(Faulty::new(Slots::new(2), FailAfter::new(1)), 1000);
        let block = budget.take(10, 8).expect("one passes");
        assert_eq!(budget.take(10, 8), Err(AllocError));
        assert_eq!(budget.grow_to(block, 20), Err(AllocError));
        assert_eq!(budget.grow_zeroed_to(block, 20), Err(AllocError));
        assert_eq!(budget.shrink_to(block, 5, 8), Err(AllocError));
        assert_eq!(budget.used_bytes(), 10);
        budget.give(block);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_growth_beyond_the_limit_never_reaches_the_inner_allocator() {
        let budget = Budget::new(Faulty::new(Slots::new(2), FailAfter::new(9)), 32);
        let block = budget.take(32, 8).expect("the whole budget");
        block.fill(3);
        assert_eq!(budget.grow_to(block, 33), Err(AllocError));
        assert_eq!(budget.inner().policy().remaining(), 8);
        block.check(3, 32);
        budget.give(block);
    }

    #[test]
    fn a_reset_gives_the_whole_budget_back() {
        let mut budget = Budget::new(Slots::new(8), 64);
        budget.take(64, 8).expect("the whole budget");
        budget.reset();
        assert_eq!(budget.used_bytes(), 0);
        let block = budget.take(64, 8).expect("the whole budget again");
        let budget = budget.into_inner().expect_err("a block is out");
        budget.give(block);
        assert_eq!(budget.into_inner().expect("nothing is out").live(), 0);
    }

    #[test]
    fn limits_at_the_edge() {
        let none = Budget::new(Slots::new(2), 0);
        assert_eq!(none.take(1, 1), Err(AllocError));
        let all = Budget::new(Slots::new(2), usize::MAX);
        assert_eq!(all.capacity_bytes(), Some(2 * SLOT));
        let huge = layout(isize::MAX as usize, 1);
        for _ in 0..3 {
            assert_eq!(all.allocate(huge), Err(AllocError));
        }
        assert_eq!(all.used_bytes(), 0);
        let off = Budget::with_switch(Slots::new(2), 0, Off);
        let block = off.take(9, 8).expect("no limit");
        assert_eq!(block.len, SLOT);
        off.give(block);
        assert_eq!(size_of::<Budget<Slots, Off>>(), size_of::<Slots>());
    }

    #[test]
    fn the_capacity_is_the_lower_of_both() {
        assert_eq!(Budget::new(Slots::new(2), 100).capacity_bytes(), Some(100));
        assert_eq!(Budget::new(Heap::new(2), 100).capacity_bytes(), Some(100));
    }

    proptest! {
        #![proptest_config(cases())]

        /// The sum of live sizes never exceeds the limit, is refused only if it would, and is what
        /// is used.
        #[test]
        fn agrees_with_a_sum(
            limit in 0usize..400,
            steps in prop::collection::vec((0usize..4, 1usize..=SLOT, any::<prop::sample::Index>()), 1..60),
        ) {
            let budget = Budget::new(Slots::new(64), limit);
            let mut live: Vec<Block> = Vec::new();
            for (kind, size, index) in steps {
                let used: usize = live.iter().map(|block| block.layout.size().get()).sum();
                prop_assert_eq!(budget.used_bytes(), used);
                if kind == 0 || live.is_empty() {
                    let taken = budget.take(size, 1);
                    prop_assert_eq!(taken.is_ok(), used + size <= limit);
                    live.extend(taken);
                    continue;
                }
                let at = index.index(live.len());
                let block = live.swap_remove(at);
                let old = block.layout.size().get();
                if kind == 1 {
                    budget.give(block);
                } else if size >= old {
                    let grown = budget.grow_to(block, size);
                    prop_assert_eq!(grown.is_ok(), used - old + size <= limit);
                    live.push(grown.unwrap_or(block));
                } else {
                    live.push(budget.shrink_to(block, size, 1).expect("in place"));
                }
            }
            for block in live {
                budget.give(block);
            }
            prop_assert_eq!(budget.used_bytes(), 0);
        }
    }
}

mod watermark {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Heard {
        Warn(usize, usize),
        Critical(usize, usize),
        Oom(usize, usize),
    }
    use Heard::{Critical, Oom, Warn};

    #[derive(Default)]
    struct Log(RefCell<Vec<Heard>>);

    impl Log {
        fn take(&self) -> Vec<Heard> {
            self.0.take()
        }
    }

    impl WatermarkHandler for Log {
        fn on_warn(&self, used: usize, capacity: usize) {
            self.0.borrow_mut().push(Warn(used, capacity));
        }

        fn on_critical(&self, used: usize, capacity: usize) {
            self.0.borrow_mut().push(Critical(used, capacity));
        }

        fn on_oom(&self, used: usize, capacity: usize) {
            self.0.borrow_mut().push(Oom(used, capacity));
        }
    }

    /// Ten slots of 64 bytes: marks at 480 and 576 bytes.
    fn ten() -> Watermark<Slots, Log> {
        Watermark::new(Slots::new(10), Log::default())
    }

    #[test]
    fn each_mark_fires_once_and_again_after_a_fall() {
        let memory = ten();
        let mut blocks: Vec<_> = (0..7).map(|_| memory.take(1, 1).expect("room")).collect();
        assert_eq!(memory.handler().take(), []);
        blocks.push(memory.take(1, 1).expect("room"));
        assert_eq!(memory.handler().take(), [Warn(512, 640)]);
        blocks.push(memory.take(1, 1).expect("room"));
        assert_eq!(memory.handler().take(), [Critical(576, 640)]);
        blocks.push(memory.take(1, 1).expect("room"));
        assert_eq!(memory.handler().take(), [], "both have fired");
        for _ in 0..3 {
            assert_eq!(memory.take(1, 1), Err(AllocError));
            assert_eq!(memory.handler().take(), [Oom(640, 640)], "each refusal");
        }
        // Below the upper mark only.
        for block in blocks.drain(8..) {
            memory.give(block);
        }
        blocks.push(memory.take(1, 1).expect("room"));
        assert_eq!(memory.handler().take(), [Critical(576, 640)]);
        for block in blocks.drain(..) {
            memory.give(block);
        }
        assert_eq!((memory.used_bytes(), memory.handler().take()), (0, vec![]));
        blocks.extend((0..9).map(|_| memory.take_zeroed(1, 1).expect("room")));
        assert_eq!(
            memory.handler().take(),
            [Warn(512, 640), Critical(576, 640)]
        );
        for block in blocks {
            memory.give(block);
        }
    }

    #[test]
    fn one_block_can_cross_both_marks_and_growth_crosses_too() {
        let heap = Watermark::with_capacity(Heap::new(9), Log::default(), 1000, 75, 90);
        let block = heap.take(950, 1).expect("room");
        assert_eq!(
            heap.handler().take(),
            [Warn(950, 1000), Critical(950, 1000)]
        );
        let block = heap.shrink_to(block, 10, 1).expect("room");
        assert_eq!(heap.used_bytes(), 10);
        let block = heap.grow_to(block, 800).expect("room");
        let block = heap.grow_zeroed_to(block, 900).expect("room");
        assert_eq!(
            heap.handler().take(),
            [Warn(800, 1000), Critical(900, 1000)]
        );
        heap.give(block);
        assert_eq!(heap.used_bytes(), 0);
    }

    #[test]
    fn without_a_limit_only_refusals_are_heard() {
        let heap = Watermark::new(Heap::new(1), Log::default());
        let block = heap.take(100_000, 1).expect("room");
        assert_eq!(heap.take(1, 1), Err(AllocError));
        assert_eq!(heap.handler().take(), [Oom(100_000, usize::MAX)]);
        heap.give(block);
    }

    #[test]
    fn percentages_at_the_edge() {
        let marks = |warn, critical| {
            let memory = Watermark::with_thresholds(Slots::new(2), Log::default(), warn, critical);
            let blocks = [(); 2].map(|()| memory.take(1, 1).expect("room"));
            for block in blocks {
                memory.give(block);
            }
            memory.handler().take()
        };
        assert_eq!(marks(0, 100), [Warn(64, 128), Critical(128, 128)]);
        assert_eq!(marks(50, 51), [Warn(64, 128), Critical(128, 128)]);
        assert_eq!(marks(101, u32::MAX), []);
        // The lower mark may be the critical one.
        assert_eq!(marks(100, 50), [Critical(64, 128), Warn(128, 128)]);
    }

    #[test]
    fn a_handler_may_free() {
        struct Cache<'a> {
            memory: &'a Slots,
            spare: RefCell<Option<Block>>,
        }
        impl WatermarkHandler for Cache<'_> {
            fn on_oom(&self, _used: usize, _capacity: usize) {
                if let Some(block) = self.spare.take() {
                    self.memory.give(block);
                }
            }
        }
        let memory = Slots::new(1);
        let cache = Cache {
            memory: &memory,
            spare: RefCell::new(Some(memory.take(1, 1).expect("room"))),
        };
        let watched = Watermark::new(&memory, &cache);
        assert_eq!(watched.take(1, 1), Err(AllocError));
        let block = watched.take(1, 1).expect("the handler has made room");
        watched.give(block);
    }

    #[test]
    fn a_reset_arms_both_marks() {
        let mut memory = ten();
        for _ in 0..10 {
            memory.take(1, 1).expect("room");
        }
        memory.reset();
        assert_eq!(memory.used_bytes(), 0);
        memory.handler().take();
        for _ in 0..9 {
            memory.take(1, 1).expect("room");
        }
        assert_eq!(memory.handler().take().len(), 2);
        assert!(memory.into_inner().is_err());
        let off = Watermark::with_switch(Slots::new(1), Log::default(), Off);
        assert_eq!(size_of_val(&off), size_of::<(Slots, Log)>());
        let block = off.take(1, 1).expect("room");
        assert_eq!(off.take(1, 1), Err(AllocError));
        assert_eq!((block.len, off.handler().take()), (SLOT, vec![]));
        off.give(block);
    }
}

mod segregate {
    use super::*;

    fn both() -> Segregate<Slots, Slots> {
        Segregate::new(Slots::new(4), Slots::sized(4, 256), 32)
    }

    fn live(both: &Segregate<Slots, Slots>) -> (u32, u32) {
        (both.small().live(), both.large().live())
    }

    #[test]
    fn the_threshold_is_small() {
        let both = both();
        let small = both.take(32, 8).expect("room");
        assert_eq!(
            (small.len, live(&both)),
            (32, (1, 0)),
            "no longer than the threshold"
        );
        let large = both.take(33, 8).expect("room");
        assert_eq!((large.len, live(&both)), (64, (1, 1)));
        assert_eq!(both.usable(small), Some(32));
        assert_eq!(both.usable(large), Some(256));
        both.give(small);
        both.give(large);
        assert_eq!(live(&both), (0, 0));
    }

    /// A caller may free with every size up to the returned length: each must find the same part.
    #[test]
    fn every_size_that_fits_goes_home() {
        for requested in (1..=64).step_by(if cfg!(miri) { 21 } else { 1 }) {
            let both = both();
            let block = both.take(requested, 8).expect("room");
            for fitting in (requested..=block.len).step_by(if cfg!(miri) { 5 } else { 1 }) {
                let again = both.take(requested, 8).expect("room");
                // SAFETY: the block is live, and the size lies between the requested and the returned.
                unsafe { both.deallocate(again.ptr, layout(fitting, 8)) };
                assert_eq!(live(&both).0 + live(&both).1, 1, "{requested} {fitting}");
            }
            both.give(block);
            assert_eq!(live(&both), (0, 0));
        }
    }

    #[test]
    fn a_block_that_crosses_keeps_its_bytes() {
        let both = both();
        let block = both.take(32, 8).expect("room");
        block.fill(5);
        let block = both.grow_zeroed_to(block, 100).expect("room");
        block.check(5, 32);
        block.check_zero_from(32);
        assert_eq!(live(&both), (0, 1));
        let block = both.shrink_to(block, 7, 1).expect("room");
        block.check(5, 7);
        assert_eq!((block.len, live(&both)), (32, (1, 0)));
        both.give(block);
    }

    #[test]
    fn a_full_part_refuses_and_the_block_stays() {
        let both = Segregate::new(Slots::new(1), Slots::sized(1, 256), 32);
        let small = both.take(8, 8).expect("room");
        let large = both.take(64, 8).expect("room");
        small.fill(1);
        large.fill(2);
        assert_eq!(both.take(8, 8), Err(AllocError));
        assert_eq!(both.grow_to(small, 40), Err(AllocError));
        assert_eq!(both.grow_zeroed_to(small, 40), Err(AllocError));
        assert_eq!(both.shrink_to(large, 20, 8), Err(AllocError));
        small.check(1, 8);
        large.check(2, 64);
        assert!(both.owns(small.ptr) && both.owns(large.ptr));
        both.give(small);
        both.give(large);
    }

    #[test]
    fn thresholds_at_the_edge() {
        let all_large = Segregate::new(Slots::new(1), Slots::new(1), 0);
        let block = all_large.take(1, 1).expect("room");
        assert_eq!(live(&all_large), (0, 1));
        all_large.give(block);
        let mut all_small = Segregate::new(Slots::new(1), Slots::new(1), usize::MAX);
        all_small.take(64, 1).expect("room");
        assert_eq!(live(&all_small), (1, 0));
        all_small.reset();
        assert_eq!(live(&all_small), (0, 0));
        assert_eq!(all_small.capacity_bytes(), Some(2 * SLOT));
        assert_eq!(
            Segregate::new(Slots::new(1), Heap::new(1), 9).capacity_bytes(),
            None
        );
    }

    /// The small part may be cut out of the large one: size, not place, decides.
    #[test]
    fn a_small_part_inside_the_large_one() {
        let large = Slots::sized(4, 256);
        let region = drystone_core::AllocatedRegion::new(&large, layout(256, 64)).expect("room");
        let small = drystone_layout::Slab::<[u64; 4], _>::new(4, region).expect("room");
        let both = Segregate::new(small, &large, 32);
        let blocks = [both.take(32, 8), both.take(200, 8)].map(|block| block.expect("room"));
        for (seed, block) in (1..).zip(blocks) {
            block.fill(seed);
        }
        for (seed, block) in (1..).zip(blocks) {
            block.check(seed, block.layout.size().get());
            both.give(block);
        }
        drop(both);
        assert_eq!(large.live(), 0);
    }
}

mod tagged {
    use super::*;

    #[test]
    fn owners_are_told_apart_over_one_allocator() {
        let memory = Slots::new(8);
        let parser = Tagged::new(&memory, "parser");
        let index = Tagged::new(&memory, "index");
        let blocks = [
            parser.take(10, 8),
            index.take(20, 8),
            index.take_zeroed(30, 8),
        ]
        .map(|block| block.expect("room"));
        assert_eq!(
            (parser.stats().live_bytes(), index.stats().live_bytes()),
            (10, 50)
        );
        assert_eq!(blocks[1].len, 20, "exactly as long as asked");
        let grown = index.grow_to(blocks[1], 40).expect("in place");
        let shrunk = index.shrink_to(grown, 4, 8).expect("in place");
        assert_eq!(index.stats().live_bytes(), 34);
        assert_eq!(
            format!("{index:?}").split(", inner").next(),
            Some("Tagged { tag: index: 34 bytes in 2 blocks, at most 70")
        );
        parser.give(blocks[0]);
        index.give(shrunk);
        index.give(blocks[2]);
        for tagged in [parser, index] {
            assert_eq!(tagged.stats().live_blocks(), 0);
            assert!(tagged.into_inner().is_ok());
        }
    }

    #[test]
    fn a_shared_tag_adds_up_over_allocators_and_threads() {
        static SESSIONS: Tag = Tag::new("sessions");
        let rounds = if cfg!(miri) { 5 } else { 1000 };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let own = Tagged::with_tag(Slots::new(2), &SESSIONS);
                    for _ in 0..rounds {
                        let block = own.take(24, 8).expect("room");
                        own.give(block);
                    }
                    assert!(own.take(65, 8).is_err());
                });
            }
        });
        let stats = SESSIONS.stats();
        assert_eq!(
            (stats.live_blocks(), stats.live_bytes(), stats.failures),
            (0, 0, 2)
        );
        assert_eq!(stats.allocated_bytes, 48 * rounds as u64);
        assert_eq!(SESSIONS.label(), "sessions");
        assert!(
            SESSIONS
                .to_string()
                .starts_with("sessions: 0 bytes in 0 blocks")
        );
    }

    #[test]
    fn a_reset_ends_the_blocks_of_its_own_tag() {
        let mut own = Tagged::new(Slots::new(2), "own");
        own.take(24, 8).expect("room");
        own.reset();
        assert_eq!(own.stats().live_bytes(), 0);
        let off = Tagged::with_tag(Slots::new(2), Off);
        assert!(off.tag().is_none());
        assert_eq!(size_of_val(&off), size_of::<Slots>());
        let block = off.take(9, 8).expect("room");
        assert_eq!(block.len, SLOT);
        off.give(block);
    }
}
