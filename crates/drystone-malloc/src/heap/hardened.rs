//! The arena of the profile `Hardened`, and a [`Seal`] behind each block.
//!
//! # Invariants
//!
//! - H1: the last eight bytes of a live block say how many were asked for, and the bytes between are the
//!   seal's. So a live block has at least [`SEAL_BYTES`] more than were asked for.

use core::ptr::{self, NonNull};

use std::hash::{BuildHasher as _, RandomState};

use drystone_arena::{ArenaStats, GlobalArena};
use drystone_core::{AllocError, Allocator as _, Hardened, NonZeroLayout, abort_on_unwind};
use drystone_sync::atomic::{AtomicU64, Ordering};

use super::Wrong;
use super::seal::{NUMBER_BYTES, SEAL_BYTES, Seal, canary_bytes};

type Arena = GlobalArena<Hardened>;

const ARENA: Arena = Arena::new();

/// A block of the arena and what was asked for.
struct Sealed {
    block: NonNull<u8>,
    block_bytes: usize,
    number: usize,
    seal: Seal,
}

impl Sealed {
    /// Seals a block of which `number` bytes were asked for.
    fn close(block: NonNull<[u8]>, number: usize) {
        let sealed = Self {
            block: block.cast(),
            block_bytes: block.len(),
            number,
            seal: seal(block.cast()),
        };
        // SAFETY: inside the block (H1).
        let end = unsafe { sealed.block.add(sealed.block_bytes - NUMBER_BYTES) };
        let masked = sealed.seal.masked(number);
        // SAFETY: the last eight bytes of the block, which nobody else has.
        unsafe { end.cast::<u64>().write_unaligned(masked) };
        let rest = sealed.rest();
        for index in 0..rest.len() {
            // SAFETY: inside the rest, which lies in the block.
            let at = unsafe { rest.cast::<u8>().add(index) };
            // SAFETY: as above, and nobody else has it.
            unsafe { at.write(sealed.seal.byte(index)) };
        }
    }

    /// What lies at the address.
    ///
    /// # Errors
    ///
    /// [`Wrong`]: it is no live block, or somebody wrote past its end.
    ///
    /// # Safety
    ///
    /// As [`free`].
    unsafe fn open(ptr: NonNull<u8>) -> Result<Self, Wrong> {
        // SAFETY: the caller's promise.
        let whole = unsafe { Arena::live_block(ptr) }?;
        let (block, block_bytes) = (whole.cast::<u8>(), whole.len());
        let seal = seal(block);
        // SAFETY: inside the block (H1).
        let end = unsafe { block.add(block_bytes - NUMBER_BYTES) };
        // SAFETY: the last eight bytes of the block, which `close` wrote.
        let masked = unsafe { end.cast::<u64>().read_unaligned() };
        let number = seal.number(masked, block_bytes);
        let number = number.ok_or(Wrong::WrittenPastItsEnd)?;
        let sealed = Self {
            block,
            block_bytes,
            number,
            seal,
        };
        // SAFETY: the rest lies in the block, and the program has no business there.
        if !sealed.seal.is_intact(unsafe { sealed.rest().as_ref() }) {
            return Err(Wrong::WrittenPastItsEnd);
        }
        Ok(sealed)
    }

    /// The bytes of the canary.
    fn rest(&self) -> NonNull<[u8]> {
        // SAFETY: inside the block (H1).
        let start = unsafe { self.block.add(self.number) };
        NonNull::slice_from_raw_parts(start, canary_bytes(self.block_bytes, self.number))
    }
}

fn seal(block: NonNull<u8>) -> Seal {
    Seal::new(key(), block.addr().get())
}

/// The process's key, from the system's random source. A child of a fork goes on with its parent's.
fn key() -> u64 {
    static KEY: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number is all there is, and everyone who asks gets the same.
    match KEY.load(Ordering::Relaxed) {
        0 => {
            let made = abort_on_unwind(|| RandomState::new().hash_one(0_u64)) | 1;
            let first = KEY.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed);
            first.err().unwrap_or(made)
        }
        known => known,
    }
}

