//! Examining size classes: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, FixedRange, Inspect, Misuse, Owns, Report, arith};

use super::class_table::GRANULE;
use super::{Plan, SizeClassed};
use crate::slab::digest::Digest;
use crate::slab::slot_list::Origin;

/// What lies at an offset below the cursor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The start of a block that has been carved, of this class.
    Block(usize),
    /// Inside such a block.
    Interior,
    /// Never handed out.
    Untouched,
}

/// The bytes of one run or region: skipped ones, then blocks of one class.
#[derive(Clone, Copy)]
struct Span {
    class: usize,
    /// Where the skipped bytes start that were donated.
    start: usize,
    /// The first block.
    first: usize,
    /// The end of the carved blocks.
    carved: usize,
}

impl<B: FixedRange, const CLASSES: usize> SizeClassed<B, CLASSES> {
    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }

    /// Calls `f` with every run or region, highest address last or first.
    fn for_each_span(&self, mut f: impl FnMut(Span)) {
        let mut visit = |class: usize, start, first, end| {
            let slots = &self.classes[class].slots;
            let current = first <= slots.carved() && slots.ready() <= end && first < slots.ready();
            let carved = if current { slots.carved() } else { end };
            f(Span {
                class,
                start,
                first,
                carved,
            });
        };
        match &self.plan {
            Plan::Shared(shared) => {
                for (run, end) in self.runs(shared) {
                    let first = self.align_offset(run.start, run.class).unwrap_or(end);
                    visit(run.class, run.start, first, end);
                }
            }
            Plan::Strict {
                slots_per_class, ..
            } => {
                for class in 0..CLASSES {
                    if let Some((first, _)) = self.region(class, *slots_per_class) {
                        visit(class, first, first, self.classes[class].slots.carved());
                    }
                }
            }
        }
    }

    /// What lies at `offset`.
    fn place_of(&self, offset: usize) -> Place {
        let mut place = Place::Untouched;
        self.for_each_span(|span| {
            if offset >= span.first && offset < span.carved {
                let inside = (offset - span.first) % self.sizes[span.class];
                place = if inside == 0 {
                    Place::Block(span.class)
                } else {
                    Place::Interior
                };
            } else if offset >= span.start && offset < span.first {
                let starts_here = |&(start, _): &(usize, usize)| start == offset;
                place = match self.pieces(span.start, span.first).find(starts_here) {
                    Some((_, class)) => Place::Block(class),
                    None => Place::Interior,
                };
            }
        });
        place
    }

    /// Walks the free list of `class`, with `f` at each offset.
    ///
    /// # Errors
    ///
    /// [`Corruption`] at the first entry that breaks I4.
    fn walk(&self, class: usize, mut f: impl FnMut(usize)) -> Result<(), Corruption> {
        let slots = &self.classes[class].slots;
        let mut left = (self.end - self.start) / self.sizes[class];
        let origin = Origin::of(&self.backing);
        let mut next = slots.first(origin);
        while let Some(offset) = next {
            if offset >= self.end || self.place_of(offset) != Place::Block(class) {
                let invariant = "I4: a free list holds what is no block of its class";
                return Err(Corruption { invariant, offset });
            }
            if left == 0 {
                let invariant = "I4: a free list does not end";
                return Err(Corruption { invariant, offset });
            }
            left -= 1;
            f(offset);
            // SAFETY: the offset is that of a block on the list, which lies in the range and keeps
            // the granule.
            next = unsafe { slots.next_of(origin, offset, GRANULE) };
        }
        Ok(())
    }

    fn verify_bounds(&self) -> Result<(), Corruption> {
        let broken = |invariant, offset| Err(Corruption { invariant, offset });
        let base = self.backing.base().addr().get();
        let mut below = 0;
        for (class, &size) in self.sizes.iter().enumerate() {
            if size <= below || !size.is_multiple_of(GRANULE) {
                return broken("I1: class sizes do not rise in steps of 8", class);
            }
            below = size;
            let slots = &self.classes[class].slots;
            let (carved, ready) = (slots.carved(), slots.ready());
            if carved > ready || ready > self.end || !(ready - carved).is_multiple_of(size) {
                return broken("I3: carved and ready are out of order", carved);
            }
            let align = arith::natural_align(size).min(self.align_max);
            if carved < ready && !arith::is_aligned(base.wrapping_add(carved), align) {
                return broken("I1: a block is not aligned to its class", carved);
            }
        }
        if let Plan::Shared(shared) = &self.plan {
            let (cursor, floor) = (shared.cursor.get(), shared.floor.get());
            if !(self.start <= cursor && cursor <= floor && floor <= self.end) {
                return broken("I5: start, cursor, floor and end are out of order", cursor);
            }
            let lowest = self
                .runs(shared)
                .last()
                .map_or(cursor, |(run, _)| run.start);
            if lowest != self.start {
                return broken("I5: the runs do not start at the start", lowest);
            }
            if let Some((run, end)) = self.runs(shared).find(|(run, end)| run.start >= *end) {
                return broken("I5: a run is empty", run.start.max(end));
            }
        }
        Ok(())
    }
}

