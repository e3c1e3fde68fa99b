//! [`GuardPages`]: an access beside a block faults.
//!
//! # What
//!
//! Puts each block on pages of its own, between pages that nobody may touch. The byte behind a block
//! is the first of a guard if the block's size is a multiple of its alignment, or the byte in front
//! is the last of one: one side is exact, as the [`Placement`] says, the other follows at the end of
//! the page. Pages are given back to the inner allocator accessible again.
//!
//! # Memory picture
//!
//! ```text
//!  inner block
//!  +-----------+---------------------+-----------+
//!  |  no access|        |   block    |no access  |    AtEnd: exact behind the block
//!  +-----------+---------------------+-----------+
//!  |  no access|   block    |        |no access  |    AtStart: exact in front of it
//!  +-----------+---------------------+-----------+
//!   guard pages      whole pages      guard pages
//! ```
//!
//! Where each part lies follows from the layout alone, so nothing is recorded.
//!
//! # Invariants
//!
//! - I1: a page of the inner allocator's range is inaccessible only while it is a guard of a live
//!   block, or stranded: the system refused to make it accessible again.
//! - I2: no stranded page is in a block that the inner allocator may hand out.
//! - I3: when the wrapper goes, by drop or by `into_inner`, every page has been made accessible, or the
//!   system has refused that.
//!
//! # Threads
//!
//! Sync if the inner allocator is. The system is asked without a lock held here.
//!
//! # Cost
//!
//! Two system calls for each allocation, one for each free. At least three pages of address space for
//! each block, one of them with memory. The system limits how many ranges of different access a
//! process may have (65 530 by default on Linux): about half as many blocks fit. The drop asks once more.
//! At [`Off`](crate::Off) nothing of this is there: no field, no instruction.

use core::fmt;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, FixedRange, NonZeroLayout, OsBacked, OsError,
    OverPages, Owns, Protection, Reset, StableAddress, abort_on_unwind,
};
use drystone_sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::switch::{Keep, Kept};
use crate::{On, Switch, resize};
use geometry::Geometry;

mod geometry;

/// At which end of its pages a block lies: the side on which the first byte beside it faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Placement {
    /// The block ends at the guard behind it, less what its alignment takes if its size is no multiple
    /// of it. Overflows fault; underflows do once they leave the page.
    #[default]
    AtEnd,
    /// The block starts at the guard in front of it. Underflows fault; overflows do once they leave
    /// the page.
    AtStart,
}

/// `A`, each block between pages that fault.
///
/// `A` is a layout over pages of the operating system, and owns them: a handle to an allocator that
/// others use too could leave them guards to run into.
///
/// ```
/// use drystone_core::{Allocator, Deallocator, NonZeroLayout, OverPages};
/// use drystone_wrap::GuardPages;
///
/// fn hunt_an_overflow<A: OverPages>(suspect: A, layout: NonZeroLayout) {
///     let guarded = GuardPages::new(suspect);
///     let Ok(block) = guarded.allocate(layout) else {
///         return assert!(guarded.refusals() > 0); // No page may be protected here.
///     };
///     // SAFETY: the block is live; it is not used afterwards.
///     unsafe { guarded.deallocate(block.cast(), layout) };
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use drystone_core::OverPages;
/// # use drystone_wrap::GuardPages;
/// fn guards_in_shared_memory<A: OverPages>(arena: &A) {
///     GuardPages::new(arena);
/// }
/// ```
///
/// Blocks that are still out when the wrapper goes take their guards with them: the drop makes all pages
/// accessible, before the inner allocator is dropped.
pub struct GuardPages<A: OverPages, S: Switch = On> {
    inner: A,
    guards: S::Keep<Guards>,
}

/// How blocks are guarded, and what the system made of it.
#[derive(Debug)]
struct Guards {
    pages: usize,
    placement: Placement,
    refusals: AtomicUsize,
    stranded_blocks: AtomicUsize,
}

