//! Pages of Windows.
//!
//! memmap2 maps a section backed by the paging file: all of it is committed, that is charged to
//! the commit limit, at once. The rest are calls of the memory API on its view.

use core::ffi::c_void;
use core::mem;
use core::ptr::NonNull;
use std::io;

use drystone_core::{Advice, OsError, Protection};
use memmap2::{MmapOptions, MmapRaw};
use windows_sys::Win32::System::Memory::{
    MEM_RESET, PAGE_NOACCESS, PAGE_READONLY, PAGE_READWRITE, VirtualAlloc, VirtualLock,
    VirtualProtect,
};
use windows_sys::Win32::System::SystemInformation::{GetSystemInfo, SYSTEM_INFO};

/// What the system says when it has no memory.
#[cfg(feature = "testing")]
pub(super) const OUT_OF_MEMORY: i32 =
    windows_sys::Win32::Foundation::ERROR_NOT_ENOUGH_MEMORY as i32;

pub(super) fn page_size() -> usize {
    // SAFETY: the structure holds integers and pointers, for which zero is a value.
    let mut info: SYSTEM_INFO = unsafe { mem::zeroed() };
    // SAFETY: the pointer is to a live structure of this type.
    unsafe { GetSystemInfo(&raw mut info) };
    info.dwPageSize as usize
}

/// A view of a section of the paging file, unmapped on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    pages: MmapRaw,
}

impl Mapping {
    pub(super) fn new(bytes: usize, no_reserve: bool) -> Result<Self, OsError> {
        if no_reserve {
            return Err(OsError::Unsupported {
                what: "mapping without a swap reservation",
            });
        }
        match MmapOptions::new().len(bytes).map_anon() {
            Ok(pages) => Ok(Self {
                pages: pages.into(),
            }),
            Err(error) => Err(refused("MapViewOfFile", &error)),
        }
    }

    pub(super) fn new_huge(_: usize, _: u8) -> Result<Self, OsError> {
        Err(OsError::Unsupported {
            what: "explicit huge pages",
        })
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        // SAFETY: a view is never at address 0.
        unsafe { NonNull::new_unchecked(self.pages.as_mut_ptr()) }
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
pub(super) unsafe fn lock(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    // SAFETY: whole pages of one view, by the caller's promise.
    let answer = unsafe { VirtualLock(pages.as_ptr().cast(), len) };
    if answer == 0 {
        return Err(refused("VirtualLock", &io::Error::last_os_error()));
    }
    Ok(())
}

/// # Safety
///
/// As [`protect`](super::protect).
pub(super) unsafe fn protect(
    pages: NonNull<u8>,
    len: usize,
    protection: Protection,
) -> Result<(), OsError> {
    if len == 0 {
        // The system refuses an empty range, in which there is nothing to change.
        return Ok(());
    }
    let protection = match protection {
        Protection::None => PAGE_NOACCESS,
        Protection::Read => PAGE_READONLY,
        Protection::ReadWrite => PAGE_READWRITE,
    };
    let start: *const c_void = pages.as_ptr().cast();
    let mut old = 0;
    // SAFETY: whole pages of one view, and nobody does what is forbidden, by the caller's promise;
    // `old` is a live integer of the right type.
    let answer = unsafe { VirtualProtect(start, len, protection, &raw mut old) };
    if answer == 0 {
        return Err(refused("VirtualProtect", &io::Error::last_os_error()));
    }
    Ok(())
}

/// # Safety
///
/// As [`release`](super::release).
pub(super) unsafe fn release(pages: NonNull<u8>, len: usize) -> Result<(), OsError> {
    if len == 0 {
        // As in `protect`.
        return Ok(());
    }
    let start: *const c_void = pages.as_ptr().cast();
    // SAFETY: whole pages of one view, whose content the caller gives up; a reset leaves them
    // committed and accessible.
    let answer = unsafe { VirtualAlloc(start, len, MEM_RESET, PAGE_READWRITE) };
    if answer.is_null() {
        return Err(refused("VirtualAlloc", &io::Error::last_os_error()));
    }
    Ok(())
}

/// # Safety
///
/// As [`advise`](super::advise).
pub(super) unsafe fn advise(_: NonNull<u8>, _: usize, advice: Advice) -> Result<(), OsError> {
    match advice {
        // The pages never had any other treatment.
        Advice::Normal => Ok(()),
        _ => Err(OsError::Unsupported {
            what: advice.name(),
        }),
    }
}

/// # Safety
///
/// As [`bind_node`](super::bind_node).
pub(super) unsafe fn bind_node(_: NonNull<u8>, _: usize, _: u32) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "NUMA binding of mapped pages",
    })
}

/// The refusal of a call.
fn refused(call: &'static str, error: &io::Error) -> OsError {
    OsError::Call {
        call,
        code: error.raw_os_error().unwrap_or_default(),
    }
}

/// # Safety
///
/// As [`move_pages`](super::move_pages).
pub(super) unsafe fn move_pages(_: NonNull<u8>, _: NonNull<u8>, _: usize) -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "moving pages",
    })
}
