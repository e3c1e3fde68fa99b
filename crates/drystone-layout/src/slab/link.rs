//! Links under a protection: how they are written, read and judged.
//!
//! A [`FreelistProtection`] is a safe trait, so its answers decide about detection only. Three
//! rules keep the kernel sound whatever it does: a link is checked against the slots as well; the
//! list is out of reach while the protection runs, so a call back finds it empty, and what such a
//! call frees is not on the list afterwards; and a panic of the protection ends the process.

use core::ptr::NonNull;

use drystone_core::{FreeLink, FreelistProtection, abort_on_unwind};

use super::kernel::SlotKernel;
use super::record::State;
use super::slot_list::{NONE, is_none, load, store};

/// What a free slot holds under a protection with tags. Without tags it holds the offset of the
/// next free slot, a `usize`, or [`NONE`].
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
    /// Runs the protection, with the list out of its reach.
    #[inline]
    pub(super) fn ask<R>(&self, question: impl FnOnce(&M) -> R) -> R {
        let head = self.slots.take_head();
        let outer = self.record.asking.replace(true);
        let answer = abort_on_unwind(|| question(&self.protection));
        self.record.asking.set(outer);
        if !is_none(self.slots.take_head()) {
            self.record.incomplete.set(true);
        }
        self.slots.set_head(head);
        answer
    }

    /// Writes the link of the slot at `offset`: to the slot at `next`, or [`NONE`].
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot at `offset`, whose index this is, belongs to
    /// nobody; `next` is none or a slot.
    #[inline]
    pub(super) unsafe fn write_link(
        &self,
        base: NonNull<u8>,
        offset: usize,
        index: usize,
        next: usize,
    ) {
        // SAFETY: a slot, by the caller's promise.
        let slot = unsafe { self.slot(base, offset) };
        if !M::TAGGED {
            // SAFETY: the slot belongs to nobody, a stride holds a `usize`, and I1 aligns it.
            unsafe { store(slot, Self::SLOT_ALIGN, next) };
            return;
        }
        let next = (!is_none(next)).then(|| narrow(self.index_of(next)));
        let link = FreeLink {
            slot: narrow(index),
            next,
            // SAFETY: the slot was handed out, so it is ready.
            epoch: unsafe { self.advance_epoch(base, index) },
        };
        let stored = TaggedLink {
            next: next.unwrap_or(END),
            tag: self.ask(|protection| protection.tag(link)),
        };
        // SAFETY: the slot belongs to nobody, a stride holds a `TaggedLink`, and I1 aligns it.
        unsafe { store(slot, Self::SLOT_ALIGN, stored) };
    }

    /// The slot that the link at `offset` leads to, [`NONE`] at the end; `None` if the link leads
    /// to no carved slot, to one whose state is not `accepted`, or does not verify.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot at `offset` was put on the list, and not
    /// handed out since.
    #[inline]
    pub(super) unsafe fn read_link(
        &self,
        base: NonNull<u8>,
        offset: usize,
        accepted: impl Fn(State) -> bool,
    ) -> Option<usize> {
        // SAFETY: a slot, by the caller's promise.
        let slot = unsafe { self.slot(base, offset) };
        if !M::TAGGED {
            // SAFETY: the slot holds a link or what somebody wrote over it; I1 aligns it.
            let next = unsafe { load::<usize>(slot, Self::SLOT_ALIGN) };
            let index = self.index_of(next);
            // SAFETY: the caller's promise about `base`.
            let sound = next == NONE || unsafe { self.may_follow(base, index, accepted) };
            return sound.then_some(next);
        }
        // SAFETY: as above.
        let stored = unsafe { load::<TaggedLink>(slot, Self::SLOT_ALIGN) };
        let next = (stored.next != END).then_some(stored.next);
        if let Some(next) = next {
            // SAFETY: the caller's promise about `base`.
            if !unsafe { self.may_follow(base, next as usize, accepted) } {
                return None;
            }
        }
        let index = self.index_of(offset);
        let link = FreeLink {
            slot: narrow(index),
            next,
            // SAFETY: the slot was handed out, so it is ready.
            epoch: unsafe { self.epoch(base, index) },
        };
        let verified = self.ask(|protection| protection.verify(link, stored.tag));
        verified.then(|| next.map_or(NONE, |next| self.offset_at(next as usize)))
    }

    /// Whether a link may lead to what has this index: a carved slot of an accepted state.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    #[inline]
    unsafe fn may_follow(
        &self,
        base: NonNull<u8>,
        index: usize,
        accepted: impl Fn(State) -> bool,
    ) -> bool {
        if M::OCCUPANCY {
            index < self.record.ready_slots.get() as usize
                // SAFETY: the slot is ready, and the protection has occupancy.
                && accepted(unsafe { self.state(base, index) })
        } else {
            index < self.carved_slots()
        }
    }

    /// Takes the link out of a slot that is about to be handed out.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot at `offset` belongs to nobody.
    #[inline]
    pub(super) unsafe fn clear_link(&self, base: NonNull<u8>, offset: usize) {
        // SAFETY: a slot, by the caller's promise.
        let slot = unsafe { self.slot(base, offset) };
        if M::TAGGED {
            let nothing = TaggedLink { next: 0, tag: 0 };
            // SAFETY: the slot belongs to nobody, a stride holds a `TaggedLink`, and I1 aligns it.
            unsafe { store(slot, Self::SLOT_ALIGN, nothing) };
        } else {
            // SAFETY: as above, of a `usize`.
            unsafe { store(slot, Self::SLOT_ALIGN, 0usize) };
        }
    }
}

/// An index in the form that a protection sees.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the capacity fits a u32")]
fn narrow(index: usize) -> u32 {
    index as u32
}
