//! [`Bin`]: the free blocks of one class that a heap hands out next, newest first.
//!
//! # What
//!
//! A bin has the addresses of its blocks in an array. So a block that is given back and handed out
//! again is neither read nor written in between: memory that the application has not used for long, or
//! will not use soon, costs no miss of the cache or of the address translation.
//!
//! # Memory picture
//!
//! ```text
//!  bin: slots | count | limit
//!         └──> [ block | block | block |   |   ]      oldest first
//! ```
//!
//! The first array of each bin lies in the heap; a longer one is a block of the heap's own.

use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};

use drystone_core::SizeClass;

use crate::block_list::Block;
use crate::geometry::block_bytes;
use crate::published::PublishedU32;

/// What a bin may hold at first, in bytes.
const START_BYTES: usize = 16 << 10;

/// The most blocks that a bin may hold at first, and later.
const START_MAX: usize = 128;
const GROWN_MAX: usize = 4096;

/// What a bin of the class may hold at first, if it may come to hold `bytes`.
const fn start_limit(class: usize, bytes: usize) -> u32 {
    let bytes = if bytes < START_BYTES {
        bytes
    } else {
        START_BYTES
    };
    limit(class, bytes, 4, START_MAX)
}

/// What a bin of the class may come to hold.
fn grown_limit(class: usize, bytes: usize) -> u32 {
    limit(class, bytes, 8, GROWN_MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "at most `max`")]
const fn limit(class: usize, bytes: usize, min: usize, max: usize) -> u32 {
    let blocks = bytes / block_bytes(class);
    if blocks < min {
        min as u32
    } else if blocks > max {
        max as u32
    } else {
        blocks as u32
    }
}

/// Where the first array of each class begins in [`FirstSlots`], and where the last one ends.
const FIRST_SLOT: [usize; SizeClass::COUNT + 1] = {
    let mut at = [0; SizeClass::COUNT + 1];
    let mut class = 0;
    while class < SizeClass::COUNT {
        at[class + 1] = at[class] + start_limit(class, START_BYTES) as usize;
        class += 1;
    }
    at
};

/// The first arrays of a heap's bins, one after another. Each slot is reached by a reference to it
/// alone: whoever checks references would look at all the others too.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct FirstSlots {
    slots: UnsafeCell<[Slot; FIRST_SLOT[SizeClass::COUNT]]>,
}

impl FirstSlots {
    pub(crate) const fn new() -> Self {
        Self {
            slots: UnsafeCell::new(
                [const { Slot::new(ptr::null_mut()) }; FIRST_SLOT[SizeClass::COUNT]],
            ),
        }
    }

    fn of(&self, class: usize) -> *mut Slot {
        let first = self.slots.get().cast::<Slot>();
        // SAFETY: inside the slots.
        unsafe { first.add(FIRST_SLOT[class]) }
    }
}

/// A place for a block.
type Slot = Cell<*mut Block>;

/// The free blocks of one class.
///
/// - B1: the first `count` of the slots are blocks, each of a page of this class that its page counts as
///   used.
/// - B2: there are as many slots as `limit`, at least.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Bin {
    slots: Cell<*mut Slot>,
    count: PublishedU32,
    /// How many blocks it may hold; 0 in the heap that stands for none.
    limit: Cell<u32>,
}

impl Bin {
    pub(crate) const fn new() -> Self {
        Self {
            slots: Cell::new(ptr::null_mut()),
            count: PublishedU32::new(0),
            limit: Cell::new(0),
        }
    }

    /// The slot that blocks are in below `count`.
    #[inline(always)]
    fn slot(&self, index: u32) -> &Slot {
        debug_assert!(index < self.limit.get().max(self.count.get() + 1), "B2");
        // SAFETY: B2.
        let slot = unsafe { self.slots.get().add(index as usize) };
        // SAFETY: slots live as long as the heap, and change in their cells only.
        unsafe { &*slot }
    }

