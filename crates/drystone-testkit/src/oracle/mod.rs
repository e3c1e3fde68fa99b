//! [`Oracle`]: an allocator that watches over another one and over its users.
//!
//! # What
//!
//! The oracle keeps a book of every live block beside the allocator it wraps. What a user does
//! wrong (a double free, a foreign or interior pointer, a layout that does not fit, a write past
//! the end) is reported to a [`MisusePolicy`], and the inner allocator is not called. What the
//! *allocator* does wrong (a block that overlaps a live one, is misaligned or too short, or whose
//! bytes changed) is a panic whatever the policy says: nothing after it could be trusted.
//!
//! # Memory picture
//!
//! ```text
//!   without red zone            with a red zone of n bytes
//!   +---------------------+     +-----------------+--------+
//!   | all that the inner  |     | requested bytes | n or   |
//!   | allocator returned  |     | for the user    | more   |
//!   +---------------------+     +-----------------+--------+
//! ```
//!
//! A red zone is stamped when the block is handed out and compared when it comes back.
//!
//! # Invariants
//!
//! - I1: the book holds exactly the blocks that are live; no two share a byte.
//! - I2: every red zone of a live block carries its stamp, unless a user wrote past the end.
//! - I3: every block that was [stamped](Oracle::stamp) carries its stamp.
//!
//! # Threads
//!
//! `Sync` if the allocator and the policy are. The book is behind a lock that is not held while
//! the inner allocator or the policy runs. A free takes the block out of the book before the inner
//! allocator can hand it out again.
//!
//! # Cost
//!
//! A tree operation for each call, and the bytes of red zones and stamps. For tests.

mod book;
mod policy;

use core::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use drystone_core::{
    AllocError, Allocator, BlockInfo, Corruption, Deallocator, Inspect, Misuse, MisusePolicy,
    NonZeroLayout, Owns, Report, Reset, StableAddress,
};

use crate::bytes;
use book::{Book, Entry};
/// Ends the process at the first misuse, with one line.
pub use drystone_core::AbortOnMisuse;
pub use policy::{CountMisuse, PanicOnMisuse};

/// The stamp of every red zone.
const RED_ZONE: usize = 251;

/// Watches over an allocator and its users; see the [module](self).
///
/// ```
/// use drystone_core::{Allocator, Deallocator, NonZeroLayout};
/// use drystone_testkit::FirstFit;
/// use drystone_testkit::oracle::{CountMisuse, Oracle};
///
/// let oracle = Oracle::new(FirstFit::new(4096), CountMisuse::new());
/// let layout = NonZeroLayout::array::<u64>(4).unwrap();
/// let block = oracle.allocate(layout)?.cast();
/// // SAFETY: the block is live; then it is not, which the oracle exists to find.
/// unsafe { oracle.deallocate(block, layout) };
/// // SAFETY: the oracle refuses it and does not call the allocator.
/// unsafe { oracle.deallocate(block, layout) };
/// assert_eq!(oracle.policy().count(), 1);
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
#[derive(Debug)]
pub struct Oracle<A, P = PanicOnMisuse> {
    inner: A,
    policy: P,
    red_zone: usize,
    book: Mutex<Book>,
}

/// The book keeps the addresses of the blocks, so the allocator must not leave them behind when the
/// oracle moves. An allocator over storage that moves is watched through a reference to it.
///
/// ```compile_fail,E0277
/// # use drystone_core::Allocator;
/// # use drystone_testkit::oracle::{Oracle, PanicOnMisuse};
/// fn watch<A: Allocator>(allocator: A) -> Oracle<A> {
///     Oracle::new(allocator, PanicOnMisuse)
/// }
/// ```
impl<A: StableAddress, P: MisusePolicy> Oracle<A, P> {
    /// Watches over `inner`, whose blocks are handed on as they are.
    pub fn new(inner: A, policy: P) -> Self {
        Self::with_red_zone(inner, policy, 0)
    }

    /// Watches over `inner` and keeps at least `red_zone_bytes` behind each block for itself, to
    /// see a write past the end. Blocks are then exactly as long as asked.
    pub fn with_red_zone(inner: A, policy: P, red_zone_bytes: usize) -> Self {
        Self::make(inner, policy, red_zone_bytes)
    }
}

impl<A, P: MisusePolicy> Oracle<A, P> {
    /// Watches over `inner`, which need not be stable.
    ///
    /// # Safety
    ///
    /// The oracle does not move while a block is live, unless `A` is [`StableAddress`].
    pub(crate) unsafe fn in_place(inner: A, policy: P) -> Self {
        Self::make(inner, policy, 0)
    }

    fn make(inner: A, policy: P, red_zone: usize) -> Self {
        Self {
            inner,
            policy,
            red_zone,
            book: Mutex::default(),
        }
    }

    /// The allocator watched over.
    pub fn inner(&self) -> &A {
        &self.inner
    }

