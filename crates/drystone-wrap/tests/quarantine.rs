//! `Quarantine`: when blocks come back, and what is found on the way.

mod common;

use core::cell::RefCell;
use core::ptr::NonNull;

use common::content::{Random, Record, SECRET, bytes_of};
use common::{Block, Blocks, SLOT, Slots};
use drystone_core::{
    Allocator, Contents, FixedRange, HeapSegment, Misuse, MisusePolicy, NonZeroLayout, Owns, Reset,
    StableAddress,
};
use drystone_layout::{BumpArena, SizeClassed, StackAlloc};
use drystone_wrap::{Locked, Off, On, PoisonOnFree, Quarantine, Statistics};

const CASES: usize = if cfg!(miri) { 12 } else { 100_000 };
const CLEAN_STEPS: usize = if cfg!(miri) { 60 } else { 1_000_000 };
const PATTERN: u8 = Quarantine::<Slots, 1>::PATTERN;

type Watched<'a, A, const N: usize> = Quarantine<A, N, On, &'a Record>;

fn classes() -> SizeClassed<HeapSegment, 4> {
    let layout = NonZeroLayout::from_size_align(64 << 10, 4096).expect("valid");
    let range = HeapSegment::new(layout).expect("memory for a test");
    SizeClassed::with_class_sizes(range, [16, 64, 256, 512], 64).expect("room")
}

/// Changes the byte at an offset of a block that was freed.
fn write_after_free(block: Block, at: usize, change: u8) {
    // SAFETY: inside the block.
    let byte = unsafe { block.ptr.add(at) };
    // SAFETY: none as far as the allocator is concerned. The memory is still there, and initialised
    // with the pattern.
    let before = unsafe { byte.read() };
    // SAFETY: as above.
    unsafe { byte.write(before ^ change) };
}

#[test]
fn blocks_come_back_in_the_order_they_were_freed() {
    let memory = Quarantine::<_, 3>::new(Slots::new(8));
    let blocks = [(); 6].map(|()| memory.take(8, 8).expect("room"));
    for (freed, block) in blocks.into_iter().enumerate() {
        memory.give(block);
        assert_eq!(memory.held_blocks(), (freed + 1).min(3));
        assert_eq!(memory.held_bytes(), memory.held_blocks() * SLOT);
    }
    // The first three went on; the lowest free slot is handed out first.
    assert_eq!(memory.inner().live(), 3);
    for block in &blocks[..3] {
        assert_eq!(memory.take(8, 8).expect("room").ptr, block.ptr);
    }
    memory.flush();
    assert_eq!((memory.held_blocks(), memory.held_bytes()), (0, 0));
    assert_eq!(memory.inner().live(), 3);
}

#[test]
fn a_quarantine_of_one_keeps_the_last() {
    let memory = Quarantine::<_, 1>::new(Slots::new(2));
    let first = memory.take(8, 8).expect("room");
    memory.give(first);
    let second = memory.take(8, 8).expect("room");
    assert_ne!(first.ptr, second.ptr);
    memory.give(second);
    assert_eq!(memory.take(8, 8).expect("room").ptr, first.ptr);
    assert_eq!(memory.inner().live(), 2);
}

/// What lies behind a block is in quarantine, and there is no room to move to: once the held block went
/// on, the block grows where it is.
#[test]
fn a_block_grows_in_place_over_one_that_was_held() {
    for zeroed in [false, true] {
        // Two blocks of 64 bytes and what the layout keeps beside them.
        let layout = NonZeroLayout::from_size_align(160, 16).expect("valid");
        let range = HeapSegment::new(layout).expect("memory for a test");
        let memory = Quarantine::<_, 4>::new(StackAlloc::new(range));
        let first = memory.take(64, 16).expect("room");
        first.fill(3);
        let second = memory.take(64, 16).expect("room");
        memory.give(second);
        assert_eq!(memory.held_blocks(), 1);
        let grown = if zeroed {
            memory.grow_zeroed_to(first, 128)
        } else {
            memory.grow_to(first, 128)
        };
        let grown = grown.expect("in place, after the flush");
        assert_eq!(
            (grown.ptr, grown.len, memory.held_blocks()),
            (first.ptr, 128, 0)
        );
        grown.check(3, 64);
        if zeroed {
            grown.check_zero_from(64);
        }
        assert!(memory.grow_to(grown, 256).is_err());
        grown.check(3, 64);
        memory.give(grown);
    }
}

