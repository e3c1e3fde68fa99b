//! [`Region`]: a segment that is cut into slots, with their table.
//!
//! # What
//!
//! One segment of the pool's source serves one class. The region's head, the segment and the table
//! of the slots lie in one block of the global heap; nothing of them lies in the segment, which is
//! all bytes of buffers.
//!
//! # Memory picture
//!
//! ```text
//!  heap block                                            segment
//!  +--------+---------+------+------+-----+-----+       +------------+------------+-----+
//!  | Region | segment | Slot | Slot | ... |     |       | buffer 0   | buffer 1   | ... |
//!  +--------+---------+------+------+-----+-----+       +------------+------------+-----+
//!                       `------------base-------------->  `- stride -'
//!                     made: 0 .. made      never touched until made
//! ```
//!
//! # Invariants
//!
//! - R1: slots `0 .. made` of the table are initialised; those that are retired are chained from
//!   `retired`.
//! - R2: `held` is the number of slots made and not retired, and of registrations. At 0 the region
//!   may be destroyed, and nothing points at it but its class's list and its pool's table.
//! - R3: slot `i` has the bytes `i * stride .. i * stride + size` of the segment, which lives as long
//!   as the region.
//!
//! # Threads
//!
//! What changes (`parts`) belongs to the holder of the class's growth lock.
//!
//! # Cost
//!
//! Two allocations, the segment and the block. Making a slot writes its 64 bytes and touches no byte
//! of the buffer.

use core::ptr::{self, NonNull};

use drystone_backing::page_size;
use drystone_core::{
    AllocError, FixedRange, HeapSegment, NonZeroLayout, OsError, SegmentSource, StableAddress,
    arith,
};
use drystone_sync::cell::UnsafeCell;

use crate::class_table::ClassShape;
use crate::core::Core;
use crate::local::{self, Spot};
use crate::slot::Slot;

/// What a region is made by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RegionPlan {
    pub(crate) core: NonNull<Core>,
    pub(crate) class: u8,
    /// What slots of the region need when they come back.
    pub(crate) care: u8,
    pub(crate) spot: Spot,
    pub(crate) shape: ClassShape,
    /// How many slots the region has.
    pub(crate) slots: u32,
}

/// What a region's segment can do beyond being a range.
pub(crate) trait Pages<Seg> {
    /// Whether [`release`](Self::release) gives memory back.
    const RELEASES: bool;

    /// Asked once for each segment.
    fn advise(&self, segment: &Seg) -> Result<(), OsError>;

    /// Gives the memory of whole pages back. Their content is lost.
    ///
    /// # Safety
    ///
    /// Nothing that will be read again lies in them.
    unsafe fn release(segment: &Seg, offset: usize, len: usize);
}

/// The head of a region.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    bytes: usize,
    plan: RegionPlan,
    /// The first entry of the table.
    slots: NonNull<Slot>,
    destroy: unsafe fn(NonNull<Region>),
    release_pages: Option<unsafe fn(NonNull<Region>, usize, usize)>,
    /// Where the pool's table has the region; written before the region has slots.
    number: UnsafeCell<usize>,
    parts: UnsafeCell<Parts>,
}

/// What changes of a region.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) made: u32,
    pub(crate) retired: Option<NonNull<Slot>>,
    pub(crate) held: usize,
    /// How many of the holds are registrations, while which the pages stay as they are.
    pub(crate) registered: usize,
    /// Neighbours among the regions of the class that can make a slot.
    pub(crate) before: Option<NonNull<Region>>,
    pub(crate) after: Option<NonNull<Region>>,
    pub(crate) listed: bool,
}

/// A region with what its drop needs the types of.
#[repr(C)]
struct Block<Seg> {
    region: Region,
    segment: Seg,
    memory: HeapSegment,
}

