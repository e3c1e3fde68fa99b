//! The program's own allocator, counted: how much each phase of a program allocates.
//!
//! `GlobalArena` serves the heap, `Statistics` around it counts every request of the program, and
//! `Global` makes a `#[global_allocator]` of any stack that never comes back to the global heap. Run
//! it with
//! `cargo run -p drystone --features arena --example global_statistics`.

use std::collections::BTreeMap;

use drystone::{Global, GlobalArena, Statistics};

#[global_allocator]
static HEAP: Global<Statistics<GlobalArena>> = Global::new(Statistics::new(GlobalArena::new()));

/// Runs `phase` and prints what it asked the heap for.
fn measured<T>(name: &str, phase: impl FnOnce() -> T) -> T {
    let before = HEAP.inner().stats();
    let value = phase();
    let used = HEAP.inner().stats() - before;
    println!(
        "{name:<8}{:>7} allocations, {:>5} resizes, {:>9} bytes allocated, {:>9} bytes freed",
        used.allocations, used.reallocations, used.allocated_bytes, used.deallocated_bytes,
    );
    value
}

pub(crate) fn main() {
    let words = measured("read", || -> Vec<String> {
        let numbers = (0..20_000_u32).filter(|n| n % 7 != 0);
        numbers.map(|n| format!("word {}", n % 5_000)).collect()
    });
    let counts = measured("count", || {
        let mut counts = BTreeMap::<&str, u32>::new();
        for word in &words {
            *counts.entry(word).or_default() += 1;
        }
        counts
    });
    measured("report", || {
        let most = counts.values().max().copied().unwrap_or_default();
        println!(
            "{} different words, none more than {most} times",
            counts.len()
        );
    });
    drop(counts);
    measured("drop", move || drop(words));

    // What callers asked for, and what the arena holds for it.
    println!("\nthe whole program:\n{}", HEAP.inner().stats());
    println!("\nthe arena:\n{}", HEAP.inner().inner().stats());
}
