//! The process's map from addresses to segments: which addresses are an arena's, and the one place
//! of the arena where a pointer is made from an address.
//!
//! # What
//!
//! A caller's pointer is used for its address only: it may have been narrowed on its way, and a
//! block must be handed out again whole. [`pointer`] makes a pointer of the segment's own from the
//! address. Everything that is found from an address (headers, neighbours, blocks) comes from here.
//!
//! # Memory picture
//!
//! ```text
//!  ROOT, static                     leaf, 128 KiB, mapped when first needed, never unmapped
//!  [ none | leaf | none | ... ] ──> [ none | base, core, end, owner | ... ]    one for each 4 MiB
//! ```
//!
//! # Invariants
//!
//! - M1: a leaf, once in the root, stays there and stays mapped.
//! - M2: an entry has no base, or that of a live segment or huge block, whose pointer has the
//!   provenance of the whole mapping. It has a core only after the header was written.
//! - M3: an entry has an owner exactly while its segment has one, and the same.
//!
//! # Threads
//!
//! Lookups are two loads. Entering and removing are rare; two threads that need the same new leaf
//! both map one, and one of them gives its own back.
//!
//! # Cost
//!
//! Address space and no memory for the root; a leaf covers 16 GiB of addresses and has one page
//! touched for each 512 MiB in use.
//!
//! Without Miri, [`pointer`] rebuilds the pointer from exposed provenance, which costs no
//! instruction; the base of each segment was exposed when it was entered. Under Miri it looks the
//! base up, so that strict provenance holds there and every lookup is checked.

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use drystone_backing::MmapBacked;
use drystone_core::{AllocError, FixedRange};
use drystone_sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::core_state::Core;
use crate::geometry::{SEGMENT_BYTES, segment_number};
use crate::heap::Heap;

/// The address bits that the map covers: what user space has on the supported systems.
const ADDRESS_BITS: u32 = if usize::BITS == 64 { 48 } else { 32 };
const LEAF_LOG2: u32 = 12;
const LEAF_LEN: usize = 1 << LEAF_LOG2;
const ROOT_LEN: usize = 1 << (ADDRESS_BITS - SEGMENT_BYTES.ilog2()).saturating_sub(LEAF_LOG2);

/// What is known of so many bytes as a segment has, at a multiple of as many. Zero bytes say that
/// nothing is.
struct Entry {
    /// The base of the segment, or the header of the huge block, that has these bytes.
    base: AtomicPtr<u8>,
    /// The arena. Null until the header is written.
    core: AtomicPtr<Core>,
    /// Where the mapping ends.
    end: AtomicUsize,
    /// The heap whose segment it is; null for an idle one and for huge blocks.
    owner: AtomicPtr<Heap>,
}

/// Entries with numbers in a row.
type Leaf = [Entry; LEAF_LEN];

static ROOT: [AtomicPtr<Leaf>; ROOT_LEN] = [const { AtomicPtr::new(ptr::null_mut()) }; ROOT_LEN];

/// The base of the segment, or the header of the huge block, that the address lies in, and its
/// arena; any address is allowed.
#[inline]
pub(crate) fn find(address: usize) -> Option<(NonNull<u8>, *const Core)> {
    let entry = entry_of(address)?;
    // Acquire: pairs with the Release in `publish`, for the header.
    let core = entry.core.load(Ordering::Acquire);
    if core.is_null() {
        return None;
    }
    Some((NonNull::new(entry.base.load(Ordering::Relaxed))?, core))
}

/// The heap whose segment begins at the address, a multiple of a segment's size; null if there is none.
/// Any such address is allowed.
#[inline(always)]
pub(crate) fn owner(segment_address: usize) -> *mut Heap {
    // Relaxed: whoever finds the heap that it has finds what it stored itself, or got with the heap.
    entry_of(segment_address).map_or(ptr::null_mut(), |entry| entry.owner.load(Ordering::Relaxed))
}

/// Says whose an entered segment is.
pub(crate) fn set_owner(segment_address: usize, heap: *mut Heap) {
    if let Some(entry) = entry_of(segment_address) {
        // Relaxed: as `owner`.
        entry.owner.store(heap, Ordering::Relaxed);
    }
}

/// Whether the address lies in memory of this arena. Looks at the map only.
#[inline]
pub(crate) fn is_of(core: &Core, address: usize) -> bool {
    entry_of(address).is_some_and(|entry| {
        ptr::eq(entry.core.load(Ordering::Acquire), core)
            && address < entry.end.load(Ordering::Relaxed)
    })
}

/// The base of the segment, or the header of the huge block, that the address lies in.
#[cfg(any(miri, test))]
fn base_of(address: usize) -> Option<NonNull<u8>> {
    NonNull::new(entry_of(address)?.base.load(Ordering::Acquire))
}

#[inline]
fn entry_of(address: usize) -> Option<&'static Entry> {
    let number = segment_number(address);
    // Acquire: pairs with the Release in `leaf_of`, for the zeros of the leaf.
    let leaf = root_entry(number >> LEAF_LOG2)?.load(Ordering::Acquire);
    Some(leaf_entry(NonNull::new(leaf)?, number))
}

