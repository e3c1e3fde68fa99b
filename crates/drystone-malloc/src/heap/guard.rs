//! Each block on pages of its own, before a page that faults and behind one; freed blocks fault.
//!
//! # What
//!
//! A block ends at its guard, less what its alignment takes: of a block whose size is a multiple of 16
//! the first byte behind it faults. What is left, in front and behind, is filled and compared when the
//! block is freed. A freed slot cannot be accessed until as many others of its level were freed as the
//! [`queue`] says.
//!
//! What cannot be guarded is served by [`hardened`] and counted: blocks beyond what
//! the system's limit of mappings allows, blocks that no slot is large enough for, and what the system
//! refuses.
//!
//! # Invariants
//!
//! - G1: a slot's pages are accessible only while its record is that of a live block, or while it is
//!   changed by the thread that took the slot.
//! - G2: a record becomes that of a freed block by one compare-and-exchange.
//! - G3: of the system's mappings the guarded blocks take two for each that `MAPPED` counts: a live one, or
//!   one that was live when this process or one before it was forked.
//!
//! # Threads
//!
//! A level's queue has a lock; the system is asked without one.
//!
//! # Cost
//!
//! A call of the system for each block, two when it is freed, a page fault, and at least a page of memory.

use core::fmt::Write as _;
use core::ptr::NonNull;

use drystone_arena::{ArenaStats, FreeError};
use drystone_sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use super::{Wrong, hardened};
use crate::copies;
use crate::kind::Kind;
use crate::output::Text;
use crate::request::{ALIGN, Request};
use plan::{BlockAt, Place};
use record::Record;
use region::Region;

pub(crate) use hardened::{allocate_at_once, at_exit, fits, free_at_once, trim};

mod limit;
mod plan;
mod queue;
mod record;
mod region;

/// Blocks that are guarded.
static LIVE: AtomicUsize = AtomicUsize::new(0);
/// The blocks that the system has mappings for: those that are guarded, and those that are no more but were
/// when the process was forked. A child's mappings do not become one again.
static MAPPED: AtomicUsize = AtomicUsize::new(0);
/// The forks between the first process and this one, as far as they can be counted.
static FORKS: AtomicU16 = AtomicU16::new(0);
/// The bytes that were asked for in them, and those of their pages.
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);
static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);
/// Blocks that were, so far.
static GUARDED: AtomicUsize = AtomicUsize::new(0);
/// Blocks that are not: too many were live, or waited.
static TOO_MANY: AtomicUsize = AtomicUsize::new(0);
/// Blocks that are not: no slot is so large, or there is no region.
static TOO_LARGE: AtomicUsize = AtomicUsize::new(0);
/// Blocks that are not: the system refused.
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// Slots that the system did not close.
static LOST: AtomicUsize = AtomicUsize::new(0);

/// A slot with a block.
struct Guarded {
    region: &'static Region,
    place: Place,
    record: Record,
}

impl Guarded {
    /// The slot that the address is in, and what is known of it; `None` outside of the region.
    fn around(address: usize) -> Option<Option<Self>> {
        let region = region::known()?;
        let offset = region.offset_of(address)?;
        let Some(place) = region.plan.find(offset) else {
            return Some(None);
        };
        // Acquire: pairs with the Release in `allocate_guarded`.
        let record = Record::unpacked(region.record(place).load(Ordering::Acquire));
        Some(record.map(|record| Self {
            region,
            place,
            record,
        }))
    }

    /// The live block at the address; `None` outside of the region.
    fn at(address: usize) -> Option<Result<Self, Wrong>> {
        let Some(guarded) = Self::around(address)? else {
            return Some(Err(FreeError::ForeignPointer.into()));
        };
        if guarded.start().addr().get() != address {
            return Some(Err(FreeError::Misaligned.into()));
        }
        if guarded.record.is_freed {
            return Some(Err(FreeError::DoubleFree.into()));
        }
        Some(Ok(guarded))
    }

    fn block(&self) -> BlockAt {
        let Record { size, align, .. } = self.record;
        let base = self.region.base().addr().get();
        self.region.plan.block(self.place, base, size, align)
    }

    fn start(&self) -> NonNull<u8> {
        let start = self.block().start;
        self.region.part(start..start).cast()
    }

