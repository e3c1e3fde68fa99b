//! [`SharedList`]: the free slots of one class that no thread has.
//!
//! # What
//!
//! Stripes of chains. A [`Chain`] of up to [`BATCH_MAX`] slots goes on a stripe, and off it whole, by
//! one compare-and-swap. Each thread has a home stripe, by its [`thread_slot`]; as many
//! stripes are homes as there are threads that come. A summary says which stripes may have chains.
//!
//! # Memory picture
//!
//! ```text
//!  summary   [ clearers : 32 | stripe 31 .. stripe 0 ]        0: nothing there, in one load
//!  stripe    [ tag           | index + 1 of the first slot of the top chain ]   0: empty
//!               |
//!               v
//!  entries   [ slot | length of its chain, index + 1 of the chain below ]       for each index
//!               |
//!               v
//!  slots     first ──next──> slot ──next──> slot                                the chain
//! ```
//!
//! The links between chains lie in the list, not in the slots: a thread that comes too late reads an
//! entry, never a slot that somebody else has, so slots may end while the list lives.
//!
//! # Invariants
//!
//! - I1: a slot is on at most one stripe; the entry of a first slot tells its chain.
//! - I2: each change of a stripe's word raises its tag, which takes every bit that indices of this
//!   capacity leave, at least 32.
//! - I3: while a stripe has a chain whose push returned, its bit is set or a clearer is counted.
//!
//! # Threads
//!
//! Any thread may call; nothing blocks. I3 holds because a push looks at the bit after its exchange
//! and sets it if it is clear, and whoever clears a bit looks at the stripe afterwards and sets it
//! again if there is something; meanwhile it is counted, and the summary is not 0. Bits are cleared only by
//! a pop that searches other stripes, so a stripe that its thread fills and empties keeps its bit.
//!
//! # Cost
//!
//! 256 bytes for each stripe, 16 for each slot; pages of untouched entries cost nothing. Push and pop: one
//! compare-and-swap, on a line that other threads have only if they share the stripe.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use drystone_sync::{CachePadded, thread_slot};

/// The most slots of a chain.
pub(crate) const BATCH_MAX: u32 = 32;

/// The most stripes of a list.
pub(crate) const STRIPES_MAX: usize = 32;

/// The summary counts clearers above the bits of the stripes.
const CLEARER: u64 = 1 << STRIPES_MAX;

/// What can be in a chain.
///
/// # Safety
///
/// `index` is the same at every call for as long as the slot is on the list, differs from that of
/// every other slot there, and is less than the list's capacity. `next` answers what `set_next` was
/// given last.
pub(crate) unsafe trait Link: Sized {
    /// Which slot of its list this is.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    unsafe fn index(slot: NonNull<Self>) -> u32;

    /// The slot behind this one in its chain.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and has set the link.
    unsafe fn next(slot: NonNull<Self>) -> Option<NonNull<Self>>;

    /// Sets the slot behind this one.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    unsafe fn set_next(slot: NonNull<Self>, next: Option<NonNull<Self>>);
}

/// Slots that one thread has, linked. Whoever drops it with slots loses them.
#[derive(Debug)]
#[must_use]
pub(crate) struct Chain<T: Link> {
    // I1: `len` slots, linked from `first`, all of them the holder's.
    first: Option<NonNull<T>>,
    len: u32,
}

// SAFETY: the slots are the holder's alone; who uses them answers for what they hold.
unsafe impl<T: Link> Send for Chain<T> {}

impl<T: Link> Chain<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts a slot in front.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and gives it away.
    #[inline]
    pub(crate) unsafe fn push(&mut self, slot: NonNull<T>) {
        // SAFETY: the caller has it.
        unsafe { T::set_next(slot, self.first) };
        self.first = Some(slot);
        self.len += 1;
    }

    /// Takes the slot in front.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        let slot = self.first?;
        // SAFETY: by I1 it is the holder's, and linked.
        self.first = unsafe { T::next(slot) };
        self.len -= 1;
        Some(slot)
    }
}

/// Free slots that no thread has, in chains on stripes.
#[derive(Debug)]
pub(crate) struct SharedList<T: Link> {
    summary: AtomicU64,
    /// One less than the number of stripes that are homes; a power of two less one.
    home_mask: AtomicUsize,
    stripes: Box<[CachePadded<AtomicU64>]>,
    entries: Box<[Entry<T>]>,
    /// One more than the bits of an index: the least tag.
    tag_unit: u64,
    slots: PhantomData<NonNull<T>>,
}

/// What the list knows of the slot of an index, if that is the first of a chain.
#[derive(Debug)]
struct Entry<T> {
    slot: AtomicPtr<T>,
    /// The chain's length and the index, plus one, of the chain below.
    chain: AtomicU64,
}

