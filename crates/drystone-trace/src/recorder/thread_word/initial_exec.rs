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

#[inline(always)]
pub(super) fn with<R>(f: impl FnOnce(&Cell<u64>) -> R) -> R {
    let word = drystone_sync::initial_exec_address!("drystone_recorded_thread").cast();
    // SAFETY: the word of the calling thread is there while the thread runs, begins as zeros, which a cell
    // may, and is changed through it only.
    f(unsafe { &*word })
}
