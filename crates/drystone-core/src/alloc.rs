//! [`Deallocator`] and [`Allocator`]: taking blocks back and handing them out.

use core::ptr::{self, NonNull};

use crate::{AllocError, NonZeroLayout};

/// Takes blocks back.
///
/// Apart from [`Allocator`] because freeing is often all that a handle may do: the remote end of
/// an owner's slab is a `Deallocator` and nothing else.
///
/// # Safety
///
/// An implementor promises that [`deallocate`](Deallocator::deallocate):
///
/// - never unwinds and never fails; it may abort;
/// - uses the pointer for its address only, and reaches the block's bytes through a pointer that
///   the allocator itself derived (the caller's may carry provenance for fewer bytes);
/// - may be called on any thread that the receiver's auto traits allow;
/// - orders itself before the return of every later allocation that overlaps the block.
pub unsafe trait Deallocator {
    /// Takes back the block at `ptr`.
    ///
    /// # Safety
    ///
    /// - `ptr` is a live block of an allocator *equivalent* to `self`, which has not *moved* since
    ///   unless its type is [`StableAddress`](crate::StableAddress).
    /// - `layout` *fits* the block: the alignment it was allocated with, and a size from the
    ///   requested one up to the returned one.
    /// - No reference to the block is in use, and the last access to it happens before this call.
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout);
}

/// Hands out blocks.
///
/// The methods that are provided here are correct for every allocator; an implementor overrides
/// those that it can do better. Usable as `dyn Allocator`.
///
/// # Safety
///
/// An implementor promises that a returned block
///
/// - starts at a multiple of `layout.align()` and is at least `layout.size()` bytes long, all of
///   which may be written and, once written, read (the bytes start uninitialised unless the
///   method says otherwise);
/// - overlaps no other live block of this or any other allocator, and is not touched by the
///   allocator while it is live;
/// - stays live until it is deallocated, or until the allocator it belongs to (every
///   *equivalent* handle) is dropped, reset, or, without [`StableAddress`](crate::StableAddress),
///   moved;
///
/// and that no method unwinds, prints, or calls into an allocator that this one may back.
pub unsafe trait Allocator: Deallocator {
    /// A block of at least `layout.size()` bytes at a multiple of `layout.align()`.
    ///
    /// The returned slice may be longer than asked; all of it belongs to the caller.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the allocator is exhausted or cannot serve this size or alignment.
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError>;

    /// Like [`allocate`](Allocator::allocate), with every byte of the returned slice zero.
    ///
    /// # Errors
    ///
    /// As [`allocate`](Allocator::allocate).
    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(layout)?;
        // SAFETY: the block is writable for its whole length, by the contract of `allocate`.
        unsafe { ptr::write_bytes(block.as_ptr().cast::<u8>(), 0, block.len()) };
        Ok(block)
    }

    /// Enlarges the block at `ptr`, in place or by moving it. Its first `old.size()` bytes keep
    /// their values; the rest is uninitialised. The alignment may change.
    ///
    /// On success the old pointer is dead, even if the address is the same.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is no room; the old block is then live and untouched.
    ///
    /// # Safety
    ///
    /// As [`deallocate`](Deallocator::deallocate) for `ptr` and `old`; `ptr` is valid for reads of
    /// `old.size()` bytes; and `new.size() >= old.size()`.
    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        let block = self.allocate(new)?;
        // SAFETY: the caller's requirements are the same, reads of `old.size()` bytes included;
        // `block` is a new block of `self` of at least `new.size() >= old.size()` bytes.
        unsafe { relocate(self, ptr, old, block, old.size().get()) };
        Ok(block)
    }

    /// Like [`grow`](Allocator::grow), with every byte from `old.size()` to the end of the
    /// returned slice zero.
    ///
    /// # Errors
    ///
    /// As [`grow`](Allocator::grow).
    ///
    /// # Safety
    ///
    /// As [`grow`](Allocator::grow).
    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are those of `grow`.
        let block = unsafe { self.grow(ptr, old, new) }?;
        let kept = old.size().get();
        let start = block.as_ptr().cast::<u8>();
        // SAFETY: `kept <= new.size() <= block.len()`, so the pointer stays in the block.
        let tail = unsafe { start.add(kept) };
        // SAFETY: the block is writable for its whole length, by the contract of `grow`.
        unsafe { ptr::write_bytes(tail, 0, block.len() - kept) };
        Ok(block)
    }

    /// Reduces the block at `ptr`, in place or by moving it. Its first `new.size()` bytes keep
    /// their values. The alignment may change.
    ///
    /// On success the old pointer is dead, even if the address is the same.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the block must move and there is no room; it is then live and untouched.
    ///
    /// # Safety
    ///
    /// As [`deallocate`](Deallocator::deallocate) for `ptr` and `old`; `ptr` is valid for reads of
    /// `new.size()` bytes; and `new.size() <= old.size()`.
    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        let block = self.allocate(new)?;
        // SAFETY: the caller's requirements are the same, reads of `new.size()` bytes included;
        // `block` is a new block of `self` of at least `new.size()` bytes.
        unsafe { relocate(self, ptr, old, block, new.size().get()) };
        Ok(block)
    }

    /// How many bytes of the block at `ptr` may be used: at least `layout.size()`, all writable.
    /// `None` if the allocator does not know.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block of an allocator equivalent to `self`, and `layout` fits it.
    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        let _ = (ptr, layout);
        None
    }

    /// The bytes that the allocator can hand out in all, live blocks included, before rounding.
    /// `None` if there is no fixed limit.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        None
    }

    /// How many times the allocator found its own bookkeeping damaged. Never falls, takes no lock.
    #[inline]
    fn corruption_events(&self) -> u64 {
        0
    }
}

/// Copies `len` bytes of a live block to a new one and frees the old one.
///
/// # Safety
///
/// `ptr` and `old` as for [`Deallocator::deallocate`]; `ptr` is valid for reads of `len` bytes;
/// `block` is another live block of at least `len` bytes.
#[inline]
unsafe fn relocate<A: Allocator + ?Sized>(
    allocator: &A,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    block: NonNull<[u8]>,
    len: usize,
) {
    // SAFETY: `ptr` is valid for reads of `len` bytes by the caller's promise, the new block for
    // writes of them; two live blocks do not overlap; bytes have no alignment. The copy is
    // untyped, so uninitialised bytes may pass.
    unsafe { ptr::copy_nonoverlapping(ptr.as_ptr(), block.as_ptr().cast::<u8>(), len) };
    // SAFETY: the caller promises what `deallocate` needs, and the bytes have been copied.
    unsafe { allocator.deallocate(ptr, old) };
}
