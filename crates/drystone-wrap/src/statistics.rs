//! [`Statistics`]: counts of blocks and bytes, and their peak.
//!
//! # What
//!
//! Counts every request that passes through, in the sizes asked for, and gives the figures as a
//! [`Stats`]. A block is handed out exactly as long as asked, so that a free takes off what its
//! allocation added. Most allocators serve one thread, so the counters belong to one thread at first and
//! are plain memory; when a second thread counts, each gets counts of its own beside one level that they
//! share, for everybody and for good (until the exclusive borrow of [`reset`](Reset::reset) or [`rebind`](Statistics::rebind)).
//!
//! # Memory picture
//!
//! ```text
//! +-------+-------+-------------+-------+ . +------------+ . +---------+ . +------+ . +-------+
//! | inner | owner | solo counts | marks |   | live, peak |   | shard 0 |   | .. 7 |   | crowd |
//! +-------+-------+-------------+-------+ . +------------+ . +---------+ . +------+ . +-------+
//!         |                       |           lines of their own; a shard is the counts of a thread
//!         |                       of the thread that each shard belongs to, 0 while it is nobody's
//!         0: nobody has counted yet
//!         1: several threads have
//!         else the mark of the one that has: the address of one of its thread-locals
//! ```
//!
//! A count is the sum over solo, shards and crowd. The crowd are threads that found every shard taken.
//!
//! # Invariants
//!
//! - I1: the solo counts are written only by the thread whose mark is in `owner`.
//! - I2: once `owner` is 1 it stays 1, and the solo counts stay as they are, except for calls of
//!   the owner that overlap the change.
//! - I3: a block is counted as live from after it was handed out until before it is taken back, so
//!   at each moment the bytes counted as live are bytes that are live.
//! - I4: the shared `live` is the bytes that shards and crowd have as allocated minus those that they have
//!   as deallocated, and becomes so in one step for each request.
//! - I5: a shard is written only by the thread whose mark is at its place, and a mark once there stays.
//!
//! Two threads with the same mark do not exist at the same time. A thread that is given the
//! thread-local memory of a dead one takes over its mark, and with it the solo counts: the memory
//! could not be given to it without ordering the dead thread's last access first.
//!
//! # Threads
//!
//! Sync if the inner allocator is. Nothing waits (where the target lacks 64-bit atomics, each count
//! takes a spin lock). The counts are exact: no thread's request is lost or counted twice. The
//! peak is exact too, in the order in which the counts were made, with two limits: while the
//! first request of a second thread overlaps requests of the first, their bytes may be missing
//! from it or be in it more than once; and a block that another thread shrinks counts at its old size until
//! the call returns. A figure read while other threads count lies between
//! what it was when the call began and what it is when the call ends, a sum of bytes too.
//!
//! # Cost
//!
//! One thread (feature `std`), beside the inner allocator's own work, and without a locked
//! instruction:
//!
//! | request | loads | stores |
//! |---|---|---|
//! | allocation, growth | owner, thread-local address, 2 counts, 2 figures for the peak | 2 counts; the peak if it rose |
//! | free, shrink | owner, thread-local address, 2 counts | 2 counts |
//! | refusal | owner, thread-local address, 1 count | 1 count |
//!
//! Several threads: one atomic addition for each, to the live bytes, none for a refusal, and the peak where it
//! rose; the rest as above. From the ninth of them on, ended ones included, or without `std`: three atomic additions, one for a
//! refusal, behind the loads of eight marks, which nobody writes any more. Capacity and corruption are asked of the inner allocator by
//! [`stats`](Statistics::stats) only. 1408 bytes on x86-64, 384 without `std`. At [`Off`](crate::Off) nothing of this
//! is there: no field, no instruction. Measured in `docs/design/statistics.md`.

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout, Reset, Stats};

use crate::sizes::{difference, exactly};
use crate::{On, Switch};

#[cfg(target_has_atomic = "64")]
mod counters;
#[cfg(not(target_has_atomic = "64"))]
#[path = "statistics/counters_locked.rs"]
mod counters;
#[cfg(all(test, loom))]
mod models;

pub(crate) use counters::Counters;

