//! The heap block of a slab: the range, and what more than one thread touches.
//!
//! # Memory picture
//!
//! ```text
//!  line 0     place       base, start, end: written once
//!  line 1     arrivals    list, handles: written by everybody
//!  line 2 …   queue       what the queue shares
//!  line n …   backing     the range, or what owns it
//! ```
//!
//! The owner keeps its own bookkeeping in itself.
//!
//! # Invariants
//!
//! - S1: the block lives while `handles > 0`, and `handles` is the number of [`Handle`]s plus those
//!   that the owner has counted and not made yet.
//! - S2: the block never moves, nor does the backing in it; `place` describes its range.
//! - S3: the parts lie on cache lines of their own (checked at compile time).
//! - S4: the list is open exactly as long as the owner lives.

use core::marker::PhantomData;
use core::mem::offset_of;
use core::ptr::NonNull;

use drystone_core::{FixedRange, NoProtection, abort_on_unwind};
use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::{CACHE_LINE, CachePadded, Closed, RemoteList};

use super::RemoteQueue;
use super::boxing;
use crate::SetupError;
use crate::slab::kernel::SlotKernel;
use crate::slab::slot_list::{self, Origin, load, store};

/// The bookkeeping of the slots.
pub(super) type Slots<T> = SlotKernel<T, NoProtection>;

/// A chain of the list is the owner's free list as it stands.
const _: () = assert!(RemoteList::NONE == slot_list::NONE);

/// The most handles: beyond it the count could wrap.
const HANDLES_MAX: usize = isize::MAX as usize;

/// What owner, remotes, batches and boxes share.
#[repr(C)]
pub(super) struct Shared<T, B, Q: RemoteQueue> {
    place: CachePadded<Place>,
    arrivals: CachePadded<Arrivals>,
    queue: CachePadded<Q::Shared>,
    backing: CachePadded<B>,
    slots: PhantomData<fn() -> T>,
}

/// Where the slots are.
pub(super) struct Place {
    pub(super) base: NonNull<u8>,
    /// The offset of the first slot.
    start: usize,
    /// The offset after the last slot.
    end: usize,
}

/// What whoever frees writes.
struct Arrivals {
    /// Blocks that did not go through the queue.
    list: RemoteList,
    /// S1.
    handles: AtomicUsize,
}

impl<T, B, Q: RemoteQueue> Shared<T, B, Q> {
    /// S3, evaluated when the type is used.
    const LINES_APART: () = {
        let parts = [
            offset_of!(Self, place),
            offset_of!(Self, arrivals),
            offset_of!(Self, queue),
            offset_of!(Self, backing),
            size_of::<Self>(),
        ];
        assert!(align_of::<Self>() >= CACHE_LINE);
        let mut part = 0;
        while part + 1 < parts.len() {
            assert!(parts[part].is_multiple_of(CACHE_LINE));
            assert!(parts[part] < parts[part + 1]);
            part += 1;
        }
    };

    #[inline]
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    #[inline]
    pub(super) fn queue(&self) -> &Q::Shared {
        &self.queue
    }

    #[inline]
    pub(super) fn list(&self) -> &RemoteList {
        &self.arrivals.list
    }

    /// The range.
    #[inline]
    pub(super) fn backing(&self) -> &B {
        &self.backing
    }

    /// A pointer to the slot at `offset`.
    ///
    /// # Safety
    ///
    /// `offset` is that of a slot.
    #[inline]
    pub(super) unsafe fn slot(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.place.end);
        // SAFETY: by the caller's promise the offset is in the range, which S2 describes.
        unsafe { self.place.base.add(offset) }
    }

    /// The offset of the block at `ptr`, by its address.
    #[inline]
    pub(super) fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr().get().wrapping_sub(self.place.base.addr().get())
    }

    /// The index of the slot at `offset`. A division by a constant.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the capacity fits a u32")]
    pub(super) fn index_of(&self, offset: usize) -> u32 {
        debug_assert!(
            offset >= self.place.start
                && offset < self.place.end
                && (offset - self.place.start).is_multiple_of(Slots::<T>::STRIDE),
            "not a block of this slab"
        );
        ((offset - self.place.start) / Slots::<T>::STRIDE) as u32
    }

    /// What the links of the slots count from: they are addresses, since the range stays (S2).
    #[inline]
    pub(super) fn origin(&self) -> Origin {
        Origin::of_addresses(self.place.base)
    }

    /// Writes the link `next` into the free slot at `offset`.
    ///
    /// # Safety
    ///
    /// The slot at `offset` is free, and the caller's.
    #[inline]
    pub(super) unsafe fn link(&self, offset: usize, next: usize) {
        // SAFETY: the caller's promise.
        let slot = unsafe { self.slot(offset) };
        // SAFETY: a stride holds a link, and every slot is aligned by `SLOT_ALIGN`.
        unsafe { store(slot, Slots::<T>::SLOT_ALIGN, next) };
    }

    /// The link in the free slot at `offset`.
    ///
    /// # Safety
    ///
    /// The slot at `offset` is free, the caller's, and holds a link.
    #[inline]
    pub(super) unsafe fn link_of(&self, offset: usize) -> usize {
        // SAFETY: the caller's promise.
        let slot = unsafe { self.slot(offset) };
        // SAFETY: the slot holds a link, and every slot is aligned by `SLOT_ALIGN`.
        unsafe { load(slot, Slots::<T>::SLOT_ALIGN) }
    }

    /// Puts a chain of blocks, from offset to offset, on the list.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the owner is gone.
    ///
    /// # Safety
    ///
    /// The links lead from the block at `first` to that at `last`. All are live, and the caller
    /// gives them up if this succeeds.
    #[inline]
    pub(super) unsafe fn put_on_list(&self, first: usize, last: usize) -> Result<(), Closed> {
        self.list().push(self.origin().link_to(first), |next| {
            // SAFETY: the block is the caller's until it is on the list.
            unsafe { self.link(last, next) };
        })
    }

    /// Sends the block at `offset` home, through the queue or else the list.
    ///
    /// # Errors
    ///
    /// [`Closed`] if there is no room in the queue, and the owner is gone.
    ///
    /// # Safety
    ///
    /// The block at `offset` is live, and the caller gives it up if this succeeds.
    #[inline]
    pub(super) unsafe fn send(&self, port: Option<&Q::Port>, offset: usize) -> Result<(), Closed> {
        if Q::send(&self.queue, port, self.index_of(offset)) {
            return Ok(());
        }
        // SAFETY: the caller's promise, of a chain of one.
        unsafe { self.put_on_list(offset, offset) }
    }
}

