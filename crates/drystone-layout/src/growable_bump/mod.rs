//! A bump arena that grows: one cursor, and a list of segments that it runs through.
//!
//! # What
//!
//! [`GrowableBump`] is [`BumpArena`](crate::BumpArena) over as many ranges as it needs. When the
//! current segment is full it takes the next from its [`SegmentSource`]. A reset goes back to the
//! first and keeps the others, so that a program that does the same work again asks the source for
//! nothing. [`trim`](GrowableBump::trim) gives back what is kept.
//!
//! **Sizes.** A new segment is as large as all before it together, at least the first size and at
//! most 64 MiB, or as large as the request that needs it where that is more. If the source refuses,
//! one that just holds the request is tried. So `n` bytes lie in at most `2 + log2(min(n, 64 MiB) / first) +
//! n / 64 MiB` segments where the source gives what is asked for.
//!
//! **Large requests.** After a segment was added, the one with more room left is used on: a large
//! request that fills a segment of its own does not end the current one.
//!
//! **Destructor policy.** Values are never dropped: memory comes back, but `Drop` does not run.
//!
//! # Memory picture
//!
//! ```text
//!   first                    current, tail                spare
//!    |                         |                            |
//!    v                         v                            v
//!    +---+-------+-------+     +---+-------+-------------+  +---+----------------+
//!    | h | block | block |     | h | block | free        |  | h | free           |
//!    +---+-------+-------+     +---+-------+-------------+  +---+----------------+
//!      |                         ^ |      cursor       limit  ^
//!      +-------------------------+ +--------------------------+
//! ```
//!
//! Each segment begins with a header `h`: the link to the next, how far it is used and committed,
//! and the range itself, which lies in its own bytes. Segments in use come first, in the order of
//! their use; `tail` is the last of them. The others are spare. Cursor and limit are positions as
//! in [`BumpArena`](crate::BumpArena): addresses of the last byte in use, and of the last that may
//! be handed out.
//!
//! # Invariants
//!
//! - **I1** The list from `first` reaches every segment once. The current one is at or before `tail`;
//!   there are both or neither.
//! - **I2** In offsets of the current segment, `header <= cursor <= limit <= usable`, and the bytes
//!   below `limit` are committed. Without a current segment both positions are 0.
//! - **I3** Every live block lies between the header and the cursor of the current segment, or the
//!   used mark of another at or before `tail`. No two overlap.
//! - **I4** `total_bytes` is the sum of the segments' sizes.
//!
//! # Threads
//!
//! An arena belongs to one thread at a time: `Send` if the source and its segments are, never
//! `Sync`. What blocks is the source.
//!
//! # Cost
//!
//! Allocation: as `BumpArena`, without the question of how the range aligns. A new segment costs
//! what the source takes, and a look at each spare one. `owns` looks at every segment. The header
//! takes three words and the range's own value.

mod allocator;
mod contents;
mod inspect;
mod segment;

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use drystone_core::{
    AllocError, NonZeroLayout, Reset, SegmentSource, StableAddress, abort_on_unwind,
};

use crate::AllocValueError;
use crate::bump::place;
use crate::bump::typed::{self, Take, safe_faces};
use segment::Segment;

