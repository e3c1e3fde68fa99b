//! [`Occupancy`]: which slots are free, one bit each, outside the slots.
//!
//! # What
//!
//! The kernel of [`Slots`](super::Slots) and of [`SlabCache`](crate::SlabCache). A free slot is a
//! set bit. The words that have one are stacked, so a slot is found and given back in constant
//! time however many there are. Nothing is written into a free slot, so slots of one byte cost one
//! byte and a bit and a half, and no link lies where a user's overflow could reach it.
//!
//! # Memory picture
//!
//! ```text
//!            word 0      word 1      word 2      word 3
//!  words   │ 00100100  │ 00000000  │ 10000001  │ never written │
//!  links   │ 2         │ -         │ END       │ -             │
//!            ▲                                   ▲
//!            open, with the bits 11000000 taken  carved
//!            out of it into `ready`
//! ```
//!
//! # Invariants
//!
//! - O1: the words of the first `carved` slots have been written. A slot of them is free exactly if
//!   its bit is set in its word or, for the open word, in `ready`, and not in both. No bit at or
//!   above `carved` is set. `carved` is a whole number of words or all slots.
//! - O2: the open word and the words that have a set bit are stacked once each, from `open` along
//!   their links to [`END`].
//! - O3: `ready` is 0 exactly if `open` is [`END`], and then no slot is free: the next word is
//!   carved before that.
//! - O4: the slots handed out are the carved ones that are not free. They are counted by whoever
//!   holds the cursors.
//!
//! # Threads
//!
//! One at a time: the cursors are cells.
//!
//! # Cost
//!
//! Taking: `ready` loaded, its lowest bit cleared, stored. Giving: the slot's word loaded, the bit
//! tested there and in `ready`, set, the word stored. So the bits that are taken from and the bits
//! that are given to are two words in memory, and a slot that is given back and taken again does
//! not wait for its own bit to travel through memory. When `ready` runs out it is refilled from
//! the open word or the next on the stack. No pass over the map at the start.

use core::cell::Cell;
use core::num::NonZeroUsize;
use core::ptr::NonNull;

use super::geometry::{WORD_SLOTS, words_for};

/// The end of the stack. No word has this index: a map has at most `u32::MAX / 32` words.
const END: u32 = u32::MAX;

/// Where a map lies and how many slots it describes.
///
/// # Safety
///
/// The implementor promises that the answers never change; that `words` and `links` are aligned
/// and valid for reads and writes of [`words_for(slots)`](words_for) elements each; and that nobody
/// else reaches those while a method of [`Occupancy`] runs.
pub(crate) unsafe trait Map: Copy {
    /// The slots described, at least one.
    fn slots(self) -> u32;

    /// The first word.
    fn words(self) -> NonNull<usize>;

    /// The first link.
    fn links(self) -> NonNull<u32>;

    /// The free bits of a word.
    ///
    /// # Safety
    ///
    /// The word is carved.
    #[inline]
    unsafe fn free_bits(self, word: u32) -> usize {
        // SAFETY: a carved word is below the number of words.
        let at = unsafe { self.words().add(word as usize) };
        // SAFETY: by the trait's contract the word is valid for reads, and carving has written it (O1).
        unsafe { at.read() }
    }

    /// # Safety
    ///
    /// The word exists.
    #[inline]
    unsafe fn set_free_bits(self, word: u32, bits: usize) {
        // SAFETY: the word exists.
        let at = unsafe { self.words().add(word as usize) };
        // SAFETY: by the trait's contract the word is valid for writes.
        unsafe { at.write(bits) };
    }

    /// # Safety
    ///
    /// The word is on the stack, so that its link is written.
    #[inline]
    unsafe fn link(self, word: u32) -> u32 {
        // SAFETY: a word on the stack exists.
        let at = unsafe { self.links().add(word as usize) };
        // SAFETY: by the trait's contract the link is valid for reads, and pushing the word has written it.
        unsafe { at.read() }
    }

    /// # Safety
    ///
    /// The word exists.
    #[inline]
    unsafe fn set_link(self, word: u32, next: u32) {
        // SAFETY: the word exists.
        let at = unsafe { self.links().add(word as usize) };
        // SAFETY: by the trait's contract the link is valid for writes.
        unsafe { at.write(next) };
    }

    /// The bits of a word all of whose slots are free.
    fn whole(self, word: u32) -> usize {
        let left = self.slots() as usize - word as usize * WORD_SLOTS;
        if left >= WORD_SLOTS {
            usize::MAX
        } else {
            (1 << left) - 1
        }
    }
}

