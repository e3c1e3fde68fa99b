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
use drystone_sync::thread;

use crate::batch::BATCH_MAX;
use crate::cache_ring::NotStolen;
use crate::chain::Chain;
use crate::class::count;
use crate::core::Core;
use crate::flags::{PRESSED, STARVING};
use crate::slot::Slot;

/// How often a search gives owners a moment that have slots in hand. Requests search several times.
const MOVE_PATIENCE: u32 = 8;

/// How many slots a search through the rings takes before it is content.
const STOLEN_MOST: usize = 8;

/// What a search took off the rings.
struct Stolen {
    chain: Chain<Slot>,
    /// Whether some owner had slots in hand meanwhile.
    in_hand: bool,
}

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
    /// than one, or may be more that some thread had in hand since before.
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
        let mut stolen = self.steal(class, STOLEN_MOST);
        if stolen.chain.is_empty() && stolen.in_hand {
            self.see_moves_end(class);
            stolen = self.steal(class, STOLEN_MOST);
        }
        if stolen.chain.len() > 1 || stolen.in_hand {
            self.flags.clear(class, STARVING);
        }
        stolen.chain
    }

    /// Gives owners that have slots in hand a moment, without their rings' locks, for which they may wait.
    fn see_moves_end(&self, class: usize) {
        for _ in 0..MOVE_PATIENCE {
            let mut moving = false;
            self.caches.each_while(|caches| {
                moving = caches.classes()[class].ring.is_moving();
                !moving
            });
            if !moving {
                return;
            }
            thread::yield_now();
        }
    }

    /// Up to `most` slots off the rings of a class, and all that is on its way home.
    fn steal(&self, class: usize, most: usize) -> Stolen {
        let mut chain = Chain::new();
        let mut in_hand = false;
        self.caches.each_while(|caches| {
            let ring = &caches.classes()[class].ring;
            // Asked first: what an owner moves who began before the flag was set is on the list, or in the
            // ring, when it has ended.
            in_hand |= ring.is_moving();
            let missing = most - chain.len() as usize;
            let stolen = ring.steal(missing, |slot| {
                // SAFETY: taken off the ring by this thread.
                unsafe { chain.push(slot) };
            });
            // A refusal of the barrier leaves the ring as it is.
            in_hand |= matches!(stolen, Err(NotStolen::OwnerMoves));
            (chain.len() as usize) < most
        });
        self.origins.take_each(class, |mut sent| {
            while let Some(slot) = sent.pop() {
                // SAFETY: taken out of the inbox by this thread.
                unsafe { chain.push(slot) };
            }
        });
        Stolen { chain, in_hand }
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
        let mut patience = MOVE_PATIENCE;
        loop {
            let Stolen { chain, in_hand } = self.steal(class, BATCH_MAX as usize);
            if !chain.is_empty() {
                self.publish_all(class, chain);
                continue;
            }
            if !in_hand || patience == 0 {
                return;
            }
            patience -= 1;
            self.see_moves_end(class);
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
