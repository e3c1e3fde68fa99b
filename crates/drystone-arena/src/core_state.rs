//! [`Core`]: what the heaps of an arena share: its segments, its orphans and its limit.
//!
//! # What
//!
//! Heaps come here for segments, and when a thread begins or ends; blocks with a mapping of their
//! own come straight from here.
//!
//! # Invariants
//!
//! - C1: a segment is a heap's, or idle and in the list of idle ones.
//! - C2: every heap of the arena is in the list of heaps, and an orphan exactly while no thread has
//!   it.
//! - C3: `charged` is the bytes of all runs and huge blocks, of kept ones as well, never above `limit`.
//!   Whoever finds no room has the kept ones unmapped before it says so.
//!
//! # Threads
//!
//! A spin lock over lists, held for a few dozen instructions; statistics hold it for a look at every
//! segment, and the request for huge pages for a system call on every range. Mapping and unmapping are
//! outside.

use core::cell::UnsafeCell;
use core::ptr;

use std::time::Instant;

use drystone_core::{AllocError, NonZeroLayout, OsError};
use drystone_sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use drystone_sync::{RawGuard, RawLock as _, SpinLock};

use crate::config::ArenaConfig;
use crate::fill::Fill;
use crate::geometry::{SEGMENT_BYTES, SLICE_BYTES};
use crate::heap::Heap;
use crate::level::Level;
use crate::orphans::Orphans;
use crate::segment::Segment;
use crate::segment_map;
use crate::source::{Range, Source};
use crate::stats::Sums;

use huge::HUGE_KEPT_MAX;

mod huge;

/// The most segments that are reserved at once.
const RESERVE_MAX: usize = 32;

/// Heaps without a thread that are tidied before a range is mapped.
const TIDIED_MAX: usize = 4;

/// Idle segments that keep their memory until the delay is over.
const IDLE_DIRTY_MAX: usize = 16;

/// Idle segments that stay mapped after that.
const IDLE_SEGMENTS_MIN: usize = 2;

/// The shared part of an arena.
pub struct Core {
    lock: SpinLock,
    state: UnsafeCell<State>,
    source: Source,
    level: Level,
    config: ArenaConfig,
    charged: AtomicUsize,
    mapped: AtomicUsize,
    huge_pages: AtomicBool,
    advice_refused: AtomicUsize,
    guards_refused: AtomicUsize,
    /// What free blocks of a hardened arena are filled with; 0 before its first heap.
    fill: AtomicUsize,
}

/// What the lock guards.
struct State {
    /// Segments that no heap has.
    idle: *const Segment,
    /// Heaps that no thread has.
    orphans: Orphans<Heap>,
    heaps: *const Heap,
    /// The first segments of all ranges, and the headers of huge blocks.
    ranges: *const Segment,
    /// Segments that were ever taken from the source and not given back.
    reserved: usize,
    idle_count: usize,
    /// Huge blocks that nobody has, oldest first, and how many they are.
    kept: [*const Segment; HUGE_KEPT_MAX],
    kept_len: usize,
    kept_bytes: usize,
    /// When the last purge was.
    purged_at: Option<Instant>,
}

// SAFETY: the state is only used under the lock, and the pointers in it are to memory that belongs
// to the arena and may be used on any thread.
unsafe impl Send for Core {}
// SAFETY: as above.
unsafe impl Sync for Core {}

impl Core {
    pub(crate) const fn new(source: Source, level: Level, config: ArenaConfig) -> Self {
        Self {
            lock: SpinLock::INIT,
            state: UnsafeCell::new(State {
                idle: ptr::null(),
                orphans: Orphans::NONE,
                heaps: ptr::null(),
                ranges: ptr::null(),
                reserved: 0,
                idle_count: 0,
                kept: [ptr::null(); HUGE_KEPT_MAX],
                kept_len: 0,
                kept_bytes: 0,
                purged_at: None,
            }),
            source,
            level,
            config,
            charged: AtomicUsize::new(0),
            mapped: AtomicUsize::new(0),
            huge_pages: AtomicBool::new(false),
            advice_refused: AtomicUsize::new(0),
            guards_refused: AtomicUsize::new(0),
            fill: AtomicUsize::new(0),
        }
    }

