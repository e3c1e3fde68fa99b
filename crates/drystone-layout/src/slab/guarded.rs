//! Taking and giving back slots under a protection.
//!
//! With occupancy three facts hold between any two steps, whatever stands in the slots and whatever
//! the protection does: the head of the list is none or a slot marked free (I8); a slot becomes
//! live only from there or from the carve cursor, and is marked so at once; and a link is followed
//! only to a slot marked free. So the list may be damaged in any way, and no live slot is handed
//! out.

use core::ptr::NonNull;

use drystone_core::{FreelistProtection, Misuse, NonZeroLayout};

use super::kernel::SlotKernel;
use super::record::State;
use super::slot_list::{Origin, is_none};

/// The slot at the head of the list, which was not handed out: its link is damaged.
pub(super) struct Damaged {
    pub(super) offset: usize,
}

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// Takes the slot that was freed last.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    #[inline]
    pub(super) unsafe fn pop_guarded(&self, base: NonNull<u8>) -> Option<usize> {
        // SAFETY: the caller's promise.
        match unsafe { self.try_pop(base) } {
            Ok(popped) => popped,
            // SAFETY: as above, and the slot was just found damaged.
            Err(damaged) => unsafe { self.recover(base, damaged) },
        }
    }

    /// Takes the slot that was freed last, if its link is sound. A damaged slot is marked live and
    /// stays the head: the caller has to see to it.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    #[inline]
    pub(super) unsafe fn try_pop(&self, base: NonNull<u8>) -> Result<Option<usize>, Damaged> {
        let head = self.slots.head();
        if is_none(head) {
            return Ok(None);
        }
        if M::OCCUPANCY {
            // Before the link is judged, so that it cannot lead to its own slot.
            // SAFETY: the head is a slot that was handed out before (I8), so it is ready.
            unsafe { self.set_state(base, self.index_of(head), State::LIVE) };
        }
        // SAFETY: the head is on the list.
        let next = unsafe { self.read_link(base, head, |state| state == State::FREE) };
        let Some(next) = next else {
            return Err(Damaged { offset: head });
        };
        self.slots.set_head(next);
        if M::OCCUPANCY {
            let free = self.record.free_slots.get();
            self.record.free_slots.set(free.wrapping_sub(1));
        }
        // SAFETY: the slot has left the list and is not handed out yet.
        unsafe { self.clear_link(base, head) };
        Ok(Some(head))
    }

    /// Puts a slot on the list.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot at `offset`, whose index this is, belongs to
    /// nobody and is not on the list.
    #[inline]
    pub(super) unsafe fn push_guarded(&self, base: NonNull<u8>, offset: usize, index: usize) {
        if M::OCCUPANCY {
            // Before the protection runs, so that freeing the slot once more from there is a
            // double free. Nothing hands the slot out meanwhile: it is on no list, and no list is
            // mended while the protection runs.
            // SAFETY: the slot was handed out before, so it is ready.
            unsafe { self.set_state(base, index, State::FREE) };
            let free = self.record.free_slots.get();
            self.record.free_slots.set(free.wrapping_add(1));
        }
        // SAFETY: the caller's promise; the head is none or a slot.
        unsafe { self.write_link(base, offset, index, self.slots.head()) };
        self.slots.set_head(offset);
    }

    /// The index of the live slot at `offset`, which `layout` fits.
    ///
    /// # Errors
    ///
    /// [`Misuse`] says why it would be wrong to free it so.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the protection has occupancy.
    #[inline]
    pub(crate) unsafe fn check_live(
        &self,
        base: NonNull<u8>,
        offset: usize,
        layout: NonZeroLayout,
    ) -> Result<usize, Misuse> {
        let index = self.index_of(offset);
        if index < self.record.ready_slots.get() as usize
            // SAFETY: the slot is ready, and the protection has occupancy.
            && unsafe { self.state(base, index) } == State::LIVE
            && Self::fits(layout)
        {
            return Ok(index);
        }
        // SAFETY: the caller's promise.
        Err(unsafe { self.misuse_of(base, offset) })
    }

    /// What is wrong with freeing `offset`, which [`check_live`](Self::check_live) refuses.
    #[cold]
    #[inline(never)]
    unsafe fn misuse_of(&self, base: NonNull<u8>, offset: usize) -> Misuse {
        // SAFETY: the caller's promise.
        match unsafe { self.validate(Origin::of_offsets(base), offset) } {
            Err(misuse) => misuse,
            Ok(_) => Misuse::LayoutMismatch,
        }
    }

    /// Counts a misuse or a damage, and tells the protection's policy.
    #[cold]
    #[inline(never)]
    pub(crate) fn report(&self, misuse: Misuse, base: NonNull<u8>, offset: usize) {
        let events = self.corruption_events.get();
        self.corruption_events.set(events.saturating_add(1));
        let address = base.addr().get().wrapping_add(offset);
        self.ask(|protection| protection.on_misuse(misuse, address));
    }
}
