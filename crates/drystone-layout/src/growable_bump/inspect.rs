//! [`Inspect`] for [`GrowableBump`].

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, Inspect, Misuse, Report, SegmentSource};

use super::GrowableBump;
use super::segment::Segment;
use crate::bump::place;
use crate::slab::digest::Digest;

impl<S: SegmentSource> GrowableBump<S> {
    /// Finds the first invariant that does not hold.
    pub(super) fn check(&self) -> Result<(), Corruption> {
        let broken = |invariant| {
            Err(Corruption {
                invariant,
                offset: 0,
            })
        };
        let (current, tail) = (self.current.get(), self.tail.get());
        if current.is_some() != tail.is_some() {
            return broken("I1: a current segment and a tail, or neither");
        }
        if current.is_some_and(|current| !self.in_use().any(|segment| segment == current)) {
            return broken("I1: the current segment is in use");
        }
        if tail.is_some_and(|tail| !self.list().any(|segment| segment == tail)) {
            return broken("I1: the tail is on the list");
        }
        let (cursor, limit) = (self.cursor.get().addr(), self.limit.get());
        match current {
            None if cursor != 0 || limit != 0 => {
                return broken("I2: no segment, no positions");
            }
            Some(current) => {
                let position = |offset| place::position(current.address(), offset);
                if cursor < position(Segment::<S::Segment>::HEADER_BYTES) || cursor > limit {
                    return broken("I2: header <= cursor <= limit");
                }
                if limit > position(current.committed())
                    || current.committed() > current.usable_bytes()
                {
                    return broken("I2: limit <= committed <= usable");
                }
            }
            None => {}
        }
        if self.list().map(|segment| segment.size()).sum::<usize>() != self.total_bytes.get() {
            return broken("I4: total_bytes is the sum of the sizes");
        }
        Ok(())
    }
}

impl<S: SegmentSource> Inspect for GrowableBump<S> {
    /// The arena keeps no record of single blocks: it knows how far each segment is used, and
    /// answers the distance to there, an upper bound, as the usable size.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        let mut in_use = self.in_use();
        let Some(segment) = in_use.find(|segment| segment.contains(ptr)) else {
            let owned = self.list().any(|segment| segment.contains(ptr));
            return Err(if owned {
                Misuse::NeverAllocated
            } else {
                Misuse::ForeignPointer
            });
        };
        let offset = ptr.addr().get() - segment.address();
        if offset < Segment::<S::Segment>::HEADER_BYTES {
            return Err(Misuse::NeverAllocated);
        }
        match self.used_of(segment).checked_sub(offset) {
            Some(usable_bytes @ 1..) => Ok(BlockInfo { usable_bytes }),
            _ => Err(Misuse::NeverAllocated),
        }
    }

    /// Blocks are not counted: `live_blocks` and `free_blocks` are 0.
    fn verify_all(&self) -> Result<Report, Corruption> {
        self.check()?;
        let headers = self.segment_count() * Segment::<S::Segment>::HEADER_BYTES;
        Ok(Report {
            untouched_bytes: self.total_bytes.get() - headers - self.allocated_bytes(),
            ..Report::default()
        })
    }

    /// Segments are told apart by their sizes. A spare one that a refused request left behind
    /// counts.
    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.add_size(self.cursor.get().addr());
        digest.add_size(self.limit.get());
        for segment in self.list() {
            digest.add_size(segment.size());
        }
        for segment in self.in_use() {
            digest.add_size(self.used_of(segment));
        }
        digest.finish()
    }
}
