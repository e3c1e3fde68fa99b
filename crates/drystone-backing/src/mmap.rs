//! [`MmapBacked`]: pages of the operating system.
//!
//! # What
//!
//! An anonymous private mapping: whole pages, zero at first, that get their memory when they are
//! touched and can give it back without being unmapped.
//!
//! # Memory picture
//!
//! ```text
//!  mapping (whole pages)
//!  +-----------+---------------------------------------+-----------+
//!  |  skipped  |            base .. base + size        |  skipped  |
//!  +-----------+---------------------------------------+-----------+
//!              ^ a multiple of the alignment
//! ```
//!
//! Nothing is skipped unless an alignment above the page was asked for. Skipped pages are never
//! touched, so they cost address space, and commit charge where the system counts it.
//!
//! # Invariants
//!
//! - I1: `base .. base + size` lies inside `mapping`.
//! - I2: `base` and `size` are multiples of the page size.
//! - I3: `mapping` is private, readable and writable, and nobody else has its address.
//!
//! # Threads
//!
//! Send and Sync: the methods describe the range, or ask the system about pages, which any thread
//! may do.
//!
//! # Cost
//!
//! A system call to map, one to unmap, a page fault at the first touch of each page.

use core::ptr::NonNull;

use drystone_core::{Advice, FixedRange, OsBacked, OsError, Protection, StableAddress, arith};

use crate::os::{self, Mapping};
use crate::page_range::{self, MapSize};
use crate::{BackingError, MmapFlags, page_size};

/// Zero pages of the operating system, unmapped on drop.
///
/// The size is rounded up to whole pages. The pages are readable and writable; the memory behind
/// them comes when they are first touched, unless [`MmapFlags::populate`] asks for it at once.
///
/// [`OsBacked`] by platform:
///
/// | | Linux, Android | macOS, the BSDs | Windows |
/// |---|---|---|---|
/// | `release` | zero afterwards, memory back at once | old bytes or zero, memory back under pressure | as macOS |
/// | `protect` | yes | yes | yes |
/// | `advise` | all | without huge pages; `DontDump` on FreeBSD and DragonFly | only `Normal` |
/// | `bind_node` | Linux | error | error |
///
/// On Windows the whole size is charged to the commit limit at once. On a target without such
/// calls every constructor fails with [`OsError::Unsupported`].
///
/// ```
/// use drystone_backing::{MmapBacked, page_size};
/// use drystone_core::{FixedRange, OsBacked};
///
/// let pages = MmapBacked::new(3 * page_size() - 1)?;
/// assert_eq!(pages.size(), 3 * page_size());
/// // SAFETY: nothing lives in the pages yet.
/// unsafe { pages.release(0, page_size()) }?;
/// # Ok::<(), drystone_backing::BackingError>(())
/// ```
#[derive(Debug)]
pub struct MmapBacked {
    base: NonNull<u8>,
    size: usize,
    mapping: Mapping,
}

// SAFETY: the mapping is owned exclusively (I3), like a `Box<[MaybeUninit<u8>]>`.
unsafe impl Send for MmapBacked {}
// SAFETY: through `&self` the immutable fields can be read and the system be asked about pages,
// which it allows from any thread.
unsafe impl Sync for MmapBacked {}

impl MmapBacked {
    /// At least `bytes` zero bytes, in whole pages.
    ///
    /// # Errors
    ///
    /// [`BackingError`]: no bytes, more than `isize::MAX` bytes when rounded up to pages, or a
    /// refusal of the system with its code.
    pub fn new(bytes: usize) -> Result<Self, BackingError> {
        Self::with_flags(bytes, MmapFlags::new())
    }

    /// At least `bytes` zero bytes, in whole pages, mapped as `flags` say.
    ///
    /// # Errors
    ///
    /// As [`new`](MmapBacked::new), and if the platform cannot honour a flag.
    pub fn with_flags(bytes: usize, flags: MmapFlags) -> Result<Self, BackingError> {
        Self::with_align(bytes, 1, flags)
    }

    /// At least `bytes` zero bytes, in whole pages, at a multiple of `align`.
    ///
    /// Above the page size, `align` less one page is mapped in addition and left untouched.
    ///
    /// # Errors
    ///
    /// As [`with_flags`](MmapBacked::with_flags), and if `align` is not a power of two.
    pub fn with_align(bytes: usize, align: usize, flags: MmapFlags) -> Result<Self, BackingError> {
        let size = page_range::map_size(bytes, align, page_size())?;
        Ok(Self::map(size, align, flags)?)
    }

    /// Maps `size` and takes the aligned range inside.
    fn map(size: MapSize, align: usize, flags: MmapFlags) -> Result<Self, OsError> {
        let mapping = os::map(size.mapped_bytes, flags.no_reserve)?;
        let start = mapping.base();
        let skipped = arith::padding(start.addr().get(), align);
        let backing = Self {
            // SAFETY: a mapping starts on a page border, so at most `align` less one page is
            // skipped, and `size.mapped_bytes` holds that beside the range. It is at most
            // `isize::MAX`, and a mapping does not reach the end of the address space.
            base: unsafe { start.add(skipped) },
            size: size.range_bytes,
            mapping,
        };
        backing.debug_assert_invariants(size.mapped_bytes, align);
        backing.apply(flags)?;
        Ok(backing)
    }

