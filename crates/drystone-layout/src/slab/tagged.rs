//! The free list under a [`FreelistProtection`] with tags.
//!
//! The protection is a safe trait, so its answers decide about detection only. Three rules keep
//! the slab sound whatever it does: a link is checked against the carved slots as well; the list
//! is taken away while the protection runs, in walks too, so a call back into the slab finds it
//! empty, and what such a call frees is lost; and a panic of the protection ends the process.

use core::ptr::NonNull;

use drystone_core::{FreeLink, FreelistProtection, abort_on_unwind};

use super::kernel::SlotKernel;
use super::slot_list::{NONE, is_none, load, store};

/// What a free slot holds under a protection with tags.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TaggedLink {
    /// The index of the next free slot, or [`END`].
    next: u32,
    tag: u32,
}

/// The end of the list. No slot has this index: a capacity is at most `u32::MAX - 1`.
const END: u32 = u32::MAX;

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// The index of the slot at `offset`. A division by a constant.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the capacity fits a u32")]
    fn index_of(&self, offset: usize) -> u32 {
        ((offset - self.start) / Self::STRIDE) as u32
    }

    /// The offset of the slot with this index.
    #[inline]
    fn offset_at(&self, index: u32) -> usize {
        self.start + index as usize * Self::STRIDE
    }

    /// Takes the slot that was freed last. A link that does not verify ends the list: `None`.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    #[inline]
    pub(super) unsafe fn pop_tagged(&self, base: NonNull<u8>) -> Option<usize> {
        let head = self.slots.take_head();
        if is_none(head) {
            return None;
        }
        // SAFETY: the head was on the list, and the caller vouches for `base`.
        match unsafe { self.verified_next(base, head) } {
            Some(next) => {
                self.slots.set_head(next);
                Some(head)
            }
            None => {
                self.count_corruption();
                None
            }
        }
    }

    /// Puts the slot at `offset` on the list.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot belongs to nobody and is not on the list.
    #[inline]
    pub(super) unsafe fn push_tagged(&self, base: NonNull<u8>, offset: usize) {
        let head = self.slots.take_head();
        debug_assert_ne!(head, offset, "double free");
        let next = (!is_none(head)).then(|| self.index_of(head));
        let link = FreeLink {
            slot: self.index_of(offset),
            next,
            epoch: 0,
        };
        let stored = TaggedLink {
            next: next.unwrap_or(END),
            tag: abort_on_unwind(|| self.protection.tag(link)),
        };
        // SAFETY: a slot, by the caller's promise.
        let slot = unsafe { self.slot(base, offset) };
        // SAFETY: the slot is free by the caller's promise, a stride holds a `TaggedLink`, and the
        // slot is aligned by I1.
        unsafe { store(slot, Self::SLOT_ALIGN, stored) };
        self.slots.set_head(offset);
    }

    /// The offset after `offset` on the list, [`NONE`] at its end; `None` if the link there names
    /// a slot that is not carved or does not verify.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot at `offset` is or was just on the list.
    #[inline]
    pub(super) unsafe fn verified_next(&self, base: NonNull<u8>, offset: usize) -> Option<usize> {
        // SAFETY: a slot, by the caller's promise.
        let slot = unsafe { self.slot(base, offset) };
        // SAFETY: the slot is on the list, so it holds a link or what somebody wrote over it; it
        // is aligned by I1.
        let stored: TaggedLink = unsafe { load(slot, Self::SLOT_ALIGN) };
        let next = (stored.next != END).then_some(stored.next);
        let link = FreeLink {
            slot: self.index_of(offset),
            next,
            epoch: 0,
        };
        let carved = (self.slots.carved() - self.start) / Self::STRIDE;
        let inside = next.is_none_or(|index| (index as usize) < carved);
        if inside && abort_on_unwind(|| self.protection.verify(link, stored.tag)) {
            Some(next.map_or(NONE, |index| self.offset_at(index)))
        } else {
            None
        }
    }
}
