//! A hash map inside a bump arena: nothing is freed one by one, all goes at once.
//!
//! hashbrown's collections take allocators of the crate `allocator-api2` 0.2; `StdCompat02` lends
//! them any of drystone's. Run it with
//! `cargo run -p drystone --features allocator-api2-02 --example hashbrown_in_bump`.

use std::hash::RandomState;

use drystone::{BumpArena, HeapBacked, Reset, StdCompat02};
use hashbrown::HashMap;

const TEXT: &str = "the quick brown fox jumps over the lazy dog while the other dog sleeps";

/// A map in `arena`, from each word, whose bytes are in the arena too, to how often it occurs.
fn count_words<'a>(
    arena: &'a BumpArena<HeapBacked>,
    text: &str,
) -> HashMap<&'a str, u32, RandomState, StdCompat02<&'a BumpArena<HeapBacked>>> {
    let memory = StdCompat02::new(arena);
    // Room from the start: a table that grows leaves its old self behind in the arena.
    let mut counts = HashMap::with_capacity_and_hasher_in(32, RandomState::new(), memory);
    for word in text.split_whitespace() {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                let copy: &str = arena.alloc_str(word);
                counts.insert(copy, 1);
            }
        }
    }
    counts
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arena = BumpArena::new(HeapBacked::new(16 << 10)?);
    for request in 1..=3 {
        let counts = count_words(&arena, TEXT);
        let the = counts.get("the").copied().unwrap_or_default();
        println!(
            "request {request}: {} words, \"the\" {the} times, {} bytes of the arena",
            counts.len(),
            arena.allocated_bytes()
        );
        // The map borrows the arena, so it must be gone before the reset: the compiler checks it.
        drop(counts);
        arena.reset();
    }
    assert_eq!(arena.allocated_bytes(), 0);
    println!("after the last reset: {} bytes", arena.allocated_bytes());
    Ok(())
}
