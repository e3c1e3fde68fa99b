//! [`SharedList`]: the free slots of one class that no thread has.
//!
//! # What
//!
//! Stripes of nodes. A [`Batch`] of slots goes on a stripe as one node, a magazine, and comes off it
//! whole, by one compare-and-swap; so does a single slot. Each thread has a home stripe, by its
//! [`thread_slot`]; as many stripes are homes as there are threads that come. A summary says which
//! stripes may have something.
//!
//! # Memory picture
//!
//! ```text
//!  summary    [ clearers : 32 | stripe 31 .. stripe 0 ]      0: nothing there, in one load
//!  stripe     [ tag | top node ]  [ tag | top chain of empty magazines ]  [ threads in transit ]
//!                      |
//!                      v
//!  singles    [ slot | node below ]                          one for each index; nodes 1 ..= capacity
//!  magazines  [ node below | len | slot slot ... slot ]      for each batch; nodes above; an empty one has
//!                                                            the next of its chain for `len`
//! ```
//!
//! A node is a number, 0 for none. Slots of a magazine are named in it, and nothing of the list lies in a
//! slot: what a thread put on, another takes off without a line of the slots being written, and a
//! thread that comes too late reads a node, never a slot that somebody else has, so slots may end
//! while the list lives.
//!
//! # Invariants
//!
//! - I1: a node is on at most one stack; a magazine is on one of full ones, in a chain on one of empty ones,
//!   never made, or with one thread, which may keep it in its [`Spares`].
//! - I2: each change of a stack's word raises its tag, which takes every bit that nodes of this
//!   capacity leave, at least 28.
//! - I3: while a stripe has a node whose push returned, its bit is set or a clearer is counted.
//!
//! # Threads
//!
//! Any thread may call; nothing blocks. I3 holds because a push looks at the bit after its exchange
//! and sets it if it is clear, and whoever clears a bit looks at the stripe afterwards and sets it
//! again if there is something; meanwhile it is counted, and the summary is not 0. Bits are cleared
//! only by a pop that searches other stripes, so a stripe that its thread fills and empties keeps its
//! bit. A batch that finds no empty magazine goes on as single slots.
//!
//! # Cost
//!
//! 128 bytes for each stripe, 48 for each slot; pages of untouched nodes cost nothing. A single slot:
//! one compare-and-swap, on a line that other threads have only if they share the stripe. A batch: one on
//! the same line, and the lines of the magazine, one for eight slots; another one for a chain of empty
//! magazines, where one thread only takes and another only gives.

use core::marker::PhantomData;
use core::mem;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use drystone_sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use drystone_sync::{CachePadded, thread_slot};

use crate::batch::Batch;
use crate::chain::Link;
use crate::magazines::{Magazine, Magazines};
use crate::nodes;
use crate::spares::{SPARES_MAX, Spares};

/// The most stripes of a list.
pub(crate) const STRIPES_MAX: usize = 32;

/// The most slots of a list.
pub(crate) const SLOTS_MAX: u32 = 1 << 31;

/// Stripes for each thread that is expected. One under loom, where two threads have thread slots.
const STRIPES_PER_THREAD: usize = if cfg!(loom) { 1 } else { 4 };

/// The summary counts clearers above the bits of the stripes.
const CLEARER: u64 = 1 << STRIPES_MAX;

/// Free slots that no thread has, alone and in magazines, on stripes.
#[derive(Debug)]
pub(crate) struct SharedList<T: Link> {
    summary: AtomicU64,
    /// One less than the number of stripes that are homes; a power of two less one.
    home_mask: AtomicUsize,
    stripes: Box<[CachePadded<Stripe>]>,
    singles: Box<[Single<T>]>,
    magazines: Magazines<T>,
    /// How many magazines have been used.
    made: AtomicU32,
    /// A power of two above every node: the least tag.
    tag_unit: u64,
    slots: PhantomData<NonNull<T>>,
}

