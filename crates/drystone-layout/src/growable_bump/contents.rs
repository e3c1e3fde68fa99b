//! [`Contents`] for [`GrowableBump`]: the used bytes of the segments in use.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Contents, NonZeroLayout, SegmentSource};

use super::GrowableBump;
use super::segment::Segment;

// SAFETY: pointers come from a segment's base and reach all of it; an aligned block shrinks where it
// lies; live blocks lie between the header and the used bytes' end of a segment in use (I3).
unsafe impl<S: SegmentSource> Contents for GrowableBump<S> {
    /// Looks for the segment of a block that is not in the current one.
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        let current = self.current.get().filter(|segment| segment.contains(block));
        let home = current.or_else(|| self.in_use().find(|segment| segment.contains(block)));
        debug_assert!(home.is_some(), "not a block of this arena");
        home.map_or(block, |segment| {
            Self::at(segment, block.addr().get() - segment.address())
        })
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        GrowableBump::grow_in_place(self, ptr, old, new).ok_or(AllocError)
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        _old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        Self::is_aligned(ptr, new)
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        for segment in self.in_use() {
            let header = Segment::<S::Segment>::HEADER_BYTES;
            let start = Self::at(segment, header).cast::<MaybeUninit<u8>>();
            let len = self.used_of(segment) - header;
            let mut used = NonNull::slice_from_raw_parts(start, len);
            // SAFETY: the used bytes are committed (I2), the header lies before them, and every
            // block in them ends.
            visit(unsafe { used.as_mut() });
        }
    }
}