// SAFETY: the slots of a chain belong to whoever takes it off, who sees what was done to them before.
unsafe impl<T: Link> Sync for SharedList<T> {}
// SAFETY: as above.
unsafe impl<T: Link> Send for SharedList<T> {}

impl<T: Link> SharedList<T> {
    /// An empty list for slots with indices below `capacity`, less than `u32::MAX`, on at most
    /// `stripes` stripes.
    ///
    /// `None` if there is no memory for its entries.
    pub(crate) fn new(capacity: u32, stripes: usize) -> Option<Self> {
        debug_assert!(capacity < u32::MAX);
        let stripes = stripes.clamp(1, STRIPES_MAX).next_power_of_two();
        Some(Self {
            summary: AtomicU64::new(0),
            home_mask: AtomicUsize::new(0),
            stripes: (0..stripes)
                .map(|_| CachePadded::new(AtomicU64::new(0)))
                .collect(),
            entries: entries(capacity as usize)?,
            tag_unit: u64::from(capacity + 1).next_power_of_two(),
            slots: PhantomData,
        })
    }

    /// Whether no chain is there. One load.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SeqCst: as all that guards I3; see `put_on`.
        self.summary.load(Ordering::SeqCst) == 0
    }

    /// How many slots there are, up to what goes on at the same time. Walks the chains.
    pub(crate) fn len_hint(&self) -> usize {
        let mut slots = 0;
        // A list that changes meanwhile could send a walk in circles.
        let mut steps = self.entries.len();
        for word in &self.stripes {
            let mut top = word.load(Ordering::Acquire);
            while let Some(index) = self.top_index(top).filter(|_| steps > 0) {
                let chain = self.entries[index].chain.load(Ordering::Relaxed);
                slots += (chain >> 32) as usize;
                top = chain & (CLEARER - 1);
                steps -= 1;
            }
        }
        slots.min(self.entries.len())
    }

    /// Puts a chain on the calling thread's home stripe.
    pub(crate) fn push_chain(&self, chain: Chain<T>) {
        let Some(first) = chain.first else { return };
        // SAFETY: the chain's holder has its slots.
        let index = unsafe { T::index(first) };
        let stripe = self.home();
        self.link(stripe, first, index, chain.len);
        self.show(stripe);
    }

    /// Takes a chain off: the home stripe's, or else any.
    pub(crate) fn pop_chain(&self) -> Option<Chain<T>> {
        let home = self.home();
        self.unlink(home).or_else(|| self.search(home))
    }

    /// Takes every chain off, one after the other.
    pub(crate) fn take_all(&self, mut take: impl FnMut(Chain<T>)) {
        for stripe in 0..self.stripes.len() {
            while let Some(chain) = self.unlink(stripe) {
                take(chain);
            }
        }
    }
}

impl<T: Link> SharedList<T> {
    /// The calling thread's stripe. The number of homes grows with the indices of the threads that
    /// come, which are those of living ones.
    #[inline]
    fn home(&self) -> usize {
        let thread = thread_slot().map_or(0, |slot| slot.index());
        // Relaxed: a number; any stripe would do.
        let mask = self.home_mask.load(Ordering::Relaxed);
        if thread > mask && mask + 1 < self.stripes.len() {
            return self.widen(thread);
        }
        thread & mask
    }

    #[cold]
    fn widen(&self, thread: usize) -> usize {
        let mask = (thread + 1).next_power_of_two().min(self.stripes.len()) - 1;
        // Relaxed: as in `home`.
        self.home_mask.fetch_max(mask, Ordering::Relaxed);
        thread & mask
    }

