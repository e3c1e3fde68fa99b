//! [`LockedMmapBacked`]: pages that never leave memory, wiped at the end.
//!
//! # What
//!
//! A mapping for secrets: its pages are locked into memory, so that they are not written to swap,
//! left out of core dumps where the system can do that, and overwritten with zero before they are
//! unmapped. If they cannot be locked there is no mapping.
//!
//! # Memory picture
//!
//! That of [`MmapBacked`](crate::MmapBacked), every page with memory from the start.
//!
//! # Invariants
//!
//! - I1: all pages of the mapping are locked.
//! - I2: while `restricted` is false, all pages are writable.
//!
//! # Threads
//!
//! Send and Sync, as [`MmapBacked`](crate::MmapBacked).
//!
//! # Cost
//!
//! Three system calls to make and one to drop, two if access was taken away; all pages are touched in
//! both. The system limits how
//! much a process may lock: `RLIMIT_MEMLOCK` on Unix (8 MiB on a recent Linux), the minimum working set on
//! Windows.

use core::ptr::NonNull;

use drystone_core::{Advice, FixedRange, OsBacked, OsError, Protection, StableAddress};

use drystone_sync::atomic::{AtomicBool, Ordering};

use crate::{BackingError, MmapBacked};

/// Zero pages that are locked into memory, and wiped and unmapped on drop.
///
/// `release` is refused: it would take locked memory away. A child made by `fork` has a copy that is
/// not locked. The pages are wiped by the drop only; a process that is killed leaves that to the
/// kernel, which gives no page to anybody else before it is zero.
///
/// ```
/// use drystone_backing::LockedMmapBacked;
/// use drystone_core::FixedRange;
///
/// match LockedMmapBacked::new(100) {
///     Ok(secrets) => assert!(secrets.size() >= 100),
///     Err(error) => println!("no secrets then: {error}"),
/// }
/// ```
#[derive(Debug)]
pub struct LockedMmapBacked {
    pages: MmapBacked,
    dump_excluded: bool,
    /// Whether `protect` was ever asked.
    restricted: AtomicBool,
}

impl LockedMmapBacked {
    /// At least `bytes` zero bytes, in whole pages that are locked.
    ///
    /// # Errors
    ///
    /// [`BackingError`]: no bytes, more than `isize::MAX` bytes when rounded up to pages, or a
    /// refusal of the system with its code: `ENOMEM` or `EPERM` of `mlock` if the process may not lock
    /// so much.
    pub fn new(bytes: usize) -> Result<Self, BackingError> {
        let pages = MmapBacked::new(bytes)?;
        pages.lock()?;
        let dump_excluded = match pages.advise(0, pages.size(), Advice::DontDump) {
            Ok(()) => true,
            Err(OsError::Unsupported { .. }) => false,
            Err(refused) => return Err(refused.into()),
        };
        Ok(Self {
            pages,
            dump_excluded,
            restricted: AtomicBool::new(false),
        })
    }

    /// Overwrites every page with zero. Pages that stay without access are left to the kernel.
    fn wipe(&mut self) {
        let size = self.pages.size();
        // Relaxed: the exclusive borrow orders this.
        let writable = !self.restricted.load(Ordering::Relaxed)
            // SAFETY: allowing access forbids nothing.
            || unsafe { self.pages.protect(0, size, Protection::ReadWrite) }.is_ok();
        if writable {
            // SAFETY: the pages are this value's own and writable (I2), and the exclusive borrow says that
            // no layout uses them. The system is given their address when they are unmapped, so the
            // writes cannot be left out.
            unsafe { self.pages.base().write_bytes(0, size) };
        }
    }

    /// Whether the system leaves the pages out of core dumps: on Linux, Android, FreeBSD and
    /// DragonFly.
    #[must_use]
    pub const fn is_dump_excluded(&self) -> bool {
        self.dump_excluded
    }
}

impl Drop for LockedMmapBacked {
    fn drop(&mut self) {
        self.wipe();
    }
}

// SAFETY: the range is that of the mapping, which keeps every law.
unsafe impl FixedRange for LockedMmapBacked {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.pages.base()
    }

    #[inline]
    fn size(&self) -> usize {
        self.pages.size()
    }

    #[inline]
    fn base_align(&self) -> usize {
        self.pages.base_align()
    }

    #[inline]
    fn keeps_base(&self) -> bool {
        true
    }

    #[inline]
    fn commits_on_demand(&self) -> bool {
        false
    }

    #[inline]
    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        self.pages.align_offset(offset, align)
    }
}

// SAFETY: moving the value does not move the mapping.
unsafe impl StableAddress for LockedMmapBacked {}

// SAFETY: the mapping does what it promises, and a request that is not passed to it changes nothing.
unsafe impl OsBacked for LockedMmapBacked {
    fn page_size(&self) -> usize {
        self.pages.page_size()
    }

    /// Always refused.
    unsafe fn release(&self, _offset: usize, _len: usize) -> Result<(), OsError> {
        Err(OsError::Unsupported {
            what: "release of locked pages",
        })
    }

    unsafe fn protect(
        &self,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<(), OsError> {
        // Relaxed: whoever drops the value has it alone.
        self.restricted.store(true, Ordering::Relaxed);
        // SAFETY: the caller's requirements are the same.
        unsafe { self.pages.protect(offset, len, protection) }
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), OsError> {
        self.pages.advise(offset, len, advice)
    }

    fn bind_node(&self, offset: usize, len: usize, node: u32) -> Result<(), OsError> {
        self.pages.bind_node(offset, len, node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wipe_reaches_every_byte_whatever_the_protection() {
        let mut secrets = LockedMmapBacked::new(1).expect("a page may be locked");
        let size = secrets.size();
        // SAFETY: the pages are exclusive and writable.
        unsafe { secrets.base().write_bytes(0x5A, size) };
        #[cfg(not(miri))]
        // SAFETY: nothing writes to the pages until the wipe allows it.
        unsafe { secrets.protect(0, size, Protection::Read) }.expect("known");
        secrets.wipe();
        for offset in 0..size {
            // SAFETY: the offset lies in the range.
            let byte = unsafe { secrets.base().add(offset) };
            // SAFETY: mapped pages are initialised.
            assert_eq!(unsafe { byte.read() }, 0, "byte {offset}");
        }
    }
}
