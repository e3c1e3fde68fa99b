//! A thread-local of the standard library.

use core::cell::Cell;

thread_local! {
    static WORD: Cell<u64> = const { Cell::new(0) };
}

#[inline]
pub(super) fn with<R>(f: impl FnOnce(&Cell<u64>) -> R) -> R {
    WORD.with(f)
}
