//! [`Arena`]: an arena of one's own, with caches of the caller's.
//!
//! # What
//!
//! The general-purpose allocator as a value: its memory is its own, has a limit if one is wanted, and
//! goes when it goes. Threads bring a [`ThreadCache`] each; there are no thread-locals.
//!
//! # Memory picture
//!
//! ```text
//!  Arena ──┐
//!          ├─ Arc ─> core: idle segments, orphaned heaps, kept huge blocks, limit
//!  ThreadCache ──┘     └ segments: header | slices, each of one heap
//!      └──────────────────> heap, in the header of one of its segments
//! ```
//!
//! # Invariants
//!
//! - A1: every heap that a cache has is of the arena that the cache is bound to, and of no other cache.
//! - A2: the core lives as long as the arena and every bound cache.
//!
//! Those of the parts are in their modules, and together in `docs/design/arena.md`.
//!
//! # Threads
//!
//! An arena is `Send` and `Sync`; a cache is used by one thread at a time, which `&mut` sees to. A
//! block may be freed through any cache of its arena.
//!
//! # Cost
//!
//! A request looks whether the cache is bound to this arena, then takes the first block of a bin; a
//! free finds the segment by the address and, under `Checked`, the block's bit. No lock and no
//! atomic operation on either path.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use alloc::sync::Arc;

use drystone_core::{
    AllocError, Allocator, Checked, Deallocator, NonZeroLayout, OsError, SegmentSource,
};

use crate::cache::{BindError, ThreadCache};
use crate::check::find;
use crate::config::ArenaConfig;
use crate::core_state::Core;
use crate::error::{ArenaError, FreeError};
use crate::geometry::{block_bytes, class_of, usable_bytes};
use crate::heap::{Heap, NO_HEAP};
use crate::misuse;
use crate::ops::{self, Face, Fresh};
use crate::profile::Profile;
use crate::source::Source;
use crate::stats::ArenaStats;

/// A general-purpose allocator whose threads bring their own caches.
///
/// Any thread may allocate and free with a [`ThreadCache`] of its own, each block on any thread.
/// The profile `P` says which misuse is found: [`Checked`] finds foreign, misaligned and free
/// blocks and wrong sizes with certainty, [`Fast`](drystone_core::Fast) finds foreign and
/// misaligned pointers and wrong sizes. [`Hardened`](drystone_core::Hardened) finds what `Checked` does,
/// fills free blocks, hands them out in an order of its own, and ends the process when a block goes out
/// again that was written to while it was free.
///
/// The memory lives until the arena and every cache that is bound to it are gone.
pub struct Arena<P = Checked> {
    core: Arc<Core>,
    align: usize,
    profile: PhantomData<fn() -> P>,
}

impl Arena {
    /// An arena over memory of the operating system, which it takes as it needs it.
    ///
    /// # Errors
    ///
    /// [`ArenaError::InvalidConfig`].
    pub fn new(config: ArenaConfig) -> Result<Self, ArenaError> {
        Self::with_profile(config)
    }

    /// An arena over segments of 4 MiB from a source of the caller's. A block above 2 MiB takes a
    /// segment of its own, larger than itself by its alignment and by at least 64 KiB. What the arena
    /// keeps of each segment is a box of the global heap, so such an arena cannot serve that heap.
    ///
    /// # Errors
    ///
    /// [`ArenaError::InvalidConfig`].
    pub fn with_source<S>(config: ArenaConfig, source: S) -> Result<Self, ArenaError>
    where
        S: SegmentSource + Send + Sync + 'static,
        S::Segment: Send + 'static,
    {
        Self::over(config, Source::of_user(source))
    }
}

impl<P: Profile> Arena<P> {
    /// As [`new`](Arena::new), of the profile `P`.
    ///
    /// # Errors
    ///
    /// [`ArenaError::InvalidConfig`].
    pub fn with_profile(config: ArenaConfig) -> Result<Self, ArenaError> {
        Self::over(config, Source::Os)
    }

