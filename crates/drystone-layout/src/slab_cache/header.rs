//! [`Header`]: what stands at the start of every slab, and [`Master`]: what the first one adds.

use core::cell::Cell;
use core::ptr::NonNull;

use drystone_sync::cell::UnsafeCell;

use super::state::State;
use crate::slots::occupancy::Occupancy;

/// The start of a slab. 48 bytes on a 64-bit target, 32 on a 32-bit one.
#[repr(C)]
pub(super) struct Header {
    /// [`check_of`] the slab and its owner. Stands first, so that who writes upwards into the
    /// header breaks it before anything else. Never changes.
    check: u32,
    /// What keeps the slab: its live slots; of the master, also 1 while there are handles, and 1
    /// for each slave that the provider has not got back. Under the master's lock, like what
    /// follows the owner.
    pub(super) holds: Cell<u32>,
    /// The master slab; of the master, itself. Never changes.
    owner: SlabRef,
    /// Which slots are free.
    pub(super) occupancy: Occupancy,
    /// The neighbours in the ring of open slabs, while in it.
    pub(super) next: Cell<SlabRef>,
    pub(super) prev: Cell<SlabRef>,
}

impl Header {
    /// Whether `slab`, whose header this is, is the master.
    #[inline]
    pub(super) fn is_master(&self, slab: SlabRef) -> bool {
        self.owner == slab
    }
}

/// What the master slab keeps for the whole hierarchy.
#[repr(C)]
pub(super) struct Master<P, L> {
    pub(super) lock: L,
    pub(super) state: UnsafeCell<State>,
    pub(super) provider: P,
}

/// A slab, by a pointer to its base that may be used for the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct SlabRef(NonNull<Header>);

impl SlabRef {
    /// The slab at `base`, whose provenance covers all of it.
    #[inline]
    pub(super) const fn at(base: NonNull<u8>) -> Self {
        Self(base.cast())
    }

    /// The base of the slab.
    #[inline]
    pub(super) const fn base(self) -> NonNull<u8> {
        self.0.cast()
    }

    /// Writes the header, with no slot open, in no ring and kept by nothing.
    ///
    /// # Safety
    ///
    /// The slab is exclusive memory, aligned, and long enough for a header.
    pub(super) unsafe fn write_header(self, owner: SlabRef) {
        let header = Header {
            check: check_of(self.0.as_ptr(), owner.0.as_ptr()),
            holds: Cell::new(0),
            owner,
            occupancy: Occupancy::closed(),
            next: Cell::new(self),
            prev: Cell::new(self),
        };
        // SAFETY: the memory is the caller's.
        unsafe { self.0.write(header) };
    }

    /// The header.
    ///
    /// # Safety
    ///
    /// The slab is formatted and stays with its cache for `'s`; the cells of the header are used
    /// only while the master's lock is held.
    #[inline]
    pub(super) const unsafe fn header<'s>(self) -> &'s Header {
        // SAFETY: the header is initialised and outlives `'s`; it is only ever changed through
        // its cells.
        unsafe { self.0.as_ref() }
    }

    /// The master, if the header is still what was written.
    ///
    /// # Safety
    ///
    /// The slab was formatted and is still with its cache.
    #[inline]
    pub(super) unsafe fn verified_owner(self) -> Option<SlabRef> {
        let header = self.0.as_ptr();
        // SAFETY: the header lies at the base of the slab, which lives.
        let owner = unsafe { &raw const (*header).owner };
        // Read as a pointer that may be null, because an overflowing neighbour may have written
        // anything here.
        // SAFETY: the field is initialised, and nobody writes it while the slab lives.
        let owner = unsafe { owner.cast::<*mut Header>().read() };
        // SAFETY: as the owner.
        let check = unsafe { (*header).check };
        if check != check_of(header, owner) {
            return None;
        }
        debug_assert!(!owner.is_null());
        // SAFETY: an owner that agrees with the check is the one that was written, a slab.
        Some(Self(unsafe { NonNull::new_unchecked(owner) }))
    }
}

/// Binds a slab to its owner.
#[inline]
#[allow(clippy::cast_possible_truncation, reason = "the low half is enough")]
fn check_of(slab: *const Header, owner: *const Header) -> u32 {
    (slab.addr() ^ owner.addr()) as u32
}
