//! [`Tagged`]: how much memory is whose.
//!
//! # What
//!
//! Counts what passes through under a label. A [`Tag`] is the label and its counts; it may belong
//! to one wrapper, or be a `static` to which any number of wrappers around any allocators count, so
//! that one line says what a part of a program holds, wherever it takes it from.
//!
//! A block is handed out exactly as long as asked, so that a free takes off what its allocation
//! added.
//!
//! # Memory picture
//!
//! ```text
//! +-------+-----+          +-------+--------+
//! | inner | tag |   Tag:   | label | counts |      nothing beside the blocks
//! +-------+-----+          +-------+--------+
//! ```
//!
//! # Invariants
//!
//! - I1: when no call is running, the live blocks and bytes of a tag are those that its wrappers
//!   have handed out and not taken back. A block that ends with its allocator, without being freed,
//!   stays counted in a tag that is shared.
//!
//! # Threads
//!
//! Sync if the inner allocator is. The counts are those of [`Statistics`](crate::Statistics): plain
//! while one thread counts, atomic once several do, exact in both cases.
//!
//! # Cost
//!
//! As [`Statistics`](crate::Statistics). At [`Off`](crate::Off) nothing: no field, no instruction.

use core::fmt;
use core::ptr::NonNull;

use drystone_core::{AllocError, Deallocator, NonZeroLayout, Reset, Stats};

use crate::Off;
use crate::sizes::exactly;
use crate::statistics::{Counters, Event, Record};

/// A label, and what is counted under it.
///
/// Shown as one line: `parser: 1200 bytes in 3 blocks, at most 4096`.
#[derive(Debug)]
pub struct Tag {
    label: &'static str,
    counters: Counters,
}

impl Tag {
    const_unless_loom! {
        /// A tag under which nothing has been counted yet.
        #[must_use]
        pub const fn new(label: &'static str) -> Self {
            Self {
                label,
                counters: Counters::new(),
            }
        }
    }

    /// The label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        self.label
    }

    /// What was counted. The capacity and the corruption events of the allocators are not part of
    /// it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        self.counters.read(&mut stats);
        stats
    }

    #[inline]
    fn count(&self, event: Event) {
        if !self.counters.count_alone(event) {
            self.counters.count_together(event);
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        let (bytes, blocks) = (stats.live_bytes(), stats.live_blocks());
        let peak = stats.peak_live_bytes;
        write!(
            f,
            "{}: {bytes} bytes in {blocks} blocks, at most {peak}",
            self.label
        )
    }
}

/// Where a [`Tagged`] counts: a [`Tag`] of its own, a `&'static Tag`, or [`Off`]. Sealed.
pub trait TagRef: sealed::Sealed {
    /// The tag, if there is one. The answer is a constant of the type.
    fn tag(&self) -> Option<&Tag>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Tag {}
    impl Sealed for &'static super::Tag {}
    impl Sealed for super::Off {}
}

impl TagRef for Tag {
    #[inline]
    fn tag(&self) -> Option<&Tag> {
        Some(self)
    }
}

impl TagRef for &'static Tag {
    #[inline]
    fn tag(&self) -> Option<&Tag> {
        Some(self)
    }
}

impl TagRef for Off {
    #[inline]
    fn tag(&self) -> Option<&Tag> {
        None
    }
}

/// `A`, whose blocks are counted under a label.
///
/// ```
/// # use drystone_core::{Allocator, Deallocator, NonZeroLayout};
/// # use drystone_wrap::{Tag, Tagged};
/// static INDEX: Tag = Tag::new("index");
///
/// fn two_owners<A: Allocator>(memory: A, layout: NonZeroLayout) {
///     let index = Tagged::with_tag(&memory, &INDEX);
///     let parser = Tagged::new(&memory, "parser");
///     let block = index.allocate(layout).expect("there is room");
///     assert_eq!(INDEX.to_string(), "index: 24 bytes in 1 blocks, at most 24");
///     assert_eq!(parser.stats().live_bytes(), 0);
///     unsafe { index.deallocate(block.cast(), layout) };
/// }
/// # #[path = "../tests/common/slots.rs"]
/// # mod slots;
/// # two_owners(slots::Slots::new(4), NonZeroLayout::from_size_align(24, 8).unwrap());
/// ```
pub struct Tagged<A, T: TagRef = Tag> {
    inner: A,
    tag: T,
}

