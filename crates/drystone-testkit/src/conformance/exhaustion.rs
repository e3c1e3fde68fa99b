//! Running out, and what is left afterwards.

use drystone_core::{Allocator, NonZeroLayout, Reset};

use super::block::{Block, Verdict, ensure, layout};
use super::content::check_disjoint;
use super::{Caps, settle};

/// The most blocks that a bounded allocator may hand out.
const BLOCKS_MAX: usize = 4 << 20;

/// The orders in which a full allocator is emptied.
const ORDERS: [Order; 3] = [Order::Lifo, Order::Fifo, Order::Interleaved];

#[derive(Clone, Copy, Debug)]
enum Order {
    Lifo,
    Fifo,
    /// Every second block, then the others.
    Interleaved,
}

/// An allocator that is [`bounded`](Caps::bounded) runs out with an error, after the blocks it
/// undertook to serve, and harms no live block by it. Where memory is reused, freeing everything,
/// in whatever order, makes room for exactly the same number again.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn exhaustion<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    if caps.bounded {
        let verdict = layouts(caps)
            .into_iter()
            .try_for_each(|layout| exhaust(&make(), caps, layout));
        settle("exhaustion", verdict);
    }
}

/// The layouts to run out of: the largest, which is soon done, and a middle one.
fn layouts(caps: Caps) -> Vec<NonZeroLayout> {
    let mut sizes = vec![caps.max_size];
    if !cfg!(miri) {
        sizes.push((caps.max_size / 3).clamp(1, 512));
    }
    let aligned = |size: usize| layout(size, caps.max_align.min(8));
    sizes.into_iter().map(aligned).collect()
}

fn exhaust<A: Allocator>(allocator: &A, caps: Caps, layout: NonZeroLayout) -> Verdict {
    let live = fill(allocator, layout)?;
    let count = live.len();
    ensure!(
        count >= caps.blocks,
        "ran out after {count} of {} blocks ({layout:?})",
        caps.blocks
    );
    check_disjoint(&live)?;
    empty(live, Order::Lifo)?;
    if !caps.reuses_memory {
        return Ok(());
    }
    let orders = if cfg!(miri) {
        &ORDERS[2..]
    } else {
        &ORDERS[..]
    };
    for &order in orders {
        let live = fill(allocator, layout)?;
        ensure!(
            live.len() == count,
            "room for {} blocks after all were freed, {count} before ({layout:?})",
            live.len()
        );
        empty(live, order)?;
    }
    Ok(())
}

/// How many blocks of `layout` a bounded allocator still has room for.
pub(super) fn room_for<A: Allocator>(allocator: &A, layout: NonZeroLayout) -> Verdict<usize> {
    let live = fill(allocator, layout)?;
    let count = live.len();
    empty(live, Order::Lifo)?;
    Ok(count)
}

/// Allocates until refused, twice, so that the second refusal is seen to be harmless too.
fn fill<A: Allocator>(allocator: &A, layout: NonZeroLayout) -> Verdict<Vec<Block<'_, A>>> {
    let mut live = Vec::new();
    while let Some(block) = Block::attempt(allocator, layout, live.len())? {
        live.push(block);
        ensure!(
            live.len() <= BLOCKS_MAX,
            "a bounded allocator served more than {BLOCKS_MAX} blocks"
        );
    }
    ensure!(
        core::hint::black_box(allocator.allocate_zeroed(layout)).is_err(),
        "served a zeroed block after it had run out ({layout:?})"
    );
    Ok(live)
}

fn empty<A: Allocator>(live: Vec<Block<'_, A>>, order: Order) -> Verdict {
    match order {
        Order::Lifo => live.into_iter().rev().try_for_each(Block::free),
        Order::Fifo => live.into_iter().try_for_each(Block::free),
        Order::Interleaved => {
            let (even, odd): (Vec<_>, Vec<_>) = live
                .into_iter()
                .enumerate()
                .partition(|(index, _)| index % 2 == 0);
            even.into_iter()
                .chain(odd)
                .try_for_each(|(_, block)| block.free())
        }
    }
}

/// The capacity does not change with use, and the requested bytes of all live blocks never exceed
/// it.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn capacity<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("capacity", keeps_capacity(&make(), caps));
}

fn keeps_capacity<A: Allocator>(allocator: &A, caps: Caps) -> Verdict {
    let capacity = allocator.capacity_bytes();
    let layout = layout(caps.max_size, 1);
    let live = if caps.bounded {
        fill(allocator, layout)?
    } else {
        vec![Block::take(allocator, layout, 1)?]
    };
    let requested = live.len() * layout.size().get();
    ensure!(
        allocator.capacity_bytes() == capacity,
        "capacity {capacity:?} became {:?} with use",
        allocator.capacity_bytes()
    );
    ensure!(
        capacity.is_none_or(|bytes| requested <= bytes),
        "{requested} bytes live, more than the capacity of {capacity:?}"
    );
    empty(live, Order::Fifo)?;
    ensure!(
        allocator.capacity_bytes() == capacity,
        "capacity {capacity:?} became {:?} after all was freed",
        allocator.capacity_bytes()
    );
    Ok(())
}

/// The count of corruption events never falls, and correct use does not raise it.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn corruption_events<A: Allocator>(make: impl Fn() -> A, caps: Caps) {
    settle("corruption_events", no_events(&make(), caps));
}

fn no_events<A: Allocator>(allocator: &A, caps: Caps) -> Verdict {
    let before = allocator.corruption_events();
    let mut live = Vec::new();
    for seed in 0..Caps::BLOCKS_MIN {
        live.push(Block::take(
            allocator,
            layout(caps.max_size.min(64), 1),
            seed,
        )?);
        let events = allocator.corruption_events();
        ensure!(
            events == before,
            "correct use took the count from {before} to {events}"
        );
    }
    empty(live, Order::Interleaved)?;
    let events = allocator.corruption_events();
    ensure!(
        events == before,
        "correct use took the count from {before} to {events}"
    );
    Ok(())
}

/// A reset frees every block at once: the same number fits again, any number of times, also when
/// blocks are live.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn reset<A: Allocator + Reset>(make: impl Fn() -> A, caps: Caps) {
    let verdict = layouts(caps)
        .into_iter()
        .try_for_each(|layout| resets(&mut make(), caps, layout));
    settle("reset", verdict);
}

fn resets<A: Allocator + Reset>(allocator: &mut A, caps: Caps, layout: NonZeroLayout) -> Verdict {
    // An empty allocator can be reset too.
    allocator.reset();
    let mut counts = Vec::new();
    for round in 0..3 {
        let live = if caps.bounded {
            fill(allocator, layout)?
        } else {
            (0..caps.blocks)
                .map(|seed| Block::take(&*allocator, layout, seed))
                .collect::<Verdict<Vec<_>>>()?
        };
        check_disjoint(&live)?;
        counts.push(live.len());
        // Some are freed before the reset, some are live when it comes.
        live.into_iter()
            .step_by(2 + round)
            .try_for_each(Block::free)?;
        allocator.reset();
    }
    ensure!(
        counts
            .iter()
            .all(|&count| count == counts[0] && count >= caps.blocks),
        "room for {counts:?} blocks between resets, at least {} promised ({layout:?})",
        caps.blocks
    );
    Ok(())
}
