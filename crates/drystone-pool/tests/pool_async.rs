//! `alloc_async`: order, cancellation at every point, no overtaking, bytes and slots alike.

mod pool_kit;

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::Wake;
use std::thread;

use drystone_pool::{AllocAsync, BufferPool, IoBufMut, PoolError};
use pool_kit::{CountingSource, small};

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future and what it is polled with.
struct Waiter {
    future: Pin<Box<AllocAsync>>,
    bell: Arc<Bell>,
}

impl Waiter {
    fn new(pool: &BufferPool, capacity: usize) -> Self {
        Self {
            future: Box::pin(pool.alloc_async(capacity)),
            bell: Arc::default(),
        }
    }

    fn poll(&mut self) -> Poll<Result<IoBufMut, PoolError>> {
        let waker = Waker::from(Arc::clone(&self.bell));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls once and expects to wait.
    fn waits(mut self) -> Self {
        assert!(self.poll().is_pending());
        self
    }

    fn rung(&self) -> usize {
        self.bell.0.load(Ordering::SeqCst)
    }

    /// Polls and expects a buffer.
    fn served(&mut self) -> IoBufMut {
        match self.poll() {
            Poll::Ready(Ok(buf)) => buf,
            other => panic!("not served: {other:?}"),
        }
    }
}

fn pool(max: u32) -> BufferPool {
    BufferPool::new(small(max)).expect("valid")
}

#[test]
fn what_is_free_is_had_at_once() {
    let pool = pool(2);
    let mut waiter = Waiter::new(&pool, 64);
    let buf = waiter.served();
    assert!(buf.is_pooled());
    assert_eq!(waiter.rung(), 0);
    assert!(Waiter::new(&pool, 0).served().capacity() == 0);
}

#[test]
fn what_can_never_be_had_is_told_at_once() {
    let pool = pool(1);
    let answer = Waiter::new(&pool, 5000).poll();
    assert!(matches!(answer, Poll::Ready(Err(PoolError::Oversized))));
    // No buffer, and none to come.
    let source = CountingSource::default();
    source.refuse_from(0);
    let pool = BufferPool::with_source(small(1), source).expect("valid");
    let answer = Waiter::new(&pool, 64).poll();
    assert!(matches!(answer, Poll::Ready(Err(PoolError::Exhausted))));
    assert_eq!(pool.stats().classes[0].waiting, 0);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn a_future_is_ready_once() {
    let pool = pool(1);
    let mut waiter = Waiter::new(&pool, 64);
    let _buf = waiter.served();
    let _ = waiter.poll();
}

#[test]
fn waiters_are_served_in_order() {
    let pool = pool(1);
    let mut held = pool.try_alloc(64).expect("room");
    let mut waiters: Vec<_> = (0..5).map(|_| Waiter::new(&pool, 64).waits()).collect();
    assert_eq!(pool.stats().classes[0].waiting, 5);
    for at in 0..5 {
        drop(held);
        for (number, waiter) in waiters.iter_mut().enumerate().skip(at) {
            let first = number == at;
            assert_eq!(waiter.rung(), usize::from(first), "{at} {number}");
            if !first {
                assert!(waiter.poll().is_pending());
            }
        }
        held = waiters[at].served();
    }
    drop(held);
    assert!(pool.try_alloc(64).is_ok());
}

#[test]
fn nobody_overtakes() {
    let pool = pool(2);
    let held = [
        pool.try_alloc(64).expect("room"),
        pool.try_alloc(64).expect("room"),
    ];
    let mut waiter = Waiter::new(&pool, 64).waits();
    let [one, two] = held;
    drop(one);
    // Given to the waiter, who has not come for it yet; the second is free.
    assert!(pool.try_alloc(64).is_err());
    drop(two);
    let mine = pool.try_alloc(64).expect("nobody else waits");
    assert!(pool.try_alloc(64).is_err());
    let theirs = waiter.served();
    drop((mine, theirs));
}

#[test]
fn a_buffer_dropped_elsewhere_reaches_the_waiter() {
    let pool = pool(1);
    let held = pool.try_alloc(64).expect("room");
    let mut waiter = Waiter::new(&pool, 64).waits();
    thread::spawn(move || drop(held)).join().expect("ends");
    assert_eq!(waiter.rung(), 1);
    let _ = waiter.served();
}

#[test]
fn a_waiter_finds_what_another_thread_has_cached() {
    let pool = BufferPool::new(small(4).with_thread_cache_capacity(4)).expect("valid");
    let shared = pool.clone();
    let idle = pool_kit::Idle::start(1, move |_| {
        let all: Vec<_> = (0..4)
            .map(|_| shared.try_alloc(64).expect("room"))
            .collect();
        drop(all);
    });
    let _ = Waiter::new(&pool, 64).served();
    drop(idle);
}

/// Cancelled before the first poll, while waiting in front, in the middle and at the end, and after
/// the buffer was given: the others are served as if it had never been there.
#[test]
fn cancellation_at_every_point() {
    for victim in 0..3 {
        for served in [false, true] {
            let pool = pool(1);
            let mut held = Some(pool.try_alloc(64).expect("room"));
            drop(Waiter::new(&pool, 64));
            let mut waiters: Vec<_> = (0..3).map(|_| Waiter::new(&pool, 64).waits()).collect();
            if served {
                drop(held.take());
            }
            let gone = waiters.remove(victim);
            if served && victim == 0 {
                assert_eq!(gone.rung(), 1);
            }
            drop(gone);
            drop(held.take());
            for waiter in &mut waiters {
                assert_eq!(waiter.rung(), 1, "{victim} {served}");
                drop(waiter.served());
            }
            assert!(pool.try_alloc(64).is_ok());
            assert_eq!(pool.stats().classes[0].waiting, 0);
        }
    }
}

#[test]
fn queues_do_not_grow_with_waiters_that_left() {
    let pool = pool(1);
    let held = pool.try_alloc(64).expect("room");
    let mut first = Waiter::new(&pool, 64).waits();
    for _ in 0..if cfg!(miri) { 50 } else { 5000 } {
        drop(Waiter::new(&pool, 64).waits());
    }
    assert_eq!(pool.stats().classes[0].waiting, 1);
    drop(held);
    let _ = first.served();
}

#[test]
fn the_last_waker_is_the_one_that_is_called() {
    let pool = pool(1);
    let held = pool.try_alloc(64).expect("room");
    let mut waiter = Waiter::new(&pool, 64).waits();
    let before = core::mem::take(&mut waiter.bell);
    assert!(waiter.poll().is_pending());
    drop(held);
    assert_eq!((before.0.load(Ordering::SeqCst), waiter.rung()), (0, 1));
}

#[test]
fn who_waits_for_bytes_is_served_with_bytes_of_other_classes() {
    let pool = BufferPool::new(small(100).with_budget_bytes(1024)).expect("valid");
    let mut small_ones: Vec<_> = (0..16).map(|_| pool.try_alloc(64).expect("room")).collect();
    let mut large = Waiter::new(&pool, 1024).waits();
    let mut later = Waiter::new(&pool, 64).waits();
    // What comes back is kept for the first, although the second could use it.
    while small_ones.len() > 1 {
        drop(small_ones.pop());
        assert_eq!((large.rung(), later.rung()), (0, 0));
        assert!(pool.try_alloc(64).is_err());
    }
    drop(small_ones);
    assert_eq!((large.rung(), later.rung()), (1, 0));
    let buf = large.served();
    assert_eq!(pool.stats().budget_used_bytes, 1024);
    drop(buf);
    assert_eq!(later.rung(), 1);
    let _ = later.served();
}

/// The last buffer of a class that was waited for ends for the sake of another one: the class is as
/// before for those who come later.
#[test]
fn a_class_that_lost_all_its_buffers_serves_again() {
    let pool = BufferPool::new(small(100).with_budget_bytes(1024)).expect("valid");
    let [one, two] = [(); 2].map(|()| pool.try_alloc(512).expect("room"));
    let mut first = Waiter::new(&pool, 512).waits();
    let mut second = Waiter::new(&pool, 1024).waits();
    drop(one);
    let third = first.served();
    drop(two);
    assert_eq!(second.rung(), 0);
    drop(third);
    drop(second.served());
    let both = [(); 2].map(|()| pool.try_alloc(512).expect("as before"));
    drop(both);
}

#[test]
fn who_gives_up_waiting_for_bytes_makes_way() {
    let pool = BufferPool::new(small(100).with_budget_bytes(1024)).expect("valid");
    let mut held: Vec<_> = (0..16).map(|_| pool.try_alloc(64).expect("room")).collect();
    let large = Waiter::new(&pool, 1024).waits();
    let mut later = Waiter::new(&pool, 128).waits();
    drop(held.split_off(8));
    assert_eq!(later.rung(), 0);
    drop(large);
    assert_eq!(later.rung(), 1);
    let _ = later.served();
    // And the pool is as before for those who do not wait.
    assert!(pool.try_alloc(64).is_ok());
}

#[test]
fn untracked_bytes_that_come_back_serve_who_waits() {
    let pool = BufferPool::new(small(100).with_budget_bytes(2048)).expect("valid");
    let untracked = pool.alloc(1500);
    assert!(!untracked.is_pooled());
    let mut waiter = Waiter::new(&pool, 1024).waits();
    drop(untracked);
    assert_eq!(waiter.rung(), 1);
    let _ = waiter.served();
}

#[test]
fn trim_serves_who_waits() {
    let pool = BufferPool::new(small(100).with_budget_bytes(1024)).expect("valid");
    let held = pool.try_alloc(1024).expect("room");
    let mut waiter = Waiter::new(&pool, 64).waits();
    pool.trim();
    assert_eq!(waiter.rung(), 0);
    drop(held);
    let _ = waiter.served();
}

/// Threads that wait, give up, and hold for a while; at the end everything is there.
#[test]
fn threads_wait_and_give_up() {
    const THREADS: usize = if cfg!(miri) { 3 } else { 8 };
    const ROUNDS: usize = if cfg!(miri) { 10 } else { 3000 };
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    for budget in [None, Some(1024)] {
        let config = match budget {
            None => small(2),
            Some(bytes) => small(100).with_budget_bytes(bytes),
        };
        let pool = BufferPool::new(config).expect("valid");
        let start = Barrier::new(THREADS);
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for thread in 0..THREADS {
                let (pool, start) = (&pool, &start);
                threads.push(scope.spawn(move || {
                    start.wait();
                    let waker = Waker::from(Arc::new(Unpark(thread::current())));
                    let mut context = Context::from_waker(&waker);
                    for round in 0..ROUNDS {
                        let size = if budget.is_some() {
                            [64, 512, 1024][round % 3]
                        } else {
                            64
                        };
                        let mut future = core::pin::pin!(pool.alloc_async(size));
                        let give_up = (round + thread) % 4 == 0;
                        loop {
                            match future.as_mut().poll(&mut context) {
                                Poll::Ready(answer) => break drop(answer.expect("served")),
                                Poll::Pending if give_up => break,
                                Poll::Pending => thread::park(),
                            }
                        }
                    }
                }));
            }
            // Until they are gone, with their caches; the scope waits for less.
            for thread in threads {
                thread.join().expect("ends");
            }
        });
        let stats = pool.stats();
        assert_eq!(
            (stats.pinned_bytes, stats.total(|class| class.waiting)),
            (0, 0),
            "{stats}"
        );
        let size = if budget.is_some() { 512 } else { 64 };
        let both = [
            pool.try_alloc(size).expect("free"),
            pool.try_alloc(size).expect("free"),
        ];
        drop(both);
    }
}