/// One counted use of the shared block.
pub(super) struct Handle<T, B, Q: RemoteQueue> {
    /// Alive by S1.
    shared: NonNull<Shared<T, B, Q>>,
}

// SAFETY: a handle reads `place`, uses the atomics and the queue, which are made for many threads,
// calls the range, which any thread may (L7), and may drop it, which `B: Send` allows. A `T` is
// neither stored nor dropped.
unsafe impl<T, B: Send, Q: RemoteQueue> Send for Handle<T, B, Q> {}
// SAFETY: through a shared handle another can be made, and sent; that is all, and `B: Send` allows
// it.
unsafe impl<T, B: Send, Q: RemoteQueue> Sync for Handle<T, B, Q> {}

impl<T, B: FixedRange, Q: RemoteQueue> Handle<T, B, Q> {
    /// The first handle of a new block, for `slots` in `backing`.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if there is no memory for the block.
    pub(super) fn new(slots: &Slots<T>, backing: B, queue: Q::Shared) -> Result<Self, SetupError> {
        const { Shared::<T, B, Q>::LINES_APART };
        let place = Place {
            base: NonNull::dangling(),
            start: slots.start,
            end: slots.start + slots.bytes(),
        };
        let shared = boxing::try_leak(Shared {
            place: CachePadded::new(place),
            arrivals: CachePadded::new(Arrivals {
                list: RemoteList::new(),
                handles: AtomicUsize::new(1),
            }),
            queue: CachePadded::new(queue),
            backing: CachePadded::new(backing),
            slots: PhantomData,
        })
        .ok_or(SetupError::OutOfMemory)?;
        let handle = Self { shared };
        let base = handle.shared().backing().base();
        // SAFETY: the block was just made, and nobody else has it; the range is in another part of
        // it, if it is there at all.
        let place = unsafe { &mut (*shared.as_ptr()).place };
        place.base = base;
        Ok(handle)
    }
}

impl<T, B, Q: RemoteQueue> Handle<T, B, Q> {
    /// The shared block.
    #[inline]
    pub(super) fn shared(&self) -> &Shared<T, B, Q> {
        // SAFETY: the block lives as long as this handle (S1), and is only reached by `&`.
        unsafe { self.shared.as_ref() }
    }

    /// Counts `count` more handles.
    #[inline]
    pub(super) fn count(&self, count: usize) {
        // Relaxed: a handle that exists keeps the block alive meanwhile.
        let before = self
            .shared()
            .arrivals
            .handles
            .fetch_add(count, Ordering::Relaxed);
        if before > HANDLES_MAX - count {
            abort_on_unwind(|| panic!("more handles of one slab than can be counted"));
        }
    }

    /// A handle that [`count`](Self::count) has counted already.
    #[inline]
    pub(super) fn counted(&self) -> Self {
        Self {
            shared: self.shared,
        }
    }

    /// Gives `count` counted handles back that were not made. This handle is counted too.
    pub(super) fn uncount(&self, count: usize) {
        // Relaxed: this handle keeps the block alive.
        self.shared()
            .arrivals
            .handles
            .fetch_sub(count, Ordering::Relaxed);
    }
}

impl<T, B, Q: RemoteQueue> Clone for Handle<T, B, Q> {
    #[inline]
    fn clone(&self) -> Self {
        self.count(1);
        self.counted()
    }
}

impl<T, B, Q: RemoteQueue> Drop for Handle<T, B, Q> {
    #[inline]
    fn drop(&mut self) {
        let handles = &self.shared().arrivals.handles;
        // Release: what this handle did happens before the block is freed. Nothing of the block is
        // touched after this, unless the handle was the last.
        if handles.fetch_sub(1, Ordering::Release) == 1 {
            // SAFETY: this handle was the last (S1).
            unsafe { free(self.shared) };
        }
    }
}

/// Drops and frees the block.
///
/// # Safety
///
/// The last handle is being dropped.
#[cold]
#[inline(never)]
unsafe fn free<T, B, Q: RemoteQueue>(shared: NonNull<Shared<T, B, Q>>) {
    // SAFETY: the block lives until it is freed below.
    let block = unsafe { shared.as_ref() };
    // Acquire: pairs with the Release in `drop` of every other handle. A load, not a fence, because
    // ThreadSanitizer does not see fences.
    block.arrivals.handles.load(Ordering::Acquire);
    // SAFETY: nobody else has the block, which comes from `try_leak`.
    unsafe { boxing::free(shared) };
}
