//! [`Caches`]: the contestants of the rows of thread caches.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::Arc;

use drystone_arena::{Arena, ArenaConfig, Profile, ThreadCache};
use drystone_core::NonZeroLayout;

use crate::rivals::Heap;

/// An allocator that all threads share, each with a cache of its own.
pub(super) trait Caches: Clone + Send + 'static {
    type Cache: 'static;

    /// A cache for the calling thread.
    fn cache(&self) -> Self::Cache;

    fn take(&self, cache: &mut Self::Cache, size: usize) -> NonNull<u8>;

    /// Takes back a block of this size.
    fn give(&self, cache: &mut Self::Cache, block: NonNull<u8>, size: usize);
}

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("a valid size"),
    }
}

/// An arena and its thread caches.
pub(super) struct Ours<P>(Arc<Arena<P>>);

impl<P: Profile> Ours<P> {
    pub(super) fn new() -> Self {
        let arena = Arena::with_profile(ArenaConfig::default());
        Self(Arc::new(arena.expect("the default is valid")))
    }
}

impl<P> Clone for Ours<P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

fn nonzero(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("the sizes here are not 0")
}

impl<P: Profile> Caches for Ours<P> {
    type Cache = ThreadCache;

    fn cache(&self) -> ThreadCache {
        ThreadCache::new(ArenaConfig::default())
    }

    #[inline(always)]
    fn take(&self, cache: &mut ThreadCache, size: usize) -> NonNull<u8> {
        let block = self.0.allocate_with_cache(cache, nonzero(size));
        block.expect("there is memory").cast()
    }

    #[inline(always)]
    fn give(&self, cache: &mut ThreadCache, block: NonNull<u8>, size: usize) {
        // SAFETY: the block is live, and was handed out for this layout.
        let freed = unsafe { self.0.deallocate_with_cache(cache, block, nonzero(size)) };
        freed.expect("the block is live");
    }
}

/// A general allocator, which finds its caches itself.
#[derive(Clone, Copy)]
pub(super) struct Bare<A>(pub(super) A);

impl<A: Heap> Caches for Bare<A> {
    type Cache = ();

    fn cache(&self) {}

    #[inline(always)]
    fn take(&self, (): &mut (), size: usize) -> NonNull<u8> {
        // SAFETY: the sizes here are not 0.
        let block = unsafe { self.0.alloc(layout(size)) };
        NonNull::new(block).expect("there is memory")
    }

    #[inline(always)]
    fn give(&self, (): &mut (), block: NonNull<u8>, size: usize) {
        // SAFETY: the block is live, and was handed out for this layout.
        unsafe { self.0.dealloc(block.as_ptr(), layout(size)) };
    }
}

/// The reference.
#[cfg(feature = "reference")]
#[derive(Clone)]
pub(super) struct Reference(Arc<orthotope::Allocator>);

#[cfg(feature = "reference")]
impl Reference {
    pub(super) fn new() -> Self {
        let allocator = orthotope::Allocator::new(orthotope::AllocatorConfig::default());
        Self(Arc::new(allocator.expect("memory to map")))
    }
}

/// Gives everything to the arena when its thread ends, which the reference leaves to its user.
#[cfg(feature = "reference")]
pub(super) struct Drained {
    cache: orthotope::ThreadCache,
    allocator: Arc<orthotope::Allocator>,
}

#[cfg(feature = "reference")]
impl Drop for Drained {
    fn drop(&mut self) {
        self.allocator.drain_thread_cache(&mut self.cache);
    }
}

#[cfg(feature = "reference")]
impl Caches for Reference {
    type Cache = Drained;

    fn cache(&self) -> Drained {
        Drained {
            cache: orthotope::ThreadCache::new(orthotope::AllocatorConfig::default()),
            allocator: Arc::clone(&self.0),
        }
    }

    #[inline(always)]
    fn take(&self, cache: &mut Drained, size: usize) -> NonNull<u8> {
        let block = self.0.allocate_with_cache(&mut cache.cache, size);
        block.expect("there is memory")
    }

    #[inline(always)]
    fn give(&self, cache: &mut Drained, block: NonNull<u8>, size: usize) {
        // SAFETY: the block is live, and was handed out for this size.
        let freed = unsafe {
            self.0
                .deallocate_with_size_checked(&mut cache.cache, block, size)
        };
        freed.expect("the block is live");
    }
}
