//! Slots over a buffer: geometry, order, wrong pointers, exhaustion, and a model.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use drystone_core::{AllocError, Inspect, Misuse};
use drystone_layout::{SlabError, Slots, SlotsState};
use proptest::prelude::*;

/// Memory that starts at a multiple of 4096, also in the eyes of a checker that counts only the
/// alignment an allocation was asked for.
struct Buffer(Vec<Chunk>);

#[derive(Clone, Copy)]
#[repr(align(4096))]
struct Chunk(#[allow(dead_code, reason = "bytes are borrowed by address")] [MaybeUninit<u8>; 4096]);

impl Buffer {
    fn new(bytes: usize) -> Self {
        let chunks = bytes.div_ceil(size_of::<Chunk>()).max(1);
        Self(vec![Chunk([MaybeUninit::uninit(); 4096]); chunks])
    }

    /// `len` bytes, `skip` bytes after a multiple of 4096.
    fn part(&mut self, skip: usize, len: usize) -> &mut [MaybeUninit<u8>] {
        let start = self.0.as_mut_ptr().cast::<MaybeUninit<u8>>();
        let all = self.0.len() * size_of::<Chunk>();
        // SAFETY: the chunks are borrowed exclusively and consist of these bytes, initialised or not.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start, all) };
        &mut bytes[skip..skip + len]
    }
}

fn pop_all<T>(slots: &Slots<'_, T>) -> Vec<NonNull<T>> {
    std::iter::from_fn(|| slots.try_pop_slot().ok()).collect()
}

fn push<T>(slots: &Slots<'_, T>, slot: NonNull<T>) -> Result<(), SlabError> {
    // SAFETY: no test uses a slot after it has given it back.
    unsafe { slots.try_push_slot(slot) }
}

/// `ptr`, `bytes` further on.
fn moved<T>(ptr: NonNull<T>, bytes: isize) -> NonNull<T> {
    ptr.map_addr(|address| {
        address
            .get()
            .wrapping_add_signed(bytes)
            .try_into()
            .expect("not null")
    })
}

fn shuffle<T>(items: &mut [T]) {
    let mut state = 0x2545_F491_u64;
    for index in (1..items.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        items.swap(index, (state >> 33) as usize % (index + 1));
    }
}

#[test]
fn a_buffer_too_small_is_refused_with_the_size_that_would_do() {
    for skip in 0..17 {
        let mut buffer = Buffer::new(256);
        let bytes = buffer.part(skip, 200);
        for len in 0..80 {
            match Slots::<u64>::over(&mut bytes[..len]) {
                Ok(slots) => assert!(slots.get_slot_count() > 0),
                Err(SlabError::BufferTooSmall {
                    needed_bytes,
                    available_bytes,
                }) => {
                    assert_eq!(available_bytes, len);
                    assert!(needed_bytes > len);
                    let enough = Slots::<u64>::over(&mut bytes[..needed_bytes]);
                    assert_eq!(enough.expect("the size named").get_slot_count(), 1);
                    assert!(Slots::<u64>::over(&mut bytes[..needed_bytes - 1]).is_err());
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
    let error = Slots::<[u8; 3000]>::over(Buffer::new(100).part(0, 100)).expect_err("too small");
    assert!(error.to_string().contains("100"));
    assert_eq!(AllocError::from(error), AllocError);
}

#[test]
fn seven_hundred_slots_go_out_and_come_back_in_any_order() {
    let need = (1..)
        .find(|&bytes| Slots::<usize>::calculate_total_slots(bytes) == 700)
        .expect("some size");
    let mut buffer = Buffer::new(need);
    let start = NonNull::from(buffer.part(0, need)).cast::<u8>();
    // SAFETY: the bytes are exclusively borrowed here and only used through the slots.
    let slots = unsafe { Slots::<usize>::new(start, need) }.expect("room");
    assert_eq!(slots.get_slot_count(), 700);
    assert_eq!(slots.get_state(), SlotsState::Free);
    let mut live = pop_all(&slots);
    assert_eq!(live.len(), 700);
    assert_eq!(slots.get_state(), SlotsState::Full);
    assert_eq!(slots.try_pop_slot(), Err(SlabError::OutOfMemory));
    for (n, &slot) in live.iter().enumerate() {
        // SAFETY: the slot is handed out.
        unsafe { slot.write(slot.addr().get() ^ n) };
    }
    for (n, &slot) in live.iter().enumerate() {
        for skew in 1..if cfg!(miri) {
            2
        } else {
            size_of::<usize>() as isize
        } {
            let inside = moved(slot, skew);
            assert_eq!(push(&slots, inside), Err(SlabError::InvalidPointer));
        }
        // SAFETY: the slot is handed out and written.
        assert_eq!(unsafe { slot.read() }, slot.addr().get() ^ n);
    }
    for _ in 0..2 {
        shuffle(&mut live);
        for (n, &slot) in live.iter().enumerate() {
            assert_eq!(slots.get_free_slots() as usize, n);
            assert_eq!(push(&slots, slot), Ok(()));
            assert_eq!(push(&slots, slot), Err(SlabError::AlreadyFree));
            if !cfg!(miri) || n % 100 == 0 {
                slots.debug_assert_invariants();
            }
        }
        assert_eq!(slots.get_state(), SlotsState::Free);
        let again: BTreeSet<_> = pop_all(&slots).into_iter().collect();
        assert_eq!(again, live.iter().copied().collect());
    }
}

#[test]
fn foreign_pointers_are_refused_and_change_nothing() {
    let (mut here, mut there) = (Buffer::new(512), Buffer::new(512));
    let slots = Slots::<u32>::over(here.part(0, 512)).expect("room");
    let other = Slots::<u32>::over(there.part(0, 512)).expect("room");
    let first = slots.try_pop_slot().expect("room");
    let digest = slots.state_digest();
    let theirs = other.try_pop_slot().expect("room");
    let mut on_the_stack = 0_u32;
    let count = slots.get_slot_count() as isize;
    for wrong in [
        theirs,
        NonNull::from(&mut on_the_stack),
        NonNull::dangling(),
        moved(first, -4),
        moved(first, count * 4),
        moved(first, isize::MAX - 3),
    ] {
        assert_eq!(push(&slots, wrong), Err(SlabError::InvalidPointer));
    }
    for never in 1..count {
        let free = moved(first, never * 4);
        assert_eq!(push(&slots, free), Err(SlabError::AlreadyFree));
    }
    assert_eq!(slots.state_digest(), digest);
    assert_eq!(
        slots.validate(first.cast()).map(|info| info.usable_bytes),
        Ok(4)
    );
    assert_eq!(slots.validate(theirs.cast()), Err(Misuse::ForeignPointer));
    let inside = moved(first, 2).cast();
    assert_eq!(slots.validate(inside), Err(Misuse::InteriorPointer));
    push(&slots, first).expect("handed out");
    assert_eq!(slots.validate(first.cast()), Err(Misuse::DoubleFree));
    assert_ne!(slots.state_digest(), digest);
    assert!(slots.has_free());
}

/// Every slot of a type can be written whole, at its alignment, without touching a neighbour.
fn fills<T: Copy + PartialEq + std::fmt::Debug>(align: usize, value: impl Fn(usize) -> T) {
    assert_eq!(align_of::<T>(), align);
    for skip in [0, 1, align - 1, align, 3 * align / 2] {
        let len = 5 * size_of::<T>() + align + 200;
        let mut buffer = Buffer::new(skip + len);
        let slots = Slots::<T>::over(buffer.part(skip, len)).expect("room for four");
        assert!(slots.get_slot_count() >= 4);
        let all = pop_all(&slots);
        assert_eq!(all.len(), slots.get_slot_count() as usize);
        for (n, &slot) in all.iter().enumerate() {
            assert!(slot.addr().get().is_multiple_of(align));
            // SAFETY: the slot is handed out.
            unsafe { slot.write(value(n)) };
        }
        slots.debug_assert_invariants();
        for (n, &slot) in all.iter().enumerate() {
            // SAFETY: the slot is handed out and written.
            assert_eq!(unsafe { slot.read() }, value(n));
            push(&slots, slot).expect("handed out");
        }
        slots.debug_assert_invariants();
        assert_eq!(slots.get_state(), SlotsState::Free);
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(align(64))]
struct Line([u8; 100]);

#[derive(Clone, Copy, PartialEq, Debug)]
#[repr(align(4096))]
struct Page(u8);

#[test]
fn any_size_and_any_alignment() {
    fills::<u8>(1, |n| n as u8);
    fills::<[u8; 3]>(1, |n| [n as u8; 3]);
    fills::<u16>(2, |n| n as u16);
    fills::<[u16; 5]>(2, |n| [n as u16; 5]);
    fills::<u128>(align_of::<u128>(), |n| n as u128);
    fills::<Line>(64, |n| Line([n as u8; 100]));
    fills::<Page>(4096, |n| Page(n as u8));
}

#[test]
fn the_formula_and_the_buffer_agree() {
    fn agree<T>() {
        let step = if cfg!(miri) { 331 } else { 1 };
        let mut buffer = Buffer::new(2001);
        for skip in 0..2 {
            let bytes = buffer.part(skip, 2000);
            for len in (0..2000).step_by(step) {
                let formula = Slots::<T>::calculate_total_slots(len);
                let count =
                    Slots::<T>::over(&mut bytes[..len]).map_or(0, |slots| slots.get_slot_count());
                if skip == 0 {
                    assert_eq!(count, formula, "{len}");
                } else {
                    // Its end may be aligned where that of the other is not.
                    let longer = len + align_of::<usize>();
                    assert!(count <= Slots::<T>::calculate_total_slots(longer), "{len}");
                }
            }
        }
    }
    agree::<u8>();
    agree::<[u8; 3]>();
    agree::<u64>();
    agree::<Line>();
    let all = Slots::<u8>::calculate_total_slots(usize::MAX);
    let limit = (usize::MAX / 10).min(u32::MAX as usize - 1);
    assert!(all as usize >= limit && all < u32::MAX);
}

#[test]
fn slots_can_go_to_another_thread() {
    let mut buffer = Buffer::new(400);
    let slots = Slots::<u64>::over(buffer.part(0, 400)).expect("room");
    let count = std::thread::scope(|scope| {
        let there = scope.spawn(move || pop_all(&slots).len());
        there.join().expect("no panic")
    });
    assert!(count > 30);
}

#[derive(Clone, Debug)]
enum Step {
    Pop,
    Push(usize),
    PushFree(usize),
    PushSkewed(usize, isize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => Just(Step::Pop),
        4 => any::<usize>().prop_map(Step::Push),
        1 => any::<usize>().prop_map(Step::PushFree),
        1 => (any::<usize>(), 1..3000_isize).prop_map(|(n, by)| Step::PushSkewed(n, by)),
    ]
}

/// Runs the steps and compares each answer with a set of live slots.
fn model<T>(bytes: usize, skip: usize, steps: &[Step]) {
    let mut buffer = Buffer::new(bytes + skip);
    let Ok(slots) = Slots::<T>::over(buffer.part(skip, bytes)) else {
        return;
    };
    let mut live: Vec<NonNull<T>> = Vec::new();
    let mut free: Vec<NonNull<T>> = Vec::new();
    let mut seen = BTreeSet::new();
    for step in steps {
        match *step {
            Step::Pop => match slots.try_pop_slot() {
                Ok(slot) => {
                    assert!(!live.contains(&slot), "handed out twice");
                    free.retain(|&other| other != slot);
                    live.push(slot);
                    seen.insert(slot);
                }
                Err(error) => {
                    assert_eq!(error, SlabError::OutOfMemory);
                    assert_eq!(live.len(), slots.get_slot_count() as usize);
                }
            },
            Step::Push(n) if !live.is_empty() => {
                let slot = live.swap_remove(n % live.len());
                assert_eq!(push(&slots, slot), Ok(()));
                free.push(slot);
            }
            Step::PushFree(n) if !free.is_empty() => {
                let slot = free[n % free.len()];
                assert_eq!(push(&slots, slot), Err(SlabError::AlreadyFree));
            }
            Step::PushSkewed(n, by) if !live.is_empty() => {
                let slot = moved(live[n % live.len()], by);
                if !live.contains(&slot) {
                    assert!(push(&slots, slot).is_err());
                }
            }
            _ => {}
        }
        let count = slots.get_slot_count() as usize;
        assert_eq!(slots.get_free_slots() as usize, count - live.len());
        assert_eq!(slots.has_free(), live.len() < count);
        let state = match live.len() {
            0 => SlotsState::Free,
            n if n == count => SlotsState::Full,
            _ => SlotsState::Partial,
        };
        assert_eq!(slots.get_state(), state);
        slots.debug_assert_invariants();
    }
    assert!(seen.len() <= slots.get_slot_count() as usize);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 300 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_a_set_of_live_slots(
        bytes in 0..1200_usize,
        skip in 0..20_usize,
        steps in proptest::collection::vec(step(), 0..if cfg!(miri) { 30 } else { 400 }),
    ) {
        model::<u8>(bytes, skip, &steps);
        model::<[u8; 3]>(bytes, skip, &steps);
        model::<u64>(bytes, skip, &steps);
        model::<[u32; 5]>(bytes, skip, &steps);
        model::<Line>(4 * bytes, skip, &steps);
    }
}
