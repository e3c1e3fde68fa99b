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
//!  words   │ 00101100  │ 00000000  │ 10000001  │ never written │
//!  links   │ 2         │ -         │ END       │ -             │
//!            ▲                                   ▲
//!            open                                carved
//! ```
//!
//! # Invariants
//!
//! - O1: `carved` words have been written, the first ones; a bit in them is set exactly if its
//!   slot is free, and no bit at or above the number of slots is set.
//! - O2: the words that have a set bit are stacked once each, from `open` along their links to
//!   [`END`].
//! - O3: while a slot is free, the stack is not empty: the next word is carved when it runs empty.
//! - O4: `live` is the number of slots handed out: carved slots without their set bits.
//!
//! # Threads
//!
//! One at a time: the cursors are cells.
//!
//! # Cost
//!
//! Taking: the open word is loaded, its lowest bit cleared, the word stored. Giving: the word is
//! loaded, the bit tested and set, the word stored. Every word of slots one of the two also moves
//! a word on or off the stack. No pass over the map at the start.

use core::cell::Cell;
use core::ptr::NonNull;

use super::geometry::{WORD_SLOTS, words_for};

/// The end of the stack. No word has this index: a map has at most `u32::MAX / 32` words.
const END: u32 = u32::MAX;

/// Where a map lies and how many slots it describes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Map {
    // P1: valid for reads and writes of `words_for(slots)` elements each, aligned, and reached by
    // nobody else while a method of `Occupancy` runs.
    words: NonNull<usize>,
    links: NonNull<u32>,
    slots: u32,
}

impl Map {
    /// A map of `slots` slots.
    ///
    /// # Safety
    ///
    /// `words` and `links` are aligned and valid for reads and writes of
    /// [`words_for(slots)`](words_for) elements each, and for nobody else, whenever the map is
    /// passed to an [`Occupancy`].
    #[inline]
    pub(crate) const unsafe fn new(words: NonNull<usize>, links: NonNull<u32>, slots: u32) -> Self {
        Self {
            words,
            links,
            slots,
        }
    }

    /// The slots described.
    #[inline]
    pub(crate) const fn slots(self) -> u32 {
        self.slots
    }

    /// The free bits of a word.
    ///
    /// # Safety
    ///
    /// The word is carved.
    #[inline]
    unsafe fn free_bits(self, word: u32) -> usize {
        // SAFETY: a carved word is below the number of words (P1).
        let at = unsafe { self.words.add(word as usize) };
        // SAFETY: by P1 the word is valid for reads, and carving has written it (O1).
        unsafe { at.read() }
    }

    /// # Safety
    ///
    /// The word exists.
    #[inline]
    unsafe fn set_free_bits(self, word: u32, bits: usize) {
        // SAFETY: the word exists (P1).
        let at = unsafe { self.words.add(word as usize) };
        // SAFETY: by P1 the word is valid for writes.
        unsafe { at.write(bits) };
    }

    /// # Safety
    ///
    /// The word is on the stack, so that its link is written.
    #[inline]
    unsafe fn link(self, word: u32) -> u32 {
        // SAFETY: a word on the stack exists (P1).
        let at = unsafe { self.links.add(word as usize) };
        // SAFETY: by P1 the link is valid for reads, and pushing the word has written it.
        unsafe { at.read() }
    }

    /// # Safety
    ///
    /// The word exists.
    #[inline]
    unsafe fn set_link(self, word: u32, next: u32) {
        // SAFETY: the word exists (P1).
        let at = unsafe { self.links.add(word as usize) };
        // SAFETY: by P1 the link is valid for writes.
        unsafe { at.write(next) };
    }

