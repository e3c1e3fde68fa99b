//! Allocating and freeing with a heap in hand: what every face of an arena does.

use core::ptr::{self, NonNull};

use drystone_core::NonZeroLayout;

use crate::block_list::Block;
use crate::check::{Place, PlaceKind, find};
use crate::core_state::Core;
use crate::error::FreeError;
use crate::geometry::{Kind, SLICE_BYTES, segment_address};
use crate::heap::{Heap, send_one};
use crate::misuse;
use crate::profile::Profile;
use crate::reciprocal::is_multiple;
use crate::segment::Segment;
use crate::segment_map;

/// A block, and whether it has only zero bytes.
pub(crate) struct Fresh {
    pub(crate) block: NonNull<u8>,
    pub(crate) zeroed: bool,
}

impl Fresh {
    /// The block with so many bytes, which it has, all zero.
    pub(crate) fn into_zeroed(self, bytes: usize) -> NonNull<[u8]> {
        if !self.zeroed {
            // SAFETY: the block has so many bytes, and nobody else has it.
            unsafe { self.block.write_bytes(0, bytes) };
        }
        NonNull::slice_from_raw_parts(self.block, bytes)
    }
}

/// A block for `layout`.
///
/// # Safety
///
/// The calling thread has the heap, which is of the arena `core` and of the profile `P`.
#[inline]
pub(crate) unsafe fn allocate<P: Profile>(
    core: &Core,
    heap: &Heap,
    layout: NonZeroLayout,
) -> Option<Fresh> {
    match Kind::of(layout) {
        Kind::Class(class) => {
            let block = if P::HARDENED {
                // SAFETY: the caller's promise.
                unsafe { heap.allocate_hardened(class) }
            } else {
                // SAFETY: the caller's promise.
                unsafe { heap.allocate(class) }
            };
            let block = block?.cast();
            note_handed_out::<P>(block);
            Some(Fresh {
                block,
                zeroed: false,
            })
        }
        Kind::Run {
            slices,
            align_slices,
        } => {
            let (block, zeroed) = heap.allocate_run(slices, align_slices)?;
            let block = NonNull::new(block)?;
            note_handed_out::<P>(block);
            Some(Fresh { block, zeroed })
        }
        Kind::Huge => {
            let (block, zeroed) = core.allocate_huge(layout).or_else(|| {
                heap.drain();
                core.make_room();
                core.allocate_huge(layout)
            })?;
            Some(Fresh { block, zeroed })
        }
    }
}

/// Under a checked profile, enters a block that goes to the application.
#[inline(always)]
fn note_handed_out<P: Profile>(block: NonNull<u8>) {
    if P::CHECKED && !try_note_handed_out(block) {
        // Freed twice at the same moment, or twice in a list that somebody wrote to.
        misuse::abort(FreeError::DoubleFree, block.addr().get());
    }
}

/// Enters a block that goes to the application, unless it is with the application already.
#[inline(always)]
fn try_note_handed_out(block: NonNull<u8>) -> bool {
    let address = block.addr().get();
    // SAFETY: the block has just been taken from a live segment.
    let segment = unsafe { Segment::of(segment_address(address)) };
    segment.bits().set_live(address)
}

/// Takes back the block at the address. `layout` is the caller's word for it; without one the
/// block's own record is taken.
///
/// # Errors
///
/// [`FreeError`], as far as the profile finds out; nothing has changed then.
///
/// # Safety
///
/// The calling thread has the heap, if any, which is of the arena `core` and of the profile `P`.
/// What the profile does not find out is the caller's duty: the block is live, of this arena, and was
/// handed out for this layout; in any case nobody uses it any more.
#[inline]
pub(crate) unsafe fn free<P: Profile>(
    core: &Core,
    heap: Option<&Heap>,
    address: usize,
    layout: Option<NonZeroLayout>,
) -> Result<(), FreeError> {
    let place = find(core, address, P::CHECKED)?;
    if let Some(layout) = layout {
        expect(place.kind, layout)?;
    }
    // SAFETY: the block was found; the rest is the caller's promise.
    unsafe { free_at::<P>(core, heap, address, place) }
}

