//! Heap buffers: bytes and their record in one allocation of the global heap.
//!
//! # What
//!
//! Storage for buffers that no pool has: those of [`IoBufMut::with_capacity`](crate::IoBufMut::with_capacity),
//! and what a pool falls back to.
//!
//! # Memory picture
//!
//! ```text
//!   aligned as asked                              aligned for a record
//!   │ capacity bytes                            │ padding │ Record │ segment │ on_free │
//!   base                                        end of the buffer
//! ```
//!
//! The record lies behind the bytes, so that the bytes can have any alignment without a gap in front.
//!
//! # Invariants
//!
//! The record's `base` is the segment's base, and the segment is as long as [`plan`] says.
//!
//! # Threads
//!
//! Made on one thread, freed on any.
//!
//! # Cost
//!
//! One allocation of [`total_bytes`], one free.

use core::num::NonZeroUsize;
use core::ptr::{self, NonNull};

use drystone_core::{AllocError, FixedRange, HeapSegment, NonZeroLayout, arith};

use crate::record::{Kind, Record};

/// Whether the bytes of new storage are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Uninit,
    Zeroed,
}

/// Told when the memory of a heap buffer has gone back: `call(data, bytes)`, once, on any thread, with
/// the [`total_bytes`] of the allocation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnFree {
    data: NonNull<()>,
    call: unsafe fn(NonNull<()>, usize),
}

impl OnFree {
    /// # Safety
    ///
    /// Until it has been called once, `call` may be called with `data` on any thread.
    pub(crate) unsafe fn new(data: NonNull<()>, call: unsafe fn(NonNull<()>, usize)) -> Self {
        Self { data, call }
    }
}

/// What lies behind the bytes.
#[derive(Debug)]
#[repr(C)]
struct HeapRecord {
    record: Record,
    segment: HeapSegment,
    on_free: Option<OnFree>,
}

/// The layout of the whole allocation, and the offset of the record in it. `None` if there is no such
/// layout.
fn plan(capacity: NonZeroUsize, align: NonZeroUsize) -> Option<(NonZeroLayout, usize)> {
    let record = NonZeroLayout::for_type::<HeapRecord>()?;
    let offset = arith::align_up(capacity.get(), record.align().get())?;
    let size = offset.checked_add(record.size().get())?;
    let align = align.max(record.align());
    let layout = NonZeroLayout::from_size_align(size, align.get()).ok()?;
    Some((layout, offset))
}

/// The bytes that a heap buffer of `capacity` bytes takes from the heap, record included. `None` if
/// there is no such layout: `align` is no power of two, or the total exceeds `isize::MAX`.
pub(crate) fn total_bytes(capacity: NonZeroUsize, align: NonZeroUsize) -> Option<usize> {
    plan(capacity, align).map(|(layout, _)| layout.size().get())
}

/// A record of exactly `capacity` bytes at a multiple of `align`. It has no handle yet.
///
/// # Errors
///
/// [`AllocError`] if there is no such layout, or the heap is out of memory.
pub(crate) fn allocate(
    capacity: NonZeroUsize,
    align: NonZeroUsize,
    content: Content,
) -> Result<NonNull<Record>, AllocError> {
    let (layout, offset) = plan(capacity, align).ok_or(AllocError)?;
    let segment = match content {
        Content::Uninit => HeapSegment::new(layout)?,
        Content::Zeroed => HeapSegment::new_zeroed(layout)?,
    };
    let base = segment.base();
    // SAFETY: by `plan` the offset lies in the segment, with room for a record.
    let place = unsafe { base.add(offset) }.cast::<HeapRecord>();
    let record = HeapRecord {
        record: Record::new(base, capacity.get(), Kind::Heap),
        segment,
        on_free: None,
    };
    // SAFETY: by `plan` the place is in the segment and aligned for a record; the segment is new.
    unsafe { place.write(record) };
    Ok(place.cast())
}

/// Makes `on_free` part of the buffer: it is called when its memory has gone back.
///
/// # Safety
///
/// `record` is what [`allocate`] gave out, has no hook yet, and the caller has its only handle.
pub(crate) unsafe fn attach(record: NonNull<Record>, on_free: OnFree) {
    // SAFETY: the record is the head of a `HeapRecord`, which nobody else uses.
    unsafe { record.cast::<HeapRecord>().as_mut() }.on_free = Some(on_free);
}

/// Frees the buffer.
///
/// # Safety
///
/// `record` is what [`allocate`] gave out, and its last handle is given up.
pub(crate) unsafe fn free(record: NonNull<Record>) {
    // SAFETY: the record is the head of a `HeapRecord`; nobody uses the place after it was read.
    let HeapRecord {
        record: _,
        segment,
        on_free,
    } = unsafe { ptr::read(record.cast::<HeapRecord>().as_ptr()) };
    let bytes = segment.size();
    drop(segment);
    if let Some(OnFree { data, call }) = on_free {
        // SAFETY: the hook was taken out of the record, so this is its only call.
        unsafe { call(data, bytes) };
    }
}
