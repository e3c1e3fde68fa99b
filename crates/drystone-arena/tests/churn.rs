//! Threads that come and go, and leave blocks behind: the memory of the process does not grow.
#![cfg(all(target_os = "linux", not(any(miri, drystone_tsan))))]

mod common;

use std::cell::RefCell;
use std::sync::{Barrier, Mutex};
use std::thread;

use common::resident_bytes;
use drystone_arena::GlobalArena;

#[global_allocator]
static ARENA: GlobalArena = GlobalArena::new();

const THREADS: usize = 4000;

/// Allocates and frees in its destructor, when the thread's heap may be gone.
struct Late(Vec<u64>);

impl Drop for Late {
    fn drop(&mut self) {
        let more: Vec<u64> = self.0.iter().map(|number| number + 1).collect();
        assert_eq!(more.len(), self.0.len());
        self.0 = more;
    }
}

thread_local! {
    static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
}

/// Threads in turns, each of which leaves a block that a later one frees. All threads of a turn have
/// their heaps at the same time, so that no turn needs more of them than the first.
fn churn(threads: usize, left: &Mutex<Vec<Vec<u8>>>) {
    for _ in 0..threads / 8 {
        let all_begun = Barrier::new(8);
        thread::scope(|scope| {
            let all_begun = &all_begun;
            let threads = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| {
                scope.spawn(move || {
                    LATE.with_borrow_mut(|late| *late = Some(Late(vec![7; 100 + i])));
                    let block = vec![1; 100 << i];
                    all_begun.wait();
                    let mut left = left.lock().expect("no thread panics");
                    left.push(block);
                    if left.len() > 64 {
                        left.swap_remove(i);
                    }
                })
            });
            // The scope itself waits for the closures, not for what threads do at their end.
            for thread in threads {
                thread.join().expect("no thread panics");
            }
        });
    }
}

#[test]
fn threads_that_leave_blocks_behind_cost_nothing() {
    let left = Mutex::new(Vec::new());
    churn(THREADS / 2, &left);
    let (before, mapped) = (resident_bytes(), ARENA.stats().mapped_bytes);
    churn(THREADS / 2, &left);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes more");
    assert_eq!(ARENA.stats().mapped_bytes, mapped);
}
