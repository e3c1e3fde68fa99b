//! [`Scope`]: a part of an arena's life that ends with a rewind.

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns, StableAddress,
};

use super::BumpArena;
use super::frame::Frame;
use super::typed::{self, Take, safe_faces};
use crate::AllocValueError;

/// Allocates from an arena until it is dropped; then the memory comes back.
///
/// A scope opened through a scope borrows it shared: values of the outer scope may be read and
/// written, and more may be allocated from it, while the inner scope is open, and they outlive it.
/// Values of the inner scope end with it.
///
/// ```
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u64>(512).unwrap())?;
/// let mut arena = BumpArena::new(range);
/// let outer = arena.scope();
/// let total = outer.alloc(0);
/// for n in 1..=4 {
///     let inner = outer.scope();
///     let squares = inner.alloc_slice_fill_with(n, |i| i * i);
///     *total += squares.iter().sum::<usize>();
/// }
/// assert_eq!(*total, 1 + (1 + 4) + (1 + 4 + 9));
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// The end of a scope frees what was allocated through it and is not below a block of an older
/// scope that was allocated meanwhile; that rest is freed with the older scope. Scopes should end
/// in the reverse order of their opening, as local variables do. Where one is dropped earlier than
/// its turn, or forgotten, its memory and that of the scopes it was opened in is freed by the
/// outermost scope, which frees everything since its start. Values are never dropped.
///
/// A scope is an [`Allocator`] of its own: its blocks are freed, grown and shrunk through it or a
/// reference to it, not through the arena or another scope. It is [`StableAddress`] always, because
/// it borrows the arena, which then cannot move.
///
/// A value cannot escape its scope:
///
/// ```compile_fail,E0597
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let mut arena = BumpArena::new(range);
/// let outer = arena.scope();
/// let escaped = {
///     let inner = outer.scope();
///     inner.alloc(1)
/// };
/// *escaped = 2;
/// ```
///
/// ```compile_fail,E0505
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let mut arena = BumpArena::new(range);
/// let scope = arena.scope();
/// let value = scope.alloc(1);
/// drop(scope);
/// *value = 2;
/// ```
///
/// The arena cannot be used while a scope is open, and an outer scope cannot end before an inner:
///
/// ```compile_fail,E0502
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let mut arena = BumpArena::new(range);
/// let scope = arena.scope();
/// arena.alloc(1);
/// scope.alloc(2);
/// ```
///
/// ```compile_fail,E0505
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::BumpArena;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u8>(64).unwrap()).unwrap();
/// let mut arena = BumpArena::new(range);
/// let outer = arena.scope();
/// let inner = outer.scope();
/// drop(outer);
/// drop(inner);
/// ```
///
/// A scope stays on its thread:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::Scope;
/// fn sent<T: Send>() {}
/// sent::<Scope<'static, HeapSegment>>();
/// ```
#[must_use = "a scope that is dropped at once frees nothing"]
pub struct Scope<'a, B: FixedRange> {
    arena: &'a BumpArena<B>,
    serial: u64,
    /// The frame that was on top when the scope opened.
    below: Frame,
}

impl<'a, B: FixedRange> Scope<'a, B> {
    /// Opens a scope on top of those that are open.
    #[inline]
    pub(super) fn open(arena: &'a BumpArena<B>) -> Self {
        let serial = arena.last_serial.get() + 1;
        arena.last_serial.set(serial);
        let below = arena
            .frame
            .replace(Frame::open(serial, arena.allocated_bytes()));
        Self {
            arena,
            serial,
            below,
        }
    }

    safe_faces!();

    /// Opens a scope inside this one.
    #[inline]
    pub fn scope(&self) -> Scope<'_, B> {
        Scope::open(self.arena)
    }

    /// The bytes of the arena that are left, before padding.
    #[inline]
    pub fn remaining_bytes(&self) -> usize {
        self.arena.remaining_bytes()
    }

    /// Checks every invariant of the arena by number.
    ///
    /// # Panics
    ///
    /// In builds with debug assertions, if one does not hold.
    pub fn debug_assert_invariants(&self) {
        self.arena.debug_assert_invariants();
    }

    /// Keeps memory that this scope just took from the rewinds of inner scopes.
    #[inline]
    fn keep(&self) {
        if self.arena.frame.get().serial() != self.serial {
            self.pin();
        }
    }

    #[cold]
    #[inline(never)]
    fn pin(&self) {
        let arena = self.arena;
        arena
            .frame
            .set(arena.frame.get().pin(self.serial, arena.allocated_bytes()));
    }
}

impl<B: FixedRange> Drop for Scope<'_, B> {
    #[inline]
    fn drop(&mut self) {
        let arena = self.arena;
        let (cursor, frame) = (arena.allocated_bytes(), arena.frame.get());
        let (cursor, frame) = if frame.serial() == self.serial {
            frame.close(self.below, cursor)
        } else if self.below.is_idle() {
            // Outermost: every scope opened since has ended or was forgotten.
            (cursor.min(self.below.floor()), self.below)
        } else {
            return;
        };
        arena.rewind(cursor);
        arena.frame.set(frame);
    }
}

// SAFETY: as the arena: the block is the scope's own, and giving space back moves the cursor down
// to a place that no live block lies above.
unsafe impl<B: FixedRange> Deallocator for Scope<'_, B> {
    /// Gives the space of the topmost block back; nothing for any other.
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's requirements: the scope's blocks are blocks of the arena.
        unsafe { self.arena.deallocate(ptr, layout) }
    }
}

// SAFETY: blocks are blocks of the arena, and every call that moves the cursor up pins it, so that
// they live until the scope is dropped or they are freed (docs/design/bump.md).
unsafe impl<B: FixedRange> Allocator for Scope<'_, B> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.arena.allocate(layout)?;
        self.keep();
        Ok(block)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements: the scope's blocks are blocks of the arena.
        let block = unsafe { self.arena.grow(ptr, old, new) }?;
        self.keep();
        Ok(block)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements: the scope's blocks are blocks of the arena.
        let block = unsafe { self.arena.shrink(ptr, old, new) }?;
        if block.cast() != ptr {
            self.keep();
        }
        Ok(block)
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

// SAFETY: the scope hands out the memory of the arena's range, which it shares with the other
// scopes of the arena and nobody else.
unsafe impl<B: FixedRange> Owns for Scope<'_, B> {
    /// Whether `ptr` lies in the arena's range. Scopes of one arena cannot be told apart by it.
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.arena.owns(ptr)
    }
}

// SAFETY: blocks lie in the range of the arena, which cannot move while the scope borrows it.
unsafe impl<B: FixedRange> StableAddress for Scope<'_, B> {}

impl<B: FixedRange> fmt::Debug for Scope<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("serial", &self.serial)
            .field("remaining_bytes", &self.remaining_bytes())
            .finish_non_exhaustive()
    }
}

// SAFETY: a block that `take` returns is one that `allocate` would have returned.
unsafe impl<B: FixedRange> Take for Scope<'_, B> {
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        let block = self.arena.take(layout)?;
        self.keep();
        Some(block)
    }
}
