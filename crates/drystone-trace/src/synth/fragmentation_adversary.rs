//! Robson's adversary, without knowledge of addresses.
//!
//! Blocks are thought to lie in a line in the order of their allocation. In each step the block
//! size doubles; before that, just so many blocks survive that no gap between two of them holds a
//! block of the new size. What the survivors leave of the live budget is filled with blocks of the
//! new size, which need fresh memory. The line so grows by most of the budget in each step, while
//! the live bytes stay within it. A heap that places by address suffers as in the theory; a heap
//! of size classes is left with a few blocks in each span.

use super::rng::SplitMix64;
use super::script::{Object, Script};

const UNIT_BYTES_MIN: u64 = 32;
const DOUBLINGS: u32 = 8;
/// Records that one round takes for each block of its first step: that step allocates it, the
/// later ones allocate half a block more, and all of them are freed.
const RECORDS_PER_BLOCK: usize = 3;

struct Block {
    object: Object,
    /// Where it starts in the line, in bytes.
    start: u64,
    bytes: u64,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.bytes
    }
}

pub(super) fn play(script: &mut Script, rng: &mut SplitMix64) {
    let blocks = (script.wanted() / RECORDS_PER_BLOCK).max(2) as u64;
    let unit_bytes = UNIT_BYTES_MIN + 16 * rng.below(3);
    while !script.is_full() {
        let survivors = round(script, rng, unit_bytes, blocks);
        free_shuffled(script, rng, survivors);
    }
}

fn round(script: &mut Script, rng: &mut SplitMix64, unit_bytes: u64, blocks: u64) -> Vec<Block> {
    let budget_bytes = unit_bytes * blocks;
    let mut line: Vec<Block> = Vec::new();
    let mut end = 0;
    for doubling in 0..=DOUBLINGS {
        let bytes = unit_bytes << doubling;
        let (survivors, doomed) = thin(line, bytes);
        line = survivors;
        free_shuffled(script, rng, doomed);
        let live_bytes: u64 = line.iter().map(|block| block.bytes).sum();
        for _ in 0..budget_bytes.saturating_sub(live_bytes) / bytes {
            line.push(Block {
                object: script.allocate(0, bytes),
                start: end,
                bytes,
            });
            end += bytes;
        }
    }
    line
}

/// Splits `line` into the blocks that keep every gap below `gap_bytes`, and the others.
fn thin(line: Vec<Block>, gap_bytes: u64) -> (Vec<Block>, Vec<Block>) {
    let mut survivors = Vec::new();
    let mut doomed = Vec::new();
    let mut gap_start = 0;
    let mut blocks = line.into_iter().peekable();
    while let Some(block) = blocks.next() {
        let gap_end = blocks.peek().map_or(u64::MAX, |next| next.start);
        if gap_end - gap_start >= gap_bytes {
            gap_start = block.end();
            survivors.push(block);
        } else {
            doomed.push(block);
        }
    }
    (survivors, doomed)
}

fn free_shuffled(script: &mut Script, rng: &mut SplitMix64, mut blocks: Vec<Block>) {
    rng.shuffle(&mut blocks);
    for block in blocks {
        script.free(0, block.object);
    }
}
