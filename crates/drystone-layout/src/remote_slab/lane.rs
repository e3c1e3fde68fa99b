//! [`Lane`]: a bounded ring of slot indices between one thread that frees and the owner.
//!
//! # What
//!
//! One producer, one consumer, no read-modify-write on the way of a block: the producer writes the
//! index, then its counter; the consumer reads them in the other order. The block itself is not
//! touched, so its lines stay in the owner's cache.
//!
//! # Memory picture
//!
//! ```text
//!            taken                    pushed
//!              │                        │
//!   +-----+-----+-----+-----+-----+-----+-----+-----+
//!   |     |     |  7  |  2  |  9  |  4  |     |     |   entries: a power of two
//!   +-----+-----+-----+-----+-----+-----+-----+-----+
//!
//!   line 0: entries    line 1: thread, pushed, seen_taken    line 2: taken
//! ```
//!
//! Both counters run on and wrap; their low bits are positions.
//!
//! # Invariants
//!
//! - L1: `pushed - taken <= entries`, and `seen_taken` is an earlier value of `taken`.
//! - L2: only the producer writes `pushed`, `seen_taken` and the entries outside
//!   `taken .. pushed`; only the consumer writes `taken`.
//! - L3: the producer is the one thread whose mark is in `thread`. Nobody is while it is
//!   [`UNCLAIMED`]. A thread claims an unclaimed lane for good; only an exclusive borrow of the
//!   lane's handle changes a claim.
//!
//! # Threads
//!
//! As above. Neither side waits for the other. A producer that dies leaves its entries to the
//! consumer and the lane to the next producer.
//!
//! # Cost
//!
//! A push is four loads, a thread mark and two stores, all on lines that only the producer writes;
//! it reads `taken` only when the lane looks full. 4 bytes an entry and three padded lines.

use alloc::boxed::Box;
use core::ptr::NonNull;

use drystone_sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{CachePadded, thread_mark};

use super::boxing;

/// The mark of no thread: marks are never 0.
const UNCLAIMED: usize = 0;

/// The most entries of a lane.
pub(super) const ENTRIES_MAX: usize = 4096;

/// A ring of slot indices from one thread to the owner.
pub(super) struct Lane {
    entries: CachePadded<Box<[UnsafeCell<u32>]>>,
    producer: CachePadded<Producer>,
    taken: CachePadded<AtomicU32>,
}

/// What only the producer writes.
struct Producer {
    /// The thread that may push (L3).
    thread: AtomicUsize,
    pushed: AtomicU32,
    /// The last `taken` that the producer read.
    seen_taken: AtomicU32,
}

// SAFETY: the entries are handed from producer to consumer and back by the counters (L2), which
// the models check; the rest is atomic.
unsafe impl Sync for Lane {}
// SAFETY: nothing belongs to a thread but by L3.
unsafe impl Send for Lane {}

impl Lane {
    /// A lane for a slab of `capacity` blocks; `None` if there is no memory for it.
    pub(super) fn new(capacity: usize) -> Option<Self> {
        let count = capacity.min(ENTRIES_MAX).next_power_of_two();
        let entries = boxing::try_slice(count, || UnsafeCell::new(0))?;
        Some(Self {
            entries: CachePadded::new(entries),
            producer: CachePadded::new(Producer {
                thread: AtomicUsize::new(UNCLAIMED),
                pushed: AtomicU32::new(0),
                seen_taken: AtomicU32::new(0),
            }),
            taken: CachePadded::new(AtomicU32::new(0)),
        })
    }

    /// The number of entries.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "at most ENTRIES_MAX")]
    fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    /// Whether the calling thread is the producer; makes it that if nobody is.
    #[inline]
    pub(super) fn is_mine(&self) -> bool {
        let Some(mark) = thread_mark() else {
            return false;
        };
        // Relaxed: a thread looks for its own mark, which it alone stores, or which was stored by
        // whoever had the handle before it.
        let thread = self.producer.thread.load(Ordering::Relaxed);
        thread == mark || (thread == UNCLAIMED && self.claim_first(mark))
    }