/// New counters; under loom there is no constant.
macro_rules! fresh {
    ($counters:ty) => {{
        #[cfg(not(loom))]
        {
            <$counters as Record>::NEW
        }
        #[cfg(loom)]
        {
            <$counters as Record>::fresh()
        }
    }};
}

/// `A`, counted.
///
/// ```
/// # use drystone_core::{Allocator, Deallocator, NonZeroLayout};
/// # use drystone_wrap::Statistics;
/// fn leak_check<A: Allocator>(allocator: A, layout: NonZeroLayout) {
///     let counted = Statistics::new(allocator);
///     let block = counted.allocate(layout).expect("there is room");
///     unsafe { counted.deallocate(block.cast(), layout) };
///     let stats = counted.stats();
///     assert_eq!((stats.live_blocks(), stats.peak_live_bytes), (0, layout.size().get() as u64));
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # leak_check(slots::Slots::new(4), NonZeroLayout::from_size_align(8, 8).unwrap());
/// ```
///
/// Sizes are those that callers ask for. A block is handed out exactly as long as asked, whatever length
/// it has inside: it may be freed with any size up to the length it was given, so that a longer one
/// would lower the live bytes by more than it had raised them. What else there is of a block,
/// [`usable_size`](Allocator::usable_size) still tells.
///
/// `Statistics<A, Off>` counts nothing, and has no figures to give:
///
/// ```compile_fail,E0599
/// # use drystone_wrap::{Off, Statistics};
/// Statistics::with_switch((), Off).stats();
/// ```
pub struct Statistics<A, S: Switch = On> {
    inner: A,
    counters: S::Counters,
}

impl<A> Statistics<A> {
    const_unless_loom! {
        /// `inner`, counted from here on.
        #[inline]
        pub const fn new(inner: A) -> Self {
            Self {
                inner,
                counters: Counters::new(),
            }
        }
    }

    /// Gives the path without atomic operations to the thread that counts next, and keeps every
    /// figure. For an allocator that was used on one thread and is now given to another.
    #[inline]
    pub fn rebind(&mut self) {
        self.counters.rebind();
    }

    /// The inner allocator, if as many blocks were taken back as were handed out.
    ///
    /// # Errors
    ///
    /// The wrapper itself, if blocks are outstanding.
    #[allow(
        clippy::result_large_err,
        reason = "the wrapper goes back to whoever gave it, and this is no hot path"
    )]
    #[inline]
    pub fn into_inner(self) -> Result<A, Self> {
        let mut stats = Stats::default();
        self.counters.read(&mut stats);
        if stats.allocations == stats.deallocations {
            Ok(self.inner)
        } else {
            Err(self)
        }
    }
}

impl<A: Allocator> Statistics<A> {
    /// The figures so far, with the capacity and the corruption events of the inner allocator.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.counters.read(&mut stats);
        stats.corruption_events = self.inner.corruption_events();
        stats.capacity_bytes = self.inner.capacity_bytes().map(|bytes| bytes as u64);
        stats
    }
}

impl<A, S: Switch> Statistics<A, S> {
    const_unless_loom! {
        /// `inner`, counted or not as `switch` says.
        #[inline]
        pub const fn with_switch(inner: A, switch: S) -> Self {
            let _ = switch;
            Self {
                inner,
                counters: fresh!(S::Counters),
            }
        }
    }

    /// The inner allocator. What is done through it is not counted.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator, whatever the counts say.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner_unchecked(self) -> A {
        self.inner
    }
}

/// A request, as the counters see it. Sizes in bytes.
#[derive(Clone, Copy)]
#[allow(
    unreachable_pub,
    reason = "public in the bounds of a sealed trait, which older compilers do not see"
)]
pub enum Event {
    /// A block was handed out.
    Allocated(usize),
    /// A block is about to be taken back.
    Deallocated(usize),
    /// A block has grown by so much.
    Grown(usize),
    /// A block has shrunk by so much.
    Shrunk(usize),
    /// A request was refused.
    Failed,
}

impl Event {
    /// A block grew from one layout to another. Named after the request, as the two below.
    #[inline]
    pub(crate) fn grow(old: NonZeroLayout, new: NonZeroLayout) -> Self {
        Self::Grown(difference(new, old))
    }

