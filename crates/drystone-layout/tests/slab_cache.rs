//! Slab caches on one thread: sizes, order, the provider's calls, ends in every order, panics.

mod slab_providers;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use drystone_backing::System;
use drystone_core::{HeapSegment, Stats};
use drystone_layout::{BumpArena, ProviderFrom, SlabBox, SlabCache, SlabError, SlabProvider};
use drystone_sync::{NoLock, RawLock, SpinLock};
use proptest::prelude::*;
use slab_providers::{Counting, Ledger};

type Cache<T, const SLAB_SIZE: usize = 512> = SlabCache<T, Counting, NoLock, SLAB_SIZE>;
type Boxed<T, const SLAB_SIZE: usize = 512> = SlabBox<T, Counting, NoLock, SLAB_SIZE>;

fn cache<T, const SLAB_SIZE: usize>(ledger: &Arc<Ledger>) -> Cache<T, SLAB_SIZE> {
    SlabCache::with_lock(Counting(Arc::clone(ledger)), NoLock).expect("memory for a slab")
}

/// As many boxes as `n`, with the values from 0.
fn fill<const SLAB_SIZE: usize>(
    cache: &Cache<u64, SLAB_SIZE>,
    n: usize,
) -> Vec<Boxed<u64, SLAB_SIZE>> {
    (0..n as u64)
        .map(|value| cache.alloc(value).expect("memory"))
        .collect()
}

/// Counts its drops.
#[derive(Debug)]
struct Noisy(Rc<Cell<usize>>);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_value_lives_in_its_box() {
    let cache = SlabCache::<String, _>::new(ProviderFrom::new(System)).expect("memory");
    let mut name = cache.alloc("stone".to_owned()).expect("memory");
    name.push_str(" wall");
    assert_eq!(*name, "stone wall");
    assert_eq!(format!("{name} {name:?}"), "stone wall \"stone wall\"");
    assert_eq!(name.as_ref().len(), 10);
    name.as_mut().clear();
    assert_eq!(SlabBox::as_ptr(&name), &raw const *name);
    assert!(format!("{cache:?}").contains("SlabCache"));
    assert_eq!(name.into_inner(), "");
    assert_eq!(cache.stats().live_blocks(), 0);
}

#[test]
fn the_widths_are_what_the_page_says() {
    assert_eq!(size_of::<Boxed<u64>>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Boxed<u64>>>(), size_of::<usize>());
    assert_eq!(size_of::<Cache<u64>>(), size_of::<usize>());
    if cfg!(target_pointer_width = "64") {
        type Small = SlabCache<u128, ProviderFrom<System>, NoLock, 512>;
        type Page = SlabCache<u128, ProviderFrom<System>, NoLock, 4096>;
        assert_eq!((Small::SLOTS_PER_SLAB, Small::SLOTS_IN_MASTER), (28, 23));
        assert_eq!((Page::SLOTS_PER_SLAB, Page::SLOTS_IN_MASTER), (250, 245));
    }
}

#[test]
fn slabs_come_when_they_are_needed_and_all_go_back() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    assert_eq!(ledger.out(), 1);
    let master = Cache::<u64>::SLOTS_IN_MASTER;
    let slave = Cache::<u64>::SLOTS_PER_SLAB;
    let mut boxes = fill(&cache, master);
    assert_eq!(ledger.out(), 1);
    for slabs in 2..6 {
        boxes.extend(fill(&cache, 1));
        assert_eq!((ledger.out(), cache.slab_count()), (slabs, slabs));
        boxes.extend(fill(&cache, slave - 1));
        assert_eq!(ledger.out(), slabs);
        cache.debug_assert_invariants();
    }
    let places: BTreeSet<_> = boxes.iter().map(|b| SlabBox::as_ptr(b).addr()).collect();
    assert_eq!(places.len(), boxes.len());
    for pair in places.iter().zip(places.iter().skip(1)) {
        assert!(pair.1 - pair.0 >= size_of::<u64>());
    }
    while let Some(last) = boxes.pop() {
        drop(last);
        cache.debug_assert_invariants();
        assert!(ledger.out() <= boxes.len().saturating_sub(master).div_ceil(slave) + 2);
    }
    assert_eq!(ledger.out(), 2, "the master, and one empty slab kept");
    assert_eq!(cache.trim(), 512);
    assert_eq!(cache.trim(), 0);
    assert_eq!(ledger.out(), 1);
    drop(cache);
    ledger.assert_closed();
}

