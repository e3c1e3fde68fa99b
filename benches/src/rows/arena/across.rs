//! Blocks that are freed by another thread than the one that took them.

use std::alloc::Layout;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use super::{Block, Workload, arms, bytes};
use crate::Row;
use crate::harness::Random;
use crate::limits::pin_to;
use crate::rivals::{Heap, Rivals};
use crate::rows::pool_across::Consumer;
use crate::rows::remote::{PIECE, in_pieces, watched};

#[derive(Clone, Copy)]
struct Across;

impl Workload for Across {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let consumer = Consumer::<Block<A>>::new();
        Box::new(move |units| {
            in_pieces(units, PIECE, || {
                consumer.piece(|place| {
                    place.write(Block::new(heap, const { bytes(64) }));
                })
            });
        })
    }
}

pub(super) fn pipe<R: Rivals>() -> Row {
    Row {
        id: "arena-pipe",
        unit: "block",
        about: "blocks of 64 B taken here, handed over in batches of 64, given back on another core",
        arms: arms::<R>(Across),
    }
}

/// Blocks of each of the two threads.
const LIVE: usize = 5000;

/// Replacements by one thread before the next one takes its place.
const GENERATION: usize = 200_000;

/// Threads that replace random blocks of random sizes, and leave them to their successors.
#[derive(Clone, Copy)]
struct Larson;

/// What a thread replaces by what, drawn beforehand.
struct Draws {
    layouts: Vec<Layout>,
    places: Vec<usize>,
}

impl Draws {
    fn new() -> Self {
        let mut random = Random::new(41);
        Self {
            layouts: (0..1 << 16).map(|_| bytes(8 + random.below(993))).collect(),
            places: (0..1 << 16).map(|_| random.below(LIVE)).collect(),
        }
    }

    /// One generation, from a place in the draws that is its own.
    fn replace<A: Heap>(&self, heap: A, blocks: &mut [Option<Block<A>>], mut at: usize) {
        for _ in 0..GENERATION {
            at = (at + 1) % (self.layouts.len() - 1);
            let place = &mut blocks[self.places[at]];
            *place = None;
            *place = Some(black_box(Block::new(heap, self.layouts[at])));
        }
    }
}

impl Workload for Larson {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let draws = Arc::new(Draws::new());
        let mut tables = [0, 1].map(|table| -> Vec<_> {
            (0..LIVE)
                .map(|n| Some(Block::new(heap, draws.layouts[table * LIVE + n])))
                .collect()
        });
        let mut seed = 0;
        Box::new(move |units| {
            in_pieces(units, 2 * GENERATION, || {
                let start = Instant::now();
                let [first, second] = std::mem::take(&mut tables);
                seed += 1;
                let threads = [(0, first), (1, second)].map(|(core, mut blocks)| {
                    let (draws, at) = (Arc::clone(&draws), 7919 * (2 * seed + core));
                    thread::spawn(move || {
                        pin_to(core);
                        let (_, in_peace) = watched(|| draws.replace(heap, &mut blocks, at));
                        (blocks, in_peace)
                    })
                });
                let [first, second] =
                    threads.map(|thread| thread.join().expect("it only replaces"));
                let elapsed = start.elapsed();
                // Each goes to the other core.
                tables = [second.0, first.0];
                (elapsed, first.1 && second.1)
            });
        })
    }
}

pub(super) fn larson<R: Rivals>() -> Row {
    Row {
        id: "arena-larson",
        unit: "pair of either",
        about: "two threads replace random ones of 5000 blocks each, 8 to 1000 B; after 200 000 each leaves its blocks to a new thread on the other core",
        arms: arms::<R>(Larson),
    }
}
