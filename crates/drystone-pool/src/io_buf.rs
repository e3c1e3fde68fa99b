//! [`IoBuf`]: bytes that many may read.
//!
//! # What
//!
//! A view of a run of bytes and a handle of their storage. Cloning and slicing make more of both and
//! copy nothing. The last handle gives the storage back, wherever it came from.
//!
//! # Memory picture
//!
//! ```text
//!           ptr         ptr + len
//!   │ …     │ this view  │ …      │ …   other views, room to write in │
//!   └─ storage: a slot of a pool, heap bytes, an adopted value ─┘   or bytes that live for ever
//! ```
//!
//! Three words.
//!
//! # Invariants
//!
//! - I1: the `len` bytes at `ptr` are initialised and not written while there is a view of them.
//! - I2: they are part of the owner's storage; or there is no owner, and they live for ever.
//! - I3: an empty view has no owner: it keeps nothing from being given back.
//!
//! # Threads
//!
//! `Send` and `Sync`. Storage goes back on the thread that drops the last handle.
//!
//! # Cost
//!
//! Cloning and slicing: one atomic addition. Dropping the only handle: one load.

use core::fmt;
use core::mem;
use core::ops::{Bound, Deref, RangeBounds};
use core::ptr::NonNull;
use core::slice;

use crate::IoBufMut;
use crate::alignment::{self, Alignment};
use crate::io_buf_mut::advance_beyond;
use crate::owner::SharedOwner;
use crate::record::Kind;
use crate::slot::Slot;

/// Bytes that can be shared and sliced without copying, and written again once nobody else has
/// them.
///
/// ```
/// use drystone_pool::IoBuf;
///
/// let mut body = IoBuf::copy_from_slice(b"header body");
/// let header = body.split_to(6);
/// body.advance(1);
/// assert_eq!((&header[..], &body[..]), (&b"header"[..], &b"body"[..]));
///
/// // Two handles of the bytes: neither may write.
/// let header = header.try_into_mut().unwrap_err();
/// drop(body);
/// assert!(header.try_into_mut().is_ok());
/// ```
pub struct IoBuf {
    ptr: NonNull<u8>,
    len: usize,
    owner: SharedOwner,
}

const _: () = assert!(size_of::<IoBuf>() == 3 * size_of::<usize>());
const _: () = assert!(size_of::<Option<IoBuf>>() == size_of::<IoBuf>());

// SAFETY: the bytes are only read (I1), and the owner is `Send`.
unsafe impl Send for IoBuf {}
// SAFETY: the bytes are only read (I1), and the owner is `Sync`.
unsafe impl Sync for IoBuf {}

