//! [`Growth`]: how a class gets new slots, and how slots end.
//!
//! # What
//!
//! Counts the slots of a class, makes new ones in its regions up to the class's limit and the
//! pool's budget, and takes slots that are retired. A slot that is retired can be made again.
//!
//! # Invariants
//!
//! - G1: `created` is the number of slots made and not retired, over all regions of the class; at
//!   most the class's limit. Their strides are reserved in the budget.
//! - G2: a region that can make a slot is on the list that starts at `open`; no other is.
//! - G3: the indices below `created` plus the length of `spare` are given out or in `spare`, which has
//!   room for all of them.
//! - G4: a region that holds nothing and has been taken off the list is its taker's.
//!
//! # Threads
//!
//! Under the class's growth lock, for a number of steps bounded by the slots asked for.
//!
//! # Cost
//!
//! A slot: its 64 bytes.

use core::ptr::NonNull;

use crate::budget::Budget;
use crate::class_table::ClassShape;
use crate::region::Region;
use crate::slot::Slot;

/// The bytes of a class's first region; each further one may be twice the last.
const REGION_BYTES_FIRST: usize = 1 << 20;
/// The bytes that no region passes, unless a single slot does.
const REGION_BYTES_MOST: usize = 64 << 20;

/// Why no slot was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The class has all the slots that it may have.
    Limit,
    /// The budget has no room for one more.
    Budget,
    /// A region of this many slots is needed.
    Region(u32),
}

/// What changes of a class as it grows.
#[derive(Debug)]
pub(crate) struct Growth {
    created: u32,
    open: Option<NonNull<Region>>,
    /// What the next region may have in bytes.
    region_bytes: usize,
    /// The indices of slots that were retired.
    spare: Vec<u32>,
}

// SAFETY: the regions are the class's own, and reached under the growth lock only.
unsafe impl Send for Growth {}

impl Growth {
    pub(crate) const fn new() -> Self {
        Self {
            created: 0,
            open: None,
            region_bytes: REGION_BYTES_FIRST,
            spare: Vec::new(),
        }
    }

    /// The slots that there are.
    pub(crate) fn created(&self) -> u32 {
        self.created
    }

    /// One more than the greatest index that a slot has had (G3).
    pub(crate) fn indices(&self) -> u32 {
        // At most the class's limit, which is a u32.
        self.created + self.spare.len() as u32
    }

    /// Makes up to `wanted` slots, at least one, and hands them to `take`.
    ///
    /// # Errors
    ///
    /// Why not even one can be made.
    pub(crate) fn make(
        &mut self,
        shape: &ClassShape,
        budget: &Budget,
        wanted: u32,
        mut take: impl FnMut(NonNull<Slot>),
    ) -> Result<u32, Refusal> {
        debug_assert!(self.created <= shape.limit, "G1");
        let allowed = wanted.min(shape.limit - self.created);
        if allowed == 0 {
            return Err(Refusal::Limit);
        }
        let granted = budget.reserve(shape.stride, allowed as usize);
        if granted == 0 {
            return Err(Refusal::Budget);
        }
        let mut made: u32 = 0;
        while (made as usize) < granted && self.has_room_for_an_index() {
            let Some(slot) = self.make_one() else { break };
            take(slot);
            made += 1;
        }
        budget.release((granted - made as usize) * shape.stride);
        match made {
            0 => Err(Refusal::Region(self.next_region(shape))),
            made => Ok(made),
        }
    }

    /// Whether the index of one more slot can be kept when it is retired (G3).
    fn has_room_for_an_index(&mut self) -> bool {
        // Room for all that were ever given out, so that a slot's retirement needs no memory.
        !self.spare.is_empty() || self.spare.try_reserve(self.created as usize + 1).is_ok()
    }

    /// A slot of the first open region, with an index.
    fn make_one(&mut self) -> Option<NonNull<Slot>> {
        let region = self.open?;
        // SAFETY: on the list, so it lives; the caller has the lock.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference at this time.
        let parts = unsafe { this.parts() };
        let slot = Region::make(region, parts);
        debug_assert!(slot.is_some(), "G2");
        if !this.can_make(parts) {
            // SAFETY: on the list, and the reference to its parts is not used again.
            unsafe { self.unlist(region) };
        }
        let mut slot = slot?;
        let index = self.spare.pop().unwrap_or(self.created);
        // SAFETY: the slot was just made, so it is this thread's.
        unsafe { slot.as_mut() }.index = index;
        self.created += 1;
        Some(slot)
    }

    /// How many slots the next region has: as its bytes allow, and no more than may be made.
    fn next_region(&self, shape: &ClassShape) -> u32 {
        let missing = shape.limit - self.created;
        let in_bytes = (self.region_bytes / shape.stride).max(1);
        u32::try_from(in_bytes)
            .unwrap_or(u32::MAX)
            .min(missing.max(1))
    }

    /// Takes a new region.
    ///
    /// # Safety
    ///
    /// The region was made for this class, and has no slots yet.
    pub(crate) unsafe fn add(&mut self, region: NonNull<Region>) {
        // SAFETY: the caller's promise; the lock makes it this one's from here on.
        unsafe { self.list(region) };
        self.region_bytes = (self.region_bytes * 2).min(REGION_BYTES_MOST);
    }

