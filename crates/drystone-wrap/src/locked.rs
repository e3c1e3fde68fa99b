//! [`Locked`]: any thread may call; one at a time is inside.
//!
//! # What
//!
//! Takes a lock around every call of the inner allocator, which makes an allocator of one thread
//! into one of many. Nothing else runs under the lock, except what [`Locked::with`] is given and
//! the policies that the inner allocator asks: neither may call this wrapper.
//!
//! # Memory picture
//!
//! ```text
//! +------+------------+-------+
//! | lock | corruption | inner |     corruption: a copy of the inner allocator's count
//! +------+------------+-------+
//! ```
//!
//! # Invariants
//!
//! - I1: `inner` is reached through `&self` only by a thread that holds `lock`, unless it is
//!   `Sync` by itself.
//! - I2: `corruption` is the inner allocator's count as of the last unlock, at most `usize::MAX`;
//!   it is stored only by a thread that holds `lock` (or has `&mut self`), and never falls.
//!
//! # Threads
//!
//! `Sync` if the inner allocator is `Send` and the lock is `Sync`. Every call may wait for the
//! lock, except `corruption_events`, which reads the copy. The lock is given back on unwinding
//! too. A thread that dies inside leaves it held. What a lock's waiters do (spin, yield, sleep) is
//! said by the lock.
//!
//! # Cost
//!
//! A lock and an unlock for each call: with [`SpinLock`](crate::SpinLock), free, one
//! compare-and-swap and one store. An inner allocator that counts corruption adds a load and a
//! comparison; one that does not adds nothing.

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, Contents, Deallocator, NonZeroLayout, Owns, Reset};
#[cfg(target_has_atomic = "32")]
use drystone_sync::SpinLock;
use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::{RawGuard, RawLock};

/// `A` behind the lock `L`.
///
/// A lock that is not `Sync` keeps the whole on one thread:
///
/// ```compile_fail,E0277
/// # use drystone_wrap::{Locked, NoLock};
/// fn shared<T: Sync>() {}
/// shared::<Locked<(), NoLock>>();
/// ```
///
/// and an allocator that cannot change threads does not become shareable by a lock:
///
/// ```compile_fail,E0277
/// # use drystone_wrap::Locked;
/// # use std::rc::Rc;
/// fn shared<T: Sync>() {}
/// shared::<Locked<Rc<u8>>>();
/// ```
#[cfg(target_has_atomic = "32")]
pub struct Locked<A, L = SpinLock> {
    lock: L,
    corruption: AtomicUsize,
    inner: A,
}

/// `A` behind the lock `L`. This target has no compare-and-swap, hence no default lock.
#[cfg(not(target_has_atomic = "32"))]
pub struct Locked<A, L> {
    lock: L,
    corruption: AtomicUsize,
    inner: A,
}

// SAFETY: by I1 threads reach `inner` one after the other, ordered by the lock, which is what
// `A: Send` allows; the other fields are `Sync`.
unsafe impl<A: Send, L: Sync> Sync for Locked<A, L> {}

#[cfg(target_has_atomic = "32")]
impl<A> Locked<A> {
    const_unless_loom! {
        /// `inner` behind a spin lock.
        #[inline]
        pub const fn new(inner: A) -> Self {
            Self {
                lock: SpinLock::new(),
                corruption: AtomicUsize::new(0),
                inner,
            }
        }
    }
}

impl<A, L: RawLock> Locked<A, L> {
    const_unless_loom! {
        /// `inner` behind `lock`, which nobody holds.
        #[inline]
        pub const fn with_lock(inner: A, lock: L) -> Self {
            Self {
                lock,
                corruption: AtomicUsize::new(0),
                inner,
            }
        }
    }

    /// The inner allocator.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        self.inner
    }
}

impl<A: Sync, L: RawLock> Locked<A, L> {
    /// The inner allocator, without the lock, which an allocator that is `Sync` by itself does
    /// not need. Others are reached by [`with`](Locked::with).
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }
}

impl<A: Allocator, L: RawLock> Locked<A, L> {
    /// Calls `f` with the inner allocator, under the lock.
    ///
    /// `f` keeps every other thread waiting, and must not call this wrapper: that would wait for
    /// ever. If it unwinds, the lock is given back.
    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&A) -> R) -> R {
        f(self.lock().inner())
    }

    #[inline]
    fn lock(&self) -> Guard<'_, A, L> {
        Guard {
            _held: RawGuard::lock(&self.lock),
            locked: self,
        }
    }

    /// Restores I2. The caller holds the lock or has the value to itself.
    #[inline]
    fn copy_corruption(&self) {
        let events = usize::try_from(self.inner.corruption_events()).unwrap_or(usize::MAX);
        // Relaxed: the count orders nothing, and its writers are ordered by the lock. The test for
        // 0 comes first because it folds away for an allocator that never counts.
        if events != 0 && events > self.corruption.load(Ordering::Relaxed) {
            self.corruption.store(events, Ordering::Relaxed);
        }
    }
}

