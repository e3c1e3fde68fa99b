//! The stack: order of frees, resizing at the top and below it, exhaustion, damage.

mod ranges;

use std::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, HeapSegment, Inspect, Misuse, NonZeroLayout,
    Region, Reset,
};
use drystone_layout::StackAlloc;
use proptest::prelude::*;
use ranges::{Inline, Lazy, Skewed, heap, layout};

const WORD: usize = size_of::<usize>();

fn stack(bytes: usize) -> StackAlloc<HeapSegment> {
    StackAlloc::new(heap(bytes, 64))
}

fn take<B: FixedRange>(
    stack: &StackAlloc<B>,
    size: usize,
    align: usize,
) -> Result<NonNull<u8>, AllocError> {
    let block = stack.allocate(layout(size, align))?;
    assert_eq!(block.len(), size);
    assert_eq!(block.cast::<u8>().addr().get() % align, 0);
    // SAFETY: the block is new and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(0x5A, size) };
    stack.debug_assert_invariants();
    Ok(block.cast())
}

fn free<B: FixedRange>(stack: &StackAlloc<B>, block: NonNull<u8>, size: usize) {
    // SAFETY: callers pass a live block and its size; the alignment is not used.
    unsafe { stack.deallocate(block, layout(size, 1)) };
    stack.debug_assert_invariants();
}

