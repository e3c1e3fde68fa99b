//! A bump arena that threads share: one atomic cursor over one range.
//!
//! # What
//!
//! [`SharedBumpArena`] is [`BumpArena`](crate::BumpArena) for several threads: any of them cuts
//! blocks off the front of the range through `&self`. The topmost block can be freed, grown and
//! shrunk in place by whoever owns it; freeing another does nothing. [`Reset::reset`], which takes
//! `&mut self`, frees everything at once. It has no scopes: a rewind would free blocks that other
//! threads took meanwhile.
//!
//! **Destructor policy.** Values are never dropped: memory comes back, but `Drop` does not run.
//!
//! # Memory picture
//!
//! ```text
//!   base                cursor            committed          size
//!    |                     |                 |                 |
//!    v                     v                 v                 v
//!    +-------+--+----------+-----------------+-----------------+
//!    | block |//| block    | free, committed | free            |
//!    +-------+--+----------+-----------------+-----------------+
//!             ^ padding for the alignment of the next block
//! ```
//!
//! Cursor and commit mark are offsets, so they stay right when the range moves with the arena.
//! They lie on cache lines of their own. `committed` is in use only over a range that commits on
//! demand; over any other all bytes count as committed.
//!
//! # Invariants
//!
//! - **I1** `cursor <= size`, and the bytes below `cursor` are committed.
//! - **I2** The bytes below `committed` are committed, and whoever reads the mark may use them: the
//!   commit happens before the mark is raised. The mark never falls.
//! - **I3** Every live block lies below `cursor`, and no two overlap. Each byte is handed out by one
//!   successful compare-and-swap of the cursor.
//!
//! # Threads
//!
//! Every call but `reset` from any thread at once. No call blocks: a failed compare-and-swap means
//! that another thread's succeeded. A thread that dies leaves nothing behind but its blocks. Two
//! threads that need memory committed at the same time may commit it twice, which is harmless.
//!
//! # Cost
//!
//! Allocation: the cursor is loaded, rounded by the range, compared with the size or the mark, and
//! swapped; in one thread the swap is nearly all of it. Freeing, growing and shrinking the topmost
//! block is one compare-and-swap each. 256 bytes beside the range where cache lines are 128.

mod contents;
mod inspect;
#[cfg(all(test, loom))]
mod models;

use core::fmt;
use core::ptr::{self, NonNull};

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns, Reset, StableAddress,
};
use drystone_sync::CachePadded;
use drystone_sync::atomic::{AtomicUsize, Ordering};

use crate::AllocValueError;
use crate::bump::place;
use crate::bump::typed::{self, Take, safe_faces};

/// Hands out blocks of a range to any thread, one after the other; see the [module](self).
///
/// The safe faces (`alloc` and its kin) bind each value to the borrow of the arena, so they work
/// over ranges that move too. Over a range that may move, an alignment above its
/// [`base_align`](FixedRange::base_align) is refused.
///
/// ```
/// # #[cfg(not(loom))] {
/// use std::thread;
/// use drystone_core::{HeapSegment, NonZeroLayout};
/// use drystone_layout::SharedBumpArena;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<u64>(512).unwrap()).unwrap();
/// let arena = SharedBumpArena::new(range);
/// let [left, right] = thread::scope(|scope| {
///     ["left", "right"]
///         .map(|side| scope.spawn(|| arena.alloc_str(side)))
///         .map(|thread| thread.join().unwrap())
/// });
/// left.make_ascii_uppercase();
/// assert_eq!((&*left, &*right), ("LEFT", "right"));
/// # }
/// ```
///
/// A value cannot outlive a reset:
///
/// ```compile_fail,E0502
/// # use drystone_core::{HeapSegment, NonZeroLayout, Reset};
/// # use drystone_layout::SharedBumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let mut arena = SharedBumpArena::new(range);
/// let value = arena.alloc(1);
/// arena.reset();
/// *value = 2;
/// ```
///
/// A value that stays on its thread stays there, wherever its bytes lie:
///
/// ```compile_fail,E0277
/// # use std::cell::Cell;
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::SharedBumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let arena = SharedBumpArena::new(range);
/// let shared: &Cell<u8> = arena.alloc(Cell::new(1));
/// std::thread::scope(|scope| scope.spawn(|| shared.set(2)));
/// ```
pub struct SharedBumpArena<B> {
    marks: CachePadded<Marks>,
    backing: B,
}

/// How far the range is used and usable, in bytes from its base.
struct Marks {
    cursor: AtomicUsize,
    /// I2; 0 where the range does not commit on demand.
    committed: AtomicUsize,
}

impl<B> SharedBumpArena<B> {
    /// An arena over all of `backing`. Nothing is touched or committed before the first allocation.
    #[cfg(not(loom))]
    #[inline]
    pub const fn new(backing: B) -> Self {
        Self {
            marks: CachePadded::new(Marks {
                cursor: AtomicUsize::new(0),
                committed: AtomicUsize::new(0),
            }),
            backing,
        }
    }

