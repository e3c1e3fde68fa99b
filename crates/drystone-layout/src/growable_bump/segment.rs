//! [`Segment`]: a range of a growing arena, described at its own beginning.

use core::cell::Cell;
use core::ptr::NonNull;

use drystone_core::{AllocError, FixedRange, NonZeroLayout, StableAddress, arith};

use crate::bump::place;

/// What lies at the beginning of a segment.
pub(super) struct Header<R> {
    /// The segment after this one.
    next: Cell<Option<Segment<R>>>,
    /// Up to which offset blocks may lie, in a segment that is in use and not the current one.
    used: Cell<usize>,
    /// Up to which offset the bytes are committed.
    committed: Cell<usize>,
    /// The range that this header lies in.
    range: R,
}

/// A segment, by the address of its header. The arena that owns it frees it; until then it is
/// there.
pub(super) struct Segment<R> {
    header: NonNull<Header<R>>,
}

impl<R> Clone for Segment<R> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Segment<R> {}

impl<R> PartialEq for Segment<R> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.header == other.header
    }
}

impl<R: FixedRange + StableAddress> Segment<R> {
    /// The bytes that the header takes.
    pub(super) const HEADER_BYTES: usize = size_of::<Header<R>>();

    /// A layout with room for the header and a block of `layout`, and `bytes` long if that is more.
    pub(super) fn layout(layout: NonZeroLayout, bytes: usize) -> Option<NonZeroLayout> {
        let padding = layout.align().get() - 1;
        let least = layout.size().get().checked_add(padding)?;
        let least = least.checked_add(Self::HEADER_BYTES)?;
        NonZeroLayout::from_size_align(least.max(bytes), align_of::<Header<R>>()).ok()
    }

    /// Writes the header of a new segment, which `range` moves into.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the bytes of the header cannot be committed, or if the last page of the
    /// address space begins among them; the range is dropped.
    ///
    /// # Safety
    ///
    /// `range` is at least as long as a header, and its base aligned for one.
    pub(super) unsafe fn make(range: R) -> Result<Self, AllocError> {
        let base = range.base();
        let usable = place::usable_bytes(base.addr().get(), range.size());
        if usable < Self::HEADER_BYTES {
            return Err(AllocError);
        }
        let committed = if range.commits_on_demand() {
            range.commit(0, Self::HEADER_BYTES)?;
            Self::HEADER_BYTES
        } else {
            usable
        };
        let header = base.cast::<Header<R>>();
        let content = Header {
            next: Cell::new(None),
            used: Cell::new(Self::HEADER_BYTES),
            committed: Cell::new(committed),
            range,
        };
        // SAFETY: the caller says that the header fits and is aligned; its bytes are committed, and
        // belong to the range alone. The range is stable, so it may move into its own bytes.
        unsafe { header.write(content) };
        Ok(Self { header })
    }

    /// Takes the range out of its own bytes; dropping it frees them.
    ///
    /// # Safety
    ///
    /// No block of the segment is in use, and neither this handle nor a copy is used again.
    pub(super) unsafe fn into_range(self) -> R {
        // SAFETY: the header was written by `make`, and is not used again by the caller's promise.
        unsafe { self.header.read() }.range
    }

    #[inline]
    fn header(&self) -> &Header<R> {
        // SAFETY: the header was written by `make` and stays until `into_range`, which uses the
        // last handle; no block covers it; it is shared and changed through cells only.
        unsafe { self.header.as_ref() }
    }

    /// The link to the segment after this one.
    #[inline]
    pub(super) fn next(&self) -> &Cell<Option<Self>> {
        &self.header().next
    }

    /// Up to which offset blocks may lie, as of the segment's last turn.
    #[inline]
    pub(super) fn used(&self) -> usize {
        self.header().used.get()
    }

    #[inline]
    pub(super) fn set_used(&self, offset: usize) {
        self.header().used.set(offset);
    }

    /// Up to which offset the bytes are committed.
    #[inline]
    pub(super) fn committed(&self) -> usize {
        self.header().committed.get()
    }

    #[inline]
    pub(super) fn base(&self) -> NonNull<u8> {
        self.header().range.base()
    }

    #[inline]
    pub(super) fn address(&self) -> usize {
        self.header.addr().get()
    }

    /// The length of the range in bytes.
    #[inline]
    pub(super) fn size(&self) -> usize {
        self.header().range.size()
    }

    /// The bytes that may be used, the header among them.
    #[inline]
    pub(super) fn usable_bytes(&self) -> usize {
        place::usable_bytes(self.address(), self.size())
    }

    #[inline]
    pub(super) fn contains(&self, ptr: NonNull<u8>) -> bool {
        self.header().range.contains(ptr)
    }

    /// Where a block of `layout` lies at or after the offset `from`: its start and end.
    #[inline]
    pub(super) fn place(&self, from: usize, layout: NonZeroLayout) -> Option<(usize, usize)> {
        let start = arith::align_offset_at(self.address(), from, layout.align().get())?;
        let end = start.checked_add(layout.size().get())?;
        (end <= self.usable_bytes()).then_some((start, end))
    }

    /// Commits the bytes below the offset `end`, which is at most [`usable_bytes`].
    ///
    /// [`usable_bytes`]: Self::usable_bytes
    pub(super) fn commit(&self, end: usize) -> Result<(), AllocError> {
        let header = self.header();
        let committed = header.committed.get();
        if end <= committed {
            return Ok(());
        }
        let ahead = place::commit_target(end, self.usable_bytes());
        let reached = match header.range.commit(committed, ahead - committed) {
            Ok(()) => ahead,
            Err(AllocError) => {
                header.range.commit(committed, end - committed)?;
                end
            }
        };
        header.committed.set(reached);
        Ok(())
    }
}
