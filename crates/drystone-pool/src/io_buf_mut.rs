//! [`IoBufMut`]: one buffer, one owner, a capacity that never changes.
//!
//! # What
//!
//! What a read goes into. Bytes are written behind those that are there, up to the capacity; nothing
//! grows, so nothing moves. [`freeze`](IoBufMut::freeze) makes it an [`IoBuf`], which many may have.
//!
//! # Memory picture
//!
//! ```text
//!   base        ptr          ptr + len           ptr + capacity
//!   │ consumed  │ readable    │ writable, uninit   │
//!   └─ storage: a slot of a pool, heap bytes, or an adopted vector ─┘
//! ```
//!
//! Three words. The capacity is what the storage has from `ptr` on, and is read from its record;
//! [`advance`](IoBufMut::advance) moves `ptr`.
//!
//! # Invariants
//!
//! - I1: `len <= capacity`, and the first `len` bytes at `ptr` are initialised.
//! - I2: `ptr` points into the owner's storage or to its end, and the `capacity` bytes from there to the
//!   end are valid for writes; or there is no owner, and the capacity is 0.
//! - I3: nobody else has a handle of the storage.
//!
//! # Threads
//!
//! `Send` and `Sync`, like a `Vec<u8>`.
//!
//! # Cost
//!
//! No call allocates but the constructors. Dropping gives the storage back without looking at the
//! count of handles.

use core::fmt;
use core::mem::{self, MaybeUninit};
use core::num::NonZeroUsize;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;
use std::alloc::{Layout, handle_alloc_error};

use drystone_core::AllocError;

use crate::IoBuf;
use crate::alignment::{self, Alignment, checked_align};
use crate::capacity_error::CapacityError;
use crate::heap_buffer::{self, Content, OnFree};
use crate::owner::UniqueOwner;
use crate::record::{Kind, Record};
use crate::slot::Slot;

/// A buffer with one owner and a fixed capacity.
///
/// It derefs to the bytes written so far. The capacity is exactly what was asked for, or, from a pool,
/// at least that. There is no growing: a write that does not fit panics, or is refused by
/// [`try_put_slice`](IoBufMut::try_put_slice) and left undone.
///
/// A buffer of a pool may outlive the pool. Dropping it gives its slot back.
///
/// ```
/// use drystone_pool::IoBufMut;
///
/// let mut buf = IoBufMut::with_capacity(16);
/// buf.try_put_slice(b"12 bytes fit")?;
/// let refused = buf.try_put_slice(b"these do not").unwrap_err();
/// assert_eq!((refused.requested, refused.available), (12, 4));
/// assert_eq!(&buf[..], b"12 bytes fit");
/// # Ok::<(), drystone_pool::CapacityError>(())
/// ```
///
/// There is one handle of it, and it is gone once the buffer is frozen:
///
/// ```compile_fail,E0599
/// let buf = drystone_pool::IoBufMut::with_capacity(16);
/// let second = buf.clone();
/// ```
///
/// ```compile_fail,E0382
/// let mut buf = drystone_pool::IoBufMut::from(b"read by others");
/// let view = buf.freeze();
/// buf.clear();
/// ```
#[repr(C)]
pub struct IoBufMut {
    ptr: NonNull<u8>,
    owner: UniqueOwner,
    len: usize,
}

const _: () = assert!(size_of::<IoBufMut>() == 3 * size_of::<usize>());
const _: () = assert!(size_of::<Option<IoBufMut>>() == size_of::<IoBufMut>());

// SAFETY: the bytes belong to this handle alone (I3), and the owner is `Send`.
unsafe impl Send for IoBufMut {}
// SAFETY: a shared reference only reads, and the owner is `Sync`.
unsafe impl Sync for IoBufMut {}

impl IoBufMut {
    /// A buffer without storage: length and capacity 0.
    #[must_use]
    pub fn new() -> Self {
        Self {
            ptr: NonNull::dangling(),
            len: 0,
            owner: UniqueOwner::default(),
        }
    }

