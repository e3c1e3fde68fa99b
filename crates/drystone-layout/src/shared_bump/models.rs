//! Every interleaving of two threads on one arena.

use core::ptr::NonNull;
use std::vec::Vec;

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, StableAddress, arith,
};
use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::SharedBumpArena;

extern crate std;

/// The bytes of a unit: what the witnesses tell apart.
const UNIT: usize = 8;
const UNITS_MAX: usize = 6;

#[repr(align(8))]
struct Bytes(#[expect(dead_code, reason = "only described")] [u8; UNIT * UNITS_MAX]);

/// A range with a witness for each unit: a cell that its owner writes, so that loom reports two
/// owners that are not ordered, and a flag that a commit sets.
struct Watched {
    base: NonNull<u8>,
    owned: Vec<UnsafeCell<usize>>,
    committed: Vec<AtomicUsize>,
    /// The most bytes that one commit may make usable; `None` if all are from the start.
    commit_max: Option<usize>,
}

// SAFETY: the cells are written by the owners of the units only, which is what the models check.
unsafe impl Sync for Watched {}
// SAFETY: as above.
unsafe impl Send for Watched {}

impl Watched {
    fn new(units: usize, commit_max: Option<usize>) -> Self {
        static BYTES: Bytes = Bytes([0; UNIT * UNITS_MAX]);
        Self {
            // The bytes are never used, so that a static serves every run.
            base: NonNull::from(&BYTES).cast(),
            owned: (0..units).map(|_| UnsafeCell::new(0)).collect(),
            committed: (0..units).map(|_| AtomicUsize::new(0)).collect(),
            commit_max,
        }
    }

    fn units(&self, block: NonNull<[u8]>) -> core::ops::Range<usize> {
        let offset = block.cast::<u8>().addr().get() - self.base.addr().get();
        offset / UNIT..(offset + block.len()) / UNIT
    }

    /// Uses every unit of a block as its owner may.
    fn use_all(&self, block: NonNull<[u8]>) {
        for unit in self.units(block) {
            self.owned[unit].with_mut(|owned| {
                // SAFETY: the caller owns the block that the unit is part of.
                unsafe { *owned += 1 };
            });
            // Relaxed: the arena has to order the commit before the use.
            let committed = self.committed[unit].load(Ordering::Relaxed);
            assert!(self.commit_max.is_none() || committed == 1, "not committed");
        }
    }
}

// SAFETY: the range is only described in these models; its bytes are never written.
unsafe impl FixedRange for Watched {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn size(&self) -> usize {
        UNIT * self.owned.len()
    }

    fn base_align(&self) -> usize {
        UNIT
    }

    fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
        if !arith::range_fits(offset, len, self.size())
            || self.commit_max.is_some_and(|most| len > most)
        {
            return Err(AllocError);
        }
        for unit in offset / UNIT..(offset + len) / UNIT {
            self.committed[unit].store(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn commits_on_demand(&self) -> bool {
        self.commit_max.is_some()
    }
}

// SAFETY: the base is a static's.
unsafe impl StableAddress for Watched {}

type Arena = SharedBumpArena<Watched>;

fn arena(units: usize, commit_max: Option<usize>) -> Arc<Arena> {
    assert!(units <= UNITS_MAX);
    Arc::new(SharedBumpArena::new(Watched::new(units, commit_max)))
}

fn units(count: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(count * UNIT, UNIT).expect("a valid layout")
}

fn take(arena: &Arena, count: usize) -> NonNull<[u8]> {
    let block = arena.allocate(units(count)).expect("room");
    arena.backing().use_all(block);
    block
}

fn free(arena: &Arena, block: NonNull<[u8]>, count: usize) {
    // SAFETY: callers pass a live block of this arena and its size.
    unsafe { arena.deallocate(block.cast(), units(count)) };
}

fn both(arena: &Arc<Arena>, there: impl FnOnce(&Arena) + 'static, here: impl FnOnce(&Arena)) {
    let other = {
        let arena = Arc::clone(arena);
        thread::spawn(move || there(&arena))
    };
    here(arena);
    other.join().expect("joins");
}

#[test]
fn loom2_no_byte_is_handed_out_twice() {
    loom::model(|| {
        let arena = arena(5, None);
        both(
            &arena,
            |arena| {
                take(arena, 1);
                take(arena, 2);
            },
            |arena| {
                take(arena, 1);
                take(arena, 1);
            },
        );
        assert_eq!(arena.remaining_bytes(), 0);
    });
}

#[test]
fn loom2_a_freed_top_block_is_ordered_before_its_next_owner() {
    loom::model(|| {
        let arena = arena(5, None);
        both(
            &arena,
            |arena| {
                let block = take(arena, 2);
                free(arena, block, 2);
            },
            |arena| {
                let block = take(arena, 1);
                free(arena, block, 1);
                take(arena, 1);
            },
        );
    });
}

#[test]
fn loom2_growth_of_the_top_and_allocation_share_no_byte() {
    loom::model(|| {
        let arena = arena(5, None);
        let block = take(&arena, 1).cast::<u8>();
        let block_of = block.addr();
        both(
            &arena,
            |arena| {
                let block = take(arena, 1);
                free(arena, block, 1);
            },
            move |arena| {
                // In place only: moving copies bytes, and this range has none.
                if let Some(grown) = arena.grow_in_place(block, units(1), units(3)) {
                    assert_eq!(grown.cast::<u8>().addr(), block_of);
                    arena.backing().use_all(grown);
                }
            },
        );
        arena.debug_assert_invariants();
    });
}

/// Growth over bytes that the other thread has committed and not taken. That thread is the one that
/// begins: loom tries an order in which a read comes later only where two swaps can change places.
#[test]
fn loom2_growth_of_the_top_uses_bytes_that_the_other_committed() {
    loom::model(|| {
        let arena = arena(4, Some(3 * UNIT));
        let block = Top(take(&arena, 1).cast::<u8>());
        both(
            &arena,
            move |arena| {
                let block = { block }.0;
                if let Some(grown) = arena.grow_in_place(block, units(1), units(2)) {
                    arena.backing().use_all(grown);
                }
            },
            |arena| {
                if let Ok(block) = arena.allocate(units(1)) {
                    arena.backing().use_all(block);
                }
            },
        );
        arena.debug_assert_invariants();
    });
}

/// The topmost block, for the thread that grows it.
struct Top(NonNull<u8>);

// SAFETY: one thread at a time has it.
unsafe impl Send for Top {}

#[test]
fn loom2_shrinking_the_top_hands_its_tail_over() {
    loom::model(|| {
        let arena = arena(5, None);
        both(
            &arena,
            |arena| {
                let block = take(arena, 2);
                // SAFETY: a live block of this arena with its layout.
                let kept = unsafe { arena.shrink(block.cast(), units(2), units(1)) };
                arena.backing().use_all(kept.expect("in place"));
            },
            |arena| {
                take(arena, 1);
                take(arena, 1);
            },
        );
    });
}

/// One thread needs memory that the other has committed but perhaps not taken, and more. All at once
/// cannot be committed, so that each goes on from the other's mark.
#[test]
fn loom2_bytes_are_committed_before_they_are_handed_out() {
    loom::model(|| {
        let arena = arena(6, Some(5 * UNIT));
        both(
            &arena,
            |arena| {
                take(arena, 2);
            },
            |arena| {
                take(arena, 3);
            },
        );
    });
}

/// What one thread has committed serves the other without another commit.
#[test]
fn loom2_a_commit_of_one_thread_serves_the_other() {
    loom::model(|| {
        let arena = arena(2, Some(2 * UNIT));
        let one = |arena: &Arena| {
            take(arena, 1);
        };
        both(&arena, one, one);
    });
}
