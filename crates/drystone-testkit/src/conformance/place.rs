//! Promises about addresses: whose a block is, and that it stays where it is.

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use drystone_core::{Allocator, Owns, StableAddress};

use super::block::{Block, Verdict, ensure, layout};
use super::{Caps, settle};
use crate::bytes;

/// The allocator owns each of its live blocks, and nothing of another allocator, of the stack or
/// of the heap. `make` must give allocators that are not equivalent to one another.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn owns<A: Allocator + Owns>(make: impl Fn() -> A, caps: Caps) {
    settle("owns", owns_its_own(&make(), &make(), caps));
}

fn owns_its_own<A: Allocator + Owns>(one: &A, other: &A, caps: Caps) -> Verdict {
    let on_stack = 0u8;
    let on_heap = Box::new(0u8);
    for foreign in [
        NonNull::from(&on_stack),
        NonNull::from(&*on_heap),
        NonNull::dangling(),
    ] {
        ensure!(!one.owns(foreign), "claims {foreign:?}, which is foreign");
    }
    let layout = layout(caps.max_size, 1);
    let mut live = Vec::new();
    for seed in 0..caps.blocks.min(64) / 2 {
        live.push((
            Block::take(one, layout, seed)?,
            Block::take(other, layout, seed)?,
        ));
    }
    for (mine, theirs) in &live {
        ensure!(one.owns(mine.ptr()), "denies its block at {:?}", mine.ptr());
        ensure!(
            !one.owns(theirs.ptr()),
            "claims {:?}, a block of another allocator",
            theirs.ptr()
        );
        ensure!(
            !other.owns(mine.ptr()),
            "claims {:?}, a block of another allocator",
            mine.ptr()
        );
    }
    for (mine, theirs) in live {
        mine.free()?;
        theirs.free()?;
    }
    Ok(())
}

/// Blocks survive a move of the allocator, with their bytes, and can be freed after it.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn stable_address<A: Allocator + StableAddress>(make: impl Fn() -> A, caps: Caps) {
    settle("stable_address", survives_moves(make(), caps));
}

fn survives_moves<A: Allocator + StableAddress>(allocator: A, caps: Caps) -> Verdict {
    let layout = layout(caps.max_size.min(4096), 1);
    let mut home = Box::new(MaybeUninit::new(allocator));
    // SAFETY: written just now.
    let here = unsafe { home.assume_init_ref() };
    let mut live = Vec::new();
    for seed in 0..Caps::BLOCKS_MIN / 2 {
        let Ok(block) = here.allocate(layout) else {
            return Err(format!("refused {layout:?}, which it undertakes to serve"));
        };
        // SAFETY: the block is live and writable.
        unsafe { bytes::stamp(block, seed) };
        live.push((seed, block));
    }
    // SAFETY: initialised; the old place is not used as an allocator again.
    let moved = Box::new(unsafe { home.assume_init_read() });
    // A block that lies in the old place is now overwritten.
    // SAFETY: the box is valid for writes of its own type.
    unsafe { ptr::write_bytes(home.as_mut_ptr(), 0xA5, 1) };
    for &(seed, block) in &live {
        // SAFETY: a block of a stable allocator is live after the move, and initialised.
        let changed = unsafe { bytes::first_difference(block, seed) };
        ensure!(
            changed.is_none(),
            "byte {} of a block changed when the allocator moved",
            changed.unwrap_or_default()
        );
        // SAFETY: as above.
        unsafe { bytes::stamp(block, seed + 1) };
    }
    let moved_again = *moved;
    let late = Block::take(&moved_again, layout, 99)?;
    for (_, block) in live {
        // SAFETY: the block is live after the moves, and the layout is the one asked for.
        unsafe { moved_again.deallocate(block.cast(), layout) };
    }
    late.free()
}