    #[inline]
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Draws the fill of the arena, unless that was done.
    pub(crate) fn draw_fill(&self) {
        if self.fill.load(Ordering::Relaxed) == 0 {
            let word = Fill::draw().word();
            // Relaxed: of two threads, the first has drawn.
            let _drawn = self
                .fill
                .compare_exchange(0, word, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The fill of a hardened arena.
    #[inline]
    pub(crate) fn fill(&self) -> Fill {
        // Relaxed: who has a block got it after the fill was drawn.
        let word = self.fill.load(Ordering::Relaxed);
        debug_assert_ne!(word, 0);
        Fill::from_word(word)
    }

    /// The system has left a guard, or memory that nothing is in, accessible.
    #[cold]
    pub(crate) fn count_refused_guard(&self) {
        self.guards_refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn guards_refused(&self) -> usize {
        self.guards_refused.load(Ordering::Relaxed)
    }

    fn locked<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let _guard = RawGuard::lock(&self.lock);
        // SAFETY: the lock is held, and `f` cannot reach the state in another way.
        f(unsafe { &mut *self.state.get() })
    }

    /// Keeps other threads out, so that a child process finds the state whole.
    pub(crate) fn lock_for_fork(&self) {
        self.lock.lock();
    }

    /// # Safety
    ///
    /// After [`lock_for_fork`](Self::lock_for_fork), once in each process.
    pub(crate) unsafe fn unlock_after_fork(&self) {
        // SAFETY: the thread that forked took the lock, and is the one that calls this.
        unsafe { self.lock.unlock() };
    }

    /// Asks for huge pages, for what is mapped already and for all that will be.
    pub(crate) fn advise_huge_pages(&self) -> Result<(), OsError> {
        self.huge_pages.store(true, Ordering::Relaxed);
        self.locked(|state| {
            let mut next = state.ranges;
            // SAFETY: ranges in the list are live, and stay so under the lock.
            while let Some(first) = unsafe { next.as_ref() } {
                first.reservation().range().advise_huge_pages()?;
                next = first.reservation().next.get();
            }
            Ok(())
        })
    }

    /// A range from the source.
    fn range(&self, layout: NonZeroLayout) -> Result<Range, AllocError> {
        let range = self.source.range(layout)?;
        // Relaxed: a late answer leaves a range without advice, as if it had been mapped before.
        if self.huge_pages.load(Ordering::Relaxed) && range.advise_huge_pages().is_err() {
            self.advice_refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok(range)
    }

    /// How many ranges the system refused to advise.
    pub(crate) fn advice_refused(&self) -> usize {
        self.advice_refused.load(Ordering::Relaxed)
    }

    /// Reserves bytes under the limit.
    #[must_use]
    pub(crate) fn charge(&self, bytes: usize) -> Option<()> {
        self.charged
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |charged| {
                charged
                    .checked_add(bytes)
                    .filter(|charged| *charged <= self.limit())
            })
            .ok()
            .map(drop)
    }

    pub(crate) fn uncharge(&self, bytes: usize) {
        let before = self.charged.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "C3");
    }

    pub(crate) fn config(&self) -> &ArenaConfig {
        &self.config
    }

    /// The most that may be charged.
    pub(crate) fn limit(&self) -> usize {
        self.config.arena_size
    }

    /// What may still be charged.
    pub(crate) fn remaining(&self) -> usize {
        self.limit() - self.charged_bytes().min(self.limit())
    }

    /// A segment for the calling heap.
    pub(crate) fn segment(&self) -> Option<&Segment> {
        self.idle_segment()
            .or_else(|| {
                self.tidy_orphans(TIDIED_MAX, Heap::drain);
                self.idle_segment()
            })
            .or_else(|| self.reserve())
    }

    /// Does something with up to `most` heaps that no thread has, those first that have waited longest for
    /// it.
    fn tidy_orphans(&self, most: usize, tidy: impl Fn(&Heap)) {
        for _ in 0..most {
            let Some(heap) = self.locked(|state| state.orphans.pop()) else {
                return;
            };
            tidy(heap);
            // SAFETY: heaps live as long as the arena, and this one was taken out above.
            self.locked(|state| unsafe { state.orphans.push_last(heap) });
        }
    }

    /// Gives back all memory that can be had without asking a thread: of idle segments, of huge blocks that
    /// are kept, and of heaps that no thread has. The bytes that were unmapped.
    pub(crate) fn trim(&self) -> usize {
        let before = self.mapped_bytes();
        let orphans = self.locked(|state| state.orphans.len());
        self.tidy_orphans(orphans, |heap| {
            heap.drain();
            heap.release_all();
        });
        self.unmap_kept(State::pop_kept);
        self.sweep_idle(0, |segment| {
            segment.release_slices();
            true
        });
        before.saturating_sub(self.mapped_bytes())
    }

    /// Makes room after a refusal: with what idle threads and kept blocks have.
    pub(crate) fn make_room(&self) {
        let orphans = self.locked(|state| state.orphans.len());
        self.tidy_orphans(orphans, Heap::drain);
        self.unmap_kept(State::pop_kept);
        self.sweep_idle(0, |_| true);
    }

    /// Gives back what has been idle since the last call: the memory of idle segments, ranges of
    /// them, and huge blocks that are kept.
    ///
    /// Nothing if that was less than the delay ago.
    pub(crate) fn purge(&self, now: Instant) {
        let due = self.locked(|state| {
            let last = state.purged_at.replace(now);
            let due = last
                .is_none_or(|last| now.saturating_duration_since(last) >= self.config.purge_delay);
            if !due {
                state.purged_at = last;
            }
            due
        });
        if !due {
            return;
        }
        self.tidy_orphans(TIDIED_MAX, |heap| {
            heap.drain();
            heap.release_aged();
        });
        self.unmap_kept(State::pop_aged_kept);
        self.locked(State::age_kept);
        self.sweep_idle(IDLE_SEGMENTS_MIN, |segment| {
            segment.release_aged();
            !segment.is_dirty()
        });
    }

    /// Asks of each idle segment whether it may go, and unmaps ranges of which all may while at least
    /// `keep` other segments are idle.
    fn sweep_idle(&self, keep: usize, may_go: impl Fn(&Segment) -> bool) {
        let mut left = self.locked(|state| state.idle_count);
        while left > 0 {
            left -= 1;
            let Some(segment) = self.idle_segment_at_the_back() else {
                return;
            };
            let may_go = may_go(segment);
            let gone = self.locked(|state| {
                state.link_idle(segment);
                may_go
                    .then(|| state.take_whole_range(segment, keep))
                    .flatten()
            });
            if let Some(first) = gone {
                left = left.saturating_sub(first.reservation().segments.get() - 1);
                self.unmap(first);
            }
        }
    }

    /// The idle segment that has waited longest.
    fn idle_segment_at_the_back(&self) -> Option<&Segment> {
        self.locked(|state| {
            // SAFETY: segments in the list are live (C1).
            let mut segment = unsafe { state.idle.as_ref() }?;
            // SAFETY: as above.
            while let Some(next) = unsafe { segment.next().get().as_ref() } {
                segment = next;
            }
            state.unlink_idle(segment);
            Some(segment)
        })
    }

    fn idle_segment(&self) -> Option<&Segment> {
        self.locked(|state| {
            // SAFETY: segments in the list are live (C1).
            let segment = unsafe { state.idle.as_ref() }?;
            state.unlink_idle(segment);
            Some(segment)
        })
    }

    /// Takes a new range from the source; all but its first segment become idle.
    fn reserve(&self) -> Option<&Segment> {
        let wanted = self.locked(|state| state.reserved);
        let mut count = if self.source.is_os() {
            wanted.clamp(1, RESERVE_MAX)
        } else {
            1
        };
        let range = loop {
            let layout =
                NonZeroLayout::from_size_align(count * SEGMENT_BYTES, SEGMENT_BYTES).ok()?;
            match self.range(layout) {
                Ok(range) => break range,
                Err(_) if count > 1 => count /= 2,
                Err(_) => return None,
            }
        };
        self.split(range, count)
    }

    fn split(&self, range: Range, count: usize) -> Option<&Segment> {
        let base = range.base();
        let zeroed = range.is_zeroed();
        for index in 0..count {
            // SAFETY: the range has `count` segments.
            let start = unsafe { base.add(index * SEGMENT_BYTES) };
            if !zeroed {
                // SAFETY: the range is new, and has the header and the block bits.
                unsafe { start.write_bytes(0, self.level.header_slices() * SLICE_BYTES) };
            }
            // SAFETY: the pointer of the range; its segments are removed before it goes.
            if unsafe { segment_map::enter(start, 1) }.is_err() {
                for index in 0..index {
                    // SAFETY: the range has `count` segments.
                    segment_map::remove(unsafe { base.add(index * SEGMENT_BYTES) }, 1);
                }
                return None;
            }
        }
        self.mapped
            .fetch_add(count * SEGMENT_BYTES, Ordering::Relaxed);
        let segment_of = |index: usize| {
            // SAFETY: the segment was entered above, and its header is zero, which is valid.
            unsafe { Segment::of(base.addr().get() + index * SEGMENT_BYTES) }
        };
        let first = segment_of(0);
        first.reservation().begin(self, first, range, count);
        for index in 0..count {
            let segment = segment_of(index);
            segment.begin(self.level.header_slices(), zeroed);
            if index > 0 {
                segment.reservation().join(first);
            }
            if self.level.is_hardened() && self.source.is_os() {
                // A far write hits nothing that is not in use.
                segment.bar_free(|| self.count_refused_guard());
            }
            let end = segment.address() + SEGMENT_BYTES;
            segment_map::publish(segment.base(), 1, self, end);
        }
        self.locked(|state| {
            state.reserved += count;
            state.link_range(first);
            for index in 1..count {
                state.link_idle(segment_of(index));
            }
        });
        Some(first)
    }

    /// Takes back a segment of which nothing is in use. Its memory goes back after the delay, or now
    /// if many are idle.
    pub(crate) fn put_idle(&self, segment: &Segment) {
        debug_assert!(segment.is_idle(), "C1");
        if self.locked(|state| state.idle_count) >= IDLE_DIRTY_MAX {
            segment.release_slices();
        }
        let gone = self.locked(|state| {
            state.link_idle(segment);
            state.take_whole_range(segment, IDLE_DIRTY_MAX)
        });
        if let Some(first) = gone {
            self.unmap(first);
        }
    }

    /// Gives a range back that is in no list.
    fn unmap(&self, first: &Segment) {
        let count = first.reservation().segments.get();
        let base = first.base();
        // SAFETY: nothing in the range is in use or in a list, and this happens once.
        let range = unsafe { first.reservation().take_range() };
        for index in 0..count {
            // SAFETY: the range has `count` segments.
            segment_map::remove(unsafe { base.add(index * SEGMENT_BYTES) }, 1);
        }
        self.mapped
            .fetch_sub(count * SEGMENT_BYTES, Ordering::Relaxed);
        drop(range);
    }

    /// A heap for the calling thread: an orphan with all it has, or a new one.
    pub(crate) fn heap(&self) -> Option<&Heap> {
        let adopted = self.locked(|state| state.orphans.pop());
        adopted
            .inspect(|heap| heap.begin_delay())
            .or_else(|| self.new_heap())
    }

    fn new_heap(&self) -> Option<&Heap> {
        let segment = self.segment()?;
        segment.reservation().make_home();
        let heap = segment.home();
        heap.begin(self);
        segment.set_owner(heap.as_mut_ptr());
        heap.open(segment);
        self.locked(|state| {
            heap.next_heap.set(state.heaps);
            state.heaps = heap;
        });
        Some(heap)
    }

    /// Takes back the heap of a thread that ends.
    pub(crate) fn put_orphan(&self, heap: &Heap) {
        // SAFETY: heaps live as long as the arena, and the thread had it.
        self.locked(|state| unsafe { state.orphans.push(heap) });
    }

    /// What all segments, large blocks and heaps have.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.locked(|state| {
            let mut next = state.ranges;
            // SAFETY: ranges in the list are live, and stay so under the lock.
            while let Some(first) = unsafe { next.as_ref() } {
                next = first.reservation().next.get();
                self.add_range(first, &mut sums);
            }
            let mut next = state.heaps;
            // SAFETY: heaps live as long as the arena.
            while let Some(heap) = unsafe { next.as_ref() } {
                next = heap.next_heap.get();
                sums.add_cached(heap.cached().1 + heap.staged_bytes());
            }
        });
        sums
    }

    fn add_range(&self, first: &Segment, sums: &mut Sums) {
        let record = first.reservation();
        if record.huge_capacity.get() > 0 {
            let bytes = record.huge_bytes.get();
            return sums.add_huge(bytes, record.huge_capacity.get(), record.is_huge_live());
        }
        for index in 0..record.segments.get() {
            // SAFETY: the segments of a range lie side by side, and live as long as it.
            let segment = unsafe { Segment::of(first.address() + index * SEGMENT_BYTES) };
            sums.add_segment(segment, self.level.header_slices());
        }
    }

    /// The bytes mapped from the source.
    pub(crate) fn mapped_bytes(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    /// The bytes of runs and of huge blocks that somebody has.
    pub(crate) fn charged_bytes(&self) -> usize {
        let kept = self.kept_charge();
        self.charged.load(Ordering::Relaxed).saturating_sub(kept)
    }
}