    fn over(config: ArenaConfig, source: Source) -> Result<Self, ArenaError> {
        config.validate()?;
        Ok(Self {
            core: Arc::new(Core::new(source, P::LEVEL, config)),
            align: config.alignment,
            profile: PhantomData,
        })
    }

    /// The layout that is really served: at the alignment of the arena, if that is more.
    #[inline]
    fn raised(&self, layout: NonZeroLayout) -> Option<NonZeroLayout> {
        if self.align <= layout.align().get() {
            return Some(layout);
        }
        NonZeroLayout::from_size_align(layout.size().get(), self.align).ok()
    }

    /// The class that serves the [raised](Self::raised) layout, if one does.
    #[inline(always)]
    fn class_of(&self, layout: NonZeroLayout) -> Option<usize> {
        let align = layout.align().get().max(self.align);
        class_of(layout.size().get(), align)
    }

    fn out_of_memory(&self, layout: NonZeroLayout) -> ArenaError {
        ArenaError::OutOfMemory {
            requested: layout.size().get(),
            remaining: self.core.remaining(),
        }
    }

    /// A block of at least `layout.size()` bytes. All of the slice is the caller's.
    ///
    /// # Errors
    ///
    /// - [`ArenaError::OutOfMemory`];
    /// - [`ArenaError::WrongArena`] if the cache is bound to another arena and is not empty.
    #[inline]
    pub fn allocate_with_cache(
        &self,
        cache: &mut ThreadCache,
        layout: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, ArenaError> {
        match self.allocate_at_once(cache, layout) {
            Some(block) => Ok(block),
            None => self.allocate_slowly(cache, layout),
        }
    }

    /// A block from the bin of the cache that is bound to this arena, if there is one.
    #[inline(always)]
    fn allocate_at_once(
        &self,
        cache: &ThreadCache,
        layout: NonZeroLayout,
    ) -> Option<NonNull<[u8]>> {
        if P::HARDENED {
            return None;
        }
        let heap = cache.heap_at_once(&self.core)?;
        let class = self.class_of(layout)?;
        // SAFETY: the cache has the heap, and the arena is of this profile.
        let block = unsafe { ops::pop::<P>(heap, class) }?;
        Some(NonNull::slice_from_raw_parts(block, block_bytes(class)))
    }

    #[cold]
    #[inline(never)]
    fn allocate_slowly(
        &self,
        cache: &mut ThreadCache,
        layout: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, ArenaError> {
        let refused = || self.out_of_memory(layout);
        let raised = self.raised(layout).ok_or_else(refused)?;
        let heap = cache.heap_of(&self.core).map_err(|error| match error {
            BindError::WrongArena => ArenaError::WrongArena,
            BindError::OutOfMemory => refused(),
        })?;
        // SAFETY: the cache has the heap, and the arena is of this profile.
        let fresh = unsafe { ops::allocate::<P>(&self.core, heap, raised) }.ok_or_else(refused)?;
        Ok(NonNull::slice_from_raw_parts(
            fresh.block,
            usable_bytes(raised),
        ))
    }

    /// Takes back a block, of whatever cache it came from.
    ///
    /// # Errors
    ///
    /// [`FreeError`], as far as the profile finds out; nothing has changed then.
    ///
    /// # Safety
    ///
    /// Nobody uses the block any more. What the profile does not find out is the caller's duty: the
    /// block is live, and `layout` fits it.
    #[inline]
    pub unsafe fn deallocate_with_cache(
        &self,
        cache: &mut ThreadCache,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> Result<(), FreeError> {
        // SAFETY: the caller's promise.
        if unsafe { self.free_at_once(cache, ptr, layout) } {
            return Ok(());
        }
        // SAFETY: as above; nothing has changed.
        unsafe { self.deallocate_slowly(cache, ptr, layout) }
    }

    /// Takes back a block of the cache's own, of a class whose bin has room. Whether it was one.
    ///
    /// # Safety
    ///
    /// As [`deallocate_with_cache`](Self::deallocate_with_cache).
    #[inline(always)]
    unsafe fn free_at_once(
        &self,
        cache: &ThreadCache,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> bool {
        let (Some(heap), Some(class)) = (cache.heap_at_once(&self.core), self.class_of(layout))
        else {
            return false;
        };
        // SAFETY: the cache has the heap, and the arena is of this profile; the rest is the caller's
        // promise.
        unsafe { ops::free_class::<P>(heap, ptr.addr().get(), class) }
    }

    /// # Safety
    ///
    /// As [`deallocate_with_cache`](Self::deallocate_with_cache).
    #[cold]
    #[inline(never)]
    unsafe fn deallocate_slowly(
        &self,
        cache: &mut ThreadCache,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> Result<(), FreeError> {
        let Some(raised) = self.raised(layout) else {
            return Err(FreeError::SizeMismatch {
                provided: layout.size().get(),
                recorded: find(&self.core, ptr.addr().get(), P::CHECKED)?.kind.bytes(),
            });
        };
        let heap = match cache.heap_of(&self.core) {
            Ok(heap) => Some(heap),
            // Without a heap of its own the block is sent home at once.
            Err(BindError::OutOfMemory) => None,
            Err(BindError::WrongArena) => return Err(FreeError::WrongArena),
        };
        // SAFETY: the cache has the heap, and the arena is of this profile; the rest is the
        // caller's promise.
        unsafe { ops::free::<P>(&self.core, heap, ptr.addr().get(), Some(raised)) }
    }

    /// Gives everything back that the cache keeps: blocks of other caches to those, blocks of its
    /// own to their pages, and pages of which nothing is in use to the arena.
    ///
    /// # Errors
    ///
    /// [`ArenaError::WrongArena`] if the cache is bound to another arena and is not empty.
    pub fn drain_thread_cache(&self, cache: &mut ThreadCache) -> Result<(), ArenaError> {
        cache.drain(&self.core)
    }

    /// The arena and a cache as one [`Allocator`], which wrappers stack on.
    ///
    /// A cache that cannot be bound, because it is another arena's and not empty or because there is
    /// no memory, gives no blocks; freeing works all the same.
    pub fn bind<'a>(&'a self, cache: &'a mut ThreadCache) -> CachedArena<'a, P> {
        CachedArena {
            arena: self,
            heap: cache.heap_of(&self.core).ok(),
        }
    }

    /// Gives back all memory that nothing uses and that no living cache has, and says how many bytes
    /// were unmapped; more may have been given back without that. A cache gives its own part up
    /// when it is [drained](Self::drain_thread_cache).
    pub fn trim(&self) -> usize {
        self.core.trim()
    }

    /// Asks the system to back the arena with huge pages: what it has already, and all that it
    /// will take. Off by default: a huge page that is used in part is resident as a whole.
    ///
    /// # Errors
    ///
    /// [`OsError`]: the system refused for memory that the arena has. Later refusals are counted in
    /// [`ArenaStats::huge_pages_refused`]. Nothing else changes: memory without huge pages serves.
    pub fn advise_huge_pages(&self) -> Result<(), OsError> {
        self.core.advise_huge_pages()
    }

    /// What the arena holds. Looks at every segment, 64 words of each, while other threads that
    /// need a new segment wait.
    #[must_use]
    pub fn stats(&self) -> ArenaStats {
        ArenaStats::of(&self.core)
    }

    /// The bytes of the live block at this address.
    ///
    /// # Errors
    ///
    /// [`FreeError`]: why freeing the block here would be wrong, as far as the profile finds out.
    ///
    /// # Safety
    ///
    /// No other thread gives back memory at that address meanwhile: by freeing the block, or by a
    /// trim if it is free already.
    pub unsafe fn block_bytes(&self, ptr: NonNull<u8>) -> Result<usize, FreeError> {
        find(&self.core, ptr.addr().get(), P::CHECKED).map(|place| place.kind.bytes())
    }
}

impl<P> fmt::Debug for Arena<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arena")
            .field("limit_bytes", &self.core.limit())
            .field("mapped_bytes", &self.core.mapped_bytes())
            .finish_non_exhaustive()
    }
}

/// An [`Arena`] and a [`ThreadCache`] as one allocator.
///
/// What the profile finds wrong about a block that is freed ends the process with one line.
pub struct CachedArena<'a, P = Checked> {
    arena: &'a Arena<P>,
    heap: Option<&'a Heap>,
}

impl<P: Profile> CachedArena<'_, P> {
    /// What the arena's heaps share.
    pub(crate) fn shared(&self) -> &Core {
        &self.arena.core
    }

    #[inline]
    fn serve(&self, layout: NonZeroLayout) -> Option<Fresh> {
        // SAFETY: the bound cache has the heap.
        unsafe { ops::allocate::<P>(&self.arena.core, self.heap?, layout) }
    }

    /// # Safety
    ///
    /// As [`Allocator::grow`] or [`Allocator::shrink`].
    unsafe fn resize(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let old = self.arena.raised(old).ok_or(AllocError)?;
        let new = self.arena.raised(new).ok_or(AllocError)?;
        // SAFETY: the bound cache has the heap; the rest is the caller's promise.
        match unsafe { ops::resize(self, ptr, old, new) } {
            Ok(block) => Ok(NonNull::slice_from_raw_parts(
                block.ok_or(AllocError)?,
                usable_bytes(new),
            )),
            Err(error) => misuse::abort(error, ptr.addr().get()),
        }
    }
}

impl<P: Profile> Face<P> for CachedArena<'_, P> {
    fn core(&self) -> &Core {
        &self.arena.core
    }

