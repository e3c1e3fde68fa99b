//! [`Batch`]: a few slots that one thread has, side by side.
//!
//! Their pointers lie in an array, so that slots go from thread to thread without a line of theirs being
//! written: 254 pointers are 32 lines, and 254 links would be 254.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// The most slots of a batch. With two numbers they are 256 words. Few under loom, where each is a step of
/// every model.
pub(crate) const BATCH_MAX: u32 = if cfg!(loom) { 3 } else { 254 };

/// Up to [`BATCH_MAX`] slots. Whoever drops it with slots loses them.
#[derive(Debug)]
#[must_use]
pub(crate) struct Batch<T> {
    // I1: the first `len` are set, and the holder's.
    slots: [MaybeUninit<NonNull<T>>; BATCH_MAX as usize],
    len: u32,
}

// SAFETY: the slots are the holder's alone; who uses them answers for what they hold.
unsafe impl<T> Send for Batch<T> {}

impl<T> Batch<T> {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const { MaybeUninit::uninit() }; BATCH_MAX as usize],
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a slot.
    ///
    /// # Panics
    ///
    /// If the batch is full.
    #[inline]
    pub(crate) fn push(&mut self, slot: NonNull<T>) {
        self.slots[self.len as usize] = MaybeUninit::new(slot);
        self.len += 1;
    }

    /// Takes the slot that was added last.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: set, by I1.
        Some(unsafe { self.slots[self.len as usize].assume_init() })
    }
}
