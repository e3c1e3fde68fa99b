//! Carries a program out, under the oracle.

use core::ptr::NonNull;
use std::thread;

use drystone_core::{Allocator, Deallocator, Inspect, NonZeroLayout, Reset};

use super::{Operation, Pick, Program};
use crate::faulting::unchanged_by_failure;
use crate::oracle::{Oracle, PanicOnMisuse};

/// Runs `program` on `allocator`; its resets free block by block.
///
/// # Panics
///
/// If the allocator breaks its contract or an invariant of its own. The program and the failing
/// step are then printed.
#[track_caller]
pub fn run<A: Allocator + Inspect>(allocator: A, program: &Program) {
    interpret(allocator, program, |oracle, live| live.free_all(oracle));
}

/// Runs `program` on `allocator`; its resets are [`Reset::reset`].
///
/// # Panics
///
/// As [`run`].
#[track_caller]
pub fn run_with_reset<A: Allocator + Inspect + Reset>(allocator: A, program: &Program) {
    interpret(allocator, program, |oracle, live| {
        live.blocks.clear();
        oracle.reset();
    });
}

/// Prints the program if a step panics.
struct Listing<'a> {
    program: &'a Program,
    step: usize,
}

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "the program, failed at step {}:\n{}",
                self.step, self.program
            );
        }
    }
}

type Watched<A> = Oracle<A, PanicOnMisuse>;

fn interpret<A: Allocator + Inspect>(
    allocator: A,
    program: &Program,
    reset: impl Fn(&mut Watched<A>, &mut Live),
) {
    // SAFETY: the oracle stays in this variable until every block has been freed.
    let mut oracle = unsafe { Oracle::in_place(allocator, PanicOnMisuse) };
    let mut live = Live::default();
    let mut listing = Listing { program, step: 0 };
    for (step, &operation) in program.operations.iter().enumerate() {
        listing.step = step;
        match operation {
            Operation::Allocate { layout, zeroed } => live.allocate(&oracle, layout, zeroed),
            Operation::Resize {
                pick,
                layout,
                zeroed,
            } => live.resize(&oracle, pick, layout, zeroed),
            Operation::Free {
                pick,
                returned_size,
            } => live.free(&oracle, pick, returned_size),
            Operation::Reset => reset(&mut oracle, &mut live),
            Operation::Check => oracle.check_stamps(),
        }
        live.verify(&oracle);
    }
    listing.step = program.operations.len();
    oracle.check_stamps();
    live.free_all(&oracle);
    live.verify(&oracle);
    assert_eq!(oracle.live_blocks(), 0);
}

/// A live block, stamped.
#[derive(Clone, Copy)]
struct Owned {
    block: NonNull<[u8]>,
    layout: NonZeroLayout,
}

/// The live blocks, oldest first.
#[derive(Default)]
struct Live {
    blocks: Vec<Owned>,
    /// The stamp given last.
    seed: usize,
}

impl Live {
    fn allocate<A>(&mut self, oracle: &Watched<A>, layout: NonZeroLayout, zeroed: bool)
    where
        A: Allocator + Inspect,
    {
        let request = |oracle: &Watched<A>| match zeroed {
            true => oracle.allocate_zeroed(layout),
            false => oracle.allocate(layout),
        };
        if let Ok(block) = unchanged_by_failure(oracle, request) {
            self.keep(oracle, block, layout);
        }
    }

    /// Stamps a new block and adds it to the live ones.
    fn keep<A: Allocator>(
        &mut self,
        oracle: &Watched<A>,
        block: NonNull<[u8]>,
        layout: NonZeroLayout,
    ) {
        self.seed += 1;
        // SAFETY: the block was just handed out, and nothing but a stamp is written to it.
        unsafe { oracle.stamp(block.cast(), self.seed) };
        self.blocks.push(Owned { block, layout });
    }

    fn take(&mut self, pick: Pick) -> Option<Owned> {
        let count = self.blocks.len();
        let index = match pick {
            _ if count == 0 => return None,
            Pick::Newest => count - 1,
            Pick::Oldest => 0,
            Pick::Index(index) => index % count,
        };
        Some(self.blocks.remove(index))
    }

    fn free<A>(&mut self, oracle: &Watched<A>, pick: Pick, returned_size: bool)
    where
        A: Allocator + Inspect,
    {
        let Some(Owned { block, layout }) = self.take(pick) else {
            return;
        };
        let validated = oracle.validate(block.cast());
        assert!(
            validated.is_ok(),
            "{validated:?} of the live block at {block:?}"
        );
        let described = if returned_size {
            NonZeroLayout::from_size_align(block.len(), layout.align().get())
        } else {
            Ok(layout)
        };
        // The returned length rounded up to the alignment may not be a layout; the requested is.
        let fitting = described.unwrap_or(layout);
        // SAFETY: the block is live and not used again; its size lies between the requested and
        // the returned one.
        unsafe { oracle.deallocate(block.cast(), fitting) };
    }

    fn resize<A>(&mut self, oracle: &Watched<A>, pick: Pick, new: NonZeroLayout, zeroed: bool)
    where
        A: Allocator + Inspect,
    {
        let Some(owned) = self.take(pick) else { return };
        let (ptr, old) = (owned.block.cast(), owned.layout);
        let result = unchanged_by_failure(oracle, |oracle| {
            if new.size() < old.size() {
                // SAFETY: the block is live, `old` fits it, and `new` is smaller.
                unsafe { oracle.shrink(ptr, old, new) }
            } else if zeroed {
                // SAFETY: the block is live, `old` fits it, and `new` is no smaller.
                unsafe { oracle.grow_zeroed(ptr, old, new) }
            } else {
                // SAFETY: as above.
                unsafe { oracle.grow(ptr, old, new) }
            }
        });
        match result {
            Ok(block) => self.keep(oracle, block, new),
            Err(_) => self.blocks.push(owned),
        }
    }

    fn free_all<A: Allocator + Inspect>(&mut self, oracle: &Watched<A>) {
        while !self.blocks.is_empty() {
            self.free(oracle, Pick::Newest, false);
        }
    }

    /// Every invariant of the allocator holds, and it counts as many live blocks as there are, if
    /// it counts them.
    fn verify<A: Inspect>(&self, oracle: &Watched<A>) {
        match oracle.verify_all() {
            Ok(report) => assert!(
                report.live_blocks == 0 || report.live_blocks == self.blocks.len(),
                "{} live blocks, and the allocator counts {}",
                self.blocks.len(),
                report.live_blocks
            ),
            Err(corruption) => panic!("{corruption}"),
        }
    }
}
