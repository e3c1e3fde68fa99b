//! Pages under Miri: blocks of the platform's allocator, so that Miri sees where each begins and
//! ends. What cannot be imitated truthfully is unsupported.

use core::ptr::NonNull;
use std::alloc::{GlobalAlloc, Layout, System};

use drystone_core::{Advice, OsError, Protection};

/// `ENOMEM`.
pub(crate) const OUT_OF_MEMORY: i32 = 12;

const PAGE_BYTES: usize = 4096;

pub(super) fn page_size() -> usize {
    PAGE_BYTES
}

/// One zeroed block, freed on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    // I1: `base` is a live block of `System`, allocated with `layout`.
    base: NonNull<u8>,
    layout: Layout,
}

impl Mapping {
    pub(super) fn new(bytes: usize, no_reserve: bool) -> Result<Self, OsError> {
        if no_reserve {
            return Err(OsError::Unsupported {
                what: "mapping without a swap reservation",
            });
        }
        let refused = OsError::Call {
            call: "mmap",
            code: OUT_OF_MEMORY,
        };
        debug_assert!(bytes > 0);
        let layout = Layout::from_size_align(bytes, PAGE_BYTES).map_err(|_| refused)?;
        // SAFETY: the caller maps at least a page.
        let base = unsafe { System.alloc_zeroed(layout) };
        let base = NonNull::new(base).ok_or(refused)?;
        Ok(Self { base, layout })
    }

    pub(super) fn new_huge(_: usize, _: u8) -> Result<Self, OsError> {
        Err(OsError::Unsupported {
            what: "explicit huge pages",
        })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: I1.
        unsafe { System.dealloc(self.base.as_ptr(), self.layout) };
    }
}

/// # Safety
///
/// As [`populate`](super::populate).
pub(super) unsafe fn populate(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: the caller's requirements are the same.
    unsafe { super::touch::touch(pages, len) };
    Ok(())
}

/// # Safety
///
/// As [`lock`](super::lock).
pub(super) unsafe fn lock(_: NonNull<u8>, _: usize) -> Result<(), OsError> {
    // Nothing moves to disk here.
    Ok(())
}

/// # Safety
///
/// As [`protect`](super::protect).
pub(super) unsafe fn protect(
    _: NonNull<u8>,
    _: usize,
    protection: Protection,
) -> Result<(), OsError> {
    match protection {
        Protection::ReadWrite => Ok(()),
        Protection::None | Protection::Read => Err(OsError::Unsupported {
            what: "page protection",
        }),
    }
}

/// # Safety
///
/// As [`release`](super::release).
pub(super) unsafe fn release(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: the pages are writable, and the caller promises that nothing in them will be read
    // again.
    unsafe { pages.write_bytes(0, len) };
    Ok(())
}

/// # Safety
///
/// As [`advise`](super::advise).
pub(super) unsafe fn advise(_: NonNull<u8>, _: usize, _: Advice) -> Result<(), OsError> {
    // Advice changes neither content nor access, which is all that Miri sees.
    Ok(())
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
pub(super) unsafe fn move_pages(
    from: NonNull<u8>,
    to: NonNull<u8>,
    len: usize,
) -> Result<(), OsError> {
    // SAFETY: both are live, apart from each other, and nobody else uses them.
    unsafe { to.copy_from_nonoverlapping(from, len) };
    Ok(())
}
