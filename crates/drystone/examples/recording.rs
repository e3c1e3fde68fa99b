//! A recording of what a program allocates, and the figures that are read back from it.
//!
//! `Recorder` goes around any allocator: around the program's own, as a `#[global_allocator]`, it
//! records everything; here it records one map. The file can be replayed over other allocators with
//! `cargo run --release -- replay FILE`. Run the example with
//! `cargo run -p drystone --features trace,allocator-api2-02 --example recording`.

use std::hash::RandomState;
use std::path::Path;

use allocator_api2_02::vec::Vec; // the crate `allocator-api2`, 0.2
use drystone::trace::{Figures, Trace};
use drystone::{Allocator, RecordError, Recorder, StdCompat02, System};
use drystone::{finish_recording, record_to};
use hashbrown::HashMap;

static HEAP: Recorder<System> = Recorder::new(System);

/// Something that allocates: a cache of texts that forgets one for every third that it gets.
fn work(memory: &impl Allocator) -> usize {
    let memory = StdCompat02::new(memory);
    let mut cache = HashMap::with_hasher_in(RandomState::new(), memory);
    for key in 0..5000_usize {
        let mut text = Vec::new_in(memory);
        text.extend_from_slice(&b"something to read ".repeat(1 + key % 7));
        cache.insert(key, text);
        if key % 3 == 0 {
            cache.remove(&(key / 2));
        }
    }
    cache.len()
}

fn record(path: &Path) -> Result<(), RecordError> {
    record_to(path)?;
    let entries = work(&HEAP);
    let recorded = finish_recording()?;
    println!(
        "{entries} entries in the cache; {} operations recorded in {} bytes",
        recorded.operations, recorded.bytes
    );
    Ok(())
}

fn read(path: &Path) -> Result<(), drystone::trace::TraceError> {
    let trace = Trace::read(path)?;
    let figures = Figures::of(&trace);
    println!(
        "{} allocations, {} frees, at most {} bytes live at once",
        figures.allocations, figures.frees, figures.peak_live_bytes
    );
    assert!(trace.recording().complete && figures.frees == figures.allocations);
    for bucket in &figures.size_histogram {
        println!(
            "  up to {:>7} bytes: {:>4} requests",
            bucket.size_max_bytes, bucket.requests
        );
    }
    Ok(())
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("drystone-recording-{}.dst", std::process::id());
    let path = std::env::temp_dir().join(name);
    record(&path)?;
    let outcome = read(&path);
    std::fs::remove_file(&path)?;
    Ok(outcome?)
}
