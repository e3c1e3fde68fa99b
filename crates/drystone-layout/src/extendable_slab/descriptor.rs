//! Descriptors: the memory of what is known of a segment, several to a block of the heap, and what it holds of types
//! that the slab is generic over.

use core::alloc::Layout;
use core::ptr::NonNull;

use drystone_core::{AllocError, FixedRange, FreelistProtection, HeapSegment, NonZeroLayout};
use drystone_sync::atomic::{AtomicU32, Ordering};
use drystone_sync::cell::UnsafeCell;

use super::group::Group;
use super::runs::Piece;
use super::segment::{Segment, SegmentRef};
use super::shape::Shape;

/// The part of a descriptor after the groups.
struct Cold<R, M> {
    /// The block of the descriptors that were made together, in the first of them.
    memory: Option<HeapSegment>,
    /// Written while nobody else knows the segment; read by whoever holds one of its slots.
    mapped: UnsafeCell<Option<Mapped<R, M>>>,
}

/// A segment's memory and its protection.
pub(super) struct Mapped<R, M> {
    pub(super) piece: Piece<R>,
    pub(super) protection: M,
}

/// Where the parts of a descriptor lie.
struct Parts {
    layout: Layout,
    cold: usize,
    epochs: usize,
}

/// How many epochs a descriptor has. A seal needs one, to say that it is there.
fn epoch_count<M: FreelistProtection>(shape: &Shape) -> usize {
    if M::TAGGED { shape.capacity() } else { 0 }
}

fn parts<R, M: FreelistProtection>(shape: &Shape) -> Option<Parts> {
    let groups = Layout::array::<Group>(shape.groups() as usize).ok()?;
    let (layout, first) = Layout::new::<Segment>().extend(groups).ok()?;
    debug_assert_eq!(first, size_of::<Segment>(), "the groups follow the segment");
    let (layout, cold) = layout.extend(Layout::new::<Cold<R, M>>()).ok()?;
    let counts = Layout::array::<AtomicU32>(epoch_count::<M>(shape)).ok()?;
    let (layout, epochs) = layout.extend(counts).ok()?;
    Some(Parts {
        layout,
        cold,
        epochs,
    })
}

/// The most bytes of descriptors that are made together.
const BLOCK_BYTES_MAX: usize = 16 << 10;

/// New descriptors for segments of `shape`, which have none yet: up to `count`, and at least 1, in one
/// block of the heap. They belong to the caller until [`destroy`], which comes to the first of them last.
///
/// # Errors
///
/// [`AllocError`] if the heap has no memory for them.
pub(super) fn create<'a, R, M: FreelistProtection>(
    shape: &Shape,
    count: usize,
) -> Result<impl Iterator<Item = SegmentRef<'a>> + use<'a, R, M>, AllocError> {
    let parts = parts::<R, M>(shape).ok_or(AllocError)?;
    let stride = parts.layout.pad_to_align().size();
    let count = count.min(BLOCK_BYTES_MAX / stride).max(1);
    let bytes = stride.checked_mul(count).ok_or(AllocError)?;
    let layout = NonZeroLayout::from_size_align(bytes, parts.layout.align());
    let memory = HeapSegment::new(layout.map_err(|_| AllocError)?)?;
    let first = memory.base();
    let mut memory = Some(memory);
    for index in 0..count {
        // SAFETY: the block has room for this descriptor.
        let place = unsafe { first.add(index * stride) };
        // SAFETY: the place is as long and as aligned as a descriptor, and new.
        unsafe { initialise::<R, M>(place.cast(), shape, &parts, memory.take()) };
    }
    Ok((0..count).map(move |index| {
        // SAFETY: as above.
        let place = unsafe { first.add(index * stride) };
        // SAFETY: the descriptor lives until `destroy`, whose caller has no such reference left, and
        // the pointer reaches the whole block.
        unsafe { SegmentRef::from_raw(place.cast()) }
    }))
}

/// Writes a descriptor without a segment.
///
/// # Safety
///
/// `place` has room for one with these parts, and is the caller's.
unsafe fn initialise<R, M: FreelistProtection>(
    place: NonNull<Segment>,
    shape: &Shape,
    parts: &Parts,
    memory: Option<HeapSegment>,
) {
    // SAFETY: the caller's promise.
    unsafe { place.write(Segment::new()) };
    // SAFETY: the descriptor has just been initialised, and the place outlives this function.
    let segment = unsafe { SegmentRef::from_raw(place) };
    for index in 0..shape.groups() {
        // SAFETY: the place has room for this group.
        unsafe { segment.group_ptr(index).write(Group::new(index)) };
    }
    let cold = Cold::<R, M> {
        memory,
        mapped: UnsafeCell::new(None),
    };
    // SAFETY: the offset is that of the part, inside the descriptor.
    let cold_part = unsafe { place.byte_add(parts.cold) };
    // SAFETY: the part is aligned, and new.
    unsafe { cold_part.cast::<Cold<R, M>>().write(cold) };
    // SAFETY: the offset is that of the part, or one past the end of the descriptor.
    let epochs = unsafe { place.byte_add(parts.epochs) }.cast::<AtomicU32>();
    for slot in 0..epoch_count::<M>(shape) {
        // SAFETY: the descriptor has that many epochs.
        let epoch = unsafe { epochs.add(slot) };
        // SAFETY: as above.
        unsafe { epoch.write(AtomicU32::new(0)) };
    }
}

