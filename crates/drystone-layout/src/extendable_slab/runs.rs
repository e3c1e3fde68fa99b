//! [`Runs`]: segments cut from longer ranges, where the source says that those are worth it.
//!
//! ```text
//!  open: runs with a free piece         a run: one range of the source
//!   ──> Run ──> Run ──> ...             ┌─────────┬─────────┬─────────┐
//!        └ free: a bit for each piece   │ segment │  free   │ segment │
//!                                       └─────────┴─────────┴─────────┘
//! ```
//!
//! A run goes back to the source when its last piece does.

use core::ptr::NonNull;

use drystone_core::{
    AllocError, FixedRange, HeapSegment, NonZeroLayout, SegmentSource, abort_on_unwind,
};
use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{RawGuard, SpinLock};

/// The most pieces of a run: one for each bit of a word.
pub(super) const PIECES_MAX: usize = usize::BITS as usize;

/// A run has at most this share of as many pieces as there are segments. So what was taken ahead is
/// at most that share of what is in use.
pub(super) const SHARE: usize = 8;

/// A range that is cut into segments, in a block of the heap.
pub(super) struct Run<R> {
    range: R,
    /// Where the range begins; asked for before the lock, because the range is the user's.
    base: NonNull<u8>,
    /// The block that this lies in.
    memory: HeapSegment,
    /// A bit for each piece that no segment uses. Reached under the lock.
    free: usize,
    /// A bit for each piece.
    all: usize,
    /// Its neighbours on the list, if it has a free piece. Reached under the lock.
    next: Link<R>,
    previous: Link<R>,
}

type Link<R> = Option<NonNull<Run<R>>>;

/// What a segment has of its source.
pub(super) enum Piece<R> {
    /// A range of its own.
    Whole(R),
    /// A part of a run.
    Part {
        /// The run lives until every part went to [`Runs::put`].
        run: NonNull<Run<R>>,
        index: u32,
        base: NonNull<u8>,
    },
}

impl<R: FixedRange> Piece<R> {
    /// The first byte.
    pub(super) fn base(&self) -> NonNull<u8> {
        match self {
            Self::Whole(range) => range.base(),
            Self::Part { base, .. } => *base,
        }
    }
}

/// A source, and what was taken from it ahead.
pub(super) struct Runs<S: SegmentSource> {
    source: S,
    lock: SpinLock,
    /// The runs with a free piece.
    open: UnsafeCell<Link<S::Segment>>,
    /// Free pieces. Written under the lock.
    free: AtomicUsize,
}

impl<S: SegmentSource> Runs<S> {
    /// Nothing is taken yet.
    pub(super) fn new(source: S) -> Self {
        Self {
            source,
            lock: SpinLock::new(),
            open: UnsafeCell::new(None),
            free: AtomicUsize::new(0),
        }
    }

    /// The source.
    pub(super) const fn source(&self) -> &S {
        &self.source
    }

    /// Memory of `layout` for one more segment, when there are `segments`: committed, and a piece of a
    /// run if the source is worth it.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the source has none.
    pub(super) fn take(
        &self,
        layout: NonZeroLayout,
        segments: usize,
    ) -> Result<Piece<S::Segment>, AllocError> {
        if let Some(piece) = self.take_part(layout) {
            return Ok(piece);
        }
        let pieces = self.pieces(layout, segments);
        if pieces > 1 {
            // Where there is no run there may still be a segment.
            if let Ok(piece) = self.begin_run(layout, pieces) {
                return Ok(piece);
            }
        }
        Ok(Piece::Whole(self.range(layout)?))
    }

    /// Gives back what [`take`](Self::take) returned.
    pub(super) fn put(&self, piece: Piece<S::Segment>) {
        match piece {
            Piece::Whole(range) => abort_on_unwind(|| drop(range)),
            Piece::Part { run, index, .. } => {
                if let Some(run) = self.put_part(run, 1 << index) {
                    // SAFETY: every piece is back and the run is on no list, so nobody else knows it.
                    let Run { range, memory, .. } = unsafe { run.read() };
                    abort_on_unwind(|| drop(range));
                    drop(memory);
                }
            }
        }
    }

    /// The pieces that no segment uses, for the models.
    #[cfg(all(test, loom))]
    pub(super) fn free(&self) -> usize {
        self.free.load(Ordering::Relaxed)
    }

    /// How many segments to take at once. Where they do not fill their places, the places between
    /// belong to whoever else uses the source.
    fn pieces(&self, layout: NonZeroLayout, segments: usize) -> usize {
        let size = layout.size().get();
        if size != layout.align().get() {
            return 1;
        }
        (abort_on_unwind(|| self.source.run_bytes()) / size)
            .min(segments / SHARE)
            .min(PIECES_MAX)
    }

    /// A range of `layout`, committed.
    fn range(&self, layout: NonZeroLayout) -> Result<S::Segment, AllocError> {
        let range = abort_on_unwind(|| self.source.segment(layout))?;
        debug_assert!(
            range.base().addr().get() % layout.align() == 0 && range.size() >= layout.size().get(),
            "the source broke its promise"
        );
        if range.commits_on_demand() {
            range.commit(0, layout.size().get())?;
        }
        Ok(range)
    }

