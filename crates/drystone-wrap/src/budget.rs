//! [`Budget`]: a hard limit on the bytes that are out.
//!
//! # What
//!
//! Lets a request pass only if the bytes of all live blocks, with it, stay within a limit. What is
//! counted are the bytes that callers ask for, and a block is handed out exactly that long, so that
//! a free gives back what its allocation took. What the inner allocator adds by rounding is its
//! own affair.
//!
//! # Memory picture
//!
//! ```text
//! +-------+-------------+------------+
//! | inner | limit_bytes | used_bytes |
//! +-------+-------------+------------+
//! ```
//!
//! # Invariants
//!
//! - I1: `used_bytes <= limit_bytes`, at every moment.
//! - I2: `used_bytes` is at least the sum of the sizes of all live blocks: a block is charged before
//!   the inner allocator is asked for it, and refunded after it has taken it back.
//! - I3: when no call is running, `used_bytes` is that sum.
//!
//! # Threads
//!
//! Sync if the inner allocator is. Nothing waits. While requests overlap, one that the inner
//! allocator is about to refuse holds its bytes of the budget until then, so that another may be
//! refused that would have fitted; never is one let pass that does not fit.
//!
//! # Cost
//!
//! One compare-and-swap for each allocation and growth, one atomic subtraction for each free and
//! shrink. At [`Off`](crate::Off) nothing: no field, no instruction.

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{AllocError, Allocator, Contents, Deallocator, NonZeroLayout, Reset};
use drystone_sync::atomic::{AtomicUsize, Ordering};

use crate::sizes::{difference, exactly};
use crate::switch::{Keep, Kept};
use crate::{On, Switch};

#[cfg(all(test, loom))]
mod models;

/// `A`, as long as no more than a number of bytes is live.
///
/// ```
/// # use drystone_core::{Allocator, Deallocator, NonZeroLayout};
/// # use drystone_wrap::Budget;
/// fn query<A: Allocator>(memory: A, layout: NonZeroLayout) {
///     let query = Budget::new(memory, 3 * layout.size().get());
///     let rows = [(); 3].map(|()| query.allocate(layout).expect("within the budget"));
///     assert!(query.allocate(layout).is_err());
///     for row in rows {
///         unsafe { query.deallocate(row.cast(), layout) };
///     }
///     assert_eq!(query.used_bytes(), 0);
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # query(slots::Slots::new(4), NonZeroLayout::from_size_align(8, 8).unwrap());
/// ```
///
/// A resize is counted by its result. Where the inner allocator moves the block, it holds both the
/// old and the new one for the time of the copy. `PoisonOnFree`, `ZeroizeOnFree`, `Quarantine`, `Canary`
/// and `GuardPages` move blocks themselves: a budget belongs outside of them, for inside it counts both.
pub struct Budget<A, S: Switch = On> {
    inner: A,
    ledger: S::Keep<Ledger>,
}

/// The bytes that are out, and how many may be.
#[derive(Debug)]
struct Ledger {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl Ledger {
    const_unless_loom! {
        const fn new(limit_bytes: usize) -> Self {
            Self {
                limit_bytes,
                used_bytes: AtomicUsize::new(0),
            }
        }
    }

    /// Takes `bytes` of the budget, or nothing.
    #[inline]
    fn charge(&self, bytes: usize) -> Result<(), AllocError> {
        let within = |used: usize| {
            let sum = used.checked_add(bytes)?;
            (sum <= self.limit_bytes).then_some(sum)
        };
        // Acquire, with the Release in `refund`: whoever is let pass by a refund finds the block
        // for which it was made free in the inner allocator.
        self.used_bytes
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, within)
            .map(drop)
            .map_err(|_| AllocError)
    }

    /// Gives `bytes` of the budget back.
    #[inline]
    fn refund(&self, bytes: usize) {
        // Release: the partner is in `charge`.
        let before = self.used_bytes.fetch_sub(bytes, Ordering::Release);
        debug_assert!(bytes <= before && before <= self.limit_bytes, "I1, I2");
    }

    #[inline]
    fn used(&self) -> usize {
        // Relaxed: a figure, read alone.
        self.used_bytes.load(Ordering::Relaxed)
    }
}

impl<A> Budget<A> {
    const_unless_loom! {
        /// `inner`, of which at most `limit_bytes` bytes may be live at once.
        #[inline]
        #[must_use]
        pub const fn new(inner: A, limit_bytes: usize) -> Self {
            Self {
                inner,
                ledger: Kept(Ledger::new(limit_bytes)),
            }
        }
    }

    /// The most bytes that may be live at once.
    #[inline]
    pub const fn limit_bytes(&self) -> usize {
        self.ledger.0.limit_bytes
    }

