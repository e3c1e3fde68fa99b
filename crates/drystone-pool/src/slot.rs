//! [`Slot`]: the table entry of a pooled buffer.

use core::ptr::NonNull;

use crate::record::Record;

/// A slot's record, and what brings it home.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Slot {
    pub(crate) record: Record,
    /// The next slot of a chain of free ones; only who has the chain uses it.
    pub(crate) next: Option<NonNull<Slot>>,
}
