//! [`Stash`]: the free blocks that a hardened heap hands out next, outside of the blocks.
//!
//! # Memory picture
//!
//! ```text
//!  the end of slice 0 of the heap's home:  generator | class 0: blocks, count | class 1: ... | ...
//! ```
//!
//! # Invariants
//!
//! - K1: `len` blocks of the class are in the first places; each is filled, counted as used by its
//!   page, and neither live nor at home by its bits.
//!
//! # Threads
//!
//! Only the heap's thread. The count may be read by any, for statistics.
//!
//! # Cost
//!
//! A block is taken from a random place, and the last one takes that place.

use core::cell::Cell;
use core::marker::PhantomData;

use drystone_core::SizeClass;

use crate::block_list::Block;
use crate::geometry::block_bytes;
use crate::published::PublishedU32;
use crate::random::Random;

/// The most blocks of one class, and the bytes of them, but for two blocks of any size.
const BLOCKS_MAX: usize = 32;
const BYTES_MAX: usize = 32 << 10;

/// How many blocks of the class a stash may hold: 2 to 32.
#[expect(clippy::cast_possible_truncation, reason = "at most 32")]
pub(crate) const fn limit(class: usize) -> u32 {
    let blocks = BYTES_MAX / block_bytes(class);
    if blocks < 2 {
        2
    } else if blocks > BLOCKS_MAX {
        BLOCKS_MAX as u32
    } else {
        blocks as u32
    }
}

/// The free blocks of one class. Zero bytes are none.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Stash {
    blocks: [Cell<*mut Block>; BLOCKS_MAX],
    len: PublishedU32,
}

/// What a hardened heap has beside what every heap has. Zero bytes are one, but for the seed.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Stashes {
    random: Random,
    classes: [Stash; SizeClass::COUNT],
}

/// The stashes at a place. Each is reached by a reference to it alone: whoever checks references would
/// look at all the others too.
#[derive(Clone, Copy)]
pub(crate) struct StashesAt<'a> {
    stashes: *const Stashes,
    segment: PhantomData<&'a Stashes>,
}

impl<'a> StashesAt<'a> {
    /// # Safety
    ///
    /// Stashes are there, and live as long as the answer.
    pub(crate) unsafe fn new(stashes: *const Stashes) -> Self {
        Self {
            stashes,
            segment: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn random(self) -> &'a Random {
        // SAFETY: by the promise that was made to `new`.
        unsafe { &(*self.stashes).random }
    }

    #[inline]
    pub(crate) fn of(self, class: usize) -> &'a Stash {
        debug_assert!(class < SizeClass::COUNT);
        // SAFETY: by the promise that was made to `new`.
        let classes = unsafe { &raw const (*self.stashes).classes };
        // SAFETY: classes are below the count.
        let stash = unsafe { classes.cast::<Stash>().add(class) };
        // SAFETY: as above; a stash changes in its cells.
        unsafe { &*stash }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a Stash> {
        (0..SizeClass::COUNT).map(move |class| self.of(class))
    }
}

impl Stash {
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len.get()
    }

    /// Puts a block in. There has to be room.
    #[inline]
    pub(crate) fn push(&self, block: *mut Block) {
        let len = self.len();
        self.blocks[len as usize].set(block);
        self.len.set(len + 1);
    }

    /// Takes a block from a random place.
    #[inline]
    pub(crate) fn pop(&self, random: &Random) -> Option<*mut Block> {
        let last = self.len().checked_sub(1)?;
        let place = &self.blocks[random.below(last + 1) as usize];
        self.len.set(last);
        Some(place.replace(self.blocks[last as usize].get()))
    }
}
