//! [`Quarantine`]: a freed block is handed out again later, and not if it was written to meanwhile
//! without notice.
//!
//! # What
//!
//! Keeps the last `N` freed blocks back, in the order they were freed, up to a number of bytes. A
//! block is filled with a pattern when it comes in and compared when it goes on to the inner
//! allocator: whoever changed a byte in between used it after the free. A block that is freed while
//! it is kept is a double free, and found with certainty. Where the inner allocator has no memory
//! left, every block goes on and the request is made again: a quarantine makes no request fail.
//!
//! # Memory picture
//!
//! ```text
//!             oldest                newest
//!  ┌───────┬──────┬──────┬──────┬──────┬───────┐
//!  │ inner │ held │ held │ held │ held │ count │      the ring, inside the value
//!  └───────┴──┬───┴──────┴──────┴──────┴───────┘
//!             ▼
//!  ┌─────────────────────────────┐
//!  │ df df df df df df df df df  │                    a block, all of it pattern
//!  └─────────────────────────────┘
//! ```
//!
//! # Invariants
//!
//! - I1: each block held is live for the inner allocator, was freed by the caller, and all its bytes
//!   were set to the pattern since.
//! - I2: no more than `N` blocks and no more than the byte limit are held.
//!
//! The ring holds addresses, so the inner allocator must be [`StableAddress`]: what is held then
//! survives every move of the wrapper. Over inline storage build on a `Region`.
//!
//! # Threads
//!
//! Send if its parts are, never Sync: the ring is plain memory. [`Locked`](crate::Locked) goes
//! around it. At [`Off`](crate::Off) it is as the inner allocator.
//!
//! # Cost
//!
//! A free writes every byte of one block and reads every byte of another. No allocation pays
//! anything. The ring takes 48 bytes and 4 more for each block. Nothing is allocated for it.

use core::cell::Cell;
use core::fmt;
use core::hint::black_box;
use core::mem::{ManuallyDrop, MaybeUninit};
use core::ptr::{self, NonNull};

use drystone_core::{
    AbortOnMisuse, AllocError, Allocator, Contents, Deallocator, Misuse, MisusePolicy,
    NonZeroLayout, Reset, StableAddress, abort_on_unwind,
};

use crate::resize::{self, block_bytes};
use crate::scrub::fill;
use crate::switch::{Keep, Kept};
use crate::{On, Poison, Switch};

mod pattern;
mod ring;

use ring::{Held, Ring};

/// `A`, whose freed blocks rest before they are handed out again.
///
/// ```
/// # use drystone_core::{Allocator, Contents, Deallocator, NonZeroLayout, StableAddress};
/// # use drystone_wrap::Quarantine;
/// fn not_at_once<A: Contents + StableAddress>(memory: A, layout: NonZeroLayout) {
///     let memory = Quarantine::<_, 2>::new(memory);
///     let first = memory.allocate(layout).expect("there is room");
///     unsafe { memory.deallocate(first.cast(), layout) };
///     let second = memory.allocate(layout).expect("there is room");
///     assert_ne!(second, first);
///     assert_eq!(memory.held_blocks(), 1);
///     unsafe { memory.deallocate(second.cast(), layout) };
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # not_at_once(slots::Slots::new(4), NonZeroLayout::from_size_align(8, 8).unwrap());
/// ```
///
/// A change of a byte to the value that it had is no change: a write of the pattern is not seen. Of
/// a block that shrinks in place, the tail is not held.
///
/// What is found is counted in [`corruption_events`](Allocator::corruption_events) and told to the
/// policy `P`, which ends the process unless another is chosen. A block that was written to goes on
/// to the inner allocator if the policy returns; a second free is not passed on.
///
/// The blocks held are freed with the wrapper, so the inner allocator must not move them:
///
/// ```compile_fail,E0277
/// # use drystone_core::Contents;
/// # use drystone_wrap::Quarantine;
/// fn over_anything<A: Contents>(memory: A) {
///     Quarantine::<_, 8>::new(memory);
/// }
/// ```
///
/// ```compile_fail,E0080
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # use drystone_wrap::Quarantine;
/// # fn main() {
/// Quarantine::<_, 0>::new(slots::Slots::new(1));
/// # }
/// ```
pub struct Quarantine<
    A: Contents + StableAddress,
    const N: usize,
    S: Switch = On,
    P: MisusePolicy = AbortOnMisuse,
