//! [`FixedRange`]: what a backing is.

use core::ptr::NonNull;

use crate::{AllocError, arith};

/// One contiguous range of bytes that belongs to whoever owns the value.
///
/// A backing is a `FixedRange`; a block layout takes one by value and cuts it. There is no impl
/// for `&B`, because two layouts over one range would hand out the same bytes from safe code;
/// [`Region::borrow`](crate::Region::borrow) lends a range exclusively instead.
///
/// # Safety
///
/// Layouts write through these answers, so the implementor promises:
///
/// - **L1** `base()`, `base_align()`, `align_offset(..)` and `commits_on_demand()` give the same
///   answers at every call until the value is moved; after a move `base()` may change unless the
///   type is [`StableAddress`](crate::StableAddress). `size()`, `keeps_base()`, the content of the
///   bytes, and what has been committed, stay the same across moves.
/// - **L2** `size() <= isize::MAX`, and `base() + size()` does not wrap. A size of 0 is allowed.
/// - **L3** All bytes of the range are valid for reads and writes, from any thread, after `commit`
///   where [`commits_on_demand`](FixedRange::commits_on_demand) says so, until the value is
///   dropped. They may be uninitialised.
/// - **L4** While the value lives nothing else reads or writes the range, and the methods here do
///   not invalidate pointers that earlier calls returned.
/// - **L5** `base()` carries provenance for the whole range.
/// - **L6** `base_align()` is a power of two that divides the address of `base()`, for the whole
///   life of the value and across its moves.
/// - **L7** Every method may be called from any thread, and by several at once, even where the
///   type is neither `Send` nor `Sync`.
/// - **L8** The provided methods mean what they say when they are overridden: `contains` answers
///   whether the address lies in `base() .. base() + size()`; `align_offset(offset, align)` answers
///   the smallest offset from `offset` on whose address is a multiple of `align`, now and after
///   every move; `Ok` from `commit` makes L3 true of its bytes from then on; where `keeps_base`
///   says yes, `base()` does not change when the value moves.
/// - **L9** No method unwinds, or calls anything that may use an allocator over this range.
pub unsafe trait FixedRange {
    /// The first byte.
    fn base(&self) -> NonNull<u8>;

    /// The length in bytes.
    fn size(&self) -> usize;

    /// The alignment of `base()` in bytes that is guaranteed across moves of the value.
    ///
    /// A range that never moves answers what its address really has.
    fn base_align(&self) -> usize;

    /// Whether `ptr` lies in the range. Uses the address only.
    #[inline]
    fn contains(&self, ptr: NonNull<u8>) -> bool {
        ptr.addr().get().wrapping_sub(self.base().addr().get()) < self.size()
    }

    /// Makes `offset .. offset + len` usable. Doing it again is harmless; nothing is ever
    /// uncommitted by it.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the range does not lie in `0 .. size()` or the system has no memory for
    /// it; the bytes must then not be used.
    #[inline]
    fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
        if arith::range_fits(offset, len, self.size()) {
            Ok(())
        } else {
            Err(AllocError)
        }
    }

    /// Whether [`commit`](FixedRange::commit) does anything, so that layouts must call it before
    /// they hand bytes out. A range that is usable from the start answers `false`.
    #[inline]
    fn commits_on_demand(&self) -> bool {
        true
    }

    /// Whether `base()` stays the same when the value moves, so that layouts may keep addresses
    /// where they would keep offsets, which saves a load and an addition.
    ///
    /// A [`StableAddress`](crate::StableAddress) range should override this with a constant `true`.
    #[inline]
    fn keeps_base(&self) -> bool {
        false
    }

    /// The smallest offset at or after `offset` at which a block of alignment `align` may start,
    /// and stay aligned if the value moves. It may lie beyond `size()`. `None` if there is none:
    /// the range can move and guarantees less than `align`, or the offset does not fit a `usize`.
    ///
    /// A [`StableAddress`](crate::StableAddress) range should override this by its address:
    /// [`arith::align_offset_at`] honours every alignment.
    #[inline]
    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        if align <= self.base_align() {
            arith::align_up(offset, align)
        } else {
            None
        }
    }
}