/// Two stacks of nodes, and a count of the threads at home here that have slots in hand.
#[derive(Debug)]
struct Stripe {
    top: AtomicU64,
    empties: AtomicU64,
    transit: AtomicUsize,
}

/// The slot of an index, and the node below.
#[derive(Debug)]
pub(crate) struct Single<T> {
    pub(crate) slot: AtomicPtr<T>,
    pub(crate) below: AtomicU32,
}

// SAFETY: the slots of a node belong to whoever takes it off, who sees what was done to them before.
unsafe impl<T: Link> Sync for SharedList<T> {}
// SAFETY: as above.
unsafe impl<T: Link> Send for SharedList<T> {}

impl<T: Link> SharedList<T> {
    /// The bytes of the stripes and the nodes, touched or not.
    pub(crate) fn table_bytes(&self) -> usize {
        size_of_val(&*self.stripes) + size_of_val(&*self.singles) + self.magazines.table_bytes()
    }

    /// An empty list for slots with indices below `capacity`, at most 2³¹, for about `threads` threads
    /// at a time that come with batches of up to `batch` slots; 0 if they come with single ones.
    ///
    /// `None` if there are more, or no memory for the nodes.
    pub(crate) fn new(capacity: u32, threads: usize, batch: u32) -> Option<Self> {
        if capacity > SLOTS_MAX {
            return None;
        }
        // The indices of threads that live at the same time have gaps.
        let stripes = threads
            .saturating_mul(STRIPES_PER_THREAD)
            .clamp(1, STRIPES_MAX)
            .next_power_of_two();
        let stripe = |_| {
            CachePadded::new(Stripe {
                top: AtomicU64::new(0),
                empties: AtomicU64::new(0),
                transit: AtomicUsize::new(0),
            })
        };
        let magazines = Magazines::new(capacity, batch, threads)?;
        let nodes = u64::from(capacity) + magazines.len() as u64;
        Some(Self {
            summary: AtomicU64::new(0),
            home_mask: AtomicUsize::new(0),
            stripes: (0..stripes).map(stripe).collect(),
            singles: nodes::boxed(capacity as usize)?,
            magazines,
            made: AtomicU32::new(0),
            tag_unit: (nodes + 1).next_power_of_two(),
            slots: PhantomData,
        })
    }

    /// The most slots of a batch that goes on as one node.
    pub(crate) fn batch_max(&self) -> u32 {
        self.magazines.slots_max()
    }

    /// Where the calling thread counts itself while it has slots in hand: beside what it moves them to and
    /// from, so that it needs no line of threads that are at home elsewhere.
    pub(crate) fn transit(&self) -> &AtomicUsize {
        &self.stripes[self.home()].transit
    }

    /// Whether some thread counts itself. One load for each home.
    pub(crate) fn has_transit(&self) -> bool {
        // SeqCst, as the exchange in `widen`: who is counted on a stripe that is not looked at came behind
        // this load.
        let homes = self.home_mask.load(Ordering::SeqCst) + 1;
        self.stripes
            .iter()
            .take(homes)
            // SeqCst: see `Class::count_transit`.
            .any(|stripe| stripe.transit.load(Ordering::SeqCst) != 0)
    }