fn resize<B: FixedRange>(
    stack: &StackAlloc<B>,
    block: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<NonNull<u8>, AllocError> {
    let resized = if new.size() >= old.size() {
        // SAFETY: callers pass a live block and the layout it was allocated with.
        unsafe { stack.grow(block, old, new) }
    } else {
        // SAFETY: as above.
        unsafe { stack.shrink(block, old, new) }
    }?;
    stack.debug_assert_invariants();
    Ok(resized.cast())
}

#[test]
fn frees_in_reverse_order_give_every_byte_back_at_once() {
    let stack = stack(4096);
    let mut marks = Vec::new();
    for n in 0..20 {
        marks.push((stack.allocated_bytes(), n));
        let (size, align) = (n * 7 % 50 + 1, 1 << (n % 8));
        let block = take(&stack, size, align).expect("room");
        marks.last_mut().expect("just pushed").1 = size;
        let again = {
            let top = take(&stack, 30, 64).expect("room");
            free(&stack, top, 30);
            stack.allocated_bytes()
        };
        // Padding of less than a word is remembered by the next header only.
        let end = block.addr().get() - stack.backing().base().addr().get() + size;
        assert!((end..end + WORD).contains(&again));
    }
    assert_eq!(stack.verify_all().expect("sound").live_blocks, 20);
}

#[test]
fn frees_in_any_order_give_everything_back_in_the_end() {
    let orders: [[usize; 4]; 24] = {
        let mut orders = Vec::new();
        for a in 0..4 {
            for b in (0..4).filter(|&b| b != a) {
                for c in (0..4).filter(|&c| c != a && c != b) {
                    orders.push([a, b, c, 6 - a - b - c]);
                }
            }
        }
        orders.try_into().expect("24 permutations")
    };
    for order in orders {
        let stack = stack(1024);
        let blocks = [8, 3, 64, 17].map(|size| (take(&stack, size, 16).expect("room"), size));
        let mut freed = [false; 4];
        for index in order {
            free(&stack, blocks[index].0, blocks[index].1);
            freed[index] = true;
            // What is left is what lies at or below the highest live block.
            let live = freed.iter().filter(|&&freed| !freed).count();
            let top = freed.iter().rposition(|&freed| !freed);
            let report = stack.verify_all().expect("sound");
            assert_eq!(report.live_blocks, live);
            assert_eq!(report.free_blocks, top.map_or(0, |top| top + 1 - live));
        }
        assert_eq!(stack.allocated_bytes(), 0);
    }
}

#[test]
fn one_block_costs_a_word() {
    let stack = stack(16 * (WORD + 24));
    for _ in 0..16 {
        take(&stack, 24, WORD).expect("room");
    }
    assert_eq!(stack.remaining_bytes(), 0);
    let before = stack.state_digest();
    assert_eq!(stack.allocate(layout(1, 1)), Err(AllocError));
    assert_eq!(stack.state_digest(), before);
}

#[test]
fn a_block_may_end_at_the_last_byte() {
    for bytes in [WORD + 1, WORD + 3, 100, 257] {
        for skip in [0, 1, 7, 13] {
            let stack = StackAlloc::new(Skewed::new(bytes + 16, skip));
            let mut size = bytes + 16;
            while stack.allocate(layout(size, 1)).is_err() {
                size -= 1;
            }
            assert!(size >= bytes + 16 - 2 * WORD);
            assert_eq!(stack.remaining_bytes(), 0);
            assert_eq!(stack.allocate(layout(1, 1)), Err(AllocError));
        }
    }
}

#[test]
fn the_topmost_block_grows_and_shrinks_in_place() {
    let stack = stack(1024);
    let below = take(&stack, 10, 1).expect("room");
    let top = take(&stack, 10, 1).expect("room");
    for size in [11, 400, 399, 5, 6, 1] {
        let before = stack.allocated_bytes();
        let old = before - (top.addr().get() - stack.backing().base().addr().get());
        assert_eq!(
            resize(&stack, top, layout(old, 1), layout(size, 1)),
            Ok(top)
        );
        assert_eq!(stack.allocated_bytes(), before - old + size);
    }
    free(&stack, top, 1);
    assert_eq!(
        resize(&stack, below, layout(10, 1), layout(900, 1)),
        Ok(below)
    );
    free(&stack, below, 900);
    assert_eq!(stack.allocated_bytes(), 0);
}

#[test]
fn a_lower_block_that_grows_moves_and_one_that_shrinks_stays() {
    let stack = stack(1024);
    let low = take(&stack, 20, 4).expect("room");
    let high = take(&stack, 20, 4).expect("room");
    assert_eq!(resize(&stack, low, layout(20, 4), layout(8, 4)), Ok(low));
    let moved = resize(&stack, low, layout(8, 4), layout(100, 4)).expect("room");
    assert!(moved > high);
    // SAFETY: the first 8 bytes were written before the move.
    assert_eq!(unsafe { moved.cast::<[u8; 8]>().read() }, [0x5A; 8]);
    assert_eq!(stack.verify_all().expect("sound").free_blocks, 1);
    free(&stack, high, 20);
    free(&stack, moved, 100);
    assert_eq!(stack.allocated_bytes(), 0);
}

#[test]
fn a_refused_growth_changes_nothing() {
    let stack = stack(256);
    let low = take(&stack, 20, 4).expect("room");
    let top = take(&stack, 20, 4).expect("room");
    for block in [low, top] {
        for size in [250, 257, isize::MAX as usize - 3] {
            let before = stack.state_digest();
            assert_eq!(
                resize(&stack, block, layout(20, 4), layout(size, 4)),
                Err(AllocError)
            );
            assert_eq!(stack.state_digest(), before);
        }
    }
    // A new alignment that the place has not needs a copy.
    let aligned = resize(&stack, top, layout(20, 4), layout(20, 64)).expect("room");
    assert!(aligned.addr().get().is_multiple_of(64) && aligned != top);
}

/// What a growing vector does, over the raw interface.
struct Growing {
    block: NonNull<u8>,
    len: usize,
}

impl Growing {
    fn push<B: FixedRange>(&mut self, stack: &StackAlloc<B>) {
        let (old, new) = (layout(self.len, 8), layout(self.len * 2, 8));
        self.block = resize(stack, self.block, old, new).expect("room");
        self.len *= 2;
    }
}

#[test]
fn growing_vectors_give_everything_back() {
    let stack = stack(64 << 10);
    let mut vectors: Vec<_> = (0..3)
        .map(|_| Growing {
            block: take(&stack, 8, 8).expect("room"),
            len: 8,
        })
        .collect();
    for _ in 0..8 {
        for vector in &mut vectors {
            vector.push(&stack);
        }
    }
    for Growing { block, len } in vectors {
        free(&stack, block, len);
    }
    assert_eq!(stack.allocated_bytes(), 0);
    let mut alone = Growing {
        block: take(&stack, 8, 8).expect("room"),
        len: 8,
    };
    let place = alone.block;
    for _ in 0..12 {
        alone.push(&stack);
    }
    assert_eq!(alone.block, place, "a vector on top grows in place");
}

#[test]
fn a_movable_range_refuses_what_a_move_could_break() {
    let stack = StackAlloc::new(Inline::<512>::new());
    assert_eq!(stack.allocate(layout(1, 32)), Err(AllocError));
    let block = take(&stack, 1, 16).expect("room");
    let mut moved = stack;
    // The block is dead; the bookkeeping moved with the range.
    let _ = block;
    moved.debug_assert_invariants();
    moved.reset();
    assert_eq!(moved.allocated_bytes(), 0);
    let mut inline = Inline::<512>::new();
    let stack = StackAlloc::new(Region::borrow(&mut inline));
    take(&stack, 1, 32).expect("a borrowed range cannot move");
}

#[test]
fn bytes_are_committed_before_they_are_handed_out() {
    let (lazy, _) = Lazy::new(1 << 18, usize::MAX, 0);
    let stack = StackAlloc::new(lazy);
    for size in [1, 100, 70_000, 3] {
        let block = stack.allocate(layout(size, 8)).expect("room");
        assert!(stack.backing().is_committed(block));
    }
    stack.backing().fail_after(0);
    let before = stack.state_digest();
    assert_eq!(stack.allocate(layout(150_000, 8)), Err(AllocError));
    assert_eq!(stack.state_digest(), before);
}

#[test]
fn pointers_are_judged() {
    let stack = stack(1024);
    let low = take(&stack, 16, 8).expect("room");
    let high = take(&stack, 16, 64).expect("room");
    let top = take(&stack, 16, 8).expect("room");
    let at = |block: NonNull<u8>, bytes: isize| {
        block.map_addr(|addr| {
            addr.get()
                .wrapping_add_signed(bytes)
                .try_into()
                .expect("small")
        })
    };
    assert_eq!(stack.validate(top).map(|info| info.usable_bytes), Ok(16));
    assert_eq!(stack.validate(at(low, 1)), Err(Misuse::InteriorPointer));
    assert_eq!(stack.validate(at(high, -1)), Err(Misuse::NeverAllocated));
    assert_eq!(stack.validate(at(top, 16)), Err(Misuse::NeverAllocated));
    assert_eq!(stack.validate(at(low, 4096)), Err(Misuse::ForeignPointer));
    free(&stack, high, 16);
    assert_eq!(stack.validate(high), Err(Misuse::DoubleFree));
    assert!(stack.validate(low).is_ok());
}

#[test]
fn a_damaged_header_is_found() {
    let stack = stack(1024);
    take(&stack, 16, 8).expect("room");
    let high = take(&stack, 16, 8).expect("room");
    // SAFETY: the header is the word before the block, in the range.
    let header = unsafe { high.cast::<usize>().sub(1) };
    // SAFETY: as above; the damage is the test.
    let intact = unsafe { header.replace(512) };
    assert!(stack.verify_all().is_err());
    assert_eq!(
        stack.validate(high).map(|info| info.usable_bytes),
        Err(Misuse::Overrun)
    );
    // SAFETY: as above.
    unsafe { header.write(intact) };
    stack.debug_assert_invariants();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any frees in any order: the cursor is always where the highest live block ends, or less than
    /// a word above, and live blocks keep their bytes.
    #[test]
    fn the_cursor_follows_the_highest_live_block(
        steps in proptest::collection::vec((any::<u8>(), 1..60usize, 0..8u32), 0..80),
    ) {
        let stack = stack(8192);
        let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
        for (step, (choice, size, align)) in steps.into_iter().enumerate() {
            if choice % 2 == 0 {
                if let Ok(block) = take(&stack, size, 1 << align) {
                    let stamp = step as u8;
                    // SAFETY: a live block of `size` bytes.
                    unsafe { block.write_bytes(stamp, size) };
                    live.push((block, size, stamp));
                }
            } else if !live.is_empty() {
                let (block, size, _) = live.swap_remove(usize::from(choice) / 2 % live.len());
                free(&stack, block, size);
            }
            let base = stack.backing().base().addr().get();
            let highest = live
                .iter()
                .map(|(block, size, _)| block.addr().get() - base + size)
                .max()
                .unwrap_or(0);
            let cursor = stack.allocated_bytes();
            prop_assert!(cursor >= highest && cursor < highest + WORD);
            for (block, size, stamp) in &live {
                // SAFETY: a live block of `size` bytes, all written.
                let bytes = unsafe { std::slice::from_raw_parts(block.as_ptr(), *size) };
                prop_assert!(bytes.iter().all(|byte| byte == stamp));
            }
        }
    }
}
