//! A bump arena: one cursor over one range, and scopes that rewind it.
//!
//! # What
//!
//! [`BumpArena`] cuts blocks off the front of a range, one after the other. A block costs an
//! addition and a comparison; freeing does nothing, except that the topmost block gives its space
//! back, grows and shrinks in place. [`Reset::reset`] frees everything at once. A [`Scope`] frees
//! what was allocated through it when it ends, also when it ends by a panic. Scopes nest, and
//! values of an outer scope stay usable while an inner one is open.
//!
//! **Destructor policy.** Values are never dropped by an arena or a scope: memory comes back, but
//! `Drop` does not run. A value that owns something outside the arena leaks it, unless it is
//! dropped by hand. Zero-sized values take no memory and are not dropped either.
//!
//! # Memory picture
//!
//! ```text
//!   base                cursor            limit               size
//!    |                     |                 |                  |
//!    v                     v                 v                  v
//!    +-------+--+----------+-----------------+------------------+
//!    | block |//| block    | free, committed | free             |
//!    +-------+--+----------+-----------------+------------------+
//!             ^ padding for the alignment of the next block
//! ```
//!
//! The arena keeps the cursor and the limit as *positions*: an anchor plus the offset, less one.
//! Where a range honours every alignment by its address, the anchor is the address of the base, so
//! that a position is the address of the last byte below the offset. Where a range may move, the
//! anchor is a constant, so that positions stay right when the range moves with the arena, and
//! alignments up to its [`base_align`](FixedRange::base_align) are served. Nothing is written into
//! the range by the arena. A range that ends in the last page (4 KiB) of the address space is used
//! up to there.
//!
//! # Invariants
//!
//! - **I1** In offsets, `0 <= cursor <= limit <= usable`; `usable` is `backing.size()`, less what
//!   lies in the last page of the address space. Before the first allocation both positions are 0.
//! - **I2** The bytes below `limit` are committed.
//! - **I3** Every live block lies below `cursor`, and no two overlap.
//! - **I4** The frame's `oldest_pin <= serial <= last_serial`.
//!
//! How [`Scope`]s keep I3 is shown in `docs/design/bump.md`.
//!
//! # Threads
//!
//! An arena belongs to one thread at a time: `Send` if the range is, never `Sync`. No call blocks.
//! A scope stays on the thread that opened it.
//!
//! # Cost
//!
//! Allocation: the cursor is loaded and rounded, one comparison with the limit decides, the
//! cursor is stored. The first allocation, one that needs memory to be committed, and one of more
//! than 4 KiB take an outlined path. A scope adds one comparison with the serial of the innermost
//! scope. Freeing, growing and shrinking compare the end of the block with the cursor. Opening and
//! closing a scope is a few stores. The arena itself takes 48 bytes beside the range on a 64-bit
//! target.

mod allocator;
mod contents;
mod frame;
mod inspect;
pub(crate) mod place;
mod scope;
pub(crate) mod typed;

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use drystone_core::{AllocError, FixedRange, NonZeroLayout, Reset, StableAddress};

use crate::AllocValueError;
use frame::Frame;
pub use scope::Scope;
use typed::safe_faces;

/// Hands out blocks of a range one after the other; see the [module](self).
///
/// The safe faces (`alloc` and its kin) bind each value to the borrow of the arena, so they work
/// over ranges that move too. Over a range that may move, an alignment above its
/// [`base_align`](FixedRange::base_align) is refused; borrowed as a
/// [`Region`](drystone_core::Region) the same range serves every alignment.
///
/// ```
/// use drystone_core::{HeapSegment, NonZeroLayout, Reset};
/// use drystone_layout::BumpArena;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<u64>(512).unwrap())?;
/// let mut arena = BumpArena::new(range);
/// for line in ["GET /", "GET /favicon"] {
///     let words = arena.alloc_slice_fill_with(2, |i| line.split(' ').nth(i));
///     assert_eq!(words[0], Some("GET"));
///     arena.reset();
/// }
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// A value cannot outlive the arena, or a reset of it:
///
/// ```compile_fail,E0502
/// # use drystone_core::{HeapSegment, NonZeroLayout, Reset};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let mut arena = BumpArena::new(range);
/// let value = arena.alloc(1);
/// arena.reset();
/// *value = 2;
/// ```
///
/// ```compile_fail,E0505
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let arena = BumpArena::new(range);
/// let value = arena.alloc(1);
/// let moved = arena;
/// *value = 2;
/// ```
///
/// Threads cannot share one:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::BumpArena;
/// fn shared<T: Sync>() {}
/// shared::<BumpArena<HeapSegment>>();
/// ```
pub struct BumpArena<B> {
    /// The position where the free bytes begin.
    cursor: Cell<usize>,
    /// The position up to which the fast path may hand out bytes.
    limit: Cell<usize>,
    /// The frame of the innermost open scope.
    frame: Cell<Frame>,
    /// The serial of the scope opened last. Never reused.
    last_serial: Cell<u64>,
    backing: B,
}