    /// The requested bytes of all live blocks. Exact when no other thread is calling.
    #[inline]
    pub fn used_bytes(&self) -> usize {
        self.ledger.0.used()
    }

    /// The bytes that are left.
    #[inline]
    pub fn remaining_bytes(&self) -> usize {
        self.limit_bytes() - self.used_bytes()
    }

    /// The inner allocator, if no block is live.
    ///
    /// # Errors
    ///
    /// The wrapper itself, if bytes are outstanding.
    #[inline]
    pub fn into_inner(self) -> Result<A, Self> {
        if self.used_bytes() == 0 {
            Ok(self.inner)
        } else {
            Err(self)
        }
    }
}

impl<A, S: Switch> Budget<A, S> {
    /// `inner`, limited or not as `switch` says.
    #[inline]
    #[must_use]
    pub fn with_switch(inner: A, limit_bytes: usize, switch: S) -> Self {
        let _ = switch;
        Self {
            inner,
            ledger: S::Keep::keep(Ledger::new(limit_bytes)),
        }
    }

    /// The inner allocator. What is done through it is not counted.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The inner allocator, whatever is live.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner_unchecked(self) -> A {
        self.inner
    }

    /// Makes a request that takes `bytes` of the budget, and gives them back if it is refused.
    #[inline]
    fn within(
        &self,
        bytes: usize,
        layout: NonZeroLayout,
        request: impl FnOnce(&A) -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(ledger) = self.ledger.get() else {
            return request(&self.inner);
        };
        ledger.charge(bytes)?;
        let outcome = exactly(request(&self.inner), layout);
        if outcome.is_err() {
            ledger.refund(bytes);
        }
        outcome
    }
}

// SAFETY: the inner allocator keeps the contract; counting touches no block.
unsafe impl<A: Deallocator, S: Switch> Deallocator for Budget<A, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) };
        if let Some(ledger) = self.ledger.get() {
            ledger.refund(layout.size().get());
        }
    }
}

// SAFETY: every block is the inner allocator's, or the beginning of one that is at least as long as
// asked; a request that is refused changes nothing.
unsafe impl<A: Allocator, S: Switch> Allocator for Budget<A, S> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.within(layout.size().get(), layout, |inner| inner.allocate(layout))
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let request = |inner: &A| inner.allocate_zeroed(layout);
        self.within(layout.size().get(), layout, request)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.within(difference(new, old), new, |inner| {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { inner.grow(ptr, old, new) }
        })
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.within(difference(new, old), new, |inner| {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { inner.grow_zeroed(ptr, old, new) }
        })
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        let outcome = unsafe { self.inner.shrink(ptr, old, new) };
        let Some(ledger) = self.ledger.get() else {
            return outcome;
        };
        let block = exactly(outcome, new)?;
        ledger.refund(difference(old, new));
        Ok(block)
    }

    /// What was paid for: the requested size. Switched off, the inner allocator's answer.
    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        if self.ledger.get().is_some() {
            return Some(layout.size().get());
        }
        // SAFETY: the caller's block is a block of the inner allocator; same requirements.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    /// The limit, or the inner allocator's capacity if that is lower.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        let inner = self.inner.capacity_bytes();
        match self.ledger.get() {
            Some(ledger) => Some(inner.map_or(ledger.limit_bytes, |c| c.min(ledger.limit_bytes))),
            None => inner,
        }
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.inner.corruption_events()
    }
}

// SAFETY: the blocks are those of the inner allocator, which answers.
unsafe impl<A: Contents, S: Switch> Contents for Budget<A, S> {
    /// Declines where the budget does not allow it.
    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.within(difference(new, old), new, |inner| {
            // SAFETY: the block is the inner allocator's; same requirements.
            unsafe { inner.grow_in_place(ptr, old, new) }
        })
    }

    forward_contents!(inner);
}

forward_promises!([A, S: Switch] Budget<A, S>, inner: Owns, StableAddress);

impl<A: Reset, S: Switch> Reset for Budget<A, S> {
    /// Gives the whole budget back.
    #[inline]
    fn reset(&mut self) {
        self.inner.reset();
        if let Some(ledger) = self.ledger.get() {
            // Relaxed: the exclusive borrow orders this.
            ledger.used_bytes.store(0, Ordering::Relaxed);
        }
    }
}

impl<A: fmt::Debug, S: Switch> fmt::Debug for Budget<A, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Budget");
        if let Some(ledger) = self.ledger.get() {
            debug
                .field("limit_bytes", &ledger.limit_bytes)
                .field("used_bytes", &ledger.used());
        }
        debug.field("inner", &self.inner).finish()
    }
}
