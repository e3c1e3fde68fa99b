//! [`SlabOwner`]: the end that allocates.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, BlockInfo, Corruption, Deallocator, FixedRange, Inspect, Misuse,
    NoProtection, NonZeroLayout, Owns, Report, StableAddress,
};
use drystone_sync::RemoteList;

use super::boxed::RemoteBox;
use super::ring::{BatchPolicy, QUEUE_CAPACITY_DEFAULT, Ring, ring};
use super::shared::{Handle, Shared, Slots};
use super::{RemoteQueue, SlabRemote};
use crate::slab::digest::Digest;
use crate::slab::slot_list::Origin;
use crate::{AllocValueError, SetupError};

/// How many handles are counted at once for the boxes to come.
const CREDITS: usize = 64;

/// Blocks for values of type `T`, cut from the range `B`: one thread allocates and frees, any
/// thread frees through a [`SlabRemote`].
///
/// A block of the owner is as long as the [stride](Self::STRIDE), and its blocks grow and shrink in
/// place within it. Values are the caller's: a slab drops none, but a [`RemoteBox`] drops its own.
///
/// `Q` says how remote frees come home: [`Ring`] or [`Intrusive`](super::Intrusive).
///
/// ```
/// use drystone_core::{Allocator, Deallocator, HeapSegment, NonZeroLayout};
/// use drystone_layout::SlabOwner;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<[u64; 8]>(100).unwrap())?;
/// let owner = SlabOwner::<[u64; 8], _>::new(100, range)?;
/// let remote = owner.remote();
/// let layout = NonZeroLayout::for_type::<[u64; 8]>().unwrap();
///
/// let block = owner.allocate(layout)?.cast::<u8>();
/// let address = block.addr();
/// std::thread::scope(|threads| {
///     struct Sent(std::ptr::NonNull<u8>);
///     // SAFETY: a block may be freed on any thread.
///     unsafe impl Send for Sent {}
///     let sent = Sent(block);
///     threads.spawn(move || {
///         let Sent(block) = { sent };
///         // SAFETY: the block is live, and was allocated with this layout.
///         unsafe { remote.deallocate(block, layout) };
///     });
/// });
/// assert_eq!(owner.drain(), 1);
/// assert_eq!(owner.allocate(layout)?.cast::<u8>().addr(), address);
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// The owner cannot be shared between threads:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::SlabOwner;
/// fn assert_sync<S: Sync>() {}
/// assert_sync::<SlabOwner<u64, HeapSegment>>();
/// ```
///
/// A range that must stay on its thread keeps every handle there:
///
/// ```compile_fail,E0277
/// # use drystone_core::{AllocatedRegion, Allocator};
/// # use drystone_layout::SlabRemote;
/// fn assert_send<S: Send>() {}
/// assert_send::<SlabRemote<u64, AllocatedRegion<std::rc::Rc<dyn Allocator>>>>();
/// ```
pub struct SlabOwner<T, B, Q: RemoteQueue = Ring> {
    /// The bookkeeping of the slots, which keeps the owner on one thread at a time.
    slots: Slots<T>,
    /// The base of the range, which stays where it is.
    base: NonNull<u8>,
    queue: Q::Owner,
    /// Handles that are counted and not made yet.
    credits: Cell<usize>,
    handle: Handle<T, B, Q>,
}

// SAFETY: the bookkeeping, the window onto the queue and the count are one thread's at a time; the
// base is the range's, which `B: Send` lets go with its handle.
unsafe impl<T, B: Send, Q: RemoteQueue> Send for SlabOwner<T, B, Q> {}

impl<T, B: FixedRange> SlabOwner<T, B> {
    /// A slab of `capacity` blocks over a [`Ring`] of 1024 entries, emptied when 64 blocks wait.
    ///
    /// The range needs `capacity` times [`STRIDE`](Self::STRIDE) bytes, and up to
    /// [`SLOT_ALIGN`](Self::SLOT_ALIGN) `- 1` more if its base is not aligned. It goes to the heap
    /// with the bookkeeping, and stays in its place there, also where it is inside its value.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if `capacity` is 0 or above [`CAPACITY_MAX`](Self::CAPACITY_MAX), if the
    /// range is too small, if it guarantees less than the slot alignment, or if there is no memory
    /// for the bookkeeping. The range is dropped.
    pub fn new(capacity: usize, backing: B) -> Result<Self, SetupError> {
        Self::with_batch_policy(
            capacity,
            backing,
            BatchPolicy::default(),
            QUEUE_CAPACITY_DEFAULT,
        )
    }

