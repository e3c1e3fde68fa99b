//! [`SlotList`]: a LIFO list of free slots and a carve cursor, the kernel of slabs and size classes.
//!
//! # What
//!
//! Slots of one size that are free are linked through their own first bytes; slots that were never
//! handed out are not linked, but cut off by a cursor in address order. The cursor is an offset, and
//! so are the links in a range that may move, which leaves the list right; in one that keeps its
//! base they are addresses. [`Origin`] says which, and brings the base with each call.
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
//! - K1: `head` is [`NONE`] or the link of a free slot: its offset plus what the origin counts from.
//! - K2: each slot on the list holds, in its first bytes, the link of the next free slot or
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
//! A pop is two loads and a store, a push a load and two stores, with one branch, for emptiness.
//! With offsets one more load, of the base, is on the way from the head to the block and back, with
//! an addition and a subtraction. The compiler cancels both for addresses: the base is then not on
//! the way, and a store to a block whose address agrees with the base's place in its low 12 bits
//! holds nothing up.

use core::cell::Cell;
use core::ptr::NonNull;

use drystone_core::FixedRange;

/// No slot: no offset is as large, and at the last address no slot begins.
pub(crate) const NONE: usize = usize::MAX;

/// Whether `link` stands for no slot.
#[inline]
pub(crate) fn is_none(link: usize) -> bool {
    link == NONE
}

/// The base of a range, and what the links of a list in it count from.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    base: NonNull<u8>,
    /// What a link has more than the offset: nothing, or the address of the base.
    bias: usize,
}

impl Origin {
    /// Links are offsets.
    #[inline]
    pub(crate) fn of_offsets(base: NonNull<u8>) -> Self {
        Self { base, bias: 0 }
    }

    /// Links are addresses. For a base that stays.
    #[inline]
    pub(crate) fn of_addresses(base: NonNull<u8>) -> Self {
        let bias = base.addr().get();
        Self { base, bias }
    }

    /// Links are addresses if the range keeps its base, and offsets if not. Which of them does not
    /// change during the life of the range.
    #[inline]
    pub(crate) fn of<B: FixedRange>(range: &B) -> Self {
        if range.keeps_base() {
            Self::of_addresses(range.base())
        } else {
            Self::of_offsets(range.base())
        }
    }

    /// The base of the range.
    #[inline]
    pub(crate) fn base(self) -> NonNull<u8> {
        self.base
    }

    /// The link to what lies at `offset`.
    #[inline]
    pub(crate) fn link_to(self, offset: usize) -> usize {
        offset.wrapping_add(self.bias)
    }

    /// The offset that a link leads to.
    #[inline]
    pub(crate) fn offset_to(self, link: usize) -> usize {
        link.wrapping_sub(self.bias)
    }

    /// The offset that a link leads to, if it is one.
    #[inline]
    fn offset_of(self, link: usize) -> Option<usize> {
        (!is_none(link)).then(|| self.offset_to(link))
    }
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

    /// The link of the first free slot, or [`NONE`].
    #[inline]
    pub(crate) fn head(&self) -> usize {
        self.head.get()
    }

    /// The offset of the first free slot.
    #[inline]
    pub(crate) fn first(&self, origin: Origin) -> Option<usize> {
        origin.offset_of(self.head.get())
    }

    /// Takes the whole list away and returns its head.
    #[inline]
    pub(crate) fn take_head(&self) -> usize {
        self.head.replace(NONE)
    }

    /// Makes the slot with the link `head` the first free one.
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
    /// `origin` is that of the range, valid for the slots, at every call; every slot starts at a
    /// multiple of `align`, a power of two.
    #[inline]
    pub(crate) unsafe fn pop(&self, origin: Origin, align: usize) -> Option<usize> {
        let head = self.head.get();
        let offset = origin.offset_of(head)?;
        // SAFETY: by K1 the head is a slot of the range that the origin belongs to.
        let slot = unsafe { origin.base.add(offset) };
        // SAFETY: by K2 the slot holds a link, and the caller vouches for the alignment.
        let next = unsafe { load::<usize>(slot, align) };
        debug_assert!(is_none(next) || next != head, "K2: a link to itself");
        self.head.set(next);
        Some(offset)
    }

    /// Puts a slot on the list.
    ///
    /// # Safety
    ///
    /// As [`pop`](Self::pop) for `origin` and `align`; the slot at `offset` is valid for writes,
    /// belongs to nobody else, is not on the list, and holds at least a `usize`.
    #[inline]
    pub(crate) unsafe fn push(&self, origin: Origin, offset: usize, align: usize) {
        debug_assert_ne!(self.first(origin), Some(offset), "double free");
        // SAFETY: the caller says that the slot is in the range.
        let slot = unsafe { origin.base.add(offset) };
        // SAFETY: the slot is free and long enough, and the caller vouches for the alignment.
        unsafe { store(slot, align, self.head.get()) };
        self.head.set(origin.link_to(offset));
    }

    /// The offset of the slot after the free one at `offset`.
    ///
    /// # Safety
    ///
    /// As [`pop`](Self::pop) for `origin` and `align`; the slot at `offset` is on the list.
    #[inline]
    pub(crate) unsafe fn next_of(
        &self,
        origin: Origin,
        offset: usize,
        align: usize,
    ) -> Option<usize> {
        // SAFETY: the slot is in the range.
        let slot = unsafe { origin.base.add(offset) };
        // SAFETY: by K2 the slot holds a link, and the caller vouches for the alignment.
        origin.offset_of(unsafe { load::<usize>(slot, align) })
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
