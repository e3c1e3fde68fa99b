//! [`Watermark`]: tells a handler when memory runs low, and when it has run out.
//!
//! # What
//!
//! Counts the bytes of live blocks against the capacity, and calls a [`WatermarkHandler`] when they
//! rise over one of two marks, and at each refusal. A mark fires once; it fires again when the
//! bytes have fallen below it and rise over it anew. Who wants quiet at a level that goes up and
//! down sees to that in the handler.
//!
//! A block counts as many bytes as the inner allocator says are usable of it (whole slots of a
//! slab), or as were asked for where it does not say. It is handed out exactly as long as asked, so
//! that a free takes off what its allocation added.
//!
//! # Memory picture
//!
//! ```text
//! +-------+---------+------------+----------------+---------+-------------+
//! | inner | handler | used_bytes | capacity_bytes | warn at | critical at |
//! +-------+---------+------------+----------------+---------+-------------+
//! ```
//!
//! # Invariants
//!
//! - I1: when no call is running, `used_bytes` is the sum of what the live blocks count. While calls
//!   run it is at most that: a block is counted from after it was handed out until before it is
//!   taken back.
//! - I2: a mark fires in the call whose addition takes `used_bytes` from below it to it or above.
//!   Additions and subtractions are one atomic step each, so between two fires of a mark
//!   `used_bytes` was below it.
//!
//! # Threads
//!
//! Sync if the inner allocator and the handler are. No lock is held while the handler runs: it is
//! called on the thread whose request crossed the mark, after the inner allocator has answered, and
//! by several threads at once if they cross several marks. Calls of different threads may arrive
//! in another order than the crossings.
//!
//! # Cost
//!
//! One atomic addition and a comparison for each allocation, one atomic subtraction for each free;
//! the inner allocator is asked for the usable size in both. At [`Off`](crate::Off) nothing.

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, NonZeroLayout, Reset, abort_on_unwind,
};
use drystone_sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::sizes::exactly;
use crate::switch::{Keep, Kept};
use crate::{On, Switch};

#[cfg(all(test, loom))]
mod models;

/// What to do when memory runs low. A method that is not written does nothing.
///
/// Each is given the bytes used and the capacity in bytes, `usize::MAX` where there is no limit.
///
/// The methods run inside `allocate`, `grow` and `shrink`, never inside `deallocate`. They may free
/// blocks of the same allocator, and log. They may not allocate from it: an `on_oom` that does is
/// called from inside itself, without end. A panic ends the process.
///
/// Where a [`Locked`](crate::Locked) is around the watermark, the lock is held while a handler runs: there
/// the handler may not free through the `Locked`, for it would wait for itself.
pub trait WatermarkHandler {
    /// The bytes used have risen over the lower mark.
    fn on_warn(&self, used_bytes: usize, capacity_bytes: usize) {
        let _ = (used_bytes, capacity_bytes);
    }

    /// The bytes used have risen over the upper mark.
    fn on_critical(&self, used_bytes: usize, capacity_bytes: usize) {
        let _ = (used_bytes, capacity_bytes);
    }

    /// The inner allocator has refused a request.
    fn on_oom(&self, used_bytes: usize, capacity_bytes: usize) {
        let _ = (used_bytes, capacity_bytes);
    }
}

impl<H: WatermarkHandler + ?Sized> WatermarkHandler for &H {
    #[inline]
    fn on_warn(&self, used_bytes: usize, capacity_bytes: usize) {
        (**self).on_warn(used_bytes, capacity_bytes);
    }

    #[inline]
    fn on_critical(&self, used_bytes: usize, capacity_bytes: usize) {
        (**self).on_critical(used_bytes, capacity_bytes);
    }

    #[inline]
    fn on_oom(&self, used_bytes: usize, capacity_bytes: usize) {
        (**self).on_oom(used_bytes, capacity_bytes);
    }
}

