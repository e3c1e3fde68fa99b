//! [`UniqueOwner`] and [`SharedOwner`]: what a view holds of its storage.
//!
//! The counting is here and nowhere else: views move these values about and are safe code as far as
//! ownership goes. Both are one word, and empty for views whose bytes need no keeping (static ones,
//! and none at all).

#[cfg(all(test, loom))]
mod models;

use core::mem;
use core::ptr::NonNull;

use crate::record::{Kind, Record};

/// The only handle of a storage that may be written; or of none.
#[derive(Debug, Default)]
pub(crate) struct UniqueOwner {
    // I1: the record counts one handle, this one, and its bytes may be written.
    record: Option<NonNull<Record>>,
}

/// One of the handles of a storage; or of none.
#[derive(Debug, Default)]
pub(crate) struct SharedOwner {
    // I1: the record counts this handle.
    record: Option<NonNull<Record>>,
}

impl UniqueOwner {
    /// The handle of a record that has none.
    ///
    /// # Safety
    ///
    /// The record is live, nobody else has a handle of it or makes one, its kind is not
    /// [`Kind::Foreign`], and `record` may be used for all of the bookkeeping that it is the head of.
    #[inline]
    pub(crate) unsafe fn new(record: NonNull<Record>) -> Self {
        // SAFETY: the caller has the only handle, this one.
        debug_assert!(unsafe { Record::is_unique(record) }, "a count rests at 1");
        Self {
            record: Some(record),
        }
    }

    #[inline]
    pub(crate) fn record(&self) -> Option<NonNull<Record>> {
        self.record
    }

    /// The storage's kind; `None` without storage.
    #[inline]
    pub(crate) fn kind(&self) -> Option<Kind> {
        // SAFETY: this handle keeps the record (I1), and nobody writes the field.
        self.record.map(|record| unsafe { record.as_ref() }.kind)
    }

    /// One past the last byte of the storage; `None` without storage.
    #[inline]
    pub(crate) fn storage_end(&self) -> Option<NonNull<u8>> {
        let record = self.record?;
        // SAFETY: this handle keeps the record (I1), and nobody writes the fields.
        let record = unsafe { record.as_ref() };
        // SAFETY: `base` is the first of `capacity` bytes of one allocation.
        Some(unsafe { record.base.add(record.capacity) })
    }

    /// The same handle, which may now be shared.
    #[inline]
    pub(crate) fn into_shared(self) -> SharedOwner {
        let record = self.record;
        mem::forget(self);
        SharedOwner { record }
    }
}

impl Drop for UniqueOwner {
    #[inline]
    fn drop(&mut self) {
        if let Some(record) = self.record {
            // SAFETY: the only handle (I1), given up.
            unsafe { Record::release(record) };
        }
    }
}

impl SharedOwner {
    /// The first handle of a record that has none.
    ///
    /// # Safety
    ///
    /// As [`UniqueOwner::new`], but the kind may be any.
    #[cfg(feature = "bytes")]
    #[inline]
    pub(crate) unsafe fn new(record: NonNull<Record>) -> Self {
        Self {
            record: Some(record),
        }
    }

    #[inline]
    pub(crate) fn record(&self) -> Option<NonNull<Record>> {
        self.record
    }

    /// The storage's kind; `None` without storage.
    #[inline]
    pub(crate) fn kind(&self) -> Option<Kind> {
        // SAFETY: this handle keeps the record (I1), and nobody writes the field.
        self.record.map(|record| unsafe { record.as_ref() }.kind)
    }

    /// How many bytes of storage the handle keeps; 0 without storage.
    #[inline]
    pub(crate) fn storage_bytes(&self) -> usize {
        // SAFETY: this handle keeps the record (I1), and nobody writes the field.
        self.record
            .map_or(0, |record| unsafe { record.as_ref() }.capacity)
    }

    /// The handle as the only one, if it is and the bytes may be written; else itself.
    #[inline]
    pub(crate) fn try_into_unique(self) -> Result<UniqueOwner, Self> {
        let Some(record) = self.record else {
            return Ok(UniqueOwner::default());
        };
        if self.kind() == Some(Kind::Foreign) {
            return Err(self);
        }
        // SAFETY: this is a handle of the record.
        if !unsafe { Record::is_unique(record) } {
            return Err(self);
        }
        mem::forget(self);
        Ok(UniqueOwner {
            record: Some(record),
        })
    }
}

impl Clone for SharedOwner {
    #[inline]
    fn clone(&self) -> Self {
        if let Some(record) = self.record {
            // SAFETY: this is a handle of the record.
            unsafe { Record::share(record) };
        }
        Self {
            record: self.record,
        }
    }
}

impl Drop for SharedOwner {
    #[inline]
    fn drop(&mut self) {
        if let Some(record) = self.record {
            // SAFETY: this is a handle of the record, given up.
            unsafe { Record::drop_handle(record) };
        }
    }
}

// SAFETY: the count is atomic, and the storage may be given back on any thread: pools and the
// heap take it there, and adopted values are `Send`.
unsafe impl Send for UniqueOwner {}
// SAFETY: a shared reference reads fields that nobody writes.
unsafe impl Sync for UniqueOwner {}
// SAFETY: as for `UniqueOwner`; adopted values are also `Sync`, for handles read them on any thread.
unsafe impl Send for SharedOwner {}
// SAFETY: as above; sharing the handle is an atomic count.
unsafe impl Sync for SharedOwner {}
