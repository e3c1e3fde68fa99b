//! Nothing of what a block held is left when its owner gives it up: `PoisonOnFree` and
//! `ZeroizeOnFree` over every layout.

mod common;

use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use common::content::{Random, SECRET, bytes_of, secrets, secrets_beside_addresses, secrets_in};
use common::{Block, Blocks, Slots};
use drystone_backing::{InlineBacked, StaticBacked};
use drystone_core::{
    Allocator, Contents, Deallocator, FixedRange, HeapSegment, NonZeroLayout, Owns, Region, Reset,
    SourceFrom, StableAddress,
};
use drystone_layout::{
    BumpArena, ExtendableSlab, GrowableBump, SharedBumpArena, SizeClassed, Slab, SlabOwner,
    StackAlloc,
};
use drystone_wrap::{
    Locked, Off, Poison, PoisonOnFree, Scrub, ScrubOnFree, Statistics, WithFallback,
};

const RANGE: usize = if cfg!(miri) { 2560 } else { 32 << 10 };
const STEPS: usize = if cfg!(miri) { 17 } else { 20_000 };
const CLASSES: [usize; 4] = [16, 48, 64, 256];

fn zeroed(bytes: usize) -> HeapSegment {
    let layout = NonZeroLayout::from_size_align(bytes, 4096).expect("valid");
    HeapSegment::new_zeroed(layout).expect("memory for a test")
}

/// Fills every usable byte of a block.
fn fill_whole<A: Allocator>(memory: &A, block: Block) -> usize {
    let bytes = memory.usable(block).unwrap_or(block.layout.size().get());
    assert!(bytes >= block.len);
    // SAFETY: the block is live, and so many bytes are usable.
    unsafe { block.ptr.write_bytes(SECRET, bytes) };
    bytes
}

/// A layout whose range the test can look at.
trait Ranged: Contents {
    type Range: FixedRange;
    fn range(&self) -> &Self::Range;
}

macro_rules! ranged {
    ($([$($generics:tt)*] $layout:ty, $range:ident;)+) => { $(
        impl<$($generics)*> Ranged for $layout {
            type Range = $range;
            fn range(&self) -> &$range {
                self.backing()
            }
        }
    )+ };
}
ranged! {
    [T, R: FixedRange] Slab<T, R>, R;
    [R: FixedRange] BumpArena<R>, R;
    [R: FixedRange] SharedBumpArena<R>, R;
    [R: FixedRange] StackAlloc<R>, R;
    [R: FixedRange, const C: usize] SizeClassed<R, C>, R;
}

/// Random requests; after each the secrets in the range are those of the live blocks.
fn only_live_blocks_have_secrets<A, W>(memory: ScrubOnFree<A, W>, size_max: usize)
where
    A: Ranged,
    W: Scrub,
{
    let mut random = Random::new(7);
    let mut live: Vec<(Block, usize)> = Vec::new();
    for step in 0..STEPS {
        let size = random.below(size_max) + 1;
        match random.below(5) {
            0 | 1 => {
                if let Ok(block) = memory.take(size, 1 << random.below(4)) {
                    live.push((block, fill_whole(&memory, block)));
                }
            }
            2 if !live.is_empty() => {
                let at = random.below(live.len());
                let (block, _) = live[at];
                let size = size.max(block.layout.size().get());
                if let Ok(grown) = memory.grow_to(block, size) {
                    live[at] = (grown, fill_whole(&memory, grown));
                }
            }
            3 if !live.is_empty() => {
                let at = random.below(live.len());
                let (block, _) = live[at];
                let size = size.min(block.layout.size().get());
                let align = block.layout.align().get();
                if let Ok(shrunk) = memory.shrink_to(block, size, align) {
                    // What a shrink cut off is gone, also where it stays part of the block.
                    live[at] = (shrunk, size);
                }
            }
            4 if !live.is_empty() => {
                let (block, _) = live.swap_remove(random.below(live.len()));
                memory.give(block);
            }
            _ => {}
        }
        if step % 16 == 15 || (cfg!(not(miri)) && live.len() < 2) {
            let expected: usize = live.iter().map(|(_, bytes)| bytes).sum();
            assert_eq!(secrets_in(memory.inner().range()), expected, "step {step}");
        }
    }
    for (block, _) in live {
        memory.give(block);
    }
    assert_eq!(secrets_in(memory.inner().range()), 0);
}