/// Hands out blocks of segments one after the other; see the [module](self).
///
/// ```
/// use drystone_core::{HeapSource, Reset};
/// use drystone_layout::GrowableBump;
///
/// let mut arena = GrowableBump::new(HeapSource);
/// for _ in 0..3 {
///     let lines: Vec<&str> = (0..1000)
///         .map(|n| &*arena.alloc_str(&format!("line {n}")))
///         .collect();
///     assert_eq!(lines[999], "line 999");
///     arena.reset();
/// }
/// // The later rounds used the segments of the first.
/// assert_eq!(arena.segment_count(), 1);
/// ```
///
/// A value cannot outlive the arena, or a reset of it:
///
/// ```compile_fail,E0502
/// # use drystone_core::{HeapSource, Reset};
/// # use drystone_layout::GrowableBump;
/// let mut arena = GrowableBump::new(HeapSource);
/// let value = arena.alloc(1);
/// arena.reset();
/// *value = 2;
/// ```
///
/// ```compile_fail,E0505
/// # use drystone_core::HeapSource;
/// # use drystone_layout::GrowableBump;
/// let arena = GrowableBump::new(HeapSource);
/// let value = arena.alloc(1);
/// drop(arena);
/// *value = 2;
/// ```
///
/// Threads cannot share one:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSource;
/// # use drystone_layout::GrowableBump;
/// fn shared<T: Sync>() {}
/// shared::<GrowableBump<HeapSource>>();
/// ```
pub struct GrowableBump<S: SegmentSource> {
    /// The last byte in use of the current segment, or null (I2).
    cursor: Cell<*mut u8>,
    /// The position up to which the fast path may hand out bytes (I2).
    limit: Cell<usize>,
    first: Cell<Option<Segment<S::Segment>>>,
    current: Cell<Option<Segment<S::Segment>>>,
    /// The last segment in use.
    tail: Cell<Option<Segment<S::Segment>>>,
    total_bytes: Cell<usize>,
    first_segment_bytes: usize,
    source: S,
    segments: PhantomData<S::Segment>,
}

// SAFETY: the arena owns its segments, whose bytes may be used from any thread (L3); their ranges
// may change threads, and so may the source.
unsafe impl<S: SegmentSource + Send> Send for GrowableBump<S> where S::Segment: Send {}

impl<S: SegmentSource> GrowableBump<S> {
    /// The size of the first segment made by [`new`](Self::new), in bytes.
    pub const FIRST_SEGMENT_BYTES: usize = 16 << 10;

    /// What a segment grows to, in bytes, where no request needs more.
    pub const SEGMENT_BYTES_MAX: usize = 64 << 20;

    /// An empty arena; the source is not asked before the first allocation.
    #[inline]
    pub const fn new(source: S) -> Self {
        Self::with_segment_bytes(source, Self::FIRST_SEGMENT_BYTES)
    }

    /// An empty arena whose first segment has at least `first_segment_bytes`. The later ones grow
    /// from there; none is smaller.
    #[inline]
    pub const fn with_segment_bytes(source: S, first_segment_bytes: usize) -> Self {
        Self {
            cursor: Cell::new(ptr::null_mut()),
            limit: Cell::new(place::NOTHING_COMMITTED),
            first: Cell::new(None),
            current: Cell::new(None),
            tail: Cell::new(None),
            total_bytes: Cell::new(0),
            first_segment_bytes,
            source,
            segments: PhantomData,
        }
    }

    safe_faces!();

    /// Where the segments come from.
    #[inline]
    pub const fn source(&self) -> &S {
        &self.source
    }

    /// The segments, spare ones among them.
    pub fn segment_count(&self) -> usize {
        self.list().count()
    }

    /// The bytes of all segments, headers and spare ones among them.
    #[inline]
    pub fn segment_bytes(&self) -> usize {
        self.total_bytes.get()
    }

    /// The bytes in use: live blocks, freed blocks that were not topmost, and padding. Visits every
    /// segment in use.
    pub fn allocated_bytes(&self) -> usize {
        let in_use = self.in_use();
        in_use
            .map(|segment| self.used_of(segment) - Segment::<S::Segment>::HEADER_BYTES)
            .sum()
    }

    /// Gives every spare segment back to the source, the last one first; returns their bytes. After
    /// a [`reset`](Reset::reset) that is all but the first segment.
    pub fn trim(&self) -> usize {
        let before = self.total_bytes.get();
        self.reverse_spare();
        while let Some(spare) = self.spare().get() {
            self.spare().set(spare.next().get());
            self.total_bytes.set(self.total_bytes.get() - spare.size());
            // SAFETY: a spare segment holds no live block (I3), and was just taken off the list.
            drop(unsafe { spare.into_range() });
        }
        before - self.total_bytes.get()
    }

