//! [`SizeClassed`]: blocks of many sizes from one range, each size from a class of its own.
//!
//! # What
//!
//! Every layout belongs to one class, the smallest that is large enough and a multiple of the
//! alignment. A class hands out blocks of one size. Freeing asks the caller's layout for the
//! class, so no address is ever looked up.
//!
//! There are two plans. [`SizeClassed::with_default_classes`] takes the workspace's class table,
//! and lets classes take runs of blocks from the range as they need them: any mix of sizes can
//! use the whole range. [`SizeClassed::with_class_sizes`] takes the caller's table and reserves
//! exactly so many blocks for each class. A class that is dry fails; it never borrows a larger
//! block.
//!
//! # Memory picture
//!
//! ```text
//!  default classes:  │ run │ run │ run ...│   never used   │ records │
//!  own classes:      │ class 2: n blocks │ class 1: n blocks │ class 0: n blocks │
//! ```
//!
//! Own classes lie in falling order of size, which leaves the smallest gaps between them.
//!
//! # Invariants
//!
//! - I1: sizes rise and are multiples of 8; every block of a class starts at a multiple of the
//!   class alignment, as an address and across moves of the range. The class alignment is the
//!   largest power of two that divides the size, at most `align_max`.
//! - I2: blocks are disjoint and lie in `start .. end`.
//! - I3: for each class, `carved <= ready`, a whole number of blocks apart, and inside one run of
//!   that class; the bytes up to `ready` are committed.
//! - I4: each free list ends, and each of its entries is the start of a carved block of its class
//!   and is listed once.
//! - I5: with default classes, `start <= cursor <= floor <= end`; the runs fill `start .. cursor`
//!   without a gap.
//!
//! # Threads
//!
//! One at a time: never `Sync`. `Send` if the range is.
//!
//! # Cost
//!
//! Choosing the class is arithmetic on the layout, and folds away where the layout is a constant.
//! Then a pop or a push as in [`slab`](crate::slab). Taking a run is out of line.

mod class_table;
mod contents;
mod inspect;
mod runs;

use core::fmt;
use core::ptr::{self, NonNull};

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns, Reset, SizeClass,
    StableAddress, arith,
};

use crate::SetupError;
use crate::slab::slot_list::Origin;
pub(crate) use class_table::CLASS_SIZE_MAX;
use class_table::{ClassTable, GRANULE};
use runs::{Class, RUN_BYTES_MIN, SharedRange};

/// Blocks of `CLASSES` sizes, cut from the range `B`.
///
/// ```
/// use drystone_core::{Allocator, HeapSegment, NonZeroLayout};
/// use drystone_layout::SizeClassed;
///
/// let range = HeapSegment::new(NonZeroLayout::from_size_align(1 << 20, 4096)?)?;
/// let blocks = SizeClassed::with_default_classes(range)?;
/// let block = blocks.allocate(NonZeroLayout::from_size_align(100, 32)?)?;
/// assert_eq!(block.len(), 128);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It cannot be shared between threads:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::SizeClassed;
/// fn assert_sync<S: Sync>() {}
/// assert_sync::<SizeClassed<HeapSegment, 4>>();
/// ```
pub struct SizeClassed<B, const CLASSES: usize> {
    classes: [Class; CLASSES],
    /// The block size of each class in bytes (I1).
    sizes: [usize; CLASSES],
    plan: Plan,
    /// The largest alignment served, in bytes (I1).
    align_max: usize,
    start: usize,
    end: usize,
    backing: B,
}

/// How classes come by their bytes, and layouts by their class.
#[derive(Debug)]
enum Plan {
    /// The workspace's class table; runs on demand.
    Shared(SharedRange),
    /// The caller's table; so many blocks for each class.
    Strict {
        table: ClassTable,
        slots_per_class: usize,
    },
}

impl<B: FixedRange> SizeClassed<B, { SizeClass::COUNT }> {
    /// The workspace's class table, [`SizeClass`]: 8 bytes to 128 KiB in 80 classes. Classes take
    /// bytes from the range as they need them.
    ///
    /// Blocks are aligned to every power of two that divides their size, up to 64 KiB, or up to
    /// what the range guarantees if it can move.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the range is smaller than one block of 8 bytes, or can move and
    /// guarantees less than 8 bytes of alignment. The range is dropped.
    pub fn with_default_classes(backing: B) -> Result<Self, SetupError> {
        let (start, align_max) = limits(&backing)?;
        let end = backing.size();
        if !arith::range_fits(start, GRANULE, end) {
            return Err(SetupError::RangeTooSmall {
                needed_bytes: start.saturating_add(GRANULE),
                available_bytes: end,
            });
        }
        let size = |index| SizeClass::from_index(index).map_or(0, SizeClass::block_size);
        let new = Self {
            classes: core::array::from_fn(|_| Class::new(start, start)),
            sizes: core::array::from_fn(size),
            plan: Plan::Shared(SharedRange::new(start, end)),
            align_max,
            start,
            end,
            backing,
        };
        new.debug_assert_invariants();
        Ok(new)
    }
}

