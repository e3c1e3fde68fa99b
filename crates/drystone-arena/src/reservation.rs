//! [`Reservation`]: the mapping that a segment is part of.

use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::ptr;

use drystone_sync::atomic::{AtomicBool, Ordering};

use crate::core_state::Core;
use crate::published::PublishedUsize;
use crate::segment::Segment;
use crate::source::Range;

/// What a segment's header says of its mapping. Zero bytes are a valid one.
///
/// - R1: `first` is the segment whose header holds the range; that range is initialised from when
///   the header was made until the mapping is taken apart.
#[derive(Debug)]
pub(crate) struct Reservation {
    first: Cell<*const Segment>,
    /// The arena.
    core: Cell<*const Core>,
    /// Neighbours in the arena's list of ranges; in the first one.
    pub(crate) next: Cell<*const Segment>,
    pub(crate) previous: Cell<*const Segment>,
    /// How many segments the range has; in the first one.
    pub(crate) segments: Cell<usize>,
    /// How many of them are idle; in the first one.
    pub(crate) idle: Cell<usize>,
    /// A heap lives in this segment.
    home: Cell<bool>,
    /// The bytes of the one block that the range is for; 0 for segments.
    pub(crate) huge_bytes: PublishedUsize,
    /// The bytes that the block can grow to.
    pub(crate) huge_capacity: Cell<usize>,
    /// The block's pages were moved to another block, so that keeping it would save nothing.
    pub(crate) huge_hollow: Cell<bool>,
    /// The block was kept already when the arena last looked for what to give back.
    pub(crate) huge_aged: Cell<bool>,
    /// Where that block begins.
    pub(crate) huge_start: Cell<*mut u8>,
    /// Somebody has that block.
    huge_live: AtomicBool,
    range: UnsafeCell<MaybeUninit<Range>>,
}

impl Reservation {
    /// Makes this the record of a range of so many segments.
    pub(crate) fn begin(&self, core: &Core, own: &Segment, range: Range, segments: usize) {
        self.core.set(core);
        self.first.set(own);
        self.segments.set(segments);
        // SAFETY: nobody else has the header yet.
        unsafe { (*self.range.get()).write(range) };
    }

    /// Makes this the record of a further segment of a range.
    pub(crate) fn join(&self, first: &Segment) {
        self.core.set(first.reservation().core());
        self.first.set(first);
    }

    /// The arena that has the segment.
    #[inline]
    pub(crate) fn core(&self) -> *const Core {
        self.core.get()
    }

    /// The segment whose header holds the range.
    pub(crate) fn first(&self) -> &Segment {
        debug_assert!(!self.first.get().is_null(), "R1");
        // SAFETY: R1; the segments of a range live as long as each other.
        unsafe { &*self.first.get() }
    }

    /// The range.
    pub(crate) fn range(&self) -> &Range {
        let range = self.first().reservation().range.get();
        // SAFETY: R1; the range is only read until it is taken out.
        let range = unsafe { &*range };
        // SAFETY: R1.
        unsafe { range.assume_init_ref() }
    }

    /// Takes the range out, so that dropping it ends the segments.
    ///
    /// # Safety
    ///
    /// This is the first segment of its range; none of the segments is used again, and the range
    /// was not taken out before.
    pub(crate) unsafe fn take_range(&self) -> Range {
        debug_assert!(ptr::eq(self.first().reservation(), self), "R1");
        let range = self.range.get();
        // SAFETY: the caller has the segments to itself.
        let range = unsafe { &*range };
        // SAFETY: R1; the caller promises that this is the only time.
        unsafe { range.assume_init_read() }
    }

    /// Somebody has the huge block, or nobody. Under the lock of the core, or before anybody has heard of it.
    pub(crate) fn set_huge_live(&self, live: bool) {
        self.huge_live.store(live, Ordering::Relaxed);
    }

    pub(crate) fn is_huge_live(&self) -> bool {
        self.huge_live.load(Ordering::Relaxed)
    }

    pub(crate) fn is_home(&self) -> bool {
        self.home.get()
    }

    pub(crate) fn make_home(&self) {
        self.home.set(true);
    }
}