/// `A`, with a handler that hears of memory running low.
///
/// The capacity is the inner allocator's, asked once. One without a fixed limit has no marks: only
/// `on_oom` is ever called then, unless [`with_capacity`](Watermark::with_capacity) says a limit.
///
/// Over a `Canary`, `CacheJitter` or `GuardPages` the bytes asked for are counted against the capacity
/// inside, of which each block takes more, so the marks come late. Put the watermark inside of those, or
/// say the limit.
///
/// ```
/// # use core::cell::Cell;
/// # use drystone_core::{Allocator, Deallocator, NonZeroLayout};
/// # use drystone_wrap::{Watermark, WatermarkHandler};
/// struct Shed(Cell<bool>);
///
/// impl WatermarkHandler for Shed {
///     fn on_warn(&self, _used: usize, _capacity: usize) {
///         self.0.set(true); // Take no new sessions.
///     }
/// }
///
/// fn sessions<A: Allocator>(room_for_four: A, layout: NonZeroLayout) {
///     let memory = Watermark::new(room_for_four, Shed(Cell::new(false)));
///     let blocks = [(); 3].map(|()| memory.allocate(layout).expect("there is room"));
///     assert!(memory.handler().0.get());
///     for block in blocks {
///         unsafe { memory.deallocate(block.cast(), layout) };
///     }
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # sessions(slots::Slots::new(4), NonZeroLayout::from_size_align(64, 8).unwrap());
/// ```
///
/// Over an arena that takes single blocks back without reusing them, the bytes used fall with each
/// free and say nothing about the room that is left.
pub struct Watermark<A, H, S: Switch = On> {
    inner: A,
    handler: H,
    level: S::Keep<Level>,
}

/// The bytes used, and the marks.
#[derive(Debug)]
struct Level {
    used_bytes: AtomicUsize,
    capacity_bytes: usize,
    warn_bytes: usize,
    critical_bytes: usize,
}

/// Where the marks lie unless one says so.
const WARN_PERCENT: u32 = 75;
const CRITICAL_PERCENT: u32 = 90;

impl Level {
    fn new(capacity: Option<usize>, warn_percent: u32, critical_percent: u32) -> Self {
        let mark = |percent| capacity.map_or(usize::MAX, |bytes| share(bytes, percent));
        Self {
            used_bytes: AtomicUsize::new(0),
            capacity_bytes: capacity.unwrap_or(usize::MAX),
            warn_bytes: mark(warn_percent),
            critical_bytes: mark(critical_percent),
        }
    }

    /// Changes the level from what a block counted to what it counts now.
    #[inline]
    fn change<H: WatermarkHandler>(&self, from: usize, to: usize, handler: &H) {
        if to < from {
            self.fall(from - to);
        } else {
            self.rise(to - from, handler);
        }
    }

    /// Adds `bytes`, and tells the handler if that crossed a mark.
    #[inline]
    fn rise<H: WatermarkHandler>(&self, bytes: usize, handler: &H) {
        // Relaxed: additions and subtractions of one word have one order, which is all of I2.
        let before = self.used_bytes.fetch_add(bytes, Relaxed);
        let used = before.wrapping_add(bytes);
        if used >= self.warn_bytes || used >= self.critical_bytes {
            self.report(before, used, handler);
        }
    }

    /// Takes `bytes` off.
    #[inline]
    fn fall(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Relaxed);
    }

    /// Calls the handler for each mark between `before` and `used`.
    #[cold]
    fn report<H: WatermarkHandler>(&self, before: usize, used: usize, handler: &H) {
        let crossed = |mark: usize| before < mark && mark <= used;
        if crossed(self.warn_bytes) {
            abort_on_unwind(|| handler.on_warn(used, self.capacity_bytes));
        }
        if crossed(self.critical_bytes) {
            abort_on_unwind(|| handler.on_critical(used, self.capacity_bytes));
        }
    }
}