    /// Takes a run of `pieces`, which are at least 2, and the first of them.
    fn begin_run(
        &self,
        layout: NonZeroLayout,
        pieces: usize,
    ) -> Result<Piece<S::Segment>, AllocError> {
        let bytes = layout.size().get().checked_mul(pieces).ok_or(AllocError)?;
        let layout = NonZeroLayout::from_size_align(bytes, layout.align().get());
        let range = self.range(layout.map_err(|_| AllocError)?)?;
        let own = NonZeroLayout::for_type::<Run<S::Segment>>().ok_or(AllocError)?;
        let memory = HeapSegment::new(own)?;
        let run = memory.base().cast::<Run<S::Segment>>();
        let base = range.base();
        let all = usize::MAX >> (PIECES_MAX - pieces);
        let value = Run {
            range,
            base,
            memory,
            // The caller has the first.
            free: all - 1,
            all,
            next: None,
            previous: None,
        };
        // SAFETY: the block is new, and as long and as aligned as a run.
        unsafe { run.write(value) };
        self.locked(|open| {
            // SAFETY: the run lives, is on no list, and is reached under the lock only.
            unsafe { link(open, run) };
            self.count(pieces - 1, 0);
        });
        Ok(Piece::Part {
            run,
            index: 0,
            base,
        })
    }

    /// A piece of a run that was taken before.
    fn take_part(&self, layout: NonZeroLayout) -> Option<Piece<S::Segment>> {
        // Relaxed: a thread that does not see the last piece yet comes too early for it.
        if self.free.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.locked(|open| {
            let run = (*open)?;
            // SAFETY: what is on the list lives, and is reached under the lock only.
            let fields = unsafe { &mut *run.as_ptr() };
            let index = fields.free.trailing_zeros();
            fields.free &= fields.free - 1;
            let offset = index as usize * layout.size().get();
            // SAFETY: the piece lies in the run's range.
            let base = unsafe { fields.base.add(offset) };
            if fields.free == 0 {
                // SAFETY: the run is on the list.
                unsafe { unlink(open, run) };
            }
            self.count(0, 1);
            Some(Piece::Part { run, index, base })
        })
    }

    /// Puts a piece back; returns its run if that was the last one that was out.
    fn put_part(
        &self,
        run: NonNull<Run<S::Segment>>,
        bit: usize,
    ) -> Option<NonNull<Run<S::Segment>>> {
        self.locked(|open| {
            // SAFETY: a run lives while a piece is out, and is reached under the lock only.
            let fields = unsafe { &mut *run.as_ptr() };
            let (before, all) = (fields.free, fields.all);
            debug_assert_eq!(before & bit, 0, "a piece went back twice");
            fields.free |= bit;
            if before | bit == all {
                // SAFETY: a run of two pieces or more, one of which was free, is on the list.
                unsafe { unlink(open, run) };
                self.count(0, all.count_ones() as usize - 1);
                return Some(run);
            }
            if before == 0 {
                // SAFETY: a run without a free piece is on no list.
                unsafe { link(open, run) };
            }
            self.count(1, 0);
            None
        })
    }

    /// Counts free pieces, under the lock.
    fn count(&self, more: usize, fewer: usize) {
        let free = self.free.load(Ordering::Relaxed) + more - fewer;
        self.free.store(free, Ordering::Relaxed);
    }

    /// Runs `f` under the lock. `f` calls neither user code nor the heap nor this method.
    fn locked<T>(&self, f: impl FnOnce(&mut Link<S::Segment>) -> T) -> T {
        let _guard = RawGuard::lock(&self.lock);
        self.open.with_mut(|open| {
            // SAFETY: this thread has the lock, and `f` does not come back.
            f(unsafe { &mut *open })
        })
    }
}

/// Puts a run in front of the list.
///
/// # Safety
///
/// The calling thread has the lock of the list; the run lives and is on no list.
unsafe fn link<R>(open: &mut Link<R>, run: NonNull<Run<R>>) {
    let next = open.replace(run);
    // SAFETY: the caller has the lock, and the run lives.
    unsafe { (*run.as_ptr()).next = next };
    // SAFETY: as above.
    unsafe { (*run.as_ptr()).previous = None };
    if let Some(next) = next {
        // SAFETY: what is on the list lives, and the caller has the lock.
        unsafe { (*next.as_ptr()).previous = Some(run) };
    }
}

/// Takes a run off the list.
///
/// # Safety
///
/// The calling thread has the lock of the list, and the run is on it.
unsafe fn unlink<R>(open: &mut Link<R>, run: NonNull<Run<R>>) {
    // SAFETY: the caller has the lock, and what is on the list lives.
    let next = unsafe { (*run.as_ptr()).next };
    // SAFETY: as above.
    let previous = unsafe { (*run.as_ptr()).previous };
    match previous {
        // SAFETY: as above.
        Some(previous) => unsafe { (*previous.as_ptr()).next = next },
        None => *open = next,
    }
    if let Some(next) = next {
        // SAFETY: as above.
        unsafe { (*next.as_ptr()).previous = previous };
    }
}
