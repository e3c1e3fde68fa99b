//! Heap memory that may be refused: what the standard library has for vectors only.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;

/// `count` values in a box; `None` if there is no memory.
pub(super) fn try_slice<T>(count: usize, make: impl FnMut() -> T) -> Option<Box<[T]>> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).ok()?;
    values.resize_with(count, make);
    Some(values.into_boxed_slice())
}

/// `value` on the heap, to be freed by [`free`]; `None` if there is no memory.
pub(super) fn try_leak<T>(value: T) -> Option<NonNull<T>> {
    let mut values = Vec::new();
    values.try_reserve_exact(1).ok()?;
    values.push(value);
    NonNull::new(Box::into_raw(values.into_boxed_slice()).cast::<T>())
}

/// Drops and frees a value.
///
/// # Safety
///
/// `value` comes from [`try_leak`], is not used any more, and is freed once.
pub(super) unsafe fn free<T>(value: NonNull<T>) {
    let value = NonNull::slice_from_raw_parts(value, 1);
    // SAFETY: the caller's promise; `try_leak` made it as a box of a slice of one.
    drop(unsafe { Box::from_raw(value.as_ptr()) });
}
