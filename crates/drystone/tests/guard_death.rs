//! The first byte beside a block or a range faults: each access in a process of its own, which a
//! signal must end. And the last byte inside does not.
#![cfg(not(miri))] // Starts processes.
#![cfg(all(unix, feature = "mmap"))]

use std::ptr::NonNull;

use drystone_backing::{GuardedMmapBacked, HeapBacked, LockedMmapBacked, MmapBacked, page_size};
use drystone_core::{Allocator, Deallocator, FixedRange, NonZeroLayout, Reset};
use drystone_layout::{BumpArena, SharedBumpArena, SizeClassed};
use drystone_testkit::death::{self, End, Expect};
use drystone_wrap::{GuardPages, Placement};

const FAULT: Expect<'_> = Expect {
    end: End::Fault,
    line: "",
};

/// The body has ended by itself, with nothing wrong.
const FINE: Expect<'_> = Expect {
    end: End::Exit(0),
    line: "",
};

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("valid")
}

fn arena() -> BumpArena<MmapBacked> {
    BumpArena::new(MmapBacked::new(64 * page_size()).expect("memory for a test"))
}

fn classes() -> SizeClassed<MmapBacked, 1> {
    let slot = 4 * page_size();
    let pages = MmapBacked::new(16 * slot).expect("memory for a test");
    SizeClassed::with_class_sizes(pages, [slot], 8).expect("the range fits")
}

/// Writes one byte, `offset` bytes from `start`.
fn write_at(start: NonNull<u8>, offset: isize) {
    let byte = start.as_ptr().wrapping_offset(offset);
    // SAFETY: none beside a block: the access is meant to fault. Inside it is the block's.
    unsafe { byte.write_volatile(7) };
}

/// Reads one byte, `offset` bytes from `start`.
fn read_at(start: NonNull<u8>, offset: isize) {
    let byte = start.as_ptr().wrapping_offset(offset);
    // SAFETY: as for `write_at`.
    let _ = unsafe { byte.read_volatile() };
}

/// A block of `size` bytes of `guarded`, which is never given back.
fn block<A: Allocator>(guarded: &A, size: usize, align: usize) -> NonNull<u8> {
    let block = guarded.allocate(layout(size, align)).expect("room");
    assert_eq!(block.len(), size, "exactly as long as asked");
    let start = block.cast();
    // Every byte of it may be written.
    for offset in 0..size.cast_signed() {
        write_at(start, offset);
    }
    start
}

/// A test for each row: a block of this size and alignment, placed so, and the access that follows.
macro_rules! ends {
    ($($name:ident: $expected:expr, $placement:ident, $size:expr, $align:expr, $access:ident($offset:expr);)*) => { $(
        #[test]
        fn $name() {
            death::expect(stringify!($name), $expected, || {
                let guarded = GuardPages::with_guards(arena(), 1, Placement::$placement);
                let start = block(&guarded, $size, $align);
                let offset: isize = $offset;
                $access(start, offset);
                std::process::exit(0);
            });
        }
    )* };
}

ends! {
    the_byte_behind_a_byte: FAULT, AtEnd, 1, 1, write_at(1);
    the_byte_behind_an_odd_block: FAULT, AtEnd, 99, 1, write_at(99);
    the_byte_behind_a_word: FAULT, AtEnd, 8, 8, read_at(8);
    the_byte_behind_a_line: FAULT, AtEnd, 64, 64, write_at(64);
    the_byte_behind_a_page: FAULT, AtEnd, page_size(), 8, read_at(page_size().cast_signed());
    the_byte_behind_a_page_and_a_bit: FAULT, AtEnd, page_size() + 8, 8, write_at(page_size().cast_signed() + 8);
    the_byte_behind_what_is_aligned_beyond_a_page: FAULT, AtEnd, 4 * page_size(), 2 * page_size(), write_at(4 * page_size().cast_signed());
    a_read_behind_a_byte: FAULT, AtEnd, 1, 1, read_at(1);
    far_in_front_of_a_block_at_the_end: FAULT, AtEnd, 16, 16, write_at(-page_size().cast_signed());
    the_byte_in_front_of_a_page: FAULT, AtEnd, page_size(), 8, write_at(-1);

    the_byte_in_front_of_a_byte: FAULT, AtStart, 1, 1, write_at(-1);
    the_byte_in_front_of_an_odd_block: FAULT, AtStart, 99, 1, read_at(-1);
    the_byte_in_front_of_a_line: FAULT, AtStart, 64, 64, write_at(-1);
    the_byte_in_front_of_what_is_aligned_beyond_a_page: FAULT, AtStart, 8, 4 * page_size(), write_at(-1);
    far_behind_a_block_at_the_start: FAULT, AtStart, 16, 16, write_at(page_size().cast_signed());

    the_last_byte_is_the_callers: FINE, AtEnd, 99, 1, write_at(98);
    the_first_byte_is_the_callers: FINE, AtStart, 99, 1, write_at(0);
    alignment_leaves_less_than_itself_behind: FINE, AtEnd, 9, 8, write_at(15);
}