> {
    inner: A,
    policy: P,
    ward: S::Keep<Ward<N>>,
}

/// What a quarantine keeps.
#[derive(Debug)]
struct Ward<const N: usize> {
    ring: Ring<N>,
    bytes_max: usize,
    events: Cell<u64>,
}

impl<const N: usize> Ward<N> {
    const fn new(bytes_max: usize) -> Self {
        Self {
            ring: Ring::new(),
            bytes_max,
            events: Cell::new(0),
        }
    }

    /// Whether another block of `bytes` can be held without another one going.
    #[inline]
    fn has_room(&self, bytes: usize) -> bool {
        // Without overflow: nothing above the limit is ever held (I2).
        self.ring.len() < N && bytes <= self.bytes_max - self.ring.bytes()
    }
}

impl<A: Contents + StableAddress, const N: usize> Quarantine<A, N> {
    /// `inner`, whose last `N` freed blocks are kept back.
    #[inline]
    #[must_use]
    pub const fn new(inner: A) -> Self {
        Self::with_bytes(inner, usize::MAX)
    }

    /// `inner`, whose last freed blocks are kept back: at most `N`, with at most `bytes_max` bytes
    /// in all. A block with more bytes than that is not kept.
    #[inline]
    #[must_use]
    pub const fn with_bytes(inner: A, bytes_max: usize) -> Self {
        Self::with_policy(inner, bytes_max, AbortOnMisuse)
    }
}

impl<A: Contents + StableAddress, const N: usize, P: MisusePolicy> Quarantine<A, N, On, P> {
    /// As [`with_bytes`](Quarantine::with_bytes), with `policy` told of every misuse.
    #[inline]
    #[must_use]
    pub const fn with_policy(inner: A, bytes_max: usize, policy: P) -> Self {
        Self {
            inner,
            policy,
            ward: Kept(Ward::new(bytes_max)),
        }
    }

    /// How many blocks are kept back at the moment.
    #[inline]
    pub fn held_blocks(&self) -> usize {
        self.ward.0.ring.len()
    }

    /// How many bytes the blocks that are kept back have.
    #[inline]
    pub fn held_bytes(&self) -> usize {
        self.ward.0.ring.bytes()
    }

    /// The most bytes that are kept back.
    #[inline]
    pub const fn bytes_max(&self) -> usize {
        self.ward.0.bytes_max
    }
}

impl<A: Contents + StableAddress, const N: usize, S: Switch> Quarantine<A, N, S> {
    /// As [`new`](Quarantine::new), or no quarantine at all, as `switch` says.
    #[inline]
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        Self {
            inner,
            policy: AbortOnMisuse,
            ward: S::Keep::keep(Ward::new(usize::MAX)),
        }
    }
}