    /// An arena over all of `backing`.
    #[cfg(loom)]
    pub fn new(backing: B) -> Self {
        Self {
            marks: CachePadded::new(Marks {
                cursor: AtomicUsize::new(0),
                committed: AtomicUsize::new(0),
            }),
            backing,
        }
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

    /// The bytes in use: live blocks, freed blocks that were not topmost, and padding. Other
    /// threads may change it at any time.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        // Relaxed: a figure, from which nothing follows.
        self.marks.cursor.load(Ordering::Relaxed)
    }
}

impl<B: FixedRange> SharedBumpArena<B> {
    safe_faces!();

    /// The bytes left, before padding. Other threads may change it at any time.
    #[inline]
    pub fn remaining_bytes(&self) -> usize {
        self.backing.size() - self.allocated_bytes()
    }

    /// A block of `layout`; never null.
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        let (size, align) = (layout.size().get(), layout.align().get());
        // Relaxed: only a guess, which the compare-and-swap checks.
        let mut cursor = self.marks.cursor.load(Ordering::Relaxed);
        loop {
            let start = self.backing.align_offset(cursor, align)?;
            let end = start.checked_add(size)?;
            if !self.is_ready(end) {
                self.commit(end)?;
            }
            match self.raise(cursor, end) {
                Ok(()) => return Some(self.at(start).as_ptr()),
                Err(now) => cursor = now,
            }
        }
    }

    /// Moves the cursor up from `from` to `to`, if it is at `from`; else says where it is. The
    /// bytes below `to` are committed.
    #[inline]
    fn raise(&self, from: usize, to: usize) -> Result<(), usize> {
        debug_assert!(from <= to && to <= self.backing.size());
        // Acquire: pairs with the Release in `lower`, so that what the last owner of the bytes did
        // happens before what the new one does. Failure: Relaxed, a guess as at the start.
        let cursor = &self.marks.cursor;
        cursor
            .compare_exchange_weak(from, to, Ordering::Acquire, Ordering::Relaxed)
            .map(drop)
    }

    /// Moves the cursor down from `from` to `to`, if it is at `from`, and says whether it was.
    #[inline]
    fn lower(&self, from: usize, to: usize) -> bool {
        debug_assert!(to <= from);
        // Release: pairs with the Acquire in `raise` of whoever gets these bytes next; later
        // swaps of the cursor carry it on. Failure: nothing is read.
        let cursor = &self.marks.cursor;
        cursor
            .compare_exchange(from, to, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// Whether the bytes below `end` are in the range and committed.
    #[inline]
    fn is_ready(&self, end: usize) -> bool {
        if self.backing.commits_on_demand() {
            // Acquire: pairs with the Release in `commit`, so that the commit happens before any
            // use of the bytes.
            end <= self.marks.committed.load(Ordering::Acquire)
        } else {
            end <= self.backing.size()
        }
    }

    /// Commits the bytes below `end`, which are not all ready. `None` where they do not lie in the
    /// range, or there is no memory for them.
    #[cold]
    #[inline(never)]
    fn commit(&self, end: usize) -> Option<()> {
        let size = self.backing.size();
        if end > size {
            return None;
        }
        // Acquire: as in `is_ready`. The bytes below the mark are then committed for this thread,
        // so the mark that it sets vouches for all bytes below.
        let committed = self.marks.committed.load(Ordering::Acquire);
        if end <= committed {
            return Some(());
        }
        let ahead = place::commit_target(end, size);
        let reached = match self.backing.commit(committed, ahead - committed) {
            Ok(()) => ahead,
            Err(AllocError) => {
                self.backing.commit(committed, end - committed).ok()?;
                end
            }
        };
        // Release: pairs with the Acquire loads here and in `is_ready`. A maximum, because another
        // thread may have raised the mark further.
        let mark = &self.marks.committed;
        mark.fetch_max(reached, Ordering::Release);
        Some(())
    }

    /// The pointer to an offset, with provenance for the whole range.
    #[inline]
    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.backing.size());
        // SAFETY: every caller's offset is at most the size of the range (I1), so the pointer
        // stays in it or one past it; sizes are at most `isize::MAX` and nothing wraps (L2, L5).
        unsafe { self.backing.base().add(offset) }
    }

    /// Where a live block of `size` bytes starts and ends.
    #[inline]
    fn locate(&self, ptr: NonNull<u8>, size: usize) -> (usize, usize) {
        let base = self.backing.base().addr().get();
        let offset = ptr.addr().get().wrapping_sub(base);
        debug_assert!(offset <= self.allocated_bytes());
        // Wraps for a pointer that is not ours; that call was a breach of the contract.
        (offset, offset.wrapping_add(size))
    }

    /// Whether the block at `offset` has the alignment of `layout`, for as long as it lives.
    #[inline]
    fn is_aligned(&self, offset: usize, layout: NonZeroLayout) -> bool {
        self.backing.align_offset(offset, layout.align().get()) == Some(offset)
    }

    /// Grows a block to `new` where it lies. `None` if it is not topmost, there is no room, or its
    /// place has not the alignment of `new`.
    #[inline]
    fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Option<NonNull<[u8]>> {
        let (offset, old_end) = self.locate(ptr, old.size().get());
        let end = offset.checked_add(new.size().get())?;
        // Relaxed: spares commits for a block that is not topmost; the swap decides.
        let cursor = self.marks.cursor.load(Ordering::Relaxed);
        if cursor != old_end || !self.is_aligned(offset, new) {
            return None;
        }
        if !self.is_ready(end) {
            self.commit(end)?;
        }
        while let Err(now) = self.raise(old_end, end) {
            // A weak swap may fail for no reason; the block is topmost while the cursor is at its
            // end.
            if now != old_end {
                return None;
            }
        }
        let size = new.size().get();
        Some(NonNull::slice_from_raw_parts(self.at(offset), size))
    }

    /// A new block of `new` with the first `kept` bytes of the block at `ptr`, whose space stays
    /// where it is until a reset.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block of this arena of at least `kept` bytes, and `kept <= new.size()`.
    unsafe fn relocate(
        &self,
        ptr: NonNull<u8>,
        new: NonZeroLayout,
        kept: usize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(new)?;
        let (offset, _) = self.locate(ptr, kept);
        let old = self.at(offset);
        // SAFETY: both hold at least `kept` bytes by the caller's promise; the new block overlaps
        // no live one; bytes have no alignment and may be uninitialised in an untyped copy.
        unsafe { ptr::copy_nonoverlapping(old.as_ptr(), block.as_ptr().cast::<u8>(), kept) };
        Ok(block)
    }

    /// Checks every invariant by number.
    ///
    /// # Panics
    ///
    /// In builds with debug assertions, if one does not hold.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.check().err(), None);
    }
}