#[test]
fn back_and_forth_over_the_edge_of_a_slab_calls_nobody() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    let edge = Cache::<u64>::SLOTS_IN_MASTER + Cache::<u64>::SLOTS_PER_SLAB;
    for live in [edge - 1, edge, edge + 1, edge + 2] {
        let mut boxes = fill(&cache, live);
        drop(boxes.split_off(live - 2));
        boxes.extend(fill(&cache, 2));
        let before = ledger.calls();
        for _ in 0..if cfg!(miri) { 5 } else { 1000 } {
            boxes.pop();
            boxes.extend(fill(&cache, 1));
            boxes.truncate(live - 2);
            boxes.extend(fill(&cache, 2));
        }
        assert_eq!(ledger.calls(), before, "live {live}");
        cache.debug_assert_invariants();
    }
}

#[test]
fn partial_slabs_serve_before_the_empty_one() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    let (master, slave) = (Cache::<u64>::SLOTS_IN_MASTER, Cache::<u64>::SLOTS_PER_SLAB);
    let mut boxes = fill(&cache, master + 3 * slave);
    // The second slave becomes empty, then the other slaves and the master lose one each.
    let empty: Vec<_> = boxes.drain(master + slave..master + 2 * slave).collect();
    let base = |boxed: &Boxed<u64>| SlabBox::as_ptr(boxed).addr() & !511;
    let empty_base = base(&empty[0]);
    drop(empty);
    for index in [boxes.len() - 1, master, 0] {
        boxes.swap_remove(index);
    }
    cache.debug_assert_invariants();
    let before = ledger.calls();
    for _ in 0..3 {
        let next = cache.alloc(9).expect("free slots");
        assert_ne!(base(&next), empty_base, "a partial slab has room");
        boxes.push(next);
    }
    let next = cache.alloc(9).expect("free slots");
    assert_eq!(base(&next), empty_base);
    assert_eq!(ledger.calls(), before);
}

#[test]
fn a_second_empty_slab_goes_back_at_once() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    let (master, slave) = (Cache::<u64>::SLOTS_IN_MASTER, Cache::<u64>::SLOTS_PER_SLAB);
    let mut boxes = fill(&cache, master + 4 * slave);
    for (empty, expected) in [(1, 5), (2, 4), (3, 3)] {
        drop(boxes.split_off(boxes.len() - slave));
        assert_eq!(ledger.out(), expected, "{empty} empty");
        cache.debug_assert_invariants();
    }
}

#[test]
fn boxes_outlive_every_handle_in_every_order() {
    let slave = Cache::<u64>::SLOTS_PER_SLAB;
    for order in 0..4 {
        let ledger = Ledger::new();
        let cache = cache::<u64, 512>(&ledger);
        let other = cache.clone();
        let mut boxes = fill(&cache, 3 * slave);
        drop(boxes.drain(slave..2 * slave));
        drop(cache);
        assert_eq!(ledger.dropped.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(ledger.dropped.load(Ordering::Relaxed), 0);
        assert!(ledger.out() > 0);
        match order {
            0 => {}
            1 => boxes.reverse(),
            2 => boxes.rotate_left(slave / 2),
            _ => boxes.sort_by_key(|b| SlabBox::as_ptr(b).addr().reverse_bits()),
        }
        for boxed in boxes {
            assert_eq!(ledger.dropped.load(Ordering::Relaxed), 0);
            drop(boxed);
        }
        ledger.assert_closed();
    }
    let ledger = Ledger::new();
    let boxed = cache::<u64, 512>(&ledger).alloc(3).expect("memory");
    assert_eq!(*boxed, 3);
    drop(boxed);
    ledger.assert_closed();
    let ledger = Ledger::new();
    drop(cache::<u64, 512>(&ledger));
    ledger.assert_closed();
}

#[test]
fn without_handles_no_empty_slab_is_kept() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    let (master, slave) = (Cache::<u64>::SLOTS_IN_MASTER, Cache::<u64>::SLOTS_PER_SLAB);
    let mut boxes = fill(&cache, master + 2 * slave);
    drop(boxes.split_off(master + slave));
    assert_eq!(ledger.out(), 3, "one empty slab kept");
    drop(cache);
    assert_eq!(ledger.out(), 2);
    drop(boxes.split_off(master));
    assert_eq!(ledger.out(), 1);
    drop(boxes);
    ledger.assert_closed();
}

