//! [`Contents`]: what a wrapper that touches the bytes of blocks needs of the allocator inside.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use crate::{AllocError, Allocator, NonZeroLayout};

/// An allocator through which the bytes of its blocks can be reached, all of them and in time.
///
/// A wrapper that fills a freed block, or keeps words of its own beside each block, has three
/// questions that [`Allocator`] does not answer. A caller's pointer may reach fewer bytes than the
/// block has, so the wrapper asks for the allocator's [own pointer](Contents::own_pointer). A
/// resize may free bytes before the wrapper has seen them, so it asks to resize
/// [in place](Contents::grow_in_place) or moves the block itself. And blocks that are never freed
/// end with the allocator, so it asks for the memory of those that are about to
/// [end](Contents::ending).
///
/// # Safety
///
/// The implementor promises what each method says, and that
/// [`usable_size`](Allocator::usable_size) of a live block covers the whole length that was
/// returned for it; it may be `None` only where that length is the size asked for.
pub unsafe trait Contents: Allocator {
    /// A pointer to where `block` points, that the allocator derived itself: valid for reads and
    /// writes of the whole block, for as long as it is live. Uses the address of `block` only.
    ///
    /// # Safety
    ///
    /// `block` is the start of a live block of an allocator equivalent to `self`, which has not
    /// moved since unless its type is [`StableAddress`](crate::StableAddress), and `layout` fits it.
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8>;

    /// As [`grow`](Allocator::grow), but never moves the block: on success it starts where it did.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the block cannot grow where it lies; it is then live and untouched. An
    /// allocator may decline always.
    ///
    /// # Safety
    ///
    /// As [`grow`](Allocator::grow).
    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let _ = (ptr, old, new);
        Err(AllocError)
    }

    /// Whether [`shrink`](Allocator::shrink) with the same arguments will succeed and leave the
    /// block where it is, whatever happens to other blocks before. An allocator may answer `false`
    /// always.
    ///
    /// # Safety
    ///
    /// As [`shrink`](Allocator::shrink).
    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        let _ = (ptr, old, new);
        false
    }

    /// Passes memory to `visit`, piece by piece, that together holds every block which was handed
    /// out since the last reset, was not freed, and ends when this value is reset or dropped.
    ///
    /// The pieces may hold other bytes as well, such as the links of freed blocks. A value that ends
    /// no block when it goes, because others lead to the same memory, passes nothing: a reference, a
    /// shared handle beside another or beside a weak one, the system's allocator.
    ///
    /// # Safety
    ///
    /// No block that ends with this value is used any more. Whatever `visit` writes, the value is
    /// only reset or dropped afterwards, or first asked again by what is around it.
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>]));
}

/// Passes `own_pointer`, `grow_in_place` and `shrinks_in_place` on to what a handle leads to.
macro_rules! through {
    () => {
        #[inline]
        unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
            // SAFETY: the caller's requirements are those of the same allocator.
            unsafe { (**self).own_pointer(block, layout) }
        }

        #[inline]
        unsafe fn grow_in_place(
            &self,
            ptr: NonNull<u8>,
            old: NonZeroLayout,
            new: NonZeroLayout,
        ) -> Result<NonNull<[u8]>, AllocError> {
            // SAFETY: the caller's requirements are those of the same allocator.
            unsafe { (**self).grow_in_place(ptr, old, new) }
        }

        #[inline]
        unsafe fn shrinks_in_place(
            &self,
            ptr: NonNull<u8>,
            old: NonZeroLayout,
            new: NonZeroLayout,
        ) -> bool {
            // SAFETY: the caller's requirements are those of the same allocator.
            unsafe { (**self).shrinks_in_place(ptr, old, new) }
        }
    };
}

// SAFETY: the answers are those of the same allocator, whose blocks outlive the reference.
unsafe impl<A: Contents + ?Sized> Contents for &A {
    through!();

    #[inline]
    unsafe fn ending(&mut self, _visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {}
}

/// The owning handles.
#[cfg(feature = "alloc")]
mod owning {
    use super::*;
    use crate::alloc_crate::boxed::Box;
    use crate::alloc_crate::rc::Rc;
    #[cfg(target_has_atomic = "ptr")]
    use crate::alloc_crate::sync::Arc;

    /// For handles beside which there may be others: the only one ends the blocks, and of several the
    /// last one, which is the only one by then.
    macro_rules! counted_handle {
        ($handle:ident) => {
            // SAFETY: the answers are those of the same allocator. Its blocks outlive the handle while
            // there is another one, or a weak one that may become another; otherwise they end with it.
            unsafe impl<A: Contents + ?Sized> Contents for $handle<A> {
                through!();

                #[inline]
                unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
                    if let Some(inner) = $handle::get_mut(self) {
                        // SAFETY: the caller's requirements: the allocator is dropped with its only
                        // handle.
                        unsafe { inner.ending(visit) }
                    }
                }
            }
        };
    }

    counted_handle!(Rc);
    #[cfg(target_has_atomic = "ptr")]
    counted_handle!(Arc);

    // SAFETY: the answers are those of the allocator in the box, which is dropped with it.
    unsafe impl<A: Contents + ?Sized> Contents for Box<A> {
        through!();

        #[inline]
        unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
            // SAFETY: the caller's requirements: the allocator in the box is reset or dropped
            // with it.
            unsafe { (**self).ending(visit) }
        }
    }
}
