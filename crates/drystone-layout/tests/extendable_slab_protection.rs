//! Extendable slabs with a protection: wrong frees and broken seals are found, and no block is
//! handed out twice whatever was done to the slab.
#![cfg(feature = "std")]

mod counting;

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use drystone_core::{
    Allocator, Checked, Deallocator, FreeLink, FreelistProtection, Misuse, MisusePolicy,
    NonZeroLayout, OnMisuse, Reset,
};
use drystone_layout::ExtendableSlab;

use counting::{Block, Sent, block, fill};

/// Remembers what it is told.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(Misuse, usize)>>>);

impl MisusePolicy for Heard {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        self.0.lock().expect("no panic").push((misuse, address));
    }
}

impl Heard {
    fn take(&self) -> Vec<(Misuse, usize)> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

/// Seals with everything that a protection can have, and no secret.
#[derive(Clone, Copy)]
struct Sealed;

impl FreelistProtection for Sealed {
    const TAGGED: bool = true;
    const OCCUPANCY: bool = true;
    const EPOCHS: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        (link.slot ^ link.epoch.rotate_left(13)).wrapping_mul(0x9E37_79B9) | 1
    }
}

type Guarded<M> = ExtendableSlab<Block, OnMisuse<M, Heard>>;

fn guarded<M: FreelistProtection + Copy + Send + Sync + 'static>(
    capacity: usize,
    protection: M,
) -> (Guarded<M>, Heard) {
    let heard = Heard::default();
    let policy = heard.clone();
    let factory = move || OnMisuse::new(protection, policy.clone());
    (ExtendableSlab::with_protection(capacity, factory), heard)
}

/// Frees what may be no block at all.
fn free_anything<A: Deallocator>(slab: &A, ptr: NonNull<u8>) {
    free_as(slab, ptr, block());
}

fn free_as<A: Deallocator>(slab: &A, ptr: NonNull<u8>, layout: NonZeroLayout) {
    // SAFETY: a checked slab uses the address only and refuses what is not a live block; that is
    // what is tested.
    unsafe { slab.deallocate(ptr, layout) };
}

fn past(ptr: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    ptr.map_addr(|addr| addr.checked_add(bytes).expect("no overflow"))
}

fn wrong_frees_are_told_apart<M: FreelistProtection + Copy + Send + Sync + 'static>(protection: M) {
    let (slab, heard) = guarded(100, protection);
    let live = fill(&slab, 250);
    let told = |misuse, ptr: NonNull<u8>| assert_eq!(heard.take(), [(misuse, ptr.addr().get())]);
    // In the group that is allocated from, and in others.
    for ptr in [live[0], live[99], live[249]] {
        free_anything(&slab, past(ptr, 8));
        told(Misuse::InteriorPointer, past(ptr, 8));
        free_anything(&slab, past(ptr, 1));
        told(Misuse::InteriorPointer, past(ptr, 1));
    }
    let local = 0u64;
    free_anything(&slab, NonNull::from(&local).cast());
    told(Misuse::ForeignPointer, NonNull::from(&local).cast());
    // Between the last slot and the alignment of the segment.
    let beyond = past(live[0], 100 * 24);
    free_anything(&slab, beyond);
    told(Misuse::ForeignPointer, beyond);
    // The third segment has 50 of 100 slots out, all of its first group.
    let never = past(live[200], 70 * 24);
    free_anything(&slab, never);
    told(Misuse::NeverAllocated, never);
    let large = NonZeroLayout::from_size_align(25, 8).expect("valid");
    free_as(&slab, live[3], large);
    told(Misuse::LayoutMismatch, live[3]);
    for ptr in [live[5], live[120], live[230]] {
        free_anything(&slab, ptr);
        assert_eq!(heard.take(), []);
        free_anything(&slab, ptr);
        told(Misuse::DoubleFree, ptr);
    }
    assert_eq!(slab.corruption_events(), 13);
    slab.debug_assert_invariants();
    // What is free is handed out once, and nothing else.
    let again: BTreeSet<_> = fill(&slab, 53).into_iter().collect();
    assert_eq!(again.len(), 53);
    let kept: BTreeSet<_> = live.into_iter().collect();
    assert_eq!(again.intersection(&kept).count(), 3);
    assert_eq!(heard.take(), []);
}

#[test]
fn checked_tells_wrong_frees_apart() {
    wrong_frees_are_told_apart(Checked);
}

#[test]
fn sealed_tells_wrong_frees_apart() {
    wrong_frees_are_told_apart(Sealed);
}

#[test]
fn a_free_into_a_segment_that_was_given_back_is_foreign() {
    let (slab, heard) = guarded(8, Checked);
    let live = fill(&slab, 24);
    for &ptr in &live {
        free_anything(&slab, ptr);
    }
    // Free, and in the pool.
    free_anything(&slab, live[0]);
    assert_eq!(heard.take(), [(Misuse::DoubleFree, live[0].addr().get())]);
    slab.trim();
    assert_eq!(slab.segment_count(), 0);
    for &ptr in &live {
        free_anything(&slab, ptr);
    }
    let told = heard.take();
    assert_eq!(told.len(), 24);
    assert!(
        told.iter()
            .all(|&(misuse, _)| misuse == Misuse::ForeignPointer)
    );
}

