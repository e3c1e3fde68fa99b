//! Values, slices and strings in the blocks of an allocator, bound to a borrow of it.
//!
//! Blocks stay live and in place while their allocator is borrowed, whether or not it is
//! [`StableAddress`](drystone_core::StableAddress), and the reference made from a block lives no
//! longer than the borrow.

#![allow(
    clippy::mut_from_ref,
    reason = "each call returns a new block, which nothing else reaches"
)]

use core::mem;
use core::ptr::{self, NonNull};
use core::slice;

use drystone_core::{AllocError, Allocator, NonZeroLayout};

/// [`Allocator::allocate`] with a result that the compiler follows through inlined callers.
///
/// # Safety
///
/// A pointer returned by [`take`](Take::take) is the start of a block of `layout.size()` bytes, by
/// the contract of [`Allocator`].
pub(crate) unsafe trait Take: Allocator {
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8>;
}

/// Room for a `T`. Zero-sized types take none.
#[inline]
pub(crate) fn slot<A: Take, T>(allocator: &A) -> Option<*mut T> {
    match NonZeroLayout::for_type::<T>() {
        Some(layout) => Some(allocator.take(layout)?.cast()),
        None => Some(ptr::dangling_mut()),
    }
}

/// Moves `value` into a slot.
///
/// # Safety
///
/// `slot` is room for a `T` that nothing else reaches for `'a`.
#[inline]
pub(crate) unsafe fn fill<'a, T>(slot: *mut T, value: T) -> &'a mut T {
    // SAFETY: the slot is aligned for `T` and as long, by the caller's promise.
    unsafe { slot.write(value) };
    // SAFETY: the slot holds a `T` now, and nothing else reaches it for `'a`.
    unsafe { &mut *slot }
}

#[inline]
pub(crate) fn value<A: Take, T>(allocator: &A, value: T) -> Result<&mut T, AllocError> {
    let slot = slot(allocator).ok_or(AllocError)?;
    // SAFETY: a new block is reached by nothing else while the allocator is borrowed.
    Ok(unsafe { fill(slot, value) })
}

#[inline]
pub(crate) fn with<A: Take, T>(
    allocator: &A,
    make: impl FnOnce() -> T,
) -> Result<&mut T, AllocError> {
    let slot = slot::<A, T>(allocator).ok_or(AllocError)?;
    let guard = GiveBack::new(allocator, slot, NonZeroLayout::for_type::<T>());
    let value = make();
    mem::forget(guard);
    // SAFETY: a new block is reached by nothing else while the allocator is borrowed.
    Ok(unsafe { fill(slot, value) })
}

/// Room for `len` values, and the layout of the block behind it; `None` for no bytes.
#[inline]
fn slots<A: Take, T>(
    allocator: &A,
    len: usize,
) -> Result<(*mut T, Option<NonZeroLayout>), AllocError> {
    if size_of::<T>() == 0 || len == 0 {
        return Ok((ptr::dangling_mut(), None));
    }
    let layout = NonZeroLayout::array::<T>(len).ok_or(AllocError)?;
    let start = allocator.take(layout).ok_or(AllocError)?;
    Ok((start.cast(), Some(layout)))
}

#[inline]
pub(crate) fn slice_copy<'a, A: Take, T: Copy>(
    allocator: &'a A,
    source: &[T],
) -> Result<&'a mut [T], AllocError> {
    let (start, _) = slots::<A, T>(allocator, source.len())?;
    // SAFETY: `source.len()` values lie in both; a new block overlaps nothing that is borrowed.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), start, source.len()) };
    // SAFETY: the values were just written, in a new block, which nothing else reaches while the
    // allocator is borrowed.
    Ok(unsafe { slice::from_raw_parts_mut(start, source.len()) })
}

#[inline]
pub(crate) fn slice_fill_with<A: Take, T>(
    allocator: &A,
    len: usize,
    mut make: impl FnMut(usize) -> T,
) -> Result<&mut [T], AllocError> {
    let (start, layout) = slots::<A, T>(allocator, len)?;
    let guard = GiveBack::new(allocator, start, layout);
    for index in 0..len {
        let value = make(index);
        // SAFETY: there is room for `len` values, and `index` is below `len`.
        let slot = unsafe { start.add(index) };
        // SAFETY: the slot is aligned for `T` and as long; nothing else reaches it.
        unsafe { slot.write(value) };
    }
    mem::forget(guard);
    // SAFETY: all `len` values were just written, in a new block, which nothing else reaches while
    // the allocator is borrowed.
    Ok(unsafe { slice::from_raw_parts_mut(start, len) })
}

#[inline]
pub(crate) fn string<'a, A: Take>(
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
    start: *mut u8,
    layout: Option<NonZeroLayout>,
}

impl<'a, A: Allocator> GiveBack<'a, A> {
    #[inline]
    fn new<T>(allocator: &'a A, start: *mut T, layout: Option<NonZeroLayout>) -> Self {
        Self {
            allocator,
            start: start.cast(),
            layout,
        }
    }
}

impl<A: Allocator> Drop for GiveBack<'_, A> {
    fn drop(&mut self) {
        if let (Some(layout), Some(start)) = (self.layout, NonNull::new(self.start)) {
            // SAFETY: the block was allocated with this layout and has not been freed; nothing
            // refers to it yet.
            unsafe { self.allocator.deallocate(start, layout) };
        }
    }
}

/// The end of the faces that do not return errors.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn full() -> ! {
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
        #[allow(clippy::mut_from_ref, reason = "each call returns a new block")]
        pub fn alloc<T>(&self, value: T) -> &mut T {
            match typed::slot(self) {
                // SAFETY: a new block is reached by nothing else while `self` is borrowed.
                Some(slot) => unsafe { typed::fill(slot, value) },
                None => typed::full(),
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
            typed::value(self, value)
        }

        /// Moves `value` into the arena, or gives it back.
        ///
        /// # Errors
        ///
        /// [`AllocValueError`] with the value, as [`try_alloc`](Self::try_alloc).
        #[inline]
        #[allow(clippy::mut_from_ref, reason = "each call returns a new block")]
        pub fn try_alloc_value<T>(&self, value: T) -> Result<&mut T, AllocValueError<T>> {
            match typed::slot(self) {
                // SAFETY: a new block is reached by nothing else while `self` is borrowed.
                Some(slot) => Ok(unsafe { typed::fill(slot, value) }),
                None => Err(AllocValueError::new(value)),
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
pub(crate) use safe_faces;