    /// Turns the order of the spare segments round, because sources that are stacks themselves get
    /// their space back only in the reverse order.
    fn reverse_spare(&self) {
        let mut reversed = None;
        let mut rest = self.spare().take();
        while let Some(segment) = rest {
            rest = segment.next().replace(reversed);
            reversed = Some(segment);
        }
        self.spare().set(reversed);
    }

    /// Every segment, in the order of the list.
    fn list(&self) -> impl Iterator<Item = Segment<S::Segment>> {
        core::iter::successors(self.first.get(), |segment| segment.next().get())
    }

    /// The segments in use.
    fn in_use(&self) -> impl Iterator<Item = Segment<S::Segment>> {
        let tail = self.tail.get();
        let mut left = tail.is_some();
        self.list().take_while(move |segment| {
            let in_use = left;
            left &= Some(*segment) != tail;
            in_use
        })
    }

    /// The link to the first spare segment.
    fn spare(&self) -> &Cell<Option<Segment<S::Segment>>> {
        match self.tail.get() {
            // SAFETY: the header lies in a segment in use, which is freed through `&mut self` only.
            Some(tail) => unsafe { &*ptr::from_ref(tail.next()) },
            None => &self.first,
        }
    }

    /// Up to which offset blocks may lie in a segment in use.
    fn used_of(&self, segment: Segment<S::Segment>) -> usize {
        if self.current.get() == Some(segment) {
            place::offset(segment.address(), self.cursor.get().addr())
        } else {
            segment.used()
        }
    }