    /// The bits of a word all of whose slots are free.
    fn whole(self, word: u32) -> usize {
        let left = self.slots as usize - word as usize * WORD_SLOTS;
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
pub(crate) struct Occupancy {
    open: Cell<u32>,
    carved: Cell<u32>,
    live: Cell<u32>,
}

impl Occupancy {
    /// All slots of `map` free. Writes the first word of it.
    ///
    /// # Safety
    ///
    /// The map has a slot.
    pub(crate) unsafe fn new(map: Map) -> Self {
        let occupancy = Self {
            open: Cell::new(END),
            carved: Cell::new(0),
            live: Cell::new(0),
        };
        occupancy.carve(map);
        occupancy
    }

    /// The slots handed out.
    #[inline]
    pub(crate) fn live(&self) -> u32 {
        self.live.get()
    }

    /// Whether no slot is free.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.open.get() == END
    }

    /// Takes a free slot: the lowest of the open word.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    #[inline]
    pub(crate) unsafe fn take(&self, map: Map) -> Option<u32> {
        let word = self.open.get();
        if word == END {
            return None;
        }
        // SAFETY: a word on the stack is carved (O2).
        let bits = unsafe { map.free_bits(word) };
        debug_assert_ne!(bits, 0, "O2: a word without a free slot on the stack");
        let left = bits & bits.wrapping_sub(1);
        // SAFETY: the word exists.
        unsafe { map.set_free_bits(word, left) };
        self.live.set(self.live.get() + 1);
        if left == 0 {
            // SAFETY: `map` is passed on; the word is the open one.
            unsafe { self.close(map, word) };
        }
        Some(word * usize::BITS + bits.trailing_zeros())
    }

    /// Takes a slot back. `Ok(true)` if no slot was free before.
    ///
    /// # Errors
    ///
    /// [`WasFree`] if the slot is free, or was never handed out.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; `index` is below its number of slots.
    #[inline]
    pub(crate) unsafe fn give(&self, map: Map, index: u32) -> Result<bool, WasFree> {
        debug_assert!(index < map.slots);
        let word = index / usize::BITS;
        let bit = 1usize << (index % usize::BITS);
        if word >= self.carved.get() {
            return Err(WasFree);
        }
        // SAFETY: the word is carved.
        let bits = unsafe { map.free_bits(word) };
        if bits & bit != 0 {
            return Err(WasFree);
        }
        // SAFETY: the word exists.
        unsafe { map.set_free_bits(word, bits | bit) };
        self.live.set(self.live.get() - 1);
        if bits != 0 {
            return Ok(false);
        }
        // SAFETY: the word had no bit, so it is not on the stack (O2).
        Ok(unsafe { self.reopen(map, word) })
    }

    /// Whether the slot is free; `None` of one that was never handed out, which is free too.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; `index` is below its number of slots.
    pub(crate) unsafe fn is_free(&self, map: Map, index: u32) -> Option<bool> {
        let word = index / usize::BITS;
        if word >= self.carved.get() {
            return None;
        }
        // SAFETY: the word is carved.
        let bits = unsafe { map.free_bits(word) };
        Some(bits >> (index % usize::BITS) & 1 != 0)
    }

    /// Takes the open word, which has no free slot left, off the stack.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; `word` is the open one.
    #[inline]
    unsafe fn close(&self, map: Map, word: u32) {
        // SAFETY: the word is on the stack.
        self.open.set(unsafe { map.link(word) });
        if self.open.get() == END {
            self.carve(map);
        }
    }

    /// Puts a word that has a free slot again on the stack. Answers whether the stack was empty.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for; the word is carved and not on the stack.
    #[inline]
    unsafe fn reopen(&self, map: Map, word: u32) -> bool {
        let next = self.open.get();
        // SAFETY: a carved word exists.
        unsafe { map.set_link(word, next) };
        self.open.set(word);
        next == END
    }

    /// Makes the next word the only open one, if there is one.
    fn carve(&self, map: Map) {
        debug_assert_eq!(self.open.get(), END, "carved before the stack ran empty");
        let word = self.carved.get();
        if word == words_for(map.slots) {
            return;
        }
        // SAFETY: the word is below the number of words, so it exists.
        unsafe { map.set_free_bits(word, map.whole(word)) };
        // SAFETY: as above.
        unsafe { map.set_link(word, END) };
        self.carved.set(word + 1);
        self.open.set(word);
    }

    /// Checks O1 to O4; names the first that is broken and the word.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    pub(crate) unsafe fn verify(&self, map: Map) -> Result<(), (&'static str, u32)> {
        let carved = self.carved.get();
        if carved > words_for(map.slots) {
            return Err(("O1: more words carved than there are", carved));
        }
        let (mut open, mut free) = (0, 0);
        for word in 0..carved {
            // SAFETY: the word is carved.
            let bits = unsafe { map.free_bits(word) };
            if bits & !map.whole(word) != 0 {
                return Err(("O1: a bit beyond the last slot", word));
            }
            open += u32::from(bits != 0);
            free += bits.count_ones();
        }
        let mut word = self.open.get();
        for _ in 0..open {
            if word >= carved {
                return Err(("O2: a link to what is not a carved word", word));
            }
            // SAFETY: the word is carved.
            if unsafe { map.free_bits(word) } == 0 {
                return Err(("O2: a word without a free slot on the stack", word));
            }
            // SAFETY: the word is on the stack.
            word = unsafe { map.link(word) };
        }
        if word != END {
            return Err(("O2: the stack does not end", word));
        }
        if self.is_full() && carved < words_for(map.slots) {
            return Err(("O3: no open word, but one to carve", carved));
        }
        let carved_slots = (u64::from(carved) * u64::from(usize::BITS)).min(u64::from(map.slots));
        if u64::from(free) + u64::from(self.live.get()) != carved_slots {
            return Err(("O4: free and live do not add up", self.live.get()));
        }
        Ok(())
    }

    /// Passes every figure of the bookkeeping to `add`.
    ///
    /// # Safety
    ///
    /// `map` is the one that `self` was made for.
    pub(crate) unsafe fn digest(&self, map: Map, mut add: impl FnMut(u64)) {
        add(u64::from(self.open.get()));
        add(u64::from(self.live.get()));
        for word in 0..self.carved.get() {
            // SAFETY: the word is carved.
            let bits = unsafe { map.free_bits(word) };
            add(bits as u64);
            if bits != 0 {
                // SAFETY: a word with a free slot is on the stack (O2).
                add(u64::from(unsafe { map.link(word) }));
            }
        }
    }
}