impl<B: FixedRange, const CLASSES: usize> SizeClassed<B, CLASSES> {
    /// Classes of the given sizes in bytes, and exactly `slots_per_class` blocks of each.
    ///
    /// Sizes must rise and be multiples of 8, at most 1 GiB; a table has at most 255 of them. A
    /// class serves the alignments that divide its size, up to 64 KiB, or up to what the range
    /// guarantees if it can move.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if the table breaks a rule (the error names the class), if
    /// `slots_per_class` is 0 or more than `isize::MAX` bytes hold, if the range is too small, or
    /// if it can move and guarantees less than 8 bytes of alignment. The range is dropped.
    pub fn with_class_sizes(
        backing: B,
        sizes: [usize; CLASSES],
        slots_per_class: usize,
    ) -> Result<Self, SetupError> {
        let table = ClassTable::new(&sizes)?;
        if slots_per_class == 0 {
            return Err(SetupError::ZeroCapacity);
        }
        let total = sizes
            .iter()
            .fold(0, |sum: usize, &size| sum.saturating_add(size));
        if arith::array_bytes(slots_per_class, total).is_none() {
            return Err(SetupError::CapacityAboveLimit {
                capacity: slots_per_class,
                limit: arith::SIZE_MAX / total,
            });
        }
        let (start, align_max) = limits(&backing)?;
        let end = backing.size();
        let new = Self {
            classes: core::array::from_fn(|_| Class::new(start, start)),
            sizes,
            plan: Plan::Strict {
                table,
                slots_per_class,
            },
            align_max,
            start,
            end,
            backing,
        };
        // The smallest class lies last.
        let needed_bytes = new
            .region(0, slots_per_class)
            .map_or(usize::MAX, |(_, end)| end);
        if needed_bytes > end {
            return Err(SetupError::RangeTooSmall {
                needed_bytes,
                available_bytes: end,
            });
        }
        new.reserve(slots_per_class);
        new.debug_assert_invariants();
        Ok(new)
    }

    /// The block size of each class in bytes, rising.
    #[inline]
    pub const fn class_sizes(&self) -> &[usize; CLASSES] {
        &self.sizes
    }

    /// The range that the blocks are cut from.
    #[inline]
    pub const fn backing(&self) -> &B {
        &self.backing
    }

    /// The class that serves `layout`.
    #[inline]
    fn class_of(&self, layout: NonZeroLayout) -> Option<usize> {
        match self.quick_class_of(layout) {
            Some(class) => Some(class),
            None => self.class_of_any(layout),
        }
    }

    /// The class that serves `layout`, where it can be told in a few instructions.
    ///
    /// Inlined always: a call here would put its stack traffic between the load and the store of
    /// a list's head, which doubles the time of a pair that is freed at once.
    #[inline(always)]
    fn quick_class_of(&self, layout: NonZeroLayout) -> Option<usize> {
        if CLASSES != SizeClass::COUNT {
            return self.own_class_of(layout);
        }
        // Every class keeps the granule, so small alignments need neither check nor rounding.
        if layout.align().get() <= GRANULE && matches!(self.plan, Plan::Shared(_)) {
            return SizeClass::from_size(layout.size().get()).map(SizeClass::index);
        }
        None
    }

    /// The class that serves `layout`, for every alignment and plan.
    fn class_of_any(&self, layout: NonZeroLayout) -> Option<usize> {
        match &self.plan {
            Plan::Shared(_) if layout.align().get() > self.align_max => None,
            Plan::Shared(_) => SizeClass::from_layout(layout).map(SizeClass::index),
            Plan::Strict { .. } => self.own_class_of(layout),
        }
    }

    /// The class of the caller's own table that serves `layout`.
    #[inline]
    fn own_class_of(&self, layout: NonZeroLayout) -> Option<usize> {
        match &self.plan {
            Plan::Strict { table, .. } if layout.align().get() <= self.align_max => {
                table.class_of(&self.sizes, layout)
            }
            _ => None,
        }
    }

