//! Blocks with a mapping of their own, and the few of them that are kept for the next.
//!
//! ```text
//!  range   │ header's segment ... │ block, at its alignment │
//!  kept    oldest, ..., newest    at most 16, and 64 MiB together
//! ```

use core::ptr::NonNull;

use drystone_core::{NonZeroLayout, Protection};
use drystone_sync::atomic::Ordering;

use super::{Core, State};
use crate::geometry::{LARGE_MAX, SEGMENT_BYTES, SLICE_BYTES, segment_address};
use crate::segment::{HEADER_BYTES, Segment};
use crate::segment_map;
use crate::source::Range;

/// Huge blocks that are kept for the next request, and how many bytes they may have in all.
pub(super) const HUGE_KEPT_MAX: usize = 16;
const HUGE_KEPT_BYTES_MAX: usize = 64 << 20;

impl Core {
    /// A block with a mapping of its own, and whether it has only zero bytes.
    pub(crate) fn allocate_huge(&self, layout: NonZeroLayout) -> Option<(NonNull<u8>, bool)> {
        debug_assert!(layout.size().get() > LARGE_MAX || layout.align().get() > LARGE_MAX);
        let align = layout.align().get().max(SLICE_BYTES);
        let bytes = layout.size().get().checked_next_multiple_of(SLICE_BYTES)?;
        self.kept_huge(bytes, align)
            .map(|block| (block, false))
            .or_else(|| self.charged_huge(bytes, align))
    }

    fn charged_huge(&self, bytes: usize, align: usize) -> Option<(NonNull<u8>, bool)> {
        self.charge(bytes)?;
        let block = self.map_huge(bytes, align);
        if block.is_none() {
            self.uncharge(bytes);
        }
        block
    }

    fn map_huge(&self, bytes: usize, align: usize) -> Option<(NonNull<u8>, bool)> {
        let total = bytes.checked_add(align)?.checked_add(self.guard_bytes())?;
        let layout = NonZeroLayout::from_size_align(total, align.max(SEGMENT_BYTES)).ok()?;
        let range = self.range(layout).ok()?;
        let zeroed = range.is_zeroed();
        // SAFETY: the range has `align` bytes before the block.
        let block = unsafe { range.base().add(align) };
        let header = segment_address(block.addr().get()) - range.base().addr().get();
        // SAFETY: the header's segment begins in the range, before the block.
        let header = unsafe { range.base().add(header) };
        if !zeroed {
            // SAFETY: the header lies before the block.
            unsafe { header.write_bytes(0, HEADER_BYTES) };
        }
        self.bar_huge_guard(&range, align + bytes);
        let end = range.base().addr().get() + total;
        let segments = segments_between(header, end);
        // SAFETY: the pointer of the range; removed before it goes.
        unsafe { segment_map::enter(header, segments) }.ok()?;
        // SAFETY: the segment was entered, and its header is zero, which is valid.
        let segment = unsafe { Segment::of(header.addr().get()) };
        segment.reservation().begin(self, segment, range, 0);
        segment.reservation().huge_bytes.set(bytes);
        segment.reservation().huge_capacity.set(bytes);
        segment.reservation().huge_start.set(block.as_ptr());
        segment.reservation().set_huge_live(true);
        segment_map::publish(header, segments, self, end);
        self.mapped.fetch_add(total, Ordering::Relaxed);
        self.locked(|state| state.link_range(segment));
        Some((block, zeroed))
    }

    /// What is behind a huge block.
    fn guard_bytes(&self) -> usize {
        if self.level().is_hardened() {
            SLICE_BYTES
        } else {
            0
        }
    }

    fn bar_huge_guard(&self, range: &Range, offset: usize) {
        if self.guard_bytes() == 0 {
            return;
        }
        // SAFETY: nothing is behind the block.
        if !unsafe { range.set_access(offset, self.guard_bytes(), Protection::None) } {
            self.count_refused_guard();
        }
    }

