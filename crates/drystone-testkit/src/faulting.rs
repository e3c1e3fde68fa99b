//! [`Faulting`] and [`fail_each`]: every allocation of a scenario fails once, one after another.

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_core::{
    AllocError, Allocator, BlockInfo, Contents, Corruption, Deallocator, Inspect, Misuse,
    NonZeroLayout, Owns, Report, Reset, StableAddress,
};

/// Which calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fail {
    /// None.
    Never,
    /// The `n`th call after arming, counted from 1, and no other.
    Once(usize),
    /// The `n`th call after arming, counted from 1, and every later one.
    From(usize),
}

/// Refuses chosen calls of `allocate`, `allocate_zeroed`, `grow`, `grow_zeroed` and `shrink`; all
/// others reach the allocator inside. Keeps count of the blocks it handed out.
#[derive(Debug)]
pub struct Faulting<A> {
    inner: A,
    // `first..last` are the calls that fail, by number; 0..0 is none.
    first: AtomicUsize,
    last: AtomicUsize,
    calls: AtomicUsize,
    refused: AtomicUsize,
    live: AtomicUsize,
}

impl<A> Faulting<A> {
    /// Nothing fails until [`arm`](Faulting::arm) says so.
    pub const fn new(inner: A) -> Self {
        Self {
            inner,
            first: AtomicUsize::new(0),
            last: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
        }
    }

    /// The allocator inside.
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// Counts calls from 1 again, and lets those that `fail` names fail.
    pub fn arm(&self, fail: Fail) {
        let (first, last) = match fail {
            Fail::Never => (0, 0),
            Fail::Once(n) => (n, n),
            Fail::From(n) => (n, usize::MAX),
        };
        // SeqCst throughout: a test helper, where one order for everything is worth more than
        // speed; the counts are read only when the calls are over.
        self.calls.store(0, Ordering::SeqCst);
        self.refused.store(0, Ordering::SeqCst);
        self.first.store(first, Ordering::SeqCst);
        self.last.store(last, Ordering::SeqCst);
    }

    /// How many calls were refused since arming.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::SeqCst)
    }

    /// How many calls were made since arming, refused ones included.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Blocks handed out and not taken back.
    pub fn live_blocks(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Counts a call, and refuses it if it is one of those that fail.
    fn pass(&self) -> Result<(), AllocError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let failing = self.first.load(Ordering::SeqCst)..=self.last.load(Ordering::SeqCst);
        if !failing.contains(&number) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::SeqCst);
        Err(AllocError)
    }
}

// SAFETY: every call goes to the allocator inside.
unsafe impl<A: Deallocator> Deallocator for Faulting<A> {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        self.live.fetch_sub(1, Ordering::SeqCst);
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.deallocate(ptr, layout) };
    }
}

// SAFETY: every call that is not refused goes to the allocator inside; a refused one does nothing.
unsafe impl<A: Allocator> Allocator for Faulting<A> {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.pass()?;
        let block = self.inner.allocate(layout)?;
        self.live.fetch_add(1, Ordering::SeqCst);
        Ok(block)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.pass()?;
        let block = self.inner.allocate_zeroed(layout)?;
        self.live.fetch_add(1, Ordering::SeqCst);
        Ok(block)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass()?;
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.grow(ptr, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass()?;
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.grow_zeroed(ptr, old, new) }
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass()?;
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.shrink(ptr, old, new) }
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.usable_size(ptr, layout) }
    }

    fn capacity_bytes(&self) -> Option<usize> {
        self.inner.capacity_bytes()
    }

    fn corruption_events(&self) -> u64 {
        self.inner.corruption_events()
    }
}

// SAFETY: the blocks are those of the allocator inside, which answers. Growing in place may fail like
// any request; that a block shrinks in place is no promise here, because the request may fail.
unsafe impl<A: Contents> Contents for Faulting<A> {
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.own_pointer(block, layout) }
    }

    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.pass()?;
        // SAFETY: the caller's requirements are those of the allocator inside.
        unsafe { self.inner.grow_in_place(ptr, old, new) }
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the allocator inside is reset or dropped with this one.
        unsafe { self.inner.ending(visit) }
    }
}

// SAFETY: the blocks lie where those of the allocator inside do.
unsafe impl<A: StableAddress> StableAddress for Faulting<A> {}

// SAFETY: the blocks are those of the allocator inside.
unsafe impl<A: Owns> Owns for Faulting<A> {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.inner.owns(ptr)
    }
}

impl<A: Reset> Reset for Faulting<A> {
    fn reset(&mut self) {
        *self.live.get_mut() = 0;
        self.inner.reset();
    }
}

impl<A: Inspect> Inspect for Faulting<A> {
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

/// A scenario that makes as many calls as this is taken to be endless.
const CALLS_MAX: usize = 100_000;

/// Runs `scenario` with its first allocating call failing, then with the second, and so on until a
/// run is not hit; each once alone and once with every later call failing too. Returns the number
/// of runs that were hit.
///
/// The scenario gets a fresh `Faulting` allocator to build upon. It answers `Ok` when it ran
/// through and `Err` when a failure reached it, and has freed everything either way. After each
/// run:
///
/// - a call was refused exactly if the run was hit, and no block is left outstanding;
/// - `scenario` on the same allocator, with nothing failing any more, runs through: the requests
///   that failed succeed after healing.
///
/// A scenario that survives a failure (by a fallback, say) answers `Ok`.
///
/// # Panics
///
/// If any of this does not hold, with the number of the failing call.
#[track_caller]
pub fn fail_each<A: Allocator, E: fmt::Debug>(
    make: impl Fn() -> A,
    scenario: impl Fn(&Faulting<A>) -> Result<(), E>,
) -> usize {
    let mut hit = 0;
    for kind in [Fail::Once, Fail::From] {
        for n in 1..=CALLS_MAX {
            if !fails_cleanly(&Faulting::new(make()), kind(n), &scenario) {
                break;
            }
            hit += 1;
        }
    }
    hit
}

/// One run; `false` if no call was refused.
#[track_caller]
fn fails_cleanly<A: Allocator, E: fmt::Debug>(
    allocator: &Faulting<A>,
    fail: Fail,
    scenario: &impl Fn(&Faulting<A>) -> Result<(), E>,
) -> bool {
    allocator.arm(fail);
    let result = scenario(allocator);
    let refused = allocator.refused();
    assert!(
        allocator.calls() < CALLS_MAX,
        "a scenario of too many calls"
    );
    assert!(
        refused > 0 || result.is_ok(),
        "{fail:?}: failed although no call was refused: {result:?}"
    );
    assert_eq!(
        allocator.live_blocks(),
        0,
        "{fail:?}: blocks left outstanding"
    );
    allocator.arm(Fail::Never);
    if let Err(error) = scenario(allocator) {
        panic!("{fail:?}: still fails after healing: {error:?}");
    }
    assert_eq!(
        allocator.live_blocks(),
        0,
        "{fail:?}: blocks left after healing"
    );
    refused > 0
}

/// Makes one request that may fail, and checks that a refusal left `allocator` as it was.
///
/// # Errors
///
/// Those of the request.
///
/// # Panics
///
/// If the request failed and the state digest changed.
#[track_caller]
pub fn unchanged_by_failure<A: Inspect, T, E>(
    allocator: &A,
    request: impl FnOnce(&A) -> Result<T, E>,
) -> Result<T, E> {
    let before = allocator.state_digest();
    let result = request(allocator);
    if result.is_err() {
        assert_eq!(
            allocator.state_digest(),
            before,
            "a refused request changed the bookkeeping"
        );
    }
    result
}
