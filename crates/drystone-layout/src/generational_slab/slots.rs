//! [`Slots`]: the one place where a slab makes pointers to its slots.

use core::mem::{ManuallyDrop, offset_of};
use core::ptr::NonNull;

/// A slot: a value or a link, and its generation. The generation comes last: a lookup in random
/// order then has both lines on their way at once, which measures faster than one line for both.
#[repr(C)]
pub(super) struct Slot<T, G> {
    content: Content<T>,
    generation: G,
}

#[repr(C)]
union Content<T> {
    _value: ManuallyDrop<T>,
    _next_free: u32,
}

/// The slots, by the address of the first, with provenance for all.
pub(super) struct Slots<T, G> {
    first: NonNull<Slot<T, G>>,
}

impl<T, G> Clone for Slots<T, G> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, G> Copy for Slots<T, G> {}

impl<T, G: Copy> Slots<T, G> {
    /// Slots from `first` on.
    #[inline]
    pub(super) const fn new(first: NonNull<u8>) -> Self {
        Self {
            first: first.cast(),
        }
    }

    /// # Safety
    ///
    /// The slots have room at `index`.
    #[inline]
    unsafe fn slot(self, index: u32) -> NonNull<Slot<T, G>> {
        // SAFETY: the caller says that the slot lies in the range behind `first`.
        unsafe { self.first.add(index as usize) }
    }

    /// Where the generation of a slot lies.
    ///
    /// # Safety
    ///
    /// The slot at `index` exists.
    #[inline]
    unsafe fn generation_place(self, index: u32) -> NonNull<G> {
        // SAFETY: the slot exists.
        let slot = unsafe { self.slot(index) };
        // SAFETY: a field of the slot.
        let generation = unsafe { slot.byte_add(offset_of!(Slot<T, G>, generation)) };
        generation.cast()
    }

    /// The generation of a slot.
    ///
    /// # Safety
    ///
    /// The slot at `index` exists, is aligned, has a generation, and nobody writes to it meanwhile.
    #[inline]
    pub(super) unsafe fn generation(self, index: u32) -> G {
        // SAFETY: the slot exists.
        let generation = unsafe { self.generation_place(index) };
        // SAFETY: a field of an aligned slot, written before, by the caller's promise.
        unsafe { generation.read() }
    }

    /// Writes the generation of a slot.
    ///
    /// # Safety
    ///
    /// The slot at `index` exists, is aligned, and nobody else uses its generation meanwhile.
    #[inline]
    pub(super) unsafe fn set_generation(self, index: u32, generation: G) {
        // SAFETY: the slot exists.
        let place = unsafe { self.generation_place(index) };
        // SAFETY: a field of an aligned slot that nobody else uses.
        unsafe { place.write(generation) };
    }

    /// Where the value of a slot lies: aligned for `T`, with room for a `T` and for a link.
    ///
    /// # Safety
    ///
    /// The slot at `index` exists.
    #[inline]
    pub(super) unsafe fn value(self, index: u32) -> NonNull<T> {
        // SAFETY: the slot exists.
        let slot = unsafe { self.slot(index) };
        // SAFETY: a field of the slot.
        let content = unsafe { slot.byte_add(offset_of!(Slot<T, G>, content)) };
        content.cast()
    }

    /// The link of a vacant slot.
    ///
    /// # Safety
    ///
    /// The slot at `index` exists, is aligned, and holds a link.
    #[inline]
    pub(super) unsafe fn next_free(self, index: u32) -> u32 {
        // SAFETY: the slot exists.
        let content = unsafe { self.value(index) };
        // SAFETY: the slot holds a link, and its content is aligned for one.
        unsafe { content.cast::<u32>().read() }
    }

    /// Writes the link of a vacant slot.
    ///
    /// # Safety
    ///
    /// The slot at `index` exists, is aligned, holds no value, and nobody else uses it meanwhile.
    #[inline]
    pub(super) unsafe fn set_next_free(self, index: u32, next: u32) {
        // SAFETY: the slot exists.
        let content = unsafe { self.value(index) };
        // SAFETY: the content has room for a link and is aligned for one; it holds no value.
        unsafe { content.cast::<u32>().write(next) };
    }
}
