//! Slabs of several slot sizes, under every protection.

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::{
    Checked, FixedRange, FreeLink, FreelistProtection, NoProtection, OnMisuse, SipHashMac,
};
use drystone_layout::Slab;

use super::choose;
use crate::oracle::PanicOnMisuse;
use crate::program::{Limits, Program, run_with_reset};

/// Tags links with a keyed mixing function; enough to take the tagged path, no protection.
#[derive(Clone, Copy, Debug)]
struct Mixed(u32);

impl FreelistProtection for Mixed {
    const TAGGED: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        let next = link.next.map_or(u32::MAX, |next| next);
        (link.slot.wrapping_mul(0x9E37_79B9) ^ next.rotate_left(16)).wrapping_add(self.0)
    }
}

/// Slots that a slab may have here.
const SLOTS: usize = 24;

/// The first byte chooses slot, storage and protection; the rest is a program.
///
/// # Panics
///
/// If the slab breaks a promise or an invariant.
pub fn target_slab(data: &[u8]) {
    let (choice, data) = choose(data);
    match choice % 4 {
        0 => slot::<u64>(choice, data),
        1 => slot::<[u8; 3]>(choice, data),
        2 => slot::<u128>(choice, data),
        _ => slot::<[u64; 9]>(choice, data),
    }
}

fn slot<T>(choice: u8, data: &[u8]) {
    let limits = Limits {
        max_size: size_of::<T>(),
        max_align: align_of::<T>(),
    };
    let program = Program::decode(data, limits);
    let heap = || HeapBacked::with_align(4096, 16).expect("memory for a test");
    let inline = InlineBacked::<4096>::new;
    // Correct programs give a protection nothing to report.
    let checked = OnMisuse::new(Checked, PanicOnMisuse);
    let mac = OnMisuse::new(SipHashMac::with_key([choice; 16]), PanicOnMisuse);
    match choice / 4 % 8 {
        0 => slab::<T, _, _>(heap(), NoProtection, &program),
        1 => slab::<T, _, _>(heap(), Mixed(u32::from(choice)), &program),
        2 => slab::<T, _, _>(inline(), NoProtection, &program),
        3 => slab::<T, _, _>(inline(), Mixed(u32::from(choice)), &program),
        4 => slab::<T, _, _>(heap(), checked, &program),
        5 => slab::<T, _, _>(heap(), mac, &program),
        6 => slab::<T, _, _>(inline(), checked, &program),
        _ => slab::<T, _, _>(inline(), mac, &program),
    }
}

fn slab<T, B: FixedRange, M: FreelistProtection>(range: B, protection: M, program: &Program) {
    let slab = Slab::<T, B, M>::with_protection(SLOTS, range, protection);
    run_with_reset(slab.expect("room for the slots"), program);
}
