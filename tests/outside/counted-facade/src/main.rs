//! The facade without features: statistics around a slab in a buffer of the caller's.

use core::mem::MaybeUninit;
use std::process::ExitCode;

use drystone::{Allocator, Deallocator, NonZeroLayout, Slab, StaticBacked, Statistics};

fn main() -> ExitCode {
    match count() {
        Ok(()) => {
            println!("counted-facade: ok");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("counted-facade: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Frees two of three blocks and reads from the statistics that one is left.
fn count() -> Result<(), String> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let slab = Slab::<[u64; 8], _>::new(3, StaticBacked::new(&mut buffer))
        .map_err(|error| error.to_string())?;
    let counted = Statistics::new(slab);
    let layout = NonZeroLayout::for_type::<[u64; 8]>().ok_or("the type has a size")?;
    let blocks: Vec<_> = (0..4)
        .map_while(|_| counted.allocate(layout).ok())
        .collect();
    for block in blocks.iter().skip(1) {
        // SAFETY: the block is live, of this allocator and layout, and not used again.
        unsafe { counted.deallocate(block.cast(), layout) };
    }
    let stats = counted.stats();
    let seen = (
        blocks.len(),
        stats.allocations,
        stats.deallocations,
        stats.failures,
    );
    if seen == (3, 3, 2, 1) {
        Ok(())
    } else {
        Err(format!("{seen:?}\n{stats}"))
    }
}
