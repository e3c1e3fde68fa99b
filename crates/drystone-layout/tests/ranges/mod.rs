//! Ranges for the tests of slabs and size classes: aligned, odd, lazy, movable.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses some of these"
)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drystone_core::{
    AllocError, FixedRange, HeapSegment, NonZeroLayout, SegmentSource, StableAddress, arith,
};

pub use drystone_testkit::kept;

pub fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a valid layout")
}

/// `bytes` of the heap at a multiple of `align`.
pub fn heap(bytes: usize, align: usize) -> HeapSegment {
    HeapSegment::new(layout(bytes, align)).expect("the test has memory")
}

/// A range whose base is `skip` bytes after a multiple of 4096.
pub struct Skewed {
    inner: HeapSegment,
    skip: usize,
}

impl Skewed {
    pub fn new(bytes: usize, skip: usize) -> Self {
        Self {
            inner: heap(bytes + skip, 4096),
            skip,
        }
    }
}

// SAFETY: a part of a range that keeps the laws, with the alignment of its address.
unsafe impl FixedRange for Skewed {
    fn base(&self) -> NonNull<u8> {
        // SAFETY: `skip` is at most the size of the inner range.
        unsafe { self.inner.base().add(self.skip) }
    }

    fn size(&self) -> usize {
        self.inner.size() - self.skip
    }

    fn base_align(&self) -> usize {
        arith::natural_align(self.base().addr().get())
    }

    fn keeps_base(&self) -> bool {
        true
    }

    fn commits_on_demand(&self) -> bool {
        false
    }

    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        arith::align_offset_at(self.base().addr().get(), offset, align)
    }
}

// SAFETY: the inner range is stable.
unsafe impl StableAddress for Skewed {}

/// What a [`Lazy`] range did.
#[derive(Default)]
pub struct LazyLog {
    pub commits: AtomicUsize,
    pub drops: AtomicUsize,
}

/// A range that commits on demand, page by page, and fails from the call `fail_from` on, unless
/// the call is one of `small` bytes or less.
pub struct Lazy {
    inner: HeapSegment,
    committed: Box<[AtomicUsize]>,
    fail_from: AtomicUsize,
    small: usize,
    log: Arc<LazyLog>,
}

impl Lazy {
    pub const PAGE: usize = 64;

    pub fn new(bytes: usize, fail_from: usize, small: usize) -> (Self, Arc<LazyLog>) {
        let log = Arc::new(LazyLog::default());
        let lazy = Self {
            inner: heap(bytes, 4096),
            committed: (0..bytes.div_ceil(Self::PAGE))
                .map(|_| AtomicUsize::new(0))
                .collect(),
            fail_from: AtomicUsize::new(fail_from),
            small,
            log: log.clone(),
        };
        (lazy, log)
    }

    /// Whether all bytes of `block` are committed.
    pub fn is_committed(&self, block: NonNull<[u8]>) -> bool {
        let offset = block.cast::<u8>().addr().get() - self.base().addr().get();
        let last = (offset + block.len() - 1) / Self::PAGE;
        self.committed[offset / Self::PAGE..=last]
            .iter()
            .all(|page| page.load(Ordering::Relaxed) == 1)
    }

    /// Fails from the `calls`-th call from now on.
    pub fn fail_after(&self, calls: usize) {
        let now = self.log.commits.load(Ordering::Relaxed);
        self.fail_from
            .store(now.saturating_add(calls), Ordering::Relaxed);
    }
}

impl Drop for Lazy {
    fn drop(&mut self) {
        self.log.drops.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the laws are the inner range's; committing only keeps a record.
unsafe impl FixedRange for Lazy {
    fn base(&self) -> NonNull<u8> {
        self.inner.base()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn base_align(&self) -> usize {
        self.inner.base_align()
    }

    fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
        if !arith::range_fits(offset, len, self.size()) {
            return Err(AllocError);
        }
        let call = self.log.commits.fetch_add(1, Ordering::Relaxed);
        if call >= self.fail_from.load(Ordering::Relaxed) && len > self.small {
            return Err(AllocError);
        }
        for page in &self.committed[offset / Self::PAGE..(offset + len).div_ceil(Self::PAGE)] {
            page.store(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        self.inner.align_offset(offset, align)
    }
}

// SAFETY: the inner range is stable.
unsafe impl StableAddress for Lazy {}

/// A buffer of `N` bytes at a multiple of 4096, for a range that borrows it for good.
pub fn buffer<const N: usize>() -> &'static mut [MaybeUninit<u8>] {
    #[repr(align(4096))]
    struct Aligned<const N: usize>([MaybeUninit<u8>; N]);

    &mut kept(Aligned([MaybeUninit::uninit(); N])).0
}

/// Bytes inside the value: they move with it.
#[repr(C, align(16))]
pub struct Inline<const N: usize>(UnsafeCell<MaybeUninit<[u8; N]>>);

impl<const N: usize> Inline<N> {
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

// SAFETY: the range describes bytes only; nothing is read or written through `&Inline` here.
unsafe impl<const N: usize> Sync for Inline<N> {}

// SAFETY: the bytes are inside the value, in a cell, aligned by `repr`.
unsafe impl<const N: usize> FixedRange for Inline<N> {
    fn base(&self) -> NonNull<u8> {
        NonNull::from(&self.0).cast()
    }

    fn size(&self) -> usize {
        N
    }

    fn base_align(&self) -> usize {
        16
    }

    fn commits_on_demand(&self) -> bool {
        false
    }
}

/// Segments that commit on demand.
#[derive(Clone, Default)]
pub struct LazySource(pub Arc<LazyLog>);

// SAFETY: each segment is a block of the heap of its own, as long as asked, at a multiple of 4096.
unsafe impl SegmentSource for LazySource {
    type Segment = Lazy;

    fn segment(&self, layout: NonZeroLayout) -> Result<Lazy, AllocError> {
        assert!(layout.align().get() <= 4096);
        if layout.size().get() > 1 << 24 {
            return Err(AllocError);
        }
        let (mut lazy, _) = Lazy::new(layout.size().get(), usize::MAX, 0);
        lazy.log = self.0.clone();
        Ok(lazy)
    }
}

// SAFETY: the same source.
unsafe impl SegmentSource for &LazySource {
    type Segment = Lazy;

    fn segment(&self, layout: NonZeroLayout) -> Result<Lazy, AllocError> {
        (**self).segment(layout)
    }
}

/// Segments that are longer than asked, at no better an alignment than asked.
#[derive(Clone, Copy)]
pub struct OddSource;

// SAFETY: each segment is a block of the heap of its own, longer than asked, and skewed by the
// alignment asked for.
unsafe impl SegmentSource for OddSource {
    type Segment = Skewed;

    fn segment(&self, layout: NonZeroLayout) -> Result<Skewed, AllocError> {
        assert!(layout.align().get() < 4096);
        if layout.size().get() > 1 << 24 {
            return Err(AllocError);
        }
        Ok(Skewed::new(layout.size().get() + 13, layout.align().get()))
    }
}
