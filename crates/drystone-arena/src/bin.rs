//! [`Bins`]: the free blocks of each class that a heap hands out next, newest first.
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
//!  bin:            base          top       end
//!                   v             v         v
//!         [ null | block | block |   |   |  ]      oldest first
//! ```
//!
//! The first array of each bin lies in the heap; a longer one is a block of the heap's own. The null in front
//! is what an empty bin hands out: neither a count nor a comparison is needed to see that it is empty.

use core::cell::{Cell, UnsafeCell};
use core::ptr::{self, NonNull};

use drystone_core::SizeClass;

use crate::block_list::Block;
use crate::geometry::block_bytes;
use crate::per_class::PerClass;
use crate::published::PublishedPtr;

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

/// Where the first array of each class begins in [`FirstSlots`], the null in front of it included, and where
/// the last one ends.
const FIRST_SLOT: [usize; SizeClass::COUNT + 1] = {
    let mut at = [0; SizeClass::COUNT + 1];
    let mut class = 0;
    while class < SizeClass::COUNT {
        at[class + 1] = at[class] + 1 + start_limit(class, START_BYTES) as usize;
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
            slots: UnsafeCell::new([const { Slot::new(ptr::null_mut()) }; _]),
        }
    }

    /// The first slot of the class, behind its null.
    fn of(&self, class: usize) -> *mut Slot {
        let first = self.slots.get().cast::<Slot>();
        // SAFETY: inside the slots.
        unsafe { first.add(FIRST_SLOT[class] + 1) }
    }
}

/// The null of the bins that have no array: those of the heap that stands for none.
struct NoArray([Slot; 1]);

// SAFETY: nothing is ever written there: a bin without an array has no room, and its null is in front of its
// base.
unsafe impl Sync for NoArray {}

static NO_ARRAY: NoArray = NoArray([Slot::new(ptr::null_mut())]);

/// What is behind the null of a bin without an array.
const fn no_slots() -> *mut Slot {
    // SAFETY: one past the end.
    unsafe { (&raw const NO_ARRAY.0).cast::<Slot>().add(1) }.cast_mut()
}

/// A place for a block.
type Slot = Cell<*mut Block>;

/// The free blocks of a heap. Where each bin ends at its top, where it may end and where it begins are three
/// arrays: a class leads to an entry without a multiplication, and what only the slow paths read does not lie
/// between what every call does.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Bins {
    tops: PerClass<PublishedPtr<Slot>>,
    /// At the base in the heap that stands for none.
    ends: PerClass<Cell<*mut Slot>>,
    bases: PerClass<PublishedPtr<Slot>>,
}

impl Bins {
    /// Bins without an array, which have no blocks and no room.
    pub(crate) const fn new() -> Self {
        Self {
            tops: PerClass::new([const { PublishedPtr::new(no_slots()) }; _]),
            ends: PerClass::new([const { Cell::new(no_slots()) }; _]),
            bases: PerClass::new([const { PublishedPtr::new(no_slots()) }; _]),
        }
    }

    #[inline(always)]
    pub(crate) fn of(&self, class: usize) -> Bin<'_> {
        Bin {
            top: self.tops.of(class),
            end: self.ends.of(class),
            base: self.bases.of(class),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Bin<'_>> {
        (0..SizeClass::COUNT).map(|class| self.of(class))
    }
}

/// The free blocks of one class.
///
/// - B1: the slots from `base` to `top` have blocks, each of a page of this class that its page counts as
///   used. There is a slot in front of `base`, and it has null.
/// - B2: the slots from `base` to `end` are there; `top` is in front of it or there, or a bin that was narrowed
///   has more than it may.
#[derive(Clone, Copy)]
pub(crate) struct Bin<'a> {
    top: &'a PublishedPtr<Slot>,
    end: &'a Cell<*mut Slot>,
    base: &'a PublishedPtr<Slot>,
}

