//! [`Waiters`]: who waits for a slot, in the order in which they came.
//!
//! # What
//!
//! A queue for each class behind one lock. A waiter is a [`Ticket`]: numbered in the order of arrival
//! over all classes, and the place where its slot is put.
//!
//! # Invariants
//!
//! - W1: a ticket that waits is in the queue of its class, and the queues are sorted by number.
//!   Tickets that were given up stay until they are at the front, or are half of the queue.
//! - W2: a ticket's state changes only under the queues' lock, except that its holder takes a slot that
//!   was put there, and replaces its waker.
//!
//! # Threads
//!
//! Any. Wakers are called by the callers, with no lock held.
//!
//! # Cost
//!
//! Waiting allocates a ticket and its place in the queue.

use core::ptr::NonNull;
use core::task::Waker;
use std::collections::VecDeque;
use std::sync::Arc;

use crate::lock::Mutex;
use crate::slot::Slot;

/// One that waits.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    state: Mutex<State>,
}

/// How far a ticket is.
#[derive(Debug)]
pub(crate) enum State {
    Waiting(Waker),
    /// The slot is that of whoever takes it out.
    Served(NonNull<Slot>),
    /// The slot was taken, or the ticket was given up.
    Over,
}

// SAFETY: a slot in a ticket is that of whoever takes it out, under the lock.
unsafe impl Send for State {}

/// Who waits for slots.
#[derive(Debug)]
pub(crate) struct Waiters {
    queues: Mutex<Queues>,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Queues {
    next: u64,
    of_class: Box<[Queue]>,
}

#[derive(Debug, Default)]
struct Queue {
    tickets: VecDeque<Arc<Ticket>>,
    /// How many of them were given up.
    over: usize,
}

impl Waiters {
    pub(crate) fn new(classes: usize) -> Self {
        let of_class = (0..classes).map(|_| Queue::default()).collect();
        Self {
            queues: Mutex::new(Queues { next: 0, of_class }),
        }
    }

    /// Runs `f` on the queues, under their lock.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Queues) -> R) -> R {
        f(&mut self.queues.lock())
    }
}

impl Queues {
    /// A new ticket at the end of a class's queue. The answer is the waker if there is no memory for
    /// its place, since wakers are dropped without the lock.
    pub(crate) fn enter(&mut self, class: usize, waker: Waker) -> Result<Arc<Ticket>, Waker> {
        let queue = &mut self.of_class[class];
        if queue.tickets.try_reserve(1).is_err() {
            return Err(waker);
        }
        let ticket = Arc::new(Ticket {
            number: self.next,
            state: Mutex::new(State::Waiting(waker)),
        });
        self.next += 1;
        queue.tickets.push_back(Arc::clone(&ticket));
        Ok(ticket)
    }

    /// The number of the first who waits for a class.
    pub(crate) fn first(&mut self, class: usize) -> Option<u64> {
        let queue = &mut self.of_class[class];
        queue.drop_over();
        queue.tickets.front().map(|ticket| ticket.number)
    }

    /// How many wait for a class.
    pub(crate) fn waiting(&self, class: usize) -> usize {
        let queue = &self.of_class[class];
        queue.tickets.len() - queue.over
    }

    /// Gives a slot to the first who waits for its class, whose waker the caller calls.
    ///
    /// # Errors
    ///
    /// The slot, if nobody waits.
    pub(crate) fn serve(
        &mut self,
        class: usize,
        slot: NonNull<Slot>,
    ) -> Result<Waker, NonNull<Slot>> {
        let queue = &mut self.of_class[class];
        queue.drop_over();
        let Some(ticket) = queue.tickets.pop_front() else {
            return Err(slot);
        };
        let mut state = ticket.state.lock();
        match core::mem::replace(&mut *state, State::Served(slot)) {
            State::Waiting(waker) => Ok(waker),
            // Not at the front, by `drop_over`, and not served, as it was in the queue.
            other => {
                debug_assert!(false, "W1");
                *state = other;
                Err(slot)
            }
        }
    }

    /// Ends a ticket that is given up. The answer is what it was before.
    pub(crate) fn leave(&mut self, class: usize, ticket: &Ticket) -> State {
        let before = core::mem::replace(&mut *ticket.state.lock(), State::Over);
        if matches!(before, State::Waiting(_)) {
            let queue = &mut self.of_class[class];
            queue.over += 1;
            queue.sweep();
        }
        before
    }
}

impl Queue {
    /// Drops tickets at the front that were given up.
    fn drop_over(&mut self) {
        while self.tickets.front().is_some_and(|ticket| ticket.is_over()) {
            self.tickets.pop_front();
            self.over -= 1;
        }
    }

    /// Drops all tickets that were given up once they are half.
    fn sweep(&mut self) {
        if self.over * 2 < self.tickets.len() {
            return;
        }
        self.tickets.retain(|ticket| !ticket.is_over());
        self.over = 0;
    }
}

impl Ticket {
    fn is_over(&self) -> bool {
        matches!(*self.state.lock(), State::Over)
    }

    /// The slot that the ticket was given; or waits on, with this waker.
    pub(crate) fn poll(&self, waker: &Waker) -> Option<NonNull<Slot>> {
        if let State::Waiting(known) = &*self.state.lock() {
            if known.will_wake(waker) {
                return None;
            }
        }
        // To clone and to drop a waker is user code: no lock is held.
        let mut unused = Some(waker.clone());
        let mut state = self.state.lock();
        let slot = match &mut *state {
            State::Served(slot) => {
                let slot = *slot;
                *state = State::Over;
                Some(slot)
            }
            State::Waiting(known) => {
                if let Some(new) = &mut unused {
                    core::mem::swap(known, new);
                }
                None
            }
            State::Over => None,
        };
        drop(state);
        drop(unused);
        slot
    }
}
