//! A chain of allocators: what one refuses the next one serves, and each block finds its way home.
//!
//! The common size comes from a slab, other small ones from size classes, the rest from the system.
//! Every stage is counted. Run it with
//! `cargo run -p drystone --example fallback_chain`.

use drystone::prelude::*;
use drystone::{AllocatedRegion, HeapBacked, SizeClassed, Slab, Stats, System};

/// What there is one of for each client.
type Session = [u64; 32];

fn print(stage: &str, stats: Stats) {
    println!(
        "  {stage:<8}{:>3} live blocks, {:>7} bytes, refused {} times",
        stats.live_blocks(),
        stats.live_bytes(),
        stats.failures
    );
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let slab = Slab::<Session, _>::new(4, HeapBacked::new(4 << 10)?)?.statistics();
    let classes = SizeClassed::with_class_sizes(HeapBacked::new(8 << 10)?, [64, 256, 1024], 5)?;
    let classes = classes.statistics();
    let system = System.statistics();
    let chain = (&slab).with_fallback((&classes).with_fallback(&system));

    let session = NonZeroLayout::for_type::<Session>().ok_or(AllocError)?;
    let large = NonZeroLayout::from_size_align(100_000, 64)?;
    let print_all = |when: &str| {
        println!("{when}:");
        print("slab", slab.stats());
        print("classes", classes.stats());
        print("system", system.stats());
    };

    // A region is a block that goes back when it is dropped.
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(AllocatedRegion::new(&chain, session)?);
    }
    print_all("four sessions, as many as the slab has room for");

    for _ in 0..6 {
        sessions.push(AllocatedRegion::new(&chain, session)?);
    }
    let file = AllocatedRegion::new(&chain, large)?;
    print_all("six more and a large buffer");

    drop(file);
    sessions.truncate(1);
    print_all("all but one freed, each where it came from");
    assert_eq!(
        (slab.stats().live_blocks(), system.stats().live_blocks()),
        (1, 0)
    );
    Ok(())
}
