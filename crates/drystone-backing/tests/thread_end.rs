//! What is called when threads end.
#![cfg(all(unix, feature = "mmap"))]

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use drystone_backing::ThreadEnd;

#[test]
fn it_is_called_once_in_each_thread_that_asked() {
    static ENDED: AtomicU32 = AtomicU32::new(0);
    static AT_END: ThreadEnd = ThreadEnd::new(at_end);
    extern "C" fn at_end() {
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
    for asked in 0..4 {
        let ask = move || {
            for _ in 0..asked {
                AT_END.ask().expect("a key for a test");
            }
        };
        let threads = [thread::spawn(ask), thread::spawn(ask)];
        for thread in threads {
            thread.join().expect("the thread ends well");
        }
    }
    assert_eq!(ENDED.load(Ordering::Relaxed), 6);
}

#[test]
fn it_is_called_after_the_destructors_of_thread_locals() {
    thread_local! {
        static DROPPED: Noted = const { Noted(Cell::new(false)) };
    }
    struct Noted(Cell<bool>);
    impl Drop for Noted {
        fn drop(&mut self) {
            assert_eq!(ORDER.swap(1, Ordering::Relaxed), 0, "first");
        }
    }
    static ORDER: AtomicU32 = AtomicU32::new(0);
    static AT_END: ThreadEnd = ThreadEnd::new(at_end);
    extern "C" fn at_end() {
        assert_eq!(ORDER.swap(2, Ordering::Relaxed), 1, "second");
    }
    let thread = thread::spawn(|| {
        AT_END.ask().expect("a key for a test");
        DROPPED.with(|noted| noted.0.set(true));
    });
    thread.join().expect("the thread ends well");
    assert_eq!(ORDER.load(Ordering::Relaxed), 2);
}
