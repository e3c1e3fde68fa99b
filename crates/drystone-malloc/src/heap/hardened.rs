//! The arena of the profile `Hardened`, a [`Seal`] around each block, and a [`quarantine`] behind
//! `free`.
//!
//! # Invariants
//!
//! - H1: the first eight bytes of a block that the program has, or that waits in the quarantine, are
//!   its masked record; the canaries lie around the bytes that the record says.
//! - H2: everything behind the record of a block that waits is zero.
//! - H3: a record becomes that of a freed block by one compare-and-exchange, so one `free` of a block
//!   gets it.

use core::fmt::Write as _;
use core::ops::Range;
use core::ptr::{self, NonNull};

use std::hash::{BuildHasher as _, RandomState};

use drystone_arena::{ArenaStats, FreeError, GlobalArena};
use drystone_backing::at_fork;
use drystone_core::{Allocator as _, Hardened, NonZeroLayout, abort_on_unwind};
use drystone_sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Wrong;
use super::seal::{Record, Seal, front_bytes, is_wiped, sealed_bytes};
use super::{empty, quarantine};
use crate::kind::Kind;
use crate::output::Text;
use crate::request::{ALIGN, Request};
use crate::{copies, misuse};

type Arena = GlobalArena<Hardened>;

const ARENA: Arena = Arena::new();

/// A block of the arena, and what its record says.
struct Sealed {
    whole: NonNull<[u8]>,
    record: Record,
    seal: Seal,
}

impl Sealed {
    /// Seals a block.
    ///
    /// # Safety
    ///
    /// The block is the caller's alone, initialised, and large enough for the record.
    unsafe fn close(whole: NonNull<[u8]>, record: Record) -> Self {
        let seal = seal(whole);
        let sealed = Self {
            whole,
            record,
            seal,
        };
        for canary in sealed.canaries() {
            let offset = canary.start;
            // SAFETY: inside the block, and nobody else's, by the caller's promise.
            let bytes = unsafe { sealed.part(canary).as_mut() };
            seal.fill(bytes, offset);
        }
        // Release: who finds the record finds the canaries.
        record_of(whole).store(seal.masked(record), Ordering::Release);
        sealed
    }

    /// The block that the address is in.
    ///
    /// # Errors
    ///
    /// [`Wrong`]: no block of the arena is there, or its record is damaged.
    ///
    /// # Safety
    ///
    /// As [`free`].
    unsafe fn around(ptr: NonNull<u8>) -> Result<Self, Wrong> {
        // SAFETY: the caller's promise.
        let whole = unsafe { Arena::block_around(ptr) }?;
        let seal = seal(whole);
        let masked = record_of(whole).load(Ordering::Acquire);
        let record = seal.record(masked, whole.len());
        let record = record.ok_or(Wrong::WrittenBeforeItsStart)?;
        Ok(Self {
            whole,
            record,
            seal,
        })
    }

    /// The live block at the address.
    ///
    /// # Errors
    ///
    /// [`Wrong`]: it is none.
    ///
    /// # Safety
    ///
    /// As [`free`].
    unsafe fn at(ptr: NonNull<u8>) -> Result<Self, Wrong> {
        // SAFETY: the caller's promise.
        let sealed = unsafe { Self::around(ptr) }?;
        if sealed.start().addr() != ptr.addr() {
            return Err(FreeError::Misaligned.into());
        }
        if sealed.record.is_freed {
            return Err(FreeError::DoubleFree.into());
        }
        Ok(sealed)
    }

    /// # Errors
    ///
    /// [`Wrong`]: somebody wrote beside the block's bytes.
    fn expect_intact(&self) -> Result<(), Wrong> {
        let [front, back] = self.canaries();
        for (canary, wrong) in [
            (front, Wrong::WrittenBeforeItsStart),
            (back, Wrong::WrittenPastItsEnd),
        ] {
            let offset = canary.start;
            // SAFETY: inside the block, and the program has no business there.
            let bytes = unsafe { self.part(canary).as_ref() };
            if !self.seal.is_intact(bytes, offset) {
                return Err(wrong);
            }
        }
        Ok(())
    }

    fn canaries(&self) -> [Range<usize>; 2] {
        let behind = self.record.back_canary(self.whole.len());
        [self.record.front_canary(), behind]
    }

