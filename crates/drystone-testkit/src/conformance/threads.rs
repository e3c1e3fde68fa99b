//! What `Send` and `Sync` say about an allocator.

use std::sync::{Barrier, Mutex};
use std::thread;

use drystone_core::{Allocator, NonZeroLayout};

use super::block::{Block, Verdict, ensure, layout};
use super::content::check_disjoint;
use super::exhaustion::room_for;
use super::{Caps, settle};

const THREADS: usize = 4;

/// An allocator that is `Send` serves on another thread than the one that made and used it.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn sends<A: Allocator + Send>(make: impl Fn() -> A, caps: Caps) {
    settle("sends", serves_after_moving(make(), caps));
}

fn serves_after_moving<A: Allocator + Send>(allocator: A, caps: Caps) -> Verdict {
    let layout = layout(caps.max_size.min(4096), 1);
    Block::take(&allocator, layout, 1)?.free()?;
    thread::scope(|scope| {
        let there = scope.spawn(move || Block::take(&allocator, layout, 2)?.free());
        there.join().expect("a check does not panic")
    })
}

/// An allocator that is `Sync` serves several threads at once, and takes back on one thread what
/// it handed out on another.
///
/// # Panics
///
/// If the promise is broken.
#[track_caller]
pub fn shares<A: Allocator + Sync>(make: impl Fn() -> A, caps: Caps) {
    settle("shares", serves_threads(&make(), caps));
}

fn serves_threads<A: Allocator + Sync>(allocator: &A, caps: Caps) -> Verdict {
    if !(caps.bounded && caps.reuses_memory) {
        return trade_blocks(allocator, caps);
    }
    let before = room_for(allocator, traded(caps))?;
    trade_blocks(allocator, caps)?;
    let after = room_for(allocator, traded(caps))?;
    ensure!(
        after == before,
        "room for {after} blocks after the threads, {before} before"
    );
    Ok(())
}

/// The layout of the blocks that the threads trade.
fn traded(caps: Caps) -> NonZeroLayout {
    layout(caps.max_size.min(256), 1)
}

/// Each thread allocates and stamps, and frees what its neighbour allocated.
fn trade_blocks<A: Allocator + Sync>(allocator: &A, caps: Caps) -> Verdict {
    // Where memory is not reused the blocks promised are shared by threads and rounds.
    let rounds = if cfg!(miri) { 2 } else { 64 };
    let (rounds, each) = if caps.reuses_memory {
        (
            rounds,
            (caps.blocks / THREADS).min(if cfg!(miri) { 3 } else { 64 }),
        )
    } else {
        (1, caps.blocks / THREADS)
    };
    let meeting = Barrier::new(THREADS);
    let table: [Mutex<Vec<Block<'_, A>>>; THREADS] = Default::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (meeting, table) = (&meeting, &table);
                scope.spawn(move || {
                    // Every thread takes part in every meeting, also after a fault.
                    let mut verdict = Ok(());
                    for round in 0..rounds {
                        let taken = take_blocks(allocator, caps, each, thread, round);
                        meeting.wait();
                        match taken {
                            Ok(blocks) => *table[thread].lock().expect("not poisoned") = blocks,
                            Err(words) => verdict = verdict.and(Err(words)),
                        }
                        meeting.wait();
                        let theirs = &table[(thread + 1) % THREADS];
                        let blocks = core::mem::take(&mut *theirs.lock().expect("not poisoned"));
                        verdict = verdict
                            .and_then(|()| check_disjoint(&blocks))
                            .and_then(|()| blocks.into_iter().try_for_each(Block::free));
                        meeting.wait();
                    }
                    verdict
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("a check does not panic"))
    })
}

fn take_blocks<A: Allocator>(
    allocator: &A,
    caps: Caps,
    count: usize,
    thread: usize,
    round: usize,
) -> Verdict<Vec<Block<'_, A>>> {
    (0..count)
        .map(|index| {
            let seed = (round * THREADS + thread) * 1000 + index;
            Block::take(allocator, traded(caps), seed)
        })
        .collect()
}
