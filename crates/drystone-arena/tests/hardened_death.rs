//! What the profile `Hardened` finds ends the process: each case in a process of its own.
#![cfg(all(unix, not(miri)))] // Starts processes.

use std::ptr::NonNull;

use drystone_arena::{Arena, ArenaConfig, GlobalArena, Hardened, ThreadCache};
use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_testkit::death::{self, End, Expect};

const FAULT: Expect<'_> = Expect {
    end: End::Fault,
    line: "",
};

const fn abort(line: &str) -> Expect<'_> {
    Expect {
        end: End::Abort,
        line,
    }
}

const WRITTEN: Expect<'_> = abort("drystone: write after free");

const ARENA: GlobalArena<Hardened> = GlobalArena::new();

const SLICE: usize = 64 << 10;

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

fn block(size: usize) -> NonNull<u8> {
    ARENA.allocate(layout(size)).expect("memory").cast()
}

/// Frees what was handed out for this size, or what was not.
fn free(block: NonNull<u8>, size: usize) {
    // SAFETY: none where the free is wrong, on purpose: it must not return.
    unsafe { ARENA.deallocate(block, layout(size)) };
}

/// Changes one byte so far from the start of a block. A write of what is there already is not seen.
fn write_at(block: NonNull<u8>, offset: usize) {
    let was = read_at(block, offset);
    // SAFETY: as for `read_at`.
    unsafe { block.as_ptr().wrapping_add(offset).write_volatile(!was) };
}

fn read_at(block: NonNull<u8>, offset: usize) -> u8 {
    let byte = block.as_ptr().wrapping_add(offset);
    // SAFETY: none where it is outside of the block or the block is free, on purpose.
    unsafe { byte.read_volatile() }
}

/// Takes blocks until every free one must have been looked at.
fn reuse(size: usize) {
    for _ in 0..10_000 {
        block(size);
    }
}

/// A test for each row: what is done before the process must end so.
macro_rules! ends {
    ($($name:ident: $expected:expr, $body:block)*) => { $(
        #[test]
        fn $name() {
            death::expect(stringify!($name), $expected, || $body);
        }
    )* };
}

ends! {
    an_overflow_leaves_no_page: FAULT, {
        let start = block(64);
        // The page ends at most a slice further on.
        (0..=SLICE).for_each(|offset| write_at(start, offset));
    }

    an_overflow_of_a_medium_block_leaves_no_page: FAULT, {
        let start = block(20_000);
        (0..=8 * SLICE).step_by(512).for_each(|offset| write_at(start, offset));
    }

    the_first_byte_behind_a_large_block_faults: FAULT, {
        let start = block(3 * SLICE);
        write_at(start, 3 * SLICE - 1);
        read_at(start, 3 * SLICE);
    }

    the_first_byte_behind_a_huge_block_faults: FAULT, {
        let start = block(48 * SLICE);
        write_at(start, 48 * SLICE - 1);
        read_at(start, 48 * SLICE);
    }

    a_large_block_that_is_free_faults: FAULT, {
        let start = block(3 * SLICE);
        write_at(start, 0);
        free(start, 3 * SLICE);
        read_at(start, 0);
    }

    a_huge_block_that_is_free_faults: FAULT, {
        let start = block(48 * SLICE);
        write_at(start, 0);
        free(start, 48 * SLICE);
        read_at(start, 0);
    }

    a_page_of_which_nothing_is_in_use_faults: FAULT, {
        let arena = Arena::<Hardened>::with_profile(ArenaConfig::default()).expect("valid");
        let mut cache = ThreadCache::new(ArenaConfig::default());
        let start = arena.allocate_with_cache(&mut cache, layout(64)).expect("memory").cast();
        // SAFETY: live, of this layout.
        unsafe { arena.deallocate_with_cache(&mut cache, start, layout(64)) }.expect("live");
        arena.drain_thread_cache(&mut cache).expect("its own");
        read_at(start, 0);
    }

    a_pointer_out_of_a_free_block_faults: FAULT, {
        let start = block(64);
        free(start, 64);
        // SAFETY: none: the block is free.
        let found = unsafe { start.cast::<*const u8>().read_volatile() };
        // SAFETY: none: it is no pointer.
        let _ = unsafe { found.read_volatile() };
    }

    the_first_byte_of_a_free_block: WRITTEN, {
        let start = block(64);
        free(start, 64);
        write_at(start, 0);
        reuse(64);
    }

    the_last_byte_of_a_free_block: WRITTEN, {
        let start = block(1000);
        free(start, 1000);
        write_at(start, 999);
        reuse(1000);
    }

    a_byte_of_a_block_of_the_largest_class: WRITTEN, {
        let start = block(128 << 10);
        free(start, 128 << 10);
        write_at(start, 77_777);
        for _ in 0..64 {
            block(128 << 10);
        }
    }

    an_overflow_into_a_free_neighbour: WRITTEN, {
        let mut blocks: Vec<_> = (0..1024).map(|_| block(64)).collect();
        blocks.sort();
        let pair = blocks.windows(2).find(|pair| pair[1].addr().get() - pair[0].addr().get() == 64);
        let &[start, neighbour] = pair.expect("neighbours") else {
            unreachable!("windows of two");
        };
        free(neighbour, 64);
        write_at(start, 64);
        reuse(64);
    }

    a_link_that_somebody_forges: WRITTEN, {
        // A free list with its links in the blocks would hand out `victim` after this.
        let victim = block(64);
        let start = block(64);
        free(start, 64);
        // SAFETY: none: the block is free.
        unsafe { start.cast::<NonNull<u8>>().write_volatile(victim) };
        for _ in 0..10_000 {
            assert_ne!(block(64), victim);
        }
    }

    a_write_after_a_free_on_another_thread: WRITTEN, {
        let start = block(64);
        let address = std::sync::atomic::AtomicPtr::new(start.as_ptr());
        // Joined, so that the block was sent home.
        let freeing = std::thread::spawn(move || {
            let moved = address.load(std::sync::atomic::Ordering::Relaxed);
            free(NonNull::new(moved).expect("not null"), 64);
        });
        freeing.join().expect("no panic");
        write_at(start, 5);
        reuse(64);
    }

    a_write_after_free_through_the_explicit_face: WRITTEN, {
        let arena = Arena::<Hardened>::with_profile(ArenaConfig::default()).expect("valid");
        let mut cache = ThreadCache::new(ArenaConfig::default());
        let start = arena.allocate_with_cache(&mut cache, layout(64)).expect("memory").cast();
        // SAFETY: live, of this layout.
        unsafe { arena.deallocate_with_cache(&mut cache, start, layout(64)) }.expect("live");
        write_at(start, 8);
        for _ in 0..10_000 {
            arena.allocate_with_cache(&mut cache, layout(64)).expect("memory");
        }
    }

    a_block_that_is_freed_twice: abort("drystone: double free"), {
        let start = block(64);
        free(start, 64);
        free(start, 64);
    }

    an_address_inside_a_block: abort("drystone: interior pointer"), {
        let start = block(64);
        // SAFETY: inside the block.
        free(unsafe { start.add(8) }, 64);
    }

    a_size_that_is_not_the_blocks: abort("drystone: layout mismatch"), {
        free(block(64), 128);
    }

    an_address_of_no_arena: abort("drystone: foreign pointer"), {
        let mut own = 0u64;
        free(NonNull::from(&mut own).cast(), 8);
    }
}