    fn part(&self, range: Range<usize>) -> NonNull<[u8]> {
        // SAFETY: inside the block (H1).
        unsafe { part(self.whole, range) }
    }

    /// Where the bytes are that were asked for.
    fn start(&self) -> NonNull<u8> {
        self.part(self.record.front..self.record.front).cast()
    }

    /// Takes the block from the program: it is the caller's alone then.
    ///
    /// # Errors
    ///
    /// [`Wrong`]: another thread has freed it.
    fn take(&mut self) -> Result<(), Wrong> {
        let live = self.seal.masked(self.record);
        let place = record_of(self.whole);
        // Acquire: pairs with the Release in `close`.
        let taken = place.compare_exchange(live, Seal::NONE, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_err() {
            return Err(FreeError::DoubleFree.into());
        }
        self.record.is_freed = true;
        Ok(())
    }

    /// Wipes a block that was taken.
    fn wipe(&self) {
        let wiped = self.part(Record::wiped(self.whole.len()));
        // SAFETY: inside the block, which is the caller's alone.
        unsafe { copies::wipe(wiped) };
        // Release: who finds the block freed finds it wiped.
        record_of(self.whole).store(self.seal.masked(self.record), Ordering::Release);
    }
}

/// A part of a block.
///
/// # Safety
///
/// It lies in the block.
unsafe fn part(whole: NonNull<[u8]>, range: Range<usize>) -> NonNull<[u8]> {
    debug_assert!(range.start <= range.end && range.end <= whole.len(), "H1");
    // SAFETY: the caller's promise.
    let start = unsafe { whole.cast::<u8>().add(range.start) };
    NonNull::slice_from_raw_parts(start, range.len())
}

/// Where the record is.
fn record_of(whole: NonNull<[u8]>) -> &'static AtomicU64 {
    // SAFETY: the first eight bytes of a block that is live in the arena, aligned to 16; all access to
    // them is atomic while the block is sealed.
    unsafe { whole.cast::<AtomicU64>().as_ref() }
}

fn seal(whole: NonNull<[u8]>) -> Seal {
    seal_at(whole.cast::<u8>().addr().get())
}

/// What the process's key and an address make.
pub(super) fn seal_at(address: usize) -> Seal {
    Seal::new(key(), address)
}

/// The process's key, from the system's random source. A child of a fork goes on with its parent's.
fn key() -> u64 {
    static KEY: AtomicU64 = AtomicU64::new(0);
    // Relaxed: the number is all there is, and everyone who asks gets the same.
    match KEY.load(Ordering::Relaxed) {
        0 => begin(&KEY),
        known => known,
    }
}

#[cold]
fn begin(key: &AtomicU64) -> u64 {
    static AT_FORK: AtomicBool = AtomicBool::new(false);
    let made = abort_on_unwind(|| RandomState::new().hash_one(0_u64)) | 1;
    let first = key.compare_exchange(0, made, Ordering::Relaxed, Ordering::Relaxed);
    if !AT_FORK.swap(true, Ordering::Relaxed) {
        // Without memory for it a child of a process with threads may wait for ever: as the arena's.
        let _ = at_fork(before_fork, after_fork, after_fork);
    }
    first.err().unwrap_or(made)
}

extern "C" fn before_fork() {
    quarantine::hold_all();
}

extern "C" fn after_fork() {
    // SAFETY: the system calls the two in turn.
    unsafe { quarantine::release_all() };
}

/// None is at hand: each is sealed first.
pub(crate) fn allocate_at_once(_: usize) -> Option<NonNull<u8>> {
    None
}

/// A block of zero bytes for the family of `malloc`; null if there is no memory.
pub(crate) fn allocate(request: Request) -> *mut u8 {
    allocate_of(request, Kind::Malloc)
}

/// As [`allocate`]: every block begins as zeros.
#[cfg(not(feature = "guard"))]
pub(crate) fn allocate_zeroed(request: Request) -> *mut u8 {
    allocate(request)
}

