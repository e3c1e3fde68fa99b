//! `Pages`: a range that passes for pages of an operating system, small ones, and remembers what was
//! asked of them.

use core::cell::Cell;
use core::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard};

use drystone_core::{
    Advice, FixedRange, HeapSegment, NonZeroLayout, OsBacked, OsError, Protection, StableAddress,
};

/// The size of a page in bytes.
pub(crate) const PAGE: usize = 16;

/// Whether each page may not be touched, for a test to look at even when the pages are gone.
#[derive(Clone, Debug)]
pub(crate) struct Guards(Arc<Mutex<Vec<bool>>>);

impl Guards {
    fn pages(&self) -> MutexGuard<'_, Vec<bool>> {
        self.0.lock().expect("no panic")
    }

    /// Pages that may not be touched.
    pub(crate) fn count(&self) -> usize {
        self.pages().iter().filter(|&&guard| guard).count()
    }
}

/// A block of the heap, in pages of 16 bytes.
#[derive(Debug)]
pub(crate) struct Pages {
    segment: HeapSegment,
    /// Whether each page may not be touched.
    guards: Guards,
    /// Requests that are let pass before one is refused.
    patience: Cell<u32>,
    bound_to: Cell<Option<u32>>,
    advised: Cell<Option<Advice>>,
}

impl Pages {
    pub(crate) fn new(layout: NonZeroLayout) -> Self {
        let segment = HeapSegment::new(layout).expect("memory for a test");
        let count = layout.size().get() / PAGE;
        Self {
            segment,
            guards: Guards(Arc::new(Mutex::new(vec![false; count]))),
            patience: Cell::new(u32::MAX),
            bound_to: Cell::new(None),
            advised: Cell::new(None),
        }
    }

    /// The request after `passes` more is refused, once.
    pub(crate) fn refuse_after(&self, passes: u32) {
        self.patience.set(passes);
    }

    /// Pages that may not be touched.
    pub(crate) fn inaccessible(&self) -> usize {
        self.guards.count()
    }

    /// What may not be touched, now and later.
    pub(crate) fn guards(&self) -> Guards {
        self.guards.clone()
    }

    /// Whether the page that holds `address` may not be touched.
    pub(crate) fn faults_at(&self, address: usize) -> bool {
        let page = (address - self.segment.base().addr().get()) / PAGE;
        self.guards.pages()[page]
    }

    pub(crate) fn bound_to(&self) -> Option<u32> {
        self.bound_to.get()
    }

    pub(crate) fn advised(&self) -> Option<Advice> {
        self.advised.get()
    }

    /// Judges a request about whole pages.
    fn judge(&self, call: &'static str, offset: usize, len: usize) -> Result<(), OsError> {
        let size = self.segment.size();
        let whole = offset.is_multiple_of(PAGE) && len.is_multiple_of(PAGE);
        if !whole || offset > size || len > size - offset {
            return Err(OsError::OutOfRange {
                offset,
                len,
                size,
                page: PAGE,
            });
        }
        let left = self.patience.get();
        self.patience.set(left.checked_sub(1).unwrap_or(u32::MAX));
        if left == 0 {
            return Err(OsError::Call { call, code: 12 });
        }
        Ok(())
    }
}

// SAFETY: the range is the segment's, which keeps every law.
unsafe impl FixedRange for Pages {
    fn base(&self) -> NonNull<u8> {
        self.segment.base()
    }

    fn size(&self) -> usize {
        self.segment.size()
    }

    fn base_align(&self) -> usize {
        self.segment.base_align()
    }

    fn commits_on_demand(&self) -> bool {
        false
    }

    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        self.segment.align_offset(offset, align)
    }
}

// SAFETY: the segment is on the heap.
unsafe impl StableAddress for Pages {}

// SAFETY: what was asked is written down, and nothing else happens.
unsafe impl OsBacked for Pages {
    fn page_size(&self) -> usize {
        PAGE
    }

    unsafe fn release(&self, offset: usize, len: usize) -> Result<(), OsError> {
        self.judge("release", offset, len)
    }

    unsafe fn protect(
        &self,
        offset: usize,
        len: usize,
        protection: Protection,
    ) -> Result<(), OsError> {
        self.judge("protect", offset, len)?;
        let pages = offset / PAGE..(offset + len) / PAGE;
        self.guards.pages()[pages].fill(protection == Protection::None);
        Ok(())
    }

    fn advise(&self, offset: usize, len: usize, advice: Advice) -> Result<(), OsError> {
        self.judge("advise", offset, len)?;
        self.advised.set(Some(advice));
        Ok(())
    }

    fn bind_node(&self, offset: usize, len: usize, node: u32) -> Result<(), OsError> {
        self.judge("bind_node", offset, len)?;
        self.bound_to.set(Some(node));
        Ok(())
    }
}
