//! Examining a stack: [`Inspect`] and the invariants, executed.

use core::ptr::NonNull;

use drystone_core::{BlockInfo, Corruption, FixedRange, Inspect, Misuse, Report, arith};

use super::frame::{Header, WORD};
use super::{NONE, StackAlloc};
use crate::slab::digest::Digest;

/// One block on the way from the top down.
struct Visited {
    block: usize,
    header: Header,
    /// Where the frame starts: no lower block reaches beyond it.
    start: usize,
    /// Where the frame above starts, or the cursor.
    end: usize,
}

impl<B: FixedRange> StackAlloc<B> {
    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }

    /// Visits every block from the top down, until `visit` answers or a header breaks I2.
    fn walk<R>(
        &self,
        mut visit: impl FnMut(Visited) -> Option<R>,
    ) -> Result<Option<R>, Corruption> {
        let mut block = self.top.get();
        let mut end = self.allocated_bytes();
        while block != NONE {
            let broken = Corruption {
                invariant: "I2: headers lead from block to block, downwards",
                offset: block,
            };
            let address = self.arena.at(block).addr().get();
            if !arith::is_aligned(address, WORD) || block < WORD || block >= end {
                return Err(broken);
            }
            let header = self.header(block);
            let below = block.checked_sub(header.distance()).ok_or(broken)?;
            let start = match header.distance() {
                0 => 0,
                _ => self.start_of(block, header),
            };
            if start > block - WORD || (below != block && below >= start) {
                return Err(broken);
            }
            let visited = Visited {
                block,
                header,
                start,
                end,
            };
            if let Some(answer) = visit(visited) {
                return Ok(Some(answer));
            }
            end = start;
            block = if below == block { NONE } else { below };
        }
        Ok(None)
    }
}

impl<B: FixedRange> Inspect for StackAlloc<B> {
    /// Walks down from the top. The usable size is the distance to what lies above: an upper bound.
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        if !self.backing().contains(ptr) {
            return Err(Misuse::ForeignPointer);
        }
        let offset = self.arena.offset_of(ptr);
        let judge = |at: Visited| {
            if offset < at.start || offset >= at.end {
                None
            } else if offset > at.block {
                Some(Err(Misuse::InteriorPointer))
            } else if offset < at.block {
                Some(Err(Misuse::NeverAllocated))
            } else if at.header.is_freed() {
                Some(Err(Misuse::DoubleFree))
            } else {
                let usable_bytes = at.end - at.block;
                Some(Ok(BlockInfo { usable_bytes }))
            }
        };
        match self.walk(judge) {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(Misuse::NeverAllocated),
            Err(_) => Err(Misuse::Overrun),
        }
    }

    /// Freed blocks that wait for a live one above are the `free_blocks`.
    fn verify_all(&self) -> Result<Report, Corruption> {
        self.arena.verify_all()?;
        let (mut live_blocks, mut free_blocks) = (0, 0);
        self.walk(|at| {
            if at.header.is_freed() {
                free_blocks += 1;
            } else {
                live_blocks += 1;
            }
            None::<()>
        })?;
        let top = self.top.get();
        if (top == NONE) != (self.allocated_bytes() == 0) {
            return Err(Corruption {
                invariant: "I1: the cursor is 0 if there is no block",
                offset: self.allocated_bytes(),
            });
        }
        if top != NONE && self.header(top).is_freed() {
            return Err(Corruption {
                invariant: "I1: the topmost block is live",
                offset: top,
            });
        }
        Ok(Report {
            live_blocks,
            free_blocks,
            untouched_bytes: self.remaining_bytes(),
        })
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        digest.add(self.arena.state_digest());
        digest.add_size(self.top.get());
        let walked = self.walk(|at| {
            digest.add_size(at.block);
            digest.add_size(at.header.to_word());
            digest.add_size(at.start);
            None::<()>
        });
        if let Err(corruption) = walked {
            digest.add_size(corruption.offset);
        }
        digest.finish()
    }
}
