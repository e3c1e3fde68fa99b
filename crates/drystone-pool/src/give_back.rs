//! How a slot comes back: onto the thread's ring, or on the way that the flags of its class show.
//!
//! # What
//!
//! [`Core::take_back`] is the free of the hit path: a push and a look at the flags. All else is here
//! too, out of line: rings that are full, threads without caches, slots that need care, and slots
//! that somebody wants.
//!
//! # Invariants
//!
//! - Every slot that was put where others may find it (a ring, a shared list) is followed by the light
//!   fence and a look at the flags, by a thread that keeps the core alive meanwhile. So who sets a
//!   flag, passes the heavy fence and searches, misses no slot that is not seen off here.
//!
//! # Threads
//!
//! Any; a ring's owner is the thread that the ring was found by.
//!
//! # Cost
//!
//! A hit reads the slot's line, the thread's table, the ring and the flags, and writes the ring.

use core::ptr::NonNull;
use std::sync::Arc;

use drystone_sync::atomic::Ordering;

use crate::batch::Batch;
use crate::chain::Chain;
use crate::class_cache::ClassCache;
use crate::core::Core;
use crate::event::Event;
use crate::flags::{CLOSED, HUNGRY, PRESSED, STARVING, WAITERS};
use crate::local::{self, Spot};
use crate::slot::{CARE_NOTED, CARE_ORIGIN, CARE_ZERO, Slot};
use crate::spares::Spares;

/// Flags that want a slot for somebody, or gone.
const WANTED: u8 = WAITERS | HUNGRY | CLOSED;

