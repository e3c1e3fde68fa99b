//! Writes to free blocks of a checked arena: what would lead it astray ends the process, each case in a
//! process of its own. Those blocks lead it anywhere that are on their way from one thread to another.
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

/// Blocks that are free, on this thread or sent by another one, and one that is live.
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

/// Writes this to a word of all blocks that another thread freed, and takes them again.
macro_rules! ends {
    ($($name:ident: word $word:literal, |$blocks:ident, $victim:ident, $old:ident| $value:expr;)*) => { $(
        #[test]
        fn $name() {
            death::expect(stringify!($name), DAMAGED, || {
                let (blocks, $victim) = freed(false);
                let ($victim, $blocks) = ($victim.addr().get(), &blocks);
                let _unused = ($victim, $blocks);
                write_words(&blocks, $word, |$old| $value);
                reuse();
            });
        }
    )* };
}

ends! {
    the_next_node_is_a_live_block: word 0, |_blocks, victim, _old| victim;
    the_next_node_is_inside_a_block: word 0, |_blocks, victim, _old| victim + 8;
    the_next_node_is_outside_of_the_page: word 0, |_blocks, victim, _old| victim ^ (1 << 20);
    there_is_no_next_node: word 0, |_blocks, _victim, _old| 0;
    the_next_node_is_no_address: word 0, |_blocks, _victim, _old| 1 << 62;
    a_listed_block_is_live: word 1, |_blocks, victim, _old| victim;
    a_listed_block_is_none: word 2, |_blocks, _victim, _old| 0x1234_5670;
    a_listed_block_is_another_of_the_chain: word 1, |blocks, _victim, old| {
        if old == 0 { old } else { blocks[0].addr().get() }
    };
}

/// The thread's own free blocks have nothing in them that is followed.
#[test]
fn a_write_to_an_own_free_block_leads_nowhere() {
    let (blocks, victim) = freed(true);
    for word in 0..BYTES / size_of::<usize>() {
        write_words(&blocks, word, |_| victim.addr().get());
    }
    let mut again: Vec<_> = (0..BLOCKS).map(|_| block()).collect();
    again.push(victim);
    again.sort_unstable();
    again.dedup();
    assert_eq!(again.len(), BLOCKS + 1, "a block was handed out twice");
    again.into_iter().for_each(free);
}