/// The inner allocator, while the lock is held. Stays on its thread, as `RawGuard` does.
struct Guard<'a, A: Allocator, L: RawLock> {
    locked: &'a Locked<A, L>,
    /// Dropped after the body of `drop`, so the lock is still held there.
    _held: RawGuard<'a, L>,
}

impl<A: Allocator, L: RawLock> Guard<'_, A, L> {
    #[inline]
    fn inner(&self) -> &A {
        &self.locked.inner
    }
}

impl<A: Allocator, L: RawLock> Drop for Guard<'_, A, L> {
    #[inline]
    fn drop(&mut self) {
        self.locked.copy_corruption();
    }
}

// SAFETY: the inner allocator keeps the contract; the lock orders each call before the next.
unsafe impl<A: Allocator, L: RawLock> Deallocator for Locked<A, L> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().deallocate(ptr, layout) }
    }
}

// SAFETY: as for `Deallocator`.
unsafe impl<A: Allocator, L: RawLock> Allocator for Locked<A, L> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.lock().inner().allocate(layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.lock().inner().allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().grow(ptr, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().grow_zeroed(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().shrink(ptr, old, new) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().usable_size(ptr, layout) }
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.lock().inner().capacity_bytes()
    }

    /// As of the last call that finished; takes no lock. Stops at `usize::MAX`.
    #[inline]
    fn corruption_events(&self) -> u64 {
        // Relaxed: a count, read alone.
        self.corruption.load(Ordering::Relaxed) as u64
    }
}

// SAFETY: the answer is the inner allocator's, asked under the lock because it may read state that
// only one thread may touch.
unsafe impl<A: Allocator + Owns, L: RawLock> Owns for Locked<A, L> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.lock().inner().owns(ptr)
    }
}

impl<A: Allocator + Reset, L: RawLock> Reset for Locked<A, L> {
    #[inline]
    fn reset(&mut self) {
        self.inner.reset();
        self.copy_corruption();
    }
}

// SAFETY: the answers are the inner allocator's, asked under the lock because it may read state that
// only one thread may touch. A block that shrinks in place does so whatever happens in between.
unsafe impl<A: Contents, L: RawLock> Contents for Locked<A, L> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().own_pointer(block, layout) }
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().grow_in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.lock().inner().shrinks_in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the inner allocator is reset or dropped with the wrapper.
        unsafe { self.inner.ending(visit) };
        self.copy_corruption();
    }
}

forward_promises!([A, L] Locked<A, L>, inner: StableAddress);

impl<A, L> fmt::Debug for Locked<A, L> {
    /// Does not look at the inner allocator, which may be in use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::atomic::{AtomicUsize as Tally, Ordering::SeqCst};

    use drystone_sync::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// An allocator with one block and no protection of its own; loom reports two accesses to the
    /// cell that overlap or are not ordered.
    struct One {
        block: NonNull<[u8]>,
        taken: UnsafeCell<bool>,
    }

    // SAFETY: the block is a leaked static buffer, which any thread may hand out.
    unsafe impl Send for One {}

    impl One {
        fn new() -> Self {
            static BLOCK: [std::sync::atomic::AtomicU8; 8] =
                [const { std::sync::atomic::AtomicU8::new(0) }; 8];
            let start = NonNull::from(&BLOCK).cast();
            Self {
                block: NonNull::slice_from_raw_parts(start, 8),
                taken: UnsafeCell::new(false),
            }
        }

        fn replace(&self, taken: bool) -> bool {
            self.taken.with_mut(|cell| {
                // SAFETY: the lock of the `Locked` around orders all calls; that is what the
                // model checks.
                unsafe { core::mem::replace(&mut *cell, taken) }
            })
        }
    }

    // SAFETY: the block is free again after this.
    unsafe impl Deallocator for One {
        unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {
            assert!(self.replace(false), "freed twice");
        }
    }

    // SAFETY: the block is handed out while `taken` was false.
    unsafe impl Allocator for One {
        fn allocate(&self, _layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
            if self.replace(true) {
                return Err(AllocError);
            }
            Ok(self.block)
        }

        fn corruption_events(&self) -> u64 {
            1
        }
    }

    fn layout() -> NonZeroLayout {
        NonZeroLayout::from_size_align(1, 1).expect("valid")
    }

    /// Two threads only: of three, two can wait and yield to each other for ever.
    #[test]
    fn loom2_one_block_is_never_out_twice() {
        loom::model(|| {
            let locked = Arc::new(Locked::new(One::new()));
            let out = Arc::new(Tally::new(0));
            let attempt = {
                let (locked, out) = (Arc::clone(&locked), Arc::clone(&out));
                move || {
                    if let Ok(block) = locked.allocate(layout()) {
                        assert_eq!(out.fetch_add(1, SeqCst), 0, "out twice");
                        out.fetch_sub(1, SeqCst);
                        // SAFETY: the block was just handed out.
                        unsafe { locked.deallocate(block.cast(), layout()) };
                    }
                }
            };
            let other = thread::spawn(attempt.clone());
            attempt();
            other.join().expect("no panic");
            assert!(locked.allocate(layout()).is_ok(), "free at the end");
            assert_eq!(locked.corruption_events(), 1);
        });
    }
}
