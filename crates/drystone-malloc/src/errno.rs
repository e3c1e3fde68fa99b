//! `errno`: what C calls say of a refusal.

use core::ffi::c_int;

/// The calling thread's `errno`.
fn place() -> *mut c_int {
    // SAFETY: no requirements.
    unsafe { libc::__errno_location() }
}

pub(crate) fn get() -> c_int {
    // SAFETY: the thread's own, valid while it runs.
    unsafe { place().read() }
}

pub(crate) fn set(code: c_int) {
    // SAFETY: the thread's own, valid while it runs.
    unsafe { place().write(code) };
}

/// Runs `f`, whose calls of the system leave `errno` as it was.
pub(crate) fn kept<R>(f: impl FnOnce() -> R) -> R {
    let before = get();
    let answer = f();
    set(before);
    answer
}