    /// A block of `layout`; never null.
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        let (size, align) = (layout.size().get(), layout.align().get());
        let cursor = self.cursor.get();
        match place::fast(cursor.addr(), self.limit.get(), size, align) {
            Some((start, end)) => {
                self.cursor.set(cursor.with_addr(end));
                Some(cursor.with_addr(start))
            }
            None => self.take_slow(layout).map(NonNull::as_ptr),
        }
    }

    /// A block of `layout`, which may be large, or need bytes that are not committed, or a segment.
    #[cold]
    #[inline(never)]
    fn take_slow(&self, layout: NonZeroLayout) -> Option<NonNull<u8>> {
        if let Some(current) = self.current.get() {
            if let Some((start, end)) = current.place(self.used_of(current), layout) {
                self.extend_to(current, end).ok()?;
                return Some(Self::at(current, start));
            }
        }
        if let Some(block) = self.take_spare(layout) {
            return block.ok();
        }
        self.add_spare(layout).ok()?;
        self.take_spare(layout)?.ok()
    }

    /// A block in the first spare segment that has room for it; `None` if none has.
    fn take_spare(&self, layout: NonZeroLayout) -> Option<Result<NonNull<u8>, AllocError>> {
        let mut before = None;
        let mut spare = self.spare().get();
        while let Some(segment) = spare {
            if let Some((start, end)) = segment.place(Segment::<S::Segment>::HEADER_BYTES, layout) {
                if let Err(error) = segment.commit(end) {
                    return Some(Err(error));
                }
                self.put_in_use(before, segment);
                self.go_on_with(segment, end);
                return Some(Ok(Self::at(segment, start)));
            }
            before = Some(segment);
            spare = segment.next().get();
        }
        None
    }

    /// Moves a spare segment, which follows `before` or is the first spare one, to the end of those
    /// in use.
    fn put_in_use(&self, before: Option<Segment<S::Segment>>, segment: Segment<S::Segment>) {
        if let Some(before) = before {
            before.next().set(segment.next().get());
            segment.next().set(self.spare().get());
            self.spare().set(Some(segment));
        }
        self.tail.set(Some(segment));
    }

    /// Chooses the current segment after `segment` was used up to the offset `end`: the one with
    /// more room left.
    fn go_on_with(&self, segment: Segment<S::Segment>, end: usize) {
        if let Some(current) = self.current.get() {
            let used = self.used_of(current);
            if current.usable_bytes() - used > segment.usable_bytes() - end {
                segment.set_used(end);
                return;
            }
            current.set_used(used);
        }
        self.current.set(Some(segment));
        self.set_marks(segment, end);
    }

    /// Makes cursor and limit those of the current segment, used up to the offset `used`.
    fn set_marks(&self, current: Segment<S::Segment>, used: usize) {
        let position = |offset| place::position(current.address(), offset);
        let base = current.base().as_ptr();
        self.cursor.set(base.with_addr(position(used)));
        self.limit.set(position(current.committed()));
    }

    /// Moves the cursor up to the offset `end` of the current segment, at most its usable bytes,
    /// and commits the bytes below. Changes nothing where it fails.
    fn extend_to(&self, current: Segment<S::Segment>, end: usize) -> Result<(), AllocError> {
        current.commit(end)?;
        self.set_marks(current, end);
        Ok(())
    }

    /// Asks the source for a segment with room for a block of `layout`, and puts it before the
    /// other spare ones.
    fn add_spare(&self, layout: NonZeroLayout) -> Result<(), AllocError> {
        let grown = self.total_bytes.get().min(Self::SEGMENT_BYTES_MAX);
        let bytes = grown.max(self.first_segment_bytes);
        let least = Segment::<S::Segment>::layout(layout, 0).ok_or(AllocError)?;
        let wanted = Segment::<S::Segment>::layout(layout, bytes).unwrap_or(least);
        // The source is the user's: nothing is held while it runs, and it does not unwind into
        // whoever allocates.
        let range = abort_on_unwind(|| {
            self.source.segment(wanted).or_else(|error| {
                if wanted == least {
                    return Err(error);
                }
                self.source.segment(least)
            })
        })?;
        // SAFETY: a source promises the size and the alignment that it was asked for, and the
        // layout has room for a header and its alignment.
        let segment = unsafe { Segment::make(range) }?;
        segment.next().set(self.spare().get());
        self.spare().set(Some(segment));
        self.total_bytes
            .set(self.total_bytes.get().saturating_add(segment.size()));
        Ok(())
    }

    /// The pointer to an offset in a segment.
    #[inline]
    fn at(segment: Segment<S::Segment>, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= segment.size());
        // SAFETY: every caller's offset is that of a block that `place` found in the segment.
        unsafe { segment.base().add(offset) }
    }

    /// Checks every invariant by number.
    ///
    /// # Panics
    ///
    /// In builds with debug assertions, if one does not hold.
    pub fn debug_assert_invariants(&self) {
        debug_assert_eq!(self.check().err(), None);
    }
}

impl<S: SegmentSource> Reset for GrowableBump<S> {
    /// Goes back to the first segment. The others are kept.
    fn reset(&mut self) {
        if let Some(first) = self.first.get() {
            self.current.set(Some(first));
            self.tail.set(Some(first));
            self.set_marks(first, Segment::<S::Segment>::HEADER_BYTES);
        }
    }
}

impl<S: SegmentSource> Drop for GrowableBump<S> {
    fn drop(&mut self) {
        self.current.set(None);
        self.tail.set(None);
        self.trim();
    }
}

// SAFETY: the blocks lie in the segments, which do not move with the arena.
unsafe impl<S: SegmentSource> StableAddress for GrowableBump<S> {}

impl<S: SegmentSource> fmt::Debug for GrowableBump<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrowableBump")
            .field("allocated_bytes", &self.allocated_bytes())
            .field("segment_bytes", &self.segment_bytes())
            .finish_non_exhaustive()
    }
}

// SAFETY: a block that `take` returns is one that `allocate` would have returned.
unsafe impl<S: SegmentSource> Take for GrowableBump<S> {
    #[inline]
    fn take(&self, layout: NonZeroLayout) -> Option<*mut u8> {
        GrowableBump::take(self, layout)
    }
}
