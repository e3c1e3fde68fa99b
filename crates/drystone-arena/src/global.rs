//! [`GlobalArena`]: the process-wide arena as a global allocator, and as an [`Allocator`].
//!
//! # What
//!
//! One arena for the whole process and each profile, whose threads have their heaps in
//! thread-locals. It serves `std` and everything that allocates through it.
//!
//! # Memory picture
//!
//! ```text
//!  static CORE ─ idle segments, orphaned heaps, kept huge blocks
//!  thread-local ─> heap (or NO_HEAP, which is empty and owns nothing)
//! ```
//!
//! # Invariants
//!
//! - G1: a thread-local points at `NO_HEAP`, or at a heap that no other thread has.
//! - G2: a thread whose end has begun never gets a heap for longer than one call.
//!
//! # Threads
//!
//! Any thread may call at any time, in the destructors of its thread-locals too. Not from a signal
//! handler that may have interrupted a call of the same thread. A child of `fork` may call, whatever
//! other threads did at that moment; what their heaps held stays with the child, unused.
//!
//! # Cost
//!
//! With a layout that is known when compiling: loads of the thread-local, of the bin's count and
//! array, and of the block's address, and a store of the count. A free loads the segment's owner too.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use drystone_core::{AllocError, Allocator, Deallocator, Fast, NonZeroLayout, OsError};

use crate::check::find;
use crate::core_state::Core;
use crate::error::FreeError;
use crate::geometry::{class_of, segment_address, usable_bytes};
use crate::heap::Heap;
use crate::misuse;
use crate::ops::{self, Face, Fresh};
use crate::profile::Profile;
use crate::segment::Segment;
use crate::segment_map;
use crate::stats::ArenaStats;

/// The arena of the process, whose threads have their caches in thread-locals.
///
/// Every value of one profile is the same arena. A thread gets its part of the arena with its first
/// block, and gives it up when it ends. In the destructors of thread-locals and on threads of any
/// kind it works as everywhere else.
///
/// Misuse that the profile finds ends the process with one line on standard error.
///
/// ```
/// use drystone_arena::GlobalArena;
///
/// #[global_allocator]
/// static ARENA: GlobalArena = GlobalArena::new();
///
/// let numbers: Vec<u64> = (0..1000).collect();
/// assert_eq!(numbers.len(), 1000);
/// ```
pub struct GlobalArena<P = Fast> {
    profile: PhantomData<fn() -> P>,
}

impl<P> GlobalArena<P> {
    /// The arena of the process.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            profile: PhantomData,
        }
    }
}

impl<P> Clone for GlobalArena<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for GlobalArena<P> {}

impl<P> Default for GlobalArena<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> fmt::Debug for GlobalArena<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GlobalArena")
    }
}

impl<P: Profile> GlobalArena<P> {
    /// A block of the class, if the calling thread has one in its bin.
    #[inline(always)]
    pub(crate) fn pop(class: usize) -> Option<NonNull<u8>> {
        P::with_thread(|thread| {
            // SAFETY: the thread has the heap.
            unsafe { ops::pop::<P>(thread.get(), class) }
        })
    }

    #[inline(always)]
    fn at_hand(layout: Layout) -> Option<NonNull<u8>> {
        match class_of(layout.size(), layout.align()) {
            Some(class) if !P::HARDENED => Self::pop(class),
            _ => None,
        }
    }

    /// A block for the layout, which may be of no bytes.
    #[inline(always)]
    pub(crate) fn allocate_layout(layout: Layout) -> Option<Fresh> {
        match Self::at_hand(layout) {
            Some(block) => Some(Fresh {
                block,
                zeroed: false,
            }),
            None => Self::allocate_slowly(served(layout)),
        }
    }

    /// As [`allocate_layout`](Self::allocate_layout), where nobody asks about zeros.
    #[inline(always)]
    pub(crate) fn try_allocate(layout: Layout) -> Option<NonNull<u8>> {
        match Self::at_hand(layout) {
            Some(block) => Some(block),
            None => Self::allocate_slowly(served(layout)).map(|fresh| fresh.block),
        }
    }

    #[cold]
    #[inline(never)]
    fn allocate_slowly(layout: NonZeroLayout) -> Option<Fresh> {
        // SAFETY: the thread has the heap for the call.
        let allocate = |heap: &Heap| unsafe { ops::allocate::<P>(P::core(), heap, layout) };
        P::with_thread(|thread| thread.with(P::core(), P::register, allocate)).flatten()
    }