/// Blocks that are live at a reset leave nothing behind.
fn a_reset_covers_live_blocks<A, W>(mut memory: ScrubOnFree<A, W>)
where
    A: Ranged + Reset,
    W: Scrub,
{
    for _ in 0..2 {
        let blocks: Vec<_> = (0..7).map_while(|_| memory.take(40, 8).ok()).collect();
        assert!(blocks.len() >= 5);
        let written: usize = blocks.iter().map(|block| fill_whole(&memory, *block)).sum();
        memory.give(blocks[3]);
        assert!(secrets_in(memory.inner().range()) > written / 2);
        memory.reset();
        assert_eq!(secrets_in(memory.inner().range()), 0);
    }
    let block = memory.take(40, 8).expect("the memory is there again");
    memory.give(block);
}

/// A buffer that can be looked at once nothing borrows it any more.
struct Buffer(Box<[Line]>);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "used through a slice of bytes")] [MaybeUninit<u8>; 64]);

impl Buffer {
    fn new() -> Self {
        Self(vec![Line([MaybeUninit::new(0); 64]); RANGE / 64].into())
    }

    fn range(&mut self) -> StaticBacked<'_> {
        let bytes = NonNull::from(&mut *self.0).cast::<MaybeUninit<u8>>();
        let mut bytes = NonNull::slice_from_raw_parts(bytes, RANGE);
        // SAFETY: the lines are borrowed for as long, and are bytes and nothing else.
        StaticBacked::new(unsafe { bytes.as_mut() })
    }

    fn secrets(&self) -> usize {
        secrets(self.bytes())
    }

    fn bytes(&self) -> &[u8] {
        let bytes = NonNull::from(&*self.0).cast::<u8>();
        let bytes = NonNull::slice_from_raw_parts(bytes, RANGE);
        // SAFETY: the buffer was initialised, and only initialised bytes were written.
        unsafe { bytes.as_ref() }
    }
}

/// Blocks that are live when the wrapper is dropped leave nothing behind.
fn a_drop_covers_live_blocks<'a, A, W>(memory: ScrubOnFree<A, W>, blocks_max: usize)
where
    A: Contents + 'a,
    W: Scrub,
{
    let blocks: Vec<_> = (0..blocks_max)
        .map_while(|_| memory.take(40, 8).ok())
        .collect();
    assert!(blocks.len() >= 5);
    for block in &blocks {
        fill_whole(&memory, *block);
    }
    memory.give(blocks[1]);
}

