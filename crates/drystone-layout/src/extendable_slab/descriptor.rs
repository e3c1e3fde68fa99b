//! Descriptors: one block of the heap for what is known of a segment, and what it holds of types
//! that the slab is generic over.

use core::alloc::Layout;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use drystone_core::{AllocError, FixedRange, FreelistProtection, HeapSegment, NonZeroLayout};
use drystone_sync::atomic::{AtomicU32, Ordering};
use drystone_sync::cell::UnsafeCell;

use super::group::Group;
use super::segment::{Segment, SegmentRef};
use super::shape::Shape;

/// The part of a descriptor after the groups.
struct Cold<R, M> {
    /// The descriptor's own memory.
    memory: ManuallyDrop<HeapSegment>,
    /// Written while nobody else knows the segment; read by whoever holds one of its slots.
    mapped: UnsafeCell<Option<Mapped<R, M>>>,
}

/// A segment's range and its protection.
pub(super) struct Mapped<R, M> {
    pub(super) range: R,
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

/// A new descriptor for segments of `shape`, which has none yet. Belongs to the caller until
/// [`destroy`].
///
/// # Errors
///
/// [`AllocError`] if the heap has no memory for it.
pub(super) fn create<'a, R, M: FreelistProtection>(
    shape: &Shape,
) -> Result<SegmentRef<'a>, AllocError> {
    let parts = parts::<R, M>(shape).ok_or(AllocError)?;
    let layout = NonZeroLayout::try_from(parts.layout).map_err(|_| AllocError)?;
    let memory = HeapSegment::new(layout)?;
    let ptr = memory.base().cast::<Segment>();
    // SAFETY: the block is as long and as aligned as a descriptor, and new.
    unsafe { ptr.write(Segment::new()) };
    // SAFETY: the descriptor lives until `destroy`, whose caller has no such reference left, and
    // the pointer reaches the whole block.
    let segment = unsafe { SegmentRef::from_raw(ptr) };
    for index in 0..shape.groups() {
        // SAFETY: the block has room for this group.
        unsafe { segment.group_ptr(index).write(Group::new(index)) };
    }
    let cold = Cold::<R, M> {
        memory: ManuallyDrop::new(memory),
        mapped: UnsafeCell::new(None),
    };
    // SAFETY: the offset is that of the part, inside the block.
    let cold_part = unsafe { ptr.byte_add(parts.cold) };
    // SAFETY: the place is aligned for the part, and new.
    unsafe { cold_part.cast::<Cold<R, M>>().write(cold) };
    // SAFETY: the offset is that of the part, or one past the end of the block.
    let epochs = unsafe { ptr.byte_add(parts.epochs) }.cast::<AtomicU32>();
    for slot in 0..epoch_count::<M>(shape) {
        // SAFETY: the descriptor has that many epochs.
        let epoch = unsafe { epochs.add(slot) };
        // SAFETY: as above.
        unsafe { epoch.write(AtomicU32::new(0)) };
    }
    Ok(segment)
}

/// Ends a descriptor and drops what it holds.
///
/// # Safety
///
/// It came from [`create`] with the same types and shape, and nobody uses it any more.
pub(super) unsafe fn destroy<R, M: FreelistProtection>(segment: SegmentRef<'_>, shape: &Shape) {
    // SAFETY: the caller's promise.
    let cold = unsafe { cold::<R, M>(segment, shape) };
    // SAFETY: the part was initialised by `create` and is not used again.
    let Cold { memory, mapped } = unsafe { cold.read() };
    drop(mapped.into_inner());
    drop(ManuallyDrop::into_inner(memory));
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
    let base = mapped.range.base();
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
