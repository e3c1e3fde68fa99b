//! Generational slabs: capacity, stale and foreign handles, retirement, destructors, every range.

mod ranges;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::thread;

use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, StaticBacked, System};
use drystone_core::{AllocatedRegion, FixedRange, HeapSegment, Inspect, Misuse, Region};
use drystone_layout::generational_slab::Generation;
use drystone_layout::{GenerationalSlab, Handle, SetupError};
use ranges::{Inline, Lazy, Skewed, buffer, heap, layout};

fn slab<T>(capacity: usize) -> GenerationalSlab<T, HeapSegment> {
    let bytes = capacity * GenerationalSlab::<T, HeapSegment>::STRIDE;
    GenerationalSlab::new(capacity, heap(bytes, 4096)).expect("room")
}

/// Fills a slab, empties it in another order, and fills it again.
fn round_trip<B: FixedRange, G: Generation>(mut slab: GenerationalSlab<[u32; 3], B, G>) {
    let capacity = slab.capacity() as u32;
    let mut stale = Vec::new();
    for round in 0..3 {
        let handles: Vec<_> = (0..capacity)
            .map(|n| slab.insert([n, round, 7]).expect("room"))
            .collect();
        assert_eq!(slab.insert([0; 3]).expect_err("full").into_value(), [0; 3]);
        assert!(
            slab.insert_with_handle(|_| unreachable!("no room"))
                .is_none()
        );
        slab.debug_assert_invariants();
        for (n, &handle) in (0..).zip(&handles) {
            assert_eq!(slab.get(handle), Some(&[n, round, 7]));
        }
        assert!(stale.iter().all(|&handle| slab.get(handle).is_none()));
        for &handle in handles
            .iter()
            .step_by(2)
            .chain(handles.iter().skip(1).step_by(2))
        {
            let value = slab.remove(handle).expect("it is there");
            assert_eq!((value[1], value[2]), (round, 7));
            assert_eq!((slab.remove(handle), slab.get_mut(handle)), (None, None));
        }
        assert!(slab.is_empty());
        stale.extend(handles);
    }
}

#[test]
fn every_kind_of_range_serves() {
    const SLOTS: usize = 20;
    const BYTES: usize = 400;
    let region_of = &mut InlineBacked::<BYTES>::new();
    round_trip(slab(SLOTS));
    round_trip(
        GenerationalSlab::new(SLOTS, HeapBacked::new(BYTES).expect("memory")).expect("room"),
    );
    round_trip(
        GenerationalSlab::new(SLOTS, MmapBacked::new(BYTES).expect("memory")).expect("room"),
    );
    round_trip(GenerationalSlab::new(SLOTS, InlineBacked::<BYTES>::new()).expect("room"));
    round_trip(GenerationalSlab::new(SLOTS, Region::borrow(region_of)).expect("room"));
    round_trip(GenerationalSlab::new(SLOTS, Skewed::new(BYTES, 13)).expect("room"));
    round_trip(GenerationalSlab::new(SLOTS, Lazy::new(BYTES, usize::MAX, 0).0).expect("room"));
    let bytes = &mut buffer::<BYTES>()[1..];
    round_trip(GenerationalSlab::new(SLOTS, StaticBacked::new(bytes)).expect("room"));
    let region = AllocatedRegion::new(System, layout(BYTES, 1)).expect("memory");
    round_trip(GenerationalSlab::new(SLOTS, region).expect("room"));
    round_trip::<_, u8>(GenerationalSlab::with_generation(SLOTS, heap(BYTES, 4)).expect("room"));
    round_trip::<_, u16>(GenerationalSlab::with_generation(SLOTS, heap(BYTES, 4)).expect("room"));
    round_trip::<_, u64>(GenerationalSlab::with_generation(16, heap(BYTES, 8)).expect("room"));
}

