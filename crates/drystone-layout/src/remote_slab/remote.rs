//! [`SlabRemote`]: the end that frees, on any thread.

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{Deallocator, NonZeroLayout};

use super::ring::Ring;
use super::shared::{Handle, Slots};
use super::{RemoteBatch, RemoteQueue};

/// Frees the blocks of a [`SlabOwner`](super::SlabOwner) on any thread; cannot allocate.
///
/// Keeps the range alive, not the owner: after the owner is gone, blocks stay readable and
/// writable until the last handle is dropped, and freeing one does nothing more.
///
/// With [`Intrusive`](super::Intrusive) a handle is the fastest on the thread that freed through
/// it first. A thread that gets a handle from another calls [`claim`](Self::claim), or makes its
/// own by `clone`.
pub struct SlabRemote<T, B, Q: RemoteQueue = Ring> {
    // Before the handle: it needs the shared block while it is dropped.
    port: Q::Port,
    handle: Handle<T, B, Q>,
}

impl<T, B, Q: RemoteQueue> SlabRemote<T, B, Q> {
    pub(super) fn new(handle: Handle<T, B, Q>) -> Self {
        Self {
            port: Q::open(handle.shared().queue()),
            handle,
        }
    }

    /// Sends the block at `ptr` home if the queue has room for it.
    ///
    /// With [`Intrusive`](super::Intrusive) there always is.
    ///
    /// # Errors
    ///
    /// `ptr`, whose block is still live, if the ring is full or the owner is gone.
    ///
    /// # Safety
    ///
    /// As [`deallocate`](Deallocator::deallocate).
    #[inline]
    pub unsafe fn try_deallocate(
        &self,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> Result<(), NonNull<u8>> {
        debug_assert!(Slots::<T>::fits(layout), "the layout does not fit a slot");
        let shared = self.handle.shared();
        if shared.list().is_closed() {
            return Err(ptr);
        }
        let offset = shared.offset_of(ptr);
        if Q::send(shared.queue(), Some(&self.port), shared.index_of(offset)) {
            return Ok(());
        }
        if Q::BOUNDED {
            return Err(ptr);
        }
        // SAFETY: the caller gives up a live block.
        unsafe { shared.put_on_list(offset, offset) }.map_err(|_| ptr)
    }

    /// A batch, which frees many blocks for the price of one.
    pub fn batch(&self) -> RemoteBatch<T, B, Q> {
        RemoteBatch::new(self.handle.clone())
    }

    /// Makes the calling thread the one on which this handle is the fastest.
    ///
    /// Only speed depends on it. With [`Ring`] all threads are alike.
    pub fn claim(&mut self) {
        Q::claim(&mut self.port);
    }
}

/// Another handle of the same slab, which no thread has claimed yet.
impl<T, B, Q: RemoteQueue> Clone for SlabRemote<T, B, Q> {
    fn clone(&self) -> Self {
        Self::new(self.handle.clone())
    }
}

impl<T, B, Q: RemoteQueue> Drop for SlabRemote<T, B, Q> {
    fn drop(&mut self) {
        Q::close(self.handle.shared().queue(), &mut self.port);
    }
}

// SAFETY: the pointer is used for its address, the link is written through the slab's own base, and
// nothing here unwinds. A queue's and the list's Release is met by the owner's Acquire before the
// block is handed out again. A block of an owner that is gone is never handed out again.
unsafe impl<T, B, Q: RemoteQueue> Deallocator for SlabRemote<T, B, Q> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        debug_assert!(Slots::<T>::fits(layout), "the layout does not fit a slot");
        let shared = self.handle.shared();
        // SAFETY: the caller gives up a live block.
        let sent = unsafe { shared.send(Some(&self.port), shared.offset_of(ptr)) };
        // Without an owner the block stays where it is until the range is dropped.
        let _ = sent;
    }
}

impl<T, B, Q: RemoteQueue> fmt::Debug for SlabRemote<T, B, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlabRemote")
            .field("list", self.handle.shared().list())
            .finish_non_exhaustive()
    }
}
