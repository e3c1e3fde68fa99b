//! `Canary`: every change beside a block is found, and nothing else is.

mod common;

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use common::content::{Random, Record, bytes_of};
use common::{Block, Blocks, Slots, layout};
use drystone_backing::System;
use drystone_core::{
    Allocator, Contents, Deallocator, HeapSegment, Misuse, NonZeroLayout, Owns, Reset,
    StableAddress,
};
use drystone_layout::{BumpArena, SharedBumpArena, SizeClassed, Slab};
use drystone_wrap::{Canary, Off, On, PoisonOnFree, Quarantine};

const CASES: usize = if cfg!(miri) { 12 } else { 100_000 };
const CLEAN_STEPS: usize = if cfg!(miri) { 60 } else { 1_000_000 };

/// What lies in front of a block of small alignment, and behind it at least.
const HEADER: usize = 16;
const WORD: usize = 8;

type Watched<'a, A> = Canary<A, On, &'a Record>;

fn segment(bytes: usize) -> HeapSegment {
    let layout = NonZeroLayout::from_size_align(bytes, 4096).expect("valid");
    HeapSegment::new_zeroed(layout).expect("memory for a test")
}

fn classes() -> SizeClassed<HeapSegment, 6> {
    let bytes = if cfg!(miri) { 16 << 10 } else { 256 << 10 };
    let per_class = if cfg!(miri) { 4 } else { 64 };
    SizeClassed::with_class_sizes(segment(bytes), [32, 48, 64, 128, 512, 1024], per_class)
        .expect("room")
}

/// The byte at an offset from the start of a block, before it or behind it.
fn byte_at(block: Block, offset: isize) -> NonNull<u8> {
    // SAFETY: the tests stay in the range of the innermost allocator, which block pointers reach.
    unsafe { block.ptr.offset(offset) }
}

fn read(block: Block, offset: isize) -> u8 {
    // SAFETY: the tests read initialised bytes of the range only.
    unsafe { byte_at(block, offset).read() }
}

fn change(block: Block, offset: isize, by: u8) {
    let byte = byte_at(block, offset);
    // SAFETY: as for `read`; that the byte is not the test's to write is what is to be found.
    let before = unsafe { byte.read() };
    // SAFETY: as above.
    unsafe { byte.write(before ^ by) };
}

/// A random request whose block has no more than `size_max` bytes with what is around it.
fn any_request(random: &mut Random, size_max: usize) -> (usize, usize) {
    let align = 1 << random.below(6);
    let room = size_max - HEADER.max(align) - WORD;
    (random.below(room) + 1, align)
}

/// Frees the block, after the bytes at `offsets` were changed; says what was found. Bytes of others
/// that the writes hit are put back, because only the canary is to be tried.
fn damaged<A: Contents>(
    memory: &Watched<'_, A>,
    block: Block,
    offsets: core::ops::Range<isize>,
    random: &mut Random,
) -> Vec<Misuse> {
    let before: Vec<_> = offsets.clone().map(|at| read(block, at)).collect();
    for at in offsets.clone() {
        change(block, at, random.change());
    }
    // SAFETY: the block is live.
    let verdict = unsafe { memory.verify(block.ptr, block.layout) };
    let beyond: Vec<_> = offsets
        .zip(before)
        .filter(|(at, _)| *at >= (block.len + WORD) as isize || *at < -(HEADER as isize))
        .collect();
    for (at, byte) in beyond {
        // SAFETY: as for `change`.
        unsafe { byte_at(block, at).write(byte) };
    }
    memory.give(block);
    let heard = memory.policy().take();
    assert_eq!(verdict.err().as_slice(), heard);
    heard
}

#[test]
fn every_overflow_is_found() {
    let record = Record::default();
    let memory = Watched::with_policy(classes(), &record);
    let mut random = Random::new(3);
    for case in 0..CASES {
        let (size, align) = any_request(&mut random, 1024);
        let block = memory.take(size, align).expect("room");
        // Somewhere in the word behind the block, and on from there.
        let start = block.len as isize + random.below(WORD) as isize * (case as isize % 2);
        let end = start + random.below(64) as isize + 1;
        let heard = damaged(&memory, block, start..end, &mut random);
        assert_eq!(heard, [Misuse::Overrun], "{block:?} {start}..{end}");
    }
    assert_eq!(memory.corruption_events(), CASES as u64);
}

