//! [`relocate`]: the last step of moving a block from one allocator to another.

use core::ptr::{self, NonNull};

use drystone_core::{Deallocator, NonZeroLayout};

/// Copies what `old` and `new` share to a new block, and frees the old one in `home`.
///
/// # Safety
///
/// `ptr` and `old` as for [`Deallocator::deallocate`] of `home`; `ptr` is valid for reads of what
/// is copied; `block` is another live block, at least `new.size()` bytes long.
pub(crate) unsafe fn relocate<A: Deallocator>(
    home: &A,
    ptr: NonNull<u8>,
    old: NonZeroLayout,
    block: NonNull<[u8]>,
    new: NonZeroLayout,
) {
    let len = old.size().min(new.size()).get();
    // SAFETY: `ptr` is valid for reads of `len` bytes, by the promise of whoever asked to resize or
    // because its part has just returned it; the new block is as long; two live blocks do not
    // overlap; bytes have no alignment. The copy is untyped, so uninitialised bytes may pass.
    unsafe { ptr::copy_nonoverlapping(ptr.as_ptr(), block.as_ptr().cast::<u8>(), len) };
    // SAFETY: the caller promises what `deallocate` needs, and the bytes have been copied.
    unsafe { home.deallocate(ptr, old) };
}
