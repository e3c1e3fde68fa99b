//! Threads that come and go, and leave blocks behind: the memory of the process does not grow.
#![cfg(all(target_os = "linux", not(miri)))]

mod common;

use std::cell::RefCell;
use std::sync::Mutex;
use std::thread;

use common::resident_bytes;
use drystone_arena::GlobalArena;

#[global_allocator]
static ARENA: GlobalArena = GlobalArena::new();

const THREADS: usize = 4000;
const AT_ONCE: usize = 8;

/// Allocates and frees in its destructor, after the thread's heap is gone.
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

/// Threads in turns, each of which leaves a block that a later one frees.
fn churn(threads: usize, left: &Mutex<Vec<Vec<u8>>>) {
    for _ in 0..threads / AT_ONCE {
        thread::scope(|scope| {
            for i in 0..AT_ONCE {
                scope.spawn(move || {
                    LATE.with_borrow_mut(|late| *late = Some(Late(vec![7; 100 + i])));
                    let block = vec![1; 100 << i];
                    let mut left = left.lock().expect("no thread panics");
                    left.push(block);
                    if left.len() > 64 {
                        left.swap_remove(i);
                    }
                });
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
