//! A query operator under a memory limit: it spills when it is warned, and cannot go beyond.
//!
//! The operator sorts a stream of rows into runs. `Budget` is the hard limit of the bytes that are
//! live; `Watermark` warns the operator at 75 % of it, which ends the run that is being built. Run it
//! with `cargo run -p drystone --features std,allocator-api2-02 --example budgeted_operator`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use allocator_api2_02::vec::Vec; // the crate `allocator-api2`, 0.2
use drystone::prelude::*;
use drystone::{StdCompat02, System, WatermarkHandler};

const LIMIT_BYTES: usize = 64 << 10;

/// What the operator hears about its memory. Runs inside `allocate`, so it only takes notes.
#[derive(Default)]
struct Pressure {
    spill: AtomicBool,
    refusals: AtomicUsize,
}

impl WatermarkHandler for Pressure {
    fn on_warn(&self, _used_bytes: usize, _capacity_bytes: usize) {
        self.spill.store(true, Ordering::Relaxed);
    }

    fn on_oom(&self, _used_bytes: usize, _capacity_bytes: usize) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sorts `rows` in runs as long as the memory allows; `spill` gets each.
fn sort_runs<A: Allocator>(
    rows: impl Iterator<Item = u64>,
    memory: &A,
    pressure: &Pressure,
    mut spill: impl FnMut(&[u64]),
) -> Result<(), AllocError> {
    let mut run = Vec::new_in(StdCompat02::new(memory));
    for row in rows {
        if pressure.spill.swap(false, Ordering::Relaxed) {
            run.sort_unstable();
            spill(&run);
            run = Vec::new_in(StdCompat02::new(memory));
        }
        if run.len() == run.capacity() {
            run.try_reserve_exact(512).map_err(|_| AllocError)?;
        }
        run.push(row);
    }
    run.sort_unstable();
    spill(&run);
    Ok(())
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pressure = Pressure::default();
    let memory = System.budget(LIMIT_BYTES).watermark(&pressure).statistics();
    let rows = (0..30_000_u64).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40);
    let mut lengths = std::vec::Vec::new();
    sort_runs(rows, &memory, &pressure, |run| lengths.push(run.len()))?;
    println!("runs of {lengths:?} rows");
    let peak_bytes = memory.stats().peak_live_bytes;
    println!("at most {peak_bytes} of {LIMIT_BYTES} bytes in use");
    assert!(peak_bytes <= LIMIT_BYTES as u64 && lengths.len() > 1);

    // An operator that does not listen is stopped by the budget: an error, and the handler hears of it.
    let mut greedy = Vec::<u64, _>::new_in(StdCompat02::new(&memory));
    let all = greedy.try_reserve_exact(30_000);
    let refusals = pressure.refusals.load(Ordering::Relaxed);
    println!(
        "room for all rows at once: {}, refusals: {refusals}",
        all.is_ok()
    );
    Ok(())
}