/// The layout of the arena's block for a request.
fn with_seal(layout: NonZeroLayout) -> Option<NonZeroLayout> {
    let bytes = layout.size().get().checked_add(SEAL_BYTES)?;
    NonZeroLayout::from_size_align(bytes, layout.align().get()).ok()
}

/// None is at hand: each is sealed first.
pub(crate) fn allocate_at_once(_: usize) -> Option<NonNull<u8>> {
    None
}

/// A block; null if there is no memory.
pub(crate) fn allocate(layout: NonZeroLayout) -> *mut u8 {
    sealed(layout, |inner| ARENA.allocate(inner))
}

/// A block of zero bytes; null if there is no memory.
pub(crate) fn allocate_zeroed(layout: NonZeroLayout) -> *mut u8 {
    sealed(layout, |inner| ARENA.allocate_zeroed(inner))
}

fn sealed(
    layout: NonZeroLayout,
    allocate: impl FnOnce(NonZeroLayout) -> Result<NonNull<[u8]>, AllocError>,
) -> *mut u8 {
    let Some(inner) = with_seal(layout) else {
        return ptr::null_mut();
    };
    let Ok(block) = allocate(inner) else {
        return ptr::null_mut();
    };
    Sealed::close(block, layout.size().get());
    block.cast().as_ptr()
}

/// None is taken back without a look at its seal.
///
/// # Safety
///
/// As [`free`].
#[must_use]
pub(crate) unsafe fn free_at_once(_: NonNull<u8>) -> bool {
    false
}

/// Takes back a block.
///
/// # Errors
///
/// [`Wrong`]: it is no live block, or somebody wrote past its end.
///
/// # Safety
///
/// Nobody uses the block any more; if it is none, nobody gives the memory there back to the system
/// meanwhile.
pub(crate) unsafe fn free(block: NonNull<u8>) -> Result<(), Wrong> {
    // SAFETY: the caller's promise.
    let sealed = unsafe { Sealed::open(block) }?;
    // SAFETY: the caller's promise.
    Ok(unsafe { Arena::free(sealed.block) }?)
}

/// Makes a block serve another layout; null if there is no memory, and then nothing has changed.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn reallocate(
    block: NonNull<u8>,
    layout: NonZeroLayout,
) -> Result<*mut u8, Wrong> {
    // SAFETY: the caller's promise.
    let old = unsafe { Sealed::open(block) }?;
    let size = layout.size().get();
    let room = old.block_bytes - SEAL_BYTES;
    if room / 2 <= size && size <= room {
        let whole = NonNull::slice_from_raw_parts(old.block, old.block_bytes);
        Sealed::close(whole, size);
        return Ok(block.as_ptr());
    }
    let Some(moved) = NonNull::new(allocate(layout)) else {
        return Ok(ptr::null_mut());
    };
    // SAFETY: both blocks have the bytes, and are different blocks.
    unsafe { moved.copy_from_nonoverlapping(old.block, old.number.min(size)) };
    // SAFETY: the caller gave the block up.
    unsafe { Arena::free(old.block) }?;
    Ok(moved.as_ptr())
}

/// The bytes of a live block that its owner may use: those that it asked for.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// The block is not freed meanwhile.
pub(crate) unsafe fn usable_bytes(block: NonNull<u8>) -> Result<usize, Wrong> {
    // SAFETY: the caller's promise.
    unsafe { Sealed::open(block) }.map(|sealed| sealed.number)
}

/// Whether a block of so many usable bytes was asked for as one of `size`. A block of none is one of
/// a byte.
pub(crate) fn fits(usable: usize, size: usize) -> bool {
    usable == size.max(1)
}

/// The size of the arena's blocks that lie where the address is.
pub(crate) fn block_bytes_around(address: usize) -> Option<usize> {
    Arena::block_bytes_around(address)
}

pub(crate) fn stats() -> ArenaStats {
    ARENA.stats()
}

/// Gives back what nothing uses and what the calling thread keeps. Whether memory was unmapped.
pub(crate) fn trim() -> bool {
    ARENA.drain_thread();
    ARENA.trim() > 0
}
