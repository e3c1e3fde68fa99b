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

/// Where the block would begin that the address is in; there may be none. As [`find`], any address may
/// be asked about.
pub(crate) fn start_around(core: &Core, address: usize) -> Option<usize> {
    let (base, owner) = segment_map::find(segment_address(address))?;
    if !ptr::eq(owner, core) {
        return None;
    }
    // SAFETY: as in `find`.
    let segment = unsafe { Segment::of(base.addr().get()) };
    let huge_bytes = segment.reservation().huge_bytes.get();
    if huge_bytes > 0 {
        let start = segment.reservation().huge_start.get().addr();
        return (start..start + huge_bytes)
            .contains(&address)
            .then_some(start);
    }
    if !segment.may_hold_blocks(address) {
        return None;
    }
    let first = segment.run_of(address);
    let start = base.addr().get() + first * SLICE_BYTES;
    match segment.inbox(first).content().class() {
        Some(class) => Some(start + block_offset(address.checked_sub(start)?, class)),
        None => Some(start),
    }
}