impl Bin<'_> {
    /// A slot of this bin, or the null in front of them.
    #[inline(always)]
    fn slot<'s>(slot: *mut Slot) -> &'s Slot {
        // SAFETY: callers are within B1 and B2; slots live as long as the heap, and change in their cells only.
        unsafe { &*slot }
    }

    /// The slot with this number, which there is.
    #[inline(always)]
    fn slot_at(&self, index: u32) -> &Slot {
        // SAFETY: B2.
        Self::slot(unsafe { self.base.get().add(index as usize) })
    }

    /// Takes the newest block.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<NonNull<Block>> {
        // SAFETY: B1: there is a slot in front of the base too.
        let last = unsafe { self.top.get().sub(1) };
        let block = NonNull::new(Self::slot(last).get())?;
        self.top.set(last);
        Some(block)
    }

    /// Whether another block may be put in.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.top.get() < self.end.get()
    }

    /// Puts in a block of a page of this class, counted as used, if there is room. Whether there was.
    #[inline(always)]
    pub(crate) fn push(&self, block: *mut Block) -> bool {
        let top = self.top.get();
        let has_room = top < self.end.get();
        if has_room {
            self.put(block, top);
        }
        has_room
    }

    /// As [`push`](Self::push), where there [is room](Self::has_room), or from where the block has just been
    /// taken.
    #[inline(always)]
    pub(crate) fn push_into_room(&self, block: *mut Block) {
        self.put(block, self.top.get());
    }

    /// Puts in a block at the top.
    #[inline(always)]
    fn put(&self, block: *mut Block, top: *mut Slot) {
        debug_assert!(!block.is_null(), "B1");
        Self::slot(top).set(block);
        // SAFETY: the slot is there.
        self.top.set(unsafe { top.add(1) });
    }

    /// Fills the empty bin with so many blocks, at most as many as it may hold. The answer is to be given
    /// as many, that first which is handed out first.
    #[inline]
    pub(crate) fn fill(&self, count: u32) -> impl FnMut(*mut Block) {
        debug_assert!(self.is_empty() && count <= self.limit());
        self.set_len(count);
        let mut index = count;
        move |block| {
            index -= 1;
            self.slot_at(index).set(block);
        }
    }

    /// Takes out so many of the oldest blocks, which it has, and shows them.
    pub(crate) fn take_oldest(&self, count: u32, mut each: impl FnMut(*mut Block)) {
        let kept = self.len() - count;
        (0..count).for_each(|index| each(self.slot_at(index).get()));
        for index in 0..kept {
            self.slot_at(index).set(self.slot_at(index + count).get());
        }
        self.set_len(kept);
    }

    /// So many blocks, which are or will be in the first slots.
    fn set_len(&self, len: u32) {
        // SAFETY: B2.
        self.top.set(unsafe { self.base.get().add(len as usize) });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many blocks it has. Another thread that asks while the bin gets another array may hear of none, or,
    /// if the arrays are near each other, of what a bin may have: not of the distance between them.
    pub(crate) fn len(&self) -> u32 {
        let base = self.base.get();
        let len = slots_between(base, self.top.get());
        let is_of_one_array = self.base.get() == base && len as usize <= GROWN_MAX;
        if is_of_one_array { len } else { 0 }
    }

    /// How many blocks it may hold.
    pub(crate) fn limit(&self) -> u32 {
        slots_between(self.base.get(), self.end.get())
    }

    /// What it may hold if it ran dry soon after it had been too full: four times as much. It may come to
    /// hold `bytes`.
    pub(crate) fn widened(&self, class: usize, bytes: usize) -> u32 {
        let limit = self.limit().saturating_mul(4);
        limit.min(grown_limit(class, bytes))
    }

    /// May hold `limit` blocks.
    ///
    /// # Safety
    ///
    /// It has as many slots.
    pub(crate) unsafe fn set_limit(&self, limit: u32) {
        // SAFETY: the caller's promise.
        self.end.set(unsafe { self.base.get().add(limit as usize) });
    }

    /// May hold no more than at first. It may come to hold `bytes`.
    pub(crate) fn narrow(&self, class: usize, bytes: usize) {
        // SAFETY: the first array has as many slots for any bytes, and a longer one has more.
        unsafe { self.set_limit(start_limit(class, bytes)) };
    }

    /// Uses its first array. The bin is empty, and may hold as much as before or as the array can.
    pub(crate) fn use_first(&self, class: usize, slots: &FirstSlots) {
        let limit = self.limit().min(first_slots(class));
        // SAFETY: a null is in front of the slots of each class.
        unsafe { self.use_slots(slots.of(class), limit) };
    }

    /// Uses a block as its array. The bin is empty, and may hold `limit` blocks.
    ///
    /// # Safety
    ///
    /// The block has room for one slot more than the limit, and is the bin's until it uses another array.
    pub(crate) unsafe fn use_block(&self, array: *mut Block, limit: u32) {
        let null = array.cast::<Slot>();
        // SAFETY: the caller's promise.
        unsafe { null.write(Slot::new(ptr::null_mut())) };
        // SAFETY: as above.
        let base = unsafe { null.add(1) };
        // SAFETY: as above; the null has just been written.
        unsafe { self.use_slots(base, limit) };
    }

    /// # Safety
    ///
    /// `limit` slots are there, with a null in front.
    unsafe fn use_slots(&self, base: *mut Slot, limit: u32) {
        debug_assert!(self.is_empty());
        self.base.set(base);
        self.top.set(base);
        // SAFETY: the caller's promise.
        unsafe { self.set_limit(limit) };
    }

    /// The block that is its array, if that is not the first one.
    pub(crate) fn array(&self, class: usize, slots: &FirstSlots) -> Option<*mut Block> {
        let base = self.base.get();
        if ptr::eq(base, slots.of(class)) {
            return None;
        }
        // SAFETY: a block begins with the null in front of the slots.
        Some(unsafe { base.sub(1) }.cast())
    }

    /// Half of what it may hold: what is kept when it has too much.
    pub(crate) fn keep(&self) -> u32 {
        self.limit() / 2
    }
}

