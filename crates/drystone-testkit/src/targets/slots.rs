//! Slots in any buffer at any offset, against a list of what is handed out.

use core::ptr::NonNull;

use drystone_backing::HeapBacked;
use drystone_core::{FixedRange, Inspect};
use drystone_layout::{SlabError, Slots, SlotsState};

use super::choose;
use crate::bytes;

/// The buffer lies somewhere in this many bytes.
const BYTES: usize = 4096;

/// The first byte chooses the type, the next three the start and the length of the buffer; then
/// each byte is a step, and some take the next one as their argument.
///
/// # Panics
///
/// If the slots disagree with the list, overlap, or leave the buffer.
pub fn target_slots(data: &[u8]) {
    #[derive(Clone, Copy)]
    #[repr(align(64))]
    struct Line(#[allow(dead_code, reason = "only its size matters")] [u8; 64]);

    let (choice, data) = choose(data);
    match choice % 6 {
        0 => run::<u8>(data),
        1 => run::<[u8; 3]>(data),
        2 => run::<u16>(data),
        3 => run::<u64>(data),
        4 => run::<[u32; 5]>(data),
        _ => run::<Line>(data),
    }
}

/// A slot that is handed out, and what was written into it.
struct Owned<T> {
    slot: NonNull<T>,
    seed: usize,
}

impl<T> Owned<T> {
    fn bytes(&self) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.slot.cast(), size_of::<T>())
    }

    fn check(&self) {
        // SAFETY: the slot is handed out, and was stamped over its whole length.
        let changed = unsafe { bytes::first_difference(self.bytes(), self.seed) };
        assert!(changed.is_none(), "byte {changed:?} of a slot changed");
    }
}

fn run<T>(data: &[u8]) {
    let memory = HeapBacked::with_align(BYTES, 4096).expect("memory for a test");
    let (start, data) = choose(data);
    let (low, data) = choose(data);
    let (high, data) = choose(data);
    let start = usize::from(start);
    let len = (usize::from(low) | usize::from(high) << 8) % (BYTES - start);
    // SAFETY: the start is inside the memory.
    let buffer = unsafe { memory.base().add(start) };
    // SAFETY: the bytes are in the memory, which nobody else uses and which outlives the slots.
    let slots = match unsafe { Slots::<T>::new(buffer, len) } {
        Ok(slots) => slots,
        Err(error) => return assert_too_small(error, len),
    };
    let mut live: Vec<Owned<T>> = Vec::new();
    let mut steps = data.iter();
    while let Some(&step) = steps.next() {
        let mut argument = || usize::from(steps.next().copied().unwrap_or(0));
        match step % 8 {
            0..4 => pop(&slots, buffer, len, &mut live),
            4 | 5 if !live.is_empty() => {
                let owned = live.swap_remove(argument() % live.len());
                owned.check();
                assert_eq!(push(&slots, owned.slot), Ok(()));
                assert_eq!(push(&slots, owned.slot), Err(SlabError::AlreadyFree));
            }
            6 => push_somewhere(&slots, argument() << 4 | argument(), &live),
            _ => live.iter().for_each(Owned::check),
        }
        agree(&slots, live.len());
    }
    live.iter().for_each(Owned::check);
}

fn assert_too_small(error: SlabError, len: usize) {
    let SlabError::BufferTooSmall {
        needed_bytes,
        available_bytes,
    } = error
    else {
        panic!("{error}");
    };
    assert!(needed_bytes > len && available_bytes == len);
}

fn pop<T>(slots: &Slots<'_, T>, buffer: NonNull<u8>, len: usize, live: &mut Vec<Owned<T>>) {
    let Ok(slot) = slots.try_pop_slot() else {
        assert_eq!(live.len(), slots.get_slot_count() as usize);
        return;
    };
    let offset = slot.addr().get() - buffer.addr().get();
    assert!(offset + size_of::<T>() <= len && slot.is_aligned());
    let seed = live.len() + offset + 1;
    let owned = Owned { slot, seed };
    // SAFETY: the slot has just been handed out.
    unsafe { bytes::stamp(owned.bytes(), seed) };
    live.push(owned);
}

/// Gives back an address that nobody handed out, unless it happens to be one that was.
fn push_somewhere<T>(slots: &Slots<'_, T>, far: usize, live: &[Owned<T>]) {
    let Some(first) = live.first() else { return };
    let address = first.slot.addr().get().wrapping_add(far).wrapping_sub(2048);
    let wrong = first
        .slot
        .map_addr(|_| address.try_into().unwrap_or(first.slot.addr()));
    if live.iter().all(|owned| owned.slot != wrong) {
        let digest = slots.state_digest();
        assert!(push(slots, wrong).is_err());
        assert_eq!(slots.state_digest(), digest);
    }
}

fn push<T>(slots: &Slots<'_, T>, slot: NonNull<T>) -> Result<(), SlabError> {
    // SAFETY: the slot is not used after this, or is not one that is handed out.
    unsafe { slots.try_push_slot(slot) }
}

fn agree<T>(slots: &Slots<'_, T>, live: usize) {
    let count = slots.get_slot_count() as usize;
    assert_eq!(slots.get_free_slots() as usize, count - live);
    assert_eq!(slots.has_free(), live < count);
    let state = match live {
        0 => SlotsState::Free,
        _ if live == count => SlotsState::Full,
        _ => SlotsState::Partial,
    };
    assert_eq!(slots.get_state(), state);
    assert_eq!(
        slots.verify_all().map(|report| report.live_blocks),
        Ok(live)
    );
}
