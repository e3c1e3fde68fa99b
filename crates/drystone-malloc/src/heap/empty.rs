//! Blocks of no bytes: addresses of their own that nobody may access.
//!
//! # Memory picture
//!
//! ```text
//!  reserved, no access                                      static
//!  │ malloc: 65 536 × 16 bytes │ new │ new[] │              a bit for each: in use
//! ```
//!
//! # Invariants
//!
//! - E1: the region is mapped once, never accessible and never unmapped.
//! - E2: an address of it is a live block exactly while its bit is set.
//!
//! An address is used again only after the other addresses of its kind.

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use drystone_arena::FreeError;
use drystone_backing::{MmapBacked, MmapFlags};
use drystone_core::{FixedRange as _, OsBacked as _, Protection};
use drystone_sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::Wrong;
use crate::kind::Kind;
use crate::request::ALIGN;

const PLACES: usize = 1 << 16;
const KIND_BYTES: usize = PLACES * ALIGN;
const REGION_BYTES: usize = KIND_BYTES * Kind::COUNT;

/// How many places are looked at before the answer is that there is none.
const LOOKS_MAX: usize = 1024;

static REGION: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

struct Places {
    next: AtomicUsize,
    in_use: [AtomicU64; PLACES / 64],
}

static ALL: [Places; Kind::COUNT] = [const {
    Places {
        next: AtomicUsize::new(0),
        in_use: [const { AtomicU64::new(0) }; PLACES / 64],
    }
}; Kind::COUNT];

/// The region, made when it is asked for first.
fn region() -> Option<NonNull<u8>> {
    // Acquire: pairs with the Release below; the pointer is all there is.
    if let Some(region) = NonNull::new(REGION.load(Ordering::Acquire)) {
        return Some(region);
    }
    let made = MmapBacked::with_flags(REGION_BYTES, MmapFlags::new().no_reserve()).ok()?;
    // SAFETY: nobody has an address of it.
    unsafe { made.protect(0, REGION_BYTES, Protection::None) }.ok()?;
    let base = made.base();
    let null = ptr::null_mut();
    match REGION.compare_exchange(null, base.as_ptr(), Ordering::Release, Ordering::Acquire) {
        Ok(_) => {
            let _stays = ManuallyDrop::new(made);
            Some(base)
        }
        Err(other) => NonNull::new(other),
    }
}

/// A block of no bytes; `None` if there is no address for it.
pub(super) fn allocate(kind: Kind) -> Option<NonNull<u8>> {
    let base = region()?;
    let places = &ALL[usize::from(kind.number())];
    for _ in 0..LOOKS_MAX {
        // Relaxed: whoever sets the bit has the place.
        let place = places.next.fetch_add(1, Ordering::Relaxed) % PLACES;
        let bit = 1 << (place % 64);
        if places.in_use[place / 64].fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            let offset = usize::from(kind.number()) * KIND_BYTES + place * ALIGN;
            // SAFETY: inside the region.
            return Some(unsafe { base.add(offset) });
        }
    }
    None
}

/// Where the address is in the region.
fn offset_of(address: usize) -> Option<usize> {
    let base = REGION.load(Ordering::Acquire).addr();
    let offset = address.checked_sub(base)?;
    (base != 0 && offset < REGION_BYTES).then_some(offset)
}

/// Whether the address is one that nobody may access.
pub(super) fn is_there(address: usize) -> bool {
    offset_of(address).is_some()
}

/// What a block of no bytes is asked for and taken back by.
struct Found {
    word: &'static AtomicU64,
    bit: u64,
    kind: Kind,
}

/// The live block at the address; `None` outside of the region.
fn find(address: usize) -> Option<Result<Found, Wrong>> {
    let offset = offset_of(address)?;
    let number = offset / KIND_BYTES;
    let place = offset % KIND_BYTES / ALIGN;
    let kind = u8::try_from(number).ok().and_then(Kind::from_number)?;
    let found = Found {
        word: &ALL[number].in_use[place / 64],
        bit: 1 << (place % 64),
        kind,
    };
    if !offset.is_multiple_of(ALIGN) {
        return Some(Err(FreeError::Misaligned.into()));
    }
    if found.word.load(Ordering::Relaxed) & found.bit == 0 {
        return Some(Err(FreeError::DoubleFree.into()));
    }
    Some(Ok(found))
}

/// Whether the block at the address is live; `None` outside of the region.
pub(super) fn check(address: usize) -> Option<Result<(), Wrong>> {
    Some(find(address)?.map(|_| ()))
}

/// Takes back the block at the address; `None` outside of the region.
pub(super) fn free(address: usize, kind: Kind) -> Option<Result<(), Wrong>> {
    let found = match find(address)? {
        Ok(found) => found,
        Err(wrong) => return Some(Err(wrong)),
    };
    if kind != found.kind {
        return Some(Err(Wrong::Kind(found.kind)));
    }
    let before = found.word.fetch_and(!found.bit, Ordering::Relaxed);
    if before & found.bit == 0 {
        return Some(Err(FreeError::DoubleFree.into()));
    }
    Some(Ok(()))
}
