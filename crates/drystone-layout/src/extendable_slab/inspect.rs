//! Examining a slab: [`Inspect`], and the invariants, executed.
//!
//! What belongs to another living thread cannot be examined: its shard is skipped, and of its
//! segments only the bits are counted. Slots in such a thread's word count as live. With no other
//! thread inside the slab, and after those that used it have ended, everything is examined.

use super::*;

use drystone_core::{BlockInfo, Corruption, Inspect, Misuse, Report};

use crate::slab::digest::Digest;
use segment::{NO_GROUP, OWNER_POOL};

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds. Not to be called while other threads use the slab.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }

    /// What a shard says of its segments.
    fn verify_shard(&self, held: Held<'_>, shape: &Shape) -> Result<(), Corruption> {
        let broken = |invariant| {
            Err(Corruption {
                invariant,
                offset: 0,
            })
        };
        if let Some(group) = held.group() {
            let taken = held.word();
            let elsewhere = group.free_anywhere();
            if taken & elsewhere != 0 {
                return broken("E1: a slot is in a word and in its group");
            }
            if taken & !shape.mask(group.index()) != 0 {
                return broken("E1: a word has slots that its group has not");
            }
        }
        for segment in held.segments() {
            if segment.owner() != held.slot() {
                return broken("E2: a segment on the list of a shard that does not own it");
            }
            if verify_groups(segment, shape)? == segment.opened() && segment.opened() > 0 {
                return broken("E5: a segment without a slot in use is on the list");
            }
        }
        match held.spare() {
            Some(spare) if spare.owner() != held.slot() => {
                broken("E2: the spare segment is not the shard's")
            }
            Some(spare) if verify_groups(spare, shape)? != spare.opened() => {
                broken("E5: a slot of the spare segment is in use")
            }
            _ => Ok(()),
        }
    }

    fn verify_pool(&self, shape: &Shape) -> Result<(), Corruption> {
        let broken = |invariant| {
            Err(Corruption {
                invariant,
                offset: 0,
            })
        };
        self.growth.locked(|state| {
            let mut mapped = 0;
            for segment in state.descriptors().filter(|s| !s.base().is_null()) {
                mapped += 1;
                let found = self.index.find(segment.base().addr());
                if found != Some(segment) {
                    return broken("E6: a segment is not in the index");
                }
            }
            if mapped != state.index.segments() {
                return broken("E6: the index has another number of segments");
            }
            for segment in state.pool() {
                if segment.owner() != OWNER_POOL
                    || verify_groups(segment, shape)? != segment.opened()
                {
                    return broken("E5: a slot of a segment in the pool is in use");
                }
            }
            Ok(())
        })
    }

    /// Counts what the bits say: slots free, slots of opened groups, bytes never handed out.
    fn count(&self, shape: &Shape) -> Report {
        let mut report = Report::default();
        self.growth.locked(|state| {
            for segment in state.descriptors().filter(|s| !s.base().is_null()) {
                let mut slots = 0;
                for index in 0..segment.opened() {
                    let group = segment.group(index);
                    let free = group.free_anywhere().count_ones() as usize;
                    report.free_blocks += free;
                    report.live_blocks += shape.slots(index) - free;
                    slots += shape.slots(index);
                }
                report.untouched_bytes += (shape.capacity() - slots) * Self::STRIDE;
            }
        });
        self.each_reachable(|held| {
            let slots = held.word().count_ones() as usize;
            report.free_blocks += slots;
            report.live_blocks = report.live_blocks.saturating_sub(slots);
        });
        report
    }
}

/// Checks the list of groups of a segment whose owner is the caller; returns how many groups have
/// all their slots free.
fn verify_groups(segment: SegmentRef<'_>, shape: &Shape) -> Result<u32, Corruption> {
    let broken = |invariant| {
        Err(Corruption {
            invariant,
            offset: 0,
        })
    };
    // SAFETY: the callers hold the segment's owner.
    let (mut next, full) = unsafe { segment.links(|links| (links.free_groups, links.full_groups)) };
    let mut listed = 0;
    while next != NO_GROUP {
        if next >= segment.opened() || listed == segment.opened() {
            return broken("E5: the list of groups leads out of the segment or in a circle");
        }
        let group = segment.group(next);
        if group.free() == 0 || group.free() & !shape.mask(next) != 0 {
            return broken("E5: a group on the list has no free slot, or too many");
        }
        listed += 1;
        // SAFETY: as above.
        next = unsafe { group.free_next() };
    }
    let groups = (0..segment.opened()).map(|index| segment.group(index));
    let with_free = groups.clone().filter(|group| group.free() != 0).count();
    if with_free != listed as usize {
        return broken("E5: a group with a free slot is not on the list");
    }
    let counted = groups
        .filter(|group| group.free() == shape.mask(group.index()))
        .count();
    if counted != full as usize {
        return broken("E5: the count of groups without a slot in use is wrong");
    }
    Ok(full)
}

impl<T, M: FreelistProtection, S: SegmentSource> Inspect for ExtendableSlab<T, M, S> {
    /// Whether `ptr` is the start of a live block. A slot in the word of another living thread
    /// counts as live.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        self.validate_with(ptr.addr().get(), |wanted| {
            let mut slots = 0;
            self.each_reachable(|held| {
                if held.group().is_some_and(|group| group == wanted) {
                    slots |= held.word();
                }
            });
            slots
        })?;
        Ok(BlockInfo {
            usable_bytes: Self::STRIDE,
        })
    }

    /// Checks what the module's documentation says is examined here. The answer is right if no
    /// other thread uses the slab meanwhile.
    fn verify_all(&self) -> Result<Report, Corruption> {
        let Some(shape) = &self.shape else {
            return Ok(Report::default());
        };
        let mut verdict = self.verify_pool(shape);
        self.each_reachable(|held| {
            if verdict.is_ok() {
                verdict = self.verify_shard(held, shape);
            }
        });
        verdict.map(|()| self.count(shape))
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.add(self.corruption_events());
        self.growth.locked(|state| {
            for segment in state.descriptors() {
                digest.add_size(segment.base().addr());
                digest.add(u64::from(segment.owner()));
                digest.add(u64::from(segment.opened()));
                for index in 0..segment.opened() {
                    digest.add_size(segment.group(index).free());
                    digest.add_size(segment.group(index).remote());
                }
            }
        });
        self.each_reachable(|held| {
            digest.add(u64::from(held.slot()));
            digest.add_size(held.word());
            let group = held.group().map(|group| group.as_raw().addr().get());
            digest.add_size(group.unwrap_or(0));
        });
        digest.finish()
    }
}