/// How many slots there are from one to another; none if they are not of one array.
fn slots_between(from: *mut Slot, to: *mut Slot) -> u32 {
    let bytes = to.addr().wrapping_sub(from.addr());
    u32::try_from(bytes / size_of::<Slot>()).unwrap_or(0)
}

/// How many slots the block of so many bytes has that is a bin's array.
#[expect(
    clippy::cast_possible_truncation,
    reason = "an array is a block of a class"
)]
pub(crate) fn block_slots(bytes: usize) -> u32 {
    (bytes / size_of::<Slot>()) as u32 - 1
}

/// The bytes of an array of so many slots.
pub(crate) fn array_bytes(slots: u32) -> usize {
    (slots as usize + 1) * size_of::<Slot>()
}

/// The slots of the first array of the class.
pub(crate) fn first_slots(class: usize) -> u32 {
    start_limit(class, START_BYTES)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// What another thread finds that asks between the two stores of `use_slots`.
    #[test]
    fn a_bin_between_two_arrays_has_no_blocks() {
        let bins = Bins::new();
        let bin = bins.of(0);
        let slots = [const { Slot::new(ptr::null_mut()) }; GROWN_MAX + 2];
        let first = slots.as_ptr().cast_mut();
        bin.base.set(first);
        bin.top.set(first.wrapping_add(GROWN_MAX));
        assert_eq!(bin.len() as usize, GROWN_MAX);
        for apart in [GROWN_MAX + 1, 1 << 20, usize::MAX / 16] {
            bin.top.set(first.wrapping_add(apart));
            assert_eq!(bin.len(), 0, "{apart} slots apart");
        }
    }
}
