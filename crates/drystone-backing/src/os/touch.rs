//! [`touch`]: gives pages their memory by writing to them, on any system.

use core::ptr::NonNull;

use super::page_size;

/// Writes a zero to the first byte of each page.
///
/// # Safety
///
/// `pages .. pages + len` are whole pages of one live mapping, writable, and still zero; nobody
/// else uses them.
pub(super) unsafe fn touch(pages: NonNull<u8>, len: usize) {
    for offset in (0..len).step_by(page_size()) {
        // SAFETY: the offset is less than `len`, which lies in the mapping.
        let page = unsafe { pages.add(offset) };
        // SAFETY: the byte is writable and nobody else uses it. Volatile, so that a write of what
        // is there already is not left out.
        unsafe { page.write_volatile(0) };
    }
}
