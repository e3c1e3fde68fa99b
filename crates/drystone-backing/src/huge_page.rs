//! [`HugePageBacked`]: huge pages of the operating system, or none at all.
//!
//! # What
//!
//! A mapping of explicit huge pages, from the pool that the administrator sets aside. The system
//! reserves them when it maps, so every later touch succeeds; if the pool has too few, the mapping
//! is refused. For huge pages where the system finds some, see [`MmapFlags::huge_pages`].
//!
//! # Memory picture
//!
//! ```text
//!  base                                      base + size
//!  +--------------------+--------------------+
//!  |     huge page      |     huge page      |
//!  +--------------------+--------------------+
//! ```
//!
//! # Invariants
//!
//! - I1: `base` and `size` are multiples of the huge page.
//!
//! # Threads
//!
//! Send and Sync, as [`MmapBacked`](crate::MmapBacked).
//!
//! # Cost
//!
//! A system call to map, one to unmap, a page fault at the first touch of each huge page, which zeroes
//! it.
//!
//! [`MmapFlags::huge_pages`]: crate::MmapFlags::huge_pages

use core::ptr::NonNull;

use drystone_core::{Advice, FixedRange, OsBacked, OsError, Protection, StableAddress, arith};

use crate::page_range;
use crate::{BackingError, MmapBacked};

/// The huge page of x86-64, and of AArch64 with pages of 4 KiB.
const PAGE_BYTES: usize = 2 << 20;

/// Zero bytes in explicit huge pages, unmapped on drop. On Linux; elsewhere every constructor fails
/// with [`OsError::Unsupported`].
///
/// [`OsBacked`] counts in huge pages here. Kernels before 5.18 refuse `release`.
///
/// ```
/// use drystone_backing::HugePageBacked;
/// use drystone_core::FixedRange;
///
/// match HugePageBacked::new(3 << 20) {
///     Ok(pages) => assert_eq!(pages.size(), 4 << 20),
///     Err(error) => println!("no huge pages are set aside: {error}"),
/// }
/// ```
#[derive(Debug)]
pub struct HugePageBacked {
    pages: MmapBacked,
    page_bytes: usize,
}

impl HugePageBacked {
    /// At least `bytes` zero bytes, in whole huge pages of 2 MiB.
    ///
    /// # Errors
    ///
    /// [`BackingError`]: no bytes, more than `isize::MAX` bytes when rounded up, or a refusal of the
    /// system with its code: `ENOMEM` if too few huge pages are set aside, `EINVAL` or `ENOENT` if
    /// it has none of this size.
    pub fn new(bytes: usize) -> Result<Self, BackingError> {
        Self::with_page_bytes(bytes, PAGE_BYTES)
    }

    /// At least `bytes` zero bytes, in whole huge pages of `page_bytes`.
    ///
    /// # Errors
    ///
    /// As [`new`](HugePageBacked::new), and if `page_bytes` is not a power of two.
    pub fn with_page_bytes(bytes: usize, page_bytes: usize) -> Result<Self, BackingError> {
        if !page_bytes.is_power_of_two() {
            return Err(BackingError::Alignment { align: page_bytes });
        }
        let size = page_range::map_size(bytes, 1, page_bytes)?;
        // A power of two has fewer than 64 zeros behind its one.
        let page_bits = page_bytes.trailing_zeros() as u8;
        let pages = MmapBacked::map_huge(size.range_bytes, page_bits)?;
        let backing = Self { pages, page_bytes };
        backing.debug_assert_invariants();
        Ok(backing)
    }

    /// Refuses what is not whole huge pages.
    fn check(&self, offset: usize, len: usize) -> Result<(), OsError> {
        page_range::check(offset, len, self.pages.size(), self.page_bytes)
    }

    fn debug_assert_invariants(&self) {
        let base = self.pages.base().addr().get();
        debug_assert!(arith::is_aligned(base, self.page_bytes), "I1");
        debug_assert!(arith::is_aligned(self.pages.size(), self.page_bytes), "I1");
    }
}

// SAFETY: the range is that of the mapping, which keeps every law.
unsafe impl FixedRange for HugePageBacked {
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
unsafe impl StableAddress for HugePageBacked {}

// SAFETY: every range is checked against huge pages before the mapping is asked, which does what it
// promises.
unsafe impl OsBacked for HugePageBacked {
    fn page_size(&self) -> usize {
        self.page_bytes
    }

    unsafe fn release(&self, offset: usize, len: usize) -> Result<(), OsError> {
        self.check(offset, len)?;
        // SAFETY: the caller's requirements are the same.
        unsafe { self.pages.release(offset, len) }
    }

    unsafe fn protect(
        &self,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<(), OsError> {
        self.check(offset, len)?;
        // SAFETY: the caller's requirements are the same.
        unsafe { self.pages.protect(offset, len, protection) }
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), OsError> {
        self.check(offset, len)?;
        self.pages.advise(offset, len, advice)
    }

    fn bind_node(&self, offset: usize, len: usize, node: u32) -> Result<(), OsError> {
        self.check(offset, len)?;
        self.pages.bind_node(offset, len, node)
    }
}