/// `percent` of `bytes`, rounded up, and at least one byte: a mark at 0 fires at the first block.
/// Above the capacity a mark is never reached, so it stays `usize::MAX` where it does not fit.
fn share(bytes: usize, percent: u32) -> usize {
    let share = (bytes as u128 * u128::from(percent)).div_ceil(100);
    usize::try_from(share).unwrap_or(usize::MAX).max(1)
}

impl<A: Allocator, H: WatermarkHandler> Watermark<A, H> {
    /// `inner`, with marks at 75 % and 90 % of its capacity.
    #[must_use]
    pub fn new(inner: A, handler: H) -> Self {
        Self::with_thresholds(inner, handler, WARN_PERCENT, CRITICAL_PERCENT)
    }

    /// `inner`, with marks at these percentages of its capacity.
    ///
    /// At 0 a mark fires with the first block; above 100 it is never reached. Neither mark need be
    /// the higher one.
    #[must_use]
    pub fn with_thresholds(inner: A, handler: H, warn_percent: u32, critical_percent: u32) -> Self {
        let level = Level::new(inner.capacity_bytes(), warn_percent, critical_percent);
        Self {
            inner,
            handler,
            level: Kept(level),
        }
    }

    /// `inner`, with marks at these percentages of `capacity_bytes`, whatever its own capacity is.
    #[must_use]
    pub fn with_capacity(
        inner: A,
        handler: H,
        capacity_bytes: usize,
        warn_percent: u32,
        critical_percent: u32,
    ) -> Self {
        let level = Level::new(Some(capacity_bytes), warn_percent, critical_percent);
        Self {
            inner,
            handler,
            level: Kept(level),
        }
    }
}

impl<A, H> Watermark<A, H> {
    /// The bytes that the live blocks count. Exact when no other thread is calling.
    #[inline]
    pub fn used_bytes(&self) -> usize {
        self.level.0.used_bytes.load(Relaxed)
    }

    /// Both parts, if no block is live.
    ///
    /// # Errors
    ///
    /// The wrapper itself, if bytes are outstanding.
    #[allow(
        clippy::result_large_err,
        reason = "the wrapper goes back to whoever gave it, and this is no hot path"
    )]
    pub fn into_inner(self) -> Result<(A, H), Self> {
        if self.used_bytes() == 0 {
            Ok((self.inner, self.handler))
        } else {
            Err(self)
        }
    }
}

impl<A: Allocator, H: WatermarkHandler, S: Switch> Watermark<A, H, S> {
    /// `inner`, watched as by [`new`](Watermark::new) or not at all, as `switch` says.
    #[must_use]
    pub fn with_switch(inner: A, handler: H, switch: S) -> Self {
        let _ = switch;
        let level = Level::new(inner.capacity_bytes(), WARN_PERCENT, CRITICAL_PERCENT);
        Self {
            inner,
            handler,
            level: S::Keep::keep(level),
        }
    }

    /// Counts a new block, or reports a refusal.
    #[inline]
    fn counted(
        &self,
        outcome: Result<NonNull<[u8]>, AllocError>,
        layout: NonZeroLayout,
        from: usize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(level) = self.level.get() else {
            return outcome;
        };
        let Ok(block) = exactly(outcome, layout) else {
            return self.refused(level);
        };
        // SAFETY: the block was just handed out for this layout.
        let bytes = unsafe { self.weight(block.cast(), layout) };
        level.change(from, bytes, &self.handler);
        Ok(block)
    }

    #[cold]
    fn refused(&self, level: &Level) -> Result<NonNull<[u8]>, AllocError> {
        let used = level.used_bytes.load(Relaxed);
        abort_on_unwind(|| self.handler.on_oom(used, level.capacity_bytes));
        Err(AllocError)
    }