    /// The policy.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// How many blocks are live.
    pub fn live_blocks(&self) -> usize {
        self.book().live_blocks()
    }

    /// A panic elsewhere leaves the book as it was: every change of it is one call.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the stamp `seed` over the block at `ptr`. From then on its bytes are compared when
    /// it is freed or resized, and by [`check_stamps`](Oracle::check_stamps).
    ///
    /// # Safety
    ///
    /// `ptr` is a live block of this oracle, and nobody writes to it or holds a `&mut` to it from
    /// here on until it is stamped again or freed.
    ///
    /// # Panics
    ///
    /// If `ptr` is not the start of a live block.
    pub unsafe fn stamp(&self, ptr: NonNull<u8>, seed: usize) {
        let mut book = self.book();
        let entry = book.get_mut(ptr.addr().get()).expect("a live block");
        entry.stamp = Some(seed);
        // SAFETY: the block is live, so its bytes may be written, and nobody else does.
        unsafe { bytes::stamp(entry.user(), seed) };
    }

    /// Compares every stamped block with its stamp, and every red zone.
    ///
    /// # Panics
    ///
    /// If a byte of a stamped block changed.
    pub fn check_stamps(&self) {
        let mut overrun = Vec::new();
        for entry in self.book().live() {
            check_stamp(entry, entry.user_len);
            if red_zone_damaged(entry) {
                overrun.push(entry.inner.cast::<u8>().addr().get());
            }
        }
        for address in overrun {
            self.policy.on_misuse(Misuse::Overrun, address);
        }
    }

    /// The entry of a block that is about to be freed or resized. `None`: a misuse was reported,
    /// and nothing may be done. A damaged block leaves the book and is never given back.
    fn admit(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<Entry> {
        let address = ptr.addr().get();
        let mut book = self.book();
        let found = book.find(address, layout);
        let misuse = match found {
            Ok(entry) if red_zone_damaged(&entry) => Misuse::Overrun,
            Ok(entry) => {
                check_stamp(&entry, entry.user_len);
                return Some(entry);
            }
            Err(misuse) => misuse,
        };
        if found.is_ok() {
            book.remove(address);
        }
        drop(book);
        self.policy.on_misuse(misuse, address);
        None
    }

    /// What the inner allocator is asked for.
    fn inner_layout(&self, asked: NonZeroLayout) -> Result<NonZeroLayout, AllocError> {
        let size = asked.size().get().checked_add(self.red_zone);
        let size = size.ok_or(AllocError)?;
        NonZeroLayout::from_size_align(size, asked.align().get()).map_err(|_| AllocError)
    }

    /// Checks and records what the inner allocator returned.
    fn record(
        &self,
        block: NonNull<[u8]>,
        asked: NonZeroLayout,
        inner_layout: NonZeroLayout,
    ) -> NonNull<[u8]> {
        let address = block.cast::<u8>().addr().get();
        assert!(
            address % asked.align() == 0,
            "the allocator returned {address:#x} for {asked:?}"
        );
        assert!(
            block.len() >= inner_layout.size().get(),
            "the allocator returned {} bytes for {inner_layout:?}",
            block.len()
        );
        let entry = Entry {
            inner: block,
            inner_layout,
            asked,
            user_len: if self.red_zone == 0 {
                block.len()
            } else {
                asked.size().get()
            },
            stamp: None,
        };
        if let Err(other) = self.book().insert(entry) {
            panic!("the allocator returned {address:#x}, which overlaps the block at {other:#x}");
        }
        if let Some(zone) = red_zone(&entry) {
            // SAFETY: the zone is a part of the block that the user does not get.
            unsafe { bytes::stamp(zone, RED_ZONE) };
        }
        entry.user()
    }

    /// Takes the block out of the book, resizes it with `call`, and records what became of it.
    fn resize(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
        call: impl FnOnce(NonZeroLayout, NonZeroLayout) -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let entry = self.admit(ptr, old).ok_or(AllocError)?;
        let inner_new = self.inner_layout(new)?;
        let inner_old = if self.red_zone == 0 {
            old
        } else {
            entry.inner_layout
        };
        self.book().remove(ptr.addr().get());
        match call(inner_old, inner_new) {
            Ok(block) => {
                let user = self.record(block, new, inner_new);
                let kept = old.size().min(new.size()).get();
                check_stamp(
                    &Entry {
                        inner: block,
                        ..entry
                    },
                    kept,
                );
                Ok(user)
            }
            Err(error) => {
                check_stamp(&entry, entry.user_len);
                assert!(
                    self.book().insert(entry).is_ok(),
                    "the allocator reused a block that it had refused to resize"
                );
                Err(error)
            }
        }
    }
}

/// The part of the block behind the user's bytes.
fn red_zone(entry: &Entry) -> Option<NonNull<[u8]>> {
    let len = entry.inner.len() - entry.user_len;
    if len == 0 {
        return None;
    }
    // SAFETY: `user_len` is at most the length of the block.
    let start = unsafe { entry.inner.cast::<u8>().add(entry.user_len) };
    Some(NonNull::slice_from_raw_parts(start, len))
}

fn red_zone_damaged(entry: &Entry) -> bool {
    // SAFETY: the zone is part of a live block, stamped when it was handed out, and no user may
    // write to it.
    red_zone(entry).is_some_and(|zone| unsafe { bytes::first_difference(zone, RED_ZONE) }.is_some())
}

/// The first `len` bytes of the block still carry its stamp, if it has one.
fn check_stamp(entry: &Entry, len: usize) {
    let Some(seed) = entry.stamp else { return };
    let part = NonNull::slice_from_raw_parts(entry.inner.cast(), len);
    // SAFETY: the bytes are live and stamped, and nobody writes to them, as `stamp` demands.
    if let Some(at) = unsafe { bytes::first_difference(part, seed) } {
        let address = entry.inner.cast::<u8>();
        panic!(
            "byte {at} of the live block at {address:?} changed ({:?})",
            entry.asked
        );
    }
}

// SAFETY: a block that passes is given to the allocator it came from; others are not passed on.
unsafe impl<A: Allocator, P: MisusePolicy> Deallocator for Oracle<A, P> {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let Some(entry) = self.admit(ptr, layout) else {
            return;
        };
        self.book().remove(ptr.addr().get());
        let inner_layout = if self.red_zone == 0 {
            layout
        } else {
            entry.inner_layout
        };
        // SAFETY: the book says that the block is live and that the layout fits; the caller
        // promises that it is not used again.
        unsafe { self.inner.deallocate(entry.inner.cast(), inner_layout) };
    }
}