impl<B: FixedRange> BumpArena<B> {
    /// An arena over all of `backing`. Nothing is touched or committed before the first
    /// allocation.
    #[inline]
    pub const fn new(backing: B) -> Self {
        Self {
            cursor: Cell::new(place::NOTHING_COMMITTED),
            limit: Cell::new(place::NOTHING_COMMITTED),
            frame: Cell::new(Frame::idle(0)),
            last_serial: Cell::new(0),
            backing,
        }
    }

    safe_faces!();

    /// Opens a scope: what is allocated through it is freed when it is dropped.
    ///
    /// The arena itself cannot be used meanwhile. See [`Scope`].
    #[inline]
    pub fn scope(&mut self) -> Scope<'_, B> {
        // A scope that was forgotten may have left its frame; the exclusive borrow proves that it
        // is gone, and that all blocks that live are the arena's own.
        self.frame.set(Frame::idle(self.allocated_bytes()));
        Scope::open(self)
    }

    /// The range.
    ///
    /// Its methods describe it, and commit bytes or give advice about them; none reaches the
    /// bytes.
    #[inline]
    pub const fn backing(&self) -> &B {
        &self.backing
    }

    /// Ends the arena and gives the range back. Every block dies.
    #[inline]
    pub fn into_inner(self) -> B {
        self.backing
    }

    /// The bytes in use: live blocks, freed blocks that were not topmost, and padding.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        self.offset(self.cursor.get())
    }

    /// The bytes left, before padding.
    #[inline]
    pub fn remaining_bytes(&self) -> usize {
        self.usable_bytes() - self.allocated_bytes()
    }

    /// The bytes that can be handed out in all.
    #[inline]
    fn usable_bytes(&self) -> usize {
        place::usable_bytes(self.anchor(), self.backing.size())
    }

    /// A block of `layout`; never null. The `Option` around a raw pointer has a tag of its own,
    /// which the compiler follows from here into the caller; a `NonNull` it would test there.
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        let (size, align) = (layout.size().get(), layout.align().get());
        if self.aligns_by_position(align)
            && let Some((start, end)) =
                place::fast(self.cursor.get(), self.limit.get(), size, align)
        {
            self.cursor.set(end);
            return Some(self.at(start.wrapping_sub(self.anchor())).as_ptr());
        }
        self.take_slow(layout).ok().map(NonNull::as_ptr)
    }

    /// The offset of a block of `size` bytes, at most `isize::MAX`, that lies at least `gap` bytes
    /// above the cursor at a multiple of `align`. The bytes between are the caller's too.
    #[inline]
    pub(crate) fn take_after(&self, gap: usize, size: usize, align: usize) -> Option<usize> {
        if self.aligns_by_position(align)
            && let Some((start, end)) =
                place::fast_after(gap, self.cursor.get(), self.limit.get(), size, align)
        {
            self.cursor.set(end);
            return Some(start.wrapping_sub(self.anchor()));
        }
        self.take_after_slow(gap, size, align)
    }

    #[cold]
    #[inline(never)]
    fn take_after_slow(&self, gap: usize, size: usize, align: usize) -> Option<usize> {
        let from = self.allocated_bytes().checked_add(gap)?;
        let start = self.backing.align_offset(from, align)?;
        self.extend_to(start.checked_add(size)?).ok()?;
        Some(start)
    }

    /// A block of `layout`, which may be large, or need bytes that are not committed.
    #[cold]
    #[inline(never)]
    fn take_slow(&self, layout: NonZeroLayout) -> Result<NonNull<u8>, AllocError> {
        let (size, align) = (layout.size().get(), layout.align().get());
        let start = self
            .backing
            .align_offset(self.allocated_bytes(), align)
            .ok_or(AllocError)?;
        let end = start.checked_add(size).ok_or(AllocError)?;
        self.extend_to(end)?;
        Ok(self.at(start))
    }

    /// Moves the cursor up to the offset `end`, and commits the bytes below it. Changes nothing
    /// where it fails.
    #[inline]
    pub(crate) fn extend_to(&self, end: usize) -> Result<(), AllocError> {
        let usable = self.usable_bytes();
        if end > usable {
            return Err(AllocError);
        }
        let committed = self.offset(self.limit.get());
        if end > committed {
            let committed = self.commit(committed, end, usable)?;
            self.limit.set(place::position(self.anchor(), committed));
        }
        self.set_cursor(end);
        Ok(())
    }

    /// Commits the bytes from the offset `committed` to `end` or beyond; returns how far.
    fn commit(&self, committed: usize, end: usize, usable: usize) -> Result<usize, AllocError> {
        if !self.backing.commits_on_demand() {
            return Ok(usable);
        }
        let ahead = place::commit_target(end, usable);
        if self.backing.commit(committed, ahead - committed).is_ok() {
            return Ok(ahead);
        }
        self.backing.commit(committed, end - committed)?;
        Ok(end)
    }

    /// Moves the cursor to an offset that is at most `limit`.
    #[inline]
    pub(crate) fn set_cursor(&self, offset: usize) {
        self.cursor.set(place::position(self.anchor(), offset));
    }

    /// Moves the cursor down to an offset; it stays where it is while nothing is committed.
    #[inline]
    fn rewind(&self, offset: usize) {
        if self.limit.get() != place::NOTHING_COMMITTED {
            self.set_cursor(offset);
        }
    }

    /// The offset of a position.
    #[inline]
    fn offset(&self, position: usize) -> usize {
        place::offset(self.anchor(), position)
    }

    /// The position of offset 1: the address of the base, or a constant.
    #[inline(always)]
    fn anchor(&self) -> usize {
        if self.aligns_by_address() {
            self.backing.base().addr().get()
        } else {
            place::MOVABLE_ANCHOR
        }
    }

    /// Whether the range honours every alignment by its address, as one that cannot move does.
    /// A constant for the ranges that align with the help of `drystone_core::arith`.
    #[inline(always)]
    fn aligns_by_address(&self) -> bool {
        const ALIGN_MAX: usize = 1 << (usize::BITS - 1);
        self.backing.align_offset(0, ALIGN_MAX).is_some()
    }

    /// Whether a position that is a multiple of `align` is an aligned place, also after a move.
    #[inline(always)]
    fn aligns_by_position(&self, align: usize) -> bool {
        self.aligns_by_address() || align <= self.backing.base_align()
    }

    /// The pointer to an offset, with provenance for the whole range.
    #[inline]
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.backing.size());
        // SAFETY: every caller's offset is at most the size of the range (I1, I3), so the pointer
        // stays in it or one past it; sizes are at most `isize::MAX` and nothing wraps (L2, L5).
        unsafe { self.backing.base().add(offset) }
    }

    /// The offset of an address in the range.
    #[inline]
    pub(crate) fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        let base = self.backing.base().addr().get();
        ptr.addr().get().wrapping_sub(base)
    }

    /// Checks every invariant by number.
    ///
    /// # Panics
    ///
    /// In builds with debug assertions, if one does not hold.
    pub fn debug_assert_invariants(&self) {
        if cfg!(debug_assertions)
            && let Err(corruption) = self.check()
        {
            panic!("{corruption}");
        }
    }
}

impl<B: FixedRange> Reset for BumpArena<B> {
    #[inline]
    fn reset(&mut self) {
        self.rewind(0);
        self.frame.set(Frame::idle(0));
    }
}

// SAFETY: the blocks lie in the range, which stays in place when its value moves.
unsafe impl<B: FixedRange + StableAddress> StableAddress for BumpArena<B> {}

impl<B: FixedRange> fmt::Debug for BumpArena<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BumpArena")
            .field("allocated_bytes", &self.allocated_bytes())
            .field("remaining_bytes", &self.remaining_bytes())
            .finish_non_exhaustive()
    }
}
