//! [`ExtendableSlab`]: blocks of one size for many threads, from as many segments as it takes.
//!
//! # What
//!
//! A slab that grows. It takes segments from a [`SegmentSource`], cuts them into slots for values of
//! type `T`, and hands them out to any thread. Blocks never move. Which slots are free is known
//! from bits outside the segments: no link lies in a free block, and neither allocating nor freeing
//! reads one.
//!
//! # Memory picture
//!
//! ```text
//!  thread slots      shards (one for each, and one for threads without a slot)
//!   0 ──────────> ┌ word  free slots of one group, taken out of it; handed out from here
//!   1 ─────┐      │ list  segments with free slots
//!          └────> │ spare one segment whose slots are all free
//!                 └ pending  groups that other threads freed into
//!
//!  address index           descriptors                              segments
//!   base ────────────────> ┌ base ───────────────────────────────> ┌───┬───┬───┬───┐
//!   base ───────────┐      │ owner: a shard, or the pool           │ 0 │ 1 │ 2 │...│
//!                   │      └ groups: [free | remote] a word each   └───┴───┴───┴───┘
//!                   └────> ...                                      aligned to its size
//!
//!  pool: segments whose slots are all free and that no shard has
//! ```
//!
//! # Invariants
//!
//! - E1: a slot of an opened group is in exactly one of: the application, its group's `free`, its
//!   group's `remote`, a shard's `word`, or, where the protection seals slots, lost. The slots of
//!   groups not opened yet have never been handed out.
//! - E2: only the holder of a shard changes `free`, the lists and the counts of the segments that
//!   it owns. A thread holds the shard that has its thread slot as holder, one whose holder has
//!   ended while it visits it, and the shared one while it has the lock.
//! - E3: a segment's owner changes only while every slot is free, so whoever frees a slot reads an
//!   owner that stays.
//! - E4: a group is on its owner's pending list, or about to be put there by the thread that made
//!   `remote` non-empty, exactly while `remote` is not empty. It is collected only after it was
//!   taken off the list. So a segment whose slots are all in `free` has no free in flight.
//! - E5: a group with a slot in `free` is on its segment's list; a segment with such a group, or
//!   one not opened, is on its shard's list, is the shard's spare one, or is in the pool.
//! - E6: a segment is in the address index from before its first slot is handed out until after its
//!   last one came back. Descriptors live as long as the slab.
//!
//! # Threads
//!
//! Any thread may allocate and free. A thread that has a thread slot allocates from its own shard,
//! and frees there what it owns, without an atomic read-modify-write. What another thread owns goes
//! home by one `fetch_or`, and one push on the owner's pending list for the first of a group.
//! Threads without a slot (builds without `std`, threads beyond
//! [`THREAD_SLOTS_MAX`], destructors at a thread's end, and for a
//! moment a thread whose shard is being visited) share one shard behind a spin lock.
//!
//! A thread that runs dry looks, in this order, at its list, at what others sent back, at its spare
//! segment, at the pool, at the shards of threads that are gone, and then asks the source. So each
//! thread has at most one segment that it did not need when it mapped it, and nothing of a thread
//! that ended is lost: the next thread with its slot has its shard, and until then others take
//! words from it. What a living thread holds free is its own. Where the source says that a longer
//! range is worth it, segments are cut from runs, an eighth of what the slab has at most.
//!
//! The source, the protection and what drops a segment are called outside every lock. A free calls
//! none of them but the protection.
//!
//! # Cost
//!
//! An allocation takes the lowest bit of the shard's word; a free of the same group sets one. Any
//! other free finds its segment by one probe of a hash table, whatever the number of segments. Half
//! a byte of bookkeeping for each slot, about 200 bytes for each segment. A free segment is kept:
//! one by each thread, and all others in the pool, from which half of what was not needed through
//! twice as many moves as there are segments is given back; [`trim`](ExtendableSlab::trim) gives
//! back all that can be had. Segments of a run go back to the source when all of them are free.

mod contents;
mod descriptor;
mod give_back;
mod grid;
mod group;
mod growth;
mod index;
mod inspect;
#[cfg(all(test, loom))]
mod models;
mod protect;
mod refill;
mod runs;
mod segment;
mod shape;
mod shard;
mod shards;

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Deallocator, FreelistProtection, HeapSource, NoProtection,
    NonZeroLayout, Owns, SegmentSource, StableAddress, abort_on_unwind, arith,
};
use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::{RawGuard, SpinLock, THREAD_SLOTS_MAX, thread_slot};

