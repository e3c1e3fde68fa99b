//! The bump arenas beside the plain one: shared between threads, and growing by segments.

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::{FixedRange, Region, SourceFrom};
use drystone_layout::{GrowableBump, SharedBumpArena};

use super::choose;
use crate::FirstFit;
use crate::program::{Limits, Program, run_with_reset};

const BYTES: usize = 4096;

/// The first byte chooses the storage; the rest is a program, which one thread carries out: what
/// several do at once is for the models.
///
/// # Panics
///
/// If the arena breaks a promise or an invariant.
pub fn target_shared_bump(data: &[u8]) {
    let (choice, data) = choose(data);
    match choice % 3 {
        0 => {
            let bytes = BYTES - usize::from(choice / 4);
            let heap = HeapBacked::with_align(bytes, 8).expect("memory for a test");
            shared(data, 4096, heap);
        }
        1 => shared(data, 16, InlineBacked::<BYTES>::new()),
        _ => {
            let mut inline = InlineBacked::<BYTES>::new();
            shared(data, 4096, Region::borrow(&mut inline));
        }
    }
}

fn shared<B: FixedRange>(data: &[u8], max_align: usize, range: B) {
    let limits = Limits {
        max_size: BYTES / 4,
        max_align,
    };
    run_with_reset(SharedBumpArena::new(range), &Program::decode(data, limits));
}

/// The first byte chooses the size of the first segment; the rest is a program. The source runs out.
///
/// # Panics
///
/// If the arena breaks a promise or an invariant.
pub fn target_growable_bump(data: &[u8]) {
    let (choice, data) = choose(data);
    let limits = Limits {
        max_size: 2048,
        max_align: 4096,
    };
    let first = 16 << (choice % 10);
    let memory = FirstFit::new(64 << 10);
    let arena = GrowableBump::with_segment_bytes(SourceFrom::new(&memory), first);
    run_with_reset(arena, &Program::decode(data, limits));
}
