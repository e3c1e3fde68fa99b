//! [`Record`]: what every buffer with storage has: the count of its handles, and where it lies.
//!
//! # What
//!
//! The head of three kinds of bookkeeping. A handle knows a record and nothing of what follows it;
//! only giving the storage back looks at the [`Kind`].
//!
//! # Memory picture
//!
//! ```text
//!   Slot        [ Record │ class, region, link ]   ──base──> a slot of a region
//!   HeapRecord  [ bytes … │ Record │ segment, hook ]          base is the first of the bytes
//!   Adopted<T>  [ Record │ release │ value: T ]    ──base──> bytes that the value owns
//! ```
//!
//! # Invariants
//!
//! - I1: `refs` is the number of handles while there is one, and 1 while there is none. So a slot
//!   comes out of its pool ready, and the last handle has nothing to write.
//! - I2: `base` is valid for reads of `capacity` bytes for as long as the record has handles, and
//!   for writes unless the kind is [`Kind::Foreign`].
//! - I3: `base`, `capacity` and `kind` do not change while there is a handle.
//!
//! # Threads
//!
//! Handles on any threads. Sharing adds to the count with `Relaxed`: whoever shares has a handle,
//! so the storage cannot go meanwhile. Every handle that goes, goes with `Release`, and the one
//! that finds itself the last with `Acquire`: all use of the bytes happens before they go back.
//!
//! # Cost
//!
//! Sharing is one read-modify-write. Dropping the only handle is one load; dropping one of several
//! is one read-modify-write.

use core::ptr::NonNull;

use drystone_sync::atomic::{AtomicUsize, Ordering};

use crate::adopted;
use crate::heap_buffer;
use crate::slot::Slot;

/// Above this count the process ends: handles are being leaked, and a count that wraps would free
/// bytes that are in use. Half the range is left for threads that find out at the same time.
const REFS_MAX: usize = isize::MAX as usize;

/// Who gets the storage back when the last handle goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The record is the head of a [`Slot`](crate::slot::Slot).
    Pooled,
    /// The record lies behind the bytes of an allocation of the global heap.
    Heap,
    /// The bytes belong to a value beside the record, and to nobody else.
    Adopted,
    /// The bytes belong to a value beside the record, which may share them: they are never written.
    Foreign,
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

impl Record {
    /// The record of storage that has no handle yet.
    pub(crate) fn new(base: NonNull<u8>, capacity: usize, kind: Kind) -> Self {
        Self {
            refs: AtomicUsize::new(1),
            base,
            capacity,
            kind,
        }
    }

    /// The count alone: no reference to the record may be alive when another thread ends it.
    ///
    /// # Safety
    ///
    /// The record is live, and used through the answer only while it is.
    #[inline]
    unsafe fn refs<'r>(record: NonNull<Self>) -> &'r AtomicUsize {
        // SAFETY: live by the caller's promise; the count is an atomic, which may be shared.
        unsafe { &(*record.as_ptr()).refs }
    }

    /// Counts one more handle.
    ///
    /// # Safety
    ///
    /// The caller has a handle of the record.
    #[inline]
    pub(crate) unsafe fn share(record: NonNull<Self>) {
        // SAFETY: the caller's handle keeps the record.
        let refs = unsafe { Self::refs(record) };
        if refs.fetch_add(1, Ordering::Relaxed) > REFS_MAX {
            too_many_handles();
        }
    }

    /// Whether the caller's handle is the only one. If so, all that other handles did with the bytes
    /// happened before.
    ///
    /// # Safety
    ///
    /// The caller has a handle of the record.
    #[inline]
    pub(crate) unsafe fn is_unique(record: NonNull<Self>) -> bool {
        // SAFETY: the caller's handle keeps the record.
        let refs = unsafe { Self::refs(record) };
        // Acquire: pairs with the Release in `drop_one_of_several`.
        refs.load(Ordering::Acquire) == 1
    }

