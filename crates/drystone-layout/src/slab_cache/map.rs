//! [`SlabMap`]: where the occupancy map of a slab lies.

use core::marker::PhantomData;
use core::ptr::NonNull;

use super::header::SlabRef;
use super::shape::Shape;
use crate::slots::occupancy::Map;

/// The occupancy map of a slab.
pub(super) struct SlabMap<T, P, L, const SLAB_SIZE: usize> {
    // M1: a slab with a header, under its lock or not yet attached.
    slab: SlabRef,
    types: PhantomData<Shape<T, P, L, SLAB_SIZE>>,
}

impl<T, P, L, const SLAB_SIZE: usize> Clone for SlabMap<T, P, L, SLAB_SIZE> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, P, L, const SLAB_SIZE: usize> Copy for SlabMap<T, P, L, SLAB_SIZE> {}

impl<T, P, L, const SLAB_SIZE: usize> SlabMap<T, P, L, SLAB_SIZE> {
    /// The map of a slab.
    ///
    /// # Safety
    ///
    /// The slab has a header. The map is used only while the lock is held, or before the slab is
    /// attached.
    #[inline]
    pub(super) const unsafe fn of(slab: SlabRef) -> Self {
        Self {
            slab,
            types: PhantomData,
        }
    }
}

// SAFETY: the shape leaves room for the words and links of the larger kind of slab, aligned, apart
// from all else, and gives both kinds a slot. By M1 nobody else uses them.
unsafe impl<T, P, L, const SLAB_SIZE: usize> Map for SlabMap<T, P, L, SLAB_SIZE> {
    #[inline]
    fn slots(self) -> u32 {
        // SAFETY: the slab has a header (M1).
        if unsafe { self.slab.header() }.is_master(self.slab) {
            Shape::<T, P, L, SLAB_SIZE>::MASTER_SLOTS
        } else {
            Shape::<T, P, L, SLAB_SIZE>::SLAVE_SLOTS
        }
    }

    #[inline]
    fn words(self) -> NonNull<usize> {
        let offset = Shape::<T, P, L, SLAB_SIZE>::WORDS_OFFSET;
        // SAFETY: the offset is inside the slab.
        unsafe { self.slab.base().add(offset) }.cast()
    }

    #[inline]
    fn links(self) -> NonNull<u32> {
        let offset = Shape::<T, P, L, SLAB_SIZE>::LINKS_OFFSET;
        // SAFETY: the offset is inside the slab.
        unsafe { self.slab.base().add(offset) }.cast()
    }
}