macro_rules! covers {
    ($fill:ident, $new:expr) => {
        mod $fill {
            use super::*;

            #[test]
            fn frees_and_resizes_in_a_slab() {
                let slab = Slab::<[u64; 8], _>::new(24, zeroed(24 * 64)).expect("room");
                only_live_blocks_have_secrets($new(slab), 64);
            }

            #[test]
            fn frees_and_resizes_in_classes() {
                let classes = SizeClassed::with_class_sizes(zeroed(RANGE), CLASSES, 4);
                only_live_blocks_have_secrets($new(classes.expect("room")), 256);
            }

            #[test]
            fn frees_and_resizes_in_a_bump_arena() {
                only_live_blocks_have_secrets($new(BumpArena::new(zeroed(RANGE))), 100);
            }

            #[test]
            fn frees_and_resizes_in_a_shared_bump_arena() {
                only_live_blocks_have_secrets($new(SharedBumpArena::new(zeroed(RANGE))), 100);
            }

            #[test]
            fn frees_and_resizes_in_a_stack() {
                only_live_blocks_have_secrets($new(StackAlloc::new(zeroed(RANGE))), 100);
            }

            #[test]
            fn frees_and_resizes_in_inline_storage() {
                let mut inline = InlineBacked::<2048>::new();
                // SAFETY: the range is writable and nobody else has it.
                unsafe { inline.base().write_bytes(0, 2048) };
                let slab = Slab::<[u64; 8], _>::new(32, Region::borrow(&mut inline));
                only_live_blocks_have_secrets($new(slab.expect("room")), 64);
            }

            #[test]
            fn a_reset() {
                let slab = Slab::<[u64; 8], _>::new(24, zeroed(24 * 64)).expect("room");
                a_reset_covers_live_blocks($new(slab));
                let classes = SizeClassed::with_class_sizes(zeroed(RANGE), CLASSES, 6);
                a_reset_covers_live_blocks($new(classes.expect("room")));
                a_reset_covers_live_blocks($new(BumpArena::new(zeroed(RANGE))));
                a_reset_covers_live_blocks($new(SharedBumpArena::new(zeroed(RANGE))));
                a_reset_covers_live_blocks($new(StackAlloc::new(zeroed(RANGE))));
            }

            #[test]
            fn a_drop() {
                let mut buffer = Buffer::new();
                let slab = Slab::<[u64; 8], _>::new(24, buffer.range());
                a_drop_covers_live_blocks($new(slab.expect("room")), 20);
                assert_eq!(buffer.secrets(), 0);

                let mut buffer = Buffer::new();
                let range = buffer.range();
                let classes = SizeClassed::with_class_sizes(range, CLASSES, 6);
                a_drop_covers_live_blocks($new(classes.expect("room")), 6);
                assert_eq!(buffer.secrets(), 0);

                let mut buffer = Buffer::new();
                let range = buffer.range();
                a_drop_covers_live_blocks($new(BumpArena::new(range)), 9);
                assert_eq!(buffer.secrets(), 0);

                let mut buffer = Buffer::new();
                let range = buffer.range();
                a_drop_covers_live_blocks($new(StackAlloc::new(range)), 9);
                assert_eq!(buffer.secrets(), 0);

                let mut buffer = Buffer::new();
                let range = buffer.range();
                let classes = SizeClassed::with_default_classes(range).expect("room");
                let stack = Statistics::new(Locked::new(classes));
                a_drop_covers_live_blocks($new(stack), 9);
                assert_eq!(buffer.secrets(), 0);
            }

            #[test]
            fn a_drop_of_what_grows() {
                let mut buffer = Buffer::new();
                {
                    let arena = BumpArena::new(buffer.range());
                    let source = SourceFrom::new(&arena);
                    let growing = GrowableBump::with_segment_bytes(source, 256);
                    a_drop_covers_live_blocks($new(growing), 12);
                }
                assert_eq!(secrets_beside_addresses(buffer.bytes()), 0);
            }

            #[test]
            fn both_parts_of_a_fallback() {
                let mut first = Buffer::new();
                let mut second = Buffer::new();
                {
                    let slab = Slab::<[u64; 8], _>::new(4, first.range());
                    let arena = BumpArena::new(second.range());
                    let both = WithFallback::new(slab.expect("room"), arena);
                    let memory = $new(both);
                    let blocks = [(); 8].map(|()| memory.take(64, 8).expect("room"));
                    for block in blocks {
                        fill_whole(&memory, block);
                    }
                    assert!(memory.inner().secondary().owns(blocks[7].ptr));
                    // Neither part can grow the block where it lies, so it moves across.
                    memory.grow_to(blocks[0], 100).expect("room in the arena");
                    memory.give(blocks[7]);
                }
                assert_eq!((first.secrets(), second.secrets()), (0, 0));
            }

            #[test]
            fn a_drop_of_the_only_counted_handle() {
                let mut buffer = Buffer::new();
                a_drop_covers_live_blocks($new(Rc::new(BumpArena::new(buffer.range()))), 9);
                assert_eq!(buffer.secrets(), 0);

                let mut buffer = Buffer::new();
                a_drop_covers_live_blocks($new(Arc::new(BumpArena::new(buffer.range()))), 9);
                assert_eq!(buffer.secrets(), 0);
            }

            #[test]
            fn blocks_of_a_counted_handle_outlive_the_wrapper_beside_another() {
                let slots = Rc::new(Slots::new(4));
                let block = {
                    let memory = $new(Rc::clone(&slots));
                    let block = memory.take(24, 8).expect("room");
                    block.fill(3);
                    block
                };
                block.check(3, 24);
                slots.give(block);
            }

            #[test]
            fn blocks_of_a_handle_outlive_the_wrapper() {
                let slots = Slots::new(4);
                let block = {
                    let memory = $new(&slots);
                    let block = memory.take(24, 8).expect("room");
                    block.fill(3);
                    block
                };
                block.check(3, 24);
                slots.give(block);
            }
        }
    };
}