// SAFETY: never unwinds; uses the pointer for its address only. The cursor is at the block's end
// only if no live block lies above it (I3), so its space is free from the swap on; the swap orders
// the call before every later block there. Any other block stays as it is.
unsafe impl<B: FixedRange> Deallocator for SharedBumpArena<B> {
    /// Gives the space of the topmost block back; nothing for any other.
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let (offset, end) = self.locate(ptr, layout.size().get());
        self.lower(end, offset);
    }
}

// SAFETY: a block starts at an offset that the range aligned, is as long as asked, and lies between
// two values of the cursor that one swap joined (I3), in committed bytes (I1, I2). It dies by
// deallocation, reset, drop, or a move of the arena if the range moves. Nothing unwinds, prints or
// allocates elsewhere.
unsafe impl<B: FixedRange> Allocator for SharedBumpArena<B> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.take(layout).ok_or(AllocError)?;
        // SAFETY: `take` returns no null pointer.
        let block = unsafe { NonNull::new_unchecked(block) };
        Ok(NonNull::slice_from_raw_parts(block, layout.size().get()))
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        match self.grow_in_place(ptr, old, new) {
            Some(block) => Ok(block),
            // SAFETY: the block is live with `old.size()` bytes, and `new` is not smaller.
            None => unsafe { self.relocate(ptr, new, old.size().get()) },
        }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        let (offset, end) = self.locate(ptr, old.size().get());
        let size = new.size().get();
        if !self.is_aligned(offset, new) {
            // SAFETY: the block is live with `old.size() >= size` bytes.
            return unsafe { self.relocate(ptr, new, size) };
        }
        self.lower(end, offset + size);
        Ok(NonNull::slice_from_raw_parts(self.at(offset), size))
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        Some(layout.size().get())
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.backing.size())
    }
}

// SAFETY: blocks start inside the range, and the range is the arena's alone.
unsafe impl<B: FixedRange> Owns for SharedBumpArena<B> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.backing.contains(ptr)
    }
}

// SAFETY: the blocks lie in the range, which stays in place when its value moves.
unsafe impl<B: FixedRange + StableAddress> StableAddress for SharedBumpArena<B> {}

impl<B> Reset for SharedBumpArena<B> {
    #[inline]
    fn reset(&mut self) {
        // Relaxed: nobody else has the arena, and whoever gets it is ordered by what shares it.
        self.marks.cursor.store(0, Ordering::Relaxed);
    }
}

impl<B: FixedRange> fmt::Debug for SharedBumpArena<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBumpArena")
            .field("allocated_bytes", &self.allocated_bytes())
            .field("capacity_bytes", &self.backing.size())
            .finish_non_exhaustive()
    }
}

// SAFETY: a block that `take` returns is one that `allocate` would have returned.
unsafe impl<B: FixedRange> Take for SharedBumpArena<B> {
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        SharedBumpArena::take(self, layout)
    }
}