impl IoBuf {
    /// An empty view.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self {
            ptr: NonNull::dangling(),
            len: 0,
            owner: SharedOwner::default(),
        }
    }

    /// A view of bytes that live for ever. Never written.
    #[inline]
    #[must_use]
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self {
            ptr: NonNull::from(bytes).cast(),
            len: bytes.len(),
            owner: SharedOwner::default(),
        }
    }

    /// A copy of `bytes` on the global heap.
    ///
    /// # Panics
    ///
    /// As [`IoBufMut::with_capacity`].
    #[must_use]
    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        IoBufMut::from(bytes).freeze()
    }

    /// A view with an owner.
    ///
    /// # Safety
    ///
    /// The invariants hold.
    #[inline]
    pub(crate) unsafe fn from_parts(ptr: NonNull<u8>, len: usize, owner: SharedOwner) -> Self {
        debug_assert!(len > 0);
        Self { ptr, len, owner }
    }

    #[cfg(feature = "bytes")]
    pub(crate) fn owner(&self) -> &SharedOwner {
        &self.owner
    }

    /// The bytes of the view.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first byte, for reads of `len` bytes.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }

    /// A view of some of the bytes. An empty one keeps nothing from being given back.
    ///
    /// # Panics
    ///
    /// If the range ends before it starts, or beyond the view.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Self {
        let (start, end) = resolve(range.start_bound(), range.end_bound(), self.len);
        if start == end {
            return Self::new();
        }
        // SAFETY: `start < end <= len`, so the pointer stays in the view.
        let ptr = unsafe { self.ptr.add(start) };
        Self {
            ptr,
            len: end - start,
            owner: self.owner.clone(),
        }
    }

    /// Splits the first `at` bytes off and gives them; the rest stays.
    ///
    /// # Panics
    ///
    /// If `at` is above the length.
    #[must_use = "use `advance` if the first bytes are not wanted"]
    pub fn split_to(&mut self, at: usize) -> Self {
        if at > self.len {
            split_beyond(at, self.len);
        }
        if at == self.len {
            return mem::take(self);
        }
        let front = self.slice(..at);
        self.advance(at);
        front
    }

    /// Splits the bytes from `at` on off and gives them; the first `at` stay.
    ///
    /// # Panics
    ///
    /// If `at` is above the length.
    #[must_use = "use `truncate` if the last bytes are not wanted"]
    pub fn split_off(&mut self, at: usize) -> Self {
        if at > self.len {
            split_beyond(at, self.len);
        }
        if at == 0 {
            return mem::take(self);
        }
        let back = self.slice(at..);
        self.truncate(at);
        back
    }

    /// Keeps the first `len` bytes. Nothing happens if there are no more than that.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len == 0 {
            *self = Self::new();
        } else if len < self.len {
            self.len = len;
        }
    }

    /// Leaves the first `count` bytes out of the view. Nothing keeps the storage once all are out.
    ///
    /// # Panics
    ///
    /// If `count` is above the length.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        if count > self.len {
            advance_beyond(count, self.len);
        }
        if count == self.len {
            *self = Self::new();
            return;
        }
        // SAFETY: `count < len`, so the pointer stays in the view.
        self.ptr = unsafe { self.ptr.add(count) };
        self.len -= count;
    }

    /// The buffer for writing, if this view is the only handle of it.
    ///
    /// The capacity reaches from the view's first byte to the end of the storage. An empty view gives
    /// an empty buffer without storage.
    ///
    /// # Errors
    ///
    /// The view itself, unchanged, if there are other handles, or if its bytes may not be written
    /// whoever has them: static ones, and those of a `bytes::Bytes`.
    pub fn try_into_mut(self) -> Result<IoBufMut, Self> {
        let Self { ptr, len, owner } = self;
        if owner.record().is_none() {
            let view = Self { ptr, len, owner };
            return if len == 0 {
                Ok(IoBufMut::new())
            } else {
                Err(view)
            };
        }
        match owner.try_into_unique() {
            // SAFETY: the view lies in the storage (I2), so that `len <= capacity`, and its `len` bytes
            // are initialised (I1).
            Ok(owner) => Ok(unsafe { IoBufMut::from_parts(ptr, len, owner) }),
            Err(owner) => Err(Self { ptr, len, owner }),
        }
    }

    /// The same bytes, without storage that nobody reads.
    ///
    /// A view keeps its whole storage from being given back, [`storage_bytes`](IoBuf::storage_bytes)
    /// of it. If the view is all of that, or static, it is given as it is. Otherwise the bytes are
    /// copied to the global heap, and the handle of the old storage goes.
    ///
    /// # Panics
    ///
    /// As [`IoBufMut::with_capacity`].
    #[must_use]
    pub fn compact(self) -> Self {
        if self.storage_bytes() <= self.len {
            return self;
        }
        Self::copy_from_slice(&self)
    }

    /// The bytes of storage that this view keeps from being given back, together with its other
    /// handles. 0 for static and empty views.
    #[inline]
    #[must_use]
    pub fn storage_bytes(&self) -> usize {
        self.owner.storage_bytes()
    }

    /// Whether the storage is a slot of a pool, which gets it back.
    #[inline]
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.owner.kind() == Some(Kind::Pooled)
    }

    /// Whether the first byte lies at a multiple of `align` bytes.
    ///
    /// # Panics
    ///
    /// If `align` is not a power of two.
    #[inline]
    #[must_use]
    pub fn is_aligned(&self, align: impl Alignment) -> bool {
        alignment::is_aligned(self.ptr, align)
    }

    /// The slot of a pool that is the storage, if it is one.
    #[inline]
    pub(crate) fn slot(&self) -> Option<NonNull<Slot>> {
        let pooled = self.is_pooled();
        self.owner
            .record()
            .filter(|_| pooled)
            .map(|record| record.cast())
    }
}

impl Clone for IoBuf {
    /// Another handle. Nothing is copied or allocated.
    ///
    /// Ends the process above `isize::MAX` handles: they are being leaked.
    #[inline]
    fn clone(&self) -> Self {
        Self {
            ptr: self.ptr,
            len: self.len,
            owner: self.owner.clone(),
        }
    }
}

impl Default for IoBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for IoBuf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the `len` bytes are initialised and not written (I1), and stay while the borrowed
        // view does (I2); `isize::MAX` bounds every storage.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

/// Prints the length: contents do not belong in logs, addresses differ from run to run.
impl fmt::Debug for IoBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBuf").field("len", &self.len).finish()
    }
}

/// The bounds of a range as a start and an end in a view of `len` bytes.
///
/// # Panics
///
/// If there are none.
fn resolve(start: Bound<&usize>, end: Bound<&usize>, len: usize) -> (usize, usize) {
    let start = match start {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => match before.checked_add(1) {
            Some(start) => start,
            None => bound_overflow(),
        },
        Bound::Unbounded => 0,
    };
    let end = match end {
        Bound::Included(&last) => match last.checked_add(1) {
            Some(end) => end,
            None => bound_overflow(),
        },
        Bound::Excluded(&end) => end,
        Bound::Unbounded => len,
    };
    if start > end {
        panic!("the slice starts at {start}, after its end at {end}");
    }
    if end > len {
        panic!("the slice ends at {end}, the view has {len} bytes");
    }
    (start, end)
}

#[cold]
fn bound_overflow() -> ! {
    panic!("a bound of the slice is beyond usize::MAX")
}

#[cold]
fn split_beyond(at: usize, len: usize) -> ! {
    panic!("split at {at}, the view has {len} bytes")
}
