//! A thread-local that a shared library reaches without a call of the loader, which might allocate and so
//! come back here: its distance from the thread pointer is read from where the loader has put it.

use core::cell::Cell;

core::arch::global_asm!(
    ".pushsection .tbss.drystone_recorded_thread,\"awT\",@nobits",
    ".p2align 3",
    ".globl drystone_recorded_thread",
    ".hidden drystone_recorded_thread",
    ".type drystone_recorded_thread, @object",
    ".size drystone_recorded_thread, 8",
    "drystone_recorded_thread:",
    ".zero 8",
    ".popsection",
);

const _: () = assert!(size_of::<Cell<u64>>() == 8);

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn address() -> *const Cell<u64> {
    let word: *const Cell<u64>;
    // SAFETY: reads two words that stay as they are as long as the thread runs: the distance of the symbol,
    // from the table that the loader has filled, and the thread pointer.
    unsafe {
        core::arch::asm!(
            "mov {word}, qword ptr [rip + drystone_recorded_thread@GOTTPOFF]",
            "add {word}, qword ptr fs:[0]",
            word = out(reg) word,
            options(pure, nomem, nostack),
        );
    }
    word
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn address() -> *const Cell<u64> {
    let word: *const Cell<u64>;
    // SAFETY: reads a word that stays as it is as long as the thread runs, the distance of the symbol from
    // the table that the loader has filled, and the thread pointer.
    unsafe {
        core::arch::asm!(
            "adrp {word}, :gottprel:drystone_recorded_thread",
            "ldr {word}, [{word}, #:gottprel_lo12:drystone_recorded_thread]",
            "mrs {pointer}, tpidr_el0",
            "add {word}, {word}, {pointer}",
            word = out(reg) word,
            pointer = out(reg) _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    word
}

#[inline(always)]
pub(super) fn with<R>(f: impl FnOnce(&Cell<u64>) -> R) -> R {
    // SAFETY: the word of the calling thread is there while the thread runs, begins as zeros, which a cell
    // may, and is changed through it only.
    f(unsafe { &*address() })
}