covers!(poison, PoisonOnFree::new);
// Under Miri one of both is enough: they differ in the value written and the barrier.
#[cfg(all(feature = "zeroize", not(miri)))]
covers!(zeroize, drystone_wrap::ZeroizeOnFree::new);

#[test]
fn freed_bytes_carry_the_pattern() {
    for (pattern, memory) in [
        (
            Poison::DEFAULT,
            PoisonOnFree::new(BumpArena::new(zeroed(256))),
        ),
        (
            0xa7,
            PoisonOnFree::with_pattern(BumpArena::new(zeroed(256)), 0xa7),
        ),
    ] {
        assert_eq!(memory.pattern(), pattern);
        let blocks = [(); 4].map(|()| memory.take(64, 8).expect("room"));
        for block in blocks {
            fill_whole(&memory, block);
        }
        memory.give(blocks[1]);
        memory.give(blocks[2]);
        let bytes = bytes_of(memory.inner().backing());
        assert!(bytes[..64].iter().all(|byte| *byte == SECRET));
        assert!(bytes[64..192].iter().all(|byte| *byte == pattern));
        assert!(bytes[192..].iter().all(|byte| *byte == SECRET));
    }
}

#[test]
fn a_slab_keeps_its_link_and_nothing_else() {
    let slab = Slab::<[u64; 8], _>::new(2, zeroed(128)).expect("room");
    let memory = PoisonOnFree::new(slab);
    let blocks = [(); 2].map(|()| memory.take(1, 1).expect("room"));
    for block in blocks {
        assert_eq!(fill_whole(&memory, block), 64);
        memory.give(block);
    }
    let bytes = bytes_of(memory.inner().backing());
    for slot in bytes.chunks(64) {
        assert!(
            slot[size_of::<usize>()..]
                .iter()
                .all(|byte| *byte == Poison::DEFAULT)
        );
    }
}

#[test]
fn a_block_that_cannot_move_is_left_alone() {
    let slab = Slab::<[u64; 8], _>::new(1, zeroed(64)).expect("room");
    let memory = PoisonOnFree::new(slab);
    let block = memory.take(64, 8).expect("room");
    block.fill(9);
    assert!(memory.grow_to(block, 65).is_err());
    assert!(memory.shrink_to(block, 8, 64).is_err() || memory.inner().backing().base_align() >= 64);
    block.check(9, 8);
    memory.give(block);
}

#[test]
fn what_can_stay_in_place_does() {
    let memory = PoisonOnFree::new(BumpArena::new(zeroed(RANGE)));
    let low = memory.take(64, 8).expect("room");
    let top = memory.take(64, 8).expect("room");
    top.fill(1);
    let top = memory.shrink_to(top, 16, 8).expect("in place");
    let grown = memory.grow_to(top, 200).expect("in place");
    assert_eq!(grown.ptr, top.ptr);
    grown.check(1, 16);
    let grown = memory.grow_zeroed_to(grown, 300).expect("in place");
    assert_eq!(grown.ptr, top.ptr);
    grown.check_zero_from(200);
    low.fill(2);
    let shrunk = memory.shrink_to(low, 32, 8).expect("in place");
    assert_eq!(shrunk.ptr, low.ptr);
    shrunk.check(2, 32);
    let moved = memory.grow_zeroed_to(shrunk, 64).expect("elsewhere");
    assert_ne!(moved.ptr, low.ptr);
    moved.check(2, 32);
    moved.check_zero_from(32);
}

#[test]
fn switched_off_nothing_is_written() {
    let mut buffer = Buffer::new();
    {
        let arena = BumpArena::new(buffer.range());
        let memory = PoisonOnFree::with_switch(arena, Off);
        let blocks = [(); 3].map(|()| memory.take(64, 8).expect("room"));
        for block in blocks {
            fill_whole(&memory, block);
        }
        memory.give(blocks[0]);
        assert_eq!(size_of_val(&memory), size_of_val(memory.inner()));
    }
    assert_eq!(buffer.secrets(), 3 * 64);
}

