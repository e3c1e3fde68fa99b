//! [`RemoteBatch`]: many frees for the price of one.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use drystone_core::{Deallocator, NonZeroLayout};
use drystone_sync::RemoteList;

use super::RemoteQueue;
use super::ring::Ring;
use super::shared::{Handle, Slots};

/// Frees the blocks of a [`SlabOwner`](super::SlabOwner), many at a time.
///
/// The blocks are linked into a chain of the batch's own, which goes to the owner as a whole, by
/// one compare-and-swap: after [`BLOCKS_MAX`](Self::BLOCKS_MAX) blocks, on
/// [`flush`](Self::flush), and when the batch is dropped. Until then the owner cannot use them. A
/// batch goes past the queue, whichever it is.
///
/// A batch may be sent to another thread, not shared:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::RemoteBatch;
/// fn assert_sync<S: Sync>() {}
/// assert_sync::<RemoteBatch<u64, HeapSegment>>();
/// ```
pub struct RemoteBatch<T, B, Q: RemoteQueue = Ring> {
    handle: Handle<T, B, Q>,
    // I1: with `count > 0` the links lead from `first` over `count` blocks to `last`; they are
    // given up by their users, and nobody else has them.
    // I2: `count < BLOCKS_MAX` between two calls.
    first: Cell<usize>,
    last: Cell<usize>,
    count: Cell<usize>,
}

impl<T, B, Q: RemoteQueue> RemoteBatch<T, B, Q> {
    /// How many blocks a batch holds back at most, the one being freed included.
    pub const BLOCKS_MAX: usize = 64;

    pub(super) fn new(handle: Handle<T, B, Q>) -> Self {
        Self {
            handle,
            first: Cell::new(RemoteList::NONE),
            last: Cell::new(RemoteList::NONE),
            count: Cell::new(0),
        }
    }

    /// The blocks that are held back.
    #[inline]
    pub fn len(&self) -> usize {
        self.count.get()
    }

    /// Whether no block is held back.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends all blocks home.
    #[inline]
    pub fn flush(&self) {
        if self.count.replace(0) > 0 {
            let (first, last) = (self.first.get(), self.last.get());
            // SAFETY: by I1, and the batch forgets them.
            let sent = unsafe { self.handle.shared().put_on_list(first, last) };
            // Without an owner the blocks stay where they are until the range is dropped.
            let _ = sent;
        }
    }
}

// SAFETY: the pointer is used for its address, links are written through the slab's own base, and
// nothing here unwinds. The list's Release is met by the owner's Acquire before a block is handed
// out again.
unsafe impl<T, B, Q: RemoteQueue> Deallocator for RemoteBatch<T, B, Q> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        debug_assert!(Slots::<T>::fits(layout), "the layout does not fit a slot");
        let shared = self.handle.shared();
        let offset = shared.offset_of(ptr);
        if self.count.get() == 0 {
            self.last.set(offset);
        } else {
            let next = shared.origin().link_to(self.first.get());
            // SAFETY: the caller gives up a live block of this slab.
            unsafe { shared.link(offset, next) };
        }
        self.first.set(offset);
        self.count.set(self.count.get() + 1);
        if self.count.get() == Self::BLOCKS_MAX {
            self.flush();
        }
    }
}

impl<T, B, Q: RemoteQueue> Drop for RemoteBatch<T, B, Q> {
    fn drop(&mut self) {
        self.flush();
    }
}

impl<T, B, Q: RemoteQueue> fmt::Debug for RemoteBatch<T, B, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteBatch")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
