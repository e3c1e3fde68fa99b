//! Writes to free blocks that a checked arena keeps lists in: what would lead it astray ends the
//! process, each case in a process of its own.
#![cfg(all(unix, not(miri)))] // Starts processes.

use std::ptr::NonNull;
use std::thread;

use drystone_arena::{Checked, GlobalArena};
use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_testkit::death::{self, End, Expect};

const DAMAGED: Expect<'_> = Expect {
    end: End::Abort,
    line: "drystone: damaged free-list link",
};

const DOUBLE_FREE: Expect<'_> = Expect {
    end: End::Abort,
    line: "drystone: double free",
};

const ARENA: GlobalArena<Checked> = GlobalArena::new();

const BYTES: usize = 64;

/// More than a bin holds, and less than a page.
const BLOCKS: usize = 900;

fn layout() -> NonZeroLayout {
    NonZeroLayout::from_size_align(BYTES, 8).expect("valid")
}

fn block() -> NonNull<u8> {
    ARENA.allocate(layout()).expect("memory").cast()
}

fn free(block: NonNull<u8>) {
    // SAFETY: the tests free each block once.
    unsafe { ARENA.deallocate(block, layout()) };
}

/// Blocks, of which some lie in lists now; on this thread, or sent by another one. The last is live.
fn freed(here: bool) -> (Vec<NonNull<u8>>, NonNull<u8>) {
    let blocks: Vec<_> = (0..BLOCKS).map(|_| block()).collect();
    let (victim, blocks) = blocks.split_last().expect("there are some");
    if here {
        blocks.iter().copied().for_each(free);
    } else {
        // Joined, so that all were sent home.
        let moved = Moved(blocks.to_vec());
        thread::spawn(move || moved.free())
            .join()
            .expect("no panic");
    }
    (blocks.to_vec(), *victim)
}

struct Moved(Vec<NonNull<u8>>);

// SAFETY: blocks may be freed on any thread.
unsafe impl Send for Moved {}

impl Moved {
    fn free(self) {
        self.0.into_iter().for_each(free);
    }
}

/// Changes a word of each block.
fn write_words(blocks: &[NonNull<u8>], word: usize, value: impl Fn(usize) -> usize) {
    for block in blocks {
        // SAFETY: inside the block.
        let word = unsafe { block.cast::<usize>().add(word) };
        // SAFETY: none: as above.
        let old = unsafe { word.read_volatile() };
        // SAFETY: none: as above.
        unsafe { word.write_volatile(value(old)) };
    }
}

/// Takes what is free, and more.
fn reuse() {
    (0..BLOCKS).for_each(|_| {
        block();
    });
}

/// Writes this to a word of all free blocks, and takes them again.
macro_rules! ends {
    ($($name:ident: $expected:expr, here: $here:literal, word $word:literal, |$victim:ident, $old:ident| $value:expr;)*) => { $(
        #[test]
        fn $name() {
            death::expect(stringify!($name), $expected, || {
                let (blocks, $victim) = freed($here);
                let $victim = $victim.addr().get();
                let _unused = $victim;
                write_words(&blocks, $word, |$old| $value);
                reuse();
            });
        }
    )* };
}

ends! {
    the_next_node_is_a_live_block: DAMAGED, here: true, word 0, |victim, _old| victim;
    the_next_node_is_inside_a_block: DAMAGED, here: true, word 0, |victim, _old| victim + 8;
    the_next_node_is_outside_of_the_page: DAMAGED, here: true, word 0, |victim, _old| victim ^ (1 << 20);
    there_is_no_next_node: DAMAGED, here: true, word 0, |victim, _old| 0;
    there_is_no_next_node_sent: DAMAGED, here: false, word 0, |victim, _old| 0;
    the_next_node_is_no_address: DAMAGED, here: true, word 0, |victim, _old| 1 << 62;
    a_listed_block_is_live: DAMAGED, here: true, word 1, |victim, _old| victim;
    a_listed_block_is_none: DAMAGED, here: true, word 2, |victim, _old| 0x1234_5670;
    the_next_node_sent_is_live: DAMAGED, here: false, word 0, |victim, _old| victim;
    the_next_node_sent_is_no_address: DAMAGED, here: false, word 0, |victim, _old| 1 << 62;
    a_listed_block_sent_is_live: DAMAGED, here: false, word 1, |victim, _old| victim;
}

/// A list that leads to one of its free blocks for the second time.
#[test]
fn a_listed_block_is_another_free_one() {
    death::expect("a_listed_block_is_another_free_one", DOUBLE_FREE, || {
        let (blocks, _) = freed(true);
        // Those that were freed first went home first.
        let first = blocks[0].addr().get();
        write_words(&blocks[1..BLOCKS / 2], 1, |old| {
            if old == 0 { old } else { first }
        });
        reuse();
    });
}
