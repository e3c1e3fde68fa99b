//! [`Canary`]: writes beside a block are noticed when the block is freed or resized.
//!
//! # What
//!
//! Puts a keyed word right behind the bytes that were asked for, not behind those that the allocator
//! happens to return, and two words in front of them. They are compared when the block is freed,
//! grown or shrunk, and [on demand](Canary::verify). What lies behind the word in the inner
//! allocator's block, up to 1023 bytes, is filled with it and compared as well. The words depend on
//! the key, the address and the size, so a word copied from another block is no match.
//!
//! # Memory picture
//!
//! ```text
//!  the inner allocator's block
//!  ┌───────┬───────┬────────┬─────────────────┬──────┬───────────┐
//!  │ (pad) │ front │ extent │ bytes asked for │ back │ back back │
//!  └───────┴───────┴────────┴─────────────────┴──────┴───────────┘
//!          ◄── 16 bytes ───►▲                 ▲      ◄── slack ──►
//!                  the caller's block    at the requested size, unaligned
//! ```
//!
//! The pad is there for alignments above 16 only.
//!
//! # Invariants
//!
//! - I1: while a block is live, its front word, extent and back words are those that the key gives
//!   for its address, layout and slack; nobody but the wrapper writes them.
//! - I2: a block is exactly as long as was asked for.
//!
//! The words of a freed block are set to zero and its extent to a constant: what is allocated there
//! next shows none of them.
//!
//! # Threads
//!
//! As the inner allocator. The key of [`new`](Canary::new) is chosen by the thread that allocates
//! first; the others take it over. Nothing waits.
//!
//! # Cost
//!
//! 24 bytes a block (above an alignment of 16: the alignment and 8), and a multiplication, three
//! stores and three loads for an allocation and a free together, more where there is slack. Measured
//! in `docs/design/content-wrappers.md`. At [`Off`](crate::Off) nothing of this is there.

use core::fmt;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use drystone_core::{
    AbortOnMisuse, AllocError, Allocator, Contents, Deallocator, Misuse, MisusePolicy,
    NonZeroLayout, abort_on_unwind,
};
use drystone_sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::resize::zero_from;
use crate::switch::{Keep, Kept};
use crate::{On, Switch};

mod block;
mod frame;
mod key;
#[cfg(all(test, loom))]
mod models;
mod tail;

use block::{Block, before};
use frame::{Extent, Frame};
use key::Key;

/// `A`, with words around each block that show a write beside it.
///
/// ```
/// # use core::cell::Cell;
/// # use drystone_core::{Allocator, Contents, Deallocator, Misuse, MisusePolicy, NonZeroLayout};
/// # use drystone_wrap::Canary;
/// struct Last(Cell<Option<Misuse>>);
///
/// impl MisusePolicy for Last {
///     fn on_misuse(&self, misuse: Misuse, _address: usize) {
///         self.0.set(Some(misuse));
///     }
/// }
///
/// fn one_too_far<A: Contents>(memory: A) {
///     let last = Last(Cell::new(None));
///     let guarded = Canary::with_policy(memory, &last);
///     let layout = NonZeroLayout::from_size_align(13, 1).unwrap();
///     let block = guarded.allocate(layout).expect("there is room").cast::<u8>();
///     // The allocator inside has more than 13 bytes there, but nobody asked for them.
///     unsafe { block.add(13).write(0) };
///     unsafe { guarded.deallocate(block, layout) };
///     assert_eq!(last.0.get(), Some(Misuse::Overrun));
///     assert_eq!(guarded.corruption_events(), 1);
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # one_too_far(slots::Slots::new(4));
/// ```
///
/// A write that changes one of the bytes next to the block is found with certainty, one that leaves
/// them as they are is not. A write far away may hit another block instead, whose words then show it.
///
/// What is found is counted in [`corruption_events`](Allocator::corruption_events) and told to the
/// policy `P`, which ends the process unless another is chosen. If the policy returns, the block
/// is freed all the same; only a block whose words say that it was freed before is left alone. A free
/// with another size or alignment than was asked for is reported, and done as it should be. A block
/// that is not in order is not resized.
///
/// Blocks that end with a reset or a drop are not compared.
pub struct Canary<A, S: Switch = On, P: MisusePolicy = AbortOnMisuse> {
    inner: A,
    policy: P,
    guard: S::Keep<Guard>,
}

