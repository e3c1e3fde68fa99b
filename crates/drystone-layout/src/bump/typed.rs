//! Values, slices and strings in the blocks of an allocator, bound to a borrow of it.
//!
//! The functions are sound over every allocator: its blocks stay live and in place while it is
//! borrowed, whether or not it is [`StableAddress`](drystone_core::StableAddress), and the
//! reference made from a block lives no longer than the borrow.

#![allow(
    clippy::mut_from_ref,
    reason = "each call returns a new block, which nothing else reaches"
)]

use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};
use core::slice;

use drystone_core::{AllocError, Allocator, NonZeroLayout};

/// Room for a `T`. Zero-sized types take none.
#[inline]
pub(super) fn slot<A: Allocator, T>(allocator: &A) -> Result<&mut MaybeUninit<T>, AllocError> {
    let place = match NonZeroLayout::for_type::<T>() {
        Some(layout) => allocator.allocate(layout)?.cast(),
        None => NonNull::dangling(),
    };
    // SAFETY: the place is aligned for `T` and as long; it is a new block, which nothing else
    // reaches while the allocator is borrowed, or zero-sized. `MaybeUninit` needs no content.
    Ok(unsafe { &mut *place.as_ptr() })
}

/// Room for `len` values, and the layout of the block behind it; `None` for no bytes.
#[inline]
fn slots<A: Allocator, T>(
    allocator: &A,
    len: usize,
) -> Result<(&mut [MaybeUninit<T>], Option<NonZeroLayout>), AllocError> {
    let layout = if size_of::<T>() == 0 || len == 0 {
        None
    } else {
        Some(NonZeroLayout::array::<T>(len).ok_or(AllocError)?)
    };
    let start = match layout {
        Some(layout) => allocator.allocate(layout)?.cast(),
        None => NonNull::dangling(),
    };
    // SAFETY: the start is aligned for `T` and `len` values follow it; it is a new block, which
    // nothing else reaches while the allocator is borrowed, or zero-sized. `MaybeUninit` needs no
    // content.
    let slots = unsafe { slice::from_raw_parts_mut(start.as_ptr(), len) };
    Ok((slots, layout))
}

#[inline]
pub(super) fn with<A: Allocator, T>(
    allocator: &A,
    make: impl FnOnce() -> T,
) -> Result<&mut T, AllocError> {
    let slot = slot(allocator)?;
    let guard = GiveBack {
        allocator,
        start: NonNull::from(&mut *slot).cast(),
        layout: NonZeroLayout::for_type::<T>(),
    };
    let value = make();
    mem::forget(guard);
    Ok(slot.write(value))
}

#[inline]
pub(super) fn slice_copy<'a, A: Allocator, T: Copy>(
    allocator: &'a A,
    source: &[T],
) -> Result<&'a mut [T], AllocError> {
    let (slots, _) = slots::<A, T>(allocator, source.len())?;
    let start = slots.as_mut_ptr().cast::<T>();
    // SAFETY: `source.len()` values lie in both; a new block overlaps nothing that is borrowed.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), start, source.len()) };
    // SAFETY: the values were just written, and `slots` gave the exclusive access to them.
    Ok(unsafe { slice::from_raw_parts_mut(start, source.len()) })
}

#[inline]
pub(super) fn slice_fill_with<A: Allocator, T>(
    allocator: &A,
    len: usize,
    mut make: impl FnMut(usize) -> T,
) -> Result<&mut [T], AllocError> {
    let (slots, layout) = slots::<A, T>(allocator, len)?;
    let start = slots.as_mut_ptr().cast::<T>();
    let guard = GiveBack {
        allocator,
        start: NonNull::from(&mut *slots).cast(),
        layout,
    };
    for (index, slot) in slots.iter_mut().enumerate() {
        slot.write(make(index));
    }
    mem::forget(guard);
    // SAFETY: all `len` values were just written, and `slots` gave the exclusive access to them.
    Ok(unsafe { slice::from_raw_parts_mut(start, len) })
}

#[inline]
pub(super) fn string<'a, A: Allocator>(
    allocator: &'a A,
    source: &str,
) -> Result<&'a mut str, AllocError> {
    let bytes = slice_copy(allocator, source.as_bytes())?;
    // SAFETY: the bytes are a copy of a `str`.
    Ok(unsafe { str::from_utf8_unchecked_mut(bytes) })
}

/// Gives a block back when the closure that makes its content panics.
struct GiveBack<'a, A: Allocator> {
    allocator: &'a A,
    start: NonNull<u8>,
    layout: Option<NonZeroLayout>,
}

impl<A: Allocator> Drop for GiveBack<'_, A> {
    fn drop(&mut self) {
        if let Some(layout) = self.layout {
            // SAFETY: the block was allocated with this layout and has not been freed; the only
            // reference to it ends with the panic.
            unsafe { self.allocator.deallocate(self.start, layout) };
        }
    }
}

/// The end of the faces that do not return errors.
#[cold]
#[inline(never)]
#[track_caller]
pub(super) fn full() -> ! {
    panic!("the arena has no room left for this value");
}

