//! [`Shape`]: where everything lies in a slab. Constants of the types, arithmetic only.
#![forbid(unsafe_code)]

use core::alloc::Layout;
use core::marker::PhantomData;

use drystone_core::arith;

use super::header::{Header, Master};
use crate::slots::geometry::{slots_in, words_for};

/// The most slots of a slab: half of what its count can hold.
const SLOTS_MAX: u32 = i32::MAX as u32;

/// The offsets in a slab of `SLAB_SIZE` bytes.
pub(super) struct Shape<T, P, L, const SLAB_SIZE: usize>(PhantomData<(T, P, L)>);

impl<T, P, L, const SLAB_SIZE: usize> Shape<T, P, L, SLAB_SIZE> {
    /// What is asked of the provider.
    pub(super) const LAYOUT: Layout = {
        assert!(
            SLAB_SIZE.is_power_of_two(),
            "the size of a slab is a power of two"
        );
        match Layout::from_size_align(SLAB_SIZE, SLAB_SIZE) {
            Ok(layout) => layout,
            Err(_) => panic!("the size of a slab exceeds what memory can have"),
        }
    };

    /// The distance between two slots, which is the size of `T`.
    pub(super) const STRIDE: usize = {
        assert!(size_of::<T>() > 0, "a slab cache of a zero-sized type");
        size_of::<T>()
    };

    /// The slots of a slave.
    pub(super) const SLAVE_SLOTS: u32 = {
        let slots = slots_in(
            Self::LAYOUT.size().saturating_sub(Self::WORDS_OFFSET),
            Self::STRIDE,
        );
        assert!(
            slots >= 2,
            "fewer than two values fit in a slab beside its header"
        );
        if slots > SLOTS_MAX { SLOTS_MAX } else { slots }
    };

    /// The slots of the master. Its map is as large as that of a slave.
    pub(super) const MASTER_SLOTS: u32 = {
        let used = Self::MASTER_OFFSET + size_of::<Master<P, L>>();
        let fit = SLAB_SIZE.saturating_sub(used) / Self::STRIDE;
        assert!(
            fit >= 2,
            "fewer than two values fit in the master slab beside its header, lock and provider"
        );
        if fit < Self::SLAVE_SLOTS as usize {
            fit as u32
        } else {
            Self::SLAVE_SLOTS
        }
    };

    const WORDS: usize = words_for(Self::SLAVE_SLOTS) as usize;

    /// The words of the occupancy map come after the header,
    pub(super) const WORDS_OFFSET: usize = {
        assert!(align_of::<Header>() >= align_of::<usize>());
        size_of::<Header>()
    };

    /// then their links,
    pub(super) const LINKS_OFFSET: usize = Self::WORDS_OFFSET + Self::WORDS * size_of::<usize>();

    /// then, in a master, what the whole hierarchy shares.
    pub(super) const MASTER_OFFSET: usize = {
        let after = Self::LINKS_OFFSET + Self::WORDS * size_of::<u32>();
        match arith::align_up(after, align_of::<Master<P, L>>()) {
            Some(offset) => offset,
            None => panic!("the provider's alignment exceeds the address space"),
        }
    };

    /// The offset of a slot from the base of its slab: slots are counted from the end, where every
    /// slab has them, master or not.
    #[inline]
    pub(super) const fn slot_offset(index: u32) -> usize {
        SLAB_SIZE - (index as usize + 1) * Self::STRIDE
    }

    /// The index that a slot at `address` would have. An offset beyond the last slot gives an index
    /// that no slab has. `None` if no slot starts there.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "compared before")]
    pub(super) const fn index_at(address: usize) -> Option<u32> {
        // Of slot `i`, `(i + 1) * STRIDE - 1`.
        let to_last_byte = !address & (SLAB_SIZE - 1);
        let index = to_last_byte / Self::STRIDE;
        if to_last_byte % Self::STRIDE == Self::STRIDE - 1 && index <= SLOTS_MAX as usize {
            Some(index as u32)
        } else {
            None
        }
    }
}