use crate::SetupError;
use grid::Grid;
use growth::Growth;
use index::Index;
use runs::Runs;
use segment::SegmentRef;
use shape::{GROUP_SLOTS, Shape};
use shard::{Held, Pushed, Settled, Shard};
use shards::Shards;

/// The owner number of the shard for threads without a slot.
#[expect(clippy::cast_possible_truncation, reason = "a few hundred")]
const SHARED: u32 = THREAD_SLOTS_MAX as u32;

/// Blocks for values of type `T`, from segments that the source `S` supplies as they are needed.
///
/// Any thread may allocate and free, each block on any thread. A slab serves every layout that
/// fits a slot: a size up to [`STRIDE`](Self::STRIDE) and an alignment up to
/// [`SLOT_ALIGN`](Self::SLOT_ALIGN). Any other layout is refused at once, and no segment is taken
/// for it. Blocks grow and shrink in place within their slot. Values are the caller's: a slab
/// drops none.
///
/// A segment has `segment_capacity` slots and nothing else, and is aligned to its size rounded up
/// to a power of two; sources are kindest to capacities whose size is near one. The bookkeeping
/// comes from the global heap, so the slab cannot serve as the global allocator.
///
/// `M` guards the free slots; [`NoProtection`] removes the guard at compile time. There is no
/// link to guard; a protection with tags seals each free slot instead: the tag of a [`FreeLink`]
/// without a next slot lies in the slot's first four bytes and is verified before the slot is
/// handed out again. A slot whose seal is broken is not handed out any more.
///
/// ```
/// use drystone_core::{Allocator, Deallocator, NonZeroLayout};
/// use drystone_layout::ExtendableSlab;
///
/// let slab = ExtendableSlab::<[u64; 4]>::new(64);
/// let layout = NonZeroLayout::for_type::<[u64; 4]>().unwrap();
/// std::thread::scope(|threads| {
///     for _ in 0..4 {
///         threads.spawn(|| {
///             let block = slab.allocate(layout).expect("there is memory");
///             // SAFETY: the block is live, and it was allocated with this layout.
///             unsafe { slab.deallocate(block.cast(), layout) };
///         });
///     }
/// });
/// // Each thread may have needed a segment, and none needed two.
/// assert!((1..=4).contains(&slab.segment_count()));
/// ```
///
/// A zero-sized `T` does not compile:
///
/// ```compile_fail,E0080
/// # use drystone_layout::ExtendableSlab;
/// let slab = ExtendableSlab::<()>::new(64);
/// ```
///
/// [`FreeLink`]: drystone_core::FreeLink
pub struct ExtendableSlab<T, M: FreelistProtection = NoProtection, S: SegmentSource = HeapSource> {
    /// Finds segments by address; written under the lock of `growth`.
    index: Index,
    /// The measures of a segment; `None` if there is no such segment.
    shape: Option<Shape>,
    shards: Shards,
    /// Held by whoever has `shared_lock`.
    shared: Shard,
    shared_lock: SpinLock,
    growth: Growth,
    /// Misuse and damage found.
    events: AtomicUsize,
    runs: Runs<S>,
    factory: Box<dyn Fn() -> M + Send + Sync>,
    blocks: PhantomData<fn() -> T>,
}

// SAFETY: no thread-bound state: what is kept for threads is reached by the rules of E2, and a
// slab that is moved is used by nobody else. Segments, their protections and the source may
// change threads by the bounds. Values of `T` are the caller's.
unsafe impl<T, M: FreelistProtection + Send, S: SegmentSource + Send> Send
    for ExtendableSlab<T, M, S>
where
    S::Segment: Send,
{
}

// SAFETY: shared state is atomic, under a lock, or reached by the rules of E2. The source is
// called by several threads at once (`S: Sync`); a segment is taken from it on one thread and
// dropped on another (`S::Segment: Send`); a protection is made on one thread, called on others,
// by several at once, and dropped on yet another (`M: Send + Sync`).
unsafe impl<T, M: FreelistProtection + Send + Sync, S: SegmentSource + Sync> Sync
    for ExtendableSlab<T, M, S>
where
    S::Segment: Send,
{
}

impl<T> ExtendableSlab<T> {
    /// A slab that takes segments of `segment_capacity` slots from the global heap, without
    /// protection. Takes none before the first allocation.
    ///
    /// Segments whose size is a power of two below 128 KiB come several at a time, at most an eighth of
    /// those that there are, and go back when all of them are free.
    ///
    /// A capacity of 0, or one for which no segment can exist, is not an error here: such a slab
    /// refuses every allocation. [`with_initial_segments`](Self::with_initial_segments) says why.
    #[must_use]
    pub fn new(segment_capacity: usize) -> Self {
        Self::with_protection(segment_capacity, || NoProtection)
    }
}