    /// What a block counted before a resize; 0 where nothing is counted.
    ///
    /// # Safety
    ///
    /// As [`Allocator::usable_size`].
    #[inline]
    unsafe fn weight_before(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> usize {
        match self.level.get() {
            // SAFETY: the caller's requirements are the same.
            Some(_) => unsafe { self.weight(ptr, layout) },
            None => 0,
        }
    }
}

impl<A: Allocator, H, S: Switch> Watermark<A, H, S> {
    /// How many bytes the block counts.
    ///
    /// # Safety
    ///
    /// As [`Allocator::usable_size`].
    #[inline]
    unsafe fn weight(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> usize {
        // SAFETY: the caller's requirements are the same.
        let usable = unsafe { self.inner.usable_size(ptr, layout) };
        usable.unwrap_or(layout.size().get())
    }
}

impl<A, H, S: Switch> Watermark<A, H, S> {
    /// The inner allocator. What is done through it is not counted.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The handler.
    #[inline]
    pub const fn handler(&self) -> &H {
        &self.handler
    }

    /// The inner allocator and the handler, whatever is live.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner_unchecked(self) -> (A, H) {
        (self.inner, self.handler)
    }
}

// SAFETY: the inner allocator keeps the contract; counting touches no block, and the handler is not
// called here.
unsafe impl<A: Allocator, H, S: Switch> Deallocator for Watermark<A, H, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if let Some(level) = self.level.get() {
            // SAFETY: the block is live and the layout fits it, by the caller's promise.
            level.fall(unsafe { self.weight(ptr, layout) });
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) }
    }
}

// SAFETY: every block is the inner allocator's, or the beginning of one that is at least as long as
// asked; a panic of the handler ends the process.
unsafe impl<A: Allocator, H: WatermarkHandler, S: Switch> Allocator for Watermark<A, H, S> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.counted(self.inner.allocate(layout), layout, 0)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.counted(self.inner.allocate_zeroed(layout), layout, 0)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is live and the layout fits it, by the caller's promise.
        let before = unsafe { self.weight_before(ptr, old) };
        // SAFETY: the block is the inner allocator's; same requirements.
        let outcome = unsafe { self.inner.grow(ptr, old, new) };
        self.counted(outcome, new, before)
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is live and the layout fits it, by the caller's promise.
        let before = unsafe { self.weight_before(ptr, old) };
        // SAFETY: the block is the inner allocator's; same requirements.
        let outcome = unsafe { self.inner.grow_zeroed(ptr, old, new) };
        self.counted(outcome, new, before)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is live and the layout fits it, by the caller's promise.
        let before = unsafe { self.weight_before(ptr, old) };
        // SAFETY: the block is the inner allocator's; same requirements.
        let outcome = unsafe { self.inner.shrink(ptr, old, new) };
        self.counted(outcome, new, before)
    }

    forward_queries!(inner);
}

// SAFETY: the blocks are those of the inner allocator, which answers.
unsafe impl<A: Contents, H: WatermarkHandler, S: Switch> Contents for Watermark<A, H, S> {
    /// To decline is no refusal, and not reported.
    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is live and the layout fits it, by the caller's promise.
        let before = unsafe { self.weight_before(ptr, old) };
        // SAFETY: the block is the inner allocator's; same requirements.
        let block = unsafe { self.inner.grow_in_place(ptr, old, new) }?;
        self.counted(Ok(block), new, before)
    }

    forward_contents!(inner);
}

forward_promises!([A, H, S: Switch] Watermark<A, H, S>, inner: Owns, StableAddress);

impl<A: Reset, H, S: Switch> Reset for Watermark<A, H, S> {
    /// The level falls to 0; the marks fire anew.
    #[inline]
    fn reset(&mut self) {
        self.inner.reset();
        if let Some(level) = self.level.get() {
            level.used_bytes.store(0, Relaxed);
        }
    }
}

impl<A: fmt::Debug, H, S: Switch> fmt::Debug for Watermark<A, H, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Watermark");
        if let Some(level) = self.level.get() {
            debug
                .field("used_bytes", &level.used_bytes.load(Relaxed))
                .field("warn_bytes", &level.warn_bytes)
                .field("critical_bytes", &level.critical_bytes);
        }
        debug.field("inner", &self.inner).finish_non_exhaustive()
    }
}
