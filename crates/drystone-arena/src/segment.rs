//! [`Segment`]: the header of 4 MiB that belong to one heap, and its slices.
//!
//! # Memory picture
//!
//! ```text
//!  slice 0: owner lines | inboxes | pages | first slice and class of each | slices free | record | a heap
//!  slice 1: which blocks are at home
//!  slices 2, 3: under a checked profile, which blocks are live
//!  slices 4 (2) .. 63: runs, each a page of blocks or one large block
//! ```
//!
//! # Invariants
//!
//! - S1: `owner` changes only while no block of the segment is out.
//! - S2: a slice is free, or part of exactly one run; `first` says which slice each run begins with.
//! - S3: a fresh slice has only zero bytes; a slice is never fresh and in a run.
//! - S4: a slice that may not be accessed is in no run: it is free, or the guard of a run.
//!
//! # Threads
//!
//! The owner's threads change everything but the inboxes; others read `owner`, `first`, the class
//! in the inbox and the block bits, which are atomic for that.

use core::cell::{Cell, UnsafeCell};
use core::mem::offset_of;
use core::ops::Range;
use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use crate::block_bits::BlockBits;
use crate::geometry::{SEGMENT_BYTES, SLICE_BYTES, SLICES, run_mask, segment_number, slice_index};
use crate::heap::Heap;
use crate::home_bits::{HOME_SLICES, HomeBits};
use crate::inbox::Inbox;
use crate::page::Page;
use crate::page_use::Use;
use crate::published::PublishedU64;
use crate::reservation::Reservation;
use crate::segment_map;
use crate::source::Released;
use crate::stash::{Stashes, StashesAt};

use access::{guard_mask, stretches};

mod access;

/// Owner lines: the owner of neighbouring segments is read from different sets of the cache.
const OWNER_LINES: usize = 32;

#[derive(Debug)]
#[repr(C, align(64))]
struct OwnerLine {
    owner: AtomicPtr<Heap>,
}

/// What a segment begins with.
#[derive(Debug)]
#[repr(C)]
struct Header {
    owners: [OwnerLine; OWNER_LINES],
    inboxes: [Inbox; SLICES],
    pages: [Page; SLICES],
    /// The first slice of the run that each slice is part of.
    first: [AtomicU8; SLICES],
    /// What each slice is part of, if that is a page: the byte of its [`Use`].
    pages_of: [AtomicU8; SLICES],
    slices: SliceSets,
    /// Neighbours in the owner's list of segments with free slices, or in the list of idle ones.
    next: Cell<*const Segment>,
    previous: Cell<*const Segment>,
    listed: Cell<bool>,
    /// Where the mapping came from. Under the lock of the core.
    reservation: Reservation,
    /// The heap that lives in this segment, if it is a heap's home.
    home: Heap,
}

/// Sets of the segment's slices, a bit for each.
#[derive(Debug)]
struct SliceSets {
    /// Those in no run. Owner only.
    free: PublishedU64,
    /// Those that are free and have only zero bytes. Owner only.
    fresh: PublishedU64,
    /// Those that are free and whose memory was given back, where that does not make it zero. Owner
    /// only.
    released: Cell<u64>,
    /// Those that may be in runs, by the profile.
    usable: Cell<u64>,
    /// Those that may not be accessed: guards, and free ones. Owner only.
    barred: PublishedU64,
    /// Those that were free at the last look for old ones, and all the time since. Owner only.
    aged: Cell<u64>,
}

/// Where the stashes of a hardened heap that lives in the segment are.
const STASHES_OFFSET: usize = SLICE_BYTES - size_of::<Stashes>();

const _: () = assert!(size_of::<Header>() <= STASHES_OFFSET);
const _: () = assert!(STASHES_OFFSET.is_multiple_of(align_of::<Stashes>()));

/// The bytes of a header, which must be zero when a segment begins.
pub(crate) const HEADER_BYTES: usize = size_of::<Header>();

/// A segment, by its address.
///
/// A reference to it promises nothing about any byte: the memory may be unmapped in a call that was
/// given the reference, and whoever checks references has nothing to look at. What is reached
/// through it are references to single fields, whose every change is in cells and atomics.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Segment {
    /// In a cell: what is computed from the reference's address is written to, and a compiler that
    /// folds the way through the address must not take it for memory that nobody writes.
    _address: UnsafeCell<[u8; 0]>,
}

