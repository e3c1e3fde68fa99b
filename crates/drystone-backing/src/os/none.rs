//! A target without pages to ask for: no mapping is ever made, and the constructors say so.

use core::ptr::NonNull;

use drystone_core::{Advice, OsError, Protection};

/// The code of `ENOMEM` on most systems, for injected faults.
#[cfg(feature = "testing")]
pub(super) const OUT_OF_MEMORY: i32 = 12;

/// The unit that sizes would be rounded to.
pub(super) fn page_size() -> usize {
    if cfg!(target_family = "wasm") {
        64 * 1024
    } else {
        4096
    }
}

/// Has no value.
#[derive(Debug)]
pub(crate) enum Mapping {}

impl Mapping {
    pub(super) fn new(_: usize, _: bool) -> Result<Self, OsError> {
        Err(OsError::Unsupported {
            what: "memory mapping",
        })
    }

    pub(super) fn new_huge(_: usize, _: u8) -> Result<Self, OsError> {
        Err(OsError::Unsupported {
            what: "explicit huge pages",
        })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        match *self {}
    }
}

/// # Safety
///
/// As [`populate`](super::populate).
pub(super) unsafe fn populate(_: NonNull<u8>, _: usize) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "population of pages",
    })
}

/// # Safety
///
/// As [`lock`](super::lock).
pub(super) unsafe fn lock(_: NonNull<u8>, _: usize) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "locked memory",
    })
}

/// # Safety
///
/// As [`protect`](super::protect).
pub(super) unsafe fn protect(_: NonNull<u8>, _: usize, _: Protection) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "page protection",
    })
}

/// # Safety
///
/// As [`release`](super::release).
pub(super) unsafe fn release(_: NonNull<u8>, _: usize) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "release of pages",
    })
}

/// # Safety
///
/// As [`advise`](super::advise).
pub(super) unsafe fn advise(_: NonNull<u8>, _: usize, advice: Advice) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: advice.name(),
    })
}

/// # Safety
///
/// As [`bind_node`](super::bind_node).
pub(super) unsafe fn bind_node(_: NonNull<u8>, _: usize, _: u32) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "NUMA binding",
    })
}

/// # Safety
///
/// As [`move_pages`](super::move_pages).
pub(super) unsafe fn move_pages(_: NonNull<u8>, _: NonNull<u8>, _: usize) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "moving pages",
    })
}
