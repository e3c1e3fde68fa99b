//! A source that counts its segments, and helpers for slabs over it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses some of these"
)]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_core::{
    AllocError, Allocator, FixedRange, HeapSegment, NoProtection, NonZeroLayout, SegmentSource,
    StableAddress,
};
use drystone_layout::ExtendableSlab;

pub type Block = [u64; 3];

pub fn block() -> NonZeroLayout {
    NonZeroLayout::for_type::<Block>().expect("not zero-sized")
}

/// What a [`Counting`] source did.
#[derive(Default)]
pub struct Log {
    pub given: AtomicUsize,
    pub returned: AtomicUsize,
    pub refused: AtomicUsize,
    /// Refuse from this call on.
    pub limit: AtomicUsize,
}

impl Log {
    pub fn out(&self) -> usize {
        self.given.load(Ordering::Relaxed) - self.returned.load(Ordering::Relaxed)
    }
}

/// Heap segments, counted, at most `limit` at a time.
#[derive(Clone)]
pub struct Counting(pub Arc<Log>);

impl Counting {
    pub fn new(limit: usize) -> Self {
        let log = Log::default();
        log.limit.store(limit, Ordering::Relaxed);
        Self(Arc::new(log))
    }
}

pub struct CountedSegment {
    inner: HeapSegment,
    log: Arc<Log>,
}

impl Drop for CountedSegment {
    fn drop(&mut self) {
        self.log.returned.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the inner range's answers.
unsafe impl FixedRange for CountedSegment {
    fn base(&self) -> NonNull<u8> {
        self.inner.base()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn base_align(&self) -> usize {
        self.inner.base_align()
    }

    fn commits_on_demand(&self) -> bool {
        false
    }
}

// SAFETY: the inner range is stable.
unsafe impl StableAddress for CountedSegment {}

// SAFETY: the segments are the heap's.
unsafe impl SegmentSource for Counting {
    type Segment = CountedSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<CountedSegment, AllocError> {
        let log = &self.0;
        if log.out() >= log.limit.load(Ordering::Relaxed) {
            log.refused.fetch_add(1, Ordering::Relaxed);
            return Err(AllocError);
        }
        log.given.fetch_add(1, Ordering::Relaxed);
        Ok(CountedSegment {
            inner: HeapSegment::new(layout)?,
            log: log.clone(),
        })
    }
}

pub type CountedSlab = ExtendableSlab<Block, NoProtection, Counting>;

pub fn counted(capacity: usize, limit: usize) -> (CountedSlab, Arc<Log>) {
    let source = Counting::new(limit);
    let log = source.0.clone();
    let slab = ExtendableSlab::with_source(capacity, || NoProtection, source);
    (slab, log)
}

pub fn fill<A: Allocator>(slab: &A, count: usize) -> Vec<NonNull<u8>> {
    (0..count)
        .map(|_| {
            slab.allocate(block())
                .expect("the source has memory")
                .cast()
        })
        .collect()
}

/// # Safety
///
/// The blocks are live blocks of `slab`.
pub unsafe fn free<A: Allocator>(slab: &A, blocks: impl IntoIterator<Item = NonNull<u8>>) {
    for ptr in blocks {
        // SAFETY: the caller's promise.
        unsafe { slab.deallocate(ptr, block()) };
    }
}

/// Blocks that change threads.
pub struct Sent(pub Vec<NonNull<u8>>);

// SAFETY: the slab is `Sync`, and whoever has the list has the blocks.
unsafe impl Send for Sent {}
