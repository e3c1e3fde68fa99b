//! Stacks over several kinds of storage.

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::{FixedRange, Region};
use drystone_layout::StackAlloc;

use super::choose;
use crate::program::{Limits, Program, run_with_reset};

const BYTES: usize = 4096;

/// The first byte chooses the storage; the rest is a program. Blocks are freed in any order, and
/// when the last is freed the stack is empty.
///
/// # Panics
///
/// If the stack breaks a promise or an invariant.
pub fn target_stack(data: &[u8]) {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => {
            let bytes = BYTES - usize::from(choice / 4);
            let heap = HeapBacked::with_align(bytes, 8).expect("memory for a test");
            stack(data, 4096, heap);
        }
        1 => stack(data, 16, InlineBacked::<BYTES>::new()),
        _ => {
            let mut inline = InlineBacked::<BYTES>::new();
            stack(data, 4096, Region::borrow(&mut inline));
        }
    }
}

fn stack<B: FixedRange>(data: &[u8], max_align: usize, range: B) {
    let limits = Limits {
        max_size: BYTES / 4,
        max_align,
    };
    run_with_reset(StackAlloc::new(range), &Program::decode(data, limits));
}