    /// Moves the first `bytes` of a huge block to another one, whose pages are new: by moving the
    /// pages. Whether it could; nothing has changed otherwise.
    ///
    /// # Safety
    ///
    /// Both blocks have so many bytes, the segment is the header of the block that is moved, nobody
    /// else uses either, and the old one's bytes are not read again.
    pub(crate) unsafe fn move_huge(&self, from: &Segment, to: NonNull<u8>, bytes: usize) -> bool {
        // SAFETY: the header of a live huge block.
        let header = unsafe { Segment::of(segment_address(to.addr().get())) };
        let offset_in = |range: &Range, address: usize| address - range.base().addr().get();
        let (new, old) = (header.reservation().range(), from.reservation().range());
        let start = from.reservation().huge_start.get().addr();
        // SAFETY: huge blocks are whole slices, hence whole pages; the rest is the caller's promise.
        let moved = unsafe {
            new.move_from(
                offset_in(new, to.addr().get()),
                old,
                offset_in(old, start),
                bytes.next_multiple_of(SLICE_BYTES),
            )
        };
        if moved {
            from.reservation().huge_hollow.set(true);
        }
        moved
    }

    /// Makes a huge block larger or smaller where it is. Whether it could.
    pub(crate) fn resize_huge(&self, segment: &Segment, size: usize) -> bool {
        let record = segment.reservation();
        let have = record.huge_bytes.get();
        let Some(bytes) = size.checked_next_multiple_of(SLICE_BYTES) else {
            return false;
        };
        // The guard of a hardened arena stays where it is.
        if self.level().is_hardened() {
            return bytes == have;
        }
        // A block that has become much smaller goes elsewhere, so that its memory comes back.
        if bytes > record.huge_capacity.get() || bytes < record.huge_capacity.get() / 4 {
            return false;
        }
        if bytes > have && self.charge(bytes - have).is_none() {
            return false;
        }
        if bytes < have {
            self.uncharge(have - bytes);
            let range = record.range();
            let start = record.huge_start.get().addr() - range.base().addr().get();
            // SAFETY: the end of the block, which its owner gives up.
            unsafe { range.release(start + bytes, have - bytes) };
        }
        record.huge_bytes.set(bytes);
        true
    }

    /// A kept huge block that is large enough, and at most four times too large: it can grow in
    /// place then, and is taken back as a whole.
    fn kept_huge(&self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        self.locked(|state| {
            let place = state.kept().iter().rposition(|kept| {
                // SAFETY: kept blocks are live mappings of the arena.
                let record = unsafe { &**kept }.reservation();
                let capacity = record.huge_capacity.get();
                bytes <= capacity
                    && capacity / 4 <= bytes
                    && record.huge_start.get().addr() & (align - 1) == 0
            })?;
            // SAFETY: as above.
            let record = unsafe { &*state.kept()[place] }.reservation();
            // It is charged with what it had when it came back.
            let charged = record.huge_bytes.get();
            if bytes > charged {
                self.charge(bytes - charged)?;
            }
            if bytes < charged {
                self.uncharge(charged - bytes);
            }
            state.take_kept(place);
            record.huge_bytes.set(bytes);
            record.set_huge_live(true);
            NonNull::new(record.huge_start.get())
        })
    }

    /// Takes back a huge block. Whether somebody had it.
    ///
    /// # Safety
    ///
    /// The segment is the header of a huge block, and nobody uses the block.
    #[must_use]
    pub(crate) unsafe fn free_huge(&self, segment: &Segment) -> bool {
        let gone = self.locked(|state| {
            let record = segment.reservation();
            // Of two threads that free the block, one gets a yes.
            if !record.is_huge_live() {
                return None;
            }
            record.set_huge_live(false);
            // A hardened arena keeps none: what is accessed there afterwards faults.
            let gone = if self.level().is_hardened() {
                [Some(segment), None]
            } else {
                state.keep(segment)
            };
            for segment in gone.into_iter().flatten() {
                state.unlink_range(segment);
            }
            Some(gone)
        });
        let Some(gone) = gone else {
            return false;
        };
        for segment in gone.into_iter().flatten() {
            self.unmap_huge(segment);
        }
        true
    }

    /// The bytes that are charged for kept blocks.
    pub(super) fn kept_charge(&self) -> usize {
        self.locked(|state| {
            // SAFETY: kept blocks are live mappings of the arena.
            let bytes = |kept: &*const Segment| unsafe { &**kept }.reservation().huge_bytes.get();
            state.kept().iter().map(bytes).sum()
        })
    }