#[test]
fn every_byte_that_is_held_is_pattern() {
    let memory = Quarantine::<_, 4>::new(Slots::new(4));
    let blocks = [(); 3].map(|()| memory.take(8, 8).expect("room"));
    for block in blocks {
        // SAFETY: the slot is the block's.
        unsafe { block.ptr.write_bytes(SECRET, SLOT) };
        memory.give(block);
    }
    for block in blocks {
        for at in 0..SLOT {
            // SAFETY: inside the slot.
            let byte = unsafe { block.ptr.add(at) };
            // SAFETY: the quarantine holds the block and has initialised it.
            assert_eq!(unsafe { byte.read() }, PATTERN);
        }
    }
}

#[test]
fn no_more_bytes_are_held_than_allowed() {
    let memory = Quarantine::<_, 8>::with_bytes(Slots::new(8), 3 * SLOT - 1);
    assert_eq!(memory.bytes_max(), 3 * SLOT - 1);
    let blocks = [(); 6].map(|()| memory.take(8, 8).expect("room"));
    for block in blocks {
        memory.give(block);
        assert!(memory.held_bytes() <= memory.bytes_max());
    }
    assert_eq!((memory.held_blocks(), memory.inner().live()), (2, 2));

    // A block that is too large alone pushes nothing out.
    let record = Record::default();
    let memory = Watched::<_, 8>::with_policy(classes(), 100, &record);
    let small = memory.take(16, 8).expect("room");
    memory.give(small);
    let large = memory.take(256, 8).expect("room");
    memory.give(large);
    assert_eq!((memory.held_blocks(), memory.held_bytes()), (1, 16));
    assert_eq!(memory.take(256, 8).expect("room").ptr, large.ptr);
    assert_eq!(record.take(), []);
}

#[test]
fn nothing_is_refused_for_what_is_held() {
    let memory = Quarantine::<_, 4>::new(Slots::new(4));
    for _ in 0..3 {
        let blocks = [(); 4].map(|()| memory.take(8, 8).expect("room"));
        assert!(memory.take(8, 8).is_err());
        for block in blocks {
            memory.give(block);
        }
        assert_eq!(memory.held_blocks(), 4);
    }
    let block = memory.take_zeroed(SLOT, 8).expect("room");
    block.check_zero_from(0);
    assert_eq!(memory.held_blocks(), 0);
}

#[test]
fn a_move_keeps_the_old_place_back() {
    let record = Record::default();
    let memory = Watched::<_, 4>::with_policy(classes(), usize::MAX, &record);
    let small = memory.take(16, 8).expect("room");
    small.fill(5);
    let large = memory.grow_to(small, 60).expect("room");
    assert_ne!(large.ptr, small.ptr);
    large.check(5, 16);
    assert_eq!(memory.held_blocks(), 1);
    let same = memory.grow_zeroed_to(large, 64).expect("in place");
    assert_eq!(same.ptr, large.ptr);
    same.check_zero_from(60);
    let back = memory.shrink_to(same, 9, 8).expect("room");
    back.check(5, 9);
    assert_eq!(memory.held_blocks(), 2);
    write_after_free(small, 15, 1);
    write_after_free(same, 63, 0x80);
    memory.give(back);
    memory.flush();
    assert_eq!(record.take(), [Misuse::WriteAfterFree; 2]);
    assert_eq!(memory.corruption_events(), 2);
}

#[test]
fn every_write_after_free_is_found() {
    let record = Record::default();
    let memory = Watched::<_, 16>::with_policy(classes(), usize::MAX, &record);
    let mut random = Random::new(11);
    let mut written = 0_u64;
    for _ in 0..CASES {
        let block = memory.take(random.below(512) + 1, 8).expect("room");
        let usable = memory.usable(block).expect("known");
        memory.give(block);
        write_after_free(block, random.below(usable), random.change());
        written += 1;
        if random.below(40) == 0 {
            memory.flush();
            assert_eq!(memory.corruption_events(), written);
        }
    }
    memory.flush();
    assert_eq!(memory.corruption_events(), written);
    assert!(
        record
            .take()
            .iter()
            .all(|misuse| *misuse == Misuse::WriteAfterFree)
    );
}