/// Ends a descriptor, which has no segment.
///
/// # Safety
///
/// It came from [`create`] with the same types and shape, and nobody uses it any more, nor, if it is
/// the first, one that was made with it.
pub(super) unsafe fn destroy<R, M: FreelistProtection>(segment: SegmentRef<'_>, shape: &Shape) {
    // SAFETY: the caller's promise.
    let cold = unsafe { cold::<R, M>(segment, shape) };
    // SAFETY: the part was initialised by `create` and is not used again.
    let Cold { memory, mapped } = unsafe { cold.read() };
    debug_assert!(
        mapped.into_inner().is_none(),
        "the segment was not given back"
    );
    drop(memory);
}

/// The part after the groups.
///
/// # Safety
///
/// As for [`destroy`], but for the end.
unsafe fn cold<R, M: FreelistProtection>(
    segment: SegmentRef<'_>,
    shape: &Shape,
) -> NonNull<Cold<R, M>> {
    let offset = parts::<R, M>(shape).map_or(0, |parts| parts.cold);
    // SAFETY: the offset is that of the part in the descriptor.
    unsafe { segment.as_raw().byte_add(offset).cast() }
}

/// Gives the descriptor a segment: every slot is free and no group is open.
///
/// # Safety
///
/// As [`destroy`]; the descriptor has no segment and no other thread knows it.
pub(super) unsafe fn fill<R: FixedRange, M: FreelistProtection>(
    segment: SegmentRef<'_>,
    shape: &Shape,
    mapped: Mapped<R, M>,
) {
    let base = mapped.piece.base();
    // SAFETY: the caller's promise.
    unsafe { forget_slots::<R, M>(segment, shape) };
    // SAFETY: the caller's promise.
    let cold = unsafe { cold::<R, M>(segment, shape) };
    // SAFETY: the part is initialised.
    let cold = unsafe { cold.as_ref() };
    cold.mapped.with_mut(|cell| {
        // SAFETY: the caller is alone with the descriptor.
        unsafe { *cell = Some(mapped) };
    });
    segment.set_base(base.as_ptr());
}

/// Takes the segment out of the descriptor.
///
/// # Safety
///
/// As [`destroy`], but for the end; every slot is free, no thread owns the segment, and the
/// address index does not lead to it any more.
pub(super) unsafe fn empty<R, M: FreelistProtection>(
    segment: SegmentRef<'_>,
    shape: &Shape,
) -> Option<Mapped<R, M>> {
    segment.set_base(core::ptr::null_mut());
    // SAFETY: the caller's promise.
    let cold = unsafe { cold::<R, M>(segment, shape) };
    // SAFETY: the part is initialised.
    let cold = unsafe { cold.as_ref() };
    cold.mapped.with_mut(|cell| {
        // SAFETY: nobody holds a slot, so nobody reads the protection.
        unsafe { (*cell).take() }
    })
}

/// Makes every slot free and never handed out.
///
/// # Safety
///
/// As [`destroy`], but for the end; nobody uses a slot, and the segment is on no list.
pub(super) unsafe fn forget_slots<R, M: FreelistProtection>(
    segment: SegmentRef<'_>,
    shape: &Shape,
) {
    for index in 0..segment.opened() {
        segment.group(index).clear();
    }
    // SAFETY: the caller is alone with the segment.
    unsafe { segment.close_all() };
    // SAFETY: the caller's promise.
    let epochs = unsafe { epochs::<R, M>(segment, shape) };
    for slot in 0..epoch_count::<M>(shape) {
        // SAFETY: the descriptor has that many epochs.
        let epoch = unsafe { epochs.add(slot) };
        // SAFETY: as above; they are initialised with the descriptor and only ever shared.
        unsafe { epoch.as_ref() }.store(0, Ordering::Relaxed);
    }
}

/// The epochs of the slots, one for each, if the protection has tags: 0, or how often the slot was
/// freed.
///
/// # Safety
///
/// As [`destroy`], but for the end.
pub(super) unsafe fn epochs<R, M: FreelistProtection>(
    segment: SegmentRef<'_>,
    shape: &Shape,
) -> NonNull<AtomicU32> {
    let offset = parts::<R, M>(shape).map_or(0, |parts| parts.epochs);
    // SAFETY: the offset is that of the part in the descriptor, or one past its end.
    unsafe { segment.as_raw().byte_add(offset).cast() }
}

/// Asks the protection of the segment's slots; `None` if there is no segment.
///
/// # Safety
///
/// As [`destroy`], but for the end; the caller has a slot of the segment, until `f` returns.
pub(super) unsafe fn with_protection<R, M: FreelistProtection, A>(
    segment: SegmentRef<'_>,
    shape: &Shape,
    f: impl FnOnce(&M) -> A,
) -> Option<A> {
    // SAFETY: the caller's promise.
    let cold = unsafe { cold::<R, M>(segment, shape) };
    // SAFETY: the part is initialised.
    let cold = unsafe { cold.as_ref() };
    cold.mapped.with(|cell| {
        // SAFETY: written only while nobody has a slot.
        let mapped = unsafe { &*cell };
        mapped.as_ref().map(|mapped| f(&mapped.protection))
    })
}
