//! Extendable slabs and the slots of threads: those that end, those that have none.
//!
//! Slots belong to the process, so the tests take turns: a thread of another test could have the
//! slot of a thread that a test let end.
#![cfg(feature = "std")]

mod counting;
mod ranges;

use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use drystone_core::Inspect;
use drystone_layout::ExtendableSlab;
use drystone_sync::{THREAD_SLOTS_MAX, thread_slot};

use counting::{Block, Sent, counted, fill, free};

fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads that do nothing but live.
#[derive(Default)]
struct Others {
    ends: Vec<mpsc::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Others {
    /// So many that no slot is left for a thread that starts now.
    fn taking_every_slot() -> Self {
        let mut others = Self::default();
        for _ in 0..THREAD_SLOTS_MAX {
            let (end, wait) = mpsc::channel::<()>();
            let (say, hear) = mpsc::channel();
            let thread = thread::Builder::new().stack_size(64 << 10).spawn(move || {
                say.send(thread_slot()).expect("the test listens");
                let _ = wait.recv();
            });
            others.ends.push(end);
            others.threads.push(thread.expect("a thread can be had"));
            if hear.recv().expect("the thread speaks").is_none() {
                break;
            }
        }
        others
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        self.ends.clear();
        for thread in self.threads.drain(..) {
            thread.join().expect("ends");
        }
    }
}

#[test]
fn what_a_dead_thread_left_serves_the_next() {
    let _turn = take_turn();
    let (slab, log) = counted(64, usize::MAX);
    thread::scope(|scope| {
        // A thread leaves 3 slots in use, and 61 in its word.
        let left = scope.spawn(|| Sent(fill(&slab, 3))).join().expect("ends");
        assert_eq!(log.out(), 1);
        // The next thread has its slot and goes on with the same segment.
        let more = scope.spawn(|| Sent(fill(&slab, 30))).join().expect("ends");
        assert_eq!(log.out(), 1);
        // This thread has a slot of its own and takes the word that is left.
        let rest = fill(&slab, 31);
        assert_eq!(log.out(), 1);
        // SAFETY: all live.
        unsafe { free(&slab, left.0.into_iter().chain(more.0).chain(rest)) };
    });
    slab.debug_assert_invariants();
    assert_eq!(fill(&slab, 64).len(), 64);
    assert_eq!(log.out(), 1);
}

#[test]
fn threads_without_a_slot_share_one_state() {
    let _turn = take_turn();
    let others = Others::taking_every_slot();
    let (slab, log) = counted(16, usize::MAX);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
                        let live = fill(&slab, 40);
                        // SAFETY: all live.
                        unsafe { free(&slab, live) };
                    }
                    Sent(fill(&slab, 4))
                })
            })
            .collect();
        for worker in workers {
            let sent = worker.join().expect("ends");
            // SAFETY: all live.
            unsafe { free(&slab, sent.0) };
        }
    });
    slab.debug_assert_invariants();
    assert!(log.out() <= 10 + 4);
    drop(others);
    // A thread with a slot finds every free slot: those of the shared state, and those of the
    // pool, whose segments may be given back and asked for again meanwhile.
    let out = log.out();
    fill(&slab, out * 16);
    assert_eq!(log.out(), out);
}

#[test]
fn the_destructors_of_a_thread_may_use_the_slab() {
    let _turn = take_turn();
    struct AtTheEnd(Sent, &'static ExtendableSlab<Block>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            let more = fill(self.1, 3);
            // SAFETY: all live.
            unsafe { free(self.1, self.0.0.drain(..).chain(more)) };
        }
    }
    thread_local! {
        static END: std::cell::RefCell<Option<AtTheEnd>> = const { std::cell::RefCell::new(None) };
    }
    let slab: &'static _ = ranges::kept(ExtendableSlab::<Block>::new(16));
    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
        thread::spawn(move || {
            END.with(|end| end.borrow_mut().replace(AtTheEnd(Sent(Vec::new()), slab)));
            let live = Sent(fill(slab, 20));
            END.with(|end| end.borrow_mut().as_mut().expect("just set").0 = live);
        })
        .join()
        .expect("ends");
    }
    slab.debug_assert_invariants();
    assert_eq!(slab.verify_all().expect("sound").live_blocks, 0);
    assert!(slab.segment_count() <= 4, "{}", slab.segment_count());
    slab.trim();
    assert_eq!(slab.segment_count(), 0);
}
