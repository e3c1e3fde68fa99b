//! [`kept`]: a value for as long as the program runs.

use std::sync::{Mutex, PoisonError};

/// Where the values are, so that they do not count as leaked.
static KEPT: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

struct Kept(#[expect(dead_code, reason = "holds the value")] *mut ());

// SAFETY: the pointer is never used.
unsafe impl Send for Kept {}

/// A value that lives as long as the program, and is found by what looks for leaks.
///
/// For allocators that borrow what they are over.
pub fn kept<T>(value: T) -> &'static mut T {
    let value = Box::into_raw(Box::new(value));
    let mut list = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    list.push(Kept(value.cast()));
    // SAFETY: the box was just given up, and nothing uses the pointer that is kept.
    unsafe { &mut *value }
}
