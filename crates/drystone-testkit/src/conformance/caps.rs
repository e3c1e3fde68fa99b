//! [`Caps`]: what a kind of allocator undertakes to serve, so that no check passes vacuously.

/// What a fresh allocator serves.
///
/// Inside these limits a refusal is a fault that the checks report; beyond them a refusal is
/// allowed and only a wrong block is a fault.
///
/// ```
/// use drystone_testkit::conformance::Caps;
///
/// // 64 slots of 48 bytes at multiples of 16, given back on free, and then no more.
/// const SLAB: Caps = Caps::new(48, 16, 64).reuses_memory().bounded();
/// # let _ = SLAB;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    pub(crate) max_size: usize,
    pub(crate) max_align: usize,
    pub(crate) blocks: usize,
    pub(crate) reuses_memory: bool,
    pub(crate) bounded: bool,
}

impl Caps {
    /// The fewest blocks that the checks can work with.
    pub const BLOCKS_MIN: usize = 8;

    /// A fresh allocator serves at least `blocks` blocks of any size from 1 to `max_size` bytes at
    /// any alignment up to `max_align` bytes: in all, or, with
    /// [`reuses_memory`](Caps::reuses_memory), at any one time.
    ///
    /// # Panics
    ///
    /// If `max_size` is 0, `max_align` is not a power of two, or `blocks` is below
    /// [`BLOCKS_MIN`](Caps::BLOCKS_MIN).
    #[must_use]
    pub const fn new(max_size: usize, max_align: usize, blocks: usize) -> Self {
        assert!(max_size > 0, "an allocator serves at least one byte");
        assert!(max_align.is_power_of_two());
        assert!(blocks >= Self::BLOCKS_MIN, "too few blocks to check with");
        Self {
            max_size,
            max_align,
            blocks,
            reuses_memory: false,
            bounded: false,
        }
    }

    /// A general-purpose allocator without a fixed limit: 1 MiB, 64 KiB alignment, 256 blocks,
    /// reuses memory.
    #[must_use]
    pub const fn general() -> Self {
        Self::new(1 << 20, 64 << 10, 256).reuses_memory()
    }

    /// Every freed block makes room for another of the same layout, in any order of frees.
    #[must_use]
    pub const fn reuses_memory(mut self) -> Self {
        self.reuses_memory = true;
        self
    }

    /// The allocator runs out, and may be driven to that point: it has at most a few million
    /// blocks.
    #[must_use]
    pub const fn bounded(mut self) -> Self {
        self.bounded = true;
        self
    }
}