#[test]
fn out_of_memory_at_every_step_gives_the_value_back() {
    let (master, slave) = (
        Cache::<Noisy>::SLOTS_IN_MASTER,
        Cache::<Noisy>::SLOTS_PER_SLAB,
    );
    for slabs in 1..if cfg!(miri) { 3 } else { 5 } {
        let ledger = Ledger::new();
        let drops = Rc::new(Cell::new(0));
        let cache = cache::<Noisy, 512>(&ledger);
        ledger.allow(slabs - 1);
        let room = master + (slabs - 1) * slave;
        let mut boxes = Vec::new();
        for _ in 0..room {
            boxes.push(cache.alloc(Noisy(Rc::clone(&drops))).expect("room"));
        }
        for failures in 1..4 {
            let error = cache.alloc(Noisy(Rc::clone(&drops))).expect_err("full");
            assert_eq!(drops.get(), failures - 1);
            drop(error.into_value());
            assert_eq!(drops.get(), failures);
            assert_eq!(cache.stats().failures, failures as u64);
        }
        cache.debug_assert_invariants();
        boxes.remove(room / 2);
        boxes.push(
            cache
                .alloc(Noisy(Rc::clone(&drops)))
                .expect("a slot was freed"),
        );
        assert_eq!(drops.get(), 4);
        drop(cache);
        drop(boxes);
        assert_eq!(drops.get(), 4 + room);
        ledger.assert_closed();
    }
    let ledger = Ledger::new();
    ledger.allow(0);
    let none = SlabCache::<u64, _>::new(Counting(Arc::clone(&ledger)));
    assert_eq!(none.err(), Some(SlabError::OutOfMemory));
    ledger.assert_closed();
}

#[test]
fn a_misaligned_answer_goes_straight_back() {
    for skew in [8, 16, 256, 520] {
        let ledger = Ledger::new();
        ledger.skew.store(skew, Ordering::Relaxed);
        let none = Cache::<u64>::with_lock(Counting(Arc::clone(&ledger)), NoLock);
        assert_eq!(none.err(), Some(SlabError::Misaligned { align: 512 }));
        assert_eq!(ledger.provided(), 1);
        ledger.assert_closed();

        let ledger = Ledger::new();
        let cache = cache::<u64, 512>(&ledger);
        let boxes = fill(&cache, Cache::<u64>::SLOTS_IN_MASTER);
        ledger.skew.store(skew, Ordering::Relaxed);
        assert_eq!(cache.alloc(7).expect_err("misaligned").into_value(), 7);
        assert_eq!((ledger.provided(), ledger.out()), (2, 1));
        ledger.skew.store(0, Ordering::Relaxed);
        assert_eq!(*cache.alloc(8).expect("memory again"), 8);
        drop((cache, boxes));
        ledger.assert_closed();
    }
}

#[derive(Debug, PartialEq, Clone, Copy)]
#[repr(align(64))]
struct Line([u8; 64]);

#[derive(Debug, PartialEq, Clone, Copy)]
#[repr(align(256))]
struct Block(u8);

/// Fills three slabs with values of a type, checks place and content, and drops them.
fn serves<T: Copy + PartialEq + std::fmt::Debug, const SLAB_SIZE: usize>(value: fn(usize) -> T) {
    let ledger = Ledger::new();
    let cache = cache::<T, SLAB_SIZE>(&ledger);
    let (master, slave) = (
        Cache::<T, SLAB_SIZE>::SLOTS_IN_MASTER,
        Cache::<T, SLAB_SIZE>::SLOTS_PER_SLAB,
    );
    assert!(master >= 2 && slave >= master);
    let count = master + 2 * slave;
    let boxes: Vec<_> = (0..count)
        .map(|n| cache.alloc(value(n)).expect("memory"))
        .collect();
    assert_eq!(ledger.out(), 3);
    cache.debug_assert_invariants();
    for (n, boxed) in boxes.iter().enumerate() {
        assert!(
            SlabBox::as_ptr(boxed)
                .addr()
                .is_multiple_of(align_of::<T>())
        );
        assert_eq!(**boxed, value(n));
    }
    drop(cache);
    drop(boxes);
    ledger.assert_closed();
}