#[test]
fn a_slab_of_what_does_not_fit_is_refused_with_the_figures() {
    type Slab<B> = GenerationalSlab<u64, B>;
    const STRIDE: usize = (size_of::<u64>() + 4).next_multiple_of(align_of::<u64>());
    assert_eq!(Slab::<HeapSegment>::STRIDE, STRIDE);
    assert_eq!(
        Slab::new(0, heap(64, 8)).err(),
        Some(SetupError::ZeroCapacity)
    );
    let limit = Slab::<HeapSegment>::CAPACITY_MAX;
    assert_eq!(
        Slab::new(limit + 1, heap(64, 8)).err(),
        Some(SetupError::CapacityAboveLimit {
            capacity: limit + 1,
            limit
        })
    );
    assert_eq!(
        Slab::new(5, heap(5 * STRIDE - 1, 8)).err(),
        Some(SetupError::RangeTooSmall {
            needed_bytes: 5 * STRIDE,
            available_bytes: 5 * STRIDE - 1
        })
    );
    assert_eq!(
        Slab::new(5, heap(5 * STRIDE, 8)).map(|slab| slab.capacity()),
        Ok(5)
    );
    // One byte into a line the first slot is at the next multiple of the alignment.
    let skewed = 5 * STRIDE + align_of::<u64>() - 1;
    assert_eq!(
        Slab::new(5, Skewed::new(skewed, 1)).map(|slab| slab.capacity()),
        Ok(5)
    );
    assert!(Slab::new(5, Skewed::new(skewed - 1, 1)).is_err());
}

#[repr(align(64))]
#[derive(Debug, PartialEq)]
struct Aligned(u8);

#[test]
fn a_movable_range_refuses_an_alignment_it_cannot_keep() {
    let refused = GenerationalSlab::<Aligned, _>::new(2, Inline::<512>::new());
    assert_eq!(
        refused.err(),
        Some(SetupError::AlignmentUnavailable {
            align: 64,
            base_align: 16
        })
    );
    // A range that cannot move serves it.
    let mut slab = GenerationalSlab::new(2, heap(512, 64)).expect("room");
    let handle = slab.insert(Aligned(3)).expect("room");
    let value = slab.get(handle).expect("it is there");
    assert_eq!(std::ptr::from_ref(value).addr() % 64, 0);
}

#[test]
fn values_move_with_the_range_and_handles_stay() {
    let mut slab = GenerationalSlab::<String, _>::new(8, Inline::<512>::new()).expect("room");
    let handles: Vec<_> = (0..8)
        .map(|n| slab.insert(n.to_string()).expect("room"))
        .collect();
    let mut moved = Box::new(slab);
    assert_eq!(moved.remove(handles[3]).as_deref(), Some("3"));
    let mut back = *moved;
    let again = back.insert("new".into()).expect("room");
    assert_eq!(again.index(), handles[3].index());
    for (n, &handle) in handles.iter().enumerate() {
        let expected = (n != 3).then(|| n.to_string());
        assert_eq!(back.get(handle), expected.as_ref());
    }
    back.debug_assert_invariants();
}

#[test]
fn zero_sized_values_are_counted_and_dropped() {
    thread_local!(static DROPS: Cell<usize> = const { Cell::new(0) });
    struct Token;
    impl Drop for Token {
        fn drop(&mut self) {
            DROPS.set(DROPS.get() + 1);
        }
    }
    let mut slab = slab::<Token>(3);
    let handles = [(); 3].map(|()| slab.insert(Token).expect("room"));
    assert!(slab.insert(Token).is_err());
    assert_eq!((slab.len(), DROPS.get()), (3, 1));
    assert!(slab.remove(handles[1]).is_some() && slab.get(handles[1]).is_none());
    assert!(slab.contains(handles[0]) && slab.contains(handles[2]));
    drop(slab);
    assert_eq!(DROPS.get(), 4);
}

