//! What happens when a link is found damaged.
//!
//! Without occupancy the list is let go: its slots are lost until the next reset. With occupancy
//! the damaged slot is withheld, since somebody still writes to it, and the list is linked anew
//! from the states of the slots. That takes time in proportion to the slots carved; it happens at
//! most once for each slot, because each time withholds one or finds all that were missing.

use core::ptr::NonNull;

use drystone_core::{FreelistProtection, Misuse};

use super::guarded::Damaged;
use super::kernel::SlotKernel;
use super::record::State;
use super::slot_list::NONE;

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// Reports the damage, mends the list, and takes a slot from it.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; [`try_pop`](Self::try_pop) just found the damage.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn recover(&self, base: NonNull<u8>, damaged: Damaged) -> Option<usize> {
        let mut offset = damaged.offset;
        loop {
            self.slots.take_head();
            if !M::OCCUPANCY {
                self.report(Misuse::DamagedLink, base, offset);
                return None;
            }
            // SAFETY: the slot is marked live and counted free, and nobody has it.
            unsafe { self.withhold(base, offset) };
            if self.record.asking.get() {
                // An outer step holds a part of the list: it cannot be linked anew now.
                self.record.incomplete.set(true);
                return None;
            }
            // SAFETY: the caller's promise; no step is under way.
            unsafe { self.relink(base) };
            // SAFETY: the caller's promise.
            match unsafe { self.try_pop(base) } {
                Ok(popped) => return popped,
                Err(damaged) => offset = damaged.offset,
            }
        }
    }

    /// Takes a slot that is marked free, when the list is empty and no slot is left to carve.
    /// There is none unless somebody made a link lead past it, or a protection called back.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn find_missing(&self, base: NonNull<u8>) -> Option<usize> {
        if self.record.free_slots.get() == 0 || self.record.asking.get() {
            return None;
        }
        if !self.record.incomplete.get() {
            let missing = (0..self.carved_slots())
                // SAFETY: carved slots are ready.
                .find(|&index| unsafe { self.state(base, index) } == State::FREE)?;
            self.report(Misuse::DamagedLink, base, self.offset_at(missing));
        }
        // SAFETY: the caller's promise; no step is under way.
        unsafe { self.relink(base) };
        // SAFETY: the caller's promise.
        unsafe { self.pop_guarded(base) }
    }

    /// Never hands out the slot at `offset` again, until a reset.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot is counted free, and nobody has it.
    unsafe fn withhold(&self, base: NonNull<u8>, offset: usize) {
        // SAFETY: the slot was handed out before, so it is ready.
        unsafe { self.set_state(base, self.index_of(offset), State::WITHHELD) };
        let free = self.record.free_slots.get();
        self.record.free_slots.set(free.wrapping_sub(1));
        self.report(Misuse::DamagedLink, base, offset);
    }

    /// Links all slots that are marked free, lowest first, and withholds those whose own link is
    /// damaged.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; no outer step holds a part of the list.
    unsafe fn relink(&self, base: NonNull<u8>) {
        self.slots.take_head();
        for index in 0..self.carved_slots() {
            let offset = self.offset_at(index);
            // SAFETY: carved slots are ready.
            if unsafe { self.state(base, index) } != State::FREE {
                continue;
            }
            // Any state is accepted: a slot that was missing may lead to one that is live by now.
            // SAFETY: a free slot was put on the list and not handed out since.
            if unsafe { self.read_link(base, offset, |_| true) }.is_none() {
                // SAFETY: the slot is free, and not on the list, which is empty.
                unsafe { self.withhold(base, offset) };
            }
        }
        self.record.incomplete.set(false);
        let mut head = NONE;
        for index in (0..self.carved_slots()).rev() {
            // SAFETY: carved slots are ready.
            if unsafe { self.state(base, index) } != State::FREE {
                continue;
            }
            let offset = self.offset_at(index);
            // SAFETY: the slot belongs to nobody; `head` is none or a slot.
            unsafe { self.write_link(base, offset, index, head) };
            head = offset;
        }
        self.slots.set_head(head);
    }
}