/// What a canary keeps.
#[derive(Debug)]
struct Guard {
    key: Key,
    events: AtomicUsize,
}

impl Guard {
    const_unless_loom! {
        const fn new(key: Key) -> Self {
            Self {
                key,
                events: AtomicUsize::new(0),
            }
        }
    }
}

impl<A> Canary<A> {
    const_unless_loom! {
        /// `inner`, guarded under a key that is made of addresses when the first block is handed
        /// out. It is as hard to guess as it is where the system puts a program's memory; for one
        /// that is not guessed, see [`with_key`](Canary::with_key).
        #[inline]
        #[must_use]
        pub const fn new(inner: A) -> Self {
            Self {
                inner,
                policy: AbortOnMisuse,
                guard: Kept(Guard::new(Key::later())),
            }
        }
    }

    const_unless_loom! {
        /// `inner`, guarded under `key`, which should come from the system's source of random bytes.
        #[inline]
        #[must_use]
        pub const fn with_key(inner: A, key: [u8; 16]) -> Self {
            Self::with_key_and_policy(inner, key, AbortOnMisuse)
        }
    }
}

impl<A, P: MisusePolicy> Canary<A, On, P> {
    const_unless_loom! {
        /// As [`new`](Canary::new), with `policy` told of every misuse.
        #[inline]
        #[must_use]
        pub const fn with_policy(inner: A, policy: P) -> Self {
            Self {
                inner,
                policy,
                guard: Kept(Guard::new(Key::later())),
            }
        }
    }

    const_unless_loom! {
        /// As [`with_key`](Canary::with_key), with `policy` told of every misuse.
        #[inline]
        #[must_use]
        pub const fn with_key_and_policy(inner: A, key: [u8; 16], policy: P) -> Self {
            Self {
                inner,
                policy,
                guard: Kept(Guard::new(Key::fixed(key))),
            }
        }
    }
}

impl<A, S: Switch> Canary<A, S> {
    /// As [`new`](Canary::new), or without canaries, as `switch` says.
    #[inline]
    #[must_use]
    pub fn with_switch(inner: A, switch: S) -> Self {
        let _ = switch;
        Self {
            inner,
            policy: AbortOnMisuse,
            guard: S::Keep::keep(Guard::new(Key::later())),
        }
    }
}

impl<A, S: Switch, P: MisusePolicy> Canary<A, S, P> {
    /// The inner allocator. Its blocks are not those of the wrapper, unless it is switched off.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The policy.
    #[inline]
    pub const fn policy(&self) -> &P {
        &self.policy
    }

    /// The inner allocator.
    ///
    /// # Safety
    ///
    /// No block is live, or, switched off, the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner(self) -> A {
        self.inner
    }

    #[cold]
    #[inline(never)]
    fn report(&self, guard: &Guard, misuse: Misuse, ptr: NonNull<u8>) {
        // Relaxed: a count, read alone. It would take years to wrap.
        guard.events.fetch_add(1, Relaxed);
        abort_on_unwind(|| self.policy.on_misuse(misuse, ptr.addr().get()));
    }
}

