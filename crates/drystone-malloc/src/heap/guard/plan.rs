//! Where slots lie in the region, and blocks in slots: the arithmetic.
//!
//! # Memory picture
//!
//! ```text
//!  region
//!  │ no access │ level 0: slots of 2 pages │ level 1: slots of 4 pages │ … │ level 14 │ no access │
//!
//!  slot: a power of two of pages, the last of them the guard
//!  │ no access │ canary │ block │ canary: less than the alignment │ guard │
//!              └ page                                              └ page
//! ```
//!
//! # Invariants
//!
//! - P1: in front of each slot and at its end is a page that is never accessible: the guard of the slot
//!   before, or the region's margin.
#![forbid(unsafe_code)]

use core::ops::Range;

use drystone_core::arith;

/// The sizes of slots.
pub(super) const LEVELS: usize = 15;

/// The most slots of a level.
const SLOTS_MAX: usize = 1 << 16;

/// The most that a level has of the address space.
pub(super) const SHARE_BYTES_MAX: usize = if usize::BITS == 64 { 1 << 32 } else { 1 << 24 };

/// The least share that is worth a region.
pub(super) const SHARE_BYTES_MIN: usize = 1 << 18;

/// What is never accessible at both ends of the region: what misses a block by less hits nothing else of
/// the process.
const MARGIN_BYTES: usize = 4 << 20;

/// The place of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) level: usize,
    /// Its number in the level.
    pub(super) slot: usize,
}

/// How the region is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    page: usize,
    slots: [usize; LEVELS],
    /// The offset of each level, and of the end.
    starts: [usize; LEVELS + 1],
    /// The number of each level's first slot, and the number of all.
    numbers: [usize; LEVELS + 1],
}

impl Plan {
    pub(super) fn new(share_bytes: usize, page: usize) -> Self {
        let mut plan = Self {
            page,
            slots: [0; LEVELS],
            starts: [MARGIN_BYTES; LEVELS + 1],
            numbers: [0; LEVELS + 1],
        };
        for level in 0..LEVELS {
            let slots = (share_bytes / plan.stride(level)).min(SLOTS_MAX);
            plan.slots[level] = slots;
            plan.starts[level + 1] = plan.starts[level] + slots * plan.stride(level);
            plan.numbers[level + 1] = plan.numbers[level] + slots;
        }
        plan
    }

    /// The bytes of the region.
    pub(super) fn region_bytes(&self) -> usize {
        self.starts[LEVELS] + MARGIN_BYTES
    }

    /// All slots.
    pub(super) fn slots(&self) -> usize {
        self.numbers[LEVELS]
    }

    pub(super) fn slots_of(&self, level: usize) -> usize {
        self.slots[level]
    }

    /// A slot's number among all.
    pub(super) fn number(&self, place: Place) -> usize {
        self.numbers[place.level] + place.slot
    }

    fn stride(&self, level: usize) -> usize {
        self.page << (level + 1)
    }

    /// The least level whose slots have the bytes at the alignment. `None` if none has.
    pub(super) fn level_for(&self, size: usize, align: usize) -> Option<usize> {
        let bytes = if align <= self.page {
            size.checked_next_multiple_of(align)?
        } else {
            size.checked_add(align)?
        };
        (0..LEVELS).find(|&level| bytes <= self.stride(level) - self.page)
    }

    /// The slot at an offset of the region.
    pub(super) fn find(&self, offset: usize) -> Option<Place> {
        let level = (0..LEVELS).find(|&level| offset < self.starts[level + 1])?;
        let slot = offset.checked_sub(self.starts[level])? / self.stride(level);
        Some(Place { level, slot })
    }

    /// Where the slot's guard begins.
    fn end(&self, place: Place) -> usize {
        self.starts[place.level] + (place.slot + 1) * self.stride(place.level) - self.page
    }

    /// Where a block lies in a region at this address.
    pub(super) fn block(&self, place: Place, base: usize, size: usize, align: usize) -> BlockAt {
        let end = self.end(place);
        // The slot has room: `level_for`.
        let start = arith::align_down(base + end - size, align) - base;
        // A block of no bytes has a page too.
        let first = arith::align_down(start.min(end - 1), self.page);
        BlockAt {
            pages: first..end,
            start,
            size,
        }
    }
}

/// Where a block lies in the region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BlockAt {
    /// The pages that are accessible.
    pub(super) pages: Range<usize>,
    pub(super) start: usize,
    size: usize,
}

impl BlockAt {
    /// The bytes in front of the block, on its first page.
    pub(super) fn front(&self) -> Range<usize> {
        self.pages.start..self.start
    }

    /// The bytes behind it, up to the guard: less than its alignment.
    pub(super) fn back(&self) -> Range<usize> {
        self.start + self.size..self.pages.end
    }
}
