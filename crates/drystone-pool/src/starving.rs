//! What is done when a class has no free slot and may create none.
//!
//! # What
//!
//! Two searches, each made once and then remembered by a flag: through the rings of the class
//! ([`STARVING`]), and, where only the budget is in the way, through the rings and lists of all other
//! classes ([`PRESSED`]). While a flag stands, freed slots go to the shared lists, so the next
//! request needs no search to know that there is nothing. The flags fall when a number of requests
//! in a row were served.
//!
//! # Threads
//!
//! Any. See [`Flags`](crate::flags::Flags) for why no slot is missed.
//!
//! # Cost
//!
//! A search: a barrier, and another one for each ring that has slots. Remembered: a few loads.

use core::ptr::NonNull;

use drystone_sync::atomic::Ordering;

use crate::batch::BATCH_MAX;
use crate::chain::Chain;
use crate::class::count;
use crate::core::Core;
use crate::flags::{PRESSED, STARVING};
use crate::slot::Slot;

/// How many slots a search through the rings takes before it is content.
const STOLEN_MOST: usize = 8;

impl Core {
    /// One slot of other threads' rings of the class.
    pub(crate) fn take_stolen(&self, class: usize) -> Option<NonNull<Slot>> {
        let own = &self.classes[class];
        let searched = self.flags.has(class, STARVING) && !own.search.is_locked();
        if searched || own.shape.cache_capacity == 0 {
            return None;
        }
        let _transit = own.in_transit();
        let mut chain = self.search(class);
        // What was freed since the flag was set is on the shared list.
        self.keep(class, || chain.pop())
            .or_else(|| self.take_shared(class))
    }

    /// Some slots of other threads' rings, after which the class is starving unless there were more
    /// than one.
    fn search(&self, class: usize) -> Chain<Slot> {
        let own = &self.classes[class];
        let _searching = own.search.lock();
        if self.flags.has(class, STARVING) {
            return Chain::new();
        }
        self.flags.set(class, STARVING);
        if self.protocol.heavy().is_err() {
            self.flags.clear(class, STARVING);
            return Chain::new();
        }
        count(&own.counts.sweeps);
        let chain = self.steal(class, STOLEN_MOST);
        if chain.len() > 1 {
            self.flags.clear(class, STARVING);
        }
        chain
    }

    /// Up to `most` slots off the rings of a class, and all that is on its way home.
    fn steal(&self, class: usize, most: usize) -> Chain<Slot> {
        let mut chain = Chain::new();
        self.caches.each_while(|caches| {
            let missing = most - chain.len() as usize;
            // A refusal of the barrier leaves the ring as it is.
            let _ = caches.classes()[class].ring.steal(missing, |slot| {
                // SAFETY: taken off the ring by this thread.
                unsafe { chain.push(slot) };
            });
            (chain.len() as usize) < most
        });
        self.origins.take_each(class, |mut sent| {
            while let Some(slot) = sent.pop() {
                // SAFETY: taken out of the inbox by this thread.
                unsafe { chain.push(slot) };
            }
        });
        chain
    }

    /// A slot of the class made of bytes that idle slots of other classes had.
    pub(crate) fn take_pressed(&self, class: usize) -> Option<NonNull<Slot>> {
        let own = &self.classes[class];
        if own.is_full() || !self.press(class, own.shape.stride) {
            return None;
        }
        let mut chain = self.make(class, 1);
        self.keep(class, || chain.pop())
    }

    /// Makes room for `bytes` in the budget by ending idle slots of other classes than `but`; says
    /// whether there is.
    pub(crate) fn press(&self, but: usize, bytes: usize) -> bool {
        if self.budget.has_room(bytes) {
            return true;
        }
        if !self.flags.has(0, PRESSED) && !self.gather_idle() {
            return false;
        }
        self.reclaim(but, bytes)
    }

    /// Brings the free slots of all rings to the shared lists, once. `false` if the system refuses
    /// its barrier.
    fn gather_idle(&self) -> bool {
        self.flags.set_all(self.classes.len(), PRESSED);
        if self.protocol.heavy().is_err() {
            self.flags.clear_all(self.classes.len(), PRESSED);
            return false;
        }
        for class in 0..self.classes.len() {
            self.unload(class);
        }
        // Whatever the lists had before.
        self.idle.fetch_or(u64::MAX, Ordering::SeqCst);
        true
    }

    /// Brings the free slots of all rings of a class to its shared list.
    pub(crate) fn unload(&self, class: usize) {
        let _transit = self.classes[class].in_transit();
        loop {
            let chain = self.steal(class, BATCH_MAX as usize);
            if chain.is_empty() {
                return;
            }
            self.publish_all(class, chain);
        }
    }

    /// Ends slots of the shared lists until `bytes` have room in the budget; says whether they have.
    fn reclaim(&self, but: usize, bytes: usize) -> bool {
        for class in (0..self.classes.len()).rev() {
            // SeqCst throughout: see `mark_idle`.
            let shown = self.idle.load(Ordering::SeqCst) & 1 << class != 0;
            if class == but || !shown {
                continue;
            }
            self.idle.fetch_and(!(1 << class), Ordering::SeqCst);
            while let Some(slot) = self.pop_one(class) {
                // SAFETY: just taken off the list; the caller keeps the core.
                unsafe { self.retire(class, slot) };
                if self.budget.has_room(bytes) {
                    self.mark_idle(class);
                    return true;
                }
            }
        }
        self.budget.has_room(bytes)
    }
}