    /// A buffer of exactly `capacity` bytes of the global heap, uninitialised. Nothing is allocated
    /// for 0.
    ///
    /// # Panics
    ///
    /// If the capacity and its record exceed `isize::MAX` bytes. When the heap is out of memory,
    /// [`handle_alloc_error`] is called. [`try_with_capacity`](IoBufMut::try_with_capacity) does
    /// neither.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self::on_heap(capacity, NonZeroUsize::MIN, Content::Uninit)
    }

    /// Like [`with_capacity`](IoBufMut::with_capacity), at a multiple of `align` bytes, which is a
    /// `usize` or a [`NonZeroUsize`].
    ///
    /// # Panics
    ///
    /// If `align` is not a power of two, or capacity, record and alignment exceed `isize::MAX` bytes.
    /// When the heap is out of memory, [`handle_alloc_error`] is called.
    #[must_use]
    pub fn with_alignment(capacity: usize, align: impl Alignment) -> Self {
        Self::on_heap(capacity, checked_align(align), Content::Uninit)
    }

    /// A buffer of `len` bytes of the global heap, all of them zero; its capacity is `len` too.
    ///
    /// # Panics
    ///
    /// As [`with_capacity`](IoBufMut::with_capacity).
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        Self::zeroed_with_alignment(len, NonZeroUsize::MIN)
    }

    /// Like [`zeroed`](IoBufMut::zeroed), at a multiple of `align` bytes.
    ///
    /// # Panics
    ///
    /// As [`with_alignment`](IoBufMut::with_alignment).
    #[must_use]
    pub fn zeroed_with_alignment(len: usize, align: impl Alignment) -> Self {
        let mut buf = Self::on_heap(len, checked_align(align), Content::Zeroed);
        buf.len = len;
        buf
    }

    /// Like [`with_capacity`](IoBufMut::with_capacity), for callers that can do without.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the heap is out of memory, or no allocation can be so large.
    pub fn try_with_capacity(capacity: usize) -> Result<Self, AllocError> {
        Self::try_heap(capacity, NonZeroUsize::MIN, Content::Uninit)
    }

    /// Like [`with_alignment`](IoBufMut::with_alignment), for callers that can do without.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if `align` is not a power of two, the heap is out of memory, or no allocation
    /// can be so large.
    pub fn try_with_alignment(capacity: usize, align: impl Alignment) -> Result<Self, AllocError> {
        let align = align.to_alignment().ok_or(AllocError)?;
        Self::try_heap(capacity, align, Content::Uninit)
    }

    /// A buffer of exactly `capacity` bytes of the global heap. Length 0 whatever the content.
    pub(crate) fn try_heap(
        capacity: usize,
        align: NonZeroUsize,
        content: Content,
    ) -> Result<Self, AllocError> {
        if !align.is_power_of_two() {
            return Err(AllocError);
        }
        let Some(capacity) = NonZeroUsize::new(capacity) else {
            return Ok(Self::new());
        };
        let record = heap_buffer::allocate(capacity, align, content)?;
        // SAFETY: a new record of heap bytes, and its whole bookkeeping.
        Ok(unsafe { Self::from_record(record) })
    }

    fn on_heap(capacity: usize, align: NonZeroUsize, content: Content) -> Self {
        match Self::try_heap(capacity, align, content) {
            Ok(buf) => buf,
            Err(AllocError) => no_memory(capacity, align),
        }
    }

    /// Calls `on_free` when the memory of this heap buffer has gone back, in whatever view it is then.
    ///
    /// # Panics
    ///
    /// In debug builds, if the buffer has no heap storage: it would never be called.
    ///
    /// # Safety
    ///
    /// The buffer is one of [`try_heap`](Self::try_heap) with a capacity above 0, and has no hook yet.
    pub(crate) unsafe fn attach(&mut self, on_free: OnFree) {
        debug_assert_eq!(self.owner.kind(), Some(Kind::Heap));
        if let Some(record) = self.owner.record() {
            // SAFETY: a heap buffer without a hook by the caller's promise, and its only handle (I3).
            unsafe { heap_buffer::attach(record, on_free) };
        }
    }

    /// The whole storage of a slot as an empty buffer.
    ///
    /// # Safety
    ///
    /// The slot is live and out of its pool, and the caller has it: its record has no handle.
    #[inline]
    pub(crate) unsafe fn from_slot(slot: NonNull<Slot>) -> Self {
        // SAFETY: the record is the first field of the slot, which is the caller's; `slot` may be
        // used for all of it.
        unsafe { Self::from_record(slot.cast()) }
    }

    /// The whole storage of a record as an empty buffer.
    ///
    /// # Safety
    ///
    /// As [`UniqueOwner::new`].
    #[inline]
    pub(crate) unsafe fn from_record(record: NonNull<Record>) -> Self {
        // SAFETY: the record is live, and has no handle that could change it.
        let ptr = unsafe { record.as_ref() }.base;
        Self {
            ptr,
            len: 0,
            // SAFETY: the caller's promise.
            owner: unsafe { UniqueOwner::new(record) },
        }
    }

    /// As [`from_record`](Self::from_record); without storage for `None`.
    ///
    /// # Safety
    ///
    /// As [`UniqueOwner::new`], if there is a record.
    #[inline(always)]
    pub(crate) unsafe fn from_storage(record: Option<NonNull<Record>>) -> Self {
        match record {
            // SAFETY: the caller's promise.
            Some(record) => unsafe { Self::from_record(record) },
            None => Self::new(),
        }
    }

    /// The record of the storage, which the caller now has; what is in it is forgotten.
    pub(crate) fn into_storage(self) -> Option<NonNull<Record>> {
        let record = self.owner.record();
        mem::forget(self);
        record
    }

    /// A view of the storage that `owner` has.
    ///
    /// # Safety
    ///
    /// The invariants I1 and I2 hold.
    #[inline]
    pub(crate) unsafe fn from_parts(ptr: NonNull<u8>, len: usize, owner: UniqueOwner) -> Self {
        let buf = Self { ptr, len, owner };
        debug_assert!(len <= buf.capacity(), "I1");
        buf
    }

    /// The bytes that can be read.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes from the first that can be read to the end of the storage. Only
    /// [`advance`](IoBufMut::advance) makes it smaller.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        match self.owner.storage_end() {
            Some(end) => end.addr().get() - self.ptr.addr().get(),
            None => 0,
        }
    }

    /// The first byte, for reads of `len` bytes.
    #[inline]
    #[must_use]
    pub fn as_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }

    /// The first byte, for writes of `capacity` bytes and reads of those that are initialised.
    ///
    /// The pointer is good until the buffer is dropped, frozen or converted; moving the buffer does
    /// not move the bytes.
    #[inline]
    #[must_use]
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    /// Says that the first `len` bytes are initialised.
    ///
    /// # Panics
    ///
    /// If `len` is above the capacity.
    ///
    /// # Safety
    ///
    /// The first `len` bytes at [`as_mut_ptr`](IoBufMut::as_mut_ptr) are initialised.
    #[inline]
    pub unsafe fn set_len(&mut self, len: usize) {
        let capacity = self.capacity();
        if len > capacity {
            set_len_beyond(len, capacity);
        }
        self.len = len;
    }

    /// Keeps the first `len` bytes. Nothing happens if there are no more than that.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets the bytes, keeps the capacity.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Lets the buffer be shared. Nothing is copied, allocated or counted.
    ///
    /// The room behind the bytes stays with the storage: [`IoBuf::try_into_mut`] finds it again. An
    /// empty buffer gives its storage back at once.
    #[inline]
    #[must_use = "dropping the answer drops the bytes"]
    pub fn freeze(self) -> IoBuf {
        if self.is_empty() {
            return IoBuf::new();
        }
        // SAFETY: the first `len` bytes are initialised (I1), nobody writes them any more, and the
        // owner keeps them (I2).
        unsafe { IoBuf::from_parts(self.ptr, self.len, self.owner.into_shared()) }
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

    /// The room behind the bytes. What is written there counts once [`set_len`](IoBufMut::set_len)
    /// says so.
    #[inline]
    pub fn spare_capacity_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: `len <= capacity` (I1), so the pointer stays in the storage.
        let start = unsafe { self.ptr.add(self.len) };
        let spare = self.capacity() - self.len;
        // SAFETY: the bytes from there to the capacity are the buffer's alone (I2, I3), valid for
        // writes, and may be uninitialised; the borrow of `self` keeps others away.
        unsafe { slice::from_raw_parts_mut(start.cast().as_ptr(), spare) }
    }

    /// Puts `bytes` behind those that are there.
    ///
    /// # Errors
    ///
    /// [`CapacityError`] if they do not all fit; nothing is written then.
    #[inline]
    pub fn try_put_slice(&mut self, bytes: &[u8]) -> Result<(), CapacityError> {
        let available = self.capacity() - self.len;
        if bytes.len() > available {
            return Err(CapacityError {
                requested: bytes.len(),
                available,
            });
        }
        // SAFETY: `len <= capacity` (I1), so the pointer stays in the storage.
        let end = unsafe { self.ptr.add(self.len) };
        // SAFETY: `bytes` are a slice; the room behind `end` is as long, the buffer's alone (I2, I3),
        // and so no part of the slice.
        unsafe { end.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        self.len += bytes.len();
        Ok(())
    }

    /// Leaves the first `count` bytes out of the buffer, and out of its capacity.
    ///
    /// # Panics
    ///
    /// If `count` is above the length.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        if count > self.len {
            advance_beyond(count, self.len);
        }
        // SAFETY: `count <= len <= capacity` (I1), so the pointer stays in the storage.
        self.ptr = unsafe { self.ptr.add(count) };
        self.len -= count;
    }
}