    /// A slab of `capacity` blocks over a [`Ring`] of `queue_capacity` entries, emptied as `policy`
    /// says.
    ///
    /// A threshold above the capacity of the ring means the capacity. A ring of 0 entries takes
    /// nothing: every [`try_deallocate`](SlabRemote::try_deallocate) is refused, and remote frees
    /// go through the list.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_batch_policy(
        capacity: usize,
        backing: B,
        policy: BatchPolicy,
        queue_capacity: usize,
    ) -> Result<Self, SetupError> {
        Self::made(capacity, backing, |capacity| {
            ring(capacity, policy, queue_capacity)
        })
    }
}

impl<T, B: FixedRange, Q: RemoteQueue> SlabOwner<T, B, Q> {
    /// The distance between two blocks in bytes: the size of `T`, at least that of a link, rounded
    /// up to the alignment of `T`.
    pub const STRIDE: usize = Slots::<T>::STRIDE;

    /// The alignment of every block in bytes: that of `T`, or up to 8 where the stride keeps that
    /// too.
    pub const SLOT_ALIGN: usize = Slots::<T>::SLOT_ALIGN;

    /// The most blocks that a slab of this type can have.
    pub const CAPACITY_MAX: usize = Slots::<T>::CAPACITY_MAX;

    /// A slab of `capacity` blocks whose remote frees come home through `queue`.
    ///
    /// # Errors
    ///
    /// As [`new`](SlabOwner::new).
    pub fn with_queue(capacity: usize, backing: B, queue: Q) -> Result<Self, SetupError> {
        Self::made(capacity, backing, |capacity| queue.sides(capacity))
    }

    fn made(
        capacity: usize,
        backing: B,
        queue: impl FnOnce(usize) -> (Q::Shared, Q::Owner),
    ) -> Result<Self, SetupError> {
        let slots = Slots::new(capacity, &backing, NoProtection)?;
        let (shared, queue) = queue(capacity);
        let handle = Handle::new(&slots, backing, shared)?;
        let owner = Self {
            slots,
            base: handle.shared().place().base,
            queue,
            credits: Cell::new(0),
            handle,
        };
        owner.debug_assert_invariants();
        Ok(owner)
    }

    /// The number of blocks.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// The distance between two blocks in bytes, which is also the size of every block:
    /// [`STRIDE`](Self::STRIDE).
    #[inline]
    pub const fn block_stride(&self) -> usize {
        Self::STRIDE
    }

    /// A handle that any thread frees blocks through.
    ///
    /// With [`Intrusive`](super::Intrusive) it has a lane of `capacity` entries, at most 4096, of
    /// 4 bytes each, if the feature `std` is on, no more than 31 other handles have one, and there
    /// is memory for it.
    pub fn remote(&self) -> SlabRemote<T, B, Q> {
        SlabRemote::new(self.handle.clone())
    }

    /// Takes every block back that was freed remotely before this call, and says how many.
    ///
    /// Never needed: an `allocate` that finds no block takes them by itself. Allocates nothing.
    pub fn drain(&self) -> usize {
        let shared = self.shared();
        let mut count = 0;
        Q::collect(shared.queue(), &self.queue, |index| {
            // SAFETY: the index came out of the queue.
            unsafe { self.put_back(self.offset_at(index)) };
            count += 1;
        });
        let mut link = shared.list().take_all();
        while link != RemoteList::NONE {
            let offset = self.origin().offset_to(link);
            // SAFETY: the block was on the list.
            link = unsafe { shared.link_of(offset) };
            // SAFETY: as above.
            unsafe { self.put_back(offset) };
            count += 1;
        }
        count
    }

    /// The threshold that [`BatchPolicy::Adaptive`] has arrived at, before it is limited to the
    /// capacity of the ring. `None` for other policies and queues.
    pub fn adaptive_threshold_snapshot(&self) -> Option<usize> {
        Q::adaptive_threshold(&self.queue)
    }

    /// Stores `value` in a block and returns it as a box that may be sent to another thread and
    /// dropped there.
    ///
    /// # Errors
    ///
    /// [`AllocValueError`] gives `value` back if no block is free.
    #[inline]
    pub fn alloc_box(&self, value: T) -> Result<RemoteBox<T, B, Q>, AllocValueError<T>> {
        let Some(offset) = self.take() else {
            return Err(AllocValueError::new(value));
        };
        let slot = self.block(offset).cast::<T>();
        // SAFETY: the slot is free for a `T`, and aligned for it.
        unsafe { slot.write(value) };
        // SAFETY: the slot holds a `T`, and belongs to the box alone.
        Ok(unsafe { RemoteBox::new(slot, self.credit()) })
    }

