//! Whether memory grows with the number of threads that there have been.

use std::alloc::Layout;
use std::ptr::NonNull;
use std::thread;

use super::resident::resident_bytes;
use crate::harness::Random;
use crate::rivals::Heap;

/// Ten times as many as find all the pages that blocks of random sizes ever need, nearly.
const THREADS: usize = 200_000;

/// Threads between two looks.
const STEP: usize = 1000;

/// Looks that are left out at first.
const WARM_UP: usize = 150;

/// Blocks that a thread leaves behind.
const LEFT: usize = 10;

type Left = [(NonNull<u8>, Layout); LEFT];

/// Blocks on their way to the thread that frees them.
struct Legacy(Left);

// SAFETY: the blocks may be freed on any thread.
unsafe impl Send for Legacy {}

/// The slope of resident memory, in KiB for each 1000 threads.
pub(super) fn measure<A: Heap>(heap: A) -> f64 {
    let mut looks = Vec::with_capacity(THREADS / STEP);
    let mut previous: Option<Legacy> = None;
    for thread in 1..=THREADS {
        let successor = thread::spawn(move || leave(heap, thread as u64));
        let left = successor.join().expect("it only allocates");
        // Those of the one before: its heap was abandoned with blocks in use.
        if let Some(Legacy(blocks)) = previous.replace(left) {
            for (block, layout) in blocks {
                // SAFETY: the block is live, and was handed out for this layout.
                unsafe { heap.dealloc(block.as_ptr(), layout) };
            }
        }
        if thread % STEP == 0 {
            looks.push(resident_bytes() / 1024.0);
        }
    }
    slope(&looks[WARM_UP..])
}

fn leave<A: Heap>(heap: A, seed: u64) -> Legacy {
    let mut random = Random::new(seed);
    Legacy([(); LEFT].map(|()| {
        let log2 = 4 + random.below(8);
        let size = (1 << log2) + random.below(1 << log2);
        let layout = Layout::from_size_align(size, 8).expect("a valid size");
        // SAFETY: the layout has bytes.
        let block = NonNull::new(unsafe { heap.alloc(layout) }).expect("there is memory");
        // SAFETY: the block's own bytes.
        unsafe { block.write_bytes(1, size) };
        (block, layout)
    }))
}

/// The slope of the line of least squares through values at 0, 1, 2 and so on.
fn slope(values: &[f64]) -> f64 {
    let middle = (values.len() - 1) as f64 / 2.0;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (mut products, mut squares) = (0.0, 0.0);
    for (place, value) in values.iter().enumerate() {
        let distance = place as f64 - middle;
        products += distance * (value - mean);
        squares += distance * distance;
    }
    products / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_a_line_is_its_own() {
        assert_eq!(slope(&[5.0, 7.0, 9.0, 11.0]), 2.0);
        assert_eq!(slope(&[3.0, 3.0, 3.0]), 0.0);
        assert_eq!(slope(&[0.0, 1.0, 0.0]), 0.0);
    }
}
