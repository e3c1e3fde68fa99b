//! [`CacheJitter`]: large blocks that do not all start in the same cache set.
//!
//! # What
//!
//! Large blocks tend to start at multiples of a page or more, so that their first lines compete for
//! the same few places of a cache. This wrapper starts each large block some lines later than the
//! one before, over a number of positions in turn. Small blocks pass through.
//!
//! # Memory picture
//!
//! ```text
//!  inner block, at a multiple of the span
//!  +------+------+------+------------------------------+------+
//!  |  one of `positions` starts, a line apart: block   |      |
//!  +------+------+------+------------------------------+------+
//!  ^ the block's address, rounded down to the span
//! ```
//!
//! The span is the power of two that holds all positions. Rounding a block's address down to it
//! gives the inner block, so there is no header.
//!
//! # Invariants
//!
//! - I1: a block is displaced if and only if its size is at least `min_bytes` and its alignment below
//!   the span. Blocks are handed out exactly as long as asked, so every layout that fits says
//!   which.
//! - I2: a displaced block starts less than a span behind its inner block, which starts at a multiple
//!   of the span.
//!
//! # Threads
//!
//! Sync if the inner allocator is. The turn is one atomic addition.
//!
//! # Cost
//!
//! An atomic addition for each large allocation; a mask for each large free. Each large block takes
//! up to a span more, 4 KiB by default. The inner allocator must have blocks at multiples of the
//! span; one that has none refuses every large request. At [`Off`](crate::Off) nothing.

use core::fmt;
use core::mem::MaybeUninit;
use core::num::{NonZeroU16, NonZeroUsize};
use core::ptr::NonNull;

use drystone_core::arith::{align_down, is_aligned};
use drystone_core::{
    AllocError, Allocator, CACHE_LINE, Contents, Deallocator, NonZeroLayout, Owns,
};
use drystone_sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::resize;
use crate::sizes::exactly;
use crate::switch::{Keep, Kept};
use crate::{On, Switch};

/// From which size on blocks are displaced, unless one says so: a page of most systems.
const MIN_BYTES: usize = 4096;

/// How many positions there are, unless one says so: a page of most systems.
const POSITIONS: NonZeroU16 = NonZeroU16::new((4096 / CACHE_LINE) as u16).expect("a few lines");

/// `A`, with large blocks spread over the sets of a cache.
///
/// ```
/// # use drystone_core::{Allocator, Contents, Deallocator, NonZeroLayout};
/// use drystone_wrap::CacheJitter;
///
/// fn columns<A: Contents>(memory: A) {
///     let spread = CacheJitter::new(memory);
///     let layout = NonZeroLayout::from_size_align(64 << 10, 64).expect("valid");
///     let columns = [(); 4].map(|()| spread.allocate(layout).expect("there is room"));
///     let starts = columns.map(|column| column.cast::<u8>().addr().get() % 4096);
///     assert!(starts[0] != starts[1] && starts[1] != starts[2] && starts[2] != starts[3]);
///     for column in columns {
///         // SAFETY: the block is live; it is not used afterwards.
///         unsafe { spread.deallocate(column.cast(), layout) };
///     }
/// }
/// # columns(drystone_backing::System);
/// ```
///
/// The inner allocator keeps [`Contents`], because the pointer to a displaced block need not reach
/// the bytes in front of it.
pub struct CacheJitter<A, S: Switch = On> {
    inner: A,
    positions: S::Keep<Positions>,
}

/// The positions, and whose turn it is.
#[derive(Debug)]
struct Positions {
    min_bytes: usize,
    count: NonZeroU16,
    next: AtomicUsize,
}

/// A block that is displaced: what its inner block is.
#[derive(Clone, Copy)]
struct Displaced {
    inner: NonZeroLayout,
    span: usize,
}

impl Positions {
    const_unless_loom! {
        const fn new(min_bytes: usize, count: NonZeroU16) -> Self {
            Self {
                min_bytes,
                count,
                next: AtomicUsize::new(0),
            }
        }
    }

    const fn span(&self) -> usize {
        (self.count.get() as usize * CACHE_LINE).next_power_of_two()
    }

    /// The inner block of a block of `layout`; `None` if such a block is not displaced (I1), and an
    /// error if it would be larger than a block can be.
    #[inline]
    fn displaced(&self, layout: NonZeroLayout) -> Option<Result<Displaced, AllocError>> {
        let span = self.span();
        if layout.size().get() < self.min_bytes || layout.align().get() >= span {
            return None;
        }
        let furthest = self.count.get() as usize * CACHE_LINE - CACHE_LINE;
        let bytes = layout.size().get().checked_add(furthest);
        let inner = bytes.and_then(|bytes| NonZeroLayout::from_size_align(bytes, span).ok());
        Some(
            inner
                .map(|inner| Displaced { inner, span })
                .ok_or(AllocError),
        )
    }