    /// Whether nothing is there. One load.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SeqCst: as all that guards I3; see `show`.
        self.summary.load(Ordering::SeqCst) == 0
    }

    /// Forgets the pointers to slots that end, whose addresses others may have later: `ended` tells
    /// them. None of them is on the list.
    ///
    /// A node is written only where it changes, by address; what is left of an ended slot would be taken
    /// for the new one.
    pub(crate) fn forget(&self, ended: impl Fn(NonNull<T>) -> bool, indices: Range<u32>) {
        let made = self.made.load(Ordering::Acquire) as usize;
        let in_magazines = (0..made)
            .map_while(|index| self.magazines.get(index))
            .flat_map(|magazine| magazine.places());
        let alone = self.singles.iter().take(indices.end as usize);
        let alone = alone
            .skip(indices.start as usize)
            .map(|single| &single.slot);
        for place in in_magazines.chain(alone) {
            let left = place.load(Ordering::Relaxed);
            if NonNull::new(left).is_some_and(&ended) {
                // Relaxed, and an exchange: a thread that has the node may write it meanwhile. A failure
                // means that it has.
                let _ = place.compare_exchange(
                    left,
                    ptr::null_mut(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
    }

    /// How many slots there are, up to what goes on at the same time. Walks the stacks.
    pub(crate) fn len_hint(&self) -> usize {
        let mut slots = 0;
        // A list that changes meanwhile could send a walk in circles.
        let mut steps = self.singles.len();
        for stripe in &self.stripes {
            let mut node = self.node_of(stripe.top.load(Ordering::Acquire));
            while node != 0 && steps > 0 {
                slots += self
                    .magazine(node)
                    .map_or(1, |magazine| magazine.len() as usize);
                node = self.below(node);
                steps -= 1;
            }
        }
        slots.min(self.singles.len())
    }

    /// Puts a slot on the calling thread's home stripe.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and gives it away.
    pub(crate) unsafe fn push(&self, slot: NonNull<T>) {
        let stripe = self.home();
        // SAFETY: the caller's promise.
        unsafe { self.push_single(stripe, slot) };
        self.show(stripe);
    }

    /// Puts the slots of a batch on the calling thread's home stripe, and leaves it empty. `spares` are the
    /// calling thread's, of this list, if it has any.
    pub(crate) fn push_batch(&self, batch: &mut Batch<T>, spares: Option<&Spares>) {
        if batch.is_empty() {
            return;
        }
        let stripe = self.home();
        // One slot needs no magazine, and a magazine that was asked for must be used.
        let magazine = if batch.len() > 1 {
            self.empty_magazine(stripe, spares)
        } else {
            None
        };
        match magazine {
            Some(node) => self.push_magazine(stripe, node, batch),
            None => {
                while let Some(slot) = batch.pop() {
                    // SAFETY: the batch's holder has its slots.
                    unsafe { self.push_single(stripe, slot) };
                }
            }
        }
        self.show(stripe);
    }

    /// Takes a slot, or several: those of the home stripe's top node, or else any's. A magazine that is left
    /// empty goes to the `spares`, which are the calling thread's and of this list.
    pub(crate) fn pop<'a>(&'a self, spares: Option<&'a Spares>) -> Option<Taken<'a, T>> {
        let home = self.home();
        let mut taken = self.pop_of(home).or_else(|| self.search(home))?;
        taken.spares = spares;
        Some(taken)
    }

    /// Gives the magazines that a thread keeps back to the list.
    pub(crate) fn give_up(&self, spares: &Spares) {
        let first = spares.first();
        if first != 0 {
            spares.set(0, 0);
            self.put_on(&self.stripes[self.home()].empties, first);
        }
    }

    /// Takes one slot; what else its node has stays on the list.
    #[inline]
    pub(crate) fn pop_one(&self) -> Option<NonNull<T>> {
        let home = self.home();
        let node = self.take_off(&self.stripes[home].top);
        match node.and_then(|node| self.single(node)) {
            // Relaxed: ordered by the exchange that took the node off.
            Some(single) => NonNull::new(single.slot.load(Ordering::Relaxed)),
            None => self.pop_one_of(home, node),
        }
    }

    /// [`pop_one`](Self::pop_one) from a magazine that was taken off, or from where a search leads.
    #[inline(never)]
    fn pop_one_of(&self, home: usize, node: Option<u32>) -> Option<NonNull<T>> {
        let mut taken = match node {
            Some(node) => self.taken(home, node),
            None => self.search(home)?,
        };
        let slot = taken.pop();
        taken.put_back();
        slot
    }

    /// Takes everything off.
    pub(crate) fn take_all(&self, mut take: impl FnMut(NonNull<T>)) {
        for stripe in 0..self.stripes.len() {
            while let Some(mut taken) = self.pop_of(stripe) {
                while let Some(slot) = taken.pop() {
                    take(slot);
                }
            }
        }
    }
}

impl<T: Link> SharedList<T> {
    /// The calling thread's stripe. The number of homes grows with the indices of the threads that
    /// come, which are those of living ones.
    #[inline]
    fn home(&self) -> usize {
        if self.stripes.len() == 1 {
            return 0;
        }
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
        // SeqCst: see `has_transit`.
        self.home_mask.fetch_max(mask, Ordering::SeqCst);
        thread & mask
    }

    /// # Safety
    ///
    /// As [`push`](Self::push).
    unsafe fn push_single(&self, stripe: usize, slot: NonNull<T>) {
        // SAFETY: the caller has the slot.
        let index = unsafe { T::index(slot) };
        nodes::store_new_ptr(&self.singles[index as usize].slot, slot.as_ptr());
        self.put_on(&self.stripes[stripe].top, index + 1);
    }

    /// Moves a batch to an empty magazine, and puts that on a stripe.
    fn push_magazine(&self, stripe: usize, node: u32, batch: &mut Batch<T>) {
        let Some(magazine) = self.magazine(node) else {
            return;
        };
        // Published by the exchange behind.
        magazine.fill(batch);
        self.put_on(&self.stripes[stripe].top, node);
    }

    /// A magazine that nobody has.
    fn empty_magazine(&self, home: usize, spares: Option<&Spares>) -> Option<u32> {
        let kept = spares.map_or(0, Spares::first);
        if let (Some(spares), Some(magazine)) = (spares, self.magazine(kept)) {
            spares.set_shorter(magazine.len());
            return Some(kept);
        }
        let chain = match self.take_off(&self.stripes[home].empties) {
            Some(chain) => chain,
            None => match self.new_magazine() {
                Some(new) => return Some(new),
                None => self.empties_of_others(home)?,
            },
        };
        match (self.magazine(chain)?.len(), spares) {
            (0, _) => {}
            (rest, Some(spares)) => spares.set(rest, SPARES_MAX - 1),
            (rest, None) => self.put_on(&self.stripes[home].empties, rest),
        }
        Some(chain)
    }

    /// A chain of empty magazines of some other stripe.
    fn empties_of_others(&self, home: usize) -> Option<u32> {
        let stripes = self.stripes.len();
        (1..stripes).find_map(|step| {
            let stripe = (home + step) & (stripes - 1);
            self.take_off(&self.stripes[stripe].empties)
        })
    }

    /// Puts a magazine that this thread has emptied away: to its spares, unless others could lack it, or on
    /// the stripe that it came from, whose line this thread has, and where the next batch is put on.
    fn put_empty(
        &self,
        stripe: usize,
        node: u32,
        magazine: &Magazine<'_, T>,
        spares: Option<&Spares>,
    ) {
        let empties = &self.stripes[stripe].empties;
        // Relaxed: a number.
        let have_new = self.made.load(Ordering::Relaxed) < self.magazines.len() as u32;
        let Some(spares) = spares.filter(|_| have_new) else {
            magazine.set_len(0);
            return self.put_on(empties, node);
        };
        if spares.is_full() {
            self.put_on(empties, spares.first());
            spares.set(0, 0);
        }
        magazine.set_len(spares.first());
        spares.set_longer(node);
    }

    /// A magazine that nobody has had.
    fn new_magazine(&self) -> Option<u32> {
        let most = self.magazines.len() as u32;
        // Relaxed: each number is given out once.
        if self.made.load(Ordering::Relaxed) >= most {
            return None;
        }
        // It can pass `most` by the number of threads.
        let made = self.made.fetch_add(1, Ordering::Relaxed);
        (made < most).then(|| self.singles.len() as u32 + 1 + made)
    }

    /// Takes the top node of a stripe.
    #[inline]
    fn pop_of(&self, stripe: usize) -> Option<Taken<'_, T>> {
        let node = self.take_off(&self.stripes[stripe].top)?;
        Some(self.taken(stripe, node))
    }

    /// The slots of a node that this thread took off a stripe.
    #[inline]
    fn taken(&self, stripe: usize, node: u32) -> Taken<'_, T> {
        let left = match (self.single(node), self.magazine(node)) {
            (Some(single), _) => slice::from_ref(&single.slot),
            // Relaxed: ordered by the exchange that took the node off.
            (None, Some(magazine)) => &magazine.places()[..magazine.len() as usize],
            (None, None) => &[],
        };
        Taken {
            list: self,
            stripe,
            node,
            left,
            spares: None,
        }
    }

    /// Puts a node, which this thread has, on a stack.
    fn put_on(&self, stack: &AtomicU64, node: u32) {
        let mut top = stack.load(Ordering::Relaxed);
        loop {
            self.set_below(node, self.node_of(top));
            let new = self.next_tag(top) | u64::from(node);
            // SeqCst: ordered before the load of the summary in `show`; see there. As a Release it
            // pairs with the Acquire loads in `take_off`; later exchanges of the word carry it on.
            match stack.compare_exchange_weak(top, new, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    /// Takes the top node off a stack; this thread has it then.
    #[inline]
    fn take_off(&self, stack: &AtomicU64) -> Option<u32> {
        // Acquire: pairs with the exchange in `put_on`: the node below is that of this top. If somebody
        // has changed it since, the tag has changed too, and the exchange fails.
        let mut top = stack.load(Ordering::Acquire);
        loop {
            let node = self.node_of(top);
            if node == 0 {
                return None;
            }
            let below = self.below_soon_off(node);
            let new = self.next_tag(top) | u64::from(below);
            // Release: pairs with the Acquire loads of who finds the node gone, and then looks at `transit`,
            // where this thread counted itself before. The load that `top` is from was an Acquire.
            match stack.compare_exchange_weak(top, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return Some(node),
                Err(now) => top = now,
            }
        }
    }

    /// Makes sure that a stripe with a node can be found.
    ///
    /// The exchange before, this load, the clearing in `hide` and the load there are sequentially
    /// consistent: in their one order either the clearing comes before this load, which then finds
    /// the bit clear and sets it, or it comes after the exchange, and the load behind the
    /// clearing finds the node. A weaker order would let both look before the other has written.
    #[inline]
    fn show(&self, stripe: usize) {
        seq_cst_for_loom();
        if self.summary.load(Ordering::SeqCst) & 1 << stripe == 0 {
            self.summary.fetch_or(1 << stripe, Ordering::SeqCst);
        }
    }

    /// Clears the bit of a stripe that was found empty, unless it has a node again.
    fn hide(&self, stripe: usize) {
        // The count keeps the summary from reading 0 while the bit may be wrongly clear.
        self.summary.fetch_add(CLEARER, Ordering::SeqCst);
        // SeqCst: see `show`.
        self.summary.fetch_and(!(1 << stripe), Ordering::SeqCst);
        seq_cst_for_loom();
        let top = self.stripes[stripe].top.load(Ordering::SeqCst);
        if self.node_of(top) != 0 {
            self.summary.fetch_or(1 << stripe, Ordering::SeqCst);
        }
        self.summary.fetch_sub(CLEARER, Ordering::SeqCst);
    }

    /// Takes a node off any stripe that may have one, and clears the bits of those that have none.
    #[cold]
    #[inline(never)]
    fn search(&self, home: usize) -> Option<Taken<'_, T>> {
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
            let taken = self.pop_of(stripe);
            if taken.is_some() {
                return taken;
            }
            if shown {
                self.hide(stripe);
            }
        }
        None
    }

    /// The magazine of a node; `None` for the nodes of single slots.
    #[inline]
    fn magazine(&self, node: u32) -> Option<Magazine<'_, T>> {
        let index = (node as usize).checked_sub(self.singles.len() + 1)?;
        self.magazines.get(index)
    }

    /// The slot of a node that has just one; `None` for those of magazines.
    #[inline]
    fn single(&self, node: u32) -> Option<&Single<T>> {
        self.singles.get((node as usize).wrapping_sub(1))
    }

    /// The node below.
    #[inline]
    fn below(&self, node: u32) -> u32 {
        match (self.single(node), self.magazine(node)) {
            // Relaxed: read before an exchange that fails where it was not.
            (Some(single), _) => single.below.load(Ordering::Relaxed),
            (None, magazine) => magazine.map_or(0, |magazine| magazine.below()),
        }
    }

    /// As [`below`](Self::below), for who is about to take the node off. The exchange waits for a line of
    /// the stripe that another thread may have, and the lines of a magazine come meanwhile.
    #[inline]
    fn below_soon_off(&self, node: u32) -> u32 {
        if self.single(node).is_none()
            && let Some(magazine) = self.magazine(node)
        {
            magazine.prefetch();
        }
        self.below(node)
    }

    /// Says which node is below. The caller has the node.
    #[inline]
    fn set_below(&self, node: u32, below: u32) {
        match (self.single(node), self.magazine(node)) {
            (Some(single), _) => nodes::store_new(&single.below, below),
            (None, Some(magazine)) => magazine.set_below(below),
            (None, None) => {}
        }
    }

    /// The top node of a stack, 0 for none.
    #[inline]
    fn node_of(&self, top: u64) -> u32 {
        // Less than the unit, which is at most 2³².
        (top & (self.tag_unit - 1)) as u32
    }

    /// The next tag after that of `top`, with the node left free.
    #[inline]
    fn next_tag(&self, top: u64) -> u64 {
        (top & !(self.tag_unit - 1)).wrapping_add(self.tag_unit)
    }
}

/// The slots of a node that is off its stack. Whoever drops it with slots loses them.
#[derive(Debug)]
#[must_use]
pub(crate) struct Taken<'a, T: Link> {
    list: &'a SharedList<T>,
    /// Where the node was.
    stripe: usize,
    // I1: this value has the node and the slots that are named in `left`, its first ones.
    node: u32,
    left: &'a [AtomicPtr<T>],
    /// Where the magazine goes when it is empty.
    spares: Option<&'a Spares>,
}

