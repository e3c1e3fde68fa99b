//! The bump arena: exhaustion to the byte, alignment, the topmost block, commits, moves, values.

mod ranges;

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::Ordering;

use drystone_backing::StaticBacked;
use drystone_core::{
    AllocError, AllocatedRegion, Allocator, FixedRange, HeapSegment, Inspect, Misuse,
    NonZeroLayout, Owns, Region, Reset, StableAddress,
};
use drystone_layout::{BumpArena, Slab};
use ranges::{Inline, Lazy, Skewed, heap, layout};

fn arena(bytes: usize) -> BumpArena<HeapSegment> {
    BumpArena::new(heap(bytes, 64))
}

fn take<A: Allocator>(arena: &A, size: usize, align: usize) -> Result<NonNull<u8>, AllocError> {
    let block = arena.allocate(layout(size, align))?;
    assert_eq!(block.len(), size);
    assert_eq!(block.cast::<u8>().addr().get() % align, 0);
    // SAFETY: the block is new and writable for its length.
    unsafe { block.as_ptr().cast::<u8>().write_bytes(0x5A, size) };
    Ok(block.cast())
}

fn free<A: Allocator>(arena: &A, block: NonNull<u8>, size: usize, align: usize) {
    // SAFETY: callers pass a live block and the layout it was allocated with.
    unsafe { arena.deallocate(block, layout(size, align)) };
}