impl<A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy>
    Quarantine<A, N, S, P>
{
    /// The byte that blocks are filled with while they are kept: [`Poison::DEFAULT`].
    pub const PATTERN: u8 = Poison::DEFAULT;

    /// The inner allocator. A block that is freed through it is not kept back.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The policy.
    #[inline]
    pub const fn policy(&self) -> &P {
        &self.policy
    }

    /// Passes every block on to the inner allocator, the oldest first.
    pub fn flush(&self) {
        if let Some(ward) = self.ward.get() {
            while self.release_oldest(ward) {}
        }
    }

    /// The inner allocator, with nothing kept back any more.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    pub unsafe fn into_inner(self) -> A {
        self.flush();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: the wrapper is not used or dropped afterwards, so the policy is dropped once.
        unsafe { ptr::drop_in_place(&raw mut this.policy) };
        // SAFETY: as above; the ring has no drop.
        unsafe { ptr::read(&raw const this.inner) }
    }

    /// Compares the oldest block and passes it on; whether there was one.
    #[inline]
    fn release_oldest(&self, ward: &Ward<N>) -> bool {
        // Off the ring first: the policy may call back.
        let Some(held) = ward.ring.pop() else {
            return false;
        };
        // SAFETY: by I1 the block has so many bytes, and all of them are initialised.
        if !unsafe { pattern::is_intact(held.block, held.bytes, Self::PATTERN) } {
            self.report(ward, Misuse::WriteAfterFree, held.block);
        }
        // SAFETY: by I1 the block is live inside, and the caller that freed it named the layout; it
        // was not moved, because the inner allocator is `StableAddress`.
        unsafe { self.inner.deallocate(held.block, held.layout) };
        true
    }

    #[cold]
    #[inline(never)]
    fn report(&self, ward: &Ward<N>, misuse: Misuse, block: NonNull<u8>) {
        ward.events.set(ward.events.get().saturating_add(1));
        abort_on_unwind(|| self.policy.on_misuse(misuse, block.addr().get()));
    }

    /// Takes a block in, after as many old ones went on as there must.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`].
    #[inline]
    unsafe fn hold(&self, ward: &Ward<N>, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if ward.ring.holds(ptr.addr().get()) {
            return self.report(ward, Misuse::DoubleFree, ptr);
        }
        // SAFETY: the caller's block is live, and the layout fits it.
        let bytes = unsafe { block_bytes(&self.inner, ptr, layout) };
        // SAFETY: as above.
        let block = unsafe { self.inner.own_pointer(ptr, layout) };
        let mut whole = NonNull::slice_from_raw_parts(block.cast::<MaybeUninit<u8>>(), bytes);
        // SAFETY: the pointer is valid for the whole block (`Contents`), which the caller gave up.
        fill(unsafe { whole.as_mut() }, Self::PATTERN);
        if bytes > ward.bytes_max {
            black_box(block);
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.deallocate(block, layout) };
        }
        while !ward.has_room(bytes) && self.release_oldest(ward) {}
        ward.ring.push(Held {
            block,
            layout,
            bytes,
        });
    }

    /// Grows a block in place that could not be moved: to make room for that, everything that was kept
    /// back went on, and what lay behind the block may have been part of it.
    ///
    /// # Safety
    ///
    /// As [`Allocator::grow`].
    #[cold]
    #[inline(never)]
    unsafe fn grow_after_flush(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.grow_in_place(ptr, old, new) }
    }

    /// Makes a request again after everything that was kept back went on.
    #[cold]
    #[inline(never)]
    fn retry(
        &self,
        request: impl FnOnce() -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        match self.ward.get() {
            Some(ward) if ward.ring.len() > 0 => {
                self.flush();
                request()
            }
            _ => Err(AllocError),
        }
    }
}

// SAFETY: a block rests in the ring, where nobody has it, or goes back to the inner allocator. It is
// written through the inner allocator's own pointer after the caller gave it up.
unsafe impl<A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy> Deallocator
    for Quarantine<A, N, S, P>
{
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        match self.ward.get() {
            // SAFETY: the caller's requirements are the same.
            Some(ward) => unsafe { self.hold(ward, ptr, layout) },
            // SAFETY: the block is the inner allocator's; same requirements.
            None => unsafe { self.inner.deallocate(ptr, layout) },
        }
    }
}