impl<T: Link> Taken<'_, T> {
    /// How many slots are left.
    #[cfg(test)]
    pub(crate) fn len(&self) -> u32 {
        self.left.len() as u32
    }

    /// Takes one slot.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        let (last, others) = self.left.split_last()?;
        self.left = others;
        // Relaxed: ordered by the exchange that took the node off.
        NonNull::new(last.load(Ordering::Relaxed))
    }

    /// Puts the slots that are left on the list again.
    pub(crate) fn put_back(mut self) {
        let left = mem::take(&mut self.left);
        if left.is_empty() {
            return;
        }
        if let Some(magazine) = self.list.magazine(self.node) {
            // At most `BATCH_MAX`, rounded up to a line.
            magazine.set_len(left.len() as u32);
        }
        let (list, stripe) = (self.list, self.stripe);
        list.put_on(&list.stripes[stripe].top, self.node);
        mem::forget(self);
        list.show(stripe);
    }
}

impl<T: Link> Drop for Taken<'_, T> {
    #[inline]
    fn drop(&mut self) {
        debug_assert!(self.left.is_empty(), "slots are lost");
        if let Some(magazine) = self.list.magazine(self.node) {
            self.list
                .put_empty(self.stripe, self.node, &magazine, self.spares);
        }
    }
}

/// loom takes sequentially consistent accesses for weaker ones, but knows the fence, which says the
/// same here.
#[inline]
fn seq_cst_for_loom() {
    #[cfg(loom)]
    drystone_sync::atomic::fence(Ordering::SeqCst);
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