/// A reference to a part of the header.
macro_rules! part {
    ($segment:expr, $($part:tt)+) => {{
        let header: *const Header = $segment.at(0).cast();
        // SAFETY: the segment begins with its header, which lives as long as the segment; what
        // changes in it is in cells and atomics.
        unsafe { &(*header).$($part)+ }
    }};
}

impl Segment {
    /// The segment at an address.
    ///
    /// # Safety
    ///
    /// It is the address of a live segment that was entered into the map.
    #[inline(always)]
    pub(crate) unsafe fn of<'a>(segment_address: usize) -> &'a Self {
        // SAFETY: the caller's promise.
        let base = unsafe { segment_map::pointer(segment_address) };
        // SAFETY: there are no bytes behind the reference.
        unsafe { &*base.cast::<Self>() }
    }

    /// The address of the segment.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The pointer to a place in the segment.
    #[inline(always)]
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < SEGMENT_BYTES);
        // SAFETY: the segment was entered, and the offset is inside.
        unsafe { segment_map::pointer(self.address() + offset) }
    }

    #[inline(always)]
    fn owner_line(&self) -> &AtomicPtr<Heap> {
        part!(
            self,
            owners[segment_number(self.address()) % OWNER_LINES].owner
        )
    }

    /// The heap whose blocks these are; null for a huge block or an idle segment.
    #[inline(always)]
    pub(crate) fn owner(&self) -> *mut Heap {
        // Relaxed: the caller has a block of the segment, and got it after the owner was stored;
        // the owner stays while a block is out (S1).
        self.owner_line().load(Ordering::Relaxed)
    }

    pub(crate) fn set_owner(&self, heap: *mut Heap) {
        // Relaxed: who gets a block gets it after this.
        self.owner_line().store(heap, Ordering::Relaxed);
        segment_map::set_owner(self.address(), heap);
    }

    /// The first slice of the run that the address is part of.
    #[inline(always)]
    pub(crate) fn run_of(&self, address: usize) -> usize {
        // Relaxed: as `owner`.
        usize::from(part!(self, first[slice_index(address)]).load(Ordering::Relaxed)) % SLICES
    }

    /// The class of the page that the address is part of.
    #[inline(always)]
    pub(crate) fn class_of(&self, address: usize) -> Option<usize> {
        // Relaxed: as `owner`.
        Use::from_byte(part!(self, pages_of[slice_index(address)]).load(Ordering::Relaxed)).class()
    }

    /// Makes a run a page.
    pub(crate) fn begin_page(&self, first: usize, slices: usize, class: usize) {
        self.page(first).begin(class);
        self.inbox(first).set_content(Use::page(class), slices);
        for slice in first..first + slices {
            part!(self, pages_of[slice]).store(Use::page(class).to_byte(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn page(&self, first: usize) -> &Page {
        part!(self, pages[first])
    }

    #[inline(always)]
    pub(crate) fn inbox(&self, first: usize) -> &Inbox {
        part!(self, inboxes[first])
    }

    #[inline]
    pub(crate) fn next(&self) -> &Cell<*const Self> {
        part!(self, next)
    }

    #[inline]
    pub(crate) fn previous(&self) -> &Cell<*const Self> {
        part!(self, previous)
    }

    /// Whether it is in its owner's list of segments with free slices.
    #[inline]
    pub(crate) fn listed(&self) -> &Cell<bool> {
        part!(self, listed)
    }

    #[inline]
    pub(crate) fn reservation(&self) -> &Reservation {
        part!(self, reservation)
    }

    #[inline]
    pub(crate) fn home(&self) -> &Heap {
        part!(self, home)
    }

    #[inline]
    fn slices(&self) -> &SliceSets {
        part!(self, slices)
    }

    /// The first slice of a page of this segment.
    #[inline]
    pub(crate) fn first_of_page(&self, page: &Page) -> usize {
        let pages = self.address() + offset_of!(Header, pages);
        (ptr::from_ref(page).addr() - pages) / size_of::<Page>()
    }

    /// The first slice of the run that an inbox of this segment belongs to.
    #[inline]
    pub(crate) fn first_of_inbox(&self, inbox: &Inbox) -> usize {
        let inboxes = self.address() + offset_of!(Header, inboxes);
        (ptr::from_ref(inbox).addr() - inboxes) / size_of::<Inbox>()
    }

    /// The block bits, which exist under a checked profile only.
    #[inline(always)]
    pub(crate) fn bits(&self) -> BlockBits<'_> {
        // SAFETY: these slices are in no run under a checked profile, and zero bytes are bits.
        unsafe { BlockBits::at(self.at((1 + HOME_SLICES) * SLICE_BYTES)) }
    }

    /// Which blocks of the page are at home that begins with this slice.
    #[inline(always)]
    pub(crate) fn home_bits(&self, first: usize) -> HomeBits<'_> {
        // SAFETY: these slices are in no run, and zero bytes are bits.
        unsafe { HomeBits::at(self.at(SLICE_BYTES), first) }
    }

    /// The stashes of the heap that lives here, in a hardened arena.
    #[inline]
    pub(crate) fn stashes(&self) -> StashesAt<'_> {
        let stashes = self.at(STASHES_OFFSET).cast();
        // SAFETY: nothing else is there in slice 0, and zero bytes are stashes.
        unsafe { StashesAt::new(stashes) }
    }

    /// Prepares the header of a mapping that has only zero bytes but for the reservation.
    pub(crate) fn begin(&self, header_slices: usize, zeroed: bool) {
        let usable = !run_mask(header_slices);
        self.slices().usable.set(usable);
        self.slices().free.set(usable);
        self.slices().fresh.set(if zeroed { usable } else { 0 });
    }

    /// Whether no slice is in a run.
    pub(crate) fn is_idle(&self) -> bool {
        self.slices().free.get() == self.slices().usable.get()
    }

    /// Whether blocks may lie at the address: not in the header.
    #[inline]
    pub(crate) fn may_hold_blocks(&self, address: usize) -> bool {
        self.slices().usable.get() >> slice_index(address) & 1 != 0
    }

    /// The slices of a run.
    #[inline]
    pub(crate) fn run_slices(&self, first: usize) -> usize {
        self.inbox(first).slices()
    }

    pub(crate) fn has_free_slices(&self) -> bool {
        self.slices().free.get() != 0
    }

    /// The slices that are free, and those of them that are fresh.
    pub(crate) fn free_slices(&self) -> (u64, u64) {
        (self.slices().free.get(), self.slices().fresh.get())
    }

    /// Takes a run of so many slices, the first at a multiple of `align_slices`: a single slice from
    /// the low end, a longer run from the high end, so that they keep out of each other's way. With
    /// `guarded` the slice behind it, too, unless the segment ends there.
    /// The answer says whether the run is fresh.
    pub(crate) fn take_run(
        &self,
        slices: usize,
        align_slices: usize,
        guarded: bool,
    ) -> Option<(usize, bool)> {
        // The only place for the largest block at the largest alignment is the end of the segment.
        let has_guard = guarded && align_slices + slices < SLICES;
        let starts = run_starts(self.slices().free.get(), slices + usize::from(has_guard))
            & aligned_starts(align_slices);
        if starts == 0 {
            return None;
        }
        let first = if slices == 1 {
            starts.trailing_zeros()
        } else {
            starts.ilog2()
        } as usize;
        let mask = run_mask(slices) << first;
        let fresh = self.slices().fresh.get() & mask == mask;
        self.take(mask);
        if guarded {
            let guard = guard_mask(first, slices);
            self.slices().free.set(self.slices().free.get() & !guard);
        }
        self.begin_run(first, first..first + slices);
        Some((first, fresh))
    }

    /// Takes the slices that follow a run into it, if they are free. Whether it did.
    pub(crate) fn extend_run(&self, first: usize, slices: usize, more: usize) -> bool {
        let end = first + slices;
        if end + more > SLICES {
            return false;
        }
        let mask = run_mask(more) << end;
        if self.slices().free.get() & mask != mask {
            return false;
        }
        self.take(mask);
        self.begin_run(first, end..end + more);
        true
    }

    /// Says of the slices of a run with which one it begins.
    fn begin_run(&self, first: usize, slices: Range<usize>) {
        for slice in slices {
            #[expect(clippy::cast_possible_truncation, reason = "below 64")]
            part!(self, first[slice]).store(first as u8, Ordering::Relaxed);
        }
    }

    fn take(&self, mask: u64) {
        self.slices().free.set(self.slices().free.get() & !mask);
        self.slices().fresh.set(self.slices().fresh.get() & !mask);
        self.slices().aged.set(self.slices().aged.get() & !mask);
        self.slices()
            .released
            .set(self.slices().released.get() & !mask);
    }

    /// Gives back the end of a run.
    pub(crate) fn shorten_run(&self, first: usize, have: usize, keep: usize) {
        debug_assert!(0 < keep && keep < have);
        let mask = run_mask(have - keep) << (first + keep);
        debug_assert_eq!(self.slices().free.get() & mask, 0, "S2");
        self.slices().free.set(self.slices().free.get() | mask);
    }

    /// Gives back the slices of a run, with the guard behind it if it is `guarded`.
    pub(crate) fn give_back_run(&self, first: usize, slices: usize, guarded: bool) {
        let guard = if guarded {
            guard_mask(first, slices)
        } else {
            0
        };
        let mask = run_mask(slices) << first | guard;
        debug_assert_eq!(self.slices().free.get() & mask, 0, "S2");
        self.inbox(first).set_content(Use::NONE, 0);
        for slice in first..first + slices {
            part!(self, pages_of[slice]).store(Use::NONE.to_byte(), Ordering::Relaxed);
        }
        self.slices().free.set(self.slices().free.get() | mask);
    }

    /// The slices have only zero bytes again.
    pub(crate) fn set_fresh(&self, mask: u64) {
        debug_assert_eq!(self.unused() & mask, mask, "S3");
        self.slices().fresh.set(self.slices().fresh.get() | mask);
    }

    /// Whether a free slice has memory, as far as that can be given back.
    pub(crate) fn is_dirty(&self) -> bool {
        self.reservation().range().is_zeroed() && self.dirty() != 0
    }

    /// The slices that nothing is in: free ones and guards.
    fn unused(&self) -> u64 {
        self.slices().free.get() | self.slices().barred.get()
    }

    fn dirty(&self) -> u64 {
        self.unused() & !self.slices().fresh.get() & !self.slices().released.get()
    }

    /// Gives the memory of the free slices back, as far as the source can.
    pub(crate) fn release_slices(&self) {
        self.release(self.dirty());
    }

    /// Gives the memory back of the slices that have been free since the last call.
    pub(crate) fn release_aged(&self) {
        self.release(self.slices().aged.get() & self.dirty());
        self.slices().aged.set(self.dirty());
    }

    /// One call of the system for each run.
    fn release(&self, dirty: u64) {
        if dirty == 0 {
            return;
        }
        let range = self.reservation().range();
        let start = self.address() - range.base().addr().get();
        for (first, slices) in stretches(dirty) {
            let mask = run_mask(slices) << first;
            // SAFETY: the slices are in no run.
            let answer =
                unsafe { range.release(start + first * SLICE_BYTES, slices * SLICE_BYTES) };
            let released = &self.slices().released;
            match answer {
                Released::Zero => self.set_fresh(mask),
                Released::Given => released.set(released.get() | mask),
                Released::Not => {}
            }
        }
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: no segment lies at address 0.
        unsafe { NonNull::new_unchecked(self.at(0)) }
    }
}