#[test]
fn a_double_free_on_another_thread_is_found_at_the_call() {
    for protection in [true, false] {
        let find = |slab: &(dyn Fn(NonNull<u8>) + Sync), heard: &Heard, live: Vec<NonNull<u8>>| {
            let there = |ptrs: &[NonNull<u8>]| {
                let ptrs = Sent(ptrs.to_vec());
                thread::scope(|scope| {
                    let ended = scope.spawn(move || {
                        let ptrs = ptrs;
                        ptrs.0.iter().for_each(|&ptr| slab(ptr));
                    });
                    ended.join().expect("ends");
                });
            };
            // Twice there; here and then there; there and then here. Of a group that is not the
            // one allocated from, so that the bits are where everybody can see them.
            there(&[live[0], live[0]]);
            slab(live[1]);
            there(&[live[1]]);
            there(&[live[2]]);
            slab(live[2]);
            let told = heard.take();
            let twice: Vec<_> = (0..3)
                .map(|n| (Misuse::DoubleFree, live[n].addr().get()))
                .collect();
            assert_eq!(told, twice);
        };
        if protection {
            let (slab, heard) = guarded(64, Checked);
            let live = fill(&slab, 100);
            find(&|ptr| free_anything(&slab, ptr), &heard, live);
        } else {
            let (slab, heard) = guarded(64, Sealed);
            let live = fill(&slab, 100);
            find(&|ptr| free_anything(&slab, ptr), &heard, live);
        }
    }
}

#[test]
fn a_double_free_that_hides_in_a_word_is_found_before_it_matters() {
    let (slab, heard) = guarded(64, Checked);
    let live = fill(&slab, 10);
    // Freed into this thread's word, where the other thread does not see it.
    free_anything(&slab, live[4]);
    let hidden = Sent(vec![live[4]]);
    thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let hidden = hidden;
            free_anything(&slab, hidden.0[0]);
        });
        ended.join().expect("ends");
    });
    assert_eq!(heard.take(), []);
    // 54 slots were never handed out, and the one is free once.
    let all: BTreeSet<_> = fill(&slab, 55).into_iter().collect();
    assert_eq!(all.len(), 55);
    assert_eq!(slab.segment_count(), 1);
    assert_eq!(heard.take(), [(Misuse::DoubleFree, live[4].addr().get())]);
}