impl<A: Contents, S: Switch, P: MisusePolicy> Canary<A, S, P> {
    /// Compares the words around a live block.
    ///
    /// # Errors
    ///
    /// [`Misuse`] says what is wrong. It is neither counted nor told to the policy. Switched off,
    /// nothing ever is.
    ///
    /// # Safety
    ///
    /// As [`Allocator::usable_size`].
    pub unsafe fn verify(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Result<(), Misuse> {
        let Some(guard) = self.guard.get() else {
            return Ok(());
        };
        // SAFETY: the caller's promise.
        let block = unsafe { self.block_at(ptr, layout) }.map_err(|_| Misuse::LayoutMismatch)?;
        // SAFETY: the caller's promise.
        unsafe { block.verify(&guard.key) }.map(drop)
    }

    /// The live block at `ptr`.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if no block has this layout.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block that `layout` fits.
    #[inline]
    unsafe fn block_at(
        &self,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> Result<Block, AllocError> {
        let frame = Frame::around(layout)?;
        // SAFETY: the prefix lies in front of the caller's block.
        let start = unsafe { before(ptr, frame.prefix) };
        Ok(Block {
            frame,
            // SAFETY: the caller's block lies so far inside one of the inner allocator, which was
            // asked for with the frame's layout.
            start: unsafe { self.inner.own_pointer(start, frame.layout) },
            layout,
        })
    }

    /// A block of `layout` inside what `request` gives for the whole.
    #[inline]
    fn guarded(
        &self,
        guard: &Guard,
        layout: NonZeroLayout,
        request: impl FnOnce(&A, NonZeroLayout) -> Result<NonNull<[u8]>, AllocError>,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let frame = Frame::around(layout)?;
        let whole = request(&self.inner, frame.layout)?;
        // SAFETY: the whole was just handed out for the frame.
        Ok(unsafe { Self::arm(guard, frame, whole, layout) })
    }

    /// Guards a block of `layout` in `whole`.
    ///
    /// # Safety
    ///
    /// `whole` is a block of the inner allocator, handed out or resized for `frame`, which is the
    /// frame around `layout`.
    #[inline]
    unsafe fn arm(
        guard: &Guard,
        frame: Frame,
        whole: NonNull<[u8]>,
        layout: NonZeroLayout,
    ) -> NonNull<[u8]> {
        let block = Block {
            frame,
            start: whole.cast(),
            layout,
        };
        // SAFETY: the caller's promise.
        unsafe { block.arm(&guard.key, frame.slack(whole.len())) };
        NonNull::slice_from_raw_parts(block.user(), layout.size().get())
    }

    /// Gives a block back that was found intact.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`], and `extent` is what the header says.
    #[inline]
    unsafe fn release(&self, block: Block, extent: Extent) {
        // SAFETY: the caller gave the block up.
        unsafe { block.disarm(extent.tail_bytes()) };
        // SAFETY: the whole is the inner allocator's, asked for with this layout.
        unsafe { self.inner.deallocate(block.start, block.frame.layout) };
    }

    /// Reports a misuse, and gives the block back if it can still be told which.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`], as far as the misuse leaves it true.
    #[cold]
    #[inline(never)]
    unsafe fn release_damaged(
        &self,
        guard: &Guard,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
        misuse: Misuse,
    ) {
        self.report(guard, misuse, ptr);
        let asked_for = match misuse {
            Misuse::DoubleFree => None,
            // SAFETY: the header was found to be the one that was written.
            Misuse::LayoutMismatch => unsafe { self.layout_in_header(ptr, layout) },
            _ => Some(layout),
        };
        let Some(layout) = asked_for else {
            return;
        };
        // SAFETY: this is the layout that the block was asked for with.
        let Ok(block) = (unsafe { self.block_at(ptr, layout) }) else {
            return;
        };
        // SAFETY: the block is the one that the caller gave up, and has a word behind it. What else
        // was behind it is not known for sure, so it stays as it is.
        unsafe { block.disarm(frame::WORD_BYTES) };
        // SAFETY: the whole is the inner allocator's, asked for with this layout.
        unsafe { self.inner.deallocate(block.start, block.frame.layout) };
    }

    /// What the header says that the block at `ptr` was asked for with.
    ///
    /// # Safety
    ///
    /// The header is one that was written; `layout` has led to it.
    unsafe fn layout_in_header(
        &self,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> Option<NonZeroLayout> {
        // SAFETY: the caller's promise.
        let block = unsafe { self.block_at(ptr, layout) }.ok()?;
        // SAFETY: as above.
        let (_, extent) = unsafe { block.read_header() };
        extent.layout()
    }

    /// The live block at `ptr`, compared, and what its header says.
    ///
    /// # Errors
    ///
    /// [`AllocError`] after a misuse was reported: a block that is not in order is not resized.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block that `layout` fits.
    #[inline]
    unsafe fn intact_block(
        &self,
        guard: &Guard,
        ptr: NonNull<u8>,
        layout: NonZeroLayout,
    ) -> Result<(Block, Extent), AllocError> {
        // SAFETY: the caller's promise.
        let block = unsafe { self.block_at(ptr, layout) }?;
        // SAFETY: as above.
        match unsafe { block.verify(&guard.key) } {
            Ok(extent) => Ok((block, extent)),
            Err(misuse) => {
                self.report(guard, misuse, ptr);
                Err(AllocError)
            }
        }
    }

    /// Grows a block that was found intact, if it can stay where it lies.
    ///
    /// # Safety
    ///
    /// As [`Allocator::grow`], of `block`, whose header says `extent`.
    #[inline]
    unsafe fn grow_intact(
        &self,
        guard: &Guard,
        block: Block,
        extent: Extent,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let frame = Frame::around(new)?;
        if !frame.agrees_with(block.frame) {
            return Err(AllocError);
        }
        let (old, wider) = (block.frame.layout, frame.layout);
        // SAFETY: the whole is a live block of the inner allocator; the frame grows with the block.
        let whole = unsafe { self.inner.grow_in_place(block.start, old, wider) }?;
        // The block as it was, through the pointer that reaches it now. What the whole had more of
        // before, it may have no longer; a word behind the old bytes it has still.
        let grown = Block {
            start: whole.cast(),
            ..block
        };
        let room = whole.len() - grown.frame.prefix - grown.layout.size().get();
        // The old words would show in the caller's new bytes.
        // SAFETY: the tail lies in the whole, and is no longer than the rest of it.
        unsafe { tail::write(grown.tail(), extent.tail_bytes().min(room), 0) };
        // SAFETY: the whole was just resized for the frame.
        Ok(unsafe { Self::arm(guard, frame, whole, new) })
    }

    /// Moves a block that was found intact to `fresh`, and gives the old one back.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`], of `block`, whose header says `extent`; `fresh` is a new block
    /// of at least `kept` bytes, and `kept` is at most the block's size.
    #[inline]
    unsafe fn move_intact(&self, block: Block, extent: Extent, fresh: NonNull<[u8]>, kept: usize) {
        let to = fresh.cast::<u8>().as_ptr();
        // SAFETY: both hold so many bytes and are live, so they do not overlap; bytes have no
        // alignment and may be uninitialised in an untyped copy.
        unsafe { ptr::copy_nonoverlapping(block.user().as_ptr(), to, kept) };
        // SAFETY: the caller's promise.
        unsafe { self.release(block, extent) };
    }
}

// SAFETY: the block goes back to the inner allocator as what it was asked for; it is reached through
// the inner allocator's own pointer. A panic of the policy ends the process.
unsafe impl<A: Contents, S: Switch, P: MisusePolicy> Deallocator for Canary<A, S, P> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let Some(guard) = self.guard.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.deallocate(ptr, layout) };
        };
        // SAFETY: the caller's promise.
        let Ok(block) = (unsafe { self.block_at(ptr, layout) }) else {
            return self.report(guard, Misuse::LayoutMismatch, ptr);
        };
        // SAFETY: as above.
        match unsafe { block.verify(&guard.key) } {
            // SAFETY: the caller gives the block up, and the header was just read.
            Ok(extent) => unsafe { self.release(block, extent) },
            // SAFETY: as above, but for the misuse.
            Err(misuse) => unsafe { self.release_damaged(guard, ptr, layout, misuse) },
        }
    }
}