impl Guards {
    const_unless_loom! {
        const fn new(pages: usize, placement: Placement) -> Self {
            Self {
                pages,
                placement,
                refusals: AtomicUsize::new(0),
                stranded_blocks: AtomicUsize::new(0),
            }
        }
    }

    /// Counts a refusal of the system.
    fn noted(&self, answer: Result<(), OsError>) -> Result<(), AllocError> {
        answer.map_err(|_| {
            self.refusals.fetch_add(1, Relaxed);
            AllocError
        })
    }
}

impl<A: OverPages> GuardPages<A> {
    const_unless_loom! {
        /// `inner`, with one guard page on each side of each block, and blocks at the end of their
        /// pages.
        #[must_use]
        pub const fn new(inner: A) -> Self {
            Self::with_guards(inner, 1, Placement::AtEnd)
        }
    }

    const_unless_loom! {
        /// `inner`, with `guard_pages` pages on each side of each block, and blocks at this end of
        /// their pages. With 0 there is no guard.
        #[must_use]
        pub const fn with_guards(inner: A, guard_pages: usize, placement: Placement) -> Self {
            Self {
                inner,
                guards: Kept(Guards::new(guard_pages, placement)),
            }
        }
    }

    /// How many times the system refused to protect pages or to make them accessible again. A request
    /// whose guards were refused fails.
    #[must_use]
    pub fn refusals(&self) -> usize {
        self.guards.0.refusals.load(Relaxed)
    }

    /// Blocks whose guards the system refused to make accessible again. Their memory is kept from
    /// the inner allocator.
    #[must_use]
    pub fn stranded_blocks(&self) -> usize {
        self.guards.0.stranded_blocks.load(Relaxed)
    }
}

