//! What an address is: a live block of an arena, or why it is not one.

use core::ptr;

use drystone_core::NonZeroLayout;

use crate::core_state::Core;
use crate::error::FreeError;
use crate::geometry::{Kind, SLICE_BYTES, block_bytes, segment_address};
use crate::reciprocal::{block_offset, is_multiple};
use crate::segment::Segment;
use crate::segment_map;

/// The place of a block.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) segment: &'a Segment,
    /// The first slice of its run; 0 for a huge block.
    pub(crate) first: usize,
    pub(crate) kind: PlaceKind,
}

/// What the block is cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    Class(usize),
    Run { slices: usize },
    Huge { bytes: usize },
}

impl PlaceKind {
    /// The bytes of the block.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Class(class) => block_bytes(class),
            Self::Run { slices } => slices * SLICE_BYTES,
            Self::Huge { bytes } => bytes,
        }
    }

    /// Whether a block for `layout` would be of this kind.
    pub(crate) fn serves(self, layout: NonZeroLayout) -> bool {
        match (self, Kind::of(layout)) {
            (Self::Class(have), Kind::Class(class)) => have == class,
            (Self::Run { slices: have }, Kind::Run { slices, .. }) => have == slices,
            (Self::Huge { bytes }, Kind::Huge) => {
                layout.size().get().checked_next_multiple_of(SLICE_BYTES) == Some(bytes)
            }
            _ => false,
        }
    }
}

/// Finds the block that begins at the address. Any address may be asked about, unless other threads
/// give the memory there back meanwhile; `checked` says whether the arena has block bits.
pub(crate) fn find<'a>(core: &Core, address: usize, checked: bool) -> Result<Place<'a>, FreeError> {
    let at = segment_address(address);
    let (base, owner) = segment_map::find(at).ok_or(FreeError::ForeignPointer)?;
    if !ptr::eq(owner, core) {
        return Err(FreeError::WrongArena);
    }
    // SAFETY: an entry of the map is a live segment. One that is unmapped meanwhile had no live
    // block, so the pointer would not have been the caller's to ask about.
    let segment = unsafe { Segment::of(base.addr().get()) };
    let huge_bytes = segment.reservation().huge_bytes.get();
    if huge_bytes > 0 {
        if segment.reservation().huge_start.get().addr() != address {
            return Err(FreeError::Misaligned);
        }
        if !segment.reservation().is_huge_live() {
            return Err(FreeError::DoubleFree);
        }
        let kind = PlaceKind::Huge { bytes: huge_bytes };
        return Ok(Place {
            segment,
            first: 0,
            kind,
        });
    }
    if !address.is_multiple_of(align_of::<usize>()) || !segment.may_hold_blocks(address) {
        return Err(FreeError::Misaligned);
    }
    let first = segment.run_of(address);
    let content = segment.inbox(first).content();
    let offset = address - at - first * SLICE_BYTES;
    let kind = match content.class() {
        Some(class) if is_multiple(offset, class) => PlaceKind::Class(class),
        None if content.is_block() && offset == 0 => PlaceKind::Run {
            slices: segment.run_slices(first),
        },
        None if !content.is_block() => return Err(FreeError::DoubleFree),
        _ => return Err(FreeError::Misaligned),
    };
    if checked && !segment.bits().is_live(address) {
        return Err(FreeError::DoubleFree);
    }
    Ok(Place {
        segment,
        first,
        kind,
    })
}

/// The bytes of the blocks of the page, or of the one block, that lies at the address.
pub(crate) fn bytes_around(core: &Core, address: usize) -> Option<usize> {
    let (base, owner) = segment_map::find(segment_address(address))?;
    if !ptr::eq(owner, core) {
        return None;
    }
    // SAFETY: as in `find`.
    let segment = unsafe { Segment::of(base.addr().get()) };
    let huge_bytes = segment.reservation().huge_bytes.get();
    if huge_bytes > 0 {
        return Some(huge_bytes);
    }
    let first = segment.run_of(address);
    match segment.inbox(first).content() {
        content if content.is_block() => Some(segment.run_slices(first) * SLICE_BYTES),
        content => content.class().map(block_bytes),
    }
}

/// The live block that the address is in: where it begins, and its bytes. As [`find`], any address may be
/// asked about.
#[inline]
pub(crate) fn around(
    core: &Core,
    address: usize,
    checked: bool,
) -> Result<(usize, usize), FreeError> {
    let found = segment_map::find(segment_address(address));
    let (base, owner) = found.ok_or(FreeError::ForeignPointer)?;
    if !ptr::eq(owner, core) {
        return Err(FreeError::ForeignPointer);
    }
    // SAFETY: as in `find`.
    let segment = unsafe { Segment::of(base.addr().get()) };
    let huge_bytes = segment.reservation().huge_bytes.get();
    if huge_bytes > 0 {
        let start = segment.reservation().huge_start.get().addr();
        if !(start..start + huge_bytes).contains(&address) {
            return Err(FreeError::ForeignPointer);
        }
        if !segment.reservation().is_huge_live() {
            return Err(FreeError::DoubleFree);
        }
        return Ok((start, huge_bytes));
    }
    if !segment.may_hold_blocks(address) {
        return Err(FreeError::ForeignPointer);
    }
    let first = segment.run_of(address);
    let run = base.addr().get() + first * SLICE_BYTES;
    let offset = address.checked_sub(run).ok_or(FreeError::ForeignPointer)?;
    let content = segment.inbox(first).content();
    let (start, bytes) = match content.class() {
        Some(class) => (run + block_offset(offset, class), block_bytes(class)),
        None if content.is_block() => (run, segment.run_slices(first) * SLICE_BYTES),
        None => return Err(FreeError::DoubleFree),
    };
    if checked && !segment.bits().is_live(start) {
        return Err(FreeError::DoubleFree);
    }
    if address - start >= bytes {
        return Err(FreeError::Misaligned);
    }
    Ok((start, bytes))
}