/// Grows or shrinks a block.
fn resize<A: Allocator>(
    arena: &A,
    block: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<NonNull<u8>, AllocError> {
    let resized = if new.size() >= old.size() {
        // SAFETY: callers pass a live block and the layout it was allocated with.
        unsafe { arena.grow(block, old, new) }
    } else {
        // SAFETY: as above.
        unsafe { arena.shrink(block, old, new) }
    }?;
    assert_eq!(resized.len(), new.size().get());
    Ok(resized.cast())
}

fn bytes(block: NonNull<u8>, len: usize) -> Vec<u8> {
    // SAFETY: callers pass a live block whose first `len` bytes are written.
    unsafe { slice::from_raw_parts(block.as_ptr(), len) }.to_vec()
}

/// A call that must fail leaves the bookkeeping as it was.
fn refused<B: FixedRange>(arena: &BumpArena<B>, size: usize, align: usize) {
    let before = arena.state_digest();
    assert_eq!(arena.allocate(layout(size, align)), Err(AllocError));
    assert_eq!(arena.state_digest(), before);
}

#[test]
fn every_byte_is_handed_out_and_no_more() {
    let large: &[usize] = if cfg!(miri) {
        &[]
    } else {
        &[4095, 4096, 10_000]
    };
    for &capacity in [1, 2, 63, 64, 300].iter().chain(large) {
        let arena = arena(capacity);
        for used in 0..capacity {
            assert_eq!(arena.allocated_bytes(), used);
            assert_eq!(arena.remaining_bytes(), capacity - used);
            take(&arena, 1, 1).expect("room");
        }
        refused(&arena, 1, 1);
        arena.debug_assert_invariants();
    }
}

#[test]
fn a_block_of_the_whole_range_fits_and_one_byte_more_does_not() {
    for capacity in [1, 100, 4096, 5000, 1 << 16] {
        let arena = arena(capacity);
        refused(&arena, capacity + 1, 1);
        take(&arena, capacity, 1).expect("room");
        refused(&arena, 1, 1);
        assert_eq!(arena.capacity_bytes(), Some(capacity));
    }
}

#[test]
fn the_last_block_may_end_at_the_last_byte_at_every_alignment() {
    for align in (0..=16).map(|bit| 1usize << bit) {
        let arena = BumpArena::new(heap(align + 24, align));
        take(&arena, 1, 1).expect("room");
        refused(&arena, 25, align);
        take(&arena, 24, align).expect("room");
        assert_eq!(arena.remaining_bytes(), 0);
    }
}

#[test]
fn an_empty_range_refuses_everything_but_zero_sized_values() {
    let mut buffer: [MaybeUninit<u8>; 0] = [];
    let mut arena = BumpArena::new(StaticBacked::new(&mut buffer));
    refused(&arena, 1, 1);
    refused(&arena, 5000, 4096);
    assert_eq!(arena.capacity_bytes(), Some(0));
    arena.alloc(());
    assert!(arena.alloc_slice_copy::<u64>(&[]).is_empty());
    assert_eq!(arena.alloc_str(""), "");
    arena.scope().alloc(());
    arena.reset();
    refused(&arena, 1, 1);
    arena.debug_assert_invariants();
}

#[test]
fn a_stable_range_serves_every_alignment_from_odd_bases() {
    let skips = if cfg!(miri) {
        vec![1, 4095]
    } else {
        (0..130).chain(4000..4096).collect()
    };
    for skip in skips {
        let arena = BumpArena::new(Skewed::new(200_000, skip));
        for align in (0..=16).map(|bit| 1usize << bit) {
            take(&arena, 3, align).expect("room");
        }
        arena.debug_assert_invariants();
    }
    let mut buffer = [MaybeUninit::<u8>::uninit(); 65];
    let arena = BumpArena::new(StaticBacked::new(&mut buffer[1..]));
    while take(&arena, 8, 8).is_ok() {}
    assert!(arena.remaining_bytes() < 8);
}

#[test]
fn a_movable_range_refuses_what_a_move_could_break() {
    let arena = BumpArena::new(Inline::<4096>::new());
    for align in [1, 2, 4, 8, 16] {
        take(&arena, 1, align).expect("room");
    }
    for align in [32, 64, 2048, 4096, 8192, 1 << 20] {
        refused(&arena, 8, align);
    }
    #[repr(align(64))]
    struct Line;
    assert!(
        arena.try_alloc(Line).is_ok(),
        "zero-sized values need no room"
    );
}

#[test]
fn a_borrowed_movable_range_serves_every_alignment() {
    let mut inline = Inline::<4096>::new();
    let arena = BumpArena::new(Region::borrow(&mut inline));
    for align in [1, 16, 64, 512] {
        take(&arena, 1, align).expect("room");
    }
}

#[test]
fn layouts_at_the_limits_are_refused() {
    let most = isize::MAX as usize;
    for arena in [arena(0x1_0000), arena(64)] {
        for bit in 0..usize::BITS - 1 {
            let align = 1usize << bit;
            refused(&arena, most - (align - 1), align);
        }
        take(&arena, 7, 1).expect("room");
        refused(&arena, most, 1);
        refused(&arena, 1, 1 << (usize::BITS - 2));
    }
}

#[test]
fn large_blocks_follow_small_ones() {
    let arena = arena(64 << 10);
    let mut end = 0;
    for size in [1, 4095, 4096, 4097, 5000, 16, 20_000, 1] {
        let block = take(&arena, size, 8).expect("room").addr().get();
        assert!(block >= end && block - end < 8 || end == 0);
        end = block + size;
    }
}

#[test]
fn the_topmost_block_gives_its_space_back() {
    let arena = arena(256);
    let first = take(&arena, 16, 8).expect("room");
    let second = take(&arena, 24, 8).expect("room");
    free(&arena, first, 16, 8);
    assert_eq!(arena.allocated_bytes(), 40, "not topmost: nothing happens");
    free(&arena, second, 24, 8);
    assert_eq!(arena.allocated_bytes(), 16);
    assert_eq!(take(&arena, 24, 8), Ok(second));
    arena.debug_assert_invariants();
}

#[test]
fn the_topmost_block_grows_and_shrinks_in_place() {
    let arena = arena(256);
    take(&arena, 8, 8).expect("room");
    let block = take(&arena, 8, 8).expect("room");
    assert_eq!(
        resize(&arena, block, layout(8, 8), layout(248, 8)),
        Ok(block)
    );
    assert_eq!(arena.remaining_bytes(), 0);
    assert_eq!(bytes(block, 8), [0x5A; 8]);
    assert_eq!(
        resize(&arena, block, layout(248, 8), layout(1, 8)),
        Ok(block)
    );
    assert_eq!(arena.allocated_bytes(), 9);
    let before = arena.state_digest();
    assert_eq!(
        resize(&arena, block, layout(1, 8), layout(249, 8)),
        Err(AllocError)
    );
    assert_eq!(
        arena.state_digest(),
        before,
        "a refusal leaves the block as it was"
    );
    assert_eq!(bytes(block, 1), [0x5A]);
}

#[test]
fn a_block_in_the_middle_moves_to_grow_and_stays_to_shrink() {
    let arena = arena(256);
    let block = take(&arena, 8, 8).expect("room");
    take(&arena, 8, 8).expect("room");
    assert_eq!(resize(&arena, block, layout(8, 8), layout(4, 8)), Ok(block));
    let moved = resize(&arena, block, layout(4, 8), layout(32, 8)).expect("room");
    assert_ne!(moved, block);
    assert_eq!(bytes(moved, 4), [0x5A; 4]);
    assert_eq!(arena.allocated_bytes(), 48);
}

#[test]
fn resizing_honours_a_new_alignment() {
    let arena = BumpArena::new(heap(4096, 1024));
    take(&arena, 8, 8).expect("room");
    let block = take(&arena, 40, 8).expect("room");
    let grown = resize(&arena, block, layout(40, 8), layout(64, 256)).expect("room");
    assert_eq!(grown.addr().get() % 256, 0);
    assert_eq!(bytes(grown, 40), [0x5A; 40]);
    let shrunk = resize(&arena, grown, layout(64, 256), layout(16, 512)).expect("room");
    assert_eq!(shrunk.addr().get() % 512, 0);
    assert_eq!(bytes(shrunk, 16), [0x5A; 16]);
    let relaxed = resize(&arena, shrunk, layout(16, 512), layout(32, 1)).expect("room");
    assert_eq!(relaxed, shrunk, "a lower alignment is no reason to move");
}

#[test]
fn grown_bytes_can_be_zero() {
    let mut arena = arena(256);
    take(&arena, 256, 1).expect("room");
    arena.reset();
    let block = take(&arena, 8, 8).expect("room");
    // SAFETY: the block is live with this layout, and grows.
    let grown = unsafe { arena.grow_zeroed(block, layout(8, 8), layout(64, 8)) }.expect("room");
    let expected: Vec<u8> = [0x5A; 8].into_iter().chain([0; 56]).collect();
    assert_eq!(bytes(grown.cast(), 64), expected);
    let zeroed = arena.allocate_zeroed(layout(100, 4)).expect("room");
    assert_eq!(bytes(zeroed.cast(), 100), [0; 100]);
}

#[test]
fn reset_makes_the_same_memory_available_again() {
    let mut arena = arena(1000);
    arena.reset();
    let first = take(&arena, 10, 1).expect("room");
    for _ in 0..3 {
        while take(&arena, 7, 1).is_ok() {}
        arena.reset();
        assert_eq!(arena.allocated_bytes(), 0);
        assert_eq!(take(&arena, 10, 1), Ok(first));
        arena.debug_assert_invariants();
    }
}

#[test]
fn an_inline_arena_may_move_with_its_blocks_dead() {
    let arena = BumpArena::new(Inline::<256>::new());
    *arena.alloc(7u64) += 1;
    arena.alloc(1u8);
    let used = arena.allocated_bytes();
    let arena = Box::new(arena);
    assert_eq!(arena.allocated_bytes(), used);
    let value = arena.alloc(9u64);
    assert!(arena.owns(NonNull::from(&mut *value).cast()));
    let address = (&raw const *value).addr();
    assert_eq!((*value, address % align_of::<u64>()), (9, 0));
    while arena.try_alloc(0u8).is_ok() {}
    assert_eq!(arena.remaining_bytes(), 0);
    arena.debug_assert_invariants();
    let backing = arena.into_inner();
    let again = BumpArena::new(backing);
    assert_eq!(again.remaining_bytes(), 256);
}

#[test]
fn blocks_in_a_stable_range_survive_a_move() {
    fn stable<A: StableAddress>(arena: A) -> A {
        arena
    }
    let arena = arena(64);
    let block = take(&arena, 8, 8).expect("room");
    let arena = Box::new(stable(arena));
    assert_eq!(bytes(block, 8), [0x5A; 8]);
    free(&*arena, block, 8, 8);
    assert_eq!(arena.allocated_bytes(), 0);
}

#[test]
fn memory_is_committed_before_it_is_handed_out() {
    let (lazy, log) = Lazy::new(200_000, usize::MAX, 0);
    let mut arena = BumpArena::new(lazy);
    assert_eq!(
        log.commits.load(Ordering::Relaxed),
        0,
        "nothing before the first allocation"
    );
    for size in [1, 100, 5000, 70_000, 3] {
        let block = arena.allocate(layout(size, 16)).expect("room");
        assert!(arena.backing().is_committed(block));
        arena.debug_assert_invariants();
    }
    let commits = log.commits.load(Ordering::Relaxed);
    arena.reset();
    for _ in 0..100 {
        take(&arena, 16, 8).expect("room");
    }
    assert_eq!(
        log.commits.load(Ordering::Relaxed),
        commits,
        "what is committed stays so"
    );
    let block = take(&arena, 16, 8).expect("room");
    let grown = resize(&arena, block, layout(16, 8), layout(150_000, 8)).expect("room");
    assert_eq!(grown, block);
    let whole = NonNull::slice_from_raw_parts(grown, 150_000);
    assert!(arena.backing().is_committed(whole));
}

#[test]
fn a_failed_commit_changes_nothing_and_can_be_tried_again() {
    let (lazy, _) = Lazy::new(200_000, 0, 0);
    let arena = BumpArena::new(lazy);
    refused(&arena, 8, 8);
    arena.backing().fail_after(usize::MAX);
    let block = take(&arena, 8, 8).expect("room");
    arena.backing().fail_after(0);
    refused(&arena, 100_000, 8);
    let before = arena.state_digest();
    assert_eq!(
        resize(&arena, block, layout(8, 8), layout(100_000, 8)),
        Err(AllocError)
    );
    assert_eq!(arena.state_digest(), before);
    assert_eq!(bytes(block, 8), [0x5A; 8]);
    arena.backing().fail_after(usize::MAX);
    take(&arena, 100_000, 8).expect("room");
}

#[test]
fn where_committing_ahead_fails_the_bytes_asked_for_still_come() {
    let (lazy, _) = Lazy::new(200_000, 0, 1000);
    let arena = BumpArena::new(lazy);
    for _ in 0..20 {
        let block = arena.allocate(layout(900, 4)).expect("small commits work");
        assert!(arena.backing().is_committed(block));
    }
    refused(&arena, 1001, 1);
}

#[test]
fn a_region_passes_commits_on() {
    let (mut lazy, log) = Lazy::new(10_000, usize::MAX, 0);
    {
        let arena = BumpArena::new(Region::borrow(&mut lazy));
        take(&arena, 100, 1).expect("room");
    }
    assert!(log.commits.load(Ordering::Relaxed) > 0);
}

#[test]
fn the_arena_knows_its_own_range() {
    let mine = arena(64);
    let other = arena(64);
    let block = take(&mine, 8, 8).expect("room");
    let foreign = take(&other, 8, 8).expect("room");
    assert!(mine.owns(block) && !mine.owns(foreign));
    assert_eq!(mine.validate(block).map(|info| info.usable_bytes), Ok(8));
    assert_eq!(mine.validate(foreign), Err(Misuse::ForeignPointer));
    // SAFETY: the range has 64 bytes, of which 8 are in use.
    let beyond = unsafe { block.add(8) };
    assert_eq!(mine.validate(beyond), Err(Misuse::NeverAllocated));
    assert_eq!(
        mine.verify_all().map(|report| report.untouched_bytes),
        Ok(56)
    );
}

#[test]
fn layouts_stack() {
    let arena = arena(4096);
    let region = AllocatedRegion::new(&arena, layout(1024, 64)).expect("room");
    let used = arena.allocated_bytes();
    let inner = BumpArena::new(region);
    inner.alloc([1u64; 16]);
    drop(inner);
    assert_eq!(
        arena.allocated_bytes(),
        used - 1024,
        "the topmost block came back"
    );
    let region = AllocatedRegion::new(&arena, layout(1024, 64)).expect("room");
    let slab = Slab::<u64, _>::new(64, region).expect("fits");
    take(&slab, 8, 8).expect("room");
}

#[test]
fn values_slices_and_strings() {
    let arena = arena(4096);
    let number = arena.alloc(41u32);
    let text = arena.alloc_str("dry stone");
    let copied = arena.alloc_slice_copy(&[1u16, 2, 3]);
    let made = arena.alloc_slice_fill_with(4, |index| index * index);
    let lazily = arena.alloc_with(|| [9u8; 100]);
    *number += 1;
    text.make_ascii_uppercase();
    copied.reverse();
    made[0] = 7;
    lazily[99] = 1;
    assert_eq!((*number, &*text), (42, "DRY STONE"));
    assert_eq!((&*copied, &*made), (&[3, 2, 1][..], &[7, 1, 4, 9][..]));
    assert_eq!(
        lazily.iter().map(|&byte| u32::from(byte)).sum::<u32>(),
        99 * 9 + 1
    );
}

#[test]
fn the_fallible_faces_return_errors() {
    let arena = arena(16);
    assert_eq!(arena.try_alloc([0u8; 17]), Err(AllocError));
    assert_eq!(arena.try_alloc_slice_copy(&[0u8; 17]), Err(AllocError));
    assert_eq!(arena.try_alloc_str("seventeen letters"), Err(AllocError));
    assert_eq!(
        arena.try_alloc_with(|| -> [u8; 17] { unreachable!() }),
        Err(AllocError)
    );
    assert_eq!(
        arena.try_alloc_slice_fill_with(17, |_| -> u8 { unreachable!() }),
        Err(AllocError)
    );
    assert_eq!(
        arena.try_alloc_slice_fill_with(usize::MAX, |_| -> u64 { unreachable!() }),
        Err(AllocError)
    );
    let back = arena.try_alloc_value((String::from("kept for the caller"), [0u8; 16]));
    assert_eq!(back.unwrap_err().into_value().0, "kept for the caller");
    assert_eq!(arena.allocated_bytes(), 0);
    assert_eq!(
        arena.try_alloc_str("sixteen letters!").as_deref(),
        Ok("sixteen letters!")
    );
}

#[test]
fn the_infallible_faces_panic_when_full() {
    let arena = arena(16);
    let calls: [&dyn Fn(); 5] = [
        &|| _ = arena.alloc([0u8; 17]),
        &|| _ = arena.alloc_with(|| [0u8; 17]),
        &|| _ = arena.alloc_slice_copy(&[0u8; 17]),
        &|| _ = arena.alloc_slice_fill_with(17, |_| 0u8),
        &|| _ = arena.alloc_str("seventeen letters"),
    ];
    for call in calls {
        let panic = catch_unwind(AssertUnwindSafe(call)).expect_err("full");
        let words = panic.downcast_ref::<&str>().expect("words");
        assert!(words.contains("no room"), "{words}");
    }
    assert_eq!(arena.allocated_bytes(), 0);
}

#[test]
fn zero_sized_values_take_nothing() {
    #[derive(Debug, PartialEq)]
    #[repr(align(256))]
    struct Wide;
    let arena = arena(1);
    let value = arena.alloc(Wide);
    assert_eq!((&raw const *value).addr() % 256, 0);
    assert_eq!(arena.alloc_slice_fill_with(1000, |_| ()).len(), 1000);
    assert_eq!(arena.alloc_with(|| Wide), &Wide);
    assert_eq!(arena.alloc_slice_copy(&[(); 3]).len(), 3);
    assert_eq!(arena.allocated_bytes(), 0);
}

/// Counts its drops.
struct Counted<'a>(&'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn values_are_never_dropped_by_the_arena() {
    let drops = Cell::new(0);
    let mut arena = arena(256);
    arena.alloc(Counted(&drops));
    arena.scope().alloc(Counted(&drops));
    arena.reset();
    drop(arena);
    assert_eq!(drops.get(), 0);
}

#[test]
fn a_value_without_room_is_dropped_or_given_back() {
    let drops = Cell::new(0);
    let arena = arena(1);
    assert!(arena.try_alloc(Counted(&drops)).is_err());
    assert_eq!(drops.get(), 1);
    let Err(back) = arena.try_alloc_value(Counted(&drops)) else {
        panic!("there is no room");
    };
    assert_eq!(drops.get(), 1);
    drop(back.into_value());
    assert_eq!(drops.get(), 2);
}

#[test]
fn a_panic_in_the_closure_gives_the_room_back() {
    let arena = arena(256);
    let kept = arena.alloc(5u64);
    let before = arena.state_digest();
    let panics: [&dyn Fn(); 2] = [
        &|| _ = arena.alloc_with(|| -> [u64; 4] { panic!("on purpose") }),
        &|| _ = arena.alloc_slice_fill_with(4, |at| if at < 2 { at } else { panic!("on purpose") }),
    ];
    for panic in panics {
        catch_unwind(AssertUnwindSafe(panic)).expect_err("panics");
        assert_eq!(arena.state_digest(), before);
    }
    assert_eq!(*kept, 5);
}

#[test]
fn a_closure_may_allocate_and_then_panic() {
    let arena = arena(256);
    let inner = Cell::new(None);
    let call = || {
        arena.alloc_with(|| -> u64 {
            inner.set(Some(arena.alloc(6u64)));
            panic!("on purpose")
        });
    };
    catch_unwind(AssertUnwindSafe(call)).expect_err("panics");
    assert_eq!(
        arena.allocated_bytes(),
        16,
        "the value inside keeps the room below it"
    );
    arena.alloc(7u64);
    assert_eq!(inner.take().as_deref(), Some(&6));
    let linked = arena.alloc_with(|| (arena.alloc(1u64), 2u64));
    assert_eq!((*linked.0, linked.1), (1, 2));
}

#[test]
fn arenas_can_be_sent_and_made_in_constants() {
    fn sent<T: Send>(_: &T) {}
    let arena = const { BumpArena::new(Inline::<64>::new()) };
    arena.alloc(1u8);
    sent(&arena);
    let arena = self::arena(64);
    let value = std::thread::spawn(move || *arena.alloc(3u64)).join();
    assert_eq!(value.ok(), Some(3));
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_bookkeeping_has_the_size_documented() {
    let range = size_of::<HeapSegment>();
    assert_eq!(size_of::<BumpArena<HeapSegment>>(), range + 48);
}

#[test]
fn debug_and_display_say_something() {
    let mut arena = arena(64);
    let error = arena.try_alloc_value([0u8; 65]).unwrap_err();
    assert_eq!(error.to_string(), AllocError.to_string());
    assert_eq!(AllocError::from(error), AllocError);
    assert_eq!(format!("{error:?}"), "AllocValueError { .. }");
    assert!(format!("{arena:?}").contains("remaining_bytes: 64"));
    assert!(format!("{:?}", arena.scope()).contains("serial: 1"));
}