impl<A: OverPages, S: Switch> GuardPages<A, S> {
    /// `inner`, guarded as by [`new`](GuardPages::new) or not at all, as `switch` says.
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        Self {
            inner,
            guards: S::Keep::keep(Guards::new(1, Placement::AtEnd)),
        }
    }

    /// The inner allocator. Blocks taken from it have no guards.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator, its pages accessible.
    ///
    /// # Safety
    ///
    /// No block is live. If one is [stranded](GuardPages::stranded_blocks), the system has made its
    /// guards accessible now, which the caller finds out.
    pub unsafe fn into_inner(self) -> A {
        let mut this = ManuallyDrop::new(self);
        this.end();
        // SAFETY: the wrapper is not used or dropped afterwards; its other field has no drop.
        unsafe { ptr::read(&raw const this.inner) }
    }

    fn geometry(&self, guards: &Guards, layout: NonZeroLayout) -> Option<Geometry> {
        let page = self.inner.pages().page_size();
        let guard_bytes = guards.pages.checked_mul(page)?;
        Geometry::new(layout, guard_bytes, page, guards.placement)
    }

    /// Where `start` lies in the inner allocator's range.
    fn offset_of(&self, start: NonNull<u8>) -> usize {
        start.addr().get() - self.inner.pages().base().addr().get()
    }

    /// A pointer to `address` inside the range, derived from the range's own.
    fn at(&self, address: core::num::NonZeroUsize) -> NonNull<u8> {
        self.inner.pages().base().with_addr(address)
    }

    /// Takes access to the guards away, or leaves the inner block as it was.
    ///
    /// # Safety
    ///
    /// The inner block at `start` was just handed out for `geometry.inner`.
    unsafe fn protect(
        &self,
        guards: &Guards,
        start: NonNull<u8>,
        geometry: &Geometry,
    ) -> Result<(), AllocError> {
        let (pages, offset) = (self.inner.pages(), self.offset_of(start));
        let (front, back) = (geometry.front_bytes, geometry.back_offset);
        // SAFETY: the pages are the beginning of a block that nobody uses yet, and of which the
        // caller is given other pages only.
        guards.noted(unsafe { pages.protect(offset, front, Protection::None) })?;
        let back_bytes = geometry.back_bytes();
        // SAFETY: as above, for the end of the block.
        let behind = unsafe { pages.protect(offset + back, back_bytes, Protection::None) };
        guards.noted(behind)
    }

    /// Gives the inner block back, accessible, or keeps it if the system refuses.
    ///
    /// # Safety
    ///
    /// The inner block at `start` is live, was handed out for `geometry.inner`, and is not used any
    /// more.
    unsafe fn give_back(&self, guards: &Guards, start: NonNull<u8>, geometry: &Geometry) {
        let (offset, bytes) = (self.offset_of(start), geometry.inner.size().get());
        // SAFETY: allowing access forbids nothing.
        let accessible = unsafe {
            self.inner
                .pages()
                .protect(offset, bytes, Protection::ReadWrite)
        };
        if guards.noted(accessible).is_ok() {
            // SAFETY: by the caller's promise.
            unsafe { self.inner.deallocate(start, geometry.inner) };
        } else {
            guards.stranded_blocks.fetch_add(1, Relaxed);
        }
    }

    /// A guarded block, of what `request` takes from the inner allocator.
    fn allocate_with(
        &self,
        layout: NonZeroLayout,
        request: impl FnOnce(&A, NonZeroLayout) -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(guards) = self.guards.get() else {
            return request(&self.inner, layout);
        };
        let geometry = self.geometry(guards, layout).ok_or(AllocError)?;
        let start = request(&self.inner, geometry.inner)?.cast::<u8>();
        // SAFETY: the block was just handed out for this layout.
        if unsafe { self.protect(guards, start, &geometry) }.is_err() {
            // SAFETY: as above, and nobody was given it.
            unsafe { self.give_back(guards, start, &geometry) };
            return Err(AllocError);
        }
        // SAFETY: the offset lies in the block.
        let block = unsafe { start.add(geometry.block_offset) };
        Ok(NonNull::slice_from_raw_parts(block, layout.size().get()))
    }

    /// The block at `ptr` with its new size, if that takes the same pages and the same start.
    fn resized_in_place(
        &self,
        guards: &Guards,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Option<NonNull<[u8]>> {
        let same = self.geometry(guards, old)? == self.geometry(guards, new)?;
        let block = self.at(ptr.addr());
        same.then(|| NonNull::slice_from_raw_parts(block, new.size().get()))
    }

    /// Makes every page accessible again.
    fn unprotect_all(&mut self) -> Result<(), AllocError> {
        let Some(guards) = self.guards.get() else {
            return Ok(());
        };
        let pages = self.inner.pages();
        // SAFETY: allowing access forbids nothing.
        let answer = unsafe { pages.protect(0, pages.size(), Protection::ReadWrite) };
        guards.noted(answer)
    }

    /// I3. What the system refuses here stays inaccessible until the pages are unmapped; nobody but the
    /// owner of the pages can tell (`OverPages`), and a backing that wipes them asks again.
    fn end(&mut self) {
        let _ = self.unprotect_all();
    }
}

impl<A: OverPages, S: Switch> Drop for GuardPages<A, S> {
    /// Makes every page accessible.
    fn drop(&mut self) {
        self.end();
    }
}

// SAFETY: the block is found from its address and layout, which has one size that fits, because it is
// handed out exactly as long as asked; the inner allocator keeps the contract.
unsafe impl<A: OverPages, S: Switch> Deallocator for GuardPages<A, S> {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let Some(guards) = self.guards.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.deallocate(ptr, layout) };
        };
        // A live block has a geometry; without one the caller broke its promise.
        let Some(geometry) = self.geometry(guards, layout) else {
            return;
        };
        let Some(start) = ptr.addr().get().checked_sub(geometry.block_offset) else {
            return;
        };
        let Some(start) = core::num::NonZeroUsize::new(start) else {
            return;
        };
        // SAFETY: the inner block starts there; it was handed out for this geometry, and the caller
        // gives it up.
        unsafe { self.give_back(guards, self.at(start), &geometry) };
    }
}