// SAFETY: the blocks are those of the inner allocator, less a red zone at their end.
unsafe impl<A: Allocator, P: MisusePolicy> Allocator for Oracle<A, P> {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let inner_layout = self.inner_layout(layout)?;
        let block = self.inner.allocate(inner_layout)?;
        Ok(self.record(block, layout, inner_layout))
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let inner_layout = self.inner_layout(layout)?;
        let block = self.inner.allocate_zeroed(inner_layout)?;
        // SAFETY: the block is live and initialised, by the contract of allocate_zeroed.
        let dirty = unsafe { bytes::first_nonzero(block, 0) };
        assert!(
            dirty.is_none(),
            "byte {dirty:?} of a zeroed block is not zero ({layout:?})"
        );
        Ok(self.record(block, layout, inner_layout))
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.resize(ptr, old, new, |old, new| {
            // SAFETY: the book says that the block is live and that the layout fits; the red zone
            // adds the same to both sizes.
            unsafe { self.inner.grow(ptr, old, new) }
        })
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.resize(ptr, old, new, |old, new| {
            // SAFETY: as for `grow`.
            unsafe { self.inner.grow_zeroed(ptr, old, new) }
        })?;
        let kept = old.size().get();
        // The old red zone was contents to the inner allocator, which kept it.
        let carried = self.red_zone.min(block.len() - kept);
        // SAFETY: `kept + carried` is at most the length of the block.
        let tail = unsafe { block.cast::<u8>().add(kept) };
        // SAFETY: as above, and the block is writable.
        unsafe { tail.write_bytes(0, carried) };
        // SAFETY: the block is initialised from `kept` on, by the contract of grow_zeroed.
        let dirty = unsafe { bytes::first_nonzero(block, kept) };
        assert!(
            dirty.is_none(),
            "byte {dirty:?} of a block grown with zeros is not zero ({new:?})"
        );
        Ok(block)
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.resize(ptr, old, new, |old, new| {
            // SAFETY: as for `grow`.
            unsafe { self.inner.shrink(ptr, old, new) }
        })
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        let entry = self.admit(ptr, layout)?;
        if self.red_zone > 0 {
            return Some(entry.user_len);
        }
        // SAFETY: the book says that the block is live and that the layout fits.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    fn capacity_bytes(&self) -> Option<usize> {
        self.inner.capacity_bytes()
    }

    fn corruption_events(&self) -> u64 {
        self.inner.corruption_events()
    }
}

// SAFETY: the blocks lie where the inner allocator's do.
unsafe impl<A: StableAddress, P> StableAddress for Oracle<A, P> {}

// SAFETY: the blocks lie where the inner allocator's do.
unsafe impl<A: Owns, P> Owns for Oracle<A, P> {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.inner.owns(ptr)
    }
}

impl<A: Reset, P> Reset for Oracle<A, P> {
    fn reset(&mut self) {
        let book = self.book.get_mut().unwrap_or_else(PoisonError::into_inner);
        book.clear();
        self.inner.reset();
    }
}

impl<A: Inspect, P> Inspect for Oracle<A, P> {
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        self.inner.validate(ptr)
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        self.inner.verify_all()
    }

    fn state_digest(&self) -> u64 {
        self.inner.state_digest()
    }
}
