//! Adopted values: bytes that a `Vec<u8>`, `Bytes` or `BytesMut` brought with it.
//!
//! The value moves into a small box behind a [`Record`] and stays there until the last handle goes.
//! The bytes stay where they are.

use core::ptr::NonNull;

use crate::record::{Kind, Record};

/// A value that owns bytes, with their record.
#[derive(Debug)]
#[repr(C)]
struct Adopted<T> {
    head: Head,
    value: T,
}

/// What is the same whatever the value is.
#[derive(Debug)]
#[repr(C)]
struct Head {
    record: Record,
    /// Drops the box. Called with the pointer that [`adopt`] gave out.
    release: unsafe fn(NonNull<Record>),
}

/// Boxes `value`, which owns the `capacity` bytes at `base`, with a record of `kind`. The record has
/// no handle yet; its last one drops the value.
pub(crate) fn adopt<T: Send + Sync + 'static>(
    value: T,
    base: NonNull<u8>,
    capacity: usize,
    kind: Kind,
) -> NonNull<Record> {
    debug_assert!(matches!(kind, Kind::Adopted | Kind::Foreign));
    let adopted = Box::new(Adopted {
        head: Head {
            record: Record::new(base, capacity, kind),
            release: release_as::<T>,
        },
        value,
    });
    NonNull::from(Box::leak(adopted)).cast()
}

/// Drops the value of a record that [`adopt`] made.
///
/// # Safety
///
/// `record` is what [`adopt`] gave out, and its last handle is given up.
pub(crate) unsafe fn release(record: NonNull<Record>) {
    // SAFETY: the record is the head of an adopted value, which nobody else uses.
    let release = unsafe { record.cast::<Head>().as_ref() }.release;
    // SAFETY: the function that was stored with this record.
    unsafe { release(record) };
}

/// # Safety
///
/// As [`release`]; the value is a `T`.
unsafe fn release_as<T>(record: NonNull<Record>) {
    // SAFETY: the pointer of a box of this type, leaked by `adopt`, which nobody else uses.
    drop(unsafe { Box::from_raw(record.cast::<Adopted<T>>().as_ptr()) });
}

/// The value behind a record that [`adopt`] made.
///
/// # Safety
///
/// `record` is what [`adopt`] gave out for a `T`, and has a handle for as long as the answer is used.
#[cfg(feature = "bytes")]
pub(crate) unsafe fn value<'r, T>(record: NonNull<Record>) -> &'r T {
    // SAFETY: the record is the head of an `Adopted<T>`, which a handle keeps and nobody writes.
    &unsafe { record.cast::<Adopted<T>>().as_ref() }.value
}