/// Whatever two threads do to the same blocks at once, each is free once afterwards.
#[test]
fn of_two_frees_at_once_one_wins() {
    const ROUNDS: usize = if cfg!(miri) { 5 } else { 3000 };
    const BATCH: usize = 40;
    let (slab, heard) = guarded(16, Checked);
    let table: Mutex<Vec<Sent>> = Mutex::new(vec![Sent(Vec::new()), Sent(Vec::new())]);
    let (go, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let wait_for = |counter: &AtomicUsize, value| {
        while counter.load(Ordering::Acquire) < value {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        for who in 0..2 {
            let (slab, table, go, done) = (&slab, &table, &go, &done);
            scope.spawn(move || {
                for round in 1..=ROUNDS {
                    wait_for(go, round);
                    let batch = std::mem::take(&mut table.lock().expect("no panic")[who].0);
                    batch.into_iter().for_each(|ptr| free_anything(slab, ptr));
                    done.fetch_add(1, Ordering::Release);
                }
            });
        }
        for round in 1..=ROUNDS {
            let mut live = fill(&slab, BATCH);
            let distinct: BTreeSet<_> = live.iter().copied().collect();
            assert_eq!(distinct.len(), BATCH, "a block handed out twice");
            {
                let mut table = table.lock().expect("no panic");
                table[0].0.clone_from(&live);
                live.reverse();
                table[1].0 = live;
            }
            go.store(round, Ordering::Release);
            wait_for(&done, 2 * round);
        }
    });
    // Each of the double frees was found, at the latest now.
    let all: BTreeSet<_> = fill(&slab, slab.segment_count() * 16).into_iter().collect();
    assert_eq!(all.len(), slab.segment_count() * 16);
    assert!(slab.segment_count() <= 4 + 3, "{}", slab.segment_count());
    let told = heard.take();
    assert_eq!(told.len(), ROUNDS * BATCH);
    assert!(told.iter().all(|&(misuse, _)| misuse == Misuse::DoubleFree));
    slab.debug_assert_invariants();
}

#[test]
fn a_write_after_free_breaks_the_seal() {
    for byte in 0..4 {
        for bit in 0..8 {
            let (slab, heard) = guarded(4, Sealed);
            let live = fill(&slab, 4);
            free_anything(&slab, live[1]);
            // SAFETY: not the writer's any more; that is the misuse. The memory is still mapped.
            let byte = unsafe { live[1].add(byte) };
            // SAFETY: as above; the slab reads it atomically, on this thread.
            let value = unsafe { byte.read() };
            // SAFETY: as above.
            unsafe { byte.write(value ^ 1 << bit) };
            let other = fill(&slab, 1);
            assert_ne!(other[0], live[1], "a damaged slot is not handed out");
            assert_eq!(heard.take(), [(Misuse::DamagedLink, live[1].addr().get())]);
            slab.debug_assert_invariants();
        }
    }
}

#[test]
fn a_seal_that_was_right_earlier_is_wrong_now() {
    let (slab, heard) = guarded(4, Sealed);
    let live = fill(&slab, 4);
    let seal = |ptr: NonNull<u8>| {
        // SAFETY: a slot is 24 bytes long and mapped, and its first four are initialised while it
        // is free.
        unsafe { ptr.cast::<u32>().read() }
    };
    free_anything(&slab, live[1]);
    let old = seal(live[1]);
    assert_eq!(fill(&slab, 1), [live[1]]);
    free_anything(&slab, live[1]);
    assert_ne!(seal(live[1]), old);
    // SAFETY: not the writer's any more; that is the misuse. The memory is still mapped.
    unsafe { live[1].cast::<u32>().write(old) };
    assert_ne!(fill(&slab, 1)[0], live[1]);
    assert_eq!(heard.take(), [(Misuse::DamagedLink, live[1].addr().get())]);
}

#[test]
fn a_block_shows_no_seal() {
    let (slab, _heard) = guarded(4, Sealed);
    let live = fill(&slab, 4);
    for &ptr in &live {
        // SAFETY: live, and 24 bytes long.
        unsafe { ptr.write_bytes(0xAB, 24) };
        free_anything(&slab, ptr);
    }
    for ptr in fill(&slab, 4) {
        // SAFETY: live, and its first bytes were written, by the seal if by nobody else.
        let first = unsafe { ptr.cast::<u32>().read() };
        assert_eq!(first, 0);
    }
}

#[test]
fn a_reset_forgets_the_seals() {
    let (mut slab, heard) = guarded(70, Sealed);
    for _ in 0..3 {
        let live = fill(&slab, 200);
        for (index, ptr) in live.into_iter().enumerate() {
            // SAFETY: live, and 24 bytes long.
            unsafe { ptr.write_bytes(0xCD, 24) };
            if index % 3 == 0 {
                free_anything(&slab, ptr);
            }
        }
        slab.reset();
    }
    assert_eq!(heard.take(), []);
    assert_eq!(slab.segment_count(), 3);
}

#[test]
fn a_policy_may_use_the_slab_it_hears_of() {
    /// Allocates and frees at each report.
    struct Reenters(Arc<Mutex<Option<&'static ExtendableSlab<Block, Reenters>>>>);

    impl FreelistProtection for Reenters {
        const TAGGED: bool = true;
        const OCCUPANCY: bool = true;

        fn tag(&self, link: FreeLink) -> u32 {
            self.use_slab();
            link.slot
        }

        fn on_misuse(&self, _misuse: Misuse, _address: usize) {
            self.use_slab();
        }
    }

    thread_local! {
        static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    }

    impl Reenters {
        fn use_slab(&self) {
            let slab = *self.0.lock().expect("no panic");
            let Some(slab) = slab else { return };
            if DEPTH.get() == 0 {
                DEPTH.set(1);
                let live = fill(slab, 3);
                live.into_iter().for_each(|ptr| free_anything(slab, ptr));
                DEPTH.set(0);
            }
        }
    }

    let cell = Arc::new(Mutex::new(None));
    let shared = cell.clone();
    let slab = ExtendableSlab::with_protection(5, move || Reenters(shared.clone()));
    let raw = Box::into_raw(Box::new(slab));
    // SAFETY: the box was just given up, and it is taken back at the end.
    let slab: &'static ExtendableSlab<Block, Reenters> = unsafe { &*raw };
    *cell.lock().expect("no panic") = Some(slab);
    let live = fill(slab, 12);
    let distinct: BTreeSet<_> = live.iter().copied().collect();
    assert_eq!(distinct.len(), 12);
    for &ptr in &live {
        free_anything(slab, ptr);
        free_anything(slab, ptr);
    }
    slab.debug_assert_invariants();
    assert_eq!(slab.corruption_events(), 12);
    let again: BTreeSet<_> = fill(slab, 12).into_iter().collect();
    assert_eq!(again.len(), 12);
    // Taken back, so that nothing counts as leaked.
    *cell.lock().expect("no panic") = None;
    // SAFETY: the box was given up above, and nothing uses the slab any more.
    drop(unsafe { Box::from_raw(raw) });
}
