//! Children of a process whose threads allocate: none waits for a thread that it does not have.
#![cfg(all(unix, not(miri)))]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use drystone_arena::GlobalArena;

#[global_allocator]
static ARENA: GlobalArena = GlobalArena::new();

const FORKS: usize = 200;
const DEADLINE: Duration = Duration::from_secs(20);

/// Every kind of block, and new segments all the time.
fn allocate_and_free(rounds: usize) {
    for round in 0..rounds {
        let sizes = [16, 100, 5000, 100_000, 1 << 20, 3 << 20];
        let blocks = sizes.map(|size| vec![1_u8; size + round % 64]);
        assert!(blocks.iter().all(|block| block[0] == 1));
    }
}

fn wait_for(child: libc::pid_t) -> libc::c_int {
    let started = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: the status is this function's.
        let answer = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        if answer == child {
            return status;
        }
        assert!(started.elapsed() < DEADLINE, "a child hangs");
        thread::yield_now();
    }
}

#[test]
fn children_allocate_whatever_other_threads_did() {
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Threads begin and end too.
                    thread::scope(|more| {
                        more.spawn(|| allocate_and_free(10));
                    });
                }
            });
        }
        for _ in 0..FORKS {
            // SAFETY: the child calls nothing but the allocator and `_exit`.
            match unsafe { libc::fork() } {
                0 => {
                    allocate_and_free(3);
                    // SAFETY: ends the child.
                    unsafe { libc::_exit(7) };
                }
                child => {
                    assert!(child > 0, "no memory for a process");
                    let status = wait_for(child);
                    assert!(
                        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7,
                        "{status}"
                    );
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}