#[test]
fn an_extendable_slab_is_covered_at_a_reset() {
    let mut memory = PoisonOnFree::new(ExtendableSlab::<[u64; 8]>::new(8));
    let blocks = [(); 20].map(|()| memory.take(64, 8).expect("room"));
    let mut places = blocks.map(|block| block.ptr);
    for block in blocks {
        fill_whole(&memory, block);
    }
    memory.reset();
    // The segments stay: the same places are handed out again, and hold no secret.
    let blocks = [(); 20].map(|()| memory.take(64, 8).expect("room"));
    places.sort_unstable();
    for block in blocks {
        assert!(places.binary_search(&block.ptr).is_ok());
        for at in 0..64 {
            // SAFETY: inside a live block.
            let byte = unsafe { block.ptr.add(at) };
            // SAFETY: the byte was written before the reset, and the segment is the same.
            assert_ne!(unsafe { byte.read() }, SECRET);
        }
        memory.give(block);
    }
}

#[test]
fn an_owner_covers_what_it_frees() {
    let memory = PoisonOnFree::new(SlabOwner::<[u64; 8], _>::new(8, zeroed(512)).expect("room"));
    let block = memory.take(64, 8).expect("room");
    fill_whole(&memory, block);
    memory.give(block);
    let again = memory.take(64, 8).expect("room");
    for at in size_of::<usize>()..64 {
        // SAFETY: inside a live block.
        let byte = unsafe { again.ptr.add(at) };
        // SAFETY: the range was initialised as a whole.
        assert_eq!(unsafe { byte.read() }, Poison::DEFAULT);
    }
    memory.give(again);
}

#[cfg(feature = "zeroize")]
#[test]
fn zeros_are_written_to_the_end() {
    let memory = drystone_wrap::ZeroizeOnFree::new(BumpArena::new(zeroed(128)));
    let blocks = [(); 2].map(|()| memory.take(64, 8).expect("room"));
    for block in blocks {
        fill_whole(&memory, block);
    }
    memory.give(blocks[0]);
    assert_eq!(secrets_in(memory.inner().backing()), 64);
    assert!(
        bytes_of(memory.inner().backing())[..64]
            .iter()
            .all(|byte| *byte == 0)
    );
}

/// A block may be freed through a pointer that reaches only what was asked for.
#[test]
fn a_narrow_pointer_is_enough() {
    let slab = Slab::<[u64; 8], _>::new(2, zeroed(128)).expect("room");
    let memory = PoisonOnFree::new(slab);
    let layout = NonZeroLayout::for_type::<u16>().expect("not empty");
    let block = memory.allocate(layout).expect("room").cast::<u16>();
    // SAFETY: the block is live and has room for the value.
    unsafe { block.write(7) };
    // SAFETY: as above, and nobody else has it.
    let narrow: &mut u16 = unsafe { &mut *block.as_ptr() };
    let narrow = NonNull::from(narrow).cast();
    // SAFETY: the block is live and the layout fits it.
    unsafe { memory.deallocate(narrow, layout) };
    let bytes = bytes_of(memory.inner().backing());
    assert!(
        bytes[size_of::<usize>()..64]
            .iter()
            .all(|byte| *byte == Poison::DEFAULT)
    );
}

#[test]
fn the_inner_allocator_comes_out_as_it_is() {
    let slots = Slots::new(2);
    let memory = PoisonOnFree::new(slots);
    let block = memory.take(16, 8).expect("room");
    block.fill(4);
    // SAFETY: the block is freed with the allocator returned.
    let slots = unsafe { memory.into_inner() };
    block.check(4, 16);
    slots.give(block);
}

/// Compiled only: what the wrapper is as a type.
#[allow(dead_code, reason = "the bounds are the test")]
fn types<A: Contents + StableAddress + Owns + Reset + Send + Sync>() {
    fn whole<A: Contents + StableAddress + Owns + Reset + Send + Sync>() {}
    whole::<PoisonOnFree<A>>();
    whole::<PoisonOnFree<A, Off>>();
}
