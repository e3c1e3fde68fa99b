//! [`Block`]: a guarded block, and the words around it.

use core::ptr::NonNull;

use drystone_core::{Misuse, NonZeroLayout};

use super::frame::{Extent, Frame, HEADER_BYTES};
use super::key::Key;
use super::tail;

/// A live block, seen through the inner allocator's own pointer.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) frame: Frame,
    /// The start of the inner allocator's block.
    pub(super) start: NonNull<u8>,
    pub(super) layout: NonZeroLayout,
}

impl Block {
    /// The caller's block.
    #[inline]
    pub(super) fn user(self) -> NonNull<u8> {
        // SAFETY: the prefix lies inside the inner allocator's block.
        unsafe { self.start.add(self.frame.prefix) }
    }

    /// The header: front word and extent.
    #[inline]
    fn header(self) -> NonNull<[u64; 2]> {
        // SAFETY: the prefix has room for the header, which lies at its end.
        unsafe { self.start.add(self.frame.prefix - HEADER_BYTES) }.cast()
    }

    /// Where the back words begin.
    #[inline]
    pub(super) fn tail(self) -> NonNull<u8> {
        // SAFETY: the requested bytes are followed by a word at least.
        unsafe { self.user().add(self.layout.size().get()) }
    }

    /// Writes the words around the block: restores I1.
    ///
    /// # Safety
    ///
    /// The inner allocator's block is this one's, and as long as the frame and the slack say.
    #[inline]
    pub(super) unsafe fn arm(self, key: &Key, slack: usize) {
        let extent = Extent::new(self.layout, slack);
        let seal = key.seal_new(self.user().addr().get(), extent);
        // SAFETY: the header lies in the block, aligned for it by the frame.
        unsafe { self.header().write([seal.front, extent.0]) };
        // SAFETY: the tail lies in the block, which is longer than the frame by the slack.
        unsafe { tail::write(self.tail(), extent.tail_bytes(), seal.back) };
    }

    /// What stands in the header.
    ///
    /// # Safety
    ///
    /// The block is live, or was and is not used since.
    #[inline]
    pub(super) unsafe fn read_header(self) -> (u64, Extent) {
        // SAFETY: the header was written when the block was armed.
        let [front, extent] = unsafe { self.header().read() };
        (front, Extent(extent))
    }

    /// Compares the words around the block, and returns what the header says.
    ///
    /// # Errors
    ///
    /// What is wrong: `DoubleFree`, `Underrun`, `LayoutMismatch` or `Overrun`.
    ///
    /// # Safety
    ///
    /// The block is live.
    #[inline]
    pub(super) unsafe fn verify(self, key: &Key) -> Result<Extent, Misuse> {
        // SAFETY: the caller's promise.
        let (front, extent) = unsafe { self.read_header() };
        let seal = key.seal(self.user().addr().get(), extent);
        if front != seal.front {
            // The front word may have become a link.
            return Err(if extent == Extent::FREED {
                Misuse::DoubleFree
            } else {
                Misuse::Underrun
            });
        }
        if extent != Extent::new(self.layout, extent.slack()) {
            return Err(Misuse::LayoutMismatch);
        }
        // SAFETY: the header is the one that was written, so the tail is as long as it says.
        if unsafe { tail::is_intact(self.tail(), extent.tail_bytes(), seal.back) } {
            Ok(extent)
        } else {
            Err(Misuse::Overrun)
        }
    }

    /// Sets the words around the block to zero, and the extent to what says so.
    ///
    /// # Safety
    ///
    /// The block is live, and `tail_bytes` is what its extent says, or a word.
    #[inline]
    pub(super) unsafe fn disarm(self, tail_bytes: usize) {
        // SAFETY: the header lies in the block, aligned for it by the frame.
        unsafe { self.header().write([0, Extent::FREED.0]) };
        // SAFETY: the tail lies in the block.
        unsafe { tail::write(self.tail(), tail_bytes, 0) };
    }
}

/// The pointer `bytes` before `ptr`, for its address only.
///
/// # Safety
///
/// So many bytes lie in front of `ptr` in one block.
#[inline]
pub(super) unsafe fn before(ptr: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    // SAFETY: no block starts at address 0.
    unsafe { NonNull::new_unchecked(ptr.as_ptr().wrapping_sub(bytes)) }
}
