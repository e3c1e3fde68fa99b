//! A test of what happens when memory runs out, at each allocation in turn.
//!
//! The table keeps two vectors of the same length. A refusal half-way through an insertion must
//! neither lose that nor leak. `Faulty` fails what a policy says; `fail_each` fails every allocation
//! of a scenario once. Run it with
//! `cargo run -p drystone --features testing,allocator-api2-02 --example out_of_memory`,
//! or as a test with `cargo test` in place of `cargo run`.

use allocator_api2_02::collections::TryReserveError;
use allocator_api2_02::vec::Vec; // the crate `allocator-api2`, 0.2
use drystone::prelude::*;
use drystone::testing::faulting::fail_each;
use drystone::{FailEveryNth, StdCompat02, System};

/// The code under test.
struct Table<'a, A: Allocator> {
    keys: Vec<u64, StdCompat02<&'a A>>,
    values: Vec<u64, StdCompat02<&'a A>>,
}

impl<'a, A: Allocator> Table<'a, A> {
    fn new(memory: &'a A) -> Self {
        Self {
            keys: Vec::new_in(StdCompat02::new(memory)),
            values: Vec::new_in(StdCompat02::new(memory)),
        }
    }

    /// Room for both first, then both: an insertion that fails changes nothing.
    fn insert(&mut self, key: u64, value: u64) -> Result<(), TryReserveError> {
        self.keys.try_reserve(1)?;
        self.values.try_reserve(1)?;
        self.keys.push(key);
        self.values.push(value);
        Ok(())
    }
}

/// Every third request is refused; the caller tries again.
#[cfg_attr(test, test)]
fn a_refused_insertion_changes_nothing() {
    let memory = System.faulty(FailEveryNth::new(3)).statistics();
    let mut table = Table::new(&memory);
    for number in 0..1000 {
        while table.insert(number, number).is_err() {
            assert_eq!(table.keys.len(), table.values.len());
            assert_eq!(table.keys.len() as u64, number);
        }
    }
    assert_eq!(table.keys, table.values);
    drop(table);
    let stats = memory.stats();
    println!(
        "every third request refused, {} in all: nothing lost",
        stats.failures
    );
    assert_eq!(stats.live_bytes(), 0);
}

/// Each allocation fails once alone, and once with all that follow it; nothing may be left live.
#[cfg_attr(test, test)]
fn every_allocation_may_fail() {
    let runs = fail_each(
        || System,
        |memory| {
            let mut table = Table::new(memory);
            (0..100).try_for_each(|number| table.insert(number, 7))
        },
    );
    println!("{runs} runs, each refused at another place: no leak, and the next try runs through");
    assert!(runs > 0);
}

pub(crate) fn main() {
    a_refused_insertion_changes_nothing();
    every_allocation_may_fail();
}
