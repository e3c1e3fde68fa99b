//! [`Contents`] for [`SizeClassed`]: the blocks of every class, through the range's own base.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, FixedRange, NonZeroLayout};

use super::{Plan, SizeClassed};

impl<B: FixedRange, const CLASSES: usize> SizeClassed<B, CLASSES> {
    /// The class of both layouts, if they have the same one.
    #[inline]
    fn common_class(&self, old: NonZeroLayout, new: NonZeroLayout) -> Option<usize> {
        let class = self.class_of(new)?;
        (self.class_of(old) == Some(class)).then_some(class)
    }

    /// Passes the bytes from one offset to another.
    ///
    /// # Safety
    ///
    /// They lie in the range, are committed, and are used by nobody.
    unsafe fn visit(
        &self,
        (start, end): (usize, usize),
        visit: &mut dyn FnMut(&mut [MaybeUninit<u8>]),
    ) {
        let start_byte = self.pointer(start).cast::<MaybeUninit<u8>>();
        let mut bytes = NonNull::slice_from_raw_parts(start_byte, end - start);
        // SAFETY: the caller's promise.
        visit(unsafe { bytes.as_mut() });
    }
}

// SAFETY: pointers come from the range's base and reach all of it; a block stays where it is within
// its class; what was handed out was cut from the runs, or from below the cursor of its class.
unsafe impl<B: FixedRange, const CLASSES: usize> Contents for SizeClassed<B, CLASSES> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        self.pointer(self.offset_of(block))
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let class = self.common_class(old, new).ok_or(AllocError)?;
        Ok(self.block(self.offset_of(ptr), class))
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        _ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        self.common_class(old, new).is_some()
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        match &self.plan {
            Plan::Shared(shared) => {
                let runs = (self.start, shared.cursor.get());
                // SAFETY: runs lie in the range and are committed; every block in them ends, and
                // links are read again only after a reset. The records lie behind.
                unsafe { self.visit(runs, visit) };
            }
            Plan::Strict {
                slots_per_class, ..
            } => {
                for (class, state) in self.classes.iter().enumerate() {
                    if let Some((first, _)) = self.region(class, *slots_per_class) {
                        // SAFETY: as above, of the blocks that the class has cut.
                        unsafe { self.visit((first, state.slots.carved()), visit) };
                    }
                }
            }
        }
    }
}
