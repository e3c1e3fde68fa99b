//! [`Magazines`]: the places of several slots side by side, by number.
//!
//! # What
//!
//! What a [`Batch`](crate::batch::Batch) lies in while no thread has it. A magazine is as large as the
//! class's batches can be, so that a list of few slots has many small ones, and a list of many few
//! large ones.
//!
//! # Memory picture
//!
//! ```text
//!  magazine   [ node below | len | slot slot ... slot ]      a whole number of cache lines
//! ```
//!
//! Two numbers and the slots are words of one kind, so that magazines of any size lie in one array.
//!
//! # Threads
//!
//! All accesses are Relaxed: a magazine is one thread's, or on a stack whose exchanges order what was
//! done to it. Only the node below may be read by a thread that comes too late, which then finds that out.
//!
//! # Cost
//!
//! About 32 bytes for each slot of the list: four times as many places as slots; and up to 16 KiB for each
//! thread that is expected, of which none is touched before it is used.

use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, Ordering};

use crate::batch::{BATCH_MAX, Batch};
use crate::nodes;
use crate::prefetch::prefetch;
use crate::spares::SPARES_MAX;

/// The words before the slots.
const HEAD: usize = 2;

/// A magazine has a multiple of this many words.
const LINE: usize = if cfg!(loom) { 1 } else { 8 };

/// Places for each slot of the list: magazines are rarely full. None under loom, where each is a step of
/// every model, beside the two that there always are.
const PLACES_PER_SLOT: usize = if cfg!(loom) { 0 } else { 4 };

/// Magazines for the spares of each thread. None under loom.
const SPARES_PER_THREAD: usize = if cfg!(loom) { 0 } else { SPARES_MAX as usize };

/// The most threads that there are magazines for to spare.
const SPARING_MOST: usize = 64;

/// Magazines of one size.
#[derive(Debug)]
pub(crate) struct Magazines<T> {
    words: Box<[AtomicPtr<T>]>,
    /// The words of one; above [`HEAD`].
    stride: usize,
    count: usize,
}

impl<T> Magazines<T> {
    /// Magazines for batches of up to `batch` slots, at most [`BATCH_MAX`], of a list of `slots`; none
    /// for a batch of 0. Some more for about `threads` threads that keep empty ones. `None` if there is no
    /// memory.
    pub(crate) fn new(slots: u32, batch: u32, threads: usize) -> Option<Self> {
        let stride = (batch.min(BATCH_MAX) as usize + HEAD).next_multiple_of(LINE);
        let count = match batch {
            0 => 0,
            _ => {
                let spares = threads.min(SPARING_MOST) * SPARES_PER_THREAD;
                // With words of 32 bits the places of the largest lists cannot be counted.
                let places = (slots as usize).checked_mul(PLACES_PER_SLOT)?;
                places / (stride - HEAD) + spares + 2
            }
        };
        Some(Self {
            words: nodes::boxed(count.checked_mul(stride)?)?,
            stride,
            count,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The most slots that one holds.
    pub(crate) fn slots_max(&self) -> u32 {
        // At most `BATCH_MAX`, rounded up to a line.
        (self.stride - HEAD) as u32
    }

    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// `None` from [`len`](Self::len) on.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<Magazine<'_, T>> {
        let words = self.words.get(index.checked_mul(self.stride)?..)?;
        words.get(..self.stride).map(Magazine)
    }
}

/// The words of one magazine.
#[derive(Debug)]
pub(crate) struct Magazine<'a, T>(&'a [AtomicPtr<T>]);

impl<'a, T> Magazine<'a, T> {
    #[inline]
    pub(crate) fn below(&self) -> u32 {
        number(&self.0[0])
    }

    #[inline]
    pub(crate) fn set_below(&self, node: u32) {
        set_number(&self.0[0], node);
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        number(&self.0[1])
    }

    #[inline]
    pub(crate) fn set_len(&self, len: u32) {
        set_number(&self.0[1], len);
    }

    /// Where the slots are named.
    #[inline]
    pub(crate) fn places(&self) -> &'a [AtomicPtr<T>] {
        &self.0[HEAD..]
    }

    /// Asks for the lines of all places before they are needed one after the other.
    #[inline]
    pub(crate) fn prefetch(&self) {
        self.0.chunks(LINE).for_each(|line| prefetch(&line[0]));
    }

    /// Moves the slots of a batch here, at most as many as there are places.
    pub(crate) fn fill(&self, batch: &mut Batch<T>) {
        debug_assert!(batch.len() as usize <= self.places().len());
        let len = batch.len();
        self.set_len(len);
        for place in self.places()[..len as usize].iter().rev() {
            let slot = batch.pop().map_or(ptr::null_mut(), NonNull::as_ptr);
            place.store(slot, Ordering::Relaxed);
        }
    }
}

/// A number in a word for pointers.
fn number<T>(word: &AtomicPtr<T>) -> u32 {
    // Stored as a u32.
    word.load(Ordering::Relaxed).addr() as u32
}

/// As [`number`].
fn set_number<T>(word: &AtomicPtr<T>, value: u32) {
    nodes::store_new_ptr(word, ptr::without_provenance_mut(value as usize));
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Every magazine takes a full batch, and none reaches into the next.
    fn check(slots: u32, batch: u32) {
        let magazines = Magazines::<u8>::new(slots, batch, 2).expect("memory");
        assert!(magazines.slots_max() >= batch.min(BATCH_MAX));
        assert!(magazines.slots_max() <= BATCH_MAX);
        let bytes = vec![0_u8; magazines.slots_max() as usize];
        for index in 0..magazines.len() {
            let magazine = magazines.get(index).expect("below the count");
            let mut full = Batch::new();
            bytes.iter().for_each(|byte| full.push(NonNull::from(byte)));
            magazine.fill(&mut full);
            magazine.set_below(index as u32);
            assert!(full.is_empty());
        }
        for index in 0..magazines.len() {
            let magazine = magazines.get(index).expect("below the count");
            assert_eq!(
                (magazine.below(), magazine.len()),
                (index as u32, magazines.slots_max())
            );
            let same =
                |(place, byte): (&AtomicPtr<u8>, &u8)| ptr::eq(place.load(Ordering::Relaxed), byte);
            assert!(magazine.places().iter().zip(&bytes).all(same));
        }
        assert!(magazines.get(magazines.len()).is_none());
        assert_eq!(
            magazines.table_bytes(),
            magazines.words.len() * size_of::<usize>()
        );
    }

    #[test]
    fn magazines_lie_side_by_side() {
        for batch in [1, 6, 7, 62, 63, 254, 255, 1 << 16] {
            check(0, batch);
            check(300, batch);
        }
    }

    #[test]
    #[cfg(target_pointer_width = "32")]
    fn a_list_too_long_for_the_words_is_refused() {
        assert!(Magazines::<u8>::new(1 << 31, 8, 2).is_none());
    }

    #[test]
    fn a_list_without_batches_has_none() {
        let magazines = Magazines::<u8>::new(300, 0, 2).expect("memory");
        assert_eq!((magazines.len(), magazines.table_bytes()), (0, 0));
        assert!(magazines.get(0).is_none());
    }
}
