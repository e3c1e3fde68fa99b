//! The least that the hardware allows, measured beside the rows that it bounds.

use std::cell::Cell;
use std::hint::{black_box, spin_loop};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

thread_local! {
    static WORD: Cell<u64> = const { Cell::new(1) };
}

/// A chain of dependent additions: one core cycle each.
pub(crate) fn dependent_adds(units: u64) {
    let step = black_box(1_u64);
    let mut sum = 0_u64;
    for _ in 0..units {
        // The empty barrier keeps the chain from being folded into a multiplication.
        sum = black_box_register(sum.wrapping_add(step));
    }
    black_box(sum);
}

/// Keeps a value opaque without sending it through memory.
#[inline(always)]
fn black_box_register(mut value: u64) -> u64 {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: an empty instruction sequence that changes nothing but claims to change `value`.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) value, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        value = black_box(value);
    }
    value
}

/// Reads of a constant-initialised thread-local word.
pub(crate) fn thread_local_reads(units: u64) {
    for _ in 0..units {
        black_box(WORD.with(|word| black_box(word).get()));
    }
}

/// Additions to an atomic that no other core touches.
pub(crate) fn uncontended_atomics(units: u64) {
    let word = AtomicU64::new(0);
    for _ in 0..units {
        black_box(&word).fetch_add(1, Ordering::Relaxed);
    }
    black_box(word.into_inner());
}

/// One line handed to another core and back: a unit is one hand-over.
pub(crate) fn ping_pong(units: u64) {
    let word = Arc::new(AtomicU64::new(0));
    let turns = units.max(2) & !1;
    let ends = [0, 1].map(|end: usize| {
        let word = Arc::clone(&word);
        thread::spawn(move || {
            pin_to(end);
            bounce(&word, end as u64, turns);
        })
    });
    for end in ends {
        end.join().expect("an end only counts");
    }
}

/// Waits for each turn of parity `mine` and passes the next one on.
fn bounce(word: &AtomicU64, mine: u64, turns: u64) {
    let mut turn = mine;
    while turn < turns {
        while word.load(Ordering::Acquire) != turn {
            spin_loop();
        }
        word.store(turn + 1, Ordering::Release);
        turn += 2;
    }
}

/// The monotonic clock, as the lab reads it for latencies.
pub(crate) fn clock_reads(units: u64) {
    for _ in 0..units {
        black_box(std::time::Instant::now());
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn pin_to(core: usize) {
    // SAFETY: an all-zero set is a valid empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the index is far below the size of the set.
    unsafe { libc::CPU_SET(core, &mut set) };
    // A machine with one core refuses core 1; the row then measures that core alone.
    // SAFETY: the set is initialised and its size is passed.
    unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn pin_to(_core: usize) {}
