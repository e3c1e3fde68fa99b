//! The slot table: where a replay keeps the blocks that are live.
//!
//! # What
//! One [`Slot`] for each object that is live at the same time, in a mapping of its own, so that
//! the table is no part of any heap under test.
//!
//! # Memory picture
//! ```text
//!  slot: | block *u8 | size usize | turn u32 | align_log2 u8 | pad |   24 B
//! ```
//!
//! # Invariants
//! I1: `block` is null (nothing live, or refused) or a live block of `size` bytes and of
//! alignment `1 << align_log2` of the target under replay.
//! I2: only the thread whose turn it is touches a slot's cells. A hand-off is a Release store of
//! `turn` by the thread that goes and an Acquire load by the thread that comes; operations of one
//! thread follow each other in program order. Decoding marks every hand-off.
//!
//! # Threads
//! Shared by all threads of a replay under I2.
//!
//! # Cost
//! An index and a bounds check; the `turn` is read and written at hand-offs only.

use core::alloc::Layout;
use core::cell::Cell;
use core::sync::atomic::AtomicU32;

use memmap2::MmapMut;

/// The state of one object under replay.
#[repr(C)]
pub(crate) struct Slot {
    block: Cell<*mut u8>,
    size: Cell<usize>,
    /// Number of the operation on this slot that may go next; kept up to date at hand-offs.
    pub(crate) turn: AtomicU32,
    align_log2: Cell<u8>,
}

impl Slot {
    /// The live block, or null.
    #[inline]
    pub(crate) fn block(&self) -> *mut u8 {
        self.block.get()
    }

    /// Layout of the live block.
    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        // SAFETY: by I1 size and alignment are those of a layout that was allocated.
        unsafe { Layout::from_size_align_unchecked(self.size.get(), 1 << self.align_log2.get()) }
    }

    /// Puts a live block in.
    #[inline]
    pub(crate) fn fill(&self, block: *mut u8, layout: Layout) {
        self.block.set(block);
        self.size.set(layout.size());
        // An alignment is a power of two below 2^63: its logarithm fits.
        self.align_log2.set(layout.align().trailing_zeros() as u8);
    }

    /// Marks that nothing is live.
    #[inline]
    pub(crate) fn clear(&self) {
        self.block.set(core::ptr::null_mut());
    }
}

/// All slots of a replay.
pub(crate) struct SlotTable {
    /// Keeps the memory mapped; reached through `base` only.
    _mapping: MmapMut,
    base: *const Slot,
    count: usize,
}

// SAFETY: I2 gives every slot's cells to one thread at a time, with a happens-before edge at each
// hand-off; `turn` is atomic; the mapping moves with the value and does not depend on a thread. I2
// rests on the hand-off marks of the program, which only the decoder of this same build writes.
unsafe impl Sync for SlotTable {}

impl SlotTable {
    /// A table of `count` empty slots, every page of which has been written.
    pub(crate) fn new(count: usize) -> std::io::Result<Self> {
        let bytes = count
            .max(1)
            .checked_mul(size_of::<Slot>())
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        let mut mapping = MmapMut::map_anon(bytes)?;
        mapping.fill(0);
        let base = mapping.as_mut_ptr().cast_const().cast::<Slot>();
        debug_assert!(base.is_aligned());
        Ok(Self {
            _mapping: mapping,
            base,
            count,
        })
    }

    /// The slots. Who may touch which is I2.
    #[inline]
    pub(crate) fn slots(&self) -> &[Slot] {
        // SAFETY: the mapping is page-aligned, holds `count` slots, lives as long as `self`, is
        // reached through no other pointer, and all-zero bytes are a valid empty slot; every
        // field is a cell or an atomic, so shared references allow its changes.
        unsafe { core::slice::from_raw_parts(self.base, self.count) }
    }

    /// Prepares the table for another pass: every turn at its start, nothing live.
    pub(crate) fn rewind(&mut self) {
        for slot in self.slots() {
            slot.clear();
            slot.turn.store(0, core::sync::atomic::Ordering::Relaxed);
        }
    }
}