/// Takes back the block at the address if it is this heap's, of a class that is as `expected`, and needs no
/// lock and no call of the system. Otherwise nothing has changed, and [`free`] does it or says why not.
///
/// A checked profile takes back no address but that of a live block. [`Fast`](drystone_core::Fast) believes
/// that the address is one if it is `TRUSTED`, or else that a block which begins there is live.
///
/// # Safety
///
/// As [`free`], and the profile is not a hardened one. Of the profile `Fast` a `TRUSTED` address is that of a
/// live block.
#[inline(always)]
pub(crate) unsafe fn free_own<P: Profile, const TRUSTED: bool>(
    heap: &Heap,
    address: usize,
    expected: impl FnOnce(usize) -> bool,
) -> bool {
    debug_assert!(!P::HARDENED, "the block has to be filled");
    let at = segment_address(address);
    let is_own = if P::CHECKED || !TRUSTED {
        ptr::eq(segment_map::owner(at), heap)
    } else {
        // SAFETY: the caller's block is live.
        ptr::eq(unsafe { Segment::of(at) }.owner(), heap)
    };
    if !is_own {
        return false;
    }
    // SAFETY: a segment of this heap is live.
    let segment = unsafe { Segment::of(at) };
    let Some(class) = segment.class_of(address) else {
        return false;
    };
    if !expected(class) || !heap.has_room(class) {
        return false;
    }
    if P::CHECKED {
        if !segment.bits().take_own(address) {
            return false;
        }
    } else if !TRUSTED {
        let offset = address - at - segment.run_of(address) * SLICE_BYTES;
        if !is_multiple(offset, class) {
            return false;
        }
    }
    // SAFETY: the address of a live block.
    let block = unsafe { segment_map::pointer(address) };
    // SAFETY: the block is this heap's, and the caller's to give up.
    unsafe { heap.free_into_room(block.cast(), class) };
    true
}

/// [`free`] for a layout, which tries the short way first.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
#[inline]
pub(crate) unsafe fn free_layout<P: Profile>(
    core: &Core,
    heap: Option<&Heap>,
    address: usize,
    layout: NonZeroLayout,
) -> Result<(), FreeError> {
    if let (Some(heap), Kind::Class(class)) = (heap, Kind::of(layout)) {
        // SAFETY: the caller's promise.
        if unsafe { free_class::<P>(heap, address, class) } {
            return Ok(());
        }
    }
    // SAFETY: the caller's promise.
    unsafe { free_slowly::<P>(core, heap, address, layout) }
}

/// Takes back a block of this heap, of the class that its layout has, if the bin has room. Whether it is one;
/// nothing has changed otherwise.
///
/// # Safety
///
/// As [`free`].
#[inline(always)]
pub(crate) unsafe fn free_class<P: Profile>(heap: &Heap, address: usize, class: usize) -> bool {
    // SAFETY: the caller's promise.
    !P::HARDENED && unsafe { free_own::<P, false>(heap, address, |recorded| recorded == class) }
}

/// A block of the class, if the heap has one in its bin. One that is with the application already stays in the
/// bin: the slow path finds it there and ends the process. Here that would take a stack frame.
///
/// # Safety
///
/// The calling thread has the heap, and the profile is its arena's.
#[inline(always)]
pub(crate) unsafe fn pop<P: Profile>(heap: &Heap, class: usize) -> Option<NonNull<u8>> {
    let block = heap.pop(class)?;
    if P::CHECKED && !try_note_handed_out(block.cast()) {
        // SAFETY: the thread has the heap, whose bin has just lost this block.
        unsafe { heap.free_into_room(block.as_ptr(), class) };
        return None;
    }
    Some(block.cast())
}