#[test]
fn any_size_and_any_alignment() {
    serves::<u8, 512>(|n| n as u8);
    serves::<[u8; 3], 512>(|n| [n as u8; 3]);
    serves::<u16, 1024>(|n| n as u16);
    serves::<[u64; 5], 512>(|n| [n as u64; 5]);
    serves::<u128, 512>(|n| n as u128);
    serves::<Line, 512>(|n| Line([n as u8; 64]));
    serves::<Block, 2048>(|n| Block(n as u8));
    serves::<[u8; 100], 4096>(|n| [n as u8; 100]);
}

#[test]
fn a_panicking_destructor_still_returns_the_slot() {
    struct Grumpy(Rc<Cell<usize>>);
    impl Drop for Grumpy {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("dropped");
        }
    }
    let ledger = Ledger::new();
    let drops = Rc::new(Cell::new(0));
    let cache = cache::<Grumpy, 512>(&ledger);
    let slots = Cache::<Grumpy>::SLOTS_IN_MASTER + Cache::<Grumpy>::SLOTS_PER_SLAB;
    for round in 1..3 {
        let boxes: Vec<_> = (0..slots)
            .map(|_| cache.alloc(Grumpy(Rc::clone(&drops))).expect("memory"))
            .collect();
        for boxed in boxes {
            assert!(catch_unwind(AssertUnwindSafe(|| drop(boxed))).is_err());
            cache.debug_assert_invariants();
        }
        assert_eq!(drops.get(), round * slots);
        assert_eq!(cache.stats().live_blocks(), 0);
    }
    let last = cache.alloc(Grumpy(Rc::clone(&drops))).expect("memory");
    drop(cache);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(last))).is_err());
    ledger.assert_closed();
}

/// A list of boxes: dropping the first drops the next from inside its destructor.
struct Node {
    next: RefCell<Option<Boxed<Node>>>,
    cache: Cache<Node>,
}

#[test]
fn destructors_may_use_the_cache() {
    let ledger = Ledger::new();
    let cache = cache::<Node, 512>(&ledger);
    let mut first = None;
    for _ in 0..40 {
        let node = Node {
            next: RefCell::new(first.take()),
            cache: cache.clone(),
        };
        first = Some(cache.alloc(node).expect("memory"));
    }
    drop(cache);
    let second = first.as_ref().and_then(|node| node.next.take());
    drop(second);
    let node = first.as_ref().expect("a node");
    let spare = Node {
        next: RefCell::new(None),
        cache: node.cache.clone(),
    };
    let spare = node.cache.alloc(spare).expect("memory");
    *node.next.borrow_mut() = Some(spare);
    drop(first);
    ledger.assert_closed();
}

#[test]
fn raw_leaked_and_pinned() {
    let ledger = Ledger::new();
    let drops = Rc::new(Cell::new(0));
    let cache = cache::<Noisy, 512>(&ledger);
    let raw = SlabBox::into_raw(cache.alloc(Noisy(Rc::clone(&drops))).expect("memory"));
    assert_eq!(drops.get(), 0);
    // SAFETY: the pointer has just come from a box of this type.
    drop(unsafe { Boxed::<Noisy>::from_raw(raw) });
    assert_eq!(drops.get(), 1);
    let pinned: Pin<Boxed<Noisy>> =
        SlabBox::into_pin(cache.alloc(Noisy(Rc::clone(&drops))).expect("memory"));
    drop(pinned);
    assert_eq!(drops.get(), 2);
    let inner = cache
        .alloc(Noisy(Rc::clone(&drops)))
        .expect("memory")
        .into_inner();
    assert_eq!((drops.get(), cache.stats().live_blocks()), (2, 0));
    drop(inner);
    assert_eq!(drops.get(), 3);
    drop(cache);
    ledger.assert_closed();

    // A leaked value keeps its slab and the provider, here until the arena under them goes.
    let layout = drystone_core::NonZeroLayout::from_size_align(4096, 512).expect("valid");
    let arena = BumpArena::new(HeapSegment::new(layout).expect("memory"));
    let provider = ProviderFrom::new(&arena);
    let cache = SlabCache::<_, _, _, 512>::with_lock(provider, NoLock).expect("room");
    let number = SlabBox::leak(cache.alloc(5_u64).expect("room"));
    drop(cache);
    *number += 1;
    assert_eq!(*number, 6);
}