    /// As [`grow`](Self::grow).
    #[inline]
    pub(crate) fn grow_zeroed(old: NonZeroLayout, new: NonZeroLayout) -> Self {
        Self::grow(old, new)
    }

    /// A block shrank from one layout to another.
    #[inline]
    pub(crate) fn shrink(old: NonZeroLayout, new: NonZeroLayout) -> Self {
        Self::Shrunk(difference(old, new))
    }
}

/// Counters that may be switched off.
#[allow(
    unreachable_pub,
    reason = "public in the bounds of a sealed trait, which older compilers do not see"
)]
pub trait Record {
    /// Whether anything is counted.
    const COUNTS: bool;

    /// All zero. Under loom, whose atomics cannot be made in a `const`, a function.
    #[cfg(not(loom))]
    const NEW: Self;

    /// All zero.
    #[cfg(loom)]
    fn fresh() -> Self;

    /// Counts `event` if the calling thread counts alone, and says whether it did.
    fn count_alone(&self, event: Event) -> bool;

    /// Counts `event`, for a thread that does not, or not yet, count alone.
    fn count_together(&self, event: Event);

    /// Counts every live block as taken back.
    fn end_all(&mut self);
}

/// The counters of a wrapper that is switched off.
impl Record for () {
    const COUNTS: bool = false;

    #[cfg(not(loom))]
    const NEW: Self = ();

    #[cfg(loom)]
    fn fresh() -> Self {}

    #[inline]
    fn count_alone(&self, _event: Event) -> bool {
        true
    }

    #[inline]
    fn count_together(&self, _event: Event) {}

    #[inline]
    fn end_all(&mut self) {}
}

impl<A, S: Switch> Statistics<A, S> {
    /// Counts a request by its outcome, and passes it on, cut to the size of `layout`.
    #[inline]
    fn counted(
        &self,
        outcome: Result<NonNull<[u8]>, AllocError>,
        layout: NonZeroLayout,
        success: Event,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if !S::Counters::COUNTS {
            return outcome;
        }
        let outcome = exactly(outcome, layout);
        match outcome {
            Ok(_) if self.counters.count_alone(success) => outcome,
            Ok(_) => self.counted_together(outcome, success),
            Err(AllocError) => self.counted_together(outcome, Event::Failed),
        }
    }

    /// Counts out of line. Takes and gives the outcome, so that the other path needs no registers
    /// saved around a call.
    #[cold]
    #[inline(never)]
    fn counted_together(
        &self,
        outcome: Result<NonNull<[u8]>, AllocError>,
        event: Event,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if !self.counters.count_alone(event) {
            self.counters.count_together(event);
        }
        outcome
    }
}

impl<A: Deallocator, S: Switch> Statistics<A, S> {
    /// `deallocate` for a thread that does not count alone. Out of line for the same reason.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`].
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_together(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        self.counters
            .count_together(Event::Deallocated(layout.size().get()));
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) }
    }
}

// SAFETY: the inner allocator keeps the contract; counting touches no block.
unsafe impl<A: Deallocator, S: Switch> Deallocator for Statistics<A, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if self
            .counters
            .count_alone(Event::Deallocated(layout.size().get()))
        {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { self.inner.deallocate(ptr, layout) }
        } else {
            // SAFETY: the caller's requirements are the same.
            unsafe { self.deallocate_together(ptr, layout) }
        }
    }
}

count_each_request!([A, S: Switch] Statistics<A, S>, inner);

/// Counts every live block as taken back. Counts do not fall, whatever a caller that breaks the
/// contract gave back.
fn end_all(stats: &mut Stats) {
    stats.deallocations = stats.deallocations.max(stats.allocations);
    stats.deallocated_bytes = stats.deallocated_bytes.max(stats.allocated_bytes);
}

forward_promises!([A, S: Switch] Statistics<A, S>, inner: Owns, StableAddress);

impl<A: Reset, S: Switch> Reset for Statistics<A, S> {
    /// Counts every live block as taken back.
    #[inline]
    fn reset(&mut self) {
        self.inner.reset();
        self.counters.end_all();
    }
}

impl<A: fmt::Debug, S: Switch> fmt::Debug for Statistics<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statistics")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