#[test]
fn clean_use_raises_no_alarm() {
    let record = Record::default();
    let memory = Watched::<_, 24>::with_policy(classes(), 4096, &record);
    let mut random = Random::new(5);
    let mut live: Vec<Block> = Vec::new();
    for _ in 0..CLEAN_STEPS {
        if random.below(2) == 0 && live.len() < 60 {
            let Ok(block) = memory.take(random.below(512) + 1, 1 << random.below(5)) else {
                continue;
            };
            // SAFETY: the block is live and so long.
            unsafe { block.ptr.write_bytes(random.word() as u8, block.len) };
            live.push(block);
        } else if !live.is_empty() {
            let block = live.swap_remove(random.below(live.len()));
            match random.below(8) {
                0 => {
                    let size = block.layout.size().get().max(random.below(512) + 1);
                    live.push(memory.grow_to(block, size).unwrap_or(block));
                }
                1 => {
                    let size = block.layout.size().get().min(random.below(512) + 1);
                    let align = block.layout.align().get();
                    live.push(memory.shrink_to(block, size, align).unwrap_or(block));
                }
                _ => memory.give(block),
            }
        }
    }
    memory.flush();
    assert_eq!(record.take(), []);
    assert_eq!(memory.corruption_events(), 0);
}

#[test]
fn a_second_free_of_a_held_block_is_found_and_not_passed_on() {
    let record = Record::default();
    let memory = Watched::<_, 8>::with_policy(Slots::new(10), usize::MAX, &record);
    let blocks = [(); 9].map(|()| memory.take(8, 8).expect("room"));
    for block in blocks {
        memory.give(block);
    }
    // The first has gone on; every other one is held.
    for (found, block) in (1_u64..).zip(&blocks[1..]) {
        memory.give(*block);
        assert_eq!(memory.corruption_events(), found);
        let heard = record.take_with_addresses();
        assert_eq!(heard, [(Misuse::DoubleFree, block.ptr.addr().get())]);
    }
    assert_eq!(memory.held_blocks(), 8);
    memory.flush();
    assert_eq!(memory.inner().live(), 0);
}

#[test]
fn what_is_held_survives_moves_of_the_wrapper() {
    let record = Record::default();
    let layout = NonZeroLayout::from_size_align(4096, 64).expect("valid");
    let range = HeapSegment::new(layout).expect("memory for a test");
    let held = {
        let memory = Watched::<_, 4>::with_policy(BumpArena::new(range), usize::MAX, &record);
        let blocks = [(); 3].map(|()| memory.take(40, 8).expect("room"));
        for block in blocks {
            memory.give(block);
        }
        Box::new(memory)
    };
    let mut moved = vec![*held];
    let memory = moved.pop().expect("one");
    assert_eq!(memory.held_blocks(), 3);
    memory.flush();
    assert_eq!(record.take(), []);
    assert_eq!(
        memory.inner().allocated_bytes(),
        80,
        "the topmost of three came first to go"
    );
}

#[test]
fn a_drop_and_a_reset_pass_everything_on() {
    let counted = Statistics::new(Slots::new(8));
    {
        let memory = Quarantine::<_, 8>::new(&counted);
        for block in [(); 5].map(|()| memory.take(8, 8).expect("room")) {
            memory.give(block);
        }
        assert_eq!(counted.stats().deallocations, 0);
    }
    assert_eq!(counted.stats().live_blocks(), 0);

    let record = Record::default();
    let mut memory = Watched::<_, 8>::with_policy(Slots::new(8), usize::MAX, &record);
    let kept = memory.take(8, 8).expect("room");
    let freed = memory.take(8, 8).expect("room");
    memory.give(freed);
    write_after_free(freed, 9, 4);
    memory.reset();
    assert_eq!(record.take(), [Misuse::WriteAfterFree]);
    assert_eq!((memory.held_blocks(), memory.inner().live()), (0, 0));
    assert_eq!(memory.take(8, 8).expect("room").ptr, kept.ptr);
}

#[test]
fn a_wrapper_around_scrubs_only_after_the_comparison() {
    let record = Record::default();
    let mut memory = PoisonOnFree::with_pattern(
        Watched::<_, 4>::with_policy(Slots::new(4), usize::MAX, &record),
        0x11,
    );
    let block = memory.take(8, 8).expect("room");
    memory.give(block);
    let _live = memory.take(8, 8).expect("room");
    memory.reset();
    drop(memory);
    assert_eq!(record.take(), []);
}

#[test]
fn the_inner_allocator_comes_out_with_everything_freed() {
    let memory = Quarantine::<_, 4>::new(Slots::new(4));
    let blocks = [(); 3].map(|()| memory.take(8, 8).expect("room"));
    memory.give(blocks[0]);
    memory.give(blocks[1]);
    // SAFETY: the live block is freed with the allocator returned.
    let slots = unsafe { memory.into_inner() };
    assert_eq!(slots.live(), 1);
    slots.give(blocks[2]);
}

