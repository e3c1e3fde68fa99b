//! A stack of blocks: what is freed in the reverse order comes back at once, the rest when it can.
//!
//! # What
//!
//! [`StackAlloc`] puts each block on top of the one before. Freeing the topmost block gives its
//! space back, and with it that of every block below that was freed before its turn. So when all
//! blocks are freed, in whatever order, the range is empty again. The topmost block grows and
//! shrinks in place; another one that grows is copied to the top.
//!
//! # Memory picture
//!
//! ```text
//!   base                                    top            cursor
//!    |                                       |                |
//!    v                                       v                v
//!    +---+---------+------+---+---+----------+---+------------+---------+
//!    | h | block   | pad  | p | h | block    | h | block      | free    |
//!    +---+---------+------+---+---+----------+---+------------+---------+
//!          ^                    |   ^          |
//!          +--------------------+   +----------+
//! ```
//!
//! Each block has a header `h` of one word before it: the distance to the block below, and whether
//! this one has been freed. Where a block's alignment leaves a word or more of padding, that word,
//! `p`, says how much. The cursor and what lies above it are those of a
//! [`BumpArena`].
//!
//! # Invariants
//!
//! - **I1** `top` is 0, and the cursor too, if there is no block; else it is the offset of the
//!   topmost block, which is live and ends at or below the cursor.
//! - **I2** Each block has a header below it, and the distance there leads to the next lower block,
//!   which ends at or below the start of the frame, or to the bottom.
//! - **I3** A block that was freed is marked in its header until the cursor falls below it.
//!
//! # Threads
//!
//! A stack belongs to one thread at a time: `Send` if the range is, never `Sync`. No call blocks.
//!
//! # Cost
//!
//! A word for each block, and its start on a multiple of a word. Allocation and freeing the topmost
//! block touch one header each. Freeing it after others below takes a step for each of those: no
//! block is stepped over twice. Nothing but the range holds the record, so no depth is too much.
//! The headers lie between blocks: who writes before his block destroys one.

mod contents;
mod frame;
mod inspect;

use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns, Reset, StableAddress,
};

use crate::BumpArena;
use frame::{Header, WORD, has_padding};

/// No block: blocks have a header below them, so none lies at offset 0.
const NONE: usize = 0;

/// Blocks of a range, each on top of the one before; see the [module](self).
///
/// Over a range that may move, an alignment above its [`base_align`](FixedRange::base_align) is
/// refused; one that guarantees less than a word's alignment serves nothing.
///
/// ```
/// use drystone_core::{Allocator, Deallocator, HeapSegment, NonZeroLayout};
/// use drystone_layout::StackAlloc;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<u64>(512).unwrap())?;
/// let stack = StackAlloc::new(range);
/// let layout = NonZeroLayout::array::<u64>(8).unwrap();
/// let (low, high) = (stack.allocate(layout)?, stack.allocate(layout)?);
///
/// // Out of order: the lower block's space comes back together with the upper one's.
/// // SAFETY: each block is live and was allocated with this layout.
/// unsafe { stack.deallocate(low.cast(), layout) };
/// // SAFETY: as above.
/// unsafe { stack.deallocate(high.cast(), layout) };
/// assert_eq!(stack.allocated_bytes(), 0);
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// Blocks of a stack die when it is reset, so a box of one keeps it borrowed:
///
/// ```compile_fail,E0502
/// # use drystone_core::{AllocatedRegion, HeapSegment, NonZeroLayout, Reset};
/// # use drystone_layout::StackAlloc;
/// # let layout = NonZeroLayout::array::<u64>(8).unwrap();
/// let mut stack = StackAlloc::new(HeapSegment::new(layout).unwrap());
/// let region = AllocatedRegion::new(&stack, layout);
/// stack.reset();
/// drop(region);
/// ```
///
/// Threads cannot share one:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::StackAlloc;
/// fn shared<T: Sync>() {}
/// shared::<StackAlloc<HeapSegment>>();
/// ```
pub struct StackAlloc<B> {
    arena: BumpArena<B>,
    /// The offset of the topmost block, or [`NONE`] (I1).
    top: Cell<usize>,
}

impl<B: FixedRange> StackAlloc<B> {
    /// A stack over all of `backing`. Nothing is touched or committed before the first allocation.
    #[inline]
    pub const fn new(backing: B) -> Self {
        Self {
            arena: BumpArena::new(backing),
            top: Cell::new(NONE),
        }
    }

    /// The range.
    ///
    /// Its methods describe it, and commit bytes or give advice about them; none reaches the
    /// bytes.
    #[inline]
    pub const fn backing(&self) -> &B {
        self.arena.backing()
    }

    /// Ends the stack and gives the range back. Every block dies.
    #[inline]
    pub fn into_inner(self) -> B {
        self.arena.into_inner()
    }

    /// The bytes in use: live blocks, freed blocks below a live one, headers and padding.
    #[inline]
    pub fn allocated_bytes(&self) -> usize {
        self.arena.allocated_bytes()
    }

    /// The bytes left, before header and padding.
    #[inline]
    pub fn remaining_bytes(&self) -> usize {
        self.arena.remaining_bytes()
    }

    /// Puts a frame for a block of `layout` on top; the offset of the block.
    #[inline]
    fn push(&self, layout: NonZeroLayout) -> Option<usize> {
        let start = self.arena.allocated_bytes();
        let (size, align) = (layout.size().get(), layout.align().get());
        let block = self.arena.take_after(WORD, size, align.max(WORD))?;
        let below = self.top.replace(block);
        if below == NONE {
            self.set_header(block, Header::new(0, false));
            return Some(block);
        }
        let padded = has_padding(start, block);
        if padded {
            // SAFETY: the frame has two words below the block, which `take_after` made usable.
            unsafe { self.word(block - 2 * WORD).write(block - start) };
        }
        self.set_header(block, Header::new(block - below, padded));
        Some(block)
    }