/// Three words, so that a word inside one is aligned, of any content.
type Triple = MaybeUninit<[u64; 3]>;

#[test]
fn a_box_of_no_live_slot_is_counted_and_not_followed() {
    let ledger = Ledger::new();
    let cache = cache::<Triple, 512>(&ledger);
    let keep = cache.alloc(Triple::uninit()).expect("memory");
    let raw = SlabBox::into_raw(cache.alloc(Triple::uninit()).expect("memory"));
    // SAFETY: the pointer has just come from a box of this type.
    drop(unsafe { Boxed::<Triple>::from_raw(raw) });
    // From here on breaches of the contract, which the occupancy map notices. The values have no
    // destructor, and all of it lies in the master, which lives: nothing else happens.
    // SAFETY: as above.
    drop(unsafe { Boxed::<Triple>::from_raw(raw) });
    // SAFETY: a word before the slot that was freed is in the slab.
    let inside = unsafe { raw.cast::<u64>().sub(1) }.cast();
    // SAFETY: as above.
    drop(unsafe { Boxed::<Triple>::from_raw(inside) });
    // SAFETY: three slots further down nothing was ever handed out.
    let never = unsafe { raw.sub(3) };
    // SAFETY: as above.
    drop(unsafe { Boxed::<Triple>::from_raw(never) });
    let stats = cache.stats();
    assert_eq!((stats.corruption_events, stats.live_blocks()), (3, 1));
    cache.debug_assert_invariants();
    drop((cache, keep));
    ledger.assert_closed();
}

#[test]
fn a_damaged_header_is_not_followed() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    let boxes = fill(&cache, Cache::<u64>::SLOTS_IN_MASTER);
    let raw = SlabBox::into_raw(cache.alloc(7).expect("memory"));
    let header = raw
        .map_addr(|address| (address.get() & !511).try_into().expect("not null"))
        .cast::<[u64; 2]>();
    // Not as numbers: one of them is a pointer.
    // SAFETY: the pointer may be used for its whole slab, which begins with a header.
    let intact = unsafe { header.cast::<[MaybeUninit<u8>; 16]>().read() };
    for damaged in [[0, 0], [u64::MAX; 2], [1, u64::MAX], [u64::MAX, 0]] {
        // SAFETY: as above. This is what a neighbour's overflow would do.
        unsafe { header.write(damaged) };
        // SAFETY: the slot is live; a number has no destructor. The slot is lost, nothing more.
        drop(unsafe { Boxed::<u64>::from_raw(raw) });
        assert_eq!(ledger.taken_back(), 0);
    }
    // SAFETY: as above.
    unsafe { header.cast().write(intact) };
    cache.debug_assert_invariants();
    assert_eq!(cache.stats().live_blocks(), boxes.len() as u64 + 1);
    // SAFETY: the slot is still live, since the damaged header kept it from being given back.
    drop(unsafe { Boxed::<u64>::from_raw(raw) });
    drop((cache, boxes));
    ledger.assert_closed();
}

#[test]
fn the_figures_add_up() {
    let ledger = Ledger::new();
    let cache = cache::<u64, 512>(&ledger);
    assert_eq!(cache.stats(), Stats::default());
    let boxes = fill(&cache, 100);
    drop(boxes);
    let boxes = fill(&cache, 30);
    let stats = cache.stats();
    assert_eq!((stats.allocations, stats.deallocations), (130, 100));
    assert_eq!((stats.live_bytes(), stats.peak_live_bytes), (240, 800));
    assert_eq!(
        (stats.allocated_bytes, stats.deallocated_bytes),
        (1040, 800)
    );
    assert_eq!(
        (
            stats.failures,
            stats.corruption_events,
            stats.capacity_bytes
        ),
        (0, 0, None)
    );
    drop(boxes);
    assert_eq!(cache.stats().live_blocks(), 0);
}

