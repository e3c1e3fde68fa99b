//! [`AllocAsync`]: a buffer as soon as there is one.

use core::fmt;
use core::future::Future;
use core::panic::Location;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use crate::flags::{HUNGRY, WAITERS};
use crate::waiters::Ticket;
use crate::{BufferPool, IoBufMut, PoolError};

/// The future of [`BufferPool::alloc_async`].
///
/// Works with any runtime. Those that wait are served in the order of their first poll. Dropping the
/// future gives its turn up, and a buffer that it had been given goes to the next.
#[must_use = "futures do nothing unless polled"]
pub struct AllocAsync {
    pool: BufferPool,
    capacity: usize,
    location: &'static Location<'static>,
    stage: Stage,
}

enum Stage {
    Fresh,
    Waiting { class: usize, ticket: Arc<Ticket> },
    Over,
}

impl AllocAsync {
    pub(crate) fn new(
        pool: BufferPool,
        capacity: usize,
        location: &'static Location<'static>,
    ) -> Self {
        Self {
            pool,
            capacity,
            location,
            stage: Stage::Fresh,
        }
    }

    /// The first poll: takes what there is, or a ticket.
    fn begin(&mut self, waker: &Waker) -> Poll<Result<IoBufMut, PoolError>> {
        let refused = match self.pool.try_alloc_at(self.capacity, self.location) {
            Err(PoolError::Exhausted) => PoolError::Exhausted,
            answer => return Poll::Ready(answer),
        };
        let Some(class) = self.pool.class_of(self.capacity) else {
            return Poll::Ready(Err(refused));
        };
        match self.pool.enter(class, waker.clone()) {
            Some(ticket) => {
                self.stage = Stage::Waiting { class, ticket };
                self.search(class, waker)
            }
            None => Poll::Ready(Err(refused)),
        }
    }

    /// After the ticket is in the queue: looks once more for what came free before it was.
    fn search(&mut self, class: usize, waker: &Waker) -> Poll<Result<IoBufMut, PoolError>> {
        let can_be_served = self.pool.search_for_waiters(class);
        match self.resume(waker) {
            Poll::Pending if !can_be_served => {
                self.give_up();
                Poll::Ready(Err(PoolError::Exhausted))
            }
            answer => answer,
        }
    }

    /// Takes the slot that the ticket was given.
    fn resume(&mut self, waker: &Waker) -> Poll<Result<IoBufMut, PoolError>> {
        let Stage::Waiting { ticket, .. } = &self.stage else {
            return Poll::Pending;
        };
        match ticket.poll(waker) {
            Some(slot) => {
                self.stage = Stage::Over;
                // SAFETY: the ticket had the slot, for whoever takes it out.
                unsafe { self.pool.note(slot, self.location) };
                // SAFETY: the ticket had the slot, for whoever takes it out.
                Poll::Ready(Ok(unsafe { IoBufMut::from_slot(slot) }))
            }
            None => Poll::Pending,
        }
    }

    fn give_up(&mut self) {
        if let Stage::Waiting { class, ticket } = core::mem::replace(&mut self.stage, Stage::Over) {
            self.pool.core().leave(class, &ticket);
        }
    }
}

impl Future for AllocAsync {
    type Output = Result<IoBufMut, PoolError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = match &this.stage {
            Stage::Fresh => this.begin(context.waker()),
            Stage::Waiting { .. } => this.resume(context.waker()),
            Stage::Over => panic!("polled after it was ready"),
        };
        if answer.is_ready() {
            this.stage = Stage::Over;
        }
        answer
    }
}

impl Drop for AllocAsync {
    fn drop(&mut self) {
        self.give_up();
    }
}

impl fmt::Debug for AllocAsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllocAsync")
            .field("capacity", &self.capacity)
            .field("waits", &matches!(self.stage, Stage::Waiting { .. }))
            .finish_non_exhaustive()
    }
}

impl BufferPool {
    /// A ticket for a class; the flags that bring slots to it are up. `None` if it cannot wait.
    fn enter(&self, class: usize, waker: Waker) -> Option<Arc<Ticket>> {
        let core = self.core();
        let entered: Result<Arc<Ticket>, Waker> = core.waiters.with(|queues| {
            let ticket = queues.enter(class, waker)?;
            core.flags.set(class, WAITERS);
            if !core.classes[class].is_full() {
                core.flags.set_all(core.classes.len(), HUNGRY);
            }
            Ok(ticket)
        });
        let ticket = entered.ok()?;
        if core.protocol.heavy().is_err() {
            core.leave(class, &ticket);
            return None;
        }
        Some(ticket)
    }

    /// Brings what is free to those who wait for a class, and to who comes before them. `false` if
    /// none of the class can ever be served: no slot of it exists, and the source makes none.
    fn search_for_waiters(&self, class: usize) -> bool {
        let core = self.core();
        while let Some(next) = core.next_to_serve(class) {
            let failures = core.source_failures();
            let Some(slot) = core.obtain_for_waiter(next) else {
                let refused = core.source_failures() != failures;
                return next != class || core.classes[class].created() > 0 || !refused;
            };
            if let Some(unwanted) = core.hand_over(next, slot) {
                core.settle(next, unwanted);
            }
        }
        true
    }
}