impl<T, M: FreelistProtection> ExtendableSlab<T, M> {
    /// As [`new`](ExtendableSlab::new), with a protection that `factory` makes for each segment.
    /// It also makes one for each report of a misuse that belongs to no segment, so protections
    /// that report should share where they report to.
    ///
    /// `factory` must not allocate from this slab.
    #[must_use]
    pub fn with_protection(
        segment_capacity: usize,
        factory: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        Self::with_source(segment_capacity, factory, HeapSource)
    }

    /// As [`with_protection`](Self::with_protection), with `count` segments taken now, for the
    /// threads that come first.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if `segment_capacity` is 0 or above
    /// [`CAPACITY_MAX`](Self::CAPACITY_MAX), or if there is no memory for the segments: none is
    /// taken if they exceed `isize::MAX` bytes together, and those taken until then are given back.
    pub fn with_initial_segments(
        count: usize,
        segment_capacity: usize,
        factory: impl Fn() -> M + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        if segment_capacity == 0 {
            return Err(SetupError::ZeroCapacity);
        }
        if segment_capacity > Self::CAPACITY_MAX {
            return Err(SetupError::CapacityAboveLimit {
                capacity: segment_capacity,
                limit: Self::CAPACITY_MAX,
            });
        }
        let slab = Self::with_protection(segment_capacity, factory);
        // Refused before the machine's memory is used up to find it out.
        let segment_bytes = slab.shape.map_or(0, |shape| shape.layout().size().get());
        if count > arith::SIZE_MAX / segment_bytes.max(1) {
            return Err(SetupError::OutOfMemory);
        }
        for _ in 0..count {
            let segment = slab.map().map_err(|AllocError| SetupError::OutOfMemory)?;
            slab.growth.put(segment);
        }
        Ok(slab)
    }
}

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// The distance between two blocks in bytes, which is also the size of every block: the size
    /// of `T`, and at least 4 if the protection seals free slots, rounded up to the alignment of
    /// `T`.
    pub const STRIDE: usize = {
        assert!(size_of::<T>() > 0, "a slab of a zero-sized type");
        let least = if M::TAGGED { size_of::<u32>() } else { 1 };
        let size = if size_of::<T>() < least {
            least
        } else {
            size_of::<T>()
        };
        match arith::align_up(size, align_of::<T>()) {
            Some(stride) => stride,
            None => panic!("the stride exceeds the address space"),
        }
    };

    /// The alignment of every block in bytes: that of `T`, or up to 8 where the stride keeps that
    /// too.
    pub const SLOT_ALIGN: usize = {
        let natural = arith::natural_align(Self::STRIDE);
        let kept = if natural < 8 { natural } else { 8 };
        if kept < align_of::<T>() {
            align_of::<T>()
        } else {
            kept
        }
    };

    /// The most slots that a segment can have: `u32::MAX - 1`, or as many as fit in half of
    /// `isize::MAX + 1` bytes, the largest alignment that a layout may have.
    pub const CAPACITY_MAX: usize = {
        let in_bytes = (arith::SIZE_MAX / 2 + 1) / Self::STRIDE;
        let indices = u32::MAX as usize - 1;
        if in_bytes < indices {
            in_bytes
        } else {
            indices
        }
    };

    /// Whether frees and hand-outs go through the protection.
    const GUARDED: bool = M::TAGGED || M::OCCUPANCY;

    /// A slab that takes segments of `segment_capacity` slots from `source`, each with a
    /// protection that `factory` makes for it. Takes none before the first allocation.
    ///
    /// `source` and `factory` must not allocate from this slab. A capacity of 0, or one above
    /// [`CAPACITY_MAX`](Self::CAPACITY_MAX), makes a slab that refuses every allocation.
    #[must_use]
    pub fn with_source(
        segment_capacity: usize,
        factory: impl Fn() -> M + Send + Sync + 'static,
        source: S,
    ) -> Self {
        let shape = Shape::new(segment_capacity, Self::STRIDE, Self::SLOT_ALIGN);
        let align = shape.map_or(1, |shape| shape.layout().align().get());
        Self {
            index: Index::new(Grid::new(align)),
            shape,
            shards: Shards::new(),
            shared: Shard::new(),
            shared_lock: SpinLock::new(),
            growth: Growth::new(),
            events: AtomicUsize::new(0),
            runs: Runs::new(source),
            factory: Box::new(factory),
            blocks: PhantomData,
        }
    }

    /// The slots of each segment; 0 for a slab that refuses every allocation.
    #[inline]
    pub fn segment_capacity(&self) -> usize {
        self.shape.map_or(0, |shape| shape.capacity())
    }

    /// The bytes of each segment.
    #[inline]
    pub fn segment_bytes(&self) -> usize {
        self.shape.map_or(0, |shape| shape.bytes())
    }

    /// How many segments the slab has taken and not given back.
    #[inline]
    pub fn segment_count(&self) -> usize {
        self.growth.segments()
    }

    /// The source of the segments.
    #[inline]
    pub const fn source(&self) -> &S {
        self.runs.source()
    }

    /// Whether blocks of `layout` fit a slot. Folds away where the layout is a constant.
    #[inline]
    fn fits(layout: NonZeroLayout) -> bool {
        layout.size().get() <= Self::STRIDE && layout.align().get() <= Self::SLOT_ALIGN
    }

    /// The calling thread's shard, if it has one.
    #[inline]
    fn own(&self) -> Option<Held<'_>> {
        let slot = thread_slot()?;
        let shard = self.shards.get(slot.index())?;
        if !shard.is_held_by(slot) {
            return None;
        }
        // SAFETY: the shard is the calling thread's until that ends, and what others did with it
        // happened before `take`.
        Some(unsafe { Held::new(shard, slot.index() as u32) })
    }

    /// Runs `f` with the shard of the threads without a slot.
    fn with_shared<'a, R>(&'a self, f: impl FnOnce(Held<'a>) -> R) -> R {
        let _guard = RawGuard::lock(&self.shared_lock);
        // SAFETY: this thread has the lock for as long as `f` runs.
        f(unsafe { Held::new(&self.shared, SHARED) })
    }

    /// Where frees by other threads than the owner go.
    #[inline]
    fn inbox_of(&self, owner: u32) -> Option<&shard::Inbox> {
        if owner == SHARED {
            return Some(&self.shared.inbox);
        }
        Some(&self.shards.get(owner as usize)?.inbox)
    }

    /// The block of the slot at `start`.
    #[inline]
    fn block(start: NonNull<u8>) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(start, Self::STRIDE)
    }

    /// Frees a slot that is not of the word of `own`, the calling thread's shard. Everything that is
    /// not the common case is a call at the end, so that this needs no frame.
    #[inline(never)]
    fn free_elsewhere<'a>(&'a self, own: Option<Held<'a>>, address: usize) {
        match self.index.find_at_once(address) {
            Some(segment) => self.free_in(segment, own, address),
            None => self.free_overflowed(own, address),
        }
    }

    /// As [`free_elsewhere`](Self::free_elsewhere), where the first look does not find the segment.
    #[cold]
    #[inline(never)]
    fn free_overflowed<'a>(&'a self, own: Option<Held<'a>>, address: usize) {
        match self.index.find_again(address) {
            Some(segment) => self.free_in(segment, own, address),
            None => debug_assert!(false, "not a block of this slab"),
        }
    }

    /// Frees the slot at `address`, which is in `segment`.
    #[inline]
    fn free_in<'a>(&'a self, segment: SegmentRef<'a>, own: Option<Held<'a>>, address: usize) {
        let offset = self.offset_of(address);
        let slot = offset / Self::STRIDE;
        debug_assert!(
            slot * Self::STRIDE == offset && slot < self.segment_capacity(),
            "not the start of a block"
        );
        let group = segment.group((slot / GROUP_SLOTS) as u32);
        let bit = 1 << (slot % GROUP_SLOTS);
        match own {
            Some(held) if held.slot() == segment.owner() => self.put_back(held, group, bit),
            _ => self.free_of_others(own.is_some(), group, bit),
        }
    }

    /// Frees a slot that is not of the calling thread's shard, if it has one.
    #[inline(never)]
    fn free_of_others(&self, has_own: bool, group: group::GroupRef<'_>, bit: usize) {
        if !has_own && group.segment().owner() == SHARED {
            self.with_shared(|held| self.put_back(held, group, bit));
        } else {
            self.send_home(group, bit);
        }
    }

    /// Puts slots back into a group that the shard owns.
    #[inline]
    fn put_back<'a>(&'a self, held: Held<'a>, group: group::GroupRef<'a>, slots: usize) {
        let Some(shape) = &self.shape else { return };
        if let Err(unsettled) = held.put_back(group, slots, shape) {
            self.settle(held, group, unsettled);
        }
    }

    /// Does what follows from a group's first free slot, or its last.
    #[inline(never)]
    fn settle<'a>(
        &'a self,
        held: Held<'a>,
        group: group::GroupRef<'a>,
        unsettled: shard::Unsettled,
    ) {
        let Some(shape) = &self.shape else { return };
        if let Settled::Surplus(segment) = held.settle(group, unsettled, shape) {
            self.growth.put(segment);
        }
    }

    /// Sends slots to the owner of their group; returns what was on the way already.
    fn send_home(&self, group: group::GroupRef<'_>, slots: usize) -> usize {
        let before = group.give_remote(slots);
        if before == 0 {
            // The owner stays until it has collected, which it does not before the push (E4).
            if let Some(inbox) = self.inbox_of(group.segment().owner()) {
                inbox.pending.push(group);
            }
        }
        before
    }

    /// The block at `ptr`, if blocks of `new` fit its slot.
    #[inline]
    fn in_place(&self, ptr: NonNull<u8>, new: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if Self::fits(new) {
            Ok(Self::block(self.through_segment(ptr)))
        } else {
            Err(AllocError)
        }
    }
}