    /// Unmaps every kept block that `pop` takes out of the list.
    pub(super) fn unmap_kept(&self, pop: impl Fn(&mut State) -> Option<*const Segment>) {
        while let Some(kept) = self.locked(&pop) {
            // SAFETY: kept blocks are live mappings of the arena, and this one is in no list now.
            self.unmap_huge(unsafe { &*kept });
        }
    }

    /// Unmaps a block that nobody has, and that is in no list.
    pub(super) fn unmap_huge(&self, segment: &Segment) {
        let record = segment.reservation();
        self.uncharge(record.huge_bytes.get());
        let start = record.range().base().addr().get();
        let total = record.huge_start.get().addr() - start
            + record.huge_capacity.get()
            + self.guard_bytes();
        self.mapped.fetch_sub(total, Ordering::Relaxed);
        // SAFETY: nobody has the block, it is in no list, and this happens once.
        let range = unsafe { record.take_range() };
        segment_map::remove(
            segment.base(),
            segments_between(segment.base(), start + total),
        );
        drop(range);
    }
}

/// How many segments' sizes there are from the header to the end, the last of them in part.
fn segments_between(header: NonNull<u8>, end: usize) -> usize {
    (end - header.addr().get()).div_ceil(SEGMENT_BYTES)
}

impl State {
    /// The huge blocks that are kept, newest last.
    fn kept(&self) -> &[*const Segment] {
        &self.kept[..self.kept_len]
    }

    /// Takes out the newest of the huge blocks that are kept.
    pub(super) fn pop_kept(&mut self) -> Option<*const Segment> {
        let newest = self.kept_len.checked_sub(1)?;
        Some(self.unlink_kept(newest))
    }

    /// Takes out a huge block that was kept when [`age_kept`](Self::age_kept) was last called.
    pub(super) fn pop_aged_kept(&mut self) -> Option<*const Segment> {
        let place = self.kept().iter().position(|kept| {
            // SAFETY: kept blocks are live mappings of the arena.
            unsafe { &**kept }.reservation().huge_aged.get()
        })?;
        Some(self.unlink_kept(place))
    }

    fn unlink_kept(&mut self, place: usize) -> *const Segment {
        let kept = self.take_kept(place);
        // SAFETY: kept blocks are live mappings of the arena.
        self.unlink_range(unsafe { &*kept });
        kept
    }

    pub(super) fn age_kept(&mut self) {
        for kept in self.kept() {
            // SAFETY: kept blocks are live mappings of the arena.
            unsafe { &**kept }.reservation().huge_aged.set(true);
        }
    }

    /// Keeps a huge block for the next request of its size; gives those that must go to make room.
    fn keep<'a>(&mut self, segment: &'a Segment) -> [Option<&'a Segment>; 2] {
        let bytes = segment.reservation().huge_capacity.get();
        if bytes > HUGE_KEPT_BYTES_MAX || segment.reservation().huge_hollow.get() {
            return [Some(segment), None];
        }
        let is_full = |state: &Self| {
            state.kept_len == HUGE_KEPT_MAX || state.kept_bytes + bytes > HUGE_KEPT_BYTES_MAX
        };
        // The oldest one makes room, if the new one does not fit beside it.
        let mut gone = None;
        if is_full(self) {
            let oldest = self.take_kept(0);
            // SAFETY: kept blocks are live mappings of the arena.
            gone = Some(unsafe { &*oldest });
        }
        if is_full(self) {
            return [Some(segment), gone];
        }
        self.kept[self.kept_len] = segment;
        self.kept_len += 1;
        segment.reservation().huge_aged.set(false);
        self.kept_bytes += bytes;
        [gone, None]
    }

    fn take_kept(&mut self, place: usize) -> *const Segment {
        let kept = self.kept[place];
        self.kept_len -= 1;
        self.kept.copy_within(place + 1..=self.kept_len, place);
        // SAFETY: kept blocks are live mappings of the arena.
        self.kept_bytes -= unsafe { &*kept }.reservation().huge_capacity.get();
        kept
    }
}