impl Drop for Core {
    /// Gives every range back. Nothing of the arena is used any more.
    fn drop(&mut self) {
        let mut next = self.state.get_mut().ranges;
        // SAFETY: ranges in the list are live.
        while let Some(first) = unsafe { next.as_ref() } {
            next = first.reservation().next.get();
            if first.reservation().huge_bytes.get() > 0 {
                self.unmap_huge(first);
            } else {
                self.unmap(first);
            }
        }
    }
}

impl State {
    fn link_range(&mut self, first: &Segment) {
        let next = self.ranges;
        first.reservation().next.set(next);
        first.reservation().previous.set(ptr::null());
        // SAFETY: ranges in the list are live.
        if let Some(next) = unsafe { next.as_ref() } {
            next.reservation().previous.set(first);
        }
        self.ranges = first;
    }

    fn unlink_range(&mut self, first: &Segment) {
        let record = first.reservation();
        let (previous, next) = (record.previous.get(), record.next.get());
        // SAFETY: ranges in the list are live.
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.reservation().next.set(next),
            None => self.ranges = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.reservation().previous.set(previous);
        }
    }

    fn link_idle(&mut self, segment: &Segment) {
        let next = self.idle;
        segment.next().set(next);
        segment.previous().set(ptr::null());
        // SAFETY: segments in the list are live (C1).
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous().set(segment);
        }
        self.idle = segment;
        self.idle_count += 1;
        let idle = &segment.reservation().first().reservation().idle;
        idle.set(idle.get() + 1);
    }

    fn unlink_idle(&mut self, segment: &Segment) {
        let (previous, next) = (segment.previous().get(), segment.next().get());
        // SAFETY: segments in the list are live (C1).
        match unsafe { previous.as_ref() } {
            Some(previous) => previous.next().set(next),
            None => self.idle = next,
        }
        // SAFETY: as above.
        if let Some(next) = unsafe { next.as_ref() } {
            next.previous().set(previous);
        }
        self.idle_count -= 1;
        let idle = &segment.reservation().first().reservation().idle;
        idle.set(idle.get() - 1);
    }

    /// Takes all segments of this one's range out of the list, if all are idle and enough others
    /// are. The first of them.
    fn take_whole_range<'a>(&mut self, segment: &'a Segment, keep: usize) -> Option<&'a Segment> {
        let first = segment.reservation().first();
        let count = first.reservation().segments.get();
        if first.reservation().idle.get() < count || self.idle_count < count + keep {
            return None;
        }
        for index in 0..count {
            // SAFETY: the segments of a range lie side by side, and all are idle, hence live.
            self.unlink_idle(unsafe { Segment::of(first.address() + index * SEGMENT_BYTES) });
        }
        self.reserved -= count;
        self.unlink_range(first);
        Some(first)
    }
}
