//! Models of the pool as a whole: no slot is missed by who searches, waits or closes.
//!
//! The pools have one class and few slots; threads meet at one of the flags. What owner and thief do to a
//! ring, and pushes and pops to a shared list, is modelled beside those.

use core::future::Future;
use core::pin::pin;
use core::ptr::NonNull;
use core::task::{Context, Poll, Waker};

use loom::sync::{Arc, Mutex};
use loom::thread;

use drystone_backing::System;
use drystone_core::{
    AllocError, AllocatedRegion, Allocator, Deallocator, HeapSource, NonZeroLayout, SegmentSource,
    StableAddress,
};
use drystone_sync::atomic::{AtomicBool, Ordering};

use crate::{BufferPool, BufferPoolConfig, BufferPoolThreadCache, IoBufMut};

/// One class of `slots` slots of 64 bytes, of which each thread caches up to `cached`.
fn config(slots: u32, cached: usize) -> BufferPoolConfig {
    BufferPoolConfig::for_network()
        .with_min_size(64)
        .with_max_size(64)
        .with_max_per_class(slots)
        .with_parallelism(1)
        .with_thread_cache_capacity(cached)
}

fn pool(slots: u32, cached: usize) -> BufferPool {
    BufferPool::with_source(config(slots, cached), HeapSource).expect("valid")
}

/// Another thread frees what is held, and says so then.
fn free_elsewhere(held: impl Send + 'static) -> (Arc<AtomicBool>, thread::JoinHandle<()>) {
    let freed = Arc::new(AtomicBool::new(false));
    let says_so = Arc::clone(&freed);
    let other = thread::spawn(move || {
        drop(held);
        says_so.store(true, Ordering::Release);
    });
    (freed, other)
}

/// A slot is freed into a cache while another thread searches for one: it is found by the search, or
/// seen off by the flag. Once the free is over a request has it, although the thread still lives.
#[test]
fn loom3_a_free_meets_a_search() {
    loom::model(|| {
        let pool = pool(1, 1);
        let held = pool.try_alloc(64).expect("room");
        let (freed, other) = free_elsewhere(held);
        let first = pool.try_alloc(64).is_ok();
        if freed.load(Ordering::Acquire) {
            assert!(first || pool.try_alloc(64).is_ok(), "the slot is stranded");
        }
        other.join().expect("ends");
        assert!(pool.try_alloc(64).is_ok());
    });
}

/// The same where nothing is cached: the slot is on the shared list.
#[test]
fn loom3_a_free_meets_a_request_without_caches() {
    loom::model(|| {
        let pool = pool(1, 0);
        let held = pool.try_alloc(64).expect("room");
        let other = thread::spawn(move || drop(held));
        let _ = pool.try_alloc(64);
        other.join().expect("ends");
        assert!(pool.try_alloc(64).is_ok());
    });
}

/// A request takes two slots off the shared list, one of them for its cache, while another one comes: there is
/// one for each, wherever the second is at the moment.
#[test]
fn loom3_a_request_meets_a_refill() {
    loom::model(|| {
        let pool = pool(2, 2);
        drop([(); 2].map(|()| pool.try_alloc(64).expect("room")));
        BufferPoolThreadCache::flush();
        let other = {
            let pool = pool.clone();
            thread::spawn(move || pool.try_alloc(64).is_ok())
        };
        let own = pool.try_alloc(64);
        assert!(own.is_ok(), "one was left");
        assert!(other.join().expect("ends"), "one was left");
    });
}

/// A free spills a slot to the shared list while a request comes. Once the free is over both slots can be had,
/// although the thread still lives.
#[test]
fn loom3_a_request_meets_a_spill() {
    loom::model(|| {
        let pool = pool(2, 1);
        let held = [(); 2].map(|()| pool.try_alloc(64).expect("room"));
        let (freed, other) = free_elsewhere(held);
        let first = pool.try_alloc(64).is_ok();
        if freed.load(Ordering::Acquire) {
            let second = pool.try_alloc(64);
            assert!(second.is_ok(), "the slots are stranded");
            assert!(first || pool.try_alloc(64).is_ok(), "a slot is stranded");
        }
        other.join().expect("ends");
    });
}

/// Two requests come while all free slots are in the cache of a thread that does nothing.
#[test]
fn loom3_two_requests_find_what_an_idle_thread_has() {
    loom::model(|| {
        let pool = pool(2, 2);
        drop([(); 2].map(|()| pool.try_alloc(64).expect("room")));
        let others = [(); 2].map(|()| {
            let pool = pool.clone();
            thread::spawn(move || pool.try_alloc(64).is_ok())
        });
        for other in others {
            assert!(other.join().expect("ends"), "one was left");
        }
    });
}