#[test]
fn a_slot_of_eight_bits_lives_128_times_and_is_retired() {
    let mut slab = GenerationalSlab::<u8, _, u8>::with_generation(2, heap(16, 4)).expect("room");
    let kept = slab.insert(0).expect("room");
    let mut seen = HashSet::new();
    for life in 0..128 {
        let handle = slab.insert(life).expect("room");
        assert!(seen.insert(handle), "a handle was given out twice");
        assert_eq!(slab.remove(handle), Some(life));
    }
    assert_eq!((slab.retired(), slab.len()), (1, 1));
    assert!(slab.insert(1).is_err());
    assert!(seen.iter().all(|&handle| !slab.contains(handle)));
    slab.debug_assert_invariants();

    // The other slot still serves, and clearing does not bring a retired one back.
    slab.clear();
    assert!(slab.insert(2).is_ok() && slab.insert(3).is_err());
    assert!(!slab.contains(kept));
    let report = slab.verify_all().expect("sound");
    assert_eq!((report.live_blocks, report.free_blocks), (1, 0));
}

#[test]
fn handles_of_another_slab_are_refused() {
    let slabs = if cfg!(miri) { 4 } else { 200 };
    let (rounds, slots) = if cfg!(miri) { (3, 4) } else { (50, 16) };
    let mut all: Vec<_> = (0..slabs).map(|_| slab::<usize>(slots)).collect();
    let mut handles = Vec::new();
    for round in 0..rounds {
        for (owner, slab) in all.iter_mut().enumerate() {
            slab.clear();
            handles.push((owner, round, slab.insert(owner).expect("room")));
        }
    }
    for (owner, round, handle) in handles {
        for (other, slab) in all.iter().enumerate() {
            let expected = (other == owner && round + 1 == rounds).then_some(&owner);
            assert_eq!(slab.get(handle), expected);
        }
    }
}

#[test]
fn a_slab_in_the_place_of_a_dropped_one_refuses_its_handles() {
    let mut range = Inline::<256>::new();
    let mut first = GenerationalSlab::<u32, _>::new(4, Region::borrow(&mut range)).expect("room");
    let old = first.insert(1).expect("room");
    drop(first);
    let mut second = GenerationalSlab::<u32, _>::new(4, Region::borrow(&mut range)).expect("room");
    let new = second.insert(2).expect("room");
    assert_eq!((second.get(old), second.get(new)), (None, Some(&2)));
}

#[test]
fn nothing_is_touched_and_little_committed_before_it_is_needed() {
    type Slot = GenerationalSlab<[u8; 1000], HeapSegment>;
    let bytes = 200 * Slot::STRIDE;
    let (lazy, log) = Lazy::new(bytes, usize::MAX, 0);
    let mut slab = GenerationalSlab::<[u8; 1000], _>::new(200, lazy).expect("room");
    assert_eq!(log.commits.load(Ordering::Relaxed), 0);
    for n in 0..200 {
        let handle = slab.insert([n; 1000]).expect("room");
        let value = std::ptr::NonNull::from(slab.get(handle).expect("it is there"));
        let block = std::ptr::NonNull::slice_from_raw_parts(value.cast::<u8>(), 1000);
        assert!(slab.backing().is_committed(block));
    }
    let steps = bytes.div_ceil(64 << 10);
    assert!(log.commits.load(Ordering::Relaxed) <= steps + 1);
}

#[test]
fn a_commit_that_fails_gives_the_value_back_and_changes_nothing() {
    let (lazy, _) = Lazy::new(1 << 17, 0, 128);
    let mut slab = GenerationalSlab::<u64, _>::new(1000, lazy).expect("room");
    for n in 0..3 {
        slab.insert(n).expect("one slot at a time can be committed");
    }
    type Large = [u64; 511];
    let (lazy, _) = Lazy::new(1 << 17, 1, 0);
    let mut slab = GenerationalSlab::<Large, _>::new(32, lazy).expect("room");
    for n in 0..16 {
        slab.insert([n; 511]).expect("one step is committed");
    }
    let before = slab.state_digest();
    let refused = slab.insert([7; 511]).expect_err("no more can be");
    assert_eq!(refused.into_value(), [7; 511]);
    assert_eq!(slab.state_digest(), before);
    slab.backing().fail_after(usize::MAX);
    slab.insert([8; 511]).expect("the memory came back");
    slab.debug_assert_invariants();
}