    fn heap(&self) -> &Heap {
        self.heap.unwrap_or(NO_HEAP.get())
    }

    fn allocate(&self, layout: NonZeroLayout) -> Option<Fresh> {
        self.serve(layout)
    }

    unsafe fn free(&self, block: NonNull<u8>, layout: NonZeroLayout) {
        let address = block.addr().get();
        // SAFETY: the bound cache has the heap; the rest is the caller's promise.
        let answer = unsafe { ops::free_layout::<P>(&self.arena.core, self.heap, address, layout) };
        if let Err(error) = answer {
            misuse::abort(error, address);
        }
    }
}

// SAFETY: `free` uses the pointer for its address, never unwinds, and the block's next use comes
// after.
unsafe impl<P: Profile> Deallocator for CachedArena<'_, P> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let Some(layout) = self.arena.raised(layout) else {
            misuse::abort(FreeError::ForeignPointer, ptr.addr().get());
        };
        // SAFETY: the caller's promise.
        unsafe { Face::<P>::free(self, ptr, layout) };
    }
}

// SAFETY: blocks are the arena's, of the size and alignment asked for, live until they are freed:
// the cache that is borrowed keeps the arena's memory.
unsafe impl<P: Profile> Allocator for CachedArena<'_, P> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let raised = self.arena.raised(layout).ok_or(AllocError)?;
        let block = self.serve(raised).ok_or(AllocError)?.block;
        Ok(NonNull::slice_from_raw_parts(block, usable_bytes(raised)))
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let raised = self.arena.raised(layout).ok_or(AllocError)?;
        let fresh = self.serve(raised).ok_or(AllocError)?;
        Ok(fresh.into_zeroed(usable_bytes(raised)))
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { self.resize(ptr, old, new) }
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        unsafe { self.resize(ptr, old, new) }
    }

    unsafe fn usable_size(&self, _: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        self.arena.raised(layout).map(usable_bytes)
    }

    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.arena.core.limit()).filter(|limit| *limit != usize::MAX)
    }
}

impl<P> fmt::Debug for CachedArena<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CachedArena").field(self.arena).finish()
    }
}