/// Polls its future where it is woken, and drops it, with the pool's last handle.
struct PollsInPlace {
    future: Mutex<Option<Pin<Box<AllocAsync>>>>,
    /// Where the buffer is left, if it is not dropped at once.
    kept: Option<Mutex<Option<IoBufMut>>>,
}

impl Wake for PollsInPlace {
    fn wake(self: Arc<Self>) {
        let mut future = self.future.lock().expect("sound").take().expect("waits");
        let answer = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        drop(future);
        let Poll::Ready(Ok(buf)) = answer else {
            panic!("not served: {answer:?}");
        };
        if let Some(kept) = &self.kept {
            *kept.lock().expect("sound") = Some(buf);
        }
    }
}

/// The buffer that a free hands over is all that is left of the pool when the waker returns to that free;
/// where it is dropped as well, nothing is.
#[test]
fn a_waker_may_end_the_pool() {
    for (cached, keeps) in [(0, false), (0, true), (1, false), (1, true)] {
        let config = small(1).with_thread_cache_capacity(cached);
        let source = CountingSource::default();
        let pool = BufferPool::with_source(config, source.clone()).expect("valid");
        let held = pool.try_alloc(64).expect("room");
        let mut future = Box::pin(pool.alloc_async(64));
        let in_place = Arc::new(PollsInPlace {
            future: Mutex::default(),
            kept: keeps.then(Mutex::default),
        });
        let waker = Waker::from(Arc::clone(&in_place));
        let mut context = Context::from_waker(&waker);
        assert!(future.as_mut().poll(&mut context).is_pending());
        *in_place.future.lock().expect("sound") = Some(future);
        drop(pool);
        drop(held);
        assert!(in_place.future.lock().expect("sound").is_none(), "woken");
        assert_eq!(source.live(), usize::from(keeps));
        drop(waker);
        drop(in_place);
        assert_eq!(source.live(), 0);
    }
}