    /// Takes the topmost frame off, and those below it whose blocks have been freed.
    #[inline]
    fn pop(&self) {
        let mut block = self.top.get();
        loop {
            let header = self.header(block);
            let distance = header.distance();
            if distance == 0 {
                self.top.set(NONE);
                self.arena.set_cursor(0);
                return;
            }
            let below = block - distance;
            if !self.header(below).is_freed() {
                self.top.set(below);
                self.arena.set_cursor(self.start_of(block, header));
                return;
            }
            block = below;
        }
    }

    /// Where the frame of a block that is not at the bottom starts.
    #[inline]
    fn start_of(&self, block: usize, header: Header) -> usize {
        if !header.is_padded() {
            return block - WORD;
        }
        // SAFETY: the frame has a second word below the first, written with the header.
        block - unsafe { self.word(block - 2 * WORD).read() }
    }

    /// The header of a block.
    #[inline]
    fn header(&self, block: usize) -> Header {
        // SAFETY: by I2 each block has an aligned header in the word below it.
        Header::from_word(unsafe { self.word(block - WORD).read() })
    }

    #[inline]
    fn set_header(&self, block: usize, header: Header) {
        // SAFETY: the word below a block is the header's; it is aligned as the block is, and
        // belongs to no block.
        unsafe { self.word(block - WORD).write(header.to_word()) };
    }

    /// The pointer to a word at an offset in the range.
    #[inline]
    fn word(&self, offset: usize) -> NonNull<usize> {
        self.arena.at(offset).cast()
    }

    /// The block at an offset.
    #[inline]
    fn block(&self, offset: usize, layout: NonZeroLayout) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.arena.at(offset), layout.size().get())
    }

    /// Frees the block at an offset.
    #[inline]
    fn free(&self, block: usize) {
        if block == self.top.get() {
            self.pop();
        } else {
            let header = self.header(block);
            debug_assert!(!header.is_freed(), "double free");
            self.set_header(block, header.freed());
        }
    }

    /// Moves the first `kept` bytes of a block to a new block of `new` on top, and frees it.
    ///
    /// # Safety
    ///
    /// A live block of at least `kept` bytes starts at `offset`, and `kept <= new.size()`.
    unsafe fn relocate(
        &self,
        offset: usize,
        new: NonZeroLayout,
        kept: usize,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(new)?;
        let old = self.arena.at(offset);
        // SAFETY: both hold at least `kept` bytes by the caller's promise; the new block overlaps
        // no live one; bytes have no alignment and may be uninitialised in an untyped copy.
        unsafe { ptr::copy_nonoverlapping(old.as_ptr(), block.as_ptr().cast::<u8>(), kept) };
        self.free(offset);
        Ok(block)
    }

    /// Makes the topmost block as long as `new`, where it lies, if it is the one at `offset` and
    /// its place has the alignment of `new`.
    #[inline]
    fn resize_in_place(&self, offset: usize, new: NonZeroLayout) -> Option<NonNull<[u8]>> {
        if offset != self.top.get() || !self.arena.is_aligned(offset, new) {
            return None;
        }
        let end = offset.checked_add(new.size().get())?;
        self.arena.extend_to(end).ok()?;
        Some(self.block(offset, new))
    }
}

// SAFETY: never unwinds; uses the pointer for its address only. The topmost block's space is free
// from the fall of the cursor on, and any other block's from the fall of the cursor below it (I3);
// one thread at a time.
unsafe impl<B: FixedRange> Deallocator for StackAlloc<B> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, _layout: NonZeroLayout) {
        self.free(self.arena.offset_of(ptr));
    }
}

// SAFETY: a block starts at an offset that the range aligned, is as long as asked, and lies above
// every other block and its own header (I1, I2), in bytes that the arena made usable. The cursor
// falls below a block only when it is freed (I3). Nothing unwinds, prints or allocates elsewhere.
unsafe impl<B: FixedRange> Allocator for StackAlloc<B> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.push(layout).ok_or(AllocError)?;
        Ok(self.block(block, layout))
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        let offset = self.arena.offset_of(ptr);
        match self.resize_in_place(offset, new) {
            Some(block) => Ok(block),
            // SAFETY: the block is live with `old.size()` bytes, and `new` is not smaller.
            None => unsafe { self.relocate(offset, new, old.size().get()) },
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
        let offset = self.arena.offset_of(ptr);
        if !self.arena.is_aligned(offset, new) {
            // SAFETY: the block is live with `old.size() >= new.size()` bytes.
            return unsafe { self.relocate(offset, new, new.size().get()) };
        }
        if offset == self.top.get() {
            self.arena.set_cursor(offset + new.size().get());
        }
        Ok(self.block(offset, new))
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        Some(layout.size().get())
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.arena.capacity_bytes()
    }
}

// SAFETY: blocks start inside the range, and the range is the stack's alone.
unsafe impl<B: FixedRange> Owns for StackAlloc<B> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.arena.owns(ptr)
    }
}

// SAFETY: the blocks lie in the range, which stays in place when its value moves.
unsafe impl<B: FixedRange + StableAddress> StableAddress for StackAlloc<B> {}

impl<B: FixedRange> Reset for StackAlloc<B> {
    #[inline]
    fn reset(&mut self) {
        self.top.set(NONE);
        self.arena.reset();
    }
}

impl<B: FixedRange> fmt::Debug for StackAlloc<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StackAlloc")
            .field("allocated_bytes", &self.allocated_bytes())
            .field("remaining_bytes", &self.remaining_bytes())
            .finish_non_exhaustive()
    }
}