// SAFETY: the pointer is used for its address, nothing here unwinds (user code that does is
// stopped by an abort), and slots go back by plain stores that the slot's next holder is
// ordered after: the same thread, the slot registry, a lock, or the Release in `give_remote`.
unsafe impl<T, M: FreelistProtection, S: SegmentSource> Deallocator for ExtendableSlab<T, M, S> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let address = ptr.addr().get();
        if Self::GUARDED {
            if M::OCCUPANCY && !M::TAGGED && Self::fits(layout) {
                if let Some(held) = self.own() {
                    if held.push_if_live(address, Self::STRIDE) == Pushed::Done {
                        return;
                    }
                }
            }
            return self.free_guarded(address, layout);
        }
        debug_assert!(Self::fits(layout), "the layout does not fit a slot");
        let own = self.own();
        if let Some(held) = own {
            let pushed = held.push(address, Self::STRIDE);
            debug_assert_ne!(pushed, Pushed::Refused, "double free");
            if pushed != Pushed::Elsewhere {
                return;
            }
        }
        self.free_elsewhere(own, address);
    }
}

// SAFETY: slots are disjoint, aligned and inside their segment, which is committed when it is
// mapped; a slot is handed out only from a word, and is then in no other place (E1). A slot's
// segment stays until the slot came back (E3, E4).
unsafe impl<T, M: FreelistProtection, S: SegmentSource> Allocator for ExtendableSlab<T, M, S> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        if !Self::fits(layout) {
            return Err(AllocError);
        }
        if !M::TAGGED {
            if let Some(held) = self.own() {
                let start = if M::OCCUPANCY {
                    held.pop_if_single(Self::STRIDE)
                } else {
                    held.pop(Self::STRIDE)
                };
                if let Some(start) = start {
                    return Ok(Self::block(start));
                }
            }
        }
        self.allocate_slowly().map(Self::block)
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

    /// No limit is fixed: `None`, unless the slab refuses every allocation.
    /// [`segment_count`](ExtendableSlab::segment_count) times
    /// [`segment_bytes`](ExtendableSlab::segment_bytes) is what it has at the moment.
    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        match self.shape {
            Some(_) => None,
            None => Some(0),
        }
    }

    #[inline]
    fn corruption_events(&self) -> u64 {
        self.events.load(Ordering::Relaxed) as u64
    }
}

// SAFETY: a live block lies in a segment that is in the index (E6). What is found is a segment
// that the slab had during the call.
unsafe impl<T, M: FreelistProtection, S: SegmentSource> Owns for ExtendableSlab<T, M, S> {
    /// Looks the address up; reads no byte of a segment.
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        let address = ptr.addr().get();
        self.offset_of(address) < self.segment_bytes() && self.index.find(address).is_some()
    }
}

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// The offset of an address in its segment: the address below the segment's alignment. That is
    /// known before the descriptor is read.
    #[inline]
    fn offset_of(&self, address: usize) -> usize {
        self.index.grid().offset(address)
    }
}

// SAFETY: the slab keeps no address of itself, and its segments are `StableAddress`.
unsafe impl<T, M: FreelistProtection, S: SegmentSource> StableAddress for ExtendableSlab<T, M, S> {}

impl<T, M: FreelistProtection, S: SegmentSource> fmt::Debug for ExtendableSlab<T, M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtendableSlab")
            .field("segment", &self.shape.map(|shape| shape.layout()))
            .field("segments", &self.growth.segments())
            .finish_non_exhaustive()
    }
}