    /// Drops a handle. The last one gives the storage back.
    ///
    /// # Safety
    ///
    /// The caller has a handle of the record and gives it up.
    #[inline]
    pub(crate) unsafe fn drop_handle(record: NonNull<Self>) {
        // SAFETY: the caller has a handle.
        let unique = unsafe { Self::is_unique(record) };
        if unique {
            // SAFETY: the caller's is the only handle, and it is given up.
            unsafe { Self::release(record) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { Self::drop_one_of_several(record) };
        }
    }

    /// Drops a handle that had company when it looked. The company may be gone by now.
    ///
    /// # Safety
    ///
    /// As [`drop_handle`](Self::drop_handle).
    #[inline(never)]
    unsafe fn drop_one_of_several(record: NonNull<Self>) {
        // SAFETY: the caller's handle keeps the record until the count falls; after that the
        // reference is used only if the count says that nobody else has one.
        let refs = unsafe { Self::refs(record) };
        // Release: pairs with the Acquire below, and with the one in `is_unique`.
        if refs.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        // Acquire: reads the count written last, which every handle's Release has gone into. A load,
        // not a fence, so that ThreadSanitizer follows it.
        refs.load(Ordering::Acquire);
        // Relaxed (I1): nobody else has the record, and it changes hands by other orderings.
        refs.store(1, Ordering::Relaxed);
        // SAFETY: the count says that there is no other handle, and this one is given up.
        unsafe { Self::release(record) };
    }

    /// Gives the storage back.
    ///
    /// # Safety
    ///
    /// The caller has the only handle of the record and gives it up.
    #[inline]
    pub(crate) unsafe fn release(record: NonNull<Self>) {
        // SAFETY: the handle keeps the record, and nobody writes the field (I3).
        let kind = unsafe { record.as_ref() }.kind;
        if kind == Kind::Pooled {
            // SAFETY: by its kind the record is the head of a slot, given up by its last handle.
            unsafe { Slot::release(record.cast()) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { Self::release_unpooled(record, kind) };
        }
    }

    /// [`release`](Self::release), for storage that is no pool's.
    ///
    /// # Safety
    ///
    /// As [`release`](Self::release); `kind` is the record's, and not [`Kind::Pooled`].
    #[cold]
    unsafe fn release_unpooled(record: NonNull<Self>, kind: Kind) {
        if kind == Kind::Heap {
            // SAFETY: by its kind the record lies behind heap bytes; nobody else has a handle.
            unsafe { heap_buffer::free(record) };
        } else {
            // SAFETY: by its kind the record is the head of an adopted value; as above.
            unsafe { adopted::release(record) };
        }
    }
}

#[cold]
#[inline(never)]
fn too_many_handles() -> ! {
    std::process::abort()
}

#[cfg(all(test, not(loom), not(miri)))]
mod tests {
    use super::*;

    /// Tells the test, run again, that it is the process that ends.
    const CHILD: &str = "DRYSTONE_POOL_TEST_TOO_MANY_HANDLES";

    #[test]
    fn too_many_handles_end_the_process() {
        if std::env::var_os(CHILD).is_some() {
            share_once_more();
            return;
        }
        let this = std::env::current_exe().expect("the test program");
        let child = std::process::Command::new(this)
            .args(["--exact", "record::tests::too_many_handles_end_the_process"])
            .env(CHILD, "1")
            .output()
            .expect("the test program runs again");
        assert!(!child.status.success(), "{child:?}");
        #[cfg(unix)]
        {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(child.status.signal(), Some(6), "it aborts: {child:?}");
        }
    }

    fn share_once_more() {
        let record = Record::new(NonNull::dangling(), 0, Kind::Adopted);
        record.refs.store(REFS_MAX, Ordering::Relaxed);
        let record = NonNull::from(&record);
        // SAFETY: the record is on this stack; its handles are made up.
        unsafe { Record::share(record) };
        // SAFETY: as above. This one is too many.
        unsafe { Record::share(record) };
    }
}