    /// Takes the newest block.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<Block>> {
        let count = self.count.get();
        if count == 0 {
            return None;
        }
        // Before the count says less: a bin that was narrowed may hold more than its limit.
        let block = self.slot(count - 1).get();
        self.count.set(count - 1);
        debug_assert!(!block.is_null(), "B1");
        // SAFETY: B1.
        Some(unsafe { NonNull::new_unchecked(block) })
    }

    /// Whether another block may be put in.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.count.get() < self.limit.get()
    }

    /// Puts in a block of a page of this class, counted as used, if there is room. Whether there was.
    #[inline(always)]
    pub(crate) fn push(&self, block: *mut Block) -> bool {
        let count = self.count.get();
        let has_room = count < self.limit.get();
        if has_room {
            self.put(block, count);
        }
        has_room
    }

    /// As [`push`](Self::push), where there [is room](Self::has_room), or from where the block has just been
    /// taken.
    #[inline(always)]
    pub(crate) fn push_into_room(&self, block: *mut Block) {
        self.put(block, self.count.get());
    }

    /// Puts in a block behind as many as there are.
    #[inline(always)]
    fn put(&self, block: *mut Block, count: u32) {
        self.slot(count).set(block);
        self.count.set(count + 1);
    }

    /// Fills the empty bin with so many blocks, at most as many as it may hold. The answer is to be given
    /// as many, that first which is handed out first.
    #[inline]
    pub(crate) fn fill(&self, count: u32) -> impl FnMut(*mut Block) {
        debug_assert!(self.is_empty() && count <= self.limit.get());
        self.count.set(count);
        let mut index = count;
        move |block| {
            index -= 1;
            self.slot(index).set(block);
        }
    }

    /// Takes out so many of the oldest blocks, which it has, and shows them.
    pub(crate) fn take_oldest(&self, count: u32, mut each: impl FnMut(*mut Block)) {
        let kept = self.count.get() - count;
        (0..count).for_each(|index| each(self.slot(index).get()));
        for index in 0..kept {
            self.slot(index).set(self.slot(index + count).get());
        }
        self.count.set(kept);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    pub(crate) fn len(&self) -> u32 {
        self.count.get()
    }

    /// How many blocks it may hold.
    pub(crate) fn limit(&self) -> u32 {
        self.limit.get()
    }

    /// What it may hold if it ran dry soon after it had been too full: four times as much. It may come to
    /// hold `bytes`.
    pub(crate) fn widened(&self, class: usize, bytes: usize) -> u32 {
        let limit = self.limit.get().saturating_mul(4);
        limit.min(grown_limit(class, bytes))
    }

    /// May hold `limit` blocks.
    ///
    /// # Safety
    ///
    /// It has as many slots.
    pub(crate) unsafe fn set_limit(&self, limit: u32) {
        self.limit.set(limit);
    }

    /// May hold no more than at first. It may come to hold `bytes`.
    pub(crate) fn narrow(&self, class: usize, bytes: usize) {
        self.limit.set(start_limit(class, bytes));
    }

    /// Uses its first array. The bin is empty.
    pub(crate) fn use_first(&self, class: usize, slots: &FirstSlots) {
        debug_assert!(self.is_empty());
        self.slots.set(slots.of(class));
    }

    /// Uses a block as its array. The bin is empty.
    ///
    /// # Safety
    ///
    /// The block has room for as many slots as the limit, and is the bin's until it uses another array.
    pub(crate) unsafe fn use_block(&self, array: *mut Block) {
        debug_assert!(self.is_empty());
        self.slots.set(array.cast());
    }

    /// The block that is its array, if that is not the first one.
    pub(crate) fn array(&self, class: usize, slots: &FirstSlots) -> Option<*mut Block> {
        let array = self.slots.get();
        (!ptr::eq(array, slots.of(class))).then(|| array.cast())
    }

    /// Half of what it may hold: what is kept when it has too much.
    pub(crate) fn keep(&self) -> u32 {
        self.limit.get() / 2
    }
}

/// The slots of the first array of the class.
pub(crate) fn first_slots(class: usize) -> u32 {
    start_limit(class, START_BYTES)
}
