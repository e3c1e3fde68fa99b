//! How a request is served when the thread's ring has nothing: the slow path of an allocation.
//!
//! # What
//!
//! In this order: the shared list; slots made now; free slots of other threads' caches; bytes of idle
//! slots of other classes; a larger class, where the configuration allows it.
//!
//! # Threads
//!
//! Any. Who finds somebody waiting for the class gets nothing: requests do not overtake waiters.
//!
//! # Cost
//!
//! One compare-and-swap for a chain of slots. When everything is out, a few loads.

use core::ptr::NonNull;

use drystone_sync::thread;

use crate::PoolError;
use crate::chain::Chain;
use crate::class::InTransit;
use crate::class_cache::ClassCache;
use crate::core::Core;
use crate::event::Event;
use crate::flags::{HUNGRY, PRESSED, STARVING, WAITERS};
use crate::slot::Slot;

/// How often a thread that has slots in hand is given a moment.
const PATIENCE: u32 = 64;

impl Core {
    /// A slot of a class, or of one that it may borrow from.
    pub(crate) fn obtain(&self, class: usize) -> Result<NonNull<Slot>, PoolError> {
        if self.cache(class).is_none() {
            self.open_caches_here();
        }
        self.count_event(class, Event::Miss);
        if let Some(answer) = self.obtain_at_once(class) {
            return answer;
        }
        let most = self.config.borrow_policy().classes();
        let last = class.saturating_add(most).min(self.classes.len() - 1);
        for from in class..=last {
            if self.flags.has(from, WAITERS) {
                continue;
            }
            if let Some(slot) = self.obtain_or_see_through(from) {
                if from != class {
                    self.count_event(class, Event::Borrowed);
                }
                return Ok(slot);
            }
        }
        Err(self.refuse(class))
    }

    /// A slot of the shared list of a class without caches, if nobody wants one more.
    pub(crate) fn take_uncached(&self, class: usize, cache: &ClassCache) -> Option<NonNull<Slot>> {
        if self.flags.of(class) != 0 {
            return None;
        }
        let slot = self.classes[class].shared.pop_one()?;
        cache.events.add_own(Event::Miss);
        Some(slot)
    }

    /// The answer that needs no search: everything is out.
    fn obtain_at_once(&self, class: usize) -> Option<Result<NonNull<Slot>, PoolError>> {
        let own = &self.classes[class];
        let flags = self.flags.of(class);
        let may_borrow = self.config.borrow_policy().classes() > 0;
        if may_borrow || flags & WAITERS != 0 || !own.is_full() {
            return None;
        }
        // SAFETY: the thread's caches live while the table has them.
        let ring = self
            .cache(class)
            .map(|cache| &unsafe { cache.as_ref() }.ring);
        let has_own = ring.is_some_and(|ring| ring.len_hint() > 0);
        // Asked on both sides of the look at the list: a search that begins in between has slots in hand, and
        // who ends one that found more than he needs says so before he lets go of it.
        let is_settled = || self.is_searched(class) && !own.has_transit();
        if has_own || !is_settled() || !own.shared.is_empty() || !is_settled() {
            return None;
        }
        Some(Err(self.refuse(class)))
    }

    /// A slot of a class itself. Where another thread has some in hand it is given a moment to put them
    /// where they can be found.
    fn obtain_or_see_through(&self, class: usize) -> Option<NonNull<Slot>> {
        let own = &self.classes[class];
        for _ in 0..PATIENCE {
            let slot = self.obtain_from(class);
            if slot.is_some() {
                return slot;
            }
            // A search by somebody else may have ended in between, with slots left for another one.
            if !own.has_transit() && self.is_searched(class) {
                break;
            }
            thread::yield_now();
        }
        // What was in hand when the list was looked at is there by now.
        self.take_shared(class)
    }

    /// Whether the rings of a class hold nothing, as far as a search can tell.
    fn is_searched(&self, class: usize) -> bool {
        self.flags.has(class, STARVING) || self.classes[class].shape.cache_capacity == 0
    }

    /// A slot of a class itself.
    pub(crate) fn obtain_from(&self, class: usize) -> Option<NonNull<Slot>> {
        self.take_own(class)
            .or_else(|| self.take_shared(class))
            .or_else(|| self.take_made(class))
            .or_else(|| self.take_stolen(class))
            .or_else(|| {
                let kept = self.flags.has(class, HUNGRY);
                if kept { None } else { self.take_pressed(class) }
            })
    }

    /// As [`obtain_from`](Self::obtain_from), for who waits: takes bytes that are kept for him.
    pub(crate) fn obtain_for_waiter(&self, class: usize) -> Option<NonNull<Slot>> {
        self.take_shared(class)
            .or_else(|| self.make(class, 1).pop())
            .or_else(|| self.take_stolen(class))
            .or_else(|| self.take_pressed(class))
    }