/// The slot was free already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WasFree;

/// The cursors of a map. Each method takes the map that the cursors were made for.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Occupancy {
    ready: Cell<usize>,
    open: Cell<u32>,
    carved: Cell<u32>,
}

/// The word of a slot, and its bit there.
#[inline]
const fn place_of(index: u32) -> (u32, usize) {
    (index / usize::BITS, 1 << (index % usize::BITS))
}

impl Occupancy {
    /// Cursors without a slot, until [`free_all`](Self::free_all).
    pub(crate) const fn closed() -> Self {
        Self {
            ready: Cell::new(0),
            open: Cell::new(END),
            carved: Cell::new(0),
        }
    }

    /// Makes all slots of `map` free. Writes the first word of it.
    pub(crate) fn free_all(&self, map: impl Map) {
        debug_assert_eq!(self.carved.get(), 0, "in use");
        self.carve(map);
    }

    /// Whether no slot is free.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.ready.get() == 0
    }

    /// Takes the lowest slot that is ready, unless it is the last of its kind: then nothing happens,
    /// and [`take`](Self::take) does it.
    #[inline]
    pub(crate) fn take_quick(&self) -> Option<u32> {
        let ready = self.ready.get();
        let left = ready & ready.wrapping_sub(1);
        if left == 0 {
            return None;
        }
        self.ready.set(left);
        // SAFETY: `left` has bits of `ready` only, and one at least. Said here because counting the
        // zeros of what may be 0 costs an instruction.
        let ready = unsafe { NonZeroUsize::new_unchecked(ready) };
        Some(self.open.get() * usize::BITS + ready.trailing_zeros())
    }

    /// Takes a free slot.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    #[inline]
    pub(crate) unsafe fn take(&self, map: impl Map) -> Option<u32> {
        let ready = self.ready.get();
        if ready == 0 {
            return None;
        }
        let index = self.open.get() * usize::BITS + ready.trailing_zeros();
        let left = ready & (ready - 1);
        self.ready.set(left);
        if left == 0 {
            // SAFETY: `map` is passed on; a word is open, because bits were ready (O3).
            unsafe { self.refill(map) };
        }
        Some(index)
    }

    /// Takes a slot back, if it is one handed out and its word is on the stack. If not, nothing
    /// happens, and [`give`](Self::give) says why or does it.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    #[inline]
    pub(crate) unsafe fn give_quick(&self, map: impl Map, index: u32) -> bool {
        if index >= self.carved.get() {
            return false;
        }
        let (word, bit) = place_of(index);
        // SAFETY: the word is carved.
        let bits = unsafe { map.free_bits(word) };
        if word == self.open.get() {
            if self.ready.get() & bit != 0 {
                return false;
            }
        } else if bits == 0 {
            return false;
        }
        if bits & bit != 0 {
            return false;
        }
        // SAFETY: the word exists.
        unsafe { map.set_free_bits(word, bits | bit) };
        true
    }

    /// Takes a slot back.
    ///
    /// # Errors
    ///
    /// [`WasFree`] if the slot is free, was never handed out, or does not exist.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    #[inline]
    pub(crate) unsafe fn give(&self, map: impl Map, index: u32) -> Result<(), WasFree> {
        // SAFETY: `map` is passed on.
        if unsafe { self.give_quick(map, index) } {
            return Ok(());
        }
        let (word, bit) = place_of(index);
        // SAFETY: `map` is passed on.
        if unsafe { self.is_free(map, index) } != Some(false) {
            return Err(WasFree);
        }
        // SAFETY: the slot is handed out, so its word is carved, and it was not on the stack.
        unsafe { self.reopen(map, word, bit) };
        Ok(())
    }

    /// Whether the slot is free; `None` of one that was never handed out, which is free too.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; `index` is below its number of slots.
    pub(crate) unsafe fn is_free(&self, map: impl Map, index: u32) -> Option<bool> {
        if index >= self.carved.get() {
            return None;
        }
        let (word, bit) = place_of(index);
        // SAFETY: the word is carved.
        let free = unsafe { self.free_of(map, word) };
        Some(free & bit != 0)
    }

    /// The bits of all free slots of a word.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; the word is carved.
    unsafe fn free_of(&self, map: impl Map, word: u32) -> usize {
        // SAFETY: the word is carved.
        let bits = unsafe { map.free_bits(word) };
        if word == self.open.get() {
            bits | self.ready.get()
        } else {
            bits
        }
    }

    /// Gets `ready` new bits: those given back to the open word, else the next word of the stack,
    /// else one that was never used. Leaves no word open if there is none.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; a word is open, and no bit of it ready.
    unsafe fn refill(&self, map: impl Map) {
        // SAFETY: the open word is carved.
        let back = unsafe { map.free_bits(self.open.get()) };
        if back == 0 {
            // SAFETY: the open word is on the stack.
            self.open.set(unsafe { map.link(self.open.get()) });
            if self.open.get() == END {
                return self.carve(map);
            }
        }
        let word = self.open.get();
        // SAFETY: a word on the stack is carved.
        self.ready.set(unsafe { map.free_bits(word) });
        // SAFETY: as above.
        unsafe { map.set_free_bits(word, 0) };
    }

    /// Puts a word that has one free slot again on the stack: as the open one if there is none,
    /// else behind it.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; the word is carved and not on the stack.
    unsafe fn reopen(&self, map: impl Map, word: u32, bit: usize) {
        let open = self.open.get();
        if open == END {
            // SAFETY: the word exists.
            unsafe { map.set_link(word, END) };
            self.open.set(word);
            self.ready.set(bit);
            return;
        }
        // SAFETY: the open word is on the stack.
        let next = unsafe { map.link(open) };
        // SAFETY: the word exists.
        unsafe { map.set_link(word, next) };
        // SAFETY: as above.
        unsafe { map.set_link(open, word) };
        // SAFETY: the word exists.
        unsafe { map.set_free_bits(word, bit) };
    }

    /// Opens the next word that was never used, if there is one.
    fn carve(&self, map: impl Map) {
        debug_assert_eq!(self.open.get(), END, "carved before the stack ran empty");
        let carved = self.carved.get();
        if carved == map.slots() {
            return;
        }
        let word = carved / usize::BITS;
        // SAFETY: there is a slot after the carved ones, so its word exists.
        unsafe { map.set_free_bits(word, 0) };
        // SAFETY: as above.
        unsafe { map.set_link(word, END) };
        self.carved
            .set(map.slots().min(carved.saturating_add(usize::BITS)));
        self.open.set(word);
        self.ready.set(map.whole(word));
    }

    /// Checks O1 to O3 and counts the slots handed out (O4).
    ///
    /// # Errors
    ///
    /// The first that is broken, and the word.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    pub(crate) unsafe fn verify(&self, map: impl Map) -> Result<u32, (&'static str, u32)> {
        let (carved, open) = (self.carved.get(), self.open.get());
        if carved > map.slots() || (carved < map.slots() && !carved.is_multiple_of(usize::BITS)) {
            return Err((
                "O1: more slots carved than there are, or a part of a word",
                carved,
            ));
        }
        if (self.ready.get() == 0) != (open == END) {
            return Err(("O3: an open word without ready bits, or the reverse", open));
        }
        if open == END && carved < map.slots() {
            return Err(("O3: no open word, but one to carve", carved));
        }
        let words = words_for(carved);
        let (mut stacked, mut free) = (0, 0);
        for word in 0..words {
            // SAFETY: the word is carved.
            let bits = unsafe { self.free_of(map, word) };
            if bits & !map.whole(word) != 0 {
                return Err(("O1: a bit beyond the last slot", word));
            }
            // SAFETY: as above.
            let both = unsafe { map.free_bits(word) } & self.ready.get();
            if word == open && both != 0 {
                return Err(("O1: a bit in the open word that is ready too", word));
            }
            stacked += u32::from(bits != 0);
            free += bits.count_ones();
        }
        let mut word = open;
        for _ in 0..stacked {
            if word >= words {
                return Err(("O2: a link to what is not a carved word", word));
            }
            // SAFETY: the word is carved.
            if unsafe { self.free_of(map, word) } == 0 {
                return Err(("O2: a word without a free slot on the stack", word));
            }
            // SAFETY: the word is on the stack.
            word = unsafe { map.link(word) };
        }
        if word != END {
            return Err(("O2: the stack does not end", word));
        }
        Ok(carved - free)
    }

    /// Passes every figure of the bookkeeping to `add`.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    pub(crate) unsafe fn digest(&self, map: impl Map, mut add: impl FnMut(u64)) {
        add(self.ready.get() as u64);
        add(u64::from(self.open.get()));
        for word in 0..words_for(self.carved.get()) {
            // SAFETY: the word is carved.
            let bits = unsafe { map.free_bits(word) };
            add(bits as u64);
            if bits != 0 || word == self.open.get() {
                // SAFETY: the open word and those with a free slot are on the stack (O2).
                add(u64::from(unsafe { map.link(word) }));
            }
        }
    }
}
