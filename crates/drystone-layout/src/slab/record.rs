//! The record: what a kernel keeps about its slots outside them.
//!
//! ```text
//!   record.offset                                    start
//!   │                                                  │
//!   ┌──────────────────────┬───────────────────────────┬────────┬────────┬─
//!   │ state 0, 1, 2 … each │ … 2, 1, 0: the epochs,    │ slot 0 │ slot 1 │
//!   │ a byte               │ 4 bytes each, downwards   │        │        │
//!   └──────────────────────┴───────────────────────────┴────────┴────────┴─
//! ```
//!
//! The record lies before the slots, because a write past the end of a block runs upwards: from no
//! slot does it reach the record. A write before the first slot does; the states, which decide
//! what is handed out, lie farther from it than the epochs.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use drystone_core::FreelistProtection;

use super::kernel::SlotKernel;
use super::slot_list::{load, store};

/// What a slot is. Any byte is a state, so reading what a wild write left behind is no mistake of
/// its own: a state that is none of these is not free, and not live either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct State(u8);

impl State {
    /// Never handed out since the last reset.
    pub(super) const NEVER: Self = Self(0);
    /// On the free list.
    pub(super) const FREE: Self = Self(1);
    /// Handed out.
    pub(super) const LIVE: Self = Self(2);
    /// Free, but its link was damaged: somebody writes to it, so it is not handed out again.
    pub(super) const WITHHELD: Self = Self(3);
}

/// Where the record lies, and what is counted beside it.
#[derive(Debug)]
pub(super) struct Record {
    /// The offset of the first byte.
    pub(super) offset: usize,
    /// How many slots have a record that is written (I6). 0 where there is none to write.
    pub(super) ready_slots: Cell<u32>,
    /// How many slots are marked free (I7).
    pub(super) free_slots: Cell<u32>,
    /// The protection runs, and the list is out of its reach.
    pub(super) asking: Cell<bool>,
    /// A call back freed slots, which are marked free and on no list.
    pub(super) incomplete: Cell<bool>,
}

impl Record {
    pub(super) const fn new(offset: usize) -> Self {
        Self {
            offset,
            ready_slots: Cell::new(0),
            free_slots: Cell::new(0),
            asking: Cell::new(false),
            incomplete: Cell::new(false),
        }
    }
}

impl<T, M: FreelistProtection> SlotKernel<T, M> {
    /// Bytes of a state.
    const STATE_BYTES: usize = if M::OCCUPANCY { 1 } else { 0 };

    /// Bytes of an epoch.
    const EPOCH_BYTES: usize = if M::TAGGED && M::EPOCHS { 4 } else { 0 };

    /// Bytes of the record for each slot.
    pub(super) const RECORD_BYTES: usize = Self::STATE_BYTES + Self::EPOCH_BYTES;

    /// The state of a slot.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the protection has occupancy, and `index` is below
    /// `ready_slots`.
    #[inline]
    pub(super) unsafe fn state(&self, base: NonNull<u8>, index: usize) -> State {
        debug_assert!(index < self.record.ready_slots.get() as usize);
        // SAFETY: the states lie in the range from `offset` on, one for each slot (I6).
        let state = unsafe { base.add(self.record.offset + index) };
        // SAFETY: the state is written (I6), and every byte is one.
        unsafe { state.cast::<State>().read() }
    }

    /// Changes the state of a slot.
    ///
    /// # Safety
    ///
    /// As [`state`](Self::state).
    #[inline]
    pub(super) unsafe fn set_state(&self, base: NonNull<u8>, index: usize, state: State) {
        debug_assert!(index < self.record.ready_slots.get() as usize);
        // SAFETY: as in `state`.
        let byte = unsafe { base.add(self.record.offset + index) };
        // SAFETY: the byte is part of the record, which nothing else uses.
        unsafe { byte.cast::<State>().write(state) };
    }

    /// A pointer to the epoch of a slot.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the protection has epochs, and `index` is that of a
    /// slot.
    #[inline]
    unsafe fn epoch_place(&self, base: NonNull<u8>, index: usize) -> NonNull<u8> {
        // SAFETY: the epochs lie in the range below `start`, one for each slot (I6).
        unsafe { base.add(self.start - Self::EPOCH_BYTES * (index + 1)) }
    }

    /// How often the slot was put on the list; 0 without epochs.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slot with this index is ready.
    #[inline]
    pub(super) unsafe fn epoch(&self, base: NonNull<u8>, index: usize) -> u32 {
        if Self::EPOCH_BYTES == 0 {
            return 0;
        }
        // SAFETY: the caller's promise.
        let place = unsafe { self.epoch_place(base, index) };
        // SAFETY: the epoch is written (I6); it lies a multiple of 4 below a slot.
        unsafe { load::<u32>(place, Self::SLOT_ALIGN) }
    }

    /// Counts one more time that the slot is put on the list, and returns the count.
    ///
    /// # Safety
    ///
    /// As [`epoch`](Self::epoch).
    #[inline]
    pub(super) unsafe fn advance_epoch(&self, base: NonNull<u8>, index: usize) -> u32 {
        if Self::EPOCH_BYTES == 0 {
            return 0;
        }
        // SAFETY: the caller's promise.
        let epoch = unsafe { self.epoch(base, index) }.wrapping_add(1);
        // SAFETY: as above.
        let place = unsafe { self.epoch_place(base, index) };
        // SAFETY: the bytes are part of the record; they lie a multiple of 4 below a slot.
        unsafe { store(place, Self::SLOT_ALIGN, epoch) };
        epoch
    }

    /// The parts of the record that describe the slots `from .. to`, each as an offset and a
    /// length.
    pub(super) fn record_parts(&self, from: usize, to: usize) -> [(usize, usize); 2] {
        [
            (self.record.offset + from, Self::STATE_BYTES * (to - from)),
            (
                self.start - Self::EPOCH_BYTES * to,
                Self::EPOCH_BYTES * (to - from),
            ),
        ]
    }

    /// Writes the record of the slots `from .. to`: never handed out, never freed.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the bytes of the parts are committed.
    pub(super) unsafe fn write_record(&self, base: NonNull<u8>, from: usize, to: usize) {
        for (offset, len) in self.record_parts(from, to) {
            // SAFETY: the parts lie in the range (I6).
            let part = unsafe { base.add(offset) };
            // SAFETY: the part is committed, and nothing else uses it. Both a state that is
            // `NEVER` and an epoch of 0 are zeros.
            unsafe { ptr::write_bytes(part.as_ptr(), State::NEVER.0, len) };
        }
    }

    /// Marks the slots `0 .. to` as never handed out. Their epochs go on, so that links from
    /// before do not verify.
    ///
    /// # Safety
    ///
    /// As said at [`SlotKernel`] of `base`; the slots are ready.
    pub(super) unsafe fn clear_states(&self, base: NonNull<u8>, to: usize) {
        let [(offset, len), _] = self.record_parts(0, to);
        // SAFETY: the states lie in the range (I6).
        let states = unsafe { base.add(offset) };
        // SAFETY: as above; nothing else uses them.
        unsafe { ptr::write_bytes(states.as_ptr(), State::NEVER.0, len) };
        self.record.free_slots.set(0);
        self.record.incomplete.set(false);
    }
}