/// The entry of a leaf. References are to single entries: whoever checks references would look at
/// all the others too.
#[inline]
fn root_entry(index: usize) -> Option<&'static AtomicPtr<Leaf>> {
    if index >= ROOT_LEN {
        return None;
    }
    let first = (&raw const ROOT).cast::<AtomicPtr<Leaf>>();
    // SAFETY: inside the table.
    let entry = unsafe { first.add(index) };
    // SAFETY: an entry of a static.
    Some(unsafe { &*entry })
}

/// The entry of a segment.
#[inline]
fn leaf_entry(leaf: NonNull<Leaf>, segment_number: usize) -> &'static Entry {
    let first = leaf.as_ptr().cast::<Entry>();
    // SAFETY: inside the leaf.
    let entry = unsafe { first.add(segment_number % LEAF_LEN) };
    // SAFETY: by M1 the leaf stays, and its entries are only shared.
    unsafe { &*entry }
}

/// The pointer of the segment's own to an address inside it.
///
/// # Safety
///
/// The address lies in the mapping of a live segment that was entered, less than a segment's size
/// from its base.
#[inline(always)]
pub(crate) unsafe fn pointer(address: usize) -> *mut u8 {
    #[cfg(not(miri))]
    {
        ptr::with_exposed_provenance_mut(address)
    }
    #[cfg(miri)]
    {
        base_of(address)
            .expect("the address of a live segment")
            .as_ptr()
            .with_addr(address)
    }
}

/// Enters a segment, or a mapping of several segments' size with one header, which is at its base.
/// Nobody finds it before it is [published](publish).
///
/// # Errors
///
/// [`AllocError`] if there is no memory for a leaf, or the address is beyond what the map covers.
///
/// # Safety
///
/// `base` has the provenance of its whole mapping, which stays until [`remove`] was called.
pub(crate) unsafe fn enter(base: NonNull<u8>, segments: usize) -> Result<(), AllocError> {
    debug_assert_eq!(base.addr().get() % SEGMENT_BYTES, 0);
    let number = segment_number(base.as_ptr().expose_provenance());
    for index in 0..segments {
        let Ok(leaf) = leaf_of((number + index) >> LEAF_LOG2) else {
            remove(base, index);
            return Err(AllocError);
        };
        // Release: for the pointer's own mapping, which `base_of` reads with Acquire.
        leaf_entry(leaf, number + index)
            .base
            .store(base.as_ptr(), Ordering::Release);
    }
    Ok(())
}

/// Says whose the segments are that were entered, and where their mapping ends.
pub(crate) fn publish(base: NonNull<u8>, segments: usize, core: &Core, end: usize) {
    for index in 0..segments {
        if let Some(entry) = entry_of(base.addr().get() + index * SEGMENT_BYTES) {
            entry.end.store(end, Ordering::Relaxed);
            // Release: pairs with the Acquire in `find`, for the header.
            entry
                .core
                .store(ptr::from_ref(core).cast_mut(), Ordering::Release);
        }
    }
}

/// Removes what was entered, before its mapping goes.
pub(crate) fn remove(base: NonNull<u8>, segments: usize) {
    for index in 0..segments {
        let entry = entry_of(base.addr().get() + index * SEGMENT_BYTES);
        debug_assert!(entry.is_some(), "the segment was entered");
        if let Some(entry) = entry {
            entry.core.store(ptr::null_mut(), Ordering::Release);
            entry.base.store(ptr::null_mut(), Ordering::Release);
        }
    }
}

fn leaf_of(index: usize) -> Result<NonNull<Leaf>, AllocError> {
    let entry = root_entry(index).ok_or(AllocError)?;
    if let Some(leaf) = NonNull::new(entry.load(Ordering::Acquire)) {
        return Ok(leaf);
    }
    let made = MmapBacked::new(size_of::<Leaf>())?;
    let leaf = made.base().cast::<Leaf>();
    // Release: pairs with the Acquire in `segment_at`. Zero bytes are null pointers, so the leaf
    // needs no other initialisation.
    match entry.compare_exchange(
        ptr::null_mut(),
        leaf.as_ptr(),
        Ordering::Release,
        Ordering::Acquire,
    ) {
        Ok(_) => {
            let _stays = ManuallyDrop::new(made);
            Ok(leaf)
        }
        Err(other) => NonNull::new(other).ok_or(AllocError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use drystone_backing::MmapFlags;

    #[test]
    fn an_entered_segment_is_found_until_it_is_removed() {
        let segment = MmapBacked::with_align(SEGMENT_BYTES, SEGMENT_BYTES, MmapFlags::new())
            .expect("memory for a test");
        let base = segment.base();
        let start = base.addr().get();
        assert_eq!(base_of(start), None);
        // SAFETY: the mapping's own pointer; removed below.
        unsafe { enter(base, 1) }.expect("memory for a test");
        for offset in [0, 1, SEGMENT_BYTES - 1] {
            assert_eq!(base_of(start + offset), Some(base));
        }
        assert_eq!(base_of(start + SEGMENT_BYTES), None);
        // SAFETY: inside the segment that was entered.
        let inside = unsafe { pointer(start + 4096) };
        // SAFETY: the mapping's own byte.
        unsafe { inside.write(7) };
        remove(base, 1);
        assert_eq!(base_of(start), None);
    }

    #[test]
    fn addresses_that_no_system_gives_are_no_segment() {
        for address in [0, 1, usize::MAX, usize::MAX / 2] {
            assert!(find(address).is_none());
        }
    }
}
