//! [`Recorder`]: writes down what a program allocates.
//!
//! # What
//!
//! A wrapper around any allocator. While a recording goes on, each allocation, free and resize that
//! passes through is put, with its time, into a `.dst` file, which `drystone replay` replays. There is
//! one recording in a process, for all its recorders. The environment asks for it, by
//! `DRYSTONE_TRACE=FILE` (on Unix, at the first allocation), or the program, by [`record_to`].
//!
//! # Memory picture
//!
//! ```text
//! +-------+               lanes, one process-wide set              file
//! | inner |   thread 1 ──▶ chunk in the making ──────────┐  +--------+---------+---------+--
//! +-------+                                     mapped   └▶ | header | window  | window  | ..
//!             thread 2 ──▶ chunk in the making ────────────────────────────────▶         |
//!                                                           +--------+---------+---------+--
//!                          64 lanes                                    64 KiB: chunks, zeros
//! ```
//!
//! # Invariants
//!
//! - R1: an operation gets its number when it is put into a lane, a free before the block goes back,
//!   an allocation after the block was had. So on one address the numbers are in the order of what
//!   happened, and no lock is held across a call of the inner allocator.
//! - R2: a thread inside the recorder is not recorded, so neither an allocator that is made of
//!   recorders nor the recorder itself is written down twice.
//! - R3: numbers are given only to operations that a lane has room for, and each is in the file when it is put
//!   into the lane. So a gap shows where a program was killed between the two, and the reader ends the trace there.
//! - R4: room in the file is there before it is mapped.
//!
//! # Threads
//!
//! Each thread has a lane; from the 65th on they share. Nobody waits but for a lane whose thread gets another
//! window, and then only if all others are taken too. A thread that ends leaves its lane as it is, and the next
//! one that comes to it goes on there. A child of a fork does not record and waits for nothing, whatever its
//! parent's threads held: the recording is over for it before `fork` returns, or has become one of its own. A
//! program that is killed, or ends without its exit handlers, loses at most the operations that its threads were
//! just putting in; the file has no index then.
//!
//! The file must not be made shorter by others meanwhile: what is mapped of it would be gone.
//!
//! # Cost
//!
//! Without a recording a load and a branch. With one the processor's time stamp counter where it is
//! steady, or else the system's clock; a lock that nobody else takes, an atomic addition, and 6 to 14 bytes of
//! encoding; and a window every five to ten thousand operations of a thread: the system writes zeros and
//! maps them. At most ten times a second the system is asked what memory the process takes, which may take one part in
//! a hundred of the time. Starting one takes a millisecond where the counter's rate has to be measured.

mod clock;
#[cfg(all(unix, not(miri)))]
mod environment;
mod error;
#[cfg(all(unix, not(miri)))]
mod fork;
mod guarded;
mod lane;
mod output;
#[cfg(all(unix, not(miri)))]
mod place;
#[cfg(all(unix, not(miri)))]
pub mod raw;
mod resident;
mod tape;
mod thread_word;
mod window;

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::path::Path;

use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, Global, GlobalSafe, NoHeap, NonZeroLayout,
    OverPages, Owns, Reset, StableAddress,
};

pub use error::RecordError;
pub use output::Recorded;
use tape::{Inside, TAPE};

use crate::dst::{Kind, What};
use crate::event::mark_name;

/// `A`, recorded.
///
/// ```no_run
/// use drystone_trace::Recorder;
/// # use drystone_core::{AllocError, Allocator, Deallocator, GlobalSafe, NonZeroLayout};
/// # struct Mine;
/// # unsafe impl Deallocator for Mine {
/// #     unsafe fn deallocate(&self, _: std::ptr::NonNull<u8>, _: NonZeroLayout) {}
/// # }
/// # unsafe impl Allocator for Mine {
/// #     fn allocate(&self, _: NonZeroLayout) -> Result<std::ptr::NonNull<[u8]>, AllocError> {
/// #         Err(AllocError)
/// #     }
/// # }
/// # unsafe impl GlobalSafe for Mine {}
///
/// // `DRYSTONE_TRACE=run.dst ./program`, then `drystone replay run.dst`.
/// #[global_allocator]
/// static HEAP: Recorder<Mine> = Recorder::new(Mine);
/// ```
///
/// What is recorded is what callers ask for; what the inner allocator asks of others is not. Reading the
/// environment while another thread changes it is as unsafe here as anywhere: a program that changes it
/// does so with one thread.
///
/// A reset writes down which memory it ends, so it asks the inner allocator for
/// [`Contents`](Contents::ending). What ends with an allocator that is dropped is not written: such a block
/// counts as live until another lies at its address, and as [unmatched](crate::Recording::unmatched) then.
#[derive(Debug)]
pub struct Recorder<A> {
    inner: A,
}

