//! Untracked memory: buffers of the global heap that a pool hands out and counts.
//!
//! # What
//!
//! Requests below the pool's least size, and those that [`alloc`](crate::BufferPool::alloc) must serve
//! without a slot. Each has the pool's alignment and exactly the capacity asked for. Its bytes, with
//! its record, are in the budget until its last view is gone.

use core::num::NonZeroUsize;
use core::ptr::NonNull;
use std::sync::Arc;

use drystone_sync::atomic::Ordering;

use crate::class::count;
use crate::core::Core;
use crate::flags::HUNGRY;
use crate::heap_buffer::{self, Content, OnFree};
use crate::io_buf_mut::IoBufMut;

impl Core {
    /// An untracked buffer of `capacity` bytes, of length 0; `None` if the budget has no room, or the
    /// heap no memory.
    pub(crate) fn untracked(&self, capacity: NonZeroUsize, content: Content) -> Option<IoBufMut> {
        let align = NonZeroUsize::new(self.config.alignment())?;
        let bytes = heap_buffer::total_bytes(capacity, align)?;
        if !self.reserve_untracked(bytes) {
            return None;
        }
        let Ok(mut buf) = IoBufMut::try_heap(capacity.get(), align, content) else {
            self.budget.release(bytes);
            self.bytes_came_free();
            return None;
        };
        let core = Arc::into_raw(self.counted_here()?).cast_mut();
        // SAFETY: a counted reference points to something.
        let core = unsafe { NonNull::new_unchecked(core) };
        // SAFETY: the counted reference that was given up for it keeps the core until the one call.
        let on_free = unsafe { OnFree::new(core.cast(), freed) };
        // SAFETY: a new heap buffer with a capacity above 0.
        unsafe { buf.attach(on_free) };
        count(&self.counts.untracked);
        // Relaxed: a number.
        self.counts
            .untracked_bytes
            .fetch_add(bytes as u64, Ordering::Relaxed);
        Some(buf)
    }

    /// Makes and takes room in the budget, unless somebody waits for it.
    fn reserve_untracked(&self, bytes: usize) -> bool {
        if self.flags.has(0, HUNGRY) {
            return false;
        }
        while self.budget.reserve(bytes, 1) == 0 {
            if !self.press(usize::MAX, bytes) {
                return false;
            }
        }
        true
    }
}

/// Takes the bytes of an untracked buffer out of the budget.
///
/// # Safety
///
/// `core` is a counted reference, given up by this call.
unsafe fn freed(core: NonNull<()>, bytes: usize) {
    // SAFETY: the caller's promise.
    let core = unsafe { Arc::from_raw(core.cast::<Core>().as_ptr()) };
    core.counts
        .untracked_bytes
        .fetch_sub(bytes as u64, Ordering::Relaxed);
    core.budget.release(bytes);
    core.bytes_came_free();
}
