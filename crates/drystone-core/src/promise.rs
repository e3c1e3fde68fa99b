//! The small promises: [`StableAddress`], [`Owns`], [`Reset`], [`AllocatorClone`] and
//! [`StaticAllocator`].

use core::ptr::NonNull;

use crate::Allocator;

/// Blocks (or, for a [`FixedRange`](crate::FixedRange), the range) survive a move of the value.
///
/// Every safe face that keeps blocks without borrowing the allocator (boxes, handles, collections)
/// demands this promise. Storage held by value does not keep it: an
/// `InlineBacked` moves with its owner, and its blocks die.
///
/// # Safety
///
/// The implementor promises that moving the value, and calling through `&` after the move, leaves
/// every live block valid at its address: both its bytes and the pointers to it.
pub unsafe trait StableAddress {}

/// An allocator that knows its own blocks.
///
/// # Safety
///
/// The implementor promises that [`owns`](Owns::owns) answers `true` for every byte of every live
/// block that this allocator (or an equivalent one) handed out, and `false` for every address that
/// is not in memory of its own. For other addresses inside its own memory either answer is right,
/// but it stays the same while a block of somebody else's lies there. [`owns`](Owns::owns) does not
/// unwind, and does not call back into an allocator over the same memory.
/// An allocator without [`StableAddress`](crate::StableAddress) owes this only until it moves.
pub unsafe trait Owns {
    /// Whether `ptr` lies in memory that this allocator hands out. Uses the address only.
    fn owns(&self, ptr: NonNull<u8>) -> bool;
}

/// Frees every block at once.
pub trait Reset {
    /// Ends every live block and makes its memory available again.
    ///
    /// The exclusive borrow proves that no safe face still uses a block; a raw pointer to one is
    /// dead afterwards. Values are not dropped.
    fn reset(&mut self);
}

/// A clone is equivalent to the original.
///
/// `Clone` by itself does not say so: a clone of an allocator that holds its state by value is
/// another allocator. What frees through a clone asks for this promise.
///
/// # Safety
///
/// The implementor promises that a clone (or a copy) is equivalent to the original, that blocks
/// live while any of them does, and that `clone` does not unwind.
pub unsafe trait AllocatorClone: Allocator + Clone {}

/// Every block lives until it is freed, whatever becomes of the allocator.
///
/// What pins a value in a block asks for this promise: the value may be forgotten, and the allocator
/// dropped. Arenas do not keep it, and no reference to one does.
///
/// # Safety
///
/// The implementor promises that nothing ends a block but a call that frees, grows or shrinks it:
/// neither the drop of the allocator and of every one equivalent to it, nor the end of a lifetime
/// in its type or a supertype of it, nor a safe method of any of them.
pub unsafe trait StaticAllocator: Allocator {}