#[test]
fn every_underflow_is_found() {
    let record = Record::default();
    // In front of the first block of an arena there is nothing else that a write could hit.
    let mut random = Random::new(4);
    let mut memory = Watched::with_policy(BumpArena::new(segment(4096)), &record);
    for _ in 0..CASES {
        memory.reset();
        let pad = memory.take(80, 1).expect("room");
        let (size, align) = any_request(&mut random, 1024);
        let block = memory.take(size, align).expect("room");
        let length = random.below(64) as isize + 1;
        let end = -(random.below(HEADER) as isize);
        let start = end - length;
        let heard = damaged(&memory, block, start..end, &mut random);
        assert_eq!(heard, [Misuse::Underrun], "{block:?} {start}..{end}");
        memory.give(pad);
        assert_eq!(record.take(), []);
    }
    assert_eq!(memory.corruption_events(), CASES as u64);
}

/// 256 bytes, handed out whole.
#[repr(align(64))]
struct Large(#[allow(dead_code, reason = "only its size and alignment matter")] [u8; 256]);

#[test]
fn every_single_byte_around_a_block_counts() {
    let record = Record::default();
    let sizes = if cfg!(miri) { 17..18 } else { 1..70 };
    for (size, align) in sizes.flat_map(|size| [(size, 1), (size, 8), (size, 64)]) {
        let slab = Slab::<Large, _>::new(2, segment(512)).expect("room");
        let memory = Watched::with_policy(slab, &record);
        let block = memory.take(size, align).expect("room");
        let prefix = align.max(HEADER);
        let slack = 256 - prefix - size - WORD;
        for at in (-(HEADER as isize)..0).chain(size as isize..(size + WORD + slack) as isize) {
            change(block, at, 0x40);
            // SAFETY: the block is live.
            let verdict = unsafe { memory.verify(block.ptr, block.layout) };
            let expected = if at < 0 {
                Misuse::Underrun
            } else {
                Misuse::Overrun
            };
            assert_eq!(verdict, Err(expected), "byte {at} of {block:?}");
            change(block, at, 0x40);
        }
        memory.give(block);
        assert_eq!(record.take(), []);
    }
}

#[test]
fn clean_use_raises_no_alarm() {
    let record = Record::default();
    let memory = Watched::with_policy(classes(), &record);
    let mut random = Random::new(6);
    let mut live: Vec<(Block, u8)> = Vec::new();
    for _ in 0..CLEAN_STEPS {
        let (size, align) = any_request(&mut random, 1024);
        if random.below(2) == 0 && live.len() < 100 {
            if let Ok(block) = memory.take(size, align) {
                let seed = random.word() as u8;
                block.fill(seed);
                live.push((block, seed));
            }
        } else if !live.is_empty() {
            let (block, seed) = live.swap_remove(random.below(live.len()));
            let (old, same) = (block.layout.size().get(), block.layout.align().get());
            let resized = match random.below(6) {
                0 => memory.grow_to(block, old.max(size)),
                1 => memory.grow_zeroed_to(block, old.max(size)),
                2 => memory.shrink_to(block, old.min(size), same),
                3 => memory.shrink_to(block, old.min(size), align),
                _ => {
                    block.check(seed, old);
                    memory.give(block);
                    continue;
                }
            };
            let kept = resized.unwrap_or(block);
            kept.check(seed, old.min(kept.len));
            kept.fill(seed);
            live.push((kept, seed));
        }
    }
    for (block, seed) in live {
        block.check(seed, block.len);
        memory.give(block);
    }
    assert_eq!(record.take(), []);
    assert_eq!(memory.corruption_events(), 0);
}

#[test]
fn a_block_is_exactly_as_long_as_asked() {
    let memory = Canary::new(Slots::sized(8, 256));
    for (size, align) in [(1, 1), (13, 1), (24, 8), (64, 64), (100, 128), (120, 1)] {
        let block = memory.take(size, align).expect("room");
        assert_eq!((block.len, memory.usable(block)), (size, Some(size)));
        let zeroed = memory.take_zeroed(size, align).expect("room");
        zeroed.check_zero_from(0);
        assert!(memory.owns(zeroed.ptr));
        memory.give(block);
        memory.give(zeroed);
    }
    assert_eq!(memory.corruption_events(), 0);
}

#[test]
fn what_has_no_room_for_words_is_refused() {
    let memory = Canary::new(Slots::new(2));
    assert!(memory.take(64 - HEADER - WORD, 1).is_ok());
    assert!(memory.take(64 - HEADER - WORD + 1, 1).is_err());
    let huge = isize::MAX as usize;
    for size in [huge, huge - 7, huge - 23, huge / 2] {
        assert!(memory.allocate(layout(size, 1)).is_err());
    }
    if cfg!(not(miri)) {
        // Miri's own `posix_memalign` knows no such alignment.
        let huge = layout(1 << 30, 1 << (usize::BITS - 3));
        assert!(Canary::new(System).allocate(huge).is_err());
    }
}

#[test]
fn a_slab_without_room_serves_nothing_rather_than_wrongly() {
    let slab = Slab::<u64, _>::new(4, segment(64)).expect("room");
    assert!(Canary::new(slab).take(8, 8).is_err());
}

#[test]
fn resizes_stay_in_place_where_the_inner_allocator_can() {
    let record = Record::default();
    let memory = Watched::with_policy(BumpArena::new(segment(4096)), &record);
    let low = memory.take(50, 1).expect("room");
    let top = memory.take(10, 4).expect("room");
    top.fill(7);
    let grown = memory.grow_to(top, 33).expect("in place");
    assert_eq!(grown.ptr, top.ptr);
    grown.check(7, 10);
    grown.fill(1);
    let zeroed = memory.grow_zeroed_to(grown, 90).expect("in place");
    assert_eq!(zeroed.ptr, top.ptr);
    zeroed.check(1, 33);
    zeroed.check_zero_from(33);
    let shrunk = memory.shrink_to(zeroed, 20, 8).expect("in place");
    assert_eq!(shrunk.ptr, top.ptr);
    shrunk.check(1, 20);
    change(shrunk, 20, 1);
    memory.give(shrunk);
    assert_eq!(record.take(), [Misuse::Overrun]);

    low.fill(2);
    let wider = memory.shrink_to(low, 40, 64).expect("room");
    assert_eq!(wider.ptr.addr().get() % 64, 0);
    wider.check(2, 40);
    memory.give(wider);
    assert_eq!(record.take(), []);
}

#[test]
fn a_damaged_block_is_not_resized() {
    let record = Record::default();
    let memory = Watched::with_policy(classes(), &record);
    let block = memory.take(20, 4).expect("room");
    block.fill(8);
    change(block, 20, 3);
    assert!(memory.grow_to(block, 24).is_err());
    assert!(memory.shrink_to(block, 10, 4).is_err());
    block.check(8, 20);
    assert_eq!(record.take(), [Misuse::Overrun; 2]);
    memory.give(block);
    assert_eq!(record.take(), [Misuse::Overrun]);
}

#[test]
fn a_wrong_layout_is_reported_and_put_right() {
    let record = Record::default();
    let memory = Watched::with_policy(classes(), &record);
    // Each size is in another class with its words.
    for wrong in [21, 19, 1, 100, 400] {
        let block = memory.take(20, 4).expect("room");
        let freed = Block {
            layout: layout(wrong, 4),
            ..block
        };
        memory.give(freed);
        assert_eq!(record.take(), [Misuse::LayoutMismatch]);
        // It went back to the class that it came from.
        let again = memory.take(20, 4).expect("room");
        assert_eq!(again.ptr, block.ptr);
        memory.give(again);
    }
    let block = memory.take(20, 4).expect("room");
    let freed = Block {
        layout: layout(20, 8),
        ..block
    };
    memory.give(freed);
    assert_eq!(record.take(), [Misuse::LayoutMismatch]);
}

#[test]
fn a_second_free_is_found_and_not_passed_on() {
    let record = Record::default();
    let memory = Watched::with_policy(classes(), &record);
    let blocks = [(); 2].map(|()| memory.take(30, 8).expect("room"));
    memory.give(blocks[0]);
    memory.give(blocks[0]);
    assert_eq!(record.take(), [Misuse::DoubleFree]);
    let first = memory.take(30, 8).expect("room");
    let second = memory.take(30, 8).expect("room");
    assert_ne!(first.ptr, second.ptr);

    let arena = Watched::with_policy(BumpArena::new(segment(4096)), &record);
    let blocks = [(); 2].map(|()| arena.take(30, 8).expect("room"));
    arena.give(blocks[0]);
    arena.give(blocks[0]);
    assert_eq!(record.take(), [Misuse::DoubleFree]);
    arena.give(blocks[1]);
}

#[test]
fn words_differ_between_blocks_sizes_and_keys() {
    let words = |key: [u8; 16], size: usize| {
        let memory = Canary::with_key(BumpArena::new(segment(4096)), key);
        let block = memory.take(size, 1).expect("room");
        let bytes: Vec<u8> = (0..WORD)
            .map(|at| read(block, (size + at) as isize))
            .collect();
        (block.ptr.addr().get() % 4096, bytes)
    };
    let (place, first) = words([1; 16], 24);
    let (same_place, other_key) = words([2; 16], 24);
    assert_eq!(place, same_place);
    assert_ne!(first, other_key);
    assert_ne!(first, words([1; 16], 25).1);

    let memory = Canary::new(BumpArena::new(segment(4096)));
    let blocks = [(); 20].map(|()| memory.take(24, 1).expect("room"));
    let mut seen: Vec<Vec<u8>> = Vec::new();
    for block in blocks {
        let bytes: Vec<u8> = (0..WORD)
            .map(|at| read(block, (24 + at) as isize))
            .collect();
        // A string function stops at the last, and a zero written by one shows at the first.
        assert!(bytes[0] != 0 && bytes[WORD - 1] == 0);
        assert!(!seen.contains(&bytes));
        seen.push(bytes);
    }
}

/// The words of another block are no match.
#[test]
fn copied_words_are_found() {
    let record = Record::default();
    let memory = Watched::with_key_and_policy(classes(), [9; 16], &record);
    let [from, to] = [(); 2].map(|()| memory.take(24, 8).expect("room"));
    for at in 24..24 + WORD as isize {
        // SAFETY: as for `change`.
        unsafe { byte_at(to, at).write(read(from, at)) };
    }
    memory.give(to);
    assert_eq!(record.take(), [Misuse::Overrun]);
    memory.give(from);
    assert_eq!(record.take(), []);
}

/// After a free nothing of the words is left that a later owner of the memory could read.
#[test]
fn a_free_takes_the_words_away() {
    let memory = Canary::new(BumpArena::new(segment(4096)));
    let blocks = [(33, 1), (40, 8), (8, 64)].map(|(size, align)| {
        let block = memory.take(size, align).expect("room");
        // SAFETY: the block is live.
        unsafe { block.ptr.write_bytes(0, block.len) };
        block
    });
    let block = memory.shrink_to(blocks[2], 4, 8).expect("room");
    let block = memory.grow_zeroed_to(block, 30).expect("room");
    for block in [blocks[0], blocks[1], block] {
        memory.give(block);
    }
    let bytes = bytes_of(memory.inner().backing());
    let constant = u64::from_le_bytes(*b"\0freed!\xff").to_ne_bytes();
    let words = bytes.chunks(WORD).filter(|word| **word != constant);
    let left: Vec<_> = words.flatten().filter(|byte| **byte != 0).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A block that grows where it lies shows nothing of the word that was behind it.
#[test]
fn growth_takes_the_word_away() {
    let memory = Canary::new(BumpArena::new(segment(4096)));
    let block = memory.take(24, 8).expect("room");
    let grown = memory.grow_to(block, 100).expect("in place");
    assert_eq!(grown.ptr, block.ptr);
    assert!((24..32).all(|at| read(grown, at) == 0));
    memory.give(grown);
}

#[test]
fn a_narrow_pointer_is_enough() {
    let memory = Canary::new(Slots::sized(2, 256));
    let layout = NonZeroLayout::for_type::<u32>().expect("not empty");
    let block = memory.allocate(layout).expect("room").cast::<u32>();
    // SAFETY: the block is live and has room for the value.
    unsafe { block.write(7) };
    // SAFETY: as above, and nobody else has it.
    let narrow = NonNull::from(unsafe { &mut *block.as_ptr() }).cast();
    // SAFETY: the block is live and the layout fits it.
    let grown = unsafe { memory.grow(narrow, layout, NonZeroLayout::array::<u32>(4).expect("4")) };
    let grown = grown.expect("in place").cast::<[u32; 4]>();
    // SAFETY: the block is live; the first word was kept.
    unsafe { grown.cast::<[MaybeUninit<u32>; 4]>().as_mut()[1..].fill(MaybeUninit::new(0)) };
    // SAFETY: the block is live, and all of it is initialised.
    let narrow = unsafe { &mut *grown.as_ptr() };
    assert_eq!(narrow[0], 7);
    let whole = NonZeroLayout::for_type::<[u32; 4]>().expect("not empty");
    // SAFETY: the block is live and the layout fits it.
    unsafe { memory.deallocate(NonNull::from(narrow).cast(), whole) };
    assert_eq!(memory.corruption_events(), 0);
}

#[test]
fn threads_share_one_key() {
    let memory = Canary::new(SharedBumpArena::new(segment(64 << 10)));
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let memory = &memory;
            scope.spawn(move || {
                for _ in 0..if cfg!(miri) { 4 } else { 200 } {
                    let block = memory.take(20, 1).expect("room");
                    block.fill(seed);
                    block.check(seed, 20);
                    memory.give(block);
                }
            });
        }
    });
    assert_eq!(memory.corruption_events(), 0);
}

