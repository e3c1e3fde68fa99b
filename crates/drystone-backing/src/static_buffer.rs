//! [`StaticBacked`]: a buffer that the caller lends.
//!
//! # What
//!
//! A `static`, a linker section, a memory-mapped device's scratch RAM, or any slice that outlives
//! the allocator.
//!
//! # Memory picture
//!
//! ```text
//! +-- StaticBacked --+         caller's buffer, any alignment, used to the last byte
//! |  base  |  size   |  ---->  +--------------------------------+
//! +------------------+         0                              size
//! ```
//!
//! # Invariants
//!
//! - I1: `base .. base + size` is the buffer that was lent, exclusively, for `'a`.
//!
//! # Threads
//!
//! Send and Sync: the methods only describe the range.
//!
//! # Cost
//!
//! Two words. No work.

use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{FixedRange, StableAddress, arith};

/// A buffer lent for `'a`, exactly as long and exactly where it is.
///
/// The bytes are lent as [`MaybeUninit`], because allocators write values with padding and so
/// leave bytes behind that must not be read as integers.
///
/// ```
/// use core::mem::MaybeUninit;
/// use drystone_backing::StaticBacked;
/// use drystone_core::FixedRange;
///
/// let mut buffer = [MaybeUninit::<u8>::uninit(); 100];
/// let backing = StaticBacked::new(&mut buffer);
/// assert_eq!(backing.size(), 100);
/// ```
///
/// A buffer is lent once:
///
/// ```compile_fail,E0499
/// use core::mem::MaybeUninit;
/// use drystone_backing::StaticBacked;
///
/// let mut buffer = [MaybeUninit::<u8>::uninit(); 100];
/// let first = StaticBacked::new(&mut buffer);
/// let second = StaticBacked::new(&mut buffer);
/// drop((first, second));
/// ```
///
/// and initialised bytes only for ever, because nobody could read them afterwards:
///
/// ```compile_fail,E0597
/// use drystone_backing::StaticBacked;
///
/// let mut bytes = [0u8; 100];
/// let backing = StaticBacked::from_bytes(&mut bytes);
/// ```
#[derive(Debug)]
pub struct StaticBacked<'a> {
    base: NonNull<u8>,
    size: usize,
    lent: PhantomData<&'a mut [MaybeUninit<u8>]>,
}

// SAFETY: it is an exclusive borrow of bytes, which may change threads (I1).
unsafe impl Send for StaticBacked<'_> {}
// SAFETY: through `&self` only the immutable fields can be read.
unsafe impl Sync for StaticBacked<'_> {}

impl<'a> StaticBacked<'a> {
    /// Borrows all of `buffer`. An empty one is a range of size 0.
    #[inline]
    #[must_use]
    pub const fn new(buffer: &'a mut [MaybeUninit<u8>]) -> Self {
        let size = buffer.len();
        let base = buffer.as_mut_ptr().cast::<u8>();
        Self {
            // SAFETY: the pointer comes from a reference, which is never null.
            base: unsafe { NonNull::new_unchecked(base) },
            size,
            lent: PhantomData,
        }
    }

    /// Borrows all of `bytes`, for less than ever.
    ///
    /// # Safety
    ///
    /// After `'a` no byte is read before it is written anew: an allocator may have left bytes
    /// uninitialised.
    #[inline]
    #[must_use]
    pub const unsafe fn from_borrowed_bytes(bytes: &'a mut [u8]) -> Self {
        let buffer = core::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>];
        // SAFETY: the pointer is a `&'a mut [u8]`, which has the layout of the same number of
        // `MaybeUninit<u8>`; the borrow is given up here, so this reference is the only one. The
        // caller promises not to read what is left uninitialised.
        Self::new(unsafe { &mut *buffer })
    }
}

impl StaticBacked<'static> {
    /// Takes `bytes` for ever.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: &'static mut [u8]) -> Self {
        // SAFETY: the borrow never ends, so nobody reads the bytes after it.
        unsafe { Self::from_borrowed_bytes(bytes) }
    }
}

// SAFETY: by I1 the bytes are exclusive and valid while the value lives (L3, L4), with the
// provenance of the whole slice (L5), whose size a slice can have (L2). The fields never change
// (L1, L7), and the alignment answered is that of the address (L6).
unsafe impl FixedRange for StaticBacked<'_> {
    #[inline]
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    #[inline]
    fn size(&self) -> usize {
        self.size
    }

    #[inline]
    fn base_align(&self) -> usize {
        arith::natural_align(self.base.addr().get())
    }

    #[inline]
    fn keeps_base(&self) -> bool {
        true
    }

    #[inline]
    fn commits_on_demand(&self) -> bool {
        false
    }

    #[inline]
    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        arith::align_offset_at(self.base.addr().get(), offset, align)
    }
}

// SAFETY: moving the value does not move the buffer.
unsafe impl StableAddress for StaticBacked<'_> {}