/// Notes its drop, and panics if told to.
struct Loud<'l> {
    name: usize,
    panics: bool,
    log: &'l RefCell<Vec<usize>>,
}

impl Drop for Loud<'_> {
    fn drop(&mut self) {
        self.log.borrow_mut().push(self.name);
        assert!(!self.panics, "a destructor that was told to panic");
    }
}

fn loud(log: &RefCell<Vec<usize>>, panics: usize) -> GenerationalSlab<Loud<'_>, HeapSegment> {
    let mut slab = slab(8);
    for name in 0..8 {
        let value = Loud {
            name,
            panics: name == panics,
            log,
        };
        slab.insert(value).expect("room");
    }
    slab
}

#[test]
fn a_destructor_that_panics_stops_no_other() {
    for panics in 0..8 {
        let log = RefCell::new(Vec::new());
        let mut slab = loud(&log, panics);
        assert!(catch_unwind(AssertUnwindSafe(|| slab.clear())).is_err());
        assert_eq!(log.take(), [0, 1, 2, 3, 4, 5, 6, 7]);
        slab.debug_assert_invariants();
        assert!(slab.is_empty());
        // The slab serves on.
        for _ in 0..8 {
            let value = Loud {
                name: 9,
                panics: false,
                log: &log,
            };
            slab.insert(value).expect("room");
        }
        drop(slab);
        assert_eq!(log.take(), [9; 8]);

        let slab = loud(&log, panics);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(slab))).is_err());
        assert_eq!(log.take(), [0, 1, 2, 3, 4, 5, 6, 7]);

        let mut slab = loud(&log, panics);
        let drained = catch_unwind(AssertUnwindSafe(|| {
            slab.drain().nth(1);
        }));
        assert!(drained.is_err());
        assert_eq!(log.take(), [0, 1, 2, 3, 4, 5, 6, 7]);
        slab.debug_assert_invariants();
    }
}

#[test]
fn retain_keeps_what_it_did_not_reach() {
    let log = RefCell::new(Vec::new());
    let mut slab = loud(&log, 3);
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        slab.retain(|_, value| value.name % 3 == 1);
    }));
    assert!(stopped.is_err());
    assert_eq!(log.take(), [0, 2, 3]);
    assert!(slab.iter().map(|(_, value)| value.name).eq([1, 4, 5, 6, 7]));
    let stopped = catch_unwind(AssertUnwindSafe(|| {
        slab.retain(|_, value| {
            assert_ne!(value.name, 6, "a closure that panics");
            value.name != 4
        });
    }));
    assert!(stopped.is_err());
    assert_eq!(log.take(), [4]);
    assert!(slab.iter().map(|(_, value)| value.name).eq([1, 5, 6, 7]));
    slab.debug_assert_invariants();
}

#[test]
fn a_closure_that_panics_leaves_the_slab_as_it_was() {
    let mut slab = slab::<String>(2);
    slab.insert("kept".into()).expect("room");
    for _ in 0..2 {
        let before = {
            let made = slab
                .insert_with_handle(|handle| format!("{handle:?}"))
                .expect("room");
            slab.remove(made).expect("it is there");
            slab.state_digest()
        };
        let make = AssertUnwindSafe(|| slab.insert_with_handle(|_| panic!("no value")));
        assert!(catch_unwind(make).is_err());
        assert_eq!(slab.state_digest(), before);
    }
    let own = slab
        .insert_with_handle(|handle| format!("{handle:?}"))
        .expect("room");
    assert_eq!(slab.get(own), Some(&format!("{own:?}")));
}

