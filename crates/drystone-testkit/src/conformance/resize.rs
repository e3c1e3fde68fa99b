//! Growing and shrinking: contents, alignment, zeros, and the refusal that changes nothing.

use drystone_core::Allocator;

use super::block::{Block, Verdict, each_with_room, ensure, layout};
use super::serve::absurd_layouts;
use super::{Caps, settle};

/// One change of a block.
#[derive(Clone, Copy)]
struct Change {
    from: (usize, usize),
    to: (usize, usize),
    zeroed: bool,
    /// Describe the old block by its returned length instead of the requested one.
    from_returned: bool,
}

/// Growing and shrinking keep the contents of the block and of its neighbours, zero the tail where
/// asked, and honour a changed alignment or refuse it. A change of size alone, within the
/// allocator's limits, succeeds. The old block may be described by any layout that fits it.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn grow_shrink<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    let verdict = each_with_room(&make, caps, 6, changes(caps), change_between_neighbours);
    settle("grow_shrink", verdict);
}

/// Every pair of sizes and alignments, each grown plainly and with zeros.
fn changes(caps: Caps) -> Vec<Change> {
    let sizes: Vec<usize> = [1, 8, 13, 16, 48, 64, 100, 1000, 5000]
        .into_iter()
        .filter(|&size| size < caps.max_size)
        .chain([caps.max_size.min(20_000)])
        .collect();
    let aligns = [
        (1, 1),
        (8, 8),
        (1, 16),
        (16, 1),
        (8, 64),
        (4096, 4096),
        (16, 4096),
    ];
    let mut changes = Vec::new();
    for (index, &from) in sizes.iter().enumerate() {
        for &to in &sizes {
            for (old_align, new_align) in aligns {
                for zeroed in [false, true] {
                    changes.push(Change {
                        from: (from, old_align),
                        to: (to, new_align),
                        zeroed,
                        from_returned: (index + zeroed as usize) % 2 == 1,
                    });
                }
            }
        }
    }
    changes.retain(|change| {
        change.from.1.max(change.to.1) <= caps.max_align
            && !(change.zeroed && change.to < change.from)
    });
    let step = if cfg!(miri) {
        1 + changes.len() / 40
    } else {
        1
    };
    changes.into_iter().step_by(step).collect()
}

fn change_between_neighbours<A: Allocator>(allocator: &A, change: Change) -> Verdict {
    let neighbour = layout(change.from.0, 1);
    let before = Block::take(allocator, neighbour, 1)?;
    let gap = Block::take(allocator, layout(change.to.0, change.to.1), 2)?;
    let between = Block::take(allocator, neighbour, 3)?;
    let block = Block::take(allocator, layout(change.from.0, change.from.1), 4)?;
    let after = Block::take(allocator, neighbour, 5)?;
    // A block that moves likely moves here, where both neighbours see it write too far.
    gap.free()?;
    let block = apply(block, change)?;
    let neighbours = [before, between, after];
    neighbours.iter().try_for_each(Block::check)?;
    // Frees in another order than the blocks came in.
    block.free()?;
    neighbours.into_iter().try_for_each(Block::free)
}

/// Carries out `change`; the block is afterwards as long and as aligned as it says, or unchanged.
fn apply<A: Allocator>(block: Block<'_, A>, change: Change) -> Verdict<Block<'_, A>> {
    let old_size = if change.from_returned && block.len() <= change.to.0 {
        block.len()
    } else {
        change.from.0
    };
    let old = layout(old_size, change.from.1);
    let new = layout(change.to.0, change.to.1);
    let result = if new.size() >= old.size() {
        block.grow(old, new, change.zeroed)?
    } else {
        block.shrink(old, new)?
    };
    match result {
        Ok(block) => Ok(block),
        Err(_) if old.align() == new.align() => Err(format!(
            "refused to resize {old:?} to {new:?}, which it undertakes to serve"
        )),
        Err(block) => Ok(block),
    }
}

/// A resize that is refused leaves the block live and its bytes untouched: growth to absurd sizes,
/// and growth beyond what the allocator has left.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn resize_refusal<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    // Miri ends the program when its own heap is asked for more than the address space.
    if cfg!(miri) && !caps.bounded {
        return;
    }
    settle("resize_refusal", refusals(&make(), caps));
}

fn refusals<A: Allocator>(allocator: &A, caps: Caps) -> Verdict {
    let old = layout(caps.max_size.min(100), 1);
    let block = Block::take(allocator, old, 1)?;
    for absurd in absurd_layouts() {
        for zeroed in [false, true] {
            block.cannot_grow(old, absurd, zeroed)?;
        }
    }
    let neighbour = Block::take(allocator, old, 2)?;
    block.check()?;
    ensure!(
        neighbour.span().0 != block.span().0,
        "a refused resize lost the block"
    );
    neighbour.free()?;
    block.free()
}
