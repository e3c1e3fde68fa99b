//! What every request gets: a block of the right place and length, or a refusal.

use core::hint::black_box;

use drystone_core::{Allocator, NonZeroLayout};

use super::block::{Block, Verdict, each_with_room, ensure, layout};
use super::{Caps, settle};

/// A block can be taken, written, read and given back, twice over.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn basic_round_trip<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("basic_round_trip", round_trips(&make(), caps));
}

/// The allocator keeps its promises behind `&dyn Allocator`.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn dyn_usable<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    let allocator = make();
    let erased: &dyn Allocator = &allocator;
    settle("dyn_usable", round_trips(erased, caps));
}

fn round_trips<A: Allocator + ?Sized>(allocator: &A, caps: Caps) -> Verdict {
    for (seed, size) in [1, caps.max_size].into_iter().enumerate() {
        let block = Block::take(allocator, layout(size, 1), seed)?;
        block.check()?;
        block.free()?;
    }
    Ok(())
}

/// Every block starts at a multiple of the alignment asked for: each power of two from 1 to 64 KiB.
/// Alignments above the allocator's limit may be refused, never served wrongly.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn alignment<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("alignment", alignments(&make, caps));
}

fn alignments<A: Allocator>(make: &impl Fn() -> A, caps: Caps) -> Verdict {
    let sizes = [1, 3, 8, 24, 100, 4096];
    let aligns = (0..=16).step_by(if cfg!(miri) { 4 } else { 1 });
    let all: Vec<NonZeroLayout> = aligns
        .flat_map(|log2| sizes.map(|size| layout(size, 1 << log2)))
        .filter(|layout| layout.size().get() <= caps.max_size)
        .collect();
    let (served, beyond): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|layout| layout.align().get() <= caps.max_align);
    // A one-byte block in front moves the next free byte off every alignment.
    each_with_room(make, caps, 2, served, |allocator, layout_| {
        let odd = Block::take(allocator, layout(1, 1), 0)?;
        let block = Block::take(allocator, layout_, 1)?;
        odd.free()?;
        block.free()
    })?;
    for layout in beyond {
        if let Some(block) = Block::attempt(&make(), layout, 2)? {
            block.free()?;
        }
    }
    Ok(())
}

/// Every block is at least as long as asked: each size from 1 to 300 bytes, and the edges of
/// larger powers of two up to 1 MiB. Sizes above the allocator's limit may be refused.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn lengths<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("lengths", all_lengths(&make, caps));
}

fn all_lengths<A: Allocator>(make: &impl Fn() -> A, caps: Caps) -> Verdict {
    let small = (1..=300).step_by(if cfg!(miri) { 23 } else { 1 });
    let edges = (9..=if cfg!(miri) { 12 } else { 20 })
        .flat_map(|log2| [(1usize << log2) - 1, 1 << log2, (1 << log2) + 1]);
    let (served, beyond): (Vec<usize>, Vec<usize>) = small
        .chain(edges)
        .chain([caps.max_size])
        .partition(|&size| size <= caps.max_size);
    each_with_room(make, caps, 1, served, |allocator, size| {
        Block::take(allocator, layout(size, 1), size)?.free()
    })?;
    for size in beyond {
        if let Some(block) = Block::attempt(&make(), layout(size, 1), size)? {
            block.free()?;
        }
    }
    Ok(())
}

/// Sizes near `isize::MAX` are refused, whatever the alignment, and a refusal does no harm: the
/// arithmetic on them neither wraps nor rounds down.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn refuses_absurd_sizes<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    // Miri ends the program when its own heap is asked for more than the address space.
    if cfg!(miri) && !caps.bounded {
        return;
    }
    settle("refuses_absurd_sizes", refusals(&make(), caps));
}

fn refusals<A: Allocator>(allocator: &A, caps: Caps) -> Verdict {
    let before = Block::take(allocator, layout(caps.max_size.min(64), 1), 1)?;
    for absurd in absurd_layouts() {
        // The compiler may otherwise remove an allocation that nobody looks at.
        let plain = black_box(allocator.allocate(absurd));
        ensure!(plain.is_err(), "served a block of {absurd:?}");
        let zeroed = black_box(allocator.allocate_zeroed(absurd));
        ensure!(zeroed.is_err(), "served a zeroed block of {absurd:?}");
    }
    let after = Block::take(allocator, layout(caps.max_size.min(64), 1), 2)?;
    before.free()?;
    after.free()
}

/// The largest sizes that a layout of each alignment can have, down to half of the address space.
pub(super) fn absurd_layouts() -> impl Iterator<Item = NonZeroLayout> {
    let largest = isize::MAX as usize;
    (0..usize::BITS - 2).step_by(3).flat_map(move |log2| {
        let align = 1usize << log2;
        let top = (largest + 1) - align;
        [top, top - 1, top - 7, top / 2 + 1]
            .into_iter()
            .filter_map(move |size| NonZeroLayout::from_size_align(size, align).ok())
    })
}