/// A lock that tells the provider when it is held.
struct HeldLock(Arc<Ledger>, AtomicBool);

// SAFETY: the tests below use it on one thread, and it notices being locked twice.
unsafe impl RawLock for HeldLock {
    const INIT: Self = panic!("made with a ledger");

    fn lock(&self) {
        assert!(!self.1.swap(true, Ordering::Acquire), "locked twice");
        self.0.locked.store(true, Ordering::Relaxed);
    }

    unsafe fn unlock(&self) {
        self.0.locked.store(false, Ordering::Relaxed);
        self.1.store(false, Ordering::Release);
    }
}

#[test]
fn neither_provider_nor_destructor_runs_under_the_lock() {
    struct Checks(Arc<Ledger>);
    impl Drop for Checks {
        fn drop(&mut self) {
            assert!(
                !self.0.locked.load(Ordering::Relaxed),
                "dropped under the lock"
            );
        }
    }
    let ledger = Ledger::new();
    let lock = HeldLock(Arc::clone(&ledger), AtomicBool::new(false));
    let provider = Counting(Arc::clone(&ledger));
    let cache = SlabCache::<Checks, _, _, 512>::with_lock(provider, lock).expect("memory");
    for live in [1, 120, 7, 60] {
        let boxes: Vec<_> = (0..live)
            .map(|_| cache.alloc(Checks(Arc::clone(&ledger))).expect("memory"))
            .collect();
        drop(boxes);
        cache.trim();
    }
    let last = cache.alloc(Checks(Arc::clone(&ledger))).expect("memory");
    drop(cache);
    drop(last);
    ledger.assert_closed();
}

#[test]
fn a_provider_may_be_borrowed() {
    let ledger = Ledger::new();
    let provider = Counting(Arc::clone(&ledger));
    let cache = SlabCache::<u64, _>::new(&provider).expect("memory");
    let boxed = cache.alloc(4).expect("memory");
    drop(cache);
    assert_eq!(*boxed, 4);
    drop(boxed);
    assert_eq!((ledger.out(), ledger.provided()), (0, 1));
}

/// Auto traits, both ways.
mod auto_traits {
    use super::*;
    use std::sync::MutexGuard;

    macro_rules! not {
        ($bound:ident: $($ty:ty),* $(,)?) => {$({
            trait Answer<A> {
                fn no() {}
            }
            struct Yes;
            impl<T: ?Sized> Answer<()> for T {}
            impl<T: ?Sized + $bound> Answer<Yes> for T {}
            // Ambiguous, and so an error, if the type has the trait.
            <$ty as Answer<_>>::no();
        })*};
    }

    fn send<T: Send>() {}
    fn sync<T: Sync>() {}

    type Spin<T, P = ProviderFrom<System>> = SlabCache<T, P, SpinLock>;
    type SpinBox<T, P = ProviderFrom<System>> = SlabBox<T, P, SpinLock>;
    type Plain<T> = SlabCache<T, ProviderFrom<System>, NoLock>;
    type PlainBox<T> = SlabBox<T, ProviderFrom<System>, NoLock>;

