//! What each thread keeps of the recorder: one word, its number and whether it is inside.

use core::cell::Cell;

cfg_if::cfg_if! {
    if #[cfg(all(
        feature = "initial-exec",
        target_os = "linux",
        any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64"),
        not(miri),
    ))] {
        mod initial_exec;
        use initial_exec::with;
    } else {
        mod local;
        use local::with;
    }
}

/// The bit of a thread that is inside the recorder; above it the number of the thread, from 1, or 0.
const INSIDE: u64 = 1;

/// Makes the calling thread one that is inside. `None` if it is already.
#[inline]
pub(super) fn enter() -> Option<u32> {
    with(|word: &Cell<u64>| {
        let found = word.get();
        word.set(found | INSIDE);
        (found & INSIDE == 0).then_some((found >> 1) as u32)
    })
}

/// Makes it one that is outside again.
#[inline]
pub(super) fn leave() {
    with(|word| word.set(word.get() & !INSIDE));
}

/// Numbers the calling thread, which is inside.
pub(super) fn set_number(number: u32) {
    with(|word| word.set(u64::from(number) << 1 | INSIDE));
}