    /// Panics in debug builds if an invariant of the module's documentation is broken. Free in
    /// release builds.
    ///
    /// # Panics
    ///
    /// In debug builds, if [`verify_all`](Inspect::verify_all) fails.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.verify_all().err(), None);
    }

    /// Links are addresses, as those of what comes home are.
    #[inline]
    fn origin(&self) -> Origin {
        Origin::of_addresses(self.base)
    }

    /// Takes a free slot: the one that the owner freed last, one that came home, or the next never
    /// used.
    #[inline]
    fn take(&self) -> Option<usize> {
        self.tick();
        // SAFETY: the slots were placed in this range.
        if let Some(offset) = unsafe { self.slots.pop(self.origin()) } {
            return Some(offset);
        }
        match Q::next(&self.queue) {
            Some(index) => Some(self.offset_at(index)),
            None => self.take_dry(),
        }
    }

    /// Takes a free slot when the owner has none at hand.
    #[inline(never)]
    fn take_dry(&self) -> Option<usize> {
        if Q::REUSES_FIRST {
            self.take_home().or_else(|| self.carve())
        } else {
            self.carve().or_else(|| self.take_home())
        }
    }

    /// Takes a slot never used.
    fn carve(&self) -> Option<usize> {
        // SAFETY: the slots were placed in this range.
        unsafe { self.slots.carve(self.shared().backing()) }.ok()
    }

    /// Takes what came home, and one slot of it.
    fn take_home(&self) -> Option<usize> {
        let shared = self.shared();
        Q::refill(shared.queue(), &self.queue, |index| {
            // SAFETY: the index came out of the queue.
            unsafe { self.put_back(self.offset_at(index)) };
        });
        if let Some(index) = Q::next(&self.queue) {
            return Some(self.offset_at(index));
        }
        if self.slots.slots.head() == RemoteList::NONE {
            // The links of the list are those of the slots, whose own list is empty.
            self.slots.slots.set_head(shared.list().take_all());
        }
        // SAFETY: the slots were placed in this range.
        unsafe { self.slots.pop(self.origin()) }
    }

    /// What each call of the owner does first.
    #[inline]
    fn tick(&self) {
        if Q::is_due(self.shared().queue(), &self.queue) {
            self.drain_due();
        }
    }

    #[cold]
    #[inline(never)]
    fn drain_due(&self) {
        self.drain();
    }

    /// Puts a slot that came home on the owner's own list.
    ///
    /// # Safety
    ///
    /// The slot at `offset` was given up, and came out of the queue or the list once.
    #[inline]
    unsafe fn put_back(&self, offset: usize) {
        // SAFETY: the slots were placed in this range, and the slot is given up.
        unsafe { self.slots.free(self.origin(), offset, Self::WHOLE_SLOT) };
    }

    const WHOLE_SLOT: NonZeroLayout =
        match NonZeroLayout::from_size_align(Self::STRIDE, Self::SLOT_ALIGN) {
            Ok(layout) => layout,
            Err(_) => panic!("the layout of a slot"),
        };

    /// A handle for a box, counted a few at a time.
    #[inline]
    fn credit(&self) -> Handle<T, B, Q> {
        let credits = &self.credits;
        if credits.get() == 0 {
            self.handle.count(CREDITS);
            credits.set(CREDITS);
        }
        credits.set(credits.get() - 1);
        self.handle.counted()
    }

    /// The block at `offset`, as long as its slot.
    #[inline]
    fn block(&self, offset: usize) -> NonNull<[u8]> {
        // SAFETY: the slots were placed in this range, and every offset in use is that of a slot.
        let slot = unsafe { self.slots.slot(self.base, offset) };
        NonNull::slice_from_raw_parts(slot, Self::STRIDE)
    }

    /// The offset of `ptr`, by its address.
    #[inline]
    fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr().get().wrapping_sub(self.base.addr().get())
    }

    /// The offset of the slot with this index.
    #[inline]
    fn offset_at(&self, index: u32) -> usize {
        self.slots.start + index as usize * Self::STRIDE
    }

    /// The slot at `ptr`, through the slab's own base.
    #[inline]
    pub(super) fn own_slot(&self, ptr: NonNull<u8>) -> NonNull<u8> {
        self.block(self.offset_of(ptr)).cast()
    }

    /// Whether blocks of `layout` fit a slot.
    #[inline]
    pub(super) fn fits(layout: NonZeroLayout) -> bool {
        Slots::<T>::fits(layout)
    }

    /// The block at `ptr`, if blocks of `new` fit its slot.
    #[inline]
    fn in_place(&self, ptr: NonNull<u8>, new: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        // All slots are alike: a layout that does not fit this one fits none.
        if Slots::<T>::fits(new) {
            Ok(self.block(self.offset_of(ptr)))
        } else {
            Err(AllocError)
        }
    }
}