    /// Puts a chain on a stripe.
    fn link(&self, stripe: usize, first: NonNull<T>, index: u32, len: u32) {
        let entry = &self.entries[index as usize];
        // Relaxed, both stores: published by the exchange below.
        entry.slot.store(first.as_ptr(), Ordering::Relaxed);
        let word = &self.stripes[stripe];
        let mut top = word.load(Ordering::Relaxed);
        loop {
            let below = top & (self.tag_unit - 1);
            let chain = u64::from(len) << 32 | below;
            entry.chain.store(chain, Ordering::Relaxed);
            let new = self.next_tag(top) | u64::from(index + 1);
            // SeqCst: ordered before the load of the summary in `show`; see there. As a Release it
            // pairs with the Acquire loads in `unlink`; later exchanges of the word carry it on.
            match word.compare_exchange_weak(top, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Makes sure that a stripe with a chain can be found.
    ///
    /// The exchange before, this load, the clearing in `hide` and the load there are sequentially
    /// consistent: in their one order either the clearing comes before this load, which then finds
    /// the bit clear and sets it, or it comes after the exchange, and the load behind the
    /// clearing finds the chain. A weaker order would let both look before the other has written.
    #[inline]
    fn show(&self, stripe: usize) {
        seq_cst_for_loom();
        if self.summary.load(Ordering::SeqCst) & 1 << stripe == 0 {
            self.summary.fetch_or(1 << stripe, Ordering::SeqCst);
        }
    }

    /// Clears the bit of a stripe that was found empty, unless it has a chain again.
    fn hide(&self, stripe: usize) {
        // The count keeps the summary from reading 0 while the bit may be wrongly clear.
        self.summary.fetch_add(CLEARER, Ordering::SeqCst);
        // SeqCst: see `show`.
        self.summary.fetch_and(!(1 << stripe), Ordering::SeqCst);
        seq_cst_for_loom();
        if self
            .top_index(self.stripes[stripe].load(Ordering::SeqCst))
            .is_some()
        {
            self.summary.fetch_or(1 << stripe, Ordering::SeqCst);
        }
        self.summary.fetch_sub(CLEARER, Ordering::SeqCst);
    }

    /// Takes the top chain off a stripe.
    #[inline]
    fn unlink(&self, stripe: usize) -> Option<Chain<T>> {
        let word = &self.stripes[stripe];
        // Acquire: pairs with the exchange in `link`: the entry is that of this top. If somebody has
        // changed it since, the tag has changed too, and the exchange fails.
        let mut top = word.load(Ordering::Acquire);
        loop {
            let index = self.top_index(top)?;
            let entry = &self.entries[index];
            let chain = entry.chain.load(Ordering::Relaxed);
            let slot = entry.slot.load(Ordering::Relaxed);
            let new = self.next_tag(top) | (chain & (CLEARER - 1));
            // Acquire: as above, for what was done to the slots.
            match word.compare_exchange_weak(top, new, Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => {
                    return Some(Chain {
                        first: NonNull::new(slot),
                        len: (chain >> 32) as u32,
                    });
                }
                Err(now) => top = now,
            }
        }
    }

    /// Takes a chain off any stripe that may have one, and clears the bits of those that have none.
    #[cold]
    #[inline(never)]
    fn search(&self, home: usize) -> Option<Chain<T>> {
        // SeqCst: see `show`.
        let summary = self.summary.load(Ordering::SeqCst);
        if summary == 0 {
            return None;
        }
        let stripes = self.stripes.len();
        for step in 0..stripes {
            let stripe = (home + step) & (stripes - 1);
            let shown = summary & 1 << stripe != 0;
            // While somebody clears bits, those that are clear say nothing.
            if !shown && summary < CLEARER {
                continue;
            }
            if let Some(chain) = self.unlink(stripe) {
                return Some(chain);
            }
            if shown {
                self.hide(stripe);
            }
        }
        None
    }

    /// The index of a stripe's top slot.
    #[inline]
    fn top_index(&self, top: u64) -> Option<usize> {
        ((top & (self.tag_unit - 1)) as usize).checked_sub(1)
    }

    /// The next tag after that of `top`, with the index left free.
    #[inline]
    fn next_tag(&self, top: u64) -> u64 {
        (top & !(self.tag_unit - 1)).wrapping_add(self.tag_unit)
    }
}

/// loom takes sequentially consistent accesses for weaker ones, but knows the fence, which says the
/// same here.
#[inline]
fn seq_cst_for_loom() {
    #[cfg(loom)]
    drystone_sync::atomic::fence(Ordering::SeqCst);
}

/// `count` empty entries: zeroed memory, whose pages the system need not give before they are used.
#[cfg(not(loom))]
#[allow(
    clippy::disallowed_methods,
    reason = "the boxed slice is freed by the global allocator, which gives zeroed memory untouched"
)]
fn entries<T>(count: usize) -> Option<Box<[Entry<T>]>> {
    use std::alloc::{Layout, alloc_zeroed};

    if count == 0 {
        return Some(Box::new([]));
    }
    let layout = Layout::array::<Entry<T>>(count).ok()?;
    // SAFETY: an entry has 16 bytes, and there is at least one.
    let memory = unsafe { alloc_zeroed(layout) };
    let entries = NonNull::new(memory.cast::<Entry<T>>())?;
    let entries = ptr::slice_from_raw_parts_mut(entries.as_ptr(), count);
    // SAFETY: allocated by the global allocator with the layout of this slice; an entry of zeros is a null
    // pointer and the number 0.
    Some(unsafe { Box::from_raw(entries) })
}

#[cfg(loom)]
fn entries<T>(count: usize) -> Option<Box<[Entry<T>]>> {
    let empty = |_| Entry {
        slot: AtomicPtr::new(ptr::null_mut()),
        chain: AtomicU64::new(0),
    };
    Some((0..count).map(empty).collect())
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