// SAFETY: a block lies inside one of the inner allocator, aligned because its offset there is a
// multiple of its alignment and the whole has at least that; it ends before the back word. The words
// are written while nobody has the bytes: before the block is handed out, after it was given up, or
// beside it. A move copies the kept bytes first, and an error leaves the block alone.
unsafe impl<A: Contents, S: Switch, P: MisusePolicy> Allocator for Canary<A, S, P> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.guard.get() {
            Some(guard) => self.guarded(guard, layout, A::allocate),
            None => self.inner.allocate(layout),
        }
    }

    #[inline]
    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.guard.get() {
            Some(guard) => self.guarded(guard, layout, A::allocate_zeroed),
            None => self.inner.allocate_zeroed(layout),
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(guard) = self.guard.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow(ptr, old, new) };
        };
        // SAFETY: the caller's promise.
        let (block, extent) = unsafe { self.intact_block(guard, ptr, old) }?;
        // SAFETY: as above.
        if let Ok(grown) = unsafe { self.grow_intact(guard, block, extent, new) } {
            return Ok(grown);
        }
        let fresh = self.allocate(new)?;
        // SAFETY: as above; the new block is no smaller.
        unsafe { self.move_intact(block, extent, fresh, old.size().get()) };
        Ok(fresh)
    }

    #[inline]
    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(guard) = self.guard.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow_zeroed(ptr, old, new) };
        };
        // SAFETY: the caller's promise.
        let (block, extent) = unsafe { self.intact_block(guard, ptr, old) }?;
        // SAFETY: as above.
        if let Ok(grown) = unsafe { self.grow_intact(guard, block, extent, new) } {
            // SAFETY: the block is at least as long as `old`.
            unsafe { zero_from(grown, old.size().get()) };
            return Ok(grown);
        }
        let fresh = self.allocate_zeroed(new)?;
        // SAFETY: as above; the new block is no smaller.
        unsafe { self.move_intact(block, extent, fresh, old.size().get()) };
        Ok(fresh)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(guard) = self.guard.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.shrink(ptr, old, new) };
        };
        // SAFETY: the caller's promise.
        let (block, extent) = unsafe { self.intact_block(guard, ptr, old) }?;
        let frame = Frame::around(new)?;
        let (whole, less) = (block.frame.layout, frame.layout);
        if frame.agrees_with(block.frame)
            // SAFETY: the whole is a live block of the inner allocator, and the frame shrinks with
            // the block.
            && unsafe { self.inner.shrinks_in_place(block.start, whole, less) }
        {
            // SAFETY: the block is live, and its header says so.
            unsafe { tail::write(block.tail(), extent.tail_bytes(), 0) };
            // SAFETY: as above.
            let whole = unsafe { self.inner.shrink(block.start, whole, less) }?;
            // SAFETY: the whole was just resized for the frame.
            return Ok(unsafe { Self::arm(guard, frame, whole, new) });
        }
        let fresh = self.allocate(new)?;
        // SAFETY: the caller's promise; the new block has so many bytes.
        unsafe { self.move_intact(block, extent, fresh, new.size().get()) };
        Ok(fresh)
    }

    /// The size that was asked for. Switched off, the inner allocator's answer.
    #[inline]
    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        if self.guard.get().is_some() {
            return Some(layout.size().get());
        }
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
        // Relaxed: a count, read alone.
        let here = self
            .guard
            .get()
            .map_or(0, |guard| guard.events.load(Relaxed));
        self.inner.corruption_events().saturating_add(here as u64)
    }
}

