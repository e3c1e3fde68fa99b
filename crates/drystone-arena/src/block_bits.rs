//! [`BlockBits`]: under a checked profile, which blocks of a segment are live.
//!
//! A bit stands for 8 bytes of the segment, so no two blocks begin at the same bit. It lies in the
//! second and third slice of the segment: out of the reach of a block that is written past its end.
//!
//! # Threads
//!
//! `live` is written by the segment's owner only, by plain loads and stores. A thread that frees a
//! block of another heap sets the block's bit in `remote` by one atomic operation: whoever finds it set
//! has freed the block a second time. The owner clears both when it takes the block in.

use core::marker::PhantomData;

use drystone_sync::atomic::{AtomicUsize, Ordering};

use crate::geometry::{SEGMENT_BYTES, SLICE_BYTES};

mod hardened;

const WORD_BITS: usize = usize::BITS as usize;
const GRANULE_BYTES: usize = 8;
const WORDS: usize = SEGMENT_BYTES / GRANULE_BYTES / WORD_BITS;

/// The bits of one kind: a word for each so many blocks.
type Bits = [AtomicUsize; WORDS];

/// The slices that the bits take. A word of live blocks has that of the same blocks freed elsewhere
/// behind it, since who frees a block looks at both.
pub(crate) const BITS_SLICES: usize = 2 * size_of::<Bits>() / SLICE_BYTES;

const _: () = assert!(2 * size_of::<Bits>() == BITS_SLICES * SLICE_BYTES);

/// The state bits of a segment, by the words at their place. Zero bytes say that no block is live.
#[derive(Clone, Copy)]
pub(crate) struct BlockBits<'a> {
    words: *const AtomicUsize,
    segment: PhantomData<&'a AtomicUsize>,
}

/// Where the bit of a block is.
#[inline(always)]
const fn place(address: usize) -> (usize, usize) {
    let granule = address % SEGMENT_BYTES / GRANULE_BYTES;
    (granule / WORD_BITS, 1 << (granule % WORD_BITS))
}

impl BlockBits<'_> {
    /// # Safety
    ///
    /// [`BITS_SLICES`] slices of atomics begin there, and live as long as the answer.
    #[inline(always)]
    pub(crate) unsafe fn at(words: *const u8) -> Self {
        Self {
            words: words.cast(),
            segment: PhantomData,
        }
    }

    #[inline(always)]
    fn live(&self, word: usize) -> &AtomicUsize {
        debug_assert!(word < WORDS);
        // SAFETY: a word of live blocks comes first in each pair.
        let word = unsafe { self.words.add(2 * word) };
        // SAFETY: an atomic, by the promise that was made to `at`.
        unsafe { &*word }
    }

    #[inline(always)]
    fn remote(&self, word: usize) -> &AtomicUsize {
        debug_assert!(word < WORDS);
        // SAFETY: that of blocks freed elsewhere comes second.
        let word = unsafe { self.words.add(2 * word + 1) };
        // SAFETY: as in `live`.
        unsafe { &*word }
    }

    /// Whether a live block begins at the address, one that no other thread has freed.
    #[inline(always)]
    pub(crate) fn is_live(self, address: usize) -> bool {
        let (word, bit) = place(address);
        // Relaxed: who asks about a block it has asks after the bit was set.
        self.live(word).load(Ordering::Relaxed) & bit != 0
            && self.remote(word).load(Ordering::Relaxed) & bit == 0
    }

    /// Whether another thread has freed the block at the address, and the owner has not taken it in.
    pub(crate) fn is_sent(self, address: usize) -> bool {
        let (word, bit) = place(address);
        self.live(word).load(Ordering::Relaxed) & self.remote(word).load(Ordering::Relaxed) & bit
            != 0
    }

    /// Owner only: the block at the address is handed out. Whether it was free.
    #[inline(always)]
    pub(crate) fn set_live(self, address: usize) -> bool {
        let (word, bit) = place(address);
        let bits = self.live(word).load(Ordering::Relaxed);
        // A plain store: nobody else writes the word.
        self.live(word).store(bits | bit, Ordering::Relaxed);
        bits & bit == 0
    }

    /// Owner only: the block at the address is free.
    #[inline(always)]
    pub(crate) fn set_free(self, address: usize) {
        let (word, bit) = place(address);
        let bits = self.live(word).load(Ordering::Relaxed);
        self.live(word).store(bits & !bit, Ordering::Relaxed);
    }

    /// Owner only: frees the block at the address. Whether a live block begins there, one that no other
    /// thread has freed; nothing has changed otherwise.
    #[inline(always)]
    pub(crate) fn take_own(self, address: usize) -> bool {
        let (word, bit) = place(address);
        // Relaxed: as `is_live`.
        let bits = self.live(word).load(Ordering::Relaxed);
        let freed = self.remote(word).load(Ordering::Relaxed);
        // A bit stands for all addresses of its granule.
        if !address.is_multiple_of(GRANULE_BYTES) || bits & !freed & bit == 0 {
            return false;
        }
        self.live(word).store(bits & !bit, Ordering::Relaxed);
        true
    }

    /// Another thread frees the block. Whether it is the first to do so.
    pub(crate) fn set_remote(self, address: usize) -> bool {
        let (word, bit) = place(address);
        // Relaxed: only one of two threads gets a yes, and the chain carries the block over.
        self.remote(word).fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Owner only: takes in a block that another thread freed.
    pub(crate) fn take_remote(self, address: usize) {
        let (word, bit) = place(address);
        self.take_sent(word, bit);
    }

    /// Owner only: takes in the blocks of one word that other threads freed.
    fn take_sent(self, word: usize, bits: usize) {
        let live = self.live(word).load(Ordering::Relaxed);
        self.live(word).store(live & !bits, Ordering::Relaxed);
        self.remote(word).fetch_and(!bits, Ordering::Relaxed);
    }
}

/// Blocks that are being taken in. Neighbours cost one atomic operation together.
pub(crate) struct Taking<'a> {
    bits: BlockBits<'a>,
    word: usize,
    /// Bits of the word that are still to be changed.
    taken: usize,
}

impl<'a> Taking<'a> {
    pub(crate) const fn new(bits: BlockBits<'a>) -> Self {
        Self {
            bits,
            word: 0,
            taken: 0,
        }
    }

    /// Takes in the block at the address, if another thread has freed it and it was not taken in before.
    /// Whether that is so.
    pub(crate) fn take(&mut self, address: usize) -> bool {
        let (word, bit) = place(address);
        if word != self.word {
            self.finish();
            self.word = word;
        }
        if self.taken & bit != 0 || !self.bits.is_sent(address) {
            return false;
        }
        self.taken |= bit;
        true
    }

    /// What was taken in is free, for everybody.
    pub(crate) fn finish(&mut self) {
        let taken = core::mem::take(&mut self.taken);
        if taken != 0 {
            self.bits.take_sent(self.word, taken);
        }
    }
}
