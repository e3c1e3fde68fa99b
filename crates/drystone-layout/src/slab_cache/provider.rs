//! [`SlabProvider`]: where a cache gets its slabs.

use core::alloc::Layout;
use core::ptr::NonNull;

use drystone_core::{Allocator, NonZeroLayout, StableAddress};

/// Hands out memory for slabs and takes it back.
///
/// A value, kept inside the cache that it serves: it may carry a context, and two caches may have
/// two. It is called with no lock of the cache held, so it may take locks of its own, sleep, or
/// use other caches.
///
/// ```
/// use core::alloc::Layout;
/// use core::ptr::NonNull;
/// use drystone_layout::{SlabCache, SlabProvider};
///
/// /// The program's heap.
/// struct Heap;
///
/// // SAFETY: the heap's blocks are exclusive, have the size asked for, and live until freed.
/// unsafe impl SlabProvider for Heap {
///     fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
///         // SAFETY: a slab's layout is not zero-sized.
///         NonNull::new(unsafe { std::alloc::alloc(layout) })
///     }
///
///     unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout) {
///         // SAFETY: the block came from `provide` with this layout.
///         unsafe { std::alloc::dealloc(ptr.as_ptr(), layout) };
///     }
/// }
///
/// # #[cfg(target_has_atomic = "32")] {
/// let cache = SlabCache::<u64, _>::new(Heap)?;
/// let number = cache.alloc(7).expect("memory for a slab");
/// drop(cache);
/// assert_eq!(*number, 7);
/// # }
/// # Ok::<(), drystone_layout::SlabError>(())
/// ```
///
/// # Safety
///
/// The implementor promises:
///
/// - **Memory.** What [`provide`](Self::provide) returns may be read and written for
///   `layout.size()` bytes through the pointer returned, by whoever it is passed to and by nobody
///   else, until it is passed to [`take_back`](Self::take_back) or the provider is dropped.
///   Moving the provider changes nothing about it.
/// - **Order.** A `take_back` happens before the return of every later `provide` that overlaps.
/// - Neither method unwinds.
///
/// The alignment is promised too, but a cache also checks it: an answer that does not keep it is
/// passed to `take_back` at once and the request fails.
///
/// Threads are in the types: a cache and its boxes go to other threads only if the provider is
/// `Send` and `Sync`, since two of them may call it at the same time and the last one drops it.
pub unsafe trait SlabProvider {
    /// Memory of this size and alignment; `None` if there is none.
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>>;

    /// Takes memory back.
    ///
    /// # Safety
    ///
    /// `ptr` came from a [`provide`](Self::provide) of this provider with the same `layout`, was
    /// not taken back since, and nobody uses the memory any more.
    unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout);
}

// SAFETY: the promises are those of the provider behind the reference.
unsafe impl<P: SlabProvider + ?Sized> SlabProvider for &P {
    #[inline]
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        (**self).provide(layout)
    }

    #[inline]
    unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout) {
        // SAFETY: passed on.
        unsafe { (**self).take_back(ptr, layout) };
    }
}

/// Slabs taken from any allocator: an arena, the system's heap, another layout.
///
/// ```
/// # #[cfg(target_has_atomic = "32")] {
/// use drystone_core::{HeapSegment, NonZeroLayout};
/// use drystone_layout::{BumpArena, ProviderFrom, SlabCache};
/// # use drystone_sync::NoLock;
///
/// let range = HeapSegment::new(NonZeroLayout::from_size_align(16 << 10, 4096).unwrap())?;
/// let arena = BumpArena::new(range);
/// let provider = ProviderFrom::new(&arena);
/// let cache = SlabCache::<[u64; 4], _, _, 4096>::with_lock(provider, NoLock)?;
/// let block = cache.alloc([1, 2, 3, 4]).expect("room");
/// assert_eq!(block.iter().sum::<u64>(), 10);
/// # }
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderFrom<A> {
    allocator: A,
}

impl<A: Allocator + StableAddress> ProviderFrom<A> {
    /// Slabs from `allocator`.
    #[inline]
    pub const fn new(allocator: A) -> Self {
        Self { allocator }
    }

    /// The allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.allocator
    }
}

// SAFETY: a block of the allocator is exclusive and at least as long as asked, until it is
// deallocated or the allocator dropped; it survives a move (`StableAddress`). `deallocate` is
// ordered before a later allocation that overlaps. No method of an allocator unwinds.
unsafe impl<A: Allocator + StableAddress> SlabProvider for ProviderFrom<A> {
    #[inline]
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        let layout = NonZeroLayout::from_layout(layout)?;
        Some(self.allocator.allocate(layout).ok()?.cast())
    }

    #[inline]
    unsafe fn take_back(&self, ptr: NonNull<u8>, layout: Layout) {
        if let Some(layout) = NonZeroLayout::from_layout(layout) {
            // SAFETY: the block came from `allocate` with this layout, and nobody uses it.
            unsafe { self.allocator.deallocate(ptr, layout) };
        }
    }
}
