//! [`Chain`]: any number of slots that one thread has, linked through the slots themselves.
//!
//! For the paths on which it does not matter that each slot's line is written: slots that are made, that
//! end, and that are looked through. What goes to other threads goes in a
//! [`Batch`](crate::batch::Batch).

use core::ptr::NonNull;

/// What can be in a chain.
///
/// # Safety
///
/// `index` is the same at every call for as long as the slot is on the list, differs from that of
/// every other slot there, and is less than the list's capacity. `next` answers what `set_next` was
/// given last.
pub(crate) unsafe trait Link: Sized {
    /// Which slot of its list this is.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    unsafe fn index(slot: NonNull<Self>) -> u32;

    /// The slot behind this one in its chain.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and has set the link.
    unsafe fn next(slot: NonNull<Self>) -> Option<NonNull<Self>>;

    /// Sets the slot behind this one.
    ///
    /// # Safety
    ///
    /// The caller has the slot.
    unsafe fn set_next(slot: NonNull<Self>, next: Option<NonNull<Self>>);
}

/// Slots that one thread has, linked. Whoever drops it with slots loses them.
#[derive(Debug)]
#[must_use]
pub(crate) struct Chain<T: Link> {
    // I1: `len` slots, linked from `first`, all of them the holder's.
    first: Option<NonNull<T>>,
    len: u32,
}

// SAFETY: the slots are the holder's alone; who uses them answers for what they hold.
unsafe impl<T: Link> Send for Chain<T> {}

impl<T: Link> Chain<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts a slot in front.
    ///
    /// # Safety
    ///
    /// The caller has the slot, and gives it away.
    #[inline]
    pub(crate) unsafe fn push(&mut self, slot: NonNull<T>) {
        // SAFETY: the caller has it.
        unsafe { T::set_next(slot, self.first) };
        self.first = Some(slot);
        self.len += 1;
    }

    /// Takes the slot in front.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<NonNull<T>> {
        let slot = self.first?;
        // SAFETY: by I1 it is the holder's, and linked.
        self.first = unsafe { T::next(slot) };
        self.len -= 1;
        Some(slot)
    }
}