    /// The smallest offset at or after `offset` where a block of `class` may start.
    fn align_offset(&self, offset: usize, class: usize) -> Option<usize> {
        let align = arith::natural_align(self.sizes[class]).min(self.align_max);
        self.backing.align_offset(offset, align)
    }

    /// Where the blocks of `class` start and end under the strict plan; `None` if beyond a usize.
    fn region(&self, class: usize, slots_per_class: usize) -> Option<(usize, usize)> {
        let mut region = (self.start, self.start);
        for class in (class..CLASSES).rev() {
            let first = self.align_offset(region.1, class)?;
            let bytes = slots_per_class.checked_mul(self.sizes[class])?;
            region = (first, first.checked_add(bytes)?);
        }
        Some(region)
    }

    /// Makes every block of the strict plan available.
    fn reserve(&self, slots_per_class: usize) {
        for (class, state) in self.classes.iter().enumerate() {
            if let Some((first, end)) = self.region(class, slots_per_class) {
                let ready = if self.backing.commits_on_demand() {
                    first
                } else {
                    end
                };
                state.slots.take_head();
                state.slots.set_carve(first, ready);
            }
        }
    }

    /// A block of `class`.
    #[inline]
    fn allocate_in(&self, class: usize) -> Result<NonNull<[u8]>, AllocError> {
        let slots = &self.classes[class].slots;
        // SAFETY: the links on the list count from this origin, and blocks keep the granule.
        match unsafe { slots.pop(Origin::of(&self.backing), GRANULE) } {
            Some(offset) => Ok(self.block(offset, class)),
            None => self.fresh(class),
        }
    }

    /// A block for a layout whose class takes longer to tell.
    #[inline(never)]
    fn allocate_any(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.allocate_in(self.class_of_any(layout).ok_or(AllocError)?)
    }

    /// Takes back a block of `class`.
    ///
    /// # Safety
    ///
    /// `ptr` is a live block of this class, given up by the caller.
    #[inline]
    unsafe fn deallocate_in(&self, ptr: NonNull<u8>, class: usize) {
        let offset = self.offset_of(ptr);
        let slots = &self.classes[class].slots;
        // SAFETY: the block lies in the range by I2, keeps the granule by I1, and holds a link.
        unsafe { slots.push(Origin::of(&self.backing), offset, GRANULE) };
    }

    /// Takes back a block whose class takes longer to tell.
    ///
    /// # Safety
    ///
    /// As [`Deallocator::deallocate`].
    #[inline(never)]
    unsafe fn deallocate_any(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let class = self.class_of_any(layout);
        debug_assert!(class.is_some(), "no block has this layout");
        if let Some(class) = class {
            // SAFETY: the caller gives up a live block of the class of every layout that fits it.
            unsafe { self.deallocate_in(ptr, class) };
        }
    }

    /// Finds a block for a class whose list is empty.
    #[inline(never)]
    fn fresh(&self, class: usize) -> Result<NonNull<[u8]>, AllocError> {
        let offset = match self.classes[class].slots.carve(self.sizes[class]) {
            Some(offset) => offset,
            None => self.refill(class)?,
        };
        Ok(self.block(offset, class))
    }

    /// Finds a block for a class whose list is empty and whose bytes are used up.
    #[cold]
    fn refill(&self, class: usize) -> Result<usize, AllocError> {
        match &self.plan {
            Plan::Shared(shared) => self.take_run(shared, class),
            Plan::Strict {
                slots_per_class, ..
            } => self.commit_slot(class, *slots_per_class),
        }
    }

    /// Commits and cuts the next block of a class under the strict plan.
    fn commit_slot(&self, class: usize, slots_per_class: usize) -> Result<usize, AllocError> {
        let slots = &self.classes[class].slots;
        let stride = self.sizes[class];
        let (_, end) = self.region(class, slots_per_class).ok_or(AllocError)?;
        let ready = slots.ready();
        if ready == end {
            return Err(AllocError);
        }
        self.backing.commit(ready, stride)?;
        slots.set_carve(ready, ready + stride);
        slots.carve(stride).ok_or(AllocError)
    }

    /// The block at `offset`, as long as its class says.
    #[inline]
    fn block(&self, offset: usize, class: usize) -> NonNull<[u8]> {
        NonNull::slice_from_raw_parts(self.pointer(offset), self.sizes[class])
    }

    /// The offset of `ptr`, by its address.
    #[inline]
    fn offset_of(&self, ptr: NonNull<u8>) -> usize {
        ptr.addr()
            .get()
            .wrapping_sub(self.backing.base().addr().get())
    }