#[test]
fn over_the_system_too() {
    let record = Record::default();
    let memory = Watched::with_policy(System, &record);
    let block = memory.take(100, 32).expect("room");
    let block = memory.grow_to(block, 1000).expect("room");
    let block = memory.shrink_to(block, 10, 32).expect("room");
    change(block, 10, 1);
    change(block, 17, 1);
    memory.give(block);
    assert_eq!(record.take(), [Misuse::Overrun]);
}

#[test]
fn nested_canaries_both_look() {
    let (outer, inner) = (Record::default(), Record::default());
    let memory = Watched::with_policy(Watched::with_policy(classes(), &inner), &outer);
    let block = memory.take(30, 8).expect("room");
    change(block, 30, 1);
    // The word of the inner one is behind that of the outer.
    change(block, 30 + WORD as isize, 1);
    memory.give(block);
    assert_eq!(
        (outer.take(), inner.take()),
        (vec![Misuse::Overrun], vec![Misuse::Overrun])
    );
    assert_eq!(memory.corruption_events(), 2);
}

#[test]
fn the_hardening_wrappers_stack() {
    let record = Record::default();
    let memory = Watched::with_policy(
        Quarantine::<_, 4, On, _>::with_policy(PoisonOnFree::new(classes()), usize::MAX, &record),
        &record,
    );
    let block = memory.take(30, 8).expect("room");
    memory.give(block);
    assert_eq!(memory.inner().held_blocks(), 1);
    memory.give(block);
    // The header is pattern by now; the quarantine knows better.
    assert_eq!(record.take(), [Misuse::Underrun, Misuse::DoubleFree]);
}

#[test]
fn switched_off_it_is_the_inner_allocator() {
    let memory = Canary::with_switch(Slots::new(2), Off);
    let block = memory.take(64, 64).expect("all of a slot");
    assert_eq!(
        block.ptr,
        memory
            .inner()
            .take(1, 1)
            .map(|other| byte_at(other, -64))
            .expect("room")
    );
    // SAFETY: the block is live.
    assert_eq!(unsafe { memory.verify(block.ptr, block.layout) }, Ok(()));
    memory.give(block);
    assert_eq!(size_of_val(&memory), size_of_val(memory.inner()));
}

/// Compiled only: what the wrapper is as a type.
#[allow(dead_code, reason = "the bounds are the test")]
fn types<A: Contents + StableAddress + Owns + Reset + Send + Sync>() {
    fn whole<A: Contents + StableAddress + Owns + Reset + Send + Sync>() {}
    whole::<Canary<A>>();
    whole::<Canary<A, Off>>();
}
