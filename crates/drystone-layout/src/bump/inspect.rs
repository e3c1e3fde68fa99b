//! [`Inspect`] for [`BumpArena`].

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, FixedRange, Inspect, Misuse, Report};

use super::{BumpArena, place};

impl<B: FixedRange> BumpArena<B> {
    /// Finds the first invariant that does not hold.
    pub(super) fn check(&self) -> Result<(), Corruption> {
        let (cursor, limit) = (self.cursor.get(), self.limit.get());
        let frame = self.frame.get();
        let broken = |invariant| {
            Err(Corruption {
                invariant,
                offset: self.allocated_bytes(),
            })
        };
        if cursor > limit || self.offset(limit) > self.usable_bytes() {
            return broken("I1: cursor <= limit <= usable");
        }
        if limit != place::NOTHING_COMMITTED && cursor < place::position(self.anchor(), 0) {
            return broken("I1: 0 <= cursor");
        }
        if frame.oldest_pin() > frame.serial() || frame.serial() > self.last_serial.get() {
            return broken("I4: oldest_pin <= serial <= last_serial");
        }
        Ok(())
    }
}

impl<B: FixedRange> Inspect for BumpArena<B> {
    /// The arena keeps no record of single blocks: it knows its range and its cursor, and answers
    /// the distance to the cursor, an upper bound, as the usable size.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        if !self.backing.contains(ptr) {
            return Err(Misuse::ForeignPointer);
        }
        match self.allocated_bytes().checked_sub(self.offset_of(ptr)) {
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
        let frame = self.frame.get();
        [
            self.cursor.get() as u64,
            self.limit.get() as u64,
            frame.serial(),
            frame.floor() as u64,
            frame.oldest_pin(),
            self.last_serial.get(),
        ]
        .into_iter()
        .fold(0, |digest: u64, word| {
            // Knuth's multiplicative hashing: 2^64 divided by the golden ratio, made odd.
            (digest.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        })
    }
}
