//! What a pool does where there is a choice: [`BorrowPolicy`], [`FallbackPolicy`],
//! [`ReturnPolicy`].

/// Whether a request may take a slot of a larger class when its own class has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum BorrowPolicy {
    /// Never: a request is served from its own class or not at all.
    #[default]
    Never,
    /// From the next larger class.
    NextClass,
    /// From any of the next so many classes, the smallest first.
    UpTo(u8),
}

impl BorrowPolicy {
    /// How many classes above its own a request may look at.
    pub(crate) const fn classes(self) -> usize {
        match self {
            Self::Never => 0,
            Self::NextClass => 1,
            Self::UpTo(classes) => classes as usize,
        }
    }
}

/// What [`alloc`](crate::BufferPool::alloc) does when no slot can be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum FallbackPolicy {
    /// It takes memory of the global heap, which counts against the ceiling where there is one.
    #[default]
    Included,
    /// It takes none: the request panics.
    Refused,
}

/// Which thread's cache a buffer goes to when its last view is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ReturnPolicy {
    /// That of the thread that drops it: best where each thread both takes and drops.
    #[default]
    Returner,
    /// That of the thread which last had it in its cache, wherever it is dropped: buffers stay with the
    /// thread that fills them, and with the memory that is near to it. One compare-and-swap for each that
    /// goes home, so a pipeline from one thread to another is slower than by [`Returner`](Self::Returner),
    /// whose buffers go back many at a time.
    Origin,
}