/// The bits at which a run of so many set bits begins.
const fn run_starts(free: u64, slices: usize) -> u64 {
    let mut starts = free;
    let mut have = 1;
    while have < slices {
        let step = if have * 2 <= slices {
            have
        } else {
            slices - have
        };
        starts &= starts >> step;
        have += step;
    }
    starts
}

/// Every bit whose number is a multiple of `align_slices`, a power of two.
const fn aligned_starts(align_slices: usize) -> u64 {
    debug_assert!(align_slices.is_power_of_two());
    if align_slices >= SLICES {
        return 1;
    }
    u64::MAX / run_mask(align_slices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_begin_where_enough_slices_are_free() {
        for slices in 1..=32 {
            for free in [0, 1, u64::MAX, 0b1011_0111, 0xffff_ff00_00ff_f0f0, !1] {
                let mut expected = 0;
                for first in 0..=SLICES - slices {
                    let mask = run_mask(slices) << first;
                    expected |= u64::from(free & mask == mask) << first;
                }
                assert_eq!(run_starts(free, slices), expected, "{slices} in {free:b}");
            }
        }
    }

    #[test]
    fn aligned_starts_are_every_so_many_bits() {
        assert_eq!(aligned_starts(1), u64::MAX);
        for log2 in 0..6 {
            let align = 1 << log2;
            let bits = aligned_starts(align);
            for bit in 0..SLICES {
                assert_eq!(bits >> bit & 1 == 1, bit % align == 0, "{bit} of {align}");
            }
        }
        assert_eq!(aligned_starts(64), 1);
    }
}
