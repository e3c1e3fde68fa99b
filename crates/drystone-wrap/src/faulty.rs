//! [`Faulty`]: refuses the requests that a policy names.
//!
//! # What
//!
//! Asks a policy before each request that may need memory: `allocate`, `allocate_zeroed`, `grow`,
//! `grow_zeroed` and `shrink`. A refused request never reaches the inner allocator. For tests of
//! what happens when memory runs out, at the place and time of the test's choice.
//!
//! Each request is judged once: a wrapper outside that would rather grow a block where it lies is told
//! that it cannot, and asks for a new one.
//!
//! # Memory picture
//!
//! ```text
//! +--------+-------+
//! | policy | inner |
//! +--------+-------+
//! ```
//!
//! # Invariants
//!
//! None of its own.
//!
//! # Threads
//!
//! As the inner allocator and the policy.
//!
//! # Cost
//!
//! One question to the policy for each request. Frees and queries go straight through.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, AllocFaultPolicy, Allocator, Contents, Deallocator, NonZeroLayout, abort_on_unwind,
};

/// `A`, with the requests failing that `P` says.
///
/// Resizes are judged by the new layout.
///
/// ```
/// # use drystone_core::{AllocError, Allocator, Deallocator, NonZeroLayout};
/// # use drystone_wrap::{FailAfter, Faulty};
/// fn third_request_fails<A: Allocator>(allocator: A, layout: NonZeroLayout) {
///     let faulty = Faulty::new(allocator, FailAfter::new(2));
///     for _ in 0..2 {
///         let block = faulty.allocate(layout).expect("allowed");
///         unsafe { faulty.deallocate(block.cast(), layout) };
///     }
///     assert!(faulty.allocate(layout).is_err());
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # third_request_fails(slots::Slots::new(4), NonZeroLayout::from_size_align(8, 8).unwrap());
/// ```
#[derive(Debug)]
pub struct Faulty<A, P> {
    policy: P,
    inner: A,
}

impl<A, P: AllocFaultPolicy> Faulty<A, P> {
    /// `inner`, asked only for what `policy` lets pass.
    #[inline]
    pub const fn new(inner: A, policy: P) -> Self {
        Self { policy, inner }
    }

    /// The inner allocator.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The policy, to ask how far it has counted.
    #[inline]
    pub const fn policy(&self) -> &P {
        &self.policy
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

    #[inline]
    fn pass(&self, layout: NonZeroLayout) -> Result<(), AllocError> {
        if abort_on_unwind(|| self.policy.should_fail(layout)) {
            return Err(AllocError);
        }
        Ok(())
    }
}

// SAFETY: the inner allocator keeps the contract.
unsafe impl<A: Deallocator, P> Deallocator for Faulty<A, P> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) }
    }
}

// SAFETY: every block is the inner allocator's; a request that is refused changes nothing; a panic
// of the policy ends the process.
unsafe impl<A: Allocator, P: AllocFaultPolicy> Allocator for Faulty<A, P> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.pass(layout)?;
        self.inner.allocate(layout)
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.pass(layout)?;
        self.inner.allocate_zeroed(layout)
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass(new)?;
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.grow(ptr, old, new) }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass(new)?;
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.grow_zeroed(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass(new)?;
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.shrink(ptr, old, new) }
    }

    forward_queries!(inner);
}

// SAFETY: the blocks are those of the inner allocator, which answers. Nothing is resized in
// place: `grow_in_place` declines always, so that the policy judges each request once.
unsafe impl<A: Contents, P: AllocFaultPolicy> Contents for Faulty<A, P> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.own_pointer(block, layout) }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the inner allocator is reset or dropped with the wrapper.
        unsafe { self.inner.ending(visit) }
    }
}

forward_promises!([A, P] Faulty<A, P>, inner: Owns, Reset, StableAddress);