impl<T, B, Q: RemoteQueue> SlabOwner<T, B, Q> {
    #[inline]
    fn shared(&self) -> &Shared<T, B, Q> {
        self.handle.shared()
    }
}

/// Closes the slab: what is freed from now on stays where it is, and the range is dropped with the
/// last handle, batch and box. There is nobody left whom a block could be given to, so nothing is
/// drained.
impl<T, B, Q: RemoteQueue> Drop for SlabOwner<T, B, Q> {
    fn drop(&mut self) {
        self.shared().list().close();
        self.handle.uncount(self.credits.take());
    }
}

// SAFETY: the pointer is used for its address, links are written through the slab's own base, and
// nothing here unwinds.
unsafe impl<T, B: FixedRange, Q: RemoteQueue> Deallocator for SlabOwner<T, B, Q> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        self.tick();
        let offset = self.offset_of(ptr);
        // SAFETY: the slots were placed in this range, and the caller gives up a live block of it.
        unsafe { self.slots.free(self.origin(), offset, layout) };
    }
}

// SAFETY: slots are disjoint, aligned and inside the range, which the kernel keeps; a slot comes
// from the owner's list, the queue, the remote list or the cursor, and is then in none of them.
unsafe impl<T, B: FixedRange, Q: RemoteQueue> Allocator for SlabOwner<T, B, Q> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if !Slots::<T>::fits(layout) {
            return Err(AllocError);
        }
        match self.take() {
            Some(offset) => Ok(self.block(offset)),
            None => Err(AllocError),
        }
    }

    #[inline]
    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        self.in_place(ptr, new)
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        self.in_place(ptr, new)
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) -> Option<usize> {
        Some(Self::STRIDE)
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        Some(self.slots.bytes())
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.slots.corruption_events()
    }
}

// SAFETY: every block lies among the slots, and no other memory does.
unsafe impl<T, B: FixedRange, Q: RemoteQueue> Owns for SlabOwner<T, B, Q> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.slots.contains(self.offset_of(ptr))
    }
}

// SAFETY: the range is in the shared block, which never moves, wherever the owner does.
unsafe impl<T, B, Q: RemoteQueue> StableAddress for SlabOwner<T, B, Q> {}

/// A block that was freed remotely counts as live until the owner has looked for it.
impl<T, B: FixedRange, Q: RemoteQueue> Inspect for SlabOwner<T, B, Q> {
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        let offset = self.offset_of(ptr);
        // SAFETY: the slots were placed in this range.
        let info = unsafe { self.slots.validate(self.origin(), offset) }?;
        let mut is_held = false;
        Q::held(&self.queue, |index| {
            is_held |= self.offset_at(index) == offset;
        });
        if is_held {
            Err(Misuse::DoubleFree)
        } else {
            Ok(info)
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        let shared = self.shared();
        // SAFETY: the slots were placed in this range.
        let mut report = unsafe { self.slots.verify(shared.backing(), self.origin()) }?;
        let mut broken = None;
        Q::held(&self.queue, |index| {
            let offset = self.offset_at(index);
            if self.slots.is_carved_slot(offset) && report.live_blocks > 0 {
                report.live_blocks -= 1;
                report.free_blocks += 1;
            } else {
                broken = Some(Corruption {
                    invariant: "W1: the window holds what is not a block",
                    offset,
                });
            }
        });
        broken.map_or(Ok(report), Err)
    }

    fn state_digest(&self) -> u64 {
        let mut digest = Digest::new();
        // SAFETY: the slots were placed in this range.
        unsafe { self.slots.digest(self.origin(), &mut digest) };
        Q::held(&self.queue, |index| {
            digest.add_size(self.offset_at(index));
        });
        digest.finish()
    }
}

impl<T, B, Q: RemoteQueue> fmt::Debug for SlabOwner<T, B, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlabOwner")
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}