impl<A> Recorder<A> {
    /// `inner`, recorded while there is a recording.
    #[inline]
    pub const fn new(inner: A) -> Self {
        Self { inner }
    }

    /// The inner allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        self.inner
    }
}

/// Starts a recording to a new file at `path`; one that is there is replaced.
///
/// Blocks that are live already are unknown to the trace: their frees are left out and counted
/// ([`Recording::unmatched`](crate::Recording::unmatched)).
///
/// # Errors
///
/// [`RecordError::Busy`] if there is a recording, [`RecordError::Create`] if the file cannot be made.
pub fn record_to(path: &Path) -> Result<(), RecordError> {
    TAPE.start(path)
}

/// Ends the recording and writes what is left of it. A recording that the environment asked for ends by
/// itself when the program ends in order.
///
/// # Errors
///
/// [`RecordError::NotRecording`] if there is none, [`RecordError::Write`] if the file could not be
/// written, now or before; it then holds what was written until then. [`RecordError::Create`] if
/// the file that the environment names could not be made.
pub fn finish_recording() -> Result<Recorded, RecordError> {
    TAPE.finish()
}

/// Puts the name of a place of the program into the recording, if there is one: at most 200 bytes, up to
/// the first control character.
///
/// ```
/// drystone_trace::mark("tables are loaded");
/// ```
pub fn mark(name: &str) {
    if let Some(inside) = TAPE.enter() {
        TAPE.event(&inside, What::Mark(mark_name(name)));
    }
}

/// Records one operation.
#[inline]
fn record(inside: &Inside, kind: Kind, address: usize, layout: NonZeroLayout) {
    let align_log2 = layout.align().trailing_zeros() as u8;
    TAPE.write(inside, kind, address, layout.size().get(), align_log2);
}

impl<A: Allocator> Recorder<A> {
    /// Resizes a block by `resize`, and records it in two parts: another thread may be given the old
    /// address before `resize` returns.
    #[inline(never)]
    fn resized(
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
        resize: impl FnOnce() -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(inside) = TAPE.enter() else {
            return resize();
        };
        record(&inside, Kind::ResizeBegin, ptr.addr().get(), old);
        let block = resize();
        match block {
            Ok(block) => {
                record(&inside, Kind::ResizeEnd, block.addr().get(), new);
            }
            Err(AllocError) => record(&inside, Kind::ResizeFailed, ptr.addr().get(), old),
        }
        block
    }

    /// Records the block that `allocate` gives.
    #[inline(never)]
    fn allocated(
        kind: Kind,
        layout: NonZeroLayout,
        allocate: impl FnOnce() -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(inside) = TAPE.enter() else {
            return allocate();
        };
        let block = allocate()?;
        record(&inside, kind, block.addr().get(), layout);
        Ok(block)
    }
}

