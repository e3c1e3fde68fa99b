//! What stays resident of memory that was freed and asked back.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;
use std::time::Duration;

use super::resident::resident_bytes;
use crate::harness::Random;
use crate::rivals::Heap;

const TOTAL_BYTES: usize = 1 << 30;

/// The resident share of the peak, in per cent, a tenth of a second after the allocator was asked
/// to give everything back. Some do that later and by themselves: hence the pause.
pub(super) fn measure<A: Heap>(heap: A) -> f64 {
    let layouts = draw();
    let mut blocks = vec![NonNull::<u8>::dangling(); layouts.len()];
    let before = resident_bytes();
    for (block, &layout) in blocks.iter_mut().zip(&layouts) {
        // SAFETY: every layout here has bytes.
        *block = NonNull::new(unsafe { heap.alloc(layout) }).expect("there is memory");
        // SAFETY: the block's own bytes.
        unsafe { block.write_bytes(1, layout.size()) };
    }
    let peak = resident_bytes() - before;
    for (block, &layout) in blocks.iter().zip(&layouts) {
        // SAFETY: the block is live, and was handed out for this layout.
        unsafe { heap.dealloc(block.as_ptr(), layout) };
    }
    heap.collect();
    thread::sleep(Duration::from_millis(100));
    100.0 * (resident_bytes() - before) / peak
}

/// 64 B to 4 KiB, spread over their logarithm.
fn draw() -> Vec<Layout> {
    let mut random = Random::new(31);
    let mut total = 0;
    std::iter::from_fn(|| {
        let log2 = 6 + random.below(6);
        let size = (1 << log2) + random.below(1 << log2);
        total += size;
        (total <= TOTAL_BYTES).then(|| Layout::from_size_align(size, 8).expect("a valid size"))
    })
    .collect()
}