impl<A> Tagged<A> {
    const_unless_loom! {
        /// `inner`, counted under `label` by a tag of its own.
        #[inline]
        #[must_use]
        pub const fn new(inner: A, label: &'static str) -> Self {
            Self {
                inner,
                tag: Tag::new(label),
            }
        }
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.tag.stats()
    }

    /// The inner allocator, if no block is live.
    ///
    /// # Errors
    ///
    /// The wrapper itself, if blocks are outstanding.
    #[allow(
        clippy::result_large_err,
        reason = "the wrapper goes back to whoever gave it, and this is no hot path"
    )]
    pub fn into_inner(self) -> Result<A, Self> {
        if self.stats().live_blocks() == 0 {
            Ok(self.inner)
        } else {
            Err(self)
        }
    }
}

impl<A, T: TagRef> Tagged<A, T> {
    /// `inner`, counted under `tag`: a `&'static Tag`, or [`Off`].
    #[inline]
    #[must_use]
    pub const fn with_tag(inner: A, tag: T) -> Self {
        Self { inner, tag }
    }

    /// The inner allocator. What is done through it is not counted.
    #[inline]
    pub const fn inner(&self) -> &A {
        &self.inner
    }

    /// The tag; `None` if it is [`Off`].
    #[inline]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.tag()
    }

    /// The inner allocator, whatever the counts say.
    ///
    /// # Safety
    ///
    /// No block is live, or the caller frees each with the allocator returned.
    #[inline]
    pub unsafe fn into_inner_unchecked(self) -> A {
        self.inner
    }

    /// Counts a request by its outcome, and passes it on.
    #[inline]
    fn counted(
        &self,
        outcome: Result<NonNull<[u8]>, AllocError>,
        layout: NonZeroLayout,
        success: Event,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let Some(tag) = self.tag() else {
            return outcome;
        };
        let outcome = exactly(outcome, layout);
        tag.count(if outcome.is_ok() {
            success
        } else {
            Event::Failed
        });
        outcome
    }
}

// SAFETY: the inner allocator keeps the contract; counting touches no block.
unsafe impl<A: Deallocator, T: TagRef> Deallocator for Tagged<A, T> {
    #[inline]
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        if let Some(tag) = self.tag() {
            tag.count(Event::Deallocated(layout.size().get()));
        }
        // SAFETY: the block is the inner allocator's; same requirements.
        unsafe { self.inner.deallocate(ptr, layout) }
    }
}

count_each_request!([A, T: TagRef] Tagged<A, T>, inner);
forward_promises!([A, T: TagRef] Tagged<A, T>, inner: Owns, StableAddress);

impl<A: Reset> Reset for Tagged<A, Tag> {
    /// Counts every live block as taken back. A tag that is shared cannot: it does not know which
    /// of its blocks are this allocator's, so a wrapper that counts to one has no `Reset`.
    #[inline]
    fn reset(&mut self) {
        self.inner.reset();
        self.tag.counters.end_all();
    }
}

impl<A: Reset> Reset for Tagged<A, Off> {
    #[inline]
    fn reset(&mut self) {
        self.inner.reset();
    }
}

impl<A: fmt::Debug, T: TagRef> fmt::Debug for Tagged<A, T> {
    /// The tag's line, and the inner allocator.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tagged");
        if let Some(tag) = self.tag() {
            debug.field("tag", &format_args!("{tag}"));
        }
        debug.field("inner", &self.inner).finish()
    }
}
