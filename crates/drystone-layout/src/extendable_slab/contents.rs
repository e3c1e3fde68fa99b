//! [`Contents`] for [`ExtendableSlab`]: the slots of every segment.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, FreelistProtection, NonZeroLayout, SegmentSource};

use super::ExtendableSlab;
use super::shape::GROUP_SLOTS;

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// The block at `ptr`, by its segment's own base.
    #[inline]
    pub(super) fn through_segment(&self, ptr: NonNull<u8>) -> NonNull<u8> {
        let address = ptr.addr().get();
        let base = self
            .index
            .find(address)
            .and_then(|segment| NonNull::new(segment.base()));
        debug_assert!(base.is_some(), "not a block of this slab");
        // SAFETY: the offset of a slot lies in its segment.
        base.map_or(ptr, |base| unsafe { base.add(self.offset_of(address)) })
    }
}

// SAFETY: pointers come from the base of a segment, which stays while a block of it is live (E3), and
// reach all of it; a slot never moves; slots are handed out from opened groups only.
unsafe impl<T, M: FreelistProtection, S: SegmentSource> Contents for ExtendableSlab<T, M, S> {
    /// Looks the address up.
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        self.through_segment(block)
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same, and slots do not move.
        unsafe { drystone_core::Allocator::grow(self, ptr, old, new) }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        _ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        Self::fits(new)
    }

    /// The slots of every group that was opened, in all segments.
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        let mut next = self.growth.locked(|state| state.descriptors().next());
        while let Some(segment) = next {
            next = segment.older();
            if let Some(base) = NonNull::new(segment.base()) {
                let opened = segment.opened() as usize * GROUP_SLOTS;
                let len = opened.min(self.segment_capacity()) * Self::STRIDE;
                let mut slots = NonNull::slice_from_raw_parts(base.cast::<MaybeUninit<u8>>(), len);
                // SAFETY: the slots of a segment are committed when it is mapped; nobody else uses
                // the slab, every block ends, and links are read again only after a reset.
                visit(unsafe { slots.as_mut() });
            }
        }
    }
}