    #[cold]
    #[inline(never)]
    fn claim_first(&self, mark: usize) -> bool {
        // Relaxed: the producer's side was last written by whoever had the lane before, and came
        // here with the handle.
        self.producer
            .thread
            .compare_exchange(UNCLAIMED, mark, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Makes the calling thread the producer, whoever was.
    ///
    /// # Safety
    ///
    /// The caller has the lane's handle for itself, so that no push is under way.
    pub(super) unsafe fn claim(&self) {
        self.producer
            .thread
            .store(thread_mark().unwrap_or(UNCLAIMED), Ordering::Relaxed);
    }

    /// Makes nobody the producer.
    ///
    /// # Safety
    ///
    /// As for [`claim`](Self::claim).
    pub(super) unsafe fn abandon(&self) {
        self.producer.thread.store(UNCLAIMED, Ordering::Relaxed);
    }

    /// Sends `index` to the owner; `false` if the lane is full.
    ///
    /// # Safety
    ///
    /// The calling thread is the producer ([`is_mine`](Self::is_mine)).
    #[inline]
    pub(super) unsafe fn push(&self, index: u32) -> bool {
        // Relaxed: the producer's own counters.
        let pushed = self.producer.pushed.load(Ordering::Relaxed);
        let seen_taken = self.producer.seen_taken.load(Ordering::Relaxed);
        if pushed.wrapping_sub(seen_taken) == self.len() && !self.has_room(pushed) {
            return false;
        }
        self.entry(pushed).with_mut(|entry| {
            // SAFETY: the entry is outside `taken .. pushed`, so it is the producer's (L2), which
            // the calling thread is; the pointer is the cell's.
            unsafe { entry.write(index) };
        });
        // Release: pairs with the Acquire in `pushed`, so that the owner sees the entry, and what
        // the block's last user did.
        self.producer
            .pushed
            .store(pushed.wrapping_add(1), Ordering::Release);
        true
    }

    /// Looks how far the owner has got, and whether there is room for one more entry.
    #[cold]
    #[inline(never)]
    fn has_room(&self, pushed: u32) -> bool {
        // Acquire: pairs with the Release in `publish_taken`: the owner has read the entries that
        // are now written again.
        let taken = self.taken.load(Ordering::Acquire);
        self.producer.seen_taken.store(taken, Ordering::Relaxed);
        pushed.wrapping_sub(taken) != self.len()
    }

    /// The entry at a counter's position.
    #[inline]
    fn entry(&self, counter: u32) -> &UnsafeCell<u32> {
        let position = (counter & (self.len() - 1)) as usize;
        // SAFETY: the length is a power of two, so the mask keeps the position below it.
        unsafe { self.entries.get_unchecked(position) }
    }

    /// The entries that wait, as counters from the first to the one after the last.
    #[inline]
    pub(super) fn waiting(&self) -> (u32, u32) {
        // Relaxed: only the owner, who asks, writes it.
        let taken = self.taken.load(Ordering::Relaxed);
        // Acquire: pairs with the Release in `push`.
        let pushed = self.producer.pushed.load(Ordering::Acquire);
        (taken, pushed)
    }

    /// A run of waiting entries that does not wrap: where it begins, and the counter after it. At
    /// most a quarter of the lane, so that the producer hears of the progress while there is still
    /// room. `None` if nothing waits.
    #[inline]
    pub(super) fn run(&self) -> Option<(NonNull<[UnsafeCell<u32>]>, u32)> {
        let (taken, pushed) = self.waiting();
        if taken == pushed {
            return None;
        }
        let before_the_end = self.len() - (taken & (self.len() - 1));
        let count = pushed
            .wrapping_sub(taken)
            .min(before_the_end)
            .min((self.len() / 4).max(1));
        let first = (taken & (self.len() - 1)) as usize;
        // The run is inside the entries, so the slice exists.
        let run = self.entries.get(first..first + count as usize)?;
        Some((NonNull::from(run), taken.wrapping_add(count)))
    }

    /// Reads the entry at a counter of [`waiting`](Self::waiting).
    ///
    /// # Safety
    ///
    /// The caller is the owner, which has not yet published the entry as taken.
    pub(super) unsafe fn read(&self, counter: u32) -> u32 {
        self.entry(counter).with(|entry| {
            // SAFETY: the entry is inside `taken .. pushed`, so the producer leaves it alone (L2).
            unsafe { entry.read() }
        })
    }

    /// Gives the entries before the counter `taken` back to the producer.
    #[inline]
    pub(super) fn publish_taken(&self, taken: u32) {
        // Release: pairs with the Acquire in `has_room`: the entries have been read.
        self.taken.store(taken, Ordering::Release);
    }
}