    /// How far from its inner block the next block starts: a multiple of the line and of `align`,
    /// below the span.
    #[inline]
    fn turn(&self, align: usize) -> usize {
        let step = align.max(CACHE_LINE);
        let reachable = (self.count.get() as usize * CACHE_LINE).div_ceil(step);
        self.next.fetch_add(1, Relaxed) % reachable * step
    }
}

impl<A: Contents> CacheJitter<A> {
    const_unless_loom! {
        /// `inner`, with blocks of at least 4 KiB spread over the lines of 4 KiB.
        #[must_use]
        pub const fn new(inner: A) -> Self {
            Self::with_positions(inner, MIN_BYTES, POSITIONS)
        }
    }

    const_unless_loom! {
        /// `inner`, with blocks of at least `min_bytes` spread over `positions` lines. With one
        /// position every block starts at it.
        #[must_use]
        pub const fn with_positions(inner: A, min_bytes: usize, positions: NonZeroU16) -> Self {
            Self {
                inner,
                positions: Kept(Positions::new(min_bytes, positions)),
            }
        }
    }
}

impl<A, S: Switch> CacheJitter<A, S> {
    /// `inner`, spread as by [`new`](CacheJitter::new) or not at all, as `switch` says.
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        Self {
            inner,
            positions: S::Keep::keep(Positions::new(MIN_BYTES, POSITIONS)),
        }
    }

    /// The inner allocator. Blocks taken from it are not displaced.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator.
    ///
    /// # Safety
    ///
    /// No block is live: the inner allocator knows displaced ones by another address.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        self.inner
    }

    #[inline]
    fn displaced(&self, layout: NonZeroLayout) -> Option<Result<Displaced, AllocError>> {
        self.positions.get()?.displaced(layout)
    }

    /// A block as long as asked, which I1 needs, unless switched off.
    #[inline]
    fn undisplaced(
        &self,
        outcome: Result<NonNull<[u8]>, AllocError>,
        layout: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        match self.positions.get() {
            Some(_) => exactly(outcome, layout),
            None => outcome,
        }
    }
}

/// Where the inner block of the displaced block at `ptr` starts (I2). Address only: the pointer
/// reaches what `ptr` reaches.
#[inline]
fn start_of(ptr: NonNull<u8>, span: usize) -> NonNull<u8> {
    // The inner block is not at address 0, so neither is the multiple of the span where it starts.
    ptr.map_addr(|addr| NonZeroUsize::new(align_down(addr.get(), span)).unwrap_or(addr))
}

impl<A: Contents, S: Switch> CacheJitter<A, S> {
    /// A block of what `request` takes from the inner allocator.
    #[inline]
    fn allocate_with(
        &self,
        layout: NonZeroLayout,
        request: impl FnOnce(&A, NonZeroLayout) -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(positions) = self.positions.get() else {
            return request(&self.inner, layout);
        };
        let Some(displaced) = positions.displaced(layout) else {
            return exactly(request(&self.inner, layout), layout);
        };
        let start = request(&self.inner, displaced?.inner)?.cast::<u8>();
        // SAFETY: a turn is at most the room for it that the inner layout has behind the block's size.
        let block = unsafe { start.add(positions.turn(layout.align().get())) };
        Ok(NonNull::slice_from_raw_parts(block, layout.size().get()))
    }

    /// The inner allocator's own pointer to the inner block of the displaced block at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block, displaced as said.
    #[inline]
    unsafe fn own_start(&self, ptr: NonNull<u8>, displaced: Displaced) -> NonNull<u8> {
        let start = start_of(ptr, displaced.span);
        // SAFETY: by I2 a live block of the inner allocator starts there, which was handed out for
        // this layout.
        unsafe { self.inner.own_pointer(start, displaced.inner) }
    }

    /// Resizes a displaced block where it lies, by what `resize` asks of the inner allocator.
    /// `None` where the block or its new size is not displaced, or not where it is.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block that `old` fits. `resize` is given the inner block's own pointer and both
    /// inner layouts.
    unsafe fn resized_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
        resize: impl FnOnce(NonNull<u8>, NonZeroLayout, NonZeroLayout) -> bool,
    ) -> Option<NonNull<[u8]>> {
        let (before, after) = (self.displaced(old)?.ok()?, self.displaced(new)?.ok()?);
        if !is_aligned(ptr.addr().get(), new.align().get()) {
            return None;
        }
        // SAFETY: the block is live and displaced.
        let start = unsafe { self.own_start(ptr, before) };
        if !resize(start, before.inner, after.inner) {
            return None;
        }
        // SAFETY: the inner block starts where it did, and is live with its new layout.
        let start = unsafe { self.inner.own_pointer(start, after.inner) };
        let block = start.with_addr(ptr.addr());
        Some(NonNull::slice_from_raw_parts(block, new.size().get()))
    }
}

// SAFETY: a block goes back to the inner allocator by the address and the layout it was handed out
// with (I1, I2).
unsafe impl<A: Contents, S: Switch> Deallocator for CacheJitter<A, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        match self.displaced(layout) {
            // SAFETY: the block is the inner allocator's; same requirements.
            None => unsafe { self.inner.deallocate(ptr, layout) },
            Some(Ok(displaced)) => {
                // SAFETY: the block is live and displaced.
                let start = unsafe { self.own_start(ptr, displaced) };
                // SAFETY: by I2 the inner block, which the caller gives up.
                unsafe { self.inner.deallocate(start, displaced.inner) };
            }
            // No block of this size was ever handed out: the caller broke its promise.
            Some(Err(AllocError)) => {}
        }
    }
}

