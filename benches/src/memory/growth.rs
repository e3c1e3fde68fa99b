//! How much memory live blocks take, relative to what was asked for.

use std::alloc::Layout;
use std::ptr::NonNull;

use super::resident::resident_bytes;
use crate::harness::Random;
use crate::rivals::Heap;

/// Which blocks.
#[derive(Clone, Copy)]
pub(super) enum Blocks {
    /// All of this size.
    Equal(u32),
    /// Most are small and some are large.
    Pareto,
}

const COUNT: usize = 1_000_000;

/// The growth of resident memory to the bytes requested.
pub(super) fn measure<A: Heap>(heap: A, blocks: Blocks) -> f64 {
    let mut random = Random::new(17);
    let mut draw = move || match blocks {
        Blocks::Equal(size) => size,
        Blocks::Pareto => pareto(&mut random),
    };
    let mut sizes: Vec<u32> = (0..COUNT).map(|_| draw()).collect();
    let mut live = vec![NonNull::<u8>::dangling(); COUNT];
    let before = resident_bytes();
    for (block, &size) in live.iter_mut().zip(&sizes) {
        *block = written(heap, size);
    }
    if matches!(blocks, Blocks::Pareto) {
        redraw(heap, &mut live, &mut sizes, draw);
    }
    let requested: f64 = sizes.iter().map(|&size| f64::from(size)).sum();
    (resident_bytes() - before) / requested
}

/// Frees 4 of 5 blocks, chosen at random, and takes as many new ones.
fn redraw<A: Heap>(
    heap: A,
    live: &mut [NonNull<u8>],
    sizes: &mut [u32],
    mut draw: impl FnMut() -> u32,
) {
    let mut random = Random::new(23);
    for place in 0..COUNT {
        live.swap(place, random.below(COUNT));
    }
    // The list of sizes was not shuffled along: a block begins with its own.
    for &block in &live[COUNT / 5..] {
        // SAFETY: a block here is live, and begins with its size.
        let size = unsafe { block.cast::<u32>().read() };
        // SAFETY: it was handed out for this size, and is not used again.
        unsafe { heap.dealloc(block.as_ptr(), layout(size)) };
    }
    for (block, size) in live.iter().zip(sizes.iter_mut()).take(COUNT / 5) {
        // SAFETY: a block here is live, and begins with its size.
        *size = unsafe { block.cast::<u32>().read() };
    }
    for place in COUNT / 5..COUNT {
        sizes[place] = draw();
        live[place] = written(heap, sizes[place]);
    }
}

fn layout(size: u32) -> Layout {
    Layout::from_size_align(size as usize, 8).expect("a valid size")
}

/// A block whose every byte is written, and which begins with its size.
fn written<A: Heap>(heap: A, size: u32) -> NonNull<u8> {
    // SAFETY: every size here is at least 16.
    let block = NonNull::new(unsafe { heap.alloc(layout(size)) }).expect("there is memory");
    // SAFETY: the block's own bytes.
    unsafe { block.write_bytes(1, size as usize) };
    // SAFETY: its first four, which are aligned to 8.
    unsafe { block.cast::<u32>().write(size) };
    block
}

/// 16 B to 64 KiB; half of the blocks are below 30 B, and one in a hundred above 700.
fn pareto(random: &mut Random) -> u32 {
    const SHAPE: f64 = 1.2;
    let uniform = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let size = 16.0 * (1.0 - uniform).powf(-1.0 / SHAPE);
    size.min(65_536.0) as u32
}
