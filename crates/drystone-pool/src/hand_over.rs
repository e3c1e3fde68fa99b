//! Who gets a slot that comes back while somebody waits.
//!
//! # What
//!
//! A slot goes to the first who waits for its class. Where an older waiter needs bytes of the budget
//! for a slot of another class, the slot ends, and its bytes are his: nobody behind him is served
//! with what could have served him.
//!
//! # Threads
//!
//! Any. The lock of the queues is held to look and to give; slots end and are made, and wakers
//! called, without it.

use core::ptr::NonNull;

use drystone_core::abort_on_unwind;

use crate::core::Core;
use crate::flags::{HUNGRY, WAITERS};
use crate::local;
use crate::slot::Slot;
use crate::waiters::{Queues, State, Ticket};

/// What becomes of a slot.
enum Verdict {
    Served(core::task::Waker),
    /// The first who waits needs the slot's bytes.
    Bytes,
    Unwanted,
}

impl Core {
    /// Gives a slot to who waits. The answer is the slot, if nobody wants it.
    pub(crate) fn hand_over(&self, class: usize, slot: NonNull<Slot>) -> Option<NonNull<Slot>> {
        let verdict = self.waiters.with(|queues| {
            let receiver = self.receiver(queues, class);
            if receiver.is_some_and(|receiver| receiver != class) {
                return Verdict::Bytes;
            }
            let served = queues.serve(class, slot);
            // Also where one was served: no other slot of the class may ever come by.
            self.lower_flags(queues, class);
            served.map_or(Verdict::Unwanted, Verdict::Served)
        });
        match verdict {
            Verdict::Unwanted => return Some(slot),
            Verdict::Served(waker) => wake(waker),
            Verdict::Bytes => {
                // SAFETY: this thread has the slot, and keeps the core otherwise.
                unsafe { self.retire(class, slot) };
                self.feed();
            }
        }
        None
    }

    /// The first who waits for a slot that only the budget keeps from being made: number and class.
    fn first_hungry(&self, queues: &mut Queues) -> Option<(u64, usize)> {
        let classes = 0..self.classes.len();
        classes
            .filter(|&class| !self.classes[class].is_full())
            .filter_map(|class| Some((queues.first(class)?, class)))
            .min()
    }

    /// The class of whom a free slot of `class` serves, with the slot or with its bytes; `None` if
    /// nobody waits for either.
    fn receiver(&self, queues: &mut Queues, class: usize) -> Option<usize> {
        let own = queues.first(class);
        match self.first_hungry(queues) {
            Some((number, hungry)) if own.is_none_or(|own| number < own) => Some(hungry),
            _ => own.map(|_| class),
        }
    }

    /// [`receiver`](Self::receiver), for who asks before he has a slot. Only while somebody waits for
    /// the class itself.
    pub(crate) fn next_to_serve(&self, class: usize) -> Option<usize> {
        self.waiters.with(|queues| {
            queues.first(class)?;
            self.receiver(queues, class)
        })
    }

    /// Lowers the flags that nobody waits for any more. Under the queues' lock, under which they are
    /// raised.
    fn lower_flags(&self, queues: &mut Queues, class: usize) {
        if queues.first(class).is_none() {
            self.flags.clear(class, WAITERS);
        }
        if self.first_hungry(queues).is_none() {
            self.flags.clear_all(self.classes.len(), HUNGRY);
        }
    }

    /// Ends a ticket that is given up, and hands on what it had or stood in the way of.
    pub(crate) fn leave(&self, class: usize, ticket: &Ticket) {
        let left = self.waiters.with(|queues| {
            let left = queues.leave(class, ticket);
            self.lower_flags(queues, class);
            left
        });
        // A waker that is dropped is dropped here, with no lock held.
        match left {
            State::Served(slot) => self.settle(class, slot),
            State::Waiting(_) | State::Over => self.feed(),
        }
    }

    /// Serves who waits for bytes, in order, as far as the budget has room.
    pub(crate) fn feed(&self) {
        while let Some((_, class)) = self.waiters.with(|queues| self.first_hungry(queues)) {
            let mut chain = self.make(class, 1);
            let Some(slot) = chain.pop() else { return };
            // Who waited may have gone meanwhile: then the slot is free like any other.
            if let Some(unwanted) = self.hand_over(class, slot) {
                return self.settle(class, unwanted);
            }
        }
    }

    /// After bytes of the budget became free: serves who waits for some.
    pub(crate) fn bytes_came_free(&self) {
        self.protocol.light();
        if self.flags.has(0, HUNGRY) {
            self.feed();
        }
    }
}

/// Wakers are the user's. One that panics must not leave a free half done; one that polls in place may end
/// the pool.
pub(crate) fn wake(waker: core::task::Waker) {
    abort_on_unwind(|| local::in_user_code(|| waker.wake()));
}
