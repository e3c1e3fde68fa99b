//! What belongs to a block: its bytes, all of them, and nobody else's.

use drystone_core::Allocator;

use super::block::{Block, Verdict, each_with_room, ensure, layout};
use super::exhaustion::room_for;
use super::{Caps, settle};
use crate::bytes;

/// Sizes that meet the rounding of most allocators on both sides, within the limit.
pub(super) fn sizes(caps: Caps) -> Vec<usize> {
    let edges = [
        1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 64, 65, 127, 129, 200, 1000, 4096, 5000,
    ];
    let mut sizes: Vec<usize> = edges
        .into_iter()
        .filter(|&size| size < caps.max_size)
        .collect();
    sizes.push(
        caps.max_size
            .min(if cfg!(miri) { 8 << 10 } else { 1 << 20 }),
    );
    sizes
}

/// Live blocks share no byte, and what is written to one stays as it was whatever happens to the
/// others: many at once, every second one freed, the gaps filled again.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn disjoint<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("disjoint", disjoint_blocks(&make(), caps));
}

fn disjoint_blocks<A: Allocator>(allocator: &A, caps: Caps) -> Verdict {
    let sizes = sizes(caps);
    let count = caps.blocks.min(if cfg!(miri) { 24 } else { 400 });
    // Where memory is not reused, filling the gaps takes blocks of its own.
    let first = if caps.reuses_memory {
        count
    } else {
        count * 2 / 3
    };
    let take = |seed: usize| {
        let align = (1 << (seed % 5)).min(caps.max_align);
        Block::take(
            allocator,
            layout(sizes[seed * 7 % sizes.len()], align),
            seed,
        )
    };
    let mut live = (0..first).map(take).collect::<Verdict<Vec<_>>>()?;
    check_disjoint(&live)?;
    let mut kept = Vec::new();
    for (index, block) in live.drain(..).enumerate() {
        if index % 2 == 0 {
            kept.push(block);
        } else {
            block.free()?;
        }
    }
    for seed in 0..first / 2 {
        kept.push(take(seed * 2 + 1)?);
    }
    check_disjoint(&kept)?;
    kept.into_iter().try_for_each(Block::free)
}

/// No two of `blocks` overlap, and each still carries its stamp.
pub(super) fn check_disjoint<A: Allocator + ?Sized>(blocks: &[Block<'_, A>]) -> Verdict {
    let mut spans: Vec<_> = blocks.iter().map(Block::span).collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        ensure!(
            pair[0].1 <= pair[1].0,
            "two live blocks overlap: {:#x}..{:#x} and {:#x}..{:#x}",
            pair[0].0,
            pair[0].1,
            pair[1].0,
            pair[1].1
        );
    }
    blocks.iter().try_for_each(Block::check)
}

/// A zeroed block is zero over its whole returned length, also where its memory was used before.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn zeroed<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("zeroed", zeroed_blocks(&make, caps));
}

fn zeroed_blocks<A: Allocator>(make: &impl Fn() -> A, caps: Caps) -> Verdict {
    each_with_room(make, caps, 4, sizes(caps), |allocator, size| {
        let layout = layout(size, 1);
        let mut dirty = Vec::new();
        for seed in 1..=2 {
            dirty.push(Block::take(allocator, layout, seed)?);
        }
        dirty.into_iter().try_for_each(Block::free)?;
        let mut live = Vec::new();
        for seed in 3..=4 {
            let Ok(bytes) = allocator.allocate_zeroed(layout) else {
                return Err(format!(
                    "refused a zeroed block of {layout:?}, which it undertakes to serve"
                ));
            };
            super::block::obeys(bytes, layout)?;
            // SAFETY: the block is live and initialised, by the contract of allocate_zeroed.
            let dirty = unsafe { bytes::first_nonzero(bytes, 0) };
            ensure!(
                dirty.is_none(),
                "byte {} of a zeroed block of {} bytes is not zero ({layout:?})",
                dirty.unwrap_or_default(),
                bytes.len()
            );
            live.push(Block::adopt(allocator, bytes, layout, seed)?);
        }
        check_disjoint(&live)?;
        live.into_iter().try_for_each(Block::free)
    })
}

/// A block may be freed with every size from the requested to the returned one. Where memory is
/// reused, its place is then free again whichever it was.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn fits<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("fits", fitting_frees(&make, caps));
}

fn fitting_frees<A: Allocator>(make: &impl Fn() -> A, caps: Caps) -> Verdict {
    each_with_room(make, caps, 3, sizes(caps), |allocator, size| {
        // Counting the room for small blocks would take as long as there are bytes.
        let counted_from = caps.max_size / if cfg!(miri) { 1 } else { 4 };
        let countable = caps.bounded && caps.reuses_memory && size >= counted_from;
        let room = || match countable {
            true => room_for(allocator, layout(size, 1)),
            false => Ok(0),
        };
        let before = room()?;
        fit_once(allocator, size)?;
        let after = room()?;
        ensure!(
            after == before,
            "room for {after} blocks of {size} bytes, {before} before a block was freed with each \
             size that fits"
        );
        Ok(())
    })
}

/// Frees one block each with the smallest, a middle and the largest size that fits.
fn fit_once<A: Allocator>(allocator: &A, size: usize) -> Verdict {
    for choose in [
        |low, _| low,
        |low, high| low + (high - low) / 2,
        |_, high| high,
    ] {
        let block = Block::take(allocator, layout(size, 1), size)?;
        let fitting = layout(choose(size, block.len()), 1);
        block.free_as(fitting)?;
    }
    Ok(())
}

/// The usable size covers the requested one, and using all of it disturbs no neighbour.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn usable_size<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("usable_size", usable_sizes(&make, caps));
}

fn usable_sizes<A: Allocator>(make: &impl Fn() -> A, caps: Caps) -> Verdict {
    each_with_room(
        make,
        caps,
        Caps::BLOCKS_MIN,
        sizes(caps),
        |allocator, size| {
            let layout = layout(size, 1);
            let live = (0..Caps::BLOCKS_MIN)
                .map(|seed| Block::take(allocator, layout, seed))
                .collect::<Verdict<Vec<_>>>()?;
            for block in &live {
                use_all(allocator, block)?;
                check_disjoint(&live)?;
            }
            live.into_iter().try_for_each(Block::free)
        },
    )
}

/// Writes over all that is said to be usable, then puts the stamp back.
fn use_all<A: Allocator>(allocator: &A, block: &Block<'_, A>) -> Verdict {
    // SAFETY: the block is live and the layout is the one it was asked for with.
    let Some(usable) = (unsafe { allocator.usable_size(block.ptr(), block.layout()) }) else {
        return Ok(());
    };
    ensure!(
        usable >= block.layout().size().get(),
        "{usable} bytes usable of {:?}",
        block.layout()
    );
    let whole = core::ptr::NonNull::slice_from_raw_parts(block.ptr(), usable);
    // SAFETY: all of it may be written, by the contract of usable_size.
    unsafe { bytes::stamp(whole, usize::MAX) };
    block.stamp();
    Ok(())
}
