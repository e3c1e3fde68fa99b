//! [`Inspect`] for [`SharedBumpArena`].

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, FixedRange, Inspect, Misuse, Report};
use drystone_sync::atomic::Ordering;

use super::SharedBumpArena;
use crate::slab::digest::Digest;

impl<B: FixedRange> SharedBumpArena<B> {
    /// Finds the first invariant that does not hold at any time, whatever other threads do. That
    /// the cursor is below the commit mark cannot be seen while they go on.
    pub(super) fn check(&self) -> Result<(), Corruption> {
        // Relaxed: each is compared with what never changes.
        let cursor = self.marks.cursor.load(Ordering::Relaxed);
        let committed = self.marks.committed.load(Ordering::Relaxed);
        let broken = |invariant, offset| Err(Corruption { invariant, offset });
        if cursor > self.backing.size() {
            return broken("I1: cursor <= size", cursor);
        }
        if committed > self.backing.size() {
            return broken("I2: committed <= size", committed);
        }
        Ok(())
    }
}

impl<B: FixedRange> Inspect for SharedBumpArena<B> {
    /// The arena keeps no record of single blocks: it knows its range and its cursor, and answers
    /// the distance to the cursor, an upper bound, as the usable size.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        if !self.backing.contains(ptr) {
            return Err(Misuse::ForeignPointer);
        }
        let (offset, _) = self.locate(ptr, 0);
        match self.allocated_bytes().checked_sub(offset) {
            Some(usable_bytes @ 1..) => Ok(BlockInfo { usable_bytes }),
            _ => Err(Misuse::NeverAllocated),
        }
    }

    /// Blocks are not counted: `live_blocks` and `free_blocks` are 0.
    fn verify_all(&self) -> Result<Report, Corruption> {
        self.check()?;
        Ok(Report {
            untouched_bytes: self.remaining_bytes(),
            ..Report::default()
        })
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.add_size(self.allocated_bytes());
        // Relaxed: a hash of what is there, for tests that run alone.
        digest.add_size(self.marks.committed.load(Ordering::Relaxed));
        digest.finish()
    }
}