/// More guard pages reach further.
#[test]
fn three_pages_behind_a_block_with_three_guards() {
    death::expect(
        "three_pages_behind_a_block_with_three_guards",
        FAULT,
        || {
            let guarded = GuardPages::with_guards(arena(), 3, Placement::AtEnd);
            let start = block(&guarded, 8, 8);
            write_at(start, 8 + 2 * page_size().cast_signed());
        },
    );
}

/// A neighbour's guard protects, whoever was freed in between.
#[test]
fn behind_a_block_that_took_a_freed_ones_place() {
    death::expect("behind_a_block_that_took_a_freed_ones_place", FAULT, || {
        let guarded = GuardPages::new(classes());
        let first = block(&guarded, 100, 4);
        // SAFETY: the block is live, and not used afterwards.
        unsafe { guarded.deallocate(first, layout(100, 4)) };
        let second = block(&guarded, 8, 8);
        write_at(second, 8);
    });
}

#[test]
fn beside_a_block_of_a_shared_arena() {
    death::expect("beside_a_block_of_a_shared_arena", FAULT, || {
        let pages = LockedMmapBacked::new(16 * page_size()).expect("sixteen pages may be locked");
        let guarded = GuardPages::new(SharedBumpArena::new(pages));
        write_at(block(&guarded, 32, 32), 32);
    });
}

/// What is given back has no guards: the inner allocator's memory is all accessible again.
#[test]
fn given_back_memory_is_accessible() {
    let mut guarded = GuardPages::new(classes());
    for _ in 0..3 {
        let blocks = [(); 8].map(|()| block(&guarded, 100, 4));
        for start in blocks {
            // SAFETY: the block is live, and not used afterwards.
            unsafe { guarded.deallocate(start, layout(100, 4)) };
        }
        assert_eq!((guarded.refusals(), guarded.stranded_blocks()), (0, 0));
        // And so it is after a reset, with blocks live.
        for _ in 0..8 {
            block(&guarded, 100, 4);
        }
        guarded.reset();
        // SAFETY: no block is live, and none is stranded.
        let inner = unsafe { guarded.into_inner() };
        let whole = layout(4 * page_size(), 8);
        let slots = [(); 8].map(|()| inner.allocate(whole).expect("room").cast::<u8>());
        for slot in slots {
            // SAFETY: the block is live and as long.
            unsafe { slot.write_bytes(9, whole.size().get()) };
            // SAFETY: the block is live, and not used afterwards.
            unsafe { inner.deallocate(slot, whole) };
        }
        guarded = GuardPages::new(inner);
    }
}

/// A test for each row: an access at this offset from the base of a guarded range of two pages.
macro_rules! range_ends {
    ($($name:ident: $expected:expr, $access:ident($offset:expr);)*) => { $(
        #[test]
        fn $name() {
            death::expect(stringify!($name), $expected, || {
                let range = GuardedMmapBacked::new(2 * page_size()).expect("memory for a test");
                let offset: isize = $offset;
                $access(range.base(), offset);
                std::process::exit(0);
            });
        }
    )* };
}

range_ends! {
    the_byte_behind_a_range: FAULT, write_at(2 * page_size().cast_signed());
    a_read_behind_a_range: FAULT, read_at(2 * page_size().cast_signed());
    the_last_byte_of_the_guard_behind: FAULT, read_at(3 * page_size().cast_signed() - 1);
    the_byte_in_front_of_a_range: FAULT, write_at(-1);
    a_read_in_front_of_a_range: FAULT, read_at(-1);
    the_first_byte_of_the_guard_in_front: FAULT, read_at(-page_size().cast_signed());
    the_last_byte_of_a_range: FINE, write_at(2 * page_size().cast_signed() - 1);
    the_first_byte_of_a_range: FINE, write_at(0);
}

/// A range without guards runs on: what makes the tests above mean something.
#[test]
fn without_guards_the_next_block_is_hit() {
    let arena = BumpArena::new(HeapBacked::new(4096).expect("memory for a test"));
    let blocks = [(); 2].map(|()| arena.allocate(layout(8, 8)).expect("room").cast::<u8>());
    assert_eq!(blocks[1].addr().get() - blocks[0].addr().get(), 8);
}