// SAFETY: a block lies inside a block of the inner allocator, aligned by the geometry, and outside
// the guards (I1). A resize that moves copies what is kept before it frees the old block.
unsafe impl<A: OverPages, S: Switch> Allocator for GuardPages<A, S> {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_with(layout, A::allocate)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_with(layout, A::allocate_zeroed)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(guards) = self.guards.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow(ptr, old, new) };
        };
        if let Some(block) = self.resized_in_place(guards, ptr, old, new) {
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
        let Some(guards) = self.guards.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow_zeroed(ptr, old, new) };
        };
        if let Some(block) = self.resized_in_place(guards, ptr, old, new) {
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
        let Some(guards) = self.guards.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.shrink(ptr, old, new) };
        };
        if let Some(block) = self.resized_in_place(guards, ptr, old, new) {
            return Ok(block);
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::moved(self, ptr, old, new) }
    }

    /// The requested size: behind it is the guard, or nobody's page end. Switched off, the inner
    /// allocator's answer.
    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        if self.guards.get().is_some() {
            return Some(layout.size().get());
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    /// The inner allocator's: guards are part of it.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.inner.capacity_bytes()
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.inner.corruption_events()
    }
}

// SAFETY: every block lies in the pages, which belong to this value alone.
unsafe impl<A: OverPages, S: Switch> Owns for GuardPages<A, S> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.inner.pages().contains(ptr)
    }
}

// SAFETY: every block lies in a block of the inner allocator, which keeps them in place.
unsafe impl<A: OverPages + StableAddress, S: Switch> StableAddress for GuardPages<A, S> {}

impl<A: OverPages + Reset, S: Switch> Reset for GuardPages<A, S> {
    /// Makes every page accessible, and resets the inner allocator. If the system refuses, that is
    /// counted and the memory stays out of use until another reset succeeds.
    fn reset(&mut self) {
        if self.unprotect_all().is_ok() {
            self.inner.reset();
            if let Some(guards) = self.guards.get() {
                guards.stranded_blocks.store(0, Relaxed);
            }
        }
    }
}

// SAFETY: pointers come from the range's base and reach all of it; a block whose geometry stays is
// resized where it lies. The guards are made accessible before the inner allocator's memory is
// passed on, and no block of this value is used then.
unsafe impl<A: OverPages + Contents, S: Switch> Contents for GuardPages<A, S> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        if self.guards.get().is_some() {
            return self.at(block.addr());
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.own_pointer(block, layout) }
    }

    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        match self.guards.get() {
            Some(guards) => self
                .resized_in_place(guards, ptr, old, new)
                .ok_or(AllocError),
            // SAFETY: the block is the inner allocator's; same requirements.
            None => unsafe { self.inner.grow_in_place(ptr, old, new) },
        }
    }

    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        match self.guards.get() {
            Some(guards) => self.resized_in_place(guards, ptr, old, new).is_some(),
            // SAFETY: the block is the inner allocator's; same requirements.
            None => unsafe { self.inner.shrinks_in_place(ptr, old, new) },
        }
    }

    /// Ends the process if the system refuses to make guards accessible: what is to be wiped could
    /// not be.
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        if self.unprotect_all().is_err() {
            abort_on_unwind(|| panic!("GuardPages: the system keeps pages inaccessible"));
        }
        // SAFETY: the inner allocator is reset or dropped with the wrapper.
        unsafe { self.inner.ending(visit) };
    }
}

// SAFETY: the blocks lie in the inner allocator's range, which this value owns; no call but those
// that give a block back touches its pages.
unsafe impl<A: OverPages, S: Switch> OverPages for GuardPages<A, S> {
    type Pages = A::Pages;

    #[inline]
    fn pages(&self) -> &A::Pages {
        self.inner.pages()
    }
}

impl<A: OverPages + fmt::Debug, S: Switch> fmt::Debug for GuardPages<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("GuardPages");
        if let Some(guards) = self.guards.get() {
            debug
                .field("guard_pages", &guards.pages)
                .field("placement", &guards.placement)
                .field("refusals", &guards.refusals.load(Relaxed))
                .field("stranded_blocks", &guards.stranded_blocks.load(Relaxed));
        }
        debug.field("inner", &self.inner).finish()
    }
}