impl Region {
    /// A region as `plan` says, from `source`.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the source or the global heap has no memory for it.
    pub(crate) fn create<S: SegmentSource, P: Pages<S::Segment>>(
        source: &S,
        pages: &P,
        plan: RegionPlan,
    ) -> Result<(NonNull<Self>, Result<(), OsError>), AllocError> {
        let page = page_size();
        let bytes = arith::array_bytes(plan.slots as usize, plan.shape.stride)
            .and_then(|bytes| arith::align_up(bytes, page))
            .ok_or(AllocError)?;
        let align = plan.shape.align.max(page);
        let layout = NonZeroLayout::from_size_align(bytes, align).map_err(|_| AllocError)?;
        let (block, table) = Self::block_of::<S::Segment>(plan.slots)?;
        let memory = HeapSegment::new(block)?;
        let segment = source.segment(layout)?;
        if segment.commits_on_demand() {
            segment.commit(0, bytes)?;
        }
        let advised = pages.advise(&segment);
        let place = memory.base().cast::<Block<S::Segment>>();
        // SAFETY: `block_of` has room for the table from this offset on.
        let slots = unsafe { memory.base().add(table) }.cast();
        let region = Self {
            base: segment.base(),
            bytes: segment.size(),
            plan,
            slots,
            destroy: destroy::<S::Segment>,
            release_pages: if P::RELEASES {
                Some(release_pages::<S::Segment, P>)
            } else {
                None
            },
            number: UnsafeCell::new(usize::MAX),
            parts: UnsafeCell::new(Parts {
                made: 0,
                retired: None,
                held: 0,
                registered: 0,
                before: None,
                after: None,
                listed: false,
            }),
        };
        let block = Block {
            region,
            segment,
            memory,
        };
        // SAFETY: the place is the start of a block that was allocated for it.
        unsafe { place.write(block) };
        Ok((place.cast(), advised))
    }

    /// The layout of a block with a table of `slots` entries, and the offset of the table.
    fn block_of<Seg>(slots: u32) -> Result<(NonZeroLayout, usize), AllocError> {
        let entry = align_of::<Slot>();
        let table = arith::align_up(size_of::<Block<Seg>>(), entry).ok_or(AllocError)?;
        let entries = arith::array_bytes(slots as usize, size_of::<Slot>()).ok_or(AllocError)?;
        let bytes = table.checked_add(entries).ok_or(AllocError)?;
        let align = entry.max(align_of::<Block<Seg>>());
        let layout = NonZeroLayout::from_size_align(bytes, align).map_err(|_| AllocError)?;
        Ok((layout, table))
    }

    /// Gives the segment and the table back.
    ///
    /// # Safety
    ///
    /// `held` is 0 (R2), and nothing points at the region any more.
    pub(crate) unsafe fn destroy(region: NonNull<Self>) {
        // SAFETY: the region is live until the call below.
        let destroy = unsafe { region.as_ref() }.destroy;
        // SAFETY: the function was made for this region's types; the caller's promise.
        unsafe { destroy(region) };
    }

    /// The first byte of the segment.
    #[inline]
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The bytes of the segment.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether an entry of the table has this address.
    pub(crate) fn has_slot(&self, slot: NonNull<Slot>) -> bool {
        let offset = slot.addr().get().wrapping_sub(self.slots.addr().get());
        offset < self.table_bytes()
    }

    /// The bytes of the table.
    pub(crate) fn table_bytes(&self) -> usize {
        self.plan.slots as usize * size_of::<Slot>()
    }

    /// The core that has a reference counted for the region.
    pub(crate) fn core(&self) -> NonNull<Core> {
        self.plan.core
    }

    /// The class that the slots serve.
    #[inline]
    pub(crate) fn class(&self) -> usize {
        usize::from(self.plan.class)
    }

    /// Where the pool's table has the region.
    pub(crate) fn number(&self) -> usize {
        // SAFETY: written once, before anybody else knew the region.
        self.number.with(|number| unsafe { *number })
    }

    /// # Safety
    ///
    /// Nobody else knows the region yet.
    pub(crate) unsafe fn set_number(&self, to: usize) {
        // SAFETY: the caller's promise.
        self.number.with_mut(|number| unsafe { *number = to });
    }