impl Default for IoBufMut {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for IoBufMut {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialised (I1), the owner keeps them (I2), and nobody
        // writes them while `self` is borrowed (I3); `isize::MAX` bounds every storage.
        unsafe { slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for IoBufMut {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; nobody else has the bytes (I3).
        unsafe { slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

/// Prints length and capacity: contents do not belong in logs, addresses differ from run to run.
impl fmt::Debug for IoBufMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBufMut")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .finish()
    }
}

#[cold]
fn no_memory(capacity: usize, align: NonZeroUsize) -> ! {
    match NonZeroUsize::new(capacity).and_then(|bytes| heap_buffer::total_bytes(bytes, align)) {
        Some(total) => match Layout::from_size_align(total, align.get()) {
            Ok(layout) => handle_alloc_error(layout),
            Err(_) => capacity_overflow(capacity, align),
        },
        None => capacity_overflow(capacity, align),
    }
}

#[cold]
fn capacity_overflow(capacity: usize, align: NonZeroUsize) -> ! {
    panic!(
        "a buffer of {capacity} bytes at a multiple of {align} exceeds the largest allocation, \
         {} bytes",
        isize::MAX
    )
}

#[cold]
pub(crate) fn advance_beyond(count: usize, len: usize) -> ! {
    panic!("advance by {count}, there are {len} bytes to read")
}

#[cold]
fn set_len_beyond(len: usize, capacity: usize) -> ! {
    panic!("length {len} is above the capacity of {capacity} bytes")
}