/// As [`allocate`], of a kind.
pub(crate) fn allocate_of(request: Request, kind: Kind) -> *mut u8 {
    if request.size() == 0 && request.align() == ALIGN {
        if let Some(block) = empty::allocate(kind) {
            return block.as_ptr();
        }
    }
    let block = sealed_layout(request).and_then(allocate_whole);
    let Some(whole) = block else {
        return ptr::null_mut();
    };
    let record = Record {
        size: request.size(),
        front: front_bytes(request.align()),
        kind,
        is_freed: false,
    };
    // SAFETY: the block is new, zero, and of the layout for the request.
    unsafe { Sealed::close(whole, record) }.start().as_ptr()
}

/// A block of the arena, of zero bytes. What waits in the quarantine gives way to it.
fn allocate_whole(layout: NonZeroLayout) -> Option<NonNull<[u8]>> {
    if let Some(whole) = allocate_zero(layout) {
        return Some(whole);
    }
    if !quarantine::flush(leave) {
        return None;
    }
    allocate_zero(layout)
}

/// Large blocks mostly come as zeros; the arena knows.
fn allocate_zero(layout: NonZeroLayout) -> Option<NonNull<[u8]>> {
    if layout.size().get() > quarantine::BLOCK_MAX {
        return ARENA.allocate_zeroed(layout).ok();
    }
    let whole = ARENA.allocate(layout).ok()?;
    // SAFETY: a new block.
    unsafe { copies::wipe(whole) };
    Some(whole)
}

fn sealed_layout(request: Request) -> Option<NonZeroLayout> {
    let bytes = sealed_bytes(request.size(), request.align())?;
    NonZeroLayout::from_size_align(bytes, request.align()).ok()
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

/// Takes back a block of the family of `malloc`.
///
/// # Errors
///
/// [`Wrong`]: it is no live block of this kind, or somebody wrote beside its bytes.
///
/// # Safety
///
/// Nobody uses the block any more; if it is none, nobody gives the memory there back to the system
/// meanwhile.
pub(crate) unsafe fn free(block: NonNull<u8>) -> Result<(), Wrong> {
    // SAFETY: the caller's promise.
    unsafe { free_of(block, Kind::Malloc) }
}

/// As [`free`], of a kind.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn free_of(block: NonNull<u8>, kind: Kind) -> Result<(), Wrong> {
    if let Some(freed) = empty::free(block.addr().get(), kind) {
        return freed;
    }
    // SAFETY: the caller's promise.
    let mut sealed = unsafe { Sealed::at(block) }?;
    if kind != sealed.record.kind {
        return Err(Wrong::Kind(sealed.record.kind));
    }
    sealed.take()?;
    sealed.expect_intact()?;
    if sealed.whole.len() > quarantine::BLOCK_MAX {
        // SAFETY: the block was taken from the program.
        return Ok(unsafe { Arena::free(sealed.whole.cast()) }?);
    }
    sealed.wipe();
    quarantine::exchange(sealed.whole, leave);
    Ok(())
}

/// Gives a block that has left the quarantine to the arena. Ends the process if somebody wrote to it.
fn leave(whole: NonNull<[u8]>) {
    expect_wiped(whole);
    // SAFETY: the quarantine's block is nobody's.
    if let Err(wrong) = unsafe { Arena::free(whole.cast()) } {
        misuse::abort("free", wrong.into(), whole.cast::<u8>().addr().get());
    }
}

/// Ends the process if somebody wrote to a block that waits.
fn expect_wiped(whole: NonNull<[u8]>) {
    let seal = seal(whole);
    let masked = record_of(whole).load(Ordering::Acquire);
    let record = seal.record(masked, whole.len());
    let record = record.filter(|record| record.is_freed);
    // SAFETY: all of the block behind its record.
    let wiped = unsafe { part(whole, Record::wiped(whole.len())) };
    // SAFETY: the block is nobody's.
    let is_wiped = is_wiped(unsafe { wiped.as_ref() });
    if record.is_some() && is_wiped {
        return;
    }
    // The address that the program has, if the record still says.
    let front = record.map_or(front_bytes(ALIGN), |record| record.front);
    let address = whole.cast::<u8>().addr().get() + front;
    misuse::abort("free", Wrong::WrittenAfterItWasFreed, address);
}

