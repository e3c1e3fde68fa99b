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
//! The arena keeps offsets from the base, so it may move together with a range that it holds by
//! value; blocks die by such a move, unless the range is [`StableAddress`]. Nothing is written
//! into the range by the arena.
//!
//! # Invariants
//!
//! - **I1** `cursor <= limit <= backing.size()`.
//! - **I2** The bytes below `limit` are committed.
//! - **I3** Every live block lies in `0 .. cursor`, and no two overlap.
//! - **I4** The frame's `oldest_pin <= serial <= last_serial`, and its `floor <= limit`.
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
//! Allocation: the cursor and the limit are loaded, one branch decides, the cursor is stored. The
//! first allocation, and each that needs memory to be committed, takes an outlined path. A scope
//! adds one comparison with the serial of the innermost scope. Freeing, growing and shrinking
//! compare the end of the block with the cursor. Opening and closing a scope is a few stores.
//! The arena itself needs seven words of 64 bits beside the range.

mod allocator;
mod frame;
mod inspect;
mod place;
mod scope;
mod typed;

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
    cursor: Cell<usize>,
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
            cursor: Cell::new(0),
            limit: Cell::new(0),
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
        self.frame.set(Frame::idle(self.cursor.get()));
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
        self.cursor.get()
    }

    /// The bytes left, before padding.
    #[inline]
    pub fn remaining_bytes(&self) -> usize {
        self.backing.size() - self.cursor.get()
    }

    /// A block of `layout`.
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Result<NonNull<u8>, AllocError> {
        let (size, align) = (layout.size().get(), layout.align().get());
        if let Some(start) = self.backing.align_offset(self.cursor.get(), align)
            && let Some(end) = place::end_within(start, size, self.limit.get())
        {
            self.cursor.set(end);
            return Ok(self.at(start));
        }
        self.take_uncommitted(layout)
    }

    /// A block of `layout` that may end above `limit`.
    #[cold]
    #[inline(never)]
    fn take_uncommitted(&self, layout: NonZeroLayout) -> Result<NonNull<u8>, AllocError> {
        let (size, align) = (layout.size().get(), layout.align().get());
        let start = self
            .backing
            .align_offset(self.cursor.get(), align)
            .ok_or(AllocError)?;
        let end = place::end_within(start, size, self.backing.size()).ok_or(AllocError)?;
        self.commit(end)?;
        self.cursor.set(end);
        Ok(self.at(start))
    }

    /// Raises `limit` to `end` or above. `end` is at most the size of the range.
    #[cold]
    fn commit(&self, end: usize) -> Result<(), AllocError> {
        let (limit, size) = (self.limit.get(), self.backing.size());
        if end <= limit {
            return Ok(());
        }
        if !self.backing.commits_on_demand() {
            self.limit.set(size);
            return Ok(());
        }
        let ahead = place::commit_target(end, size);
        if self.backing.commit(limit, ahead - limit).is_ok() {
            self.limit.set(ahead);
            return Ok(());
        }
        self.backing.commit(limit, end - limit)?;
        self.limit.set(end);
        Ok(())
    }

    /// The pointer to `offset`, with provenance for the whole range.
    #[inline]
    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.backing.size());
        // SAFETY: every caller's offset is at most the size of the range (I1, I3), so the pointer
        // stays in it or one past it; sizes are at most `isize::MAX` and nothing wraps (L2, L5).
        unsafe { self.backing.base().add(offset) }
    }

    /// The offset of an address in the range.
    #[inline]
    fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr()
            .get()
            .wrapping_sub(self.backing.base().addr().get())
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
        self.cursor.set(0);
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
