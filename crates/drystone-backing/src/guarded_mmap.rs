//! [`GuardedMmapBacked`]: pages between two that nobody may touch.
//!
//! # What
//!
//! A mapping with a page at each end that faults, so that an access that runs out of the range ends
//! the process instead of reaching a neighbour. The range is whole pages; a layout that uses less of it
//! has slack in front of the guard.
//!
//! # Memory picture
//!
//! ```text
//!             base                      base + size
//!  +-----------+-------------------------+-----------+
//!  | no access |          range          | no access |
//!  +-----------+-------------------------+-----------+
//!   one page            whole pages        one page
//! ```
//!
//! # Invariants
//!
//! - I1: the range is the mapping without its first and its last page.
//! - I2: those two pages are inaccessible as long as the value lives.
//!
//! # Threads
//!
//! Send and Sync, as [`MmapBacked`](crate::MmapBacked).
//!
//! # Cost
//!
//! Three system calls to make, one to drop. The guards take address space and no memory.

use core::ptr::NonNull;

use drystone_core::{Advice, FixedRange, OsBacked, OsError, Protection, StableAddress, arith};

use crate::page_range;
use crate::{BackingError, MmapBacked, page_size};

/// Zero pages with a page on each side that faults, unmapped on drop.
///
/// Where the platform cannot take access away from pages, the constructor fails.
///
/// ```
/// use drystone_backing::{GuardedMmapBacked, page_size};
/// use drystone_core::FixedRange;
///
/// # if cfg!(miri) { return Ok(()); } // It cannot take access away.
/// let pages = GuardedMmapBacked::new(2 * page_size() - 1)?;
/// assert_eq!(pages.size(), 2 * page_size());
/// # Ok::<(), drystone_backing::BackingError>(())
/// ```
#[derive(Debug)]
pub struct GuardedMmapBacked {
    pages: MmapBacked,
    page_bytes: usize,
}

impl GuardedMmapBacked {
    /// At least `bytes` zero bytes, in whole pages, between two guards.
    ///
    /// # Errors
    ///
    /// [`BackingError`]: no bytes, more than `isize::MAX` bytes with the guards, or a refusal of the
    /// system with its code.
    pub fn new(bytes: usize) -> Result<Self, BackingError> {
        let page = page_size();
        let mapped_bytes = page_range::guarded_size(bytes, page)?;
        let pages = MmapBacked::new(mapped_bytes)?;
        for guard in [0, pages.size() - page] {
            // SAFETY: nothing lies in the page, and the range leaves it out (I1).
            unsafe { pages.protect(guard, page, Protection::None) }?;
        }
        Ok(Self {
            pages,
            page_bytes: page,
        })
    }

    /// Where `offset` of the range lies in the mapping, if the pages are in the range (I2).
    fn within(&self, offset: usize, len: usize) -> Result<usize, OsError> {
        page_range::check(offset, len, self.size(), self.page_bytes)?;
        Ok(offset + self.page_bytes)
    }
}

// SAFETY: the range is pages of the mapping that no guard takes (I1), and the mapping keeps every law
// for those. The base is derived from the mapping's, and its alignment is that of its address.
unsafe impl FixedRange for GuardedMmapBacked {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        // SAFETY: the mapping has at least three pages.
        unsafe { self.pages.base().add(self.page_bytes) }
    }

    #[inline]
    fn size(&self) -> usize {
        self.pages.size() - 2 * self.page_bytes
    }

    #[inline]
    fn base_align(&self) -> usize {
        arith::natural_align(self.base().addr().get())
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
        arith::align_offset_at(self.base().addr().get(), offset, align)
    }
}

// SAFETY: moving the value does not move the mapping.
unsafe impl StableAddress for GuardedMmapBacked {}

// SAFETY: every request is checked against the range, which leaves the guards out, before the mapping
// is asked; the mapping does what it promises.
unsafe impl OsBacked for GuardedMmapBacked {
    fn page_size(&self) -> usize {
        self.page_bytes
    }

    unsafe fn release(&self, offset: usize, len: usize) -> Result<(), OsError> {
        let offset = self.within(offset, len)?;
        // SAFETY: the caller's requirements are the same, for the same pages.
        unsafe { self.pages.release(offset, len) }
    }

    unsafe fn protect(
        &self,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<(), OsError> {
        let offset = self.within(offset, len)?;
        // SAFETY: the caller's requirements are the same, for the same pages.
        unsafe { self.pages.protect(offset, len, protection) }
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), OsError> {
        let offset = self.within(offset, len)?;
        self.pages.advise(offset, len, advice)
    }

    fn bind_node(&self, offset: usize, len: usize, node: u32) -> Result<(), OsError> {
        let offset = self.within(offset, len)?;
        self.pages.bind_node(offset, len, node)
    }
}