/// Makes a block serve another request; null if there is no memory, and then nothing has changed.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn reallocate(block: NonNull<u8>, request: Request) -> Result<*mut u8, Wrong> {
    if let Some(found) = empty::check(block.addr().get()) {
        found?;
        let moved = allocate(request);
        if !moved.is_null() {
            // SAFETY: the caller gave the block up.
            unsafe { free(block) }?;
        }
        return Ok(moved);
    }
    // SAFETY: the caller's promise.
    let mut old = unsafe { Sealed::at(block) }?;
    if old.record.kind != Kind::Malloc {
        return Err(Wrong::Kind(old.record.kind));
    }
    old.expect_intact()?;
    let size = request.size();
    let needed = sealed_bytes(size, old.record.front);
    let room = needed.is_some_and(|bytes| bytes <= old.whole.len());
    if room && size >= old.whole.len() / 2 {
        old.take()?;
        old.resize(size);
        return Ok(block.as_ptr());
    }
    let Some(moved) = NonNull::new(allocate(request)) else {
        return Ok(ptr::null_mut());
    };
    // SAFETY: both blocks have the bytes, and are different blocks.
    unsafe { copies::fill_from(moved, old.start(), old.record.size.min(size)) };
    // SAFETY: the caller gave the block up.
    unsafe { free(block) }?;
    Ok(moved.as_ptr())
}

impl Sealed {
    /// Gives a block that was taken back to the program, with another number of bytes.
    fn resize(&self, size: usize) {
        let Record { front, kind, .. } = self.record;
        let kept = front + self.record.size.min(size);
        let rest = self.part(kept..self.whole.len());
        // The old canary, or bytes that are the program's no more.
        // SAFETY: inside the block, which was taken.
        unsafe { copies::wipe(rest) };
        let record = Record {
            size,
            front,
            kind,
            is_freed: false,
        };
        // SAFETY: the block was taken, and has room.
        unsafe { Self::close(self.whole, record) };
    }
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
    if let Some(found) = empty::check(block.addr().get()) {
        return found.map(|()| 0);
    }
    // SAFETY: the caller's promise.
    let sealed = unsafe { Sealed::at(block) }?;
    sealed.expect_intact()?;
    Ok(sealed.record.size)
}

/// Whether bytes may be accessed as far as the heap knows: they leave no block that they begin in.
///
/// # Errors
///
/// [`Wrong`]: they do, or the block is freed.
///
/// # Safety
///
/// The block there, if any, is not freed meanwhile.
pub(crate) unsafe fn check_range(start: NonNull<u8>, bytes: usize) -> Result<(), Wrong> {
    let address = start.addr().get();
    if empty::is_there(address) {
        return Err(Wrong::Range);
    }
    // SAFETY: the caller's promise. What is no block of a program is not judged: the arena's own blocks
    // have no record, and one that is being wiped has none either.
    let Ok(sealed) = (unsafe { Sealed::around(start) }) else {
        return Ok(());
    };
    if sealed.record.is_freed {
        return Err(FreeError::DoubleFree.into());
    }
    let first = sealed.start().addr().get();
    let Some(offset) = address.checked_sub(first) else {
        return Err(Wrong::Range);
    };
    let is_inside = offset <= sealed.record.size && bytes <= sealed.record.size - offset;
    if is_inside { Ok(()) } else { Err(Wrong::Range) }
}

/// Whether a block of so many usable bytes was asked for as one of `size`.
pub(crate) fn fits(usable: usize, size: usize) -> bool {
    usable == size
}

/// The size of the block that lies where the address is.
pub(crate) fn block_bytes_around(address: usize) -> Option<usize> {
    Arena::block_bytes_around(address)
}

pub(crate) fn stats() -> ArenaStats {
    ARENA.stats()
}

/// What there is to say beside the arena's figures.
pub(crate) fn describe(text: &mut Text) {
    let (blocks, bytes) = quarantine::load();
    // Text never fails: what does not fit is left out.
    let _ = writeln!(text, "quarantine       {blocks} blocks, {bytes} bytes");
}

/// Looks through the blocks that wait, at the end of the process, and ends it if one was written to.
pub(crate) fn at_exit() {
    quarantine::inspect(expect_wiped);
}

/// Gives back what nothing uses and what the calling thread keeps. Whether memory was unmapped.
pub(crate) fn trim() -> bool {
    quarantine::flush(leave);
    ARENA.trim() > 0
}