    /// Fills what lies beside the block.
    fn seal(&self) {
        let block = self.block();
        let seal = hardened::seal_at(self.start().addr().get());
        for range in [block.front(), block.back()] {
            let offset = range.start;
            // SAFETY: open pages of a slot, beside the block, which nobody else has.
            let bytes = unsafe { self.region.part(range).as_mut() };
            seal.fill(bytes, offset);
        }
    }

    /// # Errors
    ///
    /// [`Wrong`]: somebody wrote beside the block.
    fn expect_intact(&self) -> Result<(), Wrong> {
        let block = self.block();
        let seal = hardened::seal_at(self.start().addr().get());
        for (range, wrong) in [
            (block.front(), Wrong::WrittenBeforeItsStart),
            (block.back(), Wrong::WrittenPastItsEnd),
        ] {
            let offset = range.start;
            // SAFETY: open pages of a live block's slot, where the program has no business.
            let bytes = unsafe { self.region.part(range).as_ref() };
            if !seal.is_intact(bytes, offset) {
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Takes the block from the program and closes its pages.
    ///
    /// # Errors
    ///
    /// [`Wrong`]: another thread has freed it, or somebody wrote beside it.
    fn free(&self) -> Result<(), Wrong> {
        let freed = Record {
            is_freed: true,
            ..self.record
        };
        let word = self.region.record(self.place);
        let (old, new) = (self.record.packed(), freed.packed());
        let taken = word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_err() {
            return Err(FreeError::DoubleFree.into());
        }
        self.expect_intact()?;
        let pages = self.block().pages;
        LIVE_BYTES.fetch_sub(self.record.size, Ordering::Relaxed);
        PAGE_BYTES.fetch_sub(pages.len(), Ordering::Relaxed);
        // SAFETY: the block was taken from the program.
        match unsafe { self.region.close(&pages) } {
            Ok(()) => self.region.give(self.place),
            Err(_) => {
                LOST.fetch_add(1, Ordering::Relaxed);
            }
        }
        LIVE.fetch_sub(1, Ordering::Relaxed);
        if self.record.forks == FORKS.load(Ordering::Relaxed) && self.record.forks < u16::MAX {
            MAPPED.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// In the child of a fork: whatever is mapped stays so.
fn forked() {
    let forks = FORKS.load(Ordering::Relaxed).saturating_add(1);
    FORKS.store(forks, Ordering::Relaxed);
}

/// A block of zero bytes for the family of `malloc`; null if there is no memory.
pub(crate) fn allocate(request: Request) -> *mut u8 {
    allocate_of(request, Kind::Malloc)
}

/// As [`allocate`]: every block begins as zeros.
pub(crate) fn allocate_zeroed(request: Request) -> *mut u8 {
    allocate(request)
}

/// As [`allocate`], of a kind.
pub(crate) fn allocate_of(request: Request, kind: Kind) -> *mut u8 {
    if request.size() == 0 && request.align() == ALIGN {
        return hardened::allocate_of(request, kind);
    }
    match allocate_guarded(request, kind) {
        Ok(block) => block.as_ptr(),
        Err(counter) => {
            counter.fetch_add(1, Ordering::Relaxed);
            hardened::allocate_of(request, kind)
        }
    }
}

/// A guarded block, or what counts those that are not for its reason.
fn allocate_guarded(request: Request, kind: Kind) -> Result<NonNull<u8>, &'static AtomicUsize> {
    let (size, align) = (request.size(), request.align());
    let region = region::get().ok_or(&TOO_LARGE)?;
    let level = region.plan.level_for(size, align).ok_or(&TOO_LARGE)?;
    if MAPPED.fetch_add(1, Ordering::Relaxed) >= region.live_max {
        MAPPED.fetch_sub(1, Ordering::Relaxed);
        return Err(&TOO_MANY);
    }
    let Some(place) = region.take(level) else {
        MAPPED.fetch_sub(1, Ordering::Relaxed);
        return Err(&TOO_MANY);
    };
    let record = Record {
        size,
        align,
        kind,
        is_freed: false,
        forks: FORKS.load(Ordering::Relaxed),
    };
    let guarded = Guarded {
        region,
        place,
        record,
    };
    let word = region.record(place);
    word.store(Record::NONE, Ordering::Relaxed);
    let pages = guarded.block().pages;
    if region.open(&pages).is_err() {
        region.give(place);
        MAPPED.fetch_sub(1, Ordering::Relaxed);
        return Err(&REFUSED);
    }
    guarded.seal();
    // Release: who finds the record finds the pages open and sealed.
    word.store(record.packed(), Ordering::Release);
    LIVE.fetch_add(1, Ordering::Relaxed);
    GUARDED.fetch_add(1, Ordering::Relaxed);
    LIVE_BYTES.fetch_add(size, Ordering::Relaxed);
    PAGE_BYTES.fetch_add(pages.len(), Ordering::Relaxed);
    Ok(guarded.start())
}

/// Takes back a block of the family of `malloc`.
///
/// # Errors
///
/// [`Wrong`]: it is no live block of this kind, or somebody wrote beside its bytes.
///
/// # Safety
///
/// As [`hardened::free`].
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
    let Some(found) = Guarded::at(block.addr().get()) else {
        // SAFETY: the caller's promise.
        return unsafe { hardened::free_of(block, kind) };
    };
    let guarded = found?;
    if guarded.record.kind != kind {
        return Err(Wrong::Kind(guarded.record.kind));
    }
    guarded.free()
}

/// Makes a block serve another request; null if there is no memory, and then nothing has changed. A
/// guarded block moves whenever its size changes, so that it ends at a guard again.
///
/// # Errors
///
/// As [`free`].
///
/// # Safety
///
/// As [`free`].
pub(crate) unsafe fn reallocate(block: NonNull<u8>, request: Request) -> Result<*mut u8, Wrong> {
    let Some(found) = Guarded::at(block.addr().get()) else {
        // SAFETY: the caller's promise.
        return unsafe { hardened::reallocate(block, request) };
    };
    let old = found?;
    if old.record.kind != Kind::Malloc {
        return Err(Wrong::Kind(old.record.kind));
    }
    old.expect_intact()?;
    if old.record.size == request.size() {
        return Ok(block.as_ptr());
    }
    let Some(moved) = NonNull::new(allocate(request)) else {
        return Ok(core::ptr::null_mut());
    };
    let bytes = old.record.size.min(request.size());
    // SAFETY: both blocks have the bytes, and are different blocks.
    unsafe { copies::fill_from(moved, old.start(), bytes) };
    old.free()?;
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
    let Some(found) = Guarded::at(block.addr().get()) else {
        // SAFETY: the caller's promise.
        return unsafe { hardened::usable_bytes(block) };
    };
    let guarded = found?;
    guarded.expect_intact()?;
    Ok(guarded.record.size)
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
    let Some(found) = Guarded::around(address) else {
        // SAFETY: the caller's promise.
        return unsafe { hardened::check_range(start, bytes) };
    };
    // A slot without a record is not accessible: the access says so itself.
    let Some(guarded) = found else {
        return Ok(());
    };
    if guarded.record.is_freed {
        return Err(FreeError::DoubleFree.into());
    }
    let size = guarded.record.size;
    let offset = address.checked_sub(guarded.start().addr().get());
    match offset {
        Some(offset) if offset <= size && bytes <= size - offset => Ok(()),
        _ => Err(Wrong::Range),
    }
}

/// The size of the block that lies where the address is.
pub(crate) fn block_bytes_around(address: usize) -> Option<usize> {
    match Guarded::around(address) {
        Some(found) => found.map(|guarded| guarded.record.size),
        None => hardened::block_bytes_around(address),
    }
}

/// The figures of the arena, and of the guarded blocks in the same sums.
pub(crate) fn stats() -> ArenaStats {
    let mut stats = hardened::stats();
    stats.live_bytes += LIVE_BYTES.load(Ordering::Relaxed);
    stats.resident_bytes += PAGE_BYTES.load(Ordering::Relaxed);
    stats.mapped_bytes += region::known().map_or(0, |region| region.plan.region_bytes());
    stats
}

/// What there is to say beside that.
pub(crate) fn describe(text: &mut Text) {
    hardened::describe(text);
    let of = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    let (bound, waiting) = match region::known() {
        Some(region) => (region.live_max, region.waiting()),
        None => (0, 0),
    };
    // Text never fails: what does not fit is left out.
    let _ = writeln!(
        text,
        "guarded          {} blocks of at most {bound}; {} so far, {waiting} wait, {} lost",
        of(&LIVE),
        of(&GUARDED),
        of(&LOST),
    );
    let _ = writeln!(
        text,
        "not guarded      {} too many, {} too large, {} refused by the system",
        of(&TOO_MANY),
        of(&TOO_LARGE),
        of(&REFUSED),
    );
}