    /// Changes the layout of a block: in place within its class, else by moving it.
    ///
    /// # Safety
    ///
    /// As [`Allocator::grow`], without the order of the sizes.
    #[inline]
    unsafe fn resize(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let class = self.class_of(new).ok_or(AllocError)?;
        if self.class_of(old) == Some(class) {
            return Ok(self.block(self.offset_of(ptr), class));
        }
        let block = self.allocate(new)?;
        let kept = old.size().min(new.size()).get();
        let old_block = self.pointer(self.offset_of(ptr));
        // SAFETY: both blocks hold `kept` bytes and are reached through the range's own base; two
        // live blocks do not overlap.
        unsafe { ptr::copy_nonoverlapping(old_block.as_ptr(), block.as_ptr().cast(), kept) };
        // SAFETY: the caller gives up the old block, and `old` fits it.
        unsafe { self.deallocate(ptr, old) };
        Ok(block)
    }
}

/// The first offset that keeps the granule, and the largest alignment up to
/// [`SizeClass::ALIGN_MAX`] that the range can keep.
fn limits<B: FixedRange>(backing: &B) -> Result<(usize, usize), SetupError> {
    let mut align_max = SizeClass::ALIGN_MAX;
    while align_max >= GRANULE {
        if backing.align_offset(0, align_max).is_some()
            && let Some(start) = backing.align_offset(0, GRANULE)
        {
            return Ok((start, align_max));
        }
        align_max /= 2;
    }
    Err(SetupError::AlignmentUnavailable {
        align: GRANULE,
        base_align: backing.base_align(),
    })
}

// SAFETY: the pointer is used for its address, the link is written through the allocator's own
// base, and nothing here unwinds.
unsafe impl<B: FixedRange, const CLASSES: usize> Deallocator for SizeClassed<B, CLASSES> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        debug_assert!(self.owns(ptr), "not a block of this allocator");
        match self.quick_class_of(layout) {
            // SAFETY: the caller gives up a live block of the class of every layout that fits it.
            Some(class) => unsafe { self.deallocate_in(ptr, class) },
            // SAFETY: the caller's promise is the same.
            None => unsafe { self.deallocate_any(ptr, layout) },
        }
    }
}

// SAFETY: blocks are disjoint, aligned and committed by I1 to I3, and a block is handed out only
// from the list (I4) or the cursor of its class, and is then on neither.
unsafe impl<B: FixedRange, const CLASSES: usize> Allocator for SizeClassed<B, CLASSES> {
    #[inline]
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        match self.quick_class_of(layout) {
            Some(class) => self.allocate_in(class),
            None => self.allocate_any(layout),
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
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new) }
    }

    #[inline]
    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        // SAFETY: the caller's requirements are the same.
        unsafe { self.resize(ptr, old, new) }
    }

    #[inline]
    unsafe fn usable_size(&self, _ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        self.class_of(layout).map(|class| self.sizes[class])
    }

    #[inline]
    fn capacity_bytes(&self) -> Option<usize> {
        Some(match &self.plan {
            Plan::Shared(_) => self.end - self.start,
            Plan::Strict {
                slots_per_class, ..
            } => self.sizes.iter().sum::<usize>() * slots_per_class,
        })
    }
}

// SAFETY: every block lies in `start .. end` by I2, which is memory of this allocator alone.
unsafe impl<B: FixedRange, const CLASSES: usize> Owns for SizeClassed<B, CLASSES> {
    #[inline]
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        let first = self.backing.base().addr().get().wrapping_add(self.start);
        ptr.addr().get().wrapping_sub(first) < self.end - self.start
    }
}

// SAFETY: only offsets are kept, and blocks lie in the range.
unsafe impl<B: StableAddress, const CLASSES: usize> StableAddress for SizeClassed<B, CLASSES> {}

impl<B: FixedRange, const CLASSES: usize> Reset for SizeClassed<B, CLASSES> {
    fn reset(&mut self) {
        match &self.plan {
            Plan::Shared(shared) => {
                for class in &self.classes {
                    class.slots.take_head();
                    class.slots.set_carve(self.start, self.start);
                    class.run_bytes.set(RUN_BYTES_MIN);
                }
                shared.clear(self.start, self.end);
            }
            Plan::Strict {
                slots_per_class, ..
            } => self.reserve(*slots_per_class),
        }
    }
}

impl<B, const CLASSES: usize> fmt::Debug for SizeClassed<B, CLASSES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SizeClassed")
            .field("sizes", &self.sizes)
            .field("align_max", &self.align_max)
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