/// The rest of [`free_layout`].
///
/// # Safety
///
/// As [`free`].
#[cold]
#[inline(never)]
unsafe fn free_slowly<P: Profile>(
    core: &Core,
    heap: Option<&Heap>,
    address: usize,
    layout: NonZeroLayout,
) -> Result<(), FreeError> {
    // SAFETY: the caller's promise.
    unsafe { free::<P>(core, heap, address, Some(layout)) }
}

/// Takes back a block whose place is known.
///
/// # Safety
///
/// As [`free`].
#[inline]
pub(crate) unsafe fn free_at<P: Profile>(
    core: &Core,
    heap: Option<&Heap>,
    address: usize,
    place: Place<'_>,
) -> Result<(), FreeError> {
    let segment = place.segment;
    if let PlaceKind::Huge { .. } = place.kind {
        // SAFETY: the caller's promise.
        return match unsafe { core.free_huge(segment) } {
            true => Ok(()),
            false => Err(FreeError::DoubleFree),
        };
    }
    let own = heap.filter(|heap| ptr::eq(segment.owner(), *heap));
    // SAFETY: the address of a block in a live segment.
    let block = unsafe { segment_map::pointer(address) }.cast::<Block>();
    if P::HARDENED && matches!(place.kind, PlaceKind::Class(_)) {
        // Before the bits say that it is free.
        // SAFETY: the block has the bytes of its class, and is the caller's to give up.
        unsafe { core.fill().write(block.cast(), place.kind.bytes()) };
    }
    if P::CHECKED {
        if own.is_some() {
            segment.bits().set_free(address);
        } else if !set_away::<P>(segment, address) {
            return Err(FreeError::DoubleFree);
        }
    }
    match (own, place.kind) {
        // SAFETY: the caller's promise; the heap owns the segment.
        (Some(heap), PlaceKind::Class(class)) if P::HARDENED => unsafe {
            heap.free_hardened(block, class);
        },
        // SAFETY: the caller's promise; the heap owns the segment.
        (Some(heap), PlaceKind::Class(class)) => unsafe { heap.free(block, class) },
        (Some(heap), _) => heap.free_run(segment, place.first),
        // SAFETY: the caller's promise.
        (None, kind) => unsafe { free_away::<P>(heap, segment, place.first, block, kind.bytes()) },
    }
    Ok(())
}

/// Marks a block of another heap free. Whether it was not.
#[inline]
fn set_away<P: Profile>(segment: &Segment, address: usize) -> bool {
    if P::HARDENED {
        segment.bits().set_sent(address)
    } else {
        segment.bits().set_remote(address)
    }
}

/// Takes back a block that another heap owns.
///
/// # Safety
///
/// As [`free_at`].
unsafe fn free_away<P: Profile>(
    heap: Option<&Heap>,
    segment: &Segment,
    first: usize,
    block: *mut Block,
    bytes: usize,
) {
    match (heap, P::HARDENED) {
        (Some(heap), false) => {
            // SAFETY: the caller's promise.
            if !unsafe { heap.free_remote_at_once(segment, first, block) } {
                // SAFETY: as above.
                unsafe { heap.free_remote::<true>(segment, first, block, bytes) };
            }
        }
        // SAFETY: the caller's promise.
        (Some(heap), true) => unsafe { heap.free_remote::<false>(segment, first, block, bytes) },
        // SAFETY: the caller's promise.
        (None, false) => unsafe { send_one::<true>(segment, first, block) },
        // SAFETY: the caller's promise.
        (None, true) => unsafe { send_one::<false>(segment, first, block) },
    }
}

/// What a block is resized with: the parts in which the faces of an arena differ.
pub(crate) trait Face<P: Profile> {
    fn core(&self) -> &Core;

    /// The heap of the calling thread, or the one that stands for none.
    fn heap(&self) -> &Heap;

    fn allocate(&self, layout: NonZeroLayout) -> Option<Fresh>;