    #[cold]
    #[inline(never)]
    fn allocate_zeroed_slowly(layout: NonZeroLayout) -> Option<NonNull<u8>> {
        let fresh = Self::allocate_slowly(layout)?;
        Some(fresh.into_zeroed(layout.size().get()).cast())
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::dealloc`].
    #[inline(always)]
    unsafe fn free_layout(block: NonNull<u8>, layout: Layout) {
        let address = block.addr().get();
        let Some(class) = class_of(layout.size(), layout.align()) else {
            // SAFETY: the caller's promise.
            return unsafe { Self::free_slowly(block, served(layout)) };
        };
        if P::CHECKED {
            // SAFETY: the caller's promise.
            if !unsafe { Self::free_own(block, |recorded| recorded == class) } {
                // SAFETY: as above.
                unsafe { Self::free_slowly(block, served(layout)) };
            }
            return;
        }
        // SAFETY: the caller's block is live.
        let segment = unsafe { Segment::of(segment_address(address)) };
        P::with_thread(|thread| {
            let heap = thread.get();
            if ptr::eq(segment.owner(), heap) {
                // SAFETY: the address of a live block.
                let block = unsafe { segment_map::pointer(address) };
                // SAFETY: the block is this heap's, and the caller's to give up.
                unsafe { heap.free(block.cast(), class) };
            } else {
                // SAFETY: the caller's promise; the block is another heap's.
                unsafe { Self::free_remote(heap, segment, block, served(layout)) };
            }
        });
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::dealloc`], for a block of a class that lies in this segment, which is not this
    /// heap's.
    #[inline(never)]
    unsafe fn free_remote(
        heap: &Heap,
        segment: &Segment,
        block: NonNull<u8>,
        layout: NonZeroLayout,
    ) {
        let address = block.addr().get();
        let first = segment.run_of(address);
        // SAFETY: the address of a live block.
        let own = unsafe { segment_map::pointer(address) }.cast();
        // SAFETY: the caller's promise.
        if unsafe { heap.free_remote_at_once(segment, first, own) } {
            return;
        }
        if heap.is_none() {
            // SAFETY: the caller's promise.
            return unsafe { Self::free_slowly(block, layout) };
        }
        // SAFETY: the caller's promise.
        unsafe { heap.free_remote::<true>(segment, first, own, usable_bytes(layout)) };
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::dealloc`].
    #[inline(never)]
    unsafe fn free_slowly(block: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's promise.
        let answer = unsafe { Self::try_free(block, Some(layout)) };
        if let Err(error) = answer {
            misuse::abort(error, block.addr().get());
        }
    }

    /// Takes back the block at the address, if it is one.
    ///
    /// # Errors
    ///
    /// [`FreeError`], as far as the profile finds out.
    ///
    /// # Safety
    ///
    /// As [`ops::free`].
    pub(crate) unsafe fn try_free(
        ptr: NonNull<u8>,
        layout: Option<NonZeroLayout>,
    ) -> Result<(), FreeError> {
        let address = ptr.addr().get();
        // SAFETY: the thread has the heap for the call; the rest is the caller's promise.
        let free = |heap: &Heap| unsafe { ops::free::<P>(P::core(), Some(heap), address, layout) };
        let answer = P::with_thread(|thread| {
            let heap = thread.get();
            if heap.is_none() {
                thread.with(P::core(), P::register, free)
            } else {
                Some(free(heap))
            }
        });
        answer.unwrap_or_else(|| {
            // SAFETY: as above, without a heap.
            unsafe { ops::free::<P>(P::core(), None, address, layout) }
        })
    }

    /// The bytes of the live block at this address.
    ///
    /// # Errors
    ///
    /// [`FreeError`]: why freeing the block would be wrong, as far as the profile finds out.
    ///
    /// # Safety
    ///
    /// No other thread gives back memory at that address meanwhile: by freeing the block, or by a
    /// trim if it is free already.
    pub unsafe fn block_bytes(ptr: NonNull<u8>) -> Result<usize, FreeError> {
        find(P::core(), ptr.addr().get(), P::CHECKED).map(|place| place.kind.bytes())
    }

    /// Asks the system to back the arena with huge pages: what it has already, and all that it
    /// will take. Off by default: a huge page that is used in part is resident as a whole.
    ///
    /// # Errors
    ///
    /// [`OsError`]: the system refused for memory that the arena has. Later refusals are counted in
    /// [`ArenaStats::huge_pages_refused`]. Nothing else changes: memory without huge pages serves.
    pub fn advise_huge_pages(&self) -> Result<(), OsError> {
        P::core().advise_huge_pages()
    }

    /// What the arena holds. Looks at every segment, 64 words of each, while other threads that
    /// need a new segment wait.
    #[must_use]
    pub fn stats(&self) -> ArenaStats {
        ArenaStats::of(P::core())
    }

    /// Gives back all memory that nothing uses, with what the calling thread keeps, but not what other living
    /// threads keep. The answer is how many bytes were unmapped; more may have been given back without that.
    pub fn trim(&self) -> usize {
        self.drain_thread();
        P::core().trim()
    }

    /// # Safety
    ///
    /// As [`GlobalAlloc::realloc`], where the alignment may change too.
    unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Option<NonNull<u8>> {
        P::with_thread(|thread| {
            let face = OnThread::<P> {
                heap: thread.get(),
                profile: PhantomData,
            };
            // SAFETY: the thread has the heap; the rest is the caller's promise.
            match unsafe { ops::resize(&face, block, old, new) } {
                Ok(block) => block,
                Err(error) => misuse::abort(error, block.addr().get()),
            }
        })
    }
}

/// The arena of the process, on a thread that has this heap.
struct OnThread<'a, P> {
    heap: &'a Heap,
    profile: PhantomData<fn() -> P>,
}

impl<P: Profile> Face<P> for OnThread<'_, P> {
    fn core(&self) -> &Core {
        P::core()
    }

    fn heap(&self) -> &Heap {
        self.heap
    }

    fn allocate(&self, layout: NonZeroLayout) -> Option<Fresh> {
        GlobalArena::<P>::allocate_layout(layout.to_layout())
    }

    unsafe fn free(&self, block: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's promise.
        unsafe { GlobalArena::<P>::free_layout(block, layout.to_layout()) };
    }
}

/// The layout that is served for a request of std's, which may be of no bytes.
#[inline(always)]
fn served(layout: Layout) -> NonZeroLayout {
    match NonZeroLayout::from_size_align(layout.size().max(1), layout.align()) {
        Ok(layout) => layout,
        // SAFETY: a size and an alignment of a `Layout` are valid together, and no bytes became one.
        Err(_) => unsafe { core::hint::unreachable_unchecked() },
    }
}

#[inline(always)]
fn pointer_of(block: Option<NonNull<u8>>) -> *mut u8 {
    block.map_or(ptr::null_mut(), NonNull::as_ptr)
}

// SAFETY: blocks are of the size and alignment asked for, live until they are freed, and nobody
// else's. No method unwinds.
unsafe impl<P: Profile> GlobalAlloc for GlobalArena<P> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        pointer_of(Self::try_allocate(layout))
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller promises a block, and none is at null.
        let block = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: the caller's promise.
        unsafe { Self::free_layout(block, layout) };
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(block) = Self::at_hand(layout) else {
            return pointer_of(Self::allocate_zeroed_slowly(served(layout)));
        };
        // SAFETY: the block has the bytes of the layout.
        unsafe { block.write_bytes(0, layout.size()) };
        block.as_ptr()
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size is valid for the alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let Some(block) = NonNull::new(block) else {
            return ptr::null_mut();
        };
        // SAFETY: the caller's promise.
        unsafe { self.resize(block, served(layout), served(new)) }
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

// SAFETY: the pointer is used for its address, nothing unwinds, and the block's next use comes
// after.
unsafe impl<P: Profile> Deallocator for GlobalArena<P> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's promise.
        unsafe { Self::free_layout(ptr, layout.to_layout()) };
    }
}

// SAFETY: as `GlobalAlloc` above; the arena is static, so blocks live until they are freed.
unsafe impl<P: Profile> Allocator for GlobalArena<P> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = Self::try_allocate(layout.to_layout()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, usable_bytes(layout)))
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let fresh = Self::allocate_layout(layout.to_layout()).ok_or(AllocError)?;
        Ok(fresh.into_zeroed(usable_bytes(layout)))
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        let block = unsafe { self.resize(ptr, old, new) }.ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, usable_bytes(new)))
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's promise.
        let block = unsafe { self.resize(ptr, old, new) }.ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(block, usable_bytes(new)))
    }

    unsafe fn usable_size(&self, _: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        Some(usable_bytes(layout))
    }
}