    /// Maps `bytes` of pages of `1 << page_bits` bytes, of which `bytes` is a multiple.
    pub(crate) fn map_huge(bytes: usize, page_bits: u8) -> Result<Self, OsError> {
        let mapping = os::map_huge(bytes, page_bits)?;
        let backing = Self {
            base: mapping.base(),
            size: bytes,
            mapping,
        };
        backing.debug_assert_invariants(bytes, 1 << page_bits);
        Ok(backing)
    }

    /// Keeps all pages in memory.
    pub(crate) fn lock(&self) -> Result<(), OsError> {
        // SAFETY: whole pages of this mapping (I1, I2).
        unsafe { os::lock(self.base, self.size) }
    }

    /// Applies what can be asked only after mapping. `populate` comes last, so that the memory is
    /// of the kind and from the node that was asked for.
    fn apply(&self, flags: MmapFlags) -> Result<(), OsError> {
        if let Some(node) = flags.node {
            self.bind_node(0, self.size, node)?;
        }
        if flags.huge_pages {
            self.advise(0, self.size, Advice::HugePages)?;
        }
        if flags.dont_dump {
            self.advise(0, self.size, Advice::DontDump)?;
        }
        if flags.populate {
            // SAFETY: the pages are this value's own (I1), writable (I3), and still zero: nobody
            // has had their address.
            unsafe { os::populate(self.base, self.size) }?;
        }
        Ok(())
    }

    /// Moves the content of pages of `from` over pages of this mapping, without copying it. The
    /// pages that it came from stay mapped; what they hold then is not specified.
    ///
    /// # Errors
    ///
    /// [`OsError`] if either is not whole pages of its range, or the system cannot move pages, as
    /// only Linux from 5.7 can; nothing has changed then but the content of the pages of this mapping.
    ///
    /// # Safety
    ///
    /// Nobody uses the pages of either mapping during the call, and nothing reads the pages of
    /// `from` afterwards before writing them.
    pub unsafe fn move_pages_from(
        &self,
        offset: usize,
        from: &Self,
        from_offset: usize,
        len: usize,
    ) -> Result<(), OsError> {
        let target = self.pages(offset, len)?;
        let origin = from.pages(from_offset, len)?;
        if core::ptr::eq(self, from) {
            return Err(OsError::Unsupported {
                what: "moving pages within a mapping",
            });
        }
        // SAFETY: whole pages of two live mappings; the rest is the caller's promise.
        unsafe { os::move_pages(origin, target, len) }
    }

    /// The start of `offset .. offset + len`, if that is whole pages inside the range.
    fn pages(&self, offset: usize, len: usize) -> Result<NonNull<u8>, OsError> {
        page_range::check(offset, len, self.size, page_size())?;
        // SAFETY: the offset is at most `size`, so the pointer stays in the mapping (I1).
        Ok(unsafe { self.base.add(offset) })
    }

    fn debug_assert_invariants(&self, mapped_bytes: usize, align: usize) {
        let start = self.mapping.base().addr().get();
        let base = self.base.addr().get();
        debug_assert!(start <= base, "I1");
        debug_assert!(base - start + self.size <= mapped_bytes, "I1");
        debug_assert!(arith::is_aligned(base, page_size()), "I2");
        debug_assert!(arith::is_aligned(self.size, page_size()), "I2");
        debug_assert!(arith::is_aligned(base, align));
    }
}

// SAFETY: the pages are exclusive, readable and writable until they are unmapped on drop (I1, I3:
// L3, L4), and only `protect` changes that, whose caller answers for it. The fields never change
// (L1, L7), the size is at most `isize::MAX` by the check at construction (L2), the pointer is the
// mapping's own (L5), and the alignment answered is that of the address (L6).
unsafe impl FixedRange for MmapBacked {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn size(&self) -> usize {
        self.size
    }

    #[inline]
    fn base_align(&self) -> usize {
        arith::natural_align(self.base.addr().get())
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
        arith::align_offset_at(self.base.addr().get(), offset, align)
    }
}

// SAFETY: moving the value does not move the mapping.
unsafe impl StableAddress for MmapBacked {}

// SAFETY: every range is checked before the system is asked, and each request is one call, which
// acts on exactly these pages or reports an error. Only `protect` takes access away.
unsafe impl OsBacked for MmapBacked {
    fn page_size(&self) -> usize {
        page_size()
    }

    unsafe fn release(&self, offset: usize, len: usize) -> Result<(), OsError> {
        let pages = self.pages(offset, len)?;
        // SAFETY: whole pages of this mapping; the caller promises that nothing in them will be
        // read again.
        unsafe { os::release(pages, len) }
    }

    unsafe fn protect(
        &self,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<(), OsError> {
        let pages = self.pages(offset, len)?;
        // SAFETY: whole pages of this mapping; the caller promises not to access them in the way
        // that is forbidden.
        unsafe { os::protect(pages, len, protection) }
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), OsError> {
        let pages = self.pages(offset, len)?;
        // SAFETY: whole pages of this mapping.
        unsafe { os::advise(pages, len, advice) }
    }

    fn bind_node(&self, offset: usize, len: usize, node: u32) -> Result<(), OsError> {
        let pages = self.pages(offset, len)?;
        // SAFETY: whole pages of this mapping.
        unsafe { os::bind_node(pages, len, node) }
    }
}