// SAFETY: the pointer is the inner allocator's own, moved inside its block; a block is exactly as
// long as asked (I2); what the inner allocator passes out holds every block of the wrapper.
unsafe impl<A: Contents, S: Switch, P: MisusePolicy> Contents for Canary<A, S, P> {
    #[inline]
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        if self.guard.get().is_none() {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.own_pointer(block, layout) };
        }
        // SAFETY: the caller's promise.
        let own = unsafe { self.block_at(block, layout) };
        debug_assert!(own.is_ok(), "a block that could not have been asked for");
        own.map_or(block, Block::user)
    }

    #[inline]
    unsafe fn grow_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(guard) = self.guard.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.grow_in_place(ptr, old, new) };
        };
        // SAFETY: the caller's promise.
        let (block, extent) = unsafe { self.intact_block(guard, ptr, old) }?;
        // SAFETY: as above.
        unsafe { self.grow_intact(guard, block, extent, new) }
    }

    /// Not for a block that is not in order: that one does not shrink at all.
    #[inline]
    unsafe fn shrinks_in_place(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> bool {
        let Some(guard) = self.guard.get() else {
            // SAFETY: the block is the inner allocator's; same requirements.
            return unsafe { self.inner.shrinks_in_place(ptr, old, new) };
        };
        // SAFETY: the caller's promise.
        let (Ok(block), Ok(frame)) = (unsafe { self.block_at(ptr, old) }, Frame::around(new))
        else {
            return false;
        };
        frame.agrees_with(block.frame)
            // SAFETY: the caller's promise.
            && unsafe { block.verify(&guard.key) }.is_ok()
            // SAFETY: the whole is a live block of the inner allocator, and the frame shrinks with
            // the block.
            && unsafe { self.inner.shrinks_in_place(block.start, block.frame.layout, frame.layout) }
    }

    #[inline]
    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the inner allocator is reset or dropped with the wrapper.
        unsafe { self.inner.ending(visit) }
    }
}

forward_promises!([A, S: Switch, P: MisusePolicy] Canary<A, S, P>, inner: Owns, Reset, StableAddress);

impl<A: fmt::Debug, S: Switch, P: MisusePolicy> fmt::Debug for Canary<A, S, P> {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Canary")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
