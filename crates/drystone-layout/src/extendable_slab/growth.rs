//! [`Growth`]: what a slab's threads share to grow and to shrink, under one lock.
//!
//! Held for a few dozen instructions, or for as long as it takes to copy the address index to a
//! larger table; never across user code or the heap.

use core::ptr::NonNull;

use drystone_sync::atomic::{AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{RawGuard, SpinLock};

use super::index::{Index, IndexWriter, NeedsTable, OwnTable};
use super::segment::{OWNER_POOL, Segment, SegmentRef, SegmentStack};

/// The shortest window of the low-water mark, in moves to and from the pool.
const WINDOW_MIN: usize = 16;

/// The pool of free segments, the writer of the address index, and all descriptors.
pub(super) struct Growth {
    lock: SpinLock,
    state: UnsafeCell<State>,
    /// Segments mapped. Written under the lock.
    segments: AtomicUsize,
    /// Segments in the pool. Written under the lock.
    pooled: AtomicUsize,
    /// How many segments of the pool nobody needed during the last window.
    surplus: AtomicUsize,
}

pub(super) struct State {
    pub(super) index: IndexWriter,
    /// Segments whose slots are all free and that no thread has.
    pool: SegmentStack,
    /// The fewest segments that the pool had since the window began.
    low: usize,
    /// Moves to and from the pool since the window began.
    moves: usize,
    /// Descriptors without a segment.
    unused: SegmentStack,
    /// The descriptor made last; it leads to all others.
    newest: Option<NonNull<Segment>>,
}

// SAFETY: the state is reached under the lock only, and the rest is atomic. The descriptors it
// points to are reached by the rules of `SegmentRef`.
unsafe impl Send for Growth {}
// SAFETY: as above.
unsafe impl Sync for Growth {}

impl Growth {
    /// Without a segment.
    pub(super) fn new() -> Self {
        Self {
            lock: SpinLock::new(),
            state: UnsafeCell::new(State {
                index: IndexWriter::new(),
                pool: SegmentStack::new(),
                low: 0,
                moves: 0,
                unused: SegmentStack::new(),
                newest: None,
            }),
            segments: AtomicUsize::new(0),
            pooled: AtomicUsize::new(0),
            surplus: AtomicUsize::new(0),
        }
    }

    /// Runs `f` under the lock. `f` calls neither user code nor the heap nor this method.
    pub(super) fn locked<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let _guard = RawGuard::lock(&self.lock);
        self.state.with_mut(|state| {
            // SAFETY: this thread has the lock, and `f` does not come back.
            f(unsafe { &mut *state })
        })
    }

    /// Segments mapped.
    pub(super) fn segments(&self) -> usize {
        self.segments.load(Ordering::Relaxed)
    }

    /// A descriptor without a segment, if there is one. It is the caller's.
    pub(super) fn take_unused<'a>(&self) -> Option<SegmentRef<'a>> {
        self.locked(|state| {
            // SAFETY: descriptors live as long as the slab; those on this list belong to whoever
            // has the lock.
            unsafe { state.unused.pop() }
        })
    }

    /// Takes back a descriptor that has no segment and that nobody else knows.
    pub(super) fn put_unused(&self, segment: SegmentRef<'_>) {
        self.locked(|state| {
            // SAFETY: the caller gives the descriptor up to whoever has the lock.
            unsafe { state.unused.push(segment) };
        });
    }

    /// Takes in new descriptors, for good. The first stays the caller's to use.
    pub(super) fn adopt<'a>(&self, segments: impl Iterator<Item = SegmentRef<'a>>) {
        self.locked(|state| {
            for (index, segment) in segments.enumerate() {
                let older = state
                    .newest
                    // SAFETY: descriptors live as long as the slab.
                    .map(|newest| unsafe { SegmentRef::from_raw(newest) });
                // SAFETY: nobody else knows the descriptor yet.
                unsafe { segment.set_older(older) };
                state.newest = Some(segment.as_raw());
                if index > 0 {
                    // SAFETY: the descriptor is on no list, and whoever has the lock owns it.
                    unsafe { state.unused.push(segment) };
                }
            }
        });
    }

    /// Enters a new segment into the address index. What is left in `table` was not used.
    ///
    /// # Errors
    ///
    /// [`NeedsTable`] says how large a table to come back with.
    pub(super) fn enter(
        &self,
        index: &Index,
        segment: SegmentRef<'_>,
        table: &mut Option<OwnTable>,
    ) -> Result<(), NeedsTable> {
        self.locked(|state| {
            state.index.make_room(index, table)?;
            state.index.insert(index, segment);
            self.segments
                .store(state.index.segments(), Ordering::Relaxed);
            Ok(())
        })
    }

    /// Puts a segment into the pool: all its slots are free, it is on no list, and the caller owns
    /// it.
    pub(super) fn put(&self, segment: SegmentRef<'_>) {
        segment.set_owner(OWNER_POOL);
        self.locked(|state| {
            // SAFETY: the segment has just been given to the pool, whose segments belong to
            // whoever has the lock.
            unsafe { state.pool.push(segment) };
            let pooled = self.pooled.load(Ordering::Relaxed) + 1;
            self.pooled.store(pooled, Ordering::Relaxed);
            self.count_move(state, pooled);
        });
    }

    /// Takes a segment out of the pool.
    #[inline]
    pub(super) fn take<'a>(&self) -> Option<SegmentRef<'a>> {
        // Relaxed: a thread that does not see the last segment yet comes too early for it.
        if self.pooled.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.locked(|state| {
            let segment = self.pop(state)?;
            let pooled = self.pooled.load(Ordering::Relaxed);
            self.count_move(state, pooled);
            Some(segment)
        })
    }

    /// Takes a segment out of the pool and the address index. What is left of it is the
    /// caller's.
    pub(super) fn take_out<'a>(&self, index: &Index) -> Option<SegmentRef<'a>> {
        self.locked(|state| {
            let segment = self.pop(state)?;
            state.low = state.low.min(self.pooled.load(Ordering::Relaxed));
            state.index.remove(index, segment);
            self.segments
                .store(state.index.segments(), Ordering::Relaxed);
            Some(segment)
        })
    }

    fn pop<'a>(&self, state: &mut State) -> Option<SegmentRef<'a>> {
        // SAFETY: descriptors live as long as the slab; the pool's segments belong to whoever has
        // the lock.
        let segment = unsafe { state.pool.pop() }?;
        let pooled = self.pooled.load(Ordering::Relaxed) - 1;
        self.pooled.store(pooled, Ordering::Relaxed);
        Some(segment)
    }

    /// Counts a move to or from the pool, and at the end of a window says how many of the
    /// segments that the pool never ran below are too many: half of them.
    ///
    /// A window is long enough for every segment to leave the pool and come back, so a program
    /// that fills and empties the slab again and again has no surplus.
    fn count_move(&self, state: &mut State, pooled: usize) {
        state.low = state.low.min(pooled);
        state.moves += 1;
        if state.moves >= 2 * state.index.segments() + WINDOW_MIN {
            self.surplus.store(state.low.div_ceil(2), Ordering::Relaxed);
            state.moves = 0;
            state.low = pooled;
        }
    }

    /// How many segments the last window showed to be too many; asked once.
    #[inline]
    pub(super) fn take_surplus(&self) -> usize {
        if self.surplus.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.surplus.swap(0, Ordering::Relaxed)
    }

    /// Forgets the pool, before every segment is put into it.
    pub(super) fn clear_pool(&mut self) {
        self.locked(|state| state.pool = SegmentStack::new());
        self.pooled.store(0, Ordering::Relaxed);
    }
}

impl State {
    /// Every descriptor, the newest first.
    pub(super) fn descriptors<'a>(&self) -> impl Iterator<Item = SegmentRef<'a>> {
        // SAFETY: descriptors live as long as the slab.
        let newest = self
            .newest
            .map(|newest| unsafe { SegmentRef::from_raw(newest) });
        core::iter::successors(newest, |segment| segment.older())
    }

    /// The segments in the pool.
    pub(super) fn pool<'a>(&self) -> impl Iterator<Item = SegmentRef<'a>> {
        // SAFETY: whoever has a `State` has the lock, to whom the pool's segments belong; they
        // live as long as the slab.
        unsafe { self.pool.iter() }
    }
}
