//! [`SlotList`]: a LIFO list of free slots and a carve cursor, the kernel of slabs and size classes.
//!
//! # What
//!
//! Slots of one size that are free are linked through their own first bytes; slots that were never
//! handed out are not linked, but cut off by a cursor in address order. The list knows offsets
//! only: the base comes in with each call, so a range that moves leaves the list right.
//!
//! # Memory picture
//!
//! ```text
//!  base        carved                 ready
//!   │            │                      │
//!   ┌──────┬──────┬──────┬──────┬──────┬──────┐
//!   │ next │ live │ next │      │      │      │
//!   └──────┴──────┴──────┴──────┴──────┴──────┘
//!      ▲             │ ▲
//!      └─────────────┘ head
//! ```
//!
//! # Invariants
//!
//! - K1: `head` is [`NONE`] or the offset of a free slot.
//! - K2: each slot on the list holds, in its first bytes, the offset of the next free slot or
//!   [`NONE`]; the list ends.
//! - K3: `carved <= ready`, they are a multiple of the stride apart, and no byte of
//!   `carved .. ready` has been handed out.
//!
//! # Threads
//!
//! One at a time: the fields are cells.
//!
//! # Cost
//!
//! A pop and a push are two loads and two stores each, without a branch but for emptiness. An
//! offset is stored as it is, without a bias: from the head to the block and back is one addition
//! and one subtraction, and that chain limits a pair that is freed at once. "None" is a negative
//! offset for the same reason.

use core::cell::Cell;
use core::ptr::NonNull;

/// No slot: the only offset above `isize::MAX` that is ever stored.
pub(crate) const NONE: usize = usize::MAX;

/// Whether `offset` stands for no slot. The sign bit decides, which costs no constant.
#[inline]
pub(crate) fn is_none(offset: usize) -> bool {
    offset.cast_signed() < 0
}

/// Free slots of one size, by their offsets.
#[derive(Debug)]
pub(crate) struct SlotList {
    head: Cell<usize>,
    carved: Cell<usize>,
    ready: Cell<usize>,
}

impl SlotList {
    /// An empty list that carves `carved .. ready`.
    #[inline]
    pub(crate) const fn new(carved: usize, ready: usize) -> Self {
        Self {
            head: Cell::new(NONE),
            carved: Cell::new(carved),
            ready: Cell::new(ready),
        }
    }

    /// The first free slot, or [`NONE`].
    #[inline]
    pub(crate) fn head(&self) -> usize {
        self.head.get()
    }

    /// Takes the whole list away and returns its head.
    #[inline]
    pub(crate) fn take_head(&self) -> usize {
        self.head.replace(NONE)
    }

    /// Makes `head` the first free slot.
    #[inline]
    pub(crate) fn set_head(&self, head: usize) {
        self.head.set(head);
    }

    /// The first byte never handed out.
    #[inline]
    pub(crate) fn carved(&self) -> usize {
        self.carved.get()
    }

    /// The end of the bytes that may be carved.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.ready.get()
    }

    /// Carves from `carved .. ready` from now on.
    #[inline]
    pub(crate) fn set_carve(&self, carved: usize, ready: usize) {
        self.carved.set(carved);
        self.ready.set(ready);
    }

    /// Cuts the next slot off the bytes never handed out.
    #[inline]
    pub(crate) fn carve(&self, stride: usize) -> Option<usize> {
        let offset = self.carved.get();
        if offset == self.ready.get() {
            return None;
        }
        self.carved.set(offset + stride);
        Some(offset)
    }

    /// Takes the slot that was freed last.
    ///
    /// # Safety
    ///
    /// `base` is the base that the offsets count from, valid for the slots; every slot starts at
    /// a multiple of `align`, a power of two.
    #[inline]
    pub(crate) unsafe fn pop(&self, base: NonNull<u8>, align: usize) -> Option<usize> {
        let head = self.head.get();
        if is_none(head) {
            return None;
        }
        // SAFETY: by K1 the head is a slot of the range that `base` belongs to.
        let slot = unsafe { base.add(head) };
        // SAFETY: by K2 the slot holds a link, and the caller vouches for the alignment.
        let next = unsafe { load::<usize>(slot, align) };
        debug_assert!(is_none(next) || next != head, "K2: a link to itself");
        self.head.set(next);
        Some(head)
    }

    /// Puts a slot on the list.
    ///
    /// # Safety
    ///
    /// As [`pop`](Self::pop) for `base` and `align`; the slot at `offset` is valid for writes,
    /// belongs to nobody else, is not on the list, and holds at least a `usize`.
    #[inline]
    pub(crate) unsafe fn push(&self, base: NonNull<u8>, offset: usize, align: usize) {
        debug_assert_ne!(self.head.get(), offset, "double free");
        // SAFETY: the caller says that the slot is in the range.
        let slot = unsafe { base.add(offset) };
        // SAFETY: the slot is free and long enough, and the caller vouches for the alignment.
        unsafe { store(slot, align, self.head.get()) };
        self.head.set(offset);
    }

    /// The link that the free slot at `offset` holds.
    ///
    /// # Safety
    ///
    /// As [`pop`](Self::pop) for `base` and `align`; the slot at `offset` is on the list.
    #[inline]
    pub(crate) unsafe fn next_of(&self, base: NonNull<u8>, offset: usize, align: usize) -> usize {
        // SAFETY: the slot is in the range.
        let slot = unsafe { base.add(offset) };
        // SAFETY: by K2 the slot holds a link, and the caller vouches for the alignment.
        unsafe { load::<usize>(slot, align) }
    }
}

/// Reads an `L` from a slot of alignment `align`, a constant at every call.
///
/// # Safety
///
/// `slot` is valid for reads of an initialised `L` and a multiple of `align`.
#[inline]
pub(crate) unsafe fn load<L: Copy>(slot: NonNull<u8>, align: usize) -> L {
    let link = slot.cast::<L>();
    if align >= align_of::<L>() {
        // SAFETY: the slot holds an `L`, and its alignment is enough.
        unsafe { link.read() }
    } else {
        // SAFETY: the slot holds an `L`.
        unsafe { link.read_unaligned() }
    }
}

/// Writes an `L` to a slot of alignment `align`, a constant at every call.
///
/// # Safety
///
/// `slot` is valid for writes of an `L` and a multiple of `align`.
#[inline]
pub(crate) unsafe fn store<L: Copy>(slot: NonNull<u8>, align: usize, value: L) {
    let link = slot.cast::<L>();
    if align >= align_of::<L>() {
        // SAFETY: the slot has room for an `L`, and its alignment is enough.
        unsafe { link.write(value) }
    } else {
        // SAFETY: the slot has room for an `L`.
        unsafe { link.write_unaligned(value) }
    }
}
