//! Keys that leave no copy behind: locked pages, and blocks that are wiped when they are freed.
//!
//! A growing `Vec` moves, and every place that it leaves still holds the beginning of the key. The
//! example looks through all pages for such copies, without and with `ZeroizeOnFree`. Run it with
//! `cargo run -p drystone --features mmap,zeroize,allocator-api2-02 --example secrets`.

use allocator_api2_02::vec::Vec; // the crate `allocator-api2`, 0.2
use drystone::prelude::*;
use drystone::{LockedMmapBacked, Region, SizeClassed, StdCompat02};

/// Four bytes that stand in for a key's; long keys repeat them.
const KEY: [u8; 4] = [0xC0, 0xFF, 0xEE, 0x42];

/// Reads a key of 100 bytes into a vector that grows, and forgets it.
fn use_a_key(memory: &impl Allocator) -> Result<u32, Box<dyn std::error::Error>> {
    let mut key = Vec::new_in(StdCompat02::new(memory));
    for at in 0..100 {
        key.try_reserve(1).map_err(|_| AllocError)?;
        key.push(KEY[at % KEY.len()]);
    }
    Ok(key.iter().map(|byte| u32::from(*byte)).sum())
}

/// How often the bytes of the key occur in `pages`, at any place.
fn copies(pages: &mut LockedMmapBacked) -> usize {
    let start = pages.base().as_ptr();
    // SAFETY: the pages were zero from the start, nothing but bytes was written to them, and they are
    // borrowed exclusively.
    let bytes = unsafe { std::slice::from_raw_parts(start, pages.size()) };
    bytes
        .windows(KEY.len())
        .filter(|window| **window == KEY)
        .count()
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut pages = match LockedMmapBacked::new(8 << 10) {
        Ok(pages) => pages,
        Err(refusal) => {
            println!("this process may not lock memory: {refusal}");
            return Ok(());
        }
    };
    println!(
        "{} bytes are locked: the system swaps none of them out",
        pages.size()
    );
    println!("left out of core dumps: {}", pages.is_dump_excluded());

    // Wiped first, so that what the second one leaves cannot be taken for the first one's.
    for wiped in [true, false] {
        let classes = SizeClassed::with_class_sizes(Region::borrow(&mut pages), [16, 64, 256], 8)?;
        let sum = if wiped {
            use_a_key(&classes.zeroize_on_free())?
        } else {
            use_a_key(&classes)?
        };
        let left = copies(&mut pages);
        let how = if wiped { "with" } else { "without" };
        println!("{how} ZeroizeOnFree: sum {sum}, {left} pieces of the key left");
        assert_eq!(left == 0, wiped);
    }
    // The pages themselves are wiped here, before they go back to the system.
    drop(pages);
    Ok(())
}
