//! Blocks of zeroes: of memory that was used before, and of memory that was not.

use std::hint::black_box;

use super::{Block, Workload, arms, bytes};
use crate::Row;
use crate::harness::{in_batches, timed};
use crate::rivals::{Heap, Rivals};

pub(super) fn build<R: Rivals>(id: &str) -> Option<Row> {
    let row = match id {
        "arena-calloc-64" => reused::<R, 64>("arena-calloc-64"),
        "arena-calloc-4k" => reused::<R, { 4 << 10 }>("arena-calloc-4k"),
        "arena-calloc-1m" => reused::<R, { 1 << 20 }>("arena-calloc-1m"),
        "arena-calloc-20m" => reused::<R, { 20 << 20 }>("arena-calloc-20m"),
        "arena-calloc-fresh-64" => fresh::<R, 64>("arena-calloc-fresh-64"),
        "arena-calloc-fresh-4k" => fresh::<R, { 4 << 10 }>("arena-calloc-fresh-4k"),
        "arena-calloc-fresh-1m" => fresh::<R, { 1 << 20 }>("arena-calloc-fresh-1m"),
        "arena-calloc-fresh-20m" => fresh::<R, { 20 << 20 }>("arena-calloc-fresh-20m"),
        _ => return None,
    };
    Some(row)
}

/// One block of zeroes, whose memory is the one that was freed last.
#[derive(Clone, Copy)]
struct Reused<const N: usize>;

impl<const N: usize> Workload for Reused<N> {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            for _ in 0..units {
                let mut block = Block::zeroed(heap, const { bytes(N) });
                block.touch(0);
                drop(black_box(block));
            }
        })
    }
}

fn reused<R: Rivals, const N: usize>(id: &'static str) -> Row {
    Row {
        id,
        unit: "pair",
        about: "a block of zeroes taken and given back, a byte of each page written",
        arms: arms::<R>(Reused::<N>),
    }
}

/// Bytes that are taken at once; three blocks if that is more.
const BATCH_BYTES: usize = 4 << 20;

/// Many blocks of zeroes at once, which are not freed: what comes next is memory that was never
/// used. Untimed, the pages that a block fills go back to the system.
#[derive(Clone, Copy)]
struct Fresh<const N: usize>;

impl<const N: usize> Workload for Fresh<N> {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let count = (BATCH_BYTES / N).max(3);
        let mut blocks: Vec<Block<A>> = Vec::with_capacity(count);
        Box::new(move |units| {
            in_batches(units, count as u64, || {
                let elapsed = timed(|| {
                    for _ in 0..count {
                        let mut block = Block::zeroed(heap, const { bytes(N) });
                        block.touch(0);
                        blocks.push(block);
                    }
                });
                blocks.drain(..).for_each(Block::leak);
                elapsed
            });
        })
    }
}

fn fresh<R: Rivals, const N: usize>(id: &'static str) -> Row {
    Row {
        id,
        unit: "block",
        about: "blocks of zeroes in memory that was never used, a byte of each page written",
        arms: arms::<R>(Fresh::<N>),
    }
}
