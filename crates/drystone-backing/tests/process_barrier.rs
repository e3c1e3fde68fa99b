//! The process-wide barrier does what its users rely on, or says that it is not there.
#![cfg(all(feature = "mmap", not(loom)))]

use drystone_backing::ProcessBarrier;

/// Linux of a supported age and Windows have it.
#[cfg(all(any(target_os = "linux", windows), not(miri)))]
mod present {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};
    use std::thread;

    use super::*;

    #[test]
    fn it_can_be_registered_again_and_issued() {
        for _ in 0..3 {
            let barrier = ProcessBarrier::register().expect("registers");
            barrier.issue().expect("runs");
        }
    }

    /// Store and load on each side, a compiler fence on one, the barrier on the other: at least
    /// one of the two sees the other's store, in every round.
    #[test]
    fn it_stands_in_for_the_fence_of_the_other_side() {
        const ROUNDS: usize = 20_000;
        let barrier = ProcessBarrier::register().expect("registers");
        let flags: [AtomicUsize; 2] = Default::default();
        let seen: [AtomicUsize; 2] = Default::default();
        let start = Barrier::new(2);
        let end = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    start.wait();
                    flags[0].store(round, Ordering::Relaxed);
                    compiler_fence(Ordering::SeqCst);
                    seen[0].store(flags[1].load(Ordering::Relaxed), Ordering::Relaxed);
                    end.wait();
                }
            });
            for round in 1..=ROUNDS {
                start.wait();
                flags[1].store(round, Ordering::Relaxed);
                barrier.issue().expect("runs");
                let other = flags[0].load(Ordering::Relaxed);
                end.wait();
                let own = seen[0].load(Ordering::Relaxed);
                assert!(other == round || own == round, "neither saw the other");
            }
        });
    }

    /// A child made by fork may go on with the right that its parent registered.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_forked_child_keeps_it() {
        let barrier = ProcessBarrier::register().expect("registers");
        // SAFETY: the child makes one system call and leaves without running anything else.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "forks");
        if child == 0 {
            let code = i32::from(barrier.issue().is_err());
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the pointer is to a live integer.
        let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((waited, status), (child, 0));
    }

    #[cfg(feature = "testing")]
    #[test]
    fn a_refusal_is_told() {
        use drystone_backing::fault_os::{FaultOs, OsCall};

        let barrier = ProcessBarrier::register().expect("registers");
        let faults = FaultOs::fail_from(1).only(OsCall::Barrier);
        assert!(ProcessBarrier::register().is_err());
        assert!(barrier.issue().is_err());
        assert_eq!(faults.faults(), 2);
    }
}

#[cfg(not(all(any(target_os = "linux", target_os = "android", windows), not(miri))))]
#[test]
fn where_there_is_none_it_is_unsupported() {
    use drystone_core::OsError;

    let refused = ProcessBarrier::register().expect_err("is refused");
    assert!(matches!(refused, OsError::Unsupported { .. }));
}
