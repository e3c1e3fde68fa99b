//! [`Bin`]: the free blocks of one class that a heap hands out next, newest first.

use core::cell::Cell;
use core::ptr;

use crate::geometry::block_bytes;
use crate::page::Block;
use crate::published::PublishedU32;

/// What a bin may hold at first, in bytes.
const START_BYTES: usize = 16 << 10;

/// The most blocks that a bin may hold at first, and later.
const START_MAX: usize = 256;
const GROWN_MAX: usize = 4096;

/// What a bin of the class may hold at first, if it may come to hold `bytes`.
fn start_limit(class: usize, bytes: usize) -> u32 {
    limit(class, bytes.min(START_BYTES), 4, START_MAX)
}

/// What a bin of the class may come to hold.
fn grown_limit(class: usize, bytes: usize) -> u32 {
    limit(class, bytes, 8, GROWN_MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "at most `max`")]
fn limit(class: usize, bytes: usize, min: usize, max: usize) -> u32 {
    (bytes / block_bytes(class)).clamp(min, max) as u32
}

/// The free blocks of one class.
///
/// - B1: `count` blocks hang on `head`, linked through their first words, and the last link is null.
/// - B2: each is a block of a page of this class that its page counts as used.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Bin {
    head: Cell<*mut Block>,
    count: PublishedU32,
    /// How many blocks it may hold; 0 in a heap that was never used.
    limit: Cell<u32>,
}

impl Bin {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null_mut()),
            count: PublishedU32::new(0),
            limit: Cell::new(0),
        }
    }

    /// Takes the newest block; null if there is none.
    #[inline(always)]
    pub(crate) fn pop(&self) -> *mut Block {
        let block = self.head.get();
        if !block.is_null() {
            // SAFETY: a block in the bin is the bin's own, and its first word is the link (B1).
            let next = unsafe { (*block).next };
            self.head.set(next);
            self.count.set(self.count.get() - 1);
        }
        block
    }

    /// Puts a block in. Whether the bin has more than it may hold now.
    ///
    /// # Safety
    ///
    /// The block is of a page of this class, counted as used, and the caller's to give up.
    #[inline(always)]
    #[must_use]
    pub(crate) unsafe fn push(&self, block: *mut Block) -> bool {
        // SAFETY: the block is the caller's to give up.
        unsafe { (*block).next = self.head.get() };
        self.head.set(block);
        let count = self.count.get() + 1;
        self.count.set(count);
        count > self.limit.get()
    }

    /// Whether a block can be put in and the bin has no more than it may hold.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.count.get() < self.limit.get()
    }

    /// Fills the empty bin with a chain of `count` blocks.
    ///
    /// # Safety
    ///
    /// As [`push`](Self::push), for each block of the chain, whose last link is null.
    #[inline]
    pub(crate) unsafe fn fill(&self, chain: *mut Block, count: u32) {
        debug_assert!(self.head.get().is_null(), "B1");
        self.head.set(chain);
        self.count.set(count);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.get().is_null()
    }

    pub(crate) fn len(&self) -> u32 {
        self.count.get()
    }

    /// Whether the bin has its limit. It has none before the heap's first use of the class.
    pub(crate) fn has_begun(&self) -> bool {
        self.limit.get() != 0
    }

    /// Sets the first limit; the bin may come to hold `bytes`.
    pub(crate) fn begin(&self, class: usize, bytes: usize) {
        self.limit.set(start_limit(class, bytes));
    }

    /// May hold twice as much: it ran dry soon after it had been too full.
    pub(crate) fn widen(&self, class: usize, bytes: usize) {
        let limit = self.limit.get().saturating_mul(2);
        self.limit.set(limit.min(grown_limit(class, bytes)));
    }

    /// May hold no more than at first.
    pub(crate) fn narrow(&self, class: usize, bytes: usize) {
        if self.has_begun() {
            self.begin(class, bytes);
        }
    }

    /// Keeps the newest `keep` blocks and gives the chain of the others.
    pub(crate) fn split(&self, keep: u32) -> *mut Block {
        if keep >= self.count.get() {
            return ptr::null_mut();
        }
        self.count.set(keep);
        if keep == 0 {
            return self.head.replace(ptr::null_mut());
        }
        let mut last = self.head.get();
        for _ in 1..keep {
            // SAFETY: B1: more than `keep` blocks hang on `head`.
            last = unsafe { (*last).next };
        }
        // SAFETY: B1, as above.
        let rest = unsafe { (*last).next };
        // SAFETY: B1, as above.
        unsafe { (*last).next = ptr::null_mut() };
        rest
    }

    /// Half of what it may hold: what is kept when it has too much.
    pub(crate) fn keep(&self) -> u32 {
        self.limit.get() / 2
    }
}
