//! [`Record`]: what every buffer with storage has: the count of its handles, and where it lies.

use core::ptr::NonNull;

use drystone_sync::atomic::AtomicUsize;

/// Who gets the storage back when the last handle goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The record is the head of a [`Slot`](crate::slot::Slot).
    Pooled,
    /// The record lies behind the bytes of an allocation of the global heap.
    Heap,
    /// The bytes belong to a value beside the record.
    External,
}

/// The head of every buffer's bookkeeping.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Record {
    /// The number of handles; 1 while the storage has no handle.
    pub(crate) refs: AtomicUsize,
    /// The first byte, with the provenance of all `capacity` bytes.
    pub(crate) base: NonNull<u8>,
    /// The bytes of storage.
    pub(crate) capacity: usize,
    pub(crate) kind: Kind,
}