// SAFETY: every block is the inner allocator's. A move copies the kept bytes before the old block is
// freed, and an error leaves it alone. A panic of the policy ends the process.
unsafe impl<A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy> Allocator
    for Quarantine<A, N, S, P>
{
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.inner.allocate(layout) {
            Ok(block) => Ok(block),
            Err(AllocError) => self.retry(|| self.inner.allocate(layout)),
        }
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.inner.allocate_zeroed(layout) {
            Ok(block) => Ok(block),
            Err(AllocError) => self.retry(|| self.inner.allocate_zeroed(layout)),
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.ward.get().is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow(ptr, old, new) };
        }
        // SAFETY: the caller's requirements are the same.
        match unsafe { resize::grow(self, &self.inner, ptr, old, new) } {
            Ok(block) => Ok(block),
            // SAFETY: the caller's requirements; an error left the block as it was.
            Err(AllocError) => unsafe { self.grow_after_flush(ptr, old, new) },
        }
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.ward.get().is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow_zeroed(ptr, old, new) };
        }
        // SAFETY: the caller's requirements are the same.
        match unsafe { resize::grow_zeroed(self, &self.inner, ptr, old, new) } {
            Ok(block) => Ok(block),
            Err(AllocError) => {
                // SAFETY: the caller's requirements; an error left the block as it was.
                let block = unsafe { self.grow_after_flush(ptr, old, new) }?;
                // SAFETY: the block is at least as long as `new`, which is no smaller than `old`.
                unsafe { resize::zero_from(block, old.size().get()) };
                Ok(block)
            }
        }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if self.ward.get().is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.shrink(ptr, old, new) };
        }
        // SAFETY: the caller's requirements are the same.
        unsafe { resize::shrink(self, &self.inner, ptr, old, new, || ()) }
    }

    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the caller's block is a block of the inner allocator; same requirements.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        self.inner.capacity_bytes()
    }

    /// The inner allocator's, and what was found here.
    #[inline]
    fn corruption_events(&self) -> u64 {
        let here = self.ward.get().map_or(0, |ward| ward.events.get());
        self.inner.corruption_events().saturating_add(here)
    }
}

// SAFETY: the blocks are those of the inner allocator, which answers. What is held here goes on
// before the inner allocator's memory is passed out.
unsafe impl<A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy> Contents
    for Quarantine<A, N, S, P>
{
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.own_pointer(block, layout) }
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.grow_in_place(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.shrinks_in_place(ptr, old, new) }
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        self.flush();
        // SAFETY: the inner allocator is reset or dropped with the wrapper.
        unsafe { self.inner.ending(visit) }
    }
}

// SAFETY: the wrapper's blocks are those of the inner allocator, which keeps them in place when it
// moves; what is held is reached by its address, which stays.
unsafe impl<A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy> StableAddress
    for Quarantine<A, N, S, P>
{
}

// SAFETY: the wrapper's blocks are those of the inner allocator, which answers. What is held is in no
// hands.
unsafe impl<A, const N: usize, S: Switch, P: MisusePolicy> drystone_core::Owns
    for Quarantine<A, N, S, P>
where
    A: Contents + StableAddress + drystone_core::Owns,
{
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.inner.owns(ptr)
    }
}

impl<A, const N: usize, S: Switch, P: MisusePolicy> Reset for Quarantine<A, N, S, P>
where
    A: Contents + StableAddress + Reset,
{
    /// Compares what is kept back, then frees every block.
    fn reset(&mut self) {
        self.flush();
        self.inner.reset();
    }
}

impl<A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy> Drop
    for Quarantine<A, N, S, P>
{
    /// Passes every block on to the inner allocator.
    fn drop(&mut self) {
        self.flush();
    }
}

impl<A, const N: usize, S: Switch, P: MisusePolicy> fmt::Debug for Quarantine<A, N, S, P>
where
    A: Contents + StableAddress + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Quarantine");
        if let Some(ward) = self.ward.get() {
            debug
                .field("held_blocks", &ward.ring.len())
                .field("held_bytes", &ward.ring.bytes());
        }
        debug.field("inner", &self.inner).finish_non_exhaustive()
    }
}