    /// Takes a slot that is free out of use, and gives its pages back unless its region is
    /// registered: the kernel goes on with the pages that it was shown. The answer is its region if
    /// nothing is left in it, which is then the caller's to destroy.
    ///
    /// # Safety
    ///
    /// The caller has the slot, of this class, and gives it up.
    #[must_use]
    pub(crate) unsafe fn retire(
        &mut self,
        mut slot: NonNull<Slot>,
        shape: &ClassShape,
        budget: &Budget,
    ) -> Option<NonNull<Region>> {
        // SAFETY: the caller has the slot.
        let entry = unsafe { slot.as_mut() };
        let region = entry.region;
        // SAFETY: the slot is held, so its region lives.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference at this time.
        let parts = unsafe { this.parts() };
        entry.next = parts.retired.replace(slot);
        self.spare.push(entry.index);
        if parts.registered == 0 {
            // SAFETY: the caller has the slot, whose bytes are free.
            unsafe { Region::release_pages(region, slot) };
        }
        debug_assert!(self.created > 0, "G1");
        self.created -= 1;
        budget.release(shape.stride);
        // SAFETY: the region can make this slot again; it was held once for it.
        unsafe { self.let_go(region) }
    }

    /// Holds a region that is in use for a registration, and says whether it is in use.
    ///
    /// # Safety
    ///
    /// It is a live region of this class.
    pub(crate) unsafe fn register(&mut self, region: NonNull<Region>) -> bool {
        // SAFETY: live by the caller's promise.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference at this time.
        let parts = unsafe { this.parts() };
        let in_use = parts.held > 0;
        parts.held += usize::from(in_use);
        parts.registered += usize::from(in_use);
        in_use
    }

    /// Ends a registration. The answer as in [`retire`](Self::retire).
    ///
    /// # Safety
    ///
    /// The caller has the registration, of a region of this class, and gives it up.
    #[must_use]
    pub(crate) unsafe fn unregister(&mut self, region: NonNull<Region>) -> Option<NonNull<Region>> {
        // SAFETY: held, so it lives.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference at this time.
        unsafe { this.parts() }.registered -= 1;
        // SAFETY: the hold of the registration.
        unsafe { self.let_go(region) }
    }

    /// Ends one hold of a region. The answer as in [`retire`](Self::retire).
    ///
    /// # Safety
    ///
    /// The caller has the hold, of a region of this class, and gives it up.
    #[must_use]
    pub(crate) unsafe fn let_go(&mut self, region: NonNull<Region>) -> Option<NonNull<Region>> {
        // SAFETY: held, so it lives.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference at this time.
        let parts = unsafe { this.parts() };
        debug_assert!(parts.held > 0, "R2");
        parts.held -= 1;
        let (listed, held, open) = (parts.listed, parts.held, this.can_make(parts));
        if held == 0 {
            if listed {
                // SAFETY: on the list.
                unsafe { self.unlist(region) };
            }
            return Some(region);
        }
        if open && !listed {
            // SAFETY: a region of this class that is not on the list.
            unsafe { self.list(region) };
        }
        None
    }

    /// Takes a region that holds nothing off the list; the caller destroys it.
    pub(crate) fn take_unused(&mut self) -> Option<NonNull<Region>> {
        let mut next = self.open;
        while let Some(region) = next {
            // SAFETY: on the list, so it lives.
            let this = unsafe { region.as_ref() };
            // SAFETY: under the lock; the only reference at this time.
            let parts = unsafe { this.parts() };
            if parts.held == 0 {
                // SAFETY: on the list.
                unsafe { self.unlist(region) };
                return Some(region);
            }
            next = parts.after;
        }
        None
    }

    /// Puts a region at the front of the list.
    ///
    /// # Safety
    ///
    /// It is a live region of this class that is not on the list.
    unsafe fn list(&mut self, region: NonNull<Region>) {
        // SAFETY: live by the caller's promise.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference to these parts.
        let parts = unsafe { this.parts() };
        debug_assert!(!parts.listed, "G2");
        parts.listed = true;
        parts.before = None;
        parts.after = self.open.replace(region);
        if let Some(after) = parts.after {
            // SAFETY: on the list, so it lives.
            let after = unsafe { after.as_ref() };
            // SAFETY: under the lock; another region's parts.
            unsafe { after.parts() }.before = Some(region);
        }
    }

    /// Takes a region off the list.
    ///
    /// # Safety
    ///
    /// It is on the list.
    unsafe fn unlist(&mut self, region: NonNull<Region>) {
        // SAFETY: on the list, so it lives.
        let this = unsafe { region.as_ref() };
        // SAFETY: under the lock; the only reference to these parts.
        let parts = unsafe { this.parts() };
        debug_assert!(parts.listed, "G2");
        parts.listed = false;
        let (before, after) = (parts.before.take(), parts.after.take());
        match before {
            Some(before) => {
                // SAFETY: on the list, so it lives.
                let before = unsafe { before.as_ref() };
                // SAFETY: under the lock; another region's parts.
                unsafe { before.parts() }.after = after;
            }
            None => self.open = after,
        }
        if let Some(after) = after {
            // SAFETY: on the list, so it lives.
            let after = unsafe { after.as_ref() };
            // SAFETY: under the lock; another region's parts.
            unsafe { after.parts() }.before = before;
        }
    }
}
