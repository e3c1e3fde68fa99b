//! Slab caches that several threads share. Short enough to run under many schedules in Miri.

mod slab_providers;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use drystone_layout::{SlabBox, SlabCache};
use drystone_sync::SpinLock;
use slab_providers::{Counting, Ledger};

type Cache<T> = SlabCache<T, Counting, SpinLock, 512>;
type Boxed<T> = SlabBox<T, Counting, SpinLock, 512>;

const THREADS: usize = if cfg!(miri) { 3 } else { 20 };
const OPERATIONS: usize = if cfg!(miri) { 60 } else { 100_000 };

fn cache<T>(ledger: &Arc<Ledger>) -> Cache<T> {
    SlabCache::with_lock(Counting(Arc::clone(ledger)), SpinLock::new()).expect("memory")
}

/// xorshift, so that every thread has numbers of its own.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % bound
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// What a box must hold: its address and its owner.
fn cookie(boxed: &Boxed<u128>, key: u64) -> u128 {
    SlabBox::as_ptr(boxed).addr() as u128 ^ u128::from(key) << 64
}

/// Four allocations for each drop of the newest, every value checked when it goes.
fn churn(cache: &Cache<u128>, thread: usize, live_max: usize) {
    let key = thread as u64 + 0x9E37;
    let mut random = Random(key);
    let mut live: Vec<Boxed<u128>> = Vec::new();
    let check = |boxed: Boxed<u128>| assert_eq!(*boxed, cookie(&boxed, key));
    for _ in 0..OPERATIONS {
        if random.below(5) > 0 && live.len() < live_max {
            let mut boxed = cache.alloc(0).expect("memory");
            *boxed = cookie(&boxed, key);
            live.push(boxed);
        } else if let Some(boxed) = live.pop() {
            check(boxed);
        }
    }
    random.shuffle(&mut live);
    live.into_iter().for_each(check);
}

#[test]
fn every_thread_keeps_its_own_values() {
    let ledger = Ledger::new();
    let cache = cache(&ledger);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let cache = &cache;
            scope.spawn(move || churn(cache, thread, usize::MAX));
        }
    });
    cache.debug_assert_invariants();
    let stats = cache.stats();
    assert_eq!((stats.live_blocks(), stats.corruption_events), (0, 0));
    assert!(ledger.out() <= 2, "the master and one empty slab");
    drop(cache);
    ledger.assert_closed();
}

/// The handles go while the boxes live, on every thread at another moment.
#[test]
fn every_thread_has_a_handle_and_ends_when_it_likes() {
    for round in 0..if cfg!(miri) { 2 } else { 200 } {
        let ledger = Ledger::new();
        let cache = cache::<Box<usize>>(&ledger);
        let start = Barrier::new(3);
        thread::scope(|scope| {
            for thread in 0..3 {
                let cache = cache.clone();
                let start = &start;
                scope.spawn(move || {
                    let mut random = Random(round * 3 + thread + 1);
                    let count = 5 + random.below(60);
                    start.wait();
                    let mut boxes: Vec<_> = (0..count)
                        .map(|n| cache.alloc(Box::new(n)).expect("memory"))
                        .collect();
                    random.shuffle(&mut boxes);
                    boxes.truncate(count / 2);
                    drop(cache);
                    assert!(boxes.iter().all(|boxed| ***boxed < count));
                });
            }
            drop(cache);
        });
        ledger.assert_closed();
    }
}

/// Counts drops, from any thread.
struct Noisy(Arc<AtomicUsize>);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn boxes_are_dropped_where_they_end_up() {
    let ledger = Ledger::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let count = if cfg!(miri) { 40 } else { 20_000 };
    let (send, receive) = mpsc::sync_channel::<Boxed<Noisy>>(8);
    let cache = cache(&ledger);
    let receiver = thread::spawn(move || receive.into_iter().for_each(drop));
    for _ in 0..count {
        let boxed = cache.alloc(Noisy(Arc::clone(&drops))).expect("memory");
        send.send(boxed).expect("the receiver waits");
    }
    drop(cache);
    drop(send);
    receiver.join().expect("no panic");
    assert_eq!(drops.load(Ordering::Relaxed), count);
    ledger.assert_closed();
}

#[test]
fn trimming_and_refusals_meet_churn() {
    let ledger = Ledger::new();
    let cache = cache(&ledger);
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..2 {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                churn(cache, thread, 90);
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        let mut trimmed = 0;
        while done.load(Ordering::Relaxed) < 2 {
            trimmed += cache.trim();
            thread::yield_now();
        }
        assert!(trimmed.is_multiple_of(512));
    });
    cache.debug_assert_invariants();
    // The provider refuses while threads run dry: every value comes back or is boxed.
    ledger.allow(2);
    let boxed = thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let cache = &cache;
                scope.spawn(move || -> Vec<_> {
                    (0..40).map_while(|n| cache.alloc(n).ok()).collect()
                })
            })
            .collect();
        let boxes = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        boxes.flatten().collect::<Vec<_>>()
    });
    assert_eq!(cache.stats().live_blocks(), boxed.len() as u64);
    let slabs = ledger.out();
    let room = Cache::<u128>::SLOTS_IN_MASTER + (slabs - 1) * Cache::<u128>::SLOTS_PER_SLAB;
    assert!(boxed.len() <= room && boxed.len() >= room - Cache::<u128>::SLOTS_PER_SLAB);
    drop((cache, boxed));
    ledger.assert_closed();
}