    /// What changes of the region.
    ///
    /// # Safety
    ///
    /// The caller holds the class's growth lock, or nobody else knows the region; and it uses one
    /// such reference at a time.
    #[expect(
        clippy::mut_from_ref,
        reason = "a cell under a lock that lies elsewhere"
    )]
    pub(crate) unsafe fn parts(&self) -> &mut Parts {
        // SAFETY: the caller's promise.
        self.parts.with_mut(|parts| unsafe { &mut *parts })
    }

    /// Whether a slot can be made.
    pub(crate) fn can_make(&self, parts: &Parts) -> bool {
        parts.retired.is_some() || parts.made < self.plan.slots
    }

    /// A slot that nobody has: a retired one, or the next of the table. `None` if there is none.
    pub(crate) fn make(region: NonNull<Self>, parts: &mut Parts) -> Option<NonNull<Slot>> {
        // SAFETY: the caller has a reference to the region's parts, so it lives.
        let this = unsafe { region.as_ref() };
        let slot = match parts.retired {
            Some(mut slot) => {
                // SAFETY: retired slots are initialised and the region's own (R1).
                parts.retired = unsafe { slot.as_mut() }.next.take();
                slot
            }
            None => this.carve(region, parts)?,
        };
        parts.held += 1;
        Some(slot)
    }

    /// The next slot of the table.
    fn carve(&self, region: NonNull<Self>, parts: &mut Parts) -> Option<NonNull<Slot>> {
        let RegionPlan {
            core,
            class,
            care,
            spot,
            shape,
            slots,
        } = self.plan;
        if parts.made == slots {
            return None;
        }
        let index = parts.made as usize;
        // SAFETY: the segment has `slots` strides (R3).
        let base = unsafe { self.base.add(index * shape.stride) };
        // SAFETY: the table has `slots` entries.
        let slot = unsafe { self.slots.add(index) };
        let entry = Slot::new(base, shape.size, core, region, class, spot, care);
        // SAFETY: the entry is in the table, aligned, and nobody's (R1).
        unsafe { slot.write(entry) };
        parts.made += 1;
        Some(slot)
    }

    /// Gives the pages that lie wholly in a slot's bytes back to the system, where the source can.
    ///
    /// # Safety
    ///
    /// The caller has the slot, which is the region's, and nobody reads its bytes again before they
    /// are written.
    pub(crate) unsafe fn release_pages(region: NonNull<Self>, slot: NonNull<Slot>) {
        // SAFETY: who has a slot keeps its region.
        let this = unsafe { region.as_ref() };
        let Some(release) = this.release_pages else {
            return;
        };
        // SAFETY: the caller has the slot.
        let base = unsafe { slot.as_ref() }.record.base;
        let start = base.addr().get() - this.base.addr().get();
        let page = page_size();
        let end = arith::align_down(start + this.plan.shape.size, page);
        let Some(start) = arith::align_up(start, page).filter(|&start| start < end) else {
            return;
        };
        // SAFETY: whole pages of the slot's bytes, whose content nobody needs.
        unsafe { release(region, start, end - start) };
    }

    /// Drops the slots that were made.
    ///
    /// # Safety
    ///
    /// As [`destroy`](Self::destroy).
    unsafe fn drop_slots(&self) {
        // SAFETY: nobody else knows the region.
        let made = unsafe { self.parts() }.made as usize;
        for index in 0..made {
            // SAFETY: in the table.
            let slot = unsafe { self.slots.add(index) };
            // SAFETY: initialised (R1), and nobody's.
            unsafe { slot.drop_in_place() };
        }
    }
}

/// # Safety
///
/// As [`Region::destroy`]; the region was created with segments of this type.
unsafe fn destroy<Seg: FixedRange + StableAddress>(region: NonNull<Region>) {
    if core::mem::needs_drop::<Slot>() {
        // SAFETY: the region lives until the end of this call.
        let this = unsafe { region.as_ref() };
        // SAFETY: the caller's promise.
        unsafe { this.drop_slots() };
    }
    // SAFETY: the region is the head of such a block, and nobody uses the place afterwards.
    let block = unsafe { ptr::read(region.cast::<Block<Seg>>().as_ptr()) };
    let Block {
        region: _,
        segment,
        memory,
    } = block;
    local::in_user_code(|| drop(segment));
    drop(memory);
}

/// # Safety
///
/// The region lives, was created with these types, and nobody needs the content of the pages.
unsafe fn release_pages<Seg, P: Pages<Seg>>(region: NonNull<Region>, offset: usize, len: usize) {
    let block = region.cast::<Block<Seg>>();
    // SAFETY: the region is the head of such a block; segments are only ever shared.
    let segment = unsafe { &(*block.as_ptr()).segment };
    // SAFETY: the caller's promise.
    unsafe { P::release(segment, offset, len) };
}