    /// # Safety
    ///
    /// As [`free`].
    unsafe fn free(&self, block: NonNull<u8>, layout: NonZeroLayout);
}

/// Makes the block serve the new layout: where it is, or else somewhere else.
///
/// # Errors
///
/// [`FreeError`] if the profile finds that the block is none that was handed out for `old`. `None`
/// if there is no memory. Nothing has changed in either case.
///
/// # Safety
///
/// As [`free`] with the layout `old`. After an answer of a block the old one is that block or is free.
pub(crate) unsafe fn resize<P: Profile>(
    face: &impl Face<P>,
    block: NonNull<u8>,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> Result<Option<NonNull<u8>>, FreeError> {
    let address = block.addr().get();
    if P::CHECKED {
        expect(find(face.core(), address, true)?.kind, old)?;
    }
    // SAFETY: the caller's promise.
    let in_place = unsafe { resize_in_place(face.core(), face.heap(), address, old, new) };
    if in_place {
        return Ok(Some(block));
    }
    let Some(moved) = face.allocate(new) else {
        return Ok(None);
    };
    let bytes = old.size().min(new.size()).get();
    let both_huge = (Kind::of(old), Kind::of(new)) == (Kind::Huge, Kind::Huge);
    // SAFETY: both blocks have the bytes; they are different blocks, and of these layouts.
    unsafe { move_bytes(face.core(), block, &moved, both_huge, bytes) };
    // SAFETY: the caller gave the block up.
    unsafe { face.free(block, old) };
    Ok(Some(moved.block))
}

/// Whether a block of this kind is one that was handed out for the layout.
fn expect(kind: PlaceKind, layout: NonZeroLayout) -> Result<(), FreeError> {
    if kind.serves(layout) {
        return Ok(());
    }
    Err(FreeError::SizeMismatch {
        provided: layout.size().get(),
        recorded: kind.bytes(),
    })
}

/// Whether the block at the address can serve the new layout where it is; makes it so if a run has
/// to grow or shrink for that.
///
/// # Safety
///
/// As [`free`], and the block is live and was handed out for `old`.
unsafe fn resize_in_place(
    core: &Core,
    heap: &Heap,
    address: usize,
    old: NonZeroLayout,
    new: NonZeroLayout,
) -> bool {
    match (Kind::of(old), Kind::of(new)) {
        (Kind::Class(have), Kind::Class(class)) => have == class,
        (
            Kind::Run { slices: have, .. },
            Kind::Run {
                slices,
                align_slices,
            },
        ) if address.is_multiple_of(align_slices * SLICE_BYTES) => {
            if have == slices {
                return true;
            }
            // SAFETY: the block is live.
            let segment = unsafe { Segment::of(segment_address(address)) };
            ptr::eq(segment.owner(), heap)
                && heap.resize_run(segment, segment.run_of(address), slices)
        }
        (Kind::Huge, Kind::Huge) if address.is_multiple_of(new.align().get()) => {
            // SAFETY: the block is live.
            let segment = unsafe { Segment::of(segment_address(address)) };
            core.resize_huge(segment, new.size().get())
        }
        _ => false,
    }
}

/// Moves the first bytes of a block to another block, by moving pages where both are huge.
///
/// # Safety
///
/// Both blocks are live, have so many bytes, and are nobody else's; the old one's bytes are not read
/// again. `both_huge` says of both that they have mappings of their own.
pub(crate) unsafe fn move_bytes(
    core: &Core,
    from: NonNull<u8>,
    to: &Fresh,
    both_huge: bool,
    bytes: usize,
) {
    // Pages that are there already are filled sooner than others are moved in and more are added.
    if to.zeroed && both_huge {
        // SAFETY: the block is live.
        let segment = unsafe { Segment::of(segment_address(from.addr().get())) };
        // SAFETY: the caller's promise.
        if unsafe { core.move_huge(segment, to.block, bytes) } {
            return;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to.block.as_ptr(), bytes) };
}