    /// A provider that stays on its thread, by either half.
    struct Local<X>(#[allow(dead_code, reason = "only its type matters")] X);
    // SAFETY: provides nothing.
    unsafe impl<X> SlabProvider for Local<X> {
        fn provide(&self, _: std::alloc::Layout) -> Option<std::ptr::NonNull<u8>> {
            None
        }
        unsafe fn take_back(&self, _: std::ptr::NonNull<u8>, _: std::alloc::Layout) {}
    }

    #[test]
    fn caches_and_boxes_go_where_their_parts_may() {
        send::<Spin<u64>>();
        sync::<Spin<u64>>();
        // No value is reached through a handle.
        send::<Spin<Rc<u64>>>();
        sync::<Spin<Cell<u64>>>();
        send::<SpinBox<Cell<u64>>>();
        send::<SpinBox<u64>>();
        sync::<SpinBox<u64>>();
        sync::<SpinBox<MutexGuard<'static, u64>>>();
        send::<drystone_layout::Slots<'static, Rc<u64>>>();
        not!(Send: Plain<u64>, PlainBox<u64>, SpinBox<Rc<u64>>, SpinBox<MutexGuard<'static, u64>>);
        not!(Sync: Plain<u64>, PlainBox<u64>, SpinBox<Cell<u64>>, SpinBox<Rc<u64>>);
        not!(Send: Spin<u64, Local<Rc<u64>>>, Spin<u64, Local<Cell<u64>>>);
        not!(Send: SpinBox<u64, Local<Rc<u64>>>, SpinBox<u64, Local<Cell<u64>>>);
        not!(Sync: Spin<u64, Local<Cell<u64>>>, Spin<u64, Local<MutexGuard<'static, u64>>>);
        not!(Sync: drystone_layout::Slots<'static, u64>);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc,
    Drop(usize),
    DropMany(usize, usize),
    Trim,
    Clone,
    DropHandle,
    Allow(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => Just(Step::Alloc),
        6 => any::<usize>().prop_map(Step::Drop),
        1 => (any::<usize>(), 0..40_usize).prop_map(|(at, n)| Step::DropMany(at, n)),
        1 => Just(Step::Trim),
        1 => Just(Step::Clone),
        1 => Just(Step::DropHandle),
        1 => (0..4_usize).prop_map(Step::Allow),
    ]
}

/// Runs the steps against a list of live values.
fn model<const SLAB_SIZE: usize>(steps: &[Step]) {
    let ledger = Ledger::new();
    let mut handles = vec![cache::<[u64; 3], SLAB_SIZE>(&ledger)];
    let mut live: Vec<(Boxed<[u64; 3], SLAB_SIZE>, u64)> = Vec::new();
    let mut stamp = 0;
    for step in steps {
        match *step {
            Step::Alloc => {
                stamp += 1;
                let (out, left) = (ledger.out(), ledger.left.load(Ordering::Relaxed));
                match handles[0].alloc([stamp; 3]) {
                    Ok(boxed) => live.push((boxed, stamp)),
                    Err(error) => {
                        assert_eq!(error.into_value(), [stamp; 3]);
                        assert_eq!((left, ledger.out()), (0, out));
                        let master = Cache::<[u64; 3], SLAB_SIZE>::SLOTS_IN_MASTER;
                        let slave = Cache::<[u64; 3], SLAB_SIZE>::SLOTS_PER_SLAB;
                        assert_eq!(live.len(), master + (out - 1) * slave);
                    }
                }
            }
            Step::Drop(n) if !live.is_empty() => drop(live.swap_remove(n % live.len())),
            Step::DropMany(at, n) if !live.is_empty() => {
                let at = at % live.len();
                let end = (at + n).min(live.len());
                drop(live.drain(at..end));
            }
            Step::Trim => {
                handles[0].trim();
            }
            Step::Clone => handles.push(handles[0].clone()),
            Step::DropHandle if handles.len() > 1 => drop(handles.pop()),
            Step::Allow(slabs) => ledger.allow(slabs),
            _ => {}
        }
        handles[0].debug_assert_invariants();
        let stats = handles[0].stats();
        assert_eq!(stats.live_blocks(), live.len() as u64);
        assert_eq!(handles[0].slab_count(), ledger.out());
        assert_eq!(stats.corruption_events, 0);
        for (boxed, stamp) in &live {
            assert_eq!(**boxed, [*stamp; 3]);
        }
    }
    drop(handles);
    drop(live);
    ledger.assert_closed();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_a_list_of_live_values(
        steps in proptest::collection::vec(step(), 0..if cfg!(miri) { 40 } else { 500 }),
    ) {
        model::<512>(&steps);
        model::<2048>(&steps);
    }
}

#[test]
fn uninitialised_values_are_possible() {
    let cache = SlabCache::<MaybeUninit<[u8; 64]>, _>::new(ProviderFrom::new(System));
    let mut block = cache
        .expect("memory")
        .alloc(MaybeUninit::uninit())
        .expect("memory");
    block.write([7; 64]);
}
