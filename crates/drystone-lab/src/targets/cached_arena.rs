//! The arena with caches of the caller's: here one for each thread, in a thread-local.

use core::alloc::Layout;
use core::cell::RefCell;
use core::ptr::{self, NonNull};

use drystone_arena::{Arena, ArenaConfig, CachedArena, ThreadCache};
use drystone_core::{Allocator, Deallocator, Fast, NonZeroLayout};

use crate::target::ReplayTarget;

thread_local! {
    /// The harness has no place for a cache, so each call looks it up here. A program that has its
    /// caches at hand pays less.
    static CACHE: RefCell<ThreadCache> = RefCell::new(ThreadCache::new(ArenaConfig::default()));
}

/// An arena whose threads bring their caches.
pub(super) struct Cached(Arena<Fast>);

impl Cached {
    pub(super) fn new() -> Result<Self, String> {
        let arena = Arena::with_profile(ArenaConfig::default());
        Ok(Self(arena.map_err(|error| error.to_string())?))
    }

    #[inline]
    fn with_cache<R>(&self, f: impl FnOnce(CachedArena<'_, Fast>) -> R) -> R {
        CACHE.with_borrow_mut(|cache| f(self.0.bind(cache)))
    }
}

/// The layout and the pointer of a call, which the harness promises to be right.
fn parts(block: *mut u8, layout: Layout) -> Option<(NonNull<u8>, NonZeroLayout)> {
    Some((NonNull::new(block)?, NonZeroLayout::try_from(layout).ok()?))
}

fn or_null<E>(block: Result<NonNull<[u8]>, E>) -> *mut u8 {
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

// SAFETY: a `CachedArena` is an `Allocator`, and any cache of an arena may free its blocks.
unsafe impl ReplayTarget for Cached {
    #[inline]
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        let Ok(layout) = NonZeroLayout::try_from(layout) else {
            return ptr::null_mut();
        };
        self.with_cache(|arena| or_null(arena.allocate(layout)))
    }

    #[inline]
    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8 {
        let Ok(layout) = NonZeroLayout::try_from(layout) else {
            return ptr::null_mut();
        };
        self.with_cache(|arena| or_null(arena.allocate_zeroed(layout)))
    }

    #[inline]
    unsafe fn deallocate(&self, block: *mut u8, layout: Layout) {
        if let Some((block, layout)) = parts(block, layout) {
            // SAFETY: the caller passes a live block of this arena with its layout.
            self.with_cache(|arena| unsafe { arena.deallocate(block, layout) });
        }
    }

    #[inline]
    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let new = NonZeroLayout::from_size_align(new_size, layout.align());
        let (Some((block, old)), Ok(new)) = (parts(block, layout), new) else {
            return ptr::null_mut();
        };
        self.with_cache(|arena| {
            or_null(if new.size() < old.size() {
                // SAFETY: as for `deallocate`; the new size is smaller.
                unsafe { arena.shrink(block, old, new) }
            } else {
                // SAFETY: as for `deallocate`; the new size is no smaller.
                unsafe { arena.grow(block, old, new) }
            })
        })
    }
}