    /// One slot of those that others sent home, or of the thread's own ring, which has some only if a
    /// thief came in between.
    fn take_own(&self, class: usize) -> Option<NonNull<Slot>> {
        // SAFETY: the thread's caches live while the table has them.
        let cache = unsafe { self.cache(class)?.as_ref() };
        if cache.ring.len_hint() == 0 {
            let mut sent = self.origins.take(cache.lane, class);
            return self.keep(class, || sent.pop());
        }
        let _transit = self.classes[class].in_transit();
        let mut chain = Chain::new();
        let link = |slot| {
            // SAFETY: taken off the ring by this thread.
            unsafe { chain.push(slot) };
        };
        // SAFETY: the ring is this thread's; the closure only links.
        unsafe { cache.ring.drain(link) };
        self.keep(class, || chain.pop())
    }

    /// One slot of a chain of the shared list; the rest goes on the thread's ring.
    pub(crate) fn take_shared(&self, class: usize) -> Option<NonNull<Slot>> {
        let own = &self.classes[class];
        if own.shared.is_empty() {
            return None;
        }
        let _transit = self.transit_of(class);
        let mut taken = own.shared.pop(self.spares(class))?;
        if self.flags.has(class, STARVING | PRESSED) && own.grows_calm() {
            self.flags.clear(class, STARVING);
            self.flags.clear_all(self.classes.len(), PRESSED);
        }
        self.count_event(class, Event::Refill);
        self.keep(class, || taken.pop())
    }

    /// One slot of some that are made now.
    pub(crate) fn take_made(&self, class: usize) -> Option<NonNull<Slot>> {
        if self.flags.has(class, HUNGRY) {
            return None;
        }
        let _transit = self.classes[class].in_transit();
        let mut chain = self.make(class, self.batch(class));
        self.keep(class, || chain.pop())
    }

    /// The caller is about to have slots of the shared list in hand.
    fn transit_of(&self, class: usize) -> InTransit<'_> {
        let own = &self.classes[class];
        match self.cache(class) {
            Some(cache) if own.shape.cache_capacity > 0 => {
                // SAFETY: the registry keeps the thread's caches for as long as this thread is in a call of
                // the pool's.
                let ring = &unsafe { cache.as_ref() }.ring;
                // SAFETY: the ring is this thread's, and lives as long.
                unsafe { own.in_move(ring, || self.flags.of(class)) }
            }
            _ => own.in_transit(),
        }
    }

    /// How many slots to make at a time.
    fn batch(&self, class: usize) -> u32 {
        match self.cache(class) {
            Some(cache) if !self.caches_are_off(class) => {
                // SAFETY: the thread's caches live while the table has them.
                unsafe { cache.as_ref() }.next_batch()
            }
            _ => 1,
        }
    }

    /// The answer to a request for which a class has nothing.
    fn refuse(&self, class: usize) -> PoolError {
        self.count_event(class, Event::Exhausted);
        self.classes[class].is_wanting();
        PoolError::Exhausted
    }

    /// Counts an event for the calling thread, or for the pool if the thread has no caches.
    pub(crate) fn count_event(&self, class: usize, event: Event) {
        match self.cache(class) {
            // SAFETY: the thread's caches live while the table has them.
            Some(cache) => unsafe { cache.as_ref() }.events.add_own(event),
            None => self.classes[class].counts.events.add_shared(event, 1),
        }
    }

    /// Takes one slot of those that `next` gives for the caller and puts the others on the thread's
    /// ring; what that does not take goes on the shared list.
    pub(crate) fn keep(
        &self,
        class: usize,
        mut next: impl FnMut() -> Option<NonNull<Slot>>,
    ) -> Option<NonNull<Slot>> {
        let lane = self.own_lane(class);
        let mut next = || {
            let slot = next()?;
            if lane != 0 {
                // SAFETY: given to this thread.
                unsafe { self.stamp(lane, slot) };
            }
            Some(slot)
        };
        let slot = next()?;
        match self.cache(class) {
            Some(cache) if !self.caches_are_off(class) => {
                // SAFETY: the thread's caches live while the table has them.
                let cache = unsafe { cache.as_ref() };
                // SAFETY: the ring is this thread's; the closure does not use it.
                let kept = unsafe { cache.ring.refill(&mut next) };
                if kept > 0 && self.flags.of(class) != 0 {
                    self.settle_ring(class, cache);
                }
            }
            _ => {}
        }
        let mut rest = Chain::new();
        while let Some(slot) = next() {
            // SAFETY: given to this thread.
            unsafe { rest.push(slot) };
        }
        self.publish_all(class, rest);
        Some(slot)
    }
}