#[test]
fn switched_off_it_is_the_inner_allocator() {
    let memory = Quarantine::<_, 64, Off>::with_switch(Slots::new(2), Off);
    let block = memory.take(8, 8).expect("room");
    block.fill(6);
    memory.give(block);
    assert_eq!(memory.inner().live(), 0);
    assert_eq!(size_of_val(&memory), size_of_val(memory.inner()));
    fn shared<A: Sync>() {}
    shared::<Quarantine<drystone_backing::System, 8, Off>>();
}

/// Frees another block of the same quarantine from inside a report.
struct Meddler<'a> {
    spare: RefCell<Vec<Block>>,
    memory: RefCell<Option<&'a dyn Allocator>>,
}

impl MisusePolicy for &Meddler<'_> {
    fn on_misuse(&self, _misuse: Misuse, _address: usize) {
        let spare = self.spare.borrow_mut().pop();
        if let (Some(block), Some(memory)) = (spare, *self.memory.borrow()) {
            memory.give(block);
        }
    }
}

#[test]
fn a_policy_may_free_from_inside_a_report() {
    let slots = Slots::new(16);
    let meddler = Meddler {
        spare: RefCell::default(),
        memory: RefCell::new(None),
    };
    let memory = Quarantine::<_, 2, On, _>::with_policy(&slots, usize::MAX, &meddler);
    let blocks = [(); 8].map(|()| memory.take(8, 8).expect("room"));
    meddler.spare.borrow_mut().extend([blocks[6], blocks[7]]);
    // SAFETY: the reference is taken out again before the wrapper is dropped.
    let lent = unsafe { NonNull::from(&memory as &dyn Allocator).as_ref() };
    *meddler.memory.borrow_mut() = Some(lent);
    for block in &blocks[..6] {
        memory.give(*block);
        write_after_free(*block, 30, 8);
    }
    memory.flush();
    *meddler.memory.borrow_mut() = None;
    assert_eq!(memory.corruption_events(), 6);
    assert_eq!((memory.held_blocks(), slots.live()), (0, 0));
}

#[test]
fn behind_a_lock_it_serves_threads() {
    let memory = Locked::new(Quarantine::<_, 8>::new(Slots::new(32)));
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let memory = &memory;
            scope.spawn(move || {
                for _ in 0..if cfg!(miri) { 5 } else { 2000 } {
                    let block = memory.take(40, 8).expect("room");
                    block.fill(seed);
                    block.check(seed, 40);
                    memory.give(block);
                }
            });
        }
    });
    assert_eq!(memory.corruption_events(), 0);
    assert_eq!(memory.with(Quarantine::held_blocks), 8);
}

#[test]
fn the_corruption_of_the_inner_allocator_counts_too() {
    let record = Record::default();
    let memory = Watched::<_, 2>::with_policy(Slots::new(2), usize::MAX, &record);
    memory.inner().set_corruption(3);
    let block = memory.take(8, 8).expect("room");
    memory.give(block);
    write_after_free(block, 0, 1);
    memory.flush();
    assert_eq!(memory.corruption_events(), 4);
}

#[test]
fn the_pattern_stays_in_what_was_passed_on() {
    let layout = NonZeroLayout::from_size_align(256, 64).expect("valid");
    let range = HeapSegment::new_zeroed(layout).expect("memory for a test");
    let memory = Quarantine::<_, 1>::with_bytes(BumpArena::new(range), 16);
    let blocks = [(); 2].map(|()| memory.take(64, 8).expect("room"));
    // SAFETY: the block is live.
    unsafe { blocks[0].ptr.write_bytes(SECRET, 64) };
    memory.give(blocks[0]);
    assert_eq!(memory.held_blocks(), 0, "too large to be held");
    let bytes = bytes_of(memory.inner().backing());
    assert!(bytes[..64].iter().all(|byte| *byte == PATTERN));
    assert!(memory.inner().backing().contains(blocks[1].ptr));
}

/// Compiled only: what the wrapper is as a type.
#[allow(dead_code, reason = "the bounds are the test")]
fn types<A: Contents + StableAddress + Owns + Reset + Send>() {
    fn whole<A: Contents + StableAddress + Owns + Reset + Send>() {}
    whole::<Quarantine<A, 8>>();
    whole::<Quarantine<A, 8, Off>>();
}