impl<A: Deallocator> Recorder<A> {
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`].
    #[inline(never)]
    unsafe fn deallocate_recorded(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let inside: Option<Inside> = TAPE.enter();
        if let Some(inside) = &inside {
            record(inside, Kind::Free, ptr.addr().get(), layout);
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) };
    }
}

// SAFETY: the inner allocator keeps the contract.
unsafe impl<A: Deallocator> Deallocator for Recorder<A> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if TAPE.is_still() {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { self.inner.deallocate(ptr, layout) };
        } else {
            // SAFETY: the caller's requirements are the same.
            unsafe { self.deallocate_recorded(ptr, layout) };
        }
    }
}

// SAFETY: every block is the inner allocator's. The recorder neither unwinds nor allocates: it puts
// numbers into static bytes, and writes those to a file.
unsafe impl<A: Allocator> Allocator for Recorder<A> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if TAPE.is_still() {
            return self.inner.allocate(layout);
        }
        Self::allocated(Kind::Allocate, layout, || self.inner.allocate(layout))
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if TAPE.is_still() {
            return self.inner.allocate_zeroed(layout);
        }
        Self::allocated(Kind::AllocateZeroed, layout, || {
            self.inner.allocate_zeroed(layout)
        })
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        let resize = || unsafe { self.inner.grow(ptr, old, new) };
        if TAPE.is_still() {
            return resize();
        }
        Self::resized(ptr, old, new, resize)
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        let resize = || unsafe { self.inner.grow_zeroed(ptr, old, new) };
        if TAPE.is_still() {
            return resize();
        }
        Self::resized(ptr, old, new, resize)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        let resize = || unsafe { self.inner.shrink(ptr, old, new) };
        if TAPE.is_still() {
            return resize();
        }
        Self::resized(ptr, old, new, resize)
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.inner.capacity_bytes()
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.inner.corruption_events()
    }
}

// SAFETY: the blocks are those of the inner allocator, which answers.
unsafe impl<A: Contents> Contents for Recorder<A> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.own_pointer(block, layout) }
    }

    /// Recorded where the block grows. Nobody else is given its address meanwhile, so both parts may be
    /// written afterwards.
    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let inside = TAPE.enter();
        // SAFETY: the block is the inner allocator's; same requirements.
        let block = unsafe { self.inner.grow_in_place(ptr, old, new) }?;
        if let Some(inside) = &inside {
            record(inside, Kind::ResizeBegin, ptr.addr().get(), old);
            record(inside, Kind::ResizeEnd, ptr.addr().get(), new);
        }
        Ok(block)
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.shrinks_in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the inner allocator is reset or dropped with the recorder.
        unsafe { self.inner.ending(visit) };
    }
}

// SAFETY: the blocks and the range are those of the inner allocator, which this value owns.
unsafe impl<A: OverPages> OverPages for Recorder<A> {
    type Pages = A::Pages;

    #[inline]
    fn pages(&self) -> &A::Pages {
        self.inner.pages()
    }
}

impl<A: Reset + Contents> Reset for Recorder<A> {
    /// Frees every block, and records that the memory in which they lie has none.
    fn reset(&mut self) {
        let inside = TAPE.enter();
        if let Some(inside) = &inside {
            // SAFETY: the inner allocator is reset next; nothing is written to it.
            unsafe {
                self.inner.ending(&mut |piece| {
                    if let Ok(bytes) = NonZeroLayout::from_size_align(piece.len(), 1) {
                        record(inside, Kind::Ended, piece.as_ptr().addr(), bytes);
                    }
                });
            }
        }
        self.inner.reset();
    }
}

// SAFETY: the blocks are those of the inner allocator, which answers.
unsafe impl<A: Owns> Owns for Recorder<A> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.inner.owns(ptr)
    }
}

// SAFETY: the blocks are those of the inner allocator, which keeps them in place.
unsafe impl<A: StableAddress> StableAddress for Recorder<A> {}
// SAFETY: the recorder uses static memory and the system's calls, and waits for threads that do.
unsafe impl<A: NoHeap> NoHeap for Recorder<A> {}
// SAFETY: as above.
unsafe impl<A: GlobalSafe> GlobalSafe for Recorder<A> {}

// SAFETY: as `Global`, which does it.
unsafe impl<A: GlobalSafe> GlobalAlloc for Recorder<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's requirements are the same.
        unsafe { Global::from_ref(self).alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's requirements are the same.
        unsafe { Global::from_ref(self).alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's requirements are the same.
        unsafe { Global::from_ref(self).dealloc(ptr, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's requirements are the same.
        unsafe { Global::from_ref(self).realloc(ptr, layout, new_size) }
    }
}