#[test]
fn iteration_visits_every_value_once_in_slot_order() {
    let mut slab = slab::<u32>(10);
    let handles: Vec<_> = (0..10).map(|n| slab.insert(n).expect("room")).collect();
    for index in [0, 3, 9] {
        slab.remove(handles[index]);
    }
    let mut iter = slab.iter();
    assert_eq!(iter.len(), 7);
    assert!(iter.clone().map(|(_, &n)| n).eq([1, 2, 4, 5, 6, 7, 8]));
    iter.nth(5);
    assert_eq!(
        (iter.len(), iter.next().map(|(_, &n)| n), iter.next()),
        (1, Some(8), None)
    );
    for (handle, value) in &mut slab {
        assert_eq!(handle, handles[*value as usize]);
        *value += 100;
    }
    // Exclusive references to several values live at once.
    let values: Vec<&mut u32> = slab.iter_mut().map(|(_, value)| value).collect();
    for value in values {
        *value += 1;
    }
    assert!(
        (&slab)
            .into_iter()
            .map(|(_, &n)| n)
            .eq([102, 103, 105, 106, 107, 108, 109])
    );
    let drained: Vec<_> = slab.drain().map(|(_, n)| n).collect();
    assert_eq!(drained, [102, 103, 105, 106, 107, 108, 109]);
    assert_eq!(slab.iter().next(), None);
    assert_eq!(format!("{slab:?}"), "{}");
}

#[test]
fn disjoint_values_are_lent_together_and_no_value_twice() {
    let mut slab = slab::<u32>(4);
    let handles = [10, 20, 30].map(|n| slab.insert(n).expect("room"));
    let [c, a, b] = slab
        .get_disjoint_mut([handles[2], handles[0], handles[1]])
        .expect("three values");
    (*a, *b, *c) = (*b, *c, *a);
    assert!(slab.iter().map(|(_, &n)| n).eq([20, 30, 10]));
    assert!(
        slab.get_disjoint_mut([handles[0], handles[1], handles[0]])
            .is_none()
    );
    slab.remove(handles[1]);
    assert!(slab.get_disjoint_mut([handles[0], handles[1]]).is_none());
    assert!(slab.get_disjoint_mut([]).is_some());
}

#[test]
fn handles_are_plain_values_whatever_they_name() {
    let mut slab = slab::<Rc<Cell<u8>>>(3);
    let handles = [1, 2, 3].map(|n| slab.insert(Rc::new(Cell::new(n))).expect("room"));
    // The slab stays; its handles visit another thread.
    let back = thread::scope(|scope| {
        let there = scope.spawn(move || handles.into_iter().rev().collect::<BTreeSet<_>>());
        there.join().expect("joins")
    });
    assert!(back.into_iter().eq(handles));
    assert_eq!(handles.iter().collect::<HashSet<_>>().len(), 3);
    assert_eq!(slab.get(handles[2]).map(|value| value.get()), Some(3));
    let words = size_of::<u64>() + align_of::<u64>();
    assert_eq!(size_of::<Option<Handle<String, u64>>>(), words);
}

#[test]
fn readers_share_a_slab() {
    fn shared<T: Send + Sync>(_: &T) {}
    let mut slab = slab::<String>(4);
    let handle = slab.insert("shared".into()).expect("room");
    shared(&slab);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| assert_eq!(slab.get(handle).map(String::as_str), Some("shared")));
        }
    });
}

#[test]
fn pointers_are_judged() {
    let mut slab = slab::<u64>(4);
    let handle = slab.insert(5).expect("room");
    let gone = slab.insert(6).expect("room");
    let place = |slab: &GenerationalSlab<u64, _>, handle| {
        std::ptr::NonNull::from(slab.get(handle).expect("it is there")).cast::<u8>()
    };
    let (live, dead) = (place(&slab, handle), place(&slab, gone));
    slab.remove(gone);
    assert_eq!(slab.validate(live).map(|info| info.usable_bytes), Ok(8));
    assert_eq!(slab.validate(dead), Err(Misuse::DoubleFree));
    let at = |bytes: usize| live.map_addr(|addr| addr.checked_add(bytes).expect("small"));
    assert_eq!(slab.validate(at(1)), Err(Misuse::InteriorPointer));
    assert_eq!(slab.validate(at(32)), Err(Misuse::NeverAllocated));
    assert_eq!(slab.validate(at(64)), Err(Misuse::ForeignPointer));
}
