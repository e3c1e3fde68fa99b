//! [`Bin`]: the free blocks of one class that a heap hands out next, newest first.

use core::cell::Cell;
use core::ptr;

use drystone_core::SizeClass;

use crate::geometry::block_bytes;
use crate::page::Block;

/// What a bin may hold at first, in bytes.
const START_BYTES: usize = 16 << 10;
/// What a bin may come to hold, in bytes, where the program frees and allocates in long turns.
const GROWN_BYTES: usize = 256 << 10;

/// How many blocks a bin may hold.
#[derive(Clone, Copy)]
struct Limits {
    start: u32,
    grown: u32,
}

/// The limits of each class.
static LIMITS: [Limits; SizeClass::COUNT] = {
    let mut limits = [Limits { start: 0, grown: 0 }; SizeClass::COUNT];
    let mut class = 0;
    while class < SizeClass::COUNT {
        limits[class] = Limits {
            start: clamp(START_BYTES / block_bytes(class), 4, 256),
            grown: clamp(GROWN_BYTES / block_bytes(class), 8, 4096),
        };
        class += 1;
    }
    limits
};

#[expect(clippy::cast_possible_truncation, reason = "at most `max`")]
const fn clamp(count: usize, min: usize, max: usize) -> u32 {
    if count < min {
        min as u32
    } else if count > max {
        max as u32
    } else {
        count as u32
    }
}

/// The free blocks of one class.
///
/// - B1: `count` blocks hang on `head`, linked through their first words, and the last link is null.
/// - B2: each is a block of a page of this class that its page counts as used.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Bin {
    head: Cell<*mut Block>,
    count: Cell<u32>,
    /// How many blocks it may hold; 0 in a heap that was never used.
    limit: Cell<u32>,
}

impl Bin {
    pub(crate) const fn new() -> Self {
        Self {
            head: Cell::new(ptr::null_mut()),
            count: Cell::new(0),
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

    pub(crate) fn begin(&self, class: usize) {
        self.limit.set(LIMITS[class].start);
    }

    /// May hold twice as much: it ran dry soon after it had been too full.
    pub(crate) fn widen(&self, class: usize) {
        let limit = self.limit.get().saturating_mul(2);
        self.limit.set(limit.min(LIMITS[class].grown));
    }

    /// May hold no more than at first.
    pub(crate) fn narrow(&self, class: usize) {
        if self.has_begun() {
            self.begin(class);
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