impl Core {
    /// Takes a slot back.
    ///
    /// # Safety
    ///
    /// The caller has the slot, of this core, class and spot and with this care, and gives it up.
    #[inline]
    pub(crate) unsafe fn take_back(
        core: NonNull<Self>,
        slot: NonNull<Slot>,
        class: usize,
        spot: Spot,
        care: u8,
    ) {
        if care == 0 {
            // SAFETY: the slot is out, which keeps the core; behind the push the thread's caches do.
            let core = unsafe { core.as_ref() };
            if let Some(cache) = core.cache_at(spot, class) {
                // SAFETY: the thread's caches live while the table has them.
                let cache = unsafe { cache.as_ref() };
                // SAFETY: the ring is this thread's.
                if unsafe { cache.ring.push_short(slot) } {
                    if core.flags.of(class) == 0 {
                        return;
                    }
                    return core.settle_ring(class, cache);
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { Self::take_back_slow(slot) };
    }

    /// [`take_back`](Self::take_back), where the ring did not do.
    ///
    /// # Safety
    ///
    /// The caller has the slot and gives it up.
    #[cold]
    #[inline(never)]
    unsafe fn take_back_slow(slot: NonNull<Slot>) {
        // SAFETY: the caller has the slot.
        let core = unsafe { slot.as_ref() }.core;
        // SAFETY: the slot is out, which keeps the core.
        let this = unsafe { core.as_ref() };
        // SAFETY: the caller has the slot.
        let Slot { class, care, .. } = *unsafe { slot.as_ref() };
        // From here on, and if there is one, the thread's caches keep the core.
        if let Some(cache) = this.cache(usize::from(class)) {
            // SAFETY: the thread's caches live while the table has them.
            if care == 0 && unsafe { cache.as_ref() }.ring.capacity() == 0 {
                return this.settle(usize::from(class), slot);
            }
            // SAFETY: the caller's promise.
            return unsafe { this.put_away(slot) };
        }
        // SAFETY: as above; the pointer is that of the regions' counted reference.
        let counted = unsafe { Self::counted(core) };
        counted.open_caches_here();
        // SAFETY: the caller's promise.
        unsafe { counted.put_away(slot) };
    }

    /// Brings a slot to where it belongs.
    ///
    /// # Safety
    ///
    /// The caller has the slot and gives it up, and keeps the core otherwise.
    unsafe fn put_away(&self, mut slot: NonNull<Slot>) {
        // SAFETY: the caller has the slot.
        let entry = unsafe { slot.as_mut() };
        let class = usize::from(entry.class);
        if entry.care & CARE_ZERO != 0 {
            let (base, bytes) = (entry.record.base, entry.record.capacity);
            // SAFETY: the slot's own bytes, which nobody uses.
            unsafe { base.write_bytes(0, bytes) };
        }
        if entry.care & CARE_NOTED != 0 {
            entry.care &= !CARE_NOTED;
            self.notes.iter().for_each(|notes| notes.forget(slot));
        }
        // SAFETY: given up by the caller, if it is sent.
        if entry.care & CARE_ORIGIN != 0 && unsafe { self.send_home(class, slot) } {
            return;
        }
        let Some(cache) = self.cache(class) else {
            return self.settle(class, slot);
        };
        // SAFETY: the thread's caches live while the table has them.
        let cache = unsafe { cache.as_ref() };
        self.make_room(class, cache);
        // SAFETY: the ring is this thread's.
        match unsafe { cache.ring.push(slot) } {
            Ok(()) if self.flags.of(class) == 0 => {}
            Ok(()) => self.settle_ring(class, cache),
            Err(slot) => self.settle(class, slot),
        }
    }

    /// Spills a batch of the cold end of a ring that is full.
    fn make_room(&self, class: usize, cache: &ClassCache) {
        let ring = &cache.ring;
        // SAFETY: the ring is this thread's.
        if ring.capacity() == 0 || unsafe { ring.room() } > 0 {
            return;
        }
        let own = &self.classes[class];
        // SAFETY: the ring is this thread's; the registry keeps it until this call is over.
        let _transit = unsafe { own.in_move(ring, || self.flags.of(class)) };
        cache.events.add_own(Event::Spill);
        let most = cache.next_spill().min(own.batch_max());
        let mut batch = Batch::new();
        // SAFETY: the ring is this thread's; the closure does not use it.
        unsafe { ring.spill(most as usize, |slot| batch.push(slot)) };
        self.publish(class, &mut batch);
    }

    /// Takes everything off the thread's ring of a class that has flags, and brings it where they say.
    #[cold]
    #[inline(never)]
    pub(crate) fn settle_ring(&self, class: usize, cache: &ClassCache) {
        let _transit = self.classes[class].in_transit();
        let mut chain = Chain::new();
        let link = |slot| {
            // SAFETY: taken off the ring by this thread.
            unsafe { chain.push(slot) };
        };
        // SAFETY: the ring is this thread's; the closure only links.
        unsafe { cache.ring.drain(link) };
        self.settle_chain(class, chain);
    }

    /// Brings slots, one by one, to where the flags of their class say.
    pub(crate) fn settle_chain(&self, class: usize, mut chain: Chain<Slot>) {
        while let Some(slot) = chain.pop() {
            self.settle(class, slot);
        }
    }

    /// Brings a free slot that no cache takes to where the flags of its class say: to its end, to who
    /// waits, or to the shared list.
    pub(crate) fn settle(&self, class: usize, slot: NonNull<Slot>) {
        let mut slot = slot;
        loop {
            let flags = self.flags.of(class);
            if flags & CLOSED != 0 {
                // SAFETY: this thread has the slot, and a reference to the core beside.
                return unsafe { self.retire(class, slot) };
            }
            if flags & (WAITERS | HUNGRY) != 0 {
                match self.hand_over(class, slot) {
                    Some(unwanted) => slot = unwanted,
                    None => return,
                }
            }
            // SAFETY: this thread has the slot.
            unsafe { self.classes[class].shared.push(slot) };
            match self.take_wanted(class) {
                Some(wanted) => slot = wanted,
                None => return,
            }
        }
    }

    /// Puts free slots on the shared list, and sees to who wants some. Leaves the batch empty.
    pub(crate) fn publish(&self, class: usize, batch: &mut Batch<Slot>) {
        if batch.is_empty() {
            return;
        }
        if self.flags.has(class, CLOSED) {
            while let Some(slot) = batch.pop() {
                self.settle(class, slot);
            }
            return;
        }
        self.classes[class]
            .shared
            .push_batch(batch, self.spares(class));
        while let Some(slot) = self.take_wanted(class) {
            self.settle(class, slot);
        }
    }

    /// After slots were put on the shared list: one of it, if somebody wants one.
    fn take_wanted(&self, class: usize) -> Option<NonNull<Slot>> {
        self.protocol.light();
        let flags = self.flags.of(class);
        if flags & PRESSED != 0 {
            self.mark_idle(class);
        }
        if flags & WANTED == 0 {
            return None;
        }
        self.pop_one(class)
    }

    /// One slot of the shared list; the rest of its chain goes back.
    pub(crate) fn pop_one(&self, class: usize) -> Option<NonNull<Slot>> {
        let own = &self.classes[class];
        let _transit = own.in_transit();
        own.shared.pop_one()
    }

    /// Notes that the shared list of a class may have slots that a pressed class can use.
    pub(crate) fn mark_idle(&self, class: usize) {
        // SeqCst, both: the push before and these stand against the clearing and the pop after it in
        // `reclaim`; in their one order either the pop finds the slot or the bit is set again.
        if self.idle.load(Ordering::SeqCst) & 1 << class == 0 {
            self.idle.fetch_or(1 << class, Ordering::SeqCst);
        }
    }

    /// Whether the caches of a class are switched off for the time being.
    pub(crate) fn caches_are_off(&self, class: usize) -> bool {
        self.flags.of(class) & (STARVING | PRESSED | WANTED) != 0
    }

    /// The calling thread's cache of a class, if its table has it.
    #[inline]
    pub(crate) fn cache(&self, class: usize) -> Option<NonNull<ClassCache>> {
        self.cache_at(self.spot, class)
    }

    /// As [`cache`](Self::cache), for who has the core's spot at hand.
    #[inline]
    fn cache_at(&self, spot: Spot, class: usize) -> Option<NonNull<ClassCache>> {
        let caches = local::find(self.key(), spot)?;
        // SAFETY: the table has the first of the core's caches, one for each class.
        Some(unsafe { caches.add(class) })
    }

    /// The empty magazines that the calling thread keeps, if it has caches.
    pub(crate) fn spares(&self, class: usize) -> Option<&Spares> {
        let cache = self.cache(class)?;
        // SAFETY: the registry keeps the thread's caches for as long as the thread is in a call of the pool's.
        Some(&unsafe { cache.as_ref() }.spares)
    }

    /// Opens caches for the calling thread, if it can have any.
    pub(crate) fn open_caches_here(&self) {
        if let Some(core) = self.counted_here() {
            let home: Arc<dyn local::Home> = core;
            let _ = local::find_or_open(&home);
        }
    }
}