// SAFETY: a block is one of the inner allocator's, or lies in one: a turn keeps the alignment, and
// leaves room for the size. A resize that moves copies what is kept before it frees the old block.
unsafe impl<A: Contents, S: Switch> Allocator for CacheJitter<A, S> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_with(layout, A::allocate)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_with(layout, A::allocate_zeroed)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.displaced(old).is_none() && self.displaced(new).is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return self.undisplaced(unsafe { self.inner.grow(ptr, old, new) }, new);
        }
        // SAFETY: the block is live and `old` fits it.
        if let Ok(block) = unsafe { self.grow_in_place(ptr, old, new) } {
            return Ok(block);
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::moved(self, ptr, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.displaced(old).is_none() && self.displaced(new).is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return self.undisplaced(unsafe { self.inner.grow_zeroed(ptr, old, new) }, new);
        }
        // SAFETY: the block is live and `old` fits it.
        if let Ok(block) = unsafe { self.grow_in_place(ptr, old, new) } {
            // SAFETY: the block is writable for its whole length, which is at least that of `old`.
            unsafe { resize::zero_from(block, old.size().get()) };
            return Ok(block);
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::moved_zeroed(self, ptr, old, new) }
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.displaced(old).is_none() && self.displaced(new).is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return self.undisplaced(unsafe { self.inner.shrink(ptr, old, new) }, new);
        }
        let in_place = |start, before, after| {
            // SAFETY: the inner block is live and its own pointer reaches all of it.
            (unsafe { self.inner.shrinks_in_place(start, before, after) })
                // SAFETY: as above.
                && unsafe { self.inner.shrink(start, before, after) }.is_ok()
        };
        // SAFETY: the block is live and `old` fits it.
        if let Some(block) = unsafe { self.resized_in_place(ptr, old, new, in_place) } {
            return Ok(block);
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::moved(self, ptr, old, new) }
    }

    /// The requested size, or for a block that is not displaced what the inner allocator says.
    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        if self.displaced(layout).is_some() {
            return Some(layout.size().get());
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    /// The inner allocator's: displacements are part of it.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.inner.capacity_bytes()
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.inner.corruption_events()
    }
}

// SAFETY: every block lies in a block of the inner allocator, which answers for all of its bytes.
unsafe impl<A: Owns, S: Switch> Owns for CacheJitter<A, S> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.inner.owns(ptr)
    }
}

forward_promises!([A, S: Switch] CacheJitter<A, S>, inner: Reset, StableAddress);

// SAFETY: by I2 the own pointer of the inner block reaches the block in it; what is resized in place
// is so by the inner allocator, and stays where it was in it.
unsafe impl<A: Contents, S: Switch> Contents for CacheJitter<A, S> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        match self.displaced(layout) {
            Some(Ok(displaced)) => {
                // SAFETY: the block is live and displaced.
                let start = unsafe { self.own_start(block, displaced) };
                start.with_addr(block.addr())
            }
            // SAFETY: the block is the inner allocator's; same requirements.
            _ => unsafe { self.inner.own_pointer(block, layout) },
        }
    }

    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.displaced(old).is_none() && self.displaced(new).is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return self.undisplaced(unsafe { self.inner.grow_in_place(ptr, old, new) }, new);
        }
        let in_place = |start, before, after| {
            // SAFETY: the inner block is live and its own pointer reaches all of it.
            unsafe { self.inner.grow_in_place(start, before, after) }.is_ok()
        };
        // SAFETY: the block is live and `old` fits it.
        unsafe { self.resized_in_place(ptr, old, new, in_place) }.ok_or(AllocError)
    }

    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        match (self.displaced(old), self.displaced(new)) {
            // SAFETY: the block is the inner allocator's; same requirements.
            (None, None) => unsafe { self.inner.shrinks_in_place(ptr, old, new) },
            (Some(Ok(before)), Some(Ok(after))) => {
                // SAFETY: the block is live and displaced.
                let start = unsafe { self.own_start(ptr, before) };
                is_aligned(ptr.addr().get(), new.align().get())
                    // SAFETY: the inner block is live and its own pointer reaches all of it.
                    && unsafe { self.inner.shrinks_in_place(start, before.inner, after.inner) }
            }
            _ => false,
        }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the inner allocator is reset or dropped with the wrapper.
        unsafe { self.inner.ending(visit) }
    }
}

impl<A: fmt::Debug, S: Switch> fmt::Debug for CacheJitter<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CacheJitter");
        if let Some(positions) = self.positions.get() {
            debug
                .field("min_bytes", &positions.min_bytes)
                .field("positions", &positions.count);
        }
        debug.field("inner", &self.inner).finish()
    }
}