/// Polls once.
fn poll(future: core::pin::Pin<&mut crate::AllocAsync>) -> Option<IoBufMut> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer.expect("can be served")),
        Poll::Pending => None,
    }
}

/// A slot is freed while somebody begins to wait: he is served by the free, or finds it himself.
#[test]
fn loom3_a_free_meets_who_begins_to_wait() {
    loom::model(|| {
        let pool = pool(1, 1);
        let held = pool.try_alloc(64).expect("room");
        let other = thread::spawn(move || drop(held));
        let mut waiting = pin!(pool.alloc_async(64));
        let early = poll(waiting.as_mut());
        other.join().expect("ends");
        let served = early.or_else(|| poll(waiting.as_mut()));
        assert!(served.is_some(), "the waiter was missed");
    });
}

/// A slot is freed while who waits gives up: it is not lost with him.
#[test]
fn loom3_a_free_meets_who_gives_up() {
    loom::model(|| {
        let pool = pool(1, 1);
        let held = pool.try_alloc(64).expect("room");
        let mut waiting = Box::pin(pool.alloc_async(64));
        assert!(poll(waiting.as_mut()).is_none());
        let other = thread::spawn(move || drop(held));
        drop(waiting);
        other.join().expect("ends");
        assert!(pool.try_alloc(64).is_ok(), "the slot went with the waiter");
    });
}

/// The last handle is dropped while the last slot comes back: all memory goes, which loom checks, and
/// nothing is used afterwards.
#[test]
fn loom3_the_close_meets_the_last_return() {
    loom::model(|| {
        let pool = pool(1, 1);
        let held = pool.try_alloc(64).expect("room");
        let other = thread::spawn(move || drop(held));
        drop(pool);
        other.join().expect("ends");
    });
}

/// A source of the heap that says in `live` whether its one segment lives.
struct OneSegment {
    live: std::sync::Arc<AtomicBool>,
}

/// The segment of [`OneSegment`], behind an allocator that notes when it is given back.
#[derive(Clone)]
struct Noting(std::sync::Arc<AtomicBool>);

// SAFETY: the blocks are the standard library's.
unsafe impl Deallocator for Noting {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        self.0.store(false, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.deallocate(ptr, layout) };
    }
}

// SAFETY: as above.
unsafe impl Allocator for Noting {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = System.allocate(layout)?;
        self.0.store(true, Ordering::Relaxed);
        Ok(block)
    }
}

// SAFETY: blocks of the heap stay where they are.
unsafe impl StableAddress for Noting {}

// SAFETY: segments are blocks of an allocator.
unsafe impl SegmentSource for OneSegment {
    type Segment = AllocatedRegion<Noting>;

    fn segment(&self, layout: NonZeroLayout) -> Result<Self::Segment, AllocError> {
        AllocatedRegion::new(Noting(std::sync::Arc::clone(&self.live)), layout)
    }
}

/// A slot is freed into a cache while the last handle goes: the close finds it, or the free gives it
/// back. Once both are over the memory is gone, although the thread still lives.
#[test]
fn loom3_the_close_meets_a_free_into_a_cache() {
    loom::model(|| {
        let live = std::sync::Arc::new(AtomicBool::new(false));
        let source = OneSegment {
            live: std::sync::Arc::clone(&live),
        };
        let pool = BufferPool::with_source(config(1, 1), source).expect("valid");
        let held = pool.try_alloc(64).expect("room");
        let freed = Arc::new(AtomicBool::new(false));
        // Held until all was looked at, so that the thread does not end before.
        let end = Arc::new(Mutex::new(()));
        let may_not_end = end.lock().expect("a model that panics ends there");
        let other = {
            let (freed, end) = (Arc::clone(&freed), Arc::clone(&end));
            thread::spawn(move || {
                drop(held);
                freed.store(true, Ordering::Release);
                drop(end.lock());
            })
        };
        drop(pool);
        if freed.load(Ordering::Acquire) {
            // Relaxed: behind `freed`.
            let live = live.load(Ordering::Relaxed);
            assert!(!live, "an idle thread keeps memory of a pool that is gone");
        }
        drop(may_not_end);
        other.join().expect("ends");
    });
}

/// The same with two slots on two threads.
#[test]
fn loom3_the_close_meets_two_returns() {
    loom::model(|| {
        let pool = pool(2, 1);
        let held = [(); 2].map(|()| pool.try_alloc(64).expect("room"));
        let others = held.map(|held| thread::spawn(move || drop(held)));
        drop(pool);
        for other in others {
            other.join().expect("ends");
        }
    });
}