/// Defines the safe faces of an allocator whose values may live as long as a borrow of it.
macro_rules! safe_faces {
    () => {
        /// Moves `value` into the arena.
        ///
        /// The arena never drops it; see the module's destructor policy.
        ///
        /// # Panics
        ///
        /// If there is no room. [`try_alloc`](Self::try_alloc) returns an error instead.
        #[inline]
        #[track_caller]
        pub fn alloc<T>(&self, value: T) -> &mut T {
            match typed::slot(self) {
                Ok(slot) => slot.write(value),
                Err(AllocError) => typed::full(),
            }
        }

        /// Moves `value` into the arena. It is dropped where there is no room;
        /// [`try_alloc_value`](Self::try_alloc_value) gives it back.
        ///
        /// # Errors
        ///
        /// [`AllocError`] if there is no room or the range cannot serve the alignment.
        #[inline]
        pub fn try_alloc<T>(&self, value: T) -> Result<&mut T, AllocError> {
            Ok(typed::slot(self)?.write(value))
        }

        /// Moves `value` into the arena, or gives it back.
        ///
        /// # Errors
        ///
        /// [`AllocValueError`] with the value, as [`try_alloc`](Self::try_alloc).
        #[inline]
        pub fn try_alloc_value<T>(&self, value: T) -> Result<&mut T, AllocValueError<T>> {
            match typed::slot(self) {
                Ok(slot) => Ok(slot.write(value)),
                Err(AllocError) => Err(AllocValueError::new(value)),
            }
        }

        /// Makes a value in the arena. Room is taken first, so that a large value need not be
        /// moved; `make` may allocate from the arena too.
        ///
        /// If `make` panics the room is given back, where nothing was allocated after it.
        ///
        /// # Panics
        ///
        /// If there is no room, without calling `make`; or if `make` does.
        #[inline]
        #[track_caller]
        pub fn alloc_with<T>(&self, make: impl FnOnce() -> T) -> &mut T {
            match typed::with(self, make) {
                Ok(value) => value,
                Err(AllocError) => typed::full(),
            }
        }

        /// Like [`alloc_with`](Self::alloc_with), with an error where there is no room.
        ///
        /// # Errors
        ///
        /// As [`try_alloc`](Self::try_alloc); `make` is then not called.
        ///
        /// # Panics
        ///
        /// If `make` does.
        #[inline]
        pub fn try_alloc_with<T>(&self, make: impl FnOnce() -> T) -> Result<&mut T, AllocError> {
            typed::with(self, make)
        }

        /// Copies `source` into the arena.
        ///
        /// # Panics
        ///
        /// If there is no room.
        #[inline]
        #[track_caller]
        pub fn alloc_slice_copy<T: Copy>(&self, source: &[T]) -> &mut [T] {
            match typed::slice_copy(self, source) {
                Ok(slice) => slice,
                Err(AllocError) => typed::full(),
            }
        }

        /// Copies `source` into the arena.
        ///
        /// # Errors
        ///
        /// As [`try_alloc`](Self::try_alloc).
        #[inline]
        pub fn try_alloc_slice_copy<T: Copy>(&self, source: &[T]) -> Result<&mut [T], AllocError> {
            typed::slice_copy(self, source)
        }

        /// Makes a slice of `len` values in the arena: `make(0)`, `make(1)` and so on.
        ///
        /// If `make` panics, the values made before are not dropped, and the room is given back
        /// where nothing was allocated after it.
        ///
        /// # Panics
        ///
        /// If there is no room, without calling `make`; or if `make` does.
        #[inline]
        #[track_caller]
        pub fn alloc_slice_fill_with<T>(
            &self,
            len: usize,
            make: impl FnMut(usize) -> T,
        ) -> &mut [T] {
            match typed::slice_fill_with(self, len, make) {
                Ok(slice) => slice,
                Err(AllocError) => typed::full(),
            }
        }

        /// Like [`alloc_slice_fill_with`](Self::alloc_slice_fill_with), with an error where there
        /// is no room.
        ///
        /// # Errors
        ///
        /// As [`try_alloc`](Self::try_alloc), and if the slice would exceed `isize::MAX` bytes;
        /// `make` is then not called.
        ///
        /// # Panics
        ///
        /// If `make` does.
        #[inline]
        pub fn try_alloc_slice_fill_with<T>(
            &self,
            len: usize,
            make: impl FnMut(usize) -> T,
        ) -> Result<&mut [T], AllocError> {
            typed::slice_fill_with(self, len, make)
        }

        /// Copies `source` into the arena.
        ///
        /// # Panics
        ///
        /// If there is no room.
        #[inline]
        #[track_caller]
        pub fn alloc_str(&self, source: &str) -> &mut str {
            match typed::string(self, source) {
                Ok(string) => string,
                Err(AllocError) => typed::full(),
            }
        }

        /// Copies `source` into the arena.
        ///
        /// # Errors
        ///
        /// As [`try_alloc`](Self::try_alloc).
        #[inline]
        pub fn try_alloc_str(&self, source: &str) -> Result<&mut str, AllocError> {
            typed::string(self, source)
        }
    };
}
pub(super) use safe_faces;