impl<B: FixedRange, const CLASSES: usize> Inspect for SizeClassed<B, CLASSES> {
    /// Whether `ptr` is the start of a live block. Walks the runs and a free list.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        if !self.owns(ptr) {
            return Err(Misuse::ForeignPointer);
        }
        let offset = self.offset_of(ptr);
        let class = match self.place_of(offset) {
            Place::Block(class) => class,
            Place::Interior => return Err(Misuse::InteriorPointer),
            Place::Untouched => return Err(Misuse::NeverAllocated),
        };
        let mut free = false;
        // A damaged list says nothing about the blocks after the damage.
        let _ = self.walk(class, |listed| free |= listed == offset);
        if free {
            return Err(Misuse::DoubleFree);
        }
        Ok(BlockInfo {
            usable_bytes: self.sizes[class],
        })
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        self.verify_bounds()?;
        let mut blocks = 0;
        self.for_each_span(|span| {
            blocks += (span.carved - span.first) / self.sizes[span.class];
            blocks += self.pieces(span.start, span.first).count();
        });
        let mut free_blocks = 0;
        let mut untouched_bytes = match &self.plan {
            Plan::Shared(shared) => shared.floor.get() - shared.cursor.get(),
            Plan::Strict { .. } => 0,
        };
        for class in 0..CLASSES {
            let mut listed = 0;
            self.walk(class, |_| listed += 1)?;
            free_blocks += listed;
            let slots = &self.classes[class].slots;
            let end = match &self.plan {
                Plan::Shared(_) => slots.ready(),
                Plan::Strict {
                    slots_per_class, ..
                } => self
                    .region(class, *slots_per_class)
                    .map_or(slots.ready(), |(_, end)| end),
            };
            untouched_bytes += end - slots.carved();
        }
        if free_blocks > blocks {
            return Err(Corruption {
                invariant: "I4: more blocks are free than exist",
                offset: self.start,
            });
        }
        Ok(Report {
            live_blocks: blocks - free_blocks,
            free_blocks,
            untouched_bytes,
        })
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        if let Plan::Shared(shared) = &self.plan {
            digest.add_size(shared.cursor.get());
            digest.add_size(shared.floor.get());
            for (run, end) in self.runs(shared) {
                digest.add_size(run.class);
                digest.add_size(end);
            }
        }
        for class in 0..CLASSES {
            let state = &self.classes[class];
            digest.add_size(state.slots.carved());
            digest.add_size(state.slots.ready());
            digest.add_size(state.run_bytes.get());
            if let Err(corruption) = self.walk(class, |offset| digest.add_size(offset)) {
                digest.add_size(!corruption.offset);
            }
        }
        digest.finish()
    }
}
