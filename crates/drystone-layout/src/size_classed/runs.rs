//! Runs: how classes share one range on demand.
//!
//! A class that is dry takes a *run*, a few blocks at the cursor. Its runs double in size, up to
//! [`RUN_BYTES_MAX`] and to an eighth of what is left, so what a class holds unused is bounded
//! by what it uses. A class whose run is the newest extends it instead. The bytes that a run skips
//! to be aligned become blocks of the classes that are powers of two: nothing is lost.
//!
//! ```text
//!  start                         cursor           floor            end
//!   │ run      │skip│ run         │                │ records        │
//!   ┌──────────┬────┬─────────────┬────────────────┬───────┬────────┐
//!   │ 64 64 64 │8 16│ 96 96 96 96 │   never used   │ run 1 │ run 0  │
//!   └──────────┴────┴─────────────┴────────────────┴───────┴────────┘
//! ```
//!
//! The newest run is described in the allocator; each older one by a record at the end of the
//! range. The records serve inspection only: neither allocating nor freeing looks for a run.

use core::cell::Cell;
use core::ptr::NonNull;

use drystone_core::{AllocError, FixedRange, SizeClass};

use super::SizeClassed;
use super::class_table::GRANULE;
use crate::slab::slot_list::{Origin, SlotList, load, store};

/// The first run of a class has at least one block and otherwise this many bytes.
pub(super) const RUN_BYTES_MIN: usize = 512;

/// The longest run of more than one block, in bytes.
const RUN_BYTES_MAX: usize = 64 << 10;

/// A run: where it begins, with the bytes skipped for its alignment, and its class.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) class: usize,
}

const RECORD_BYTES: usize = size_of::<Run>();

/// The part of a range that no class has taken yet, and the list of runs.
#[derive(Debug)]
pub(super) struct SharedRange {
    /// The end of the newest run.
    pub(super) cursor: Cell<usize>,
    /// The newest record; `end` if there is none.
    pub(super) floor: Cell<usize>,
    /// The newest run, which has no record yet.
    pub(super) newest: Cell<Option<Run>>,
}

impl SharedRange {
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self {
            cursor: Cell::new(start),
            floor: Cell::new(end),
            newest: Cell::new(None),
        }
    }

    /// Forgets every run.
    pub(super) fn clear(&self, start: usize, end: usize) {
        self.cursor.set(start);
        self.floor.set(end);
        self.newest.set(None);
    }
}

impl<B: FixedRange, const CLASSES: usize> SizeClassed<B, CLASSES> {
    /// Takes or extends a run for `class`, whose bytes are used up, and cuts its first block.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the range is exhausted or cannot be committed; nothing has changed then.
    pub(super) fn take_run(&self, shared: &SharedRange, class: usize) -> Result<usize, AllocError> {
        let stride = self.sizes[class];
        let list = &self.classes[class].slots;
        let cursor = shared.cursor.get();
        let newest = shared.newest.get();
        let older = newest.filter(|run| run.class != class);
        let extends = newest.is_some() && older.is_none();

        let first = if extends {
            cursor
        } else {
            self.align_offset(cursor, class).ok_or(AllocError)?
        };
        let record = if older.is_some() { RECORD_BYTES } else { 0 };
        let room = shared.floor.get().saturating_sub(first);
        let room = room.saturating_sub(record);
        if room < stride {
            return Err(AllocError);
        }
        let run_bytes = self.classes[class].run_bytes.get();
        let slots = (run_bytes.min(room / 8) / stride).max(1);
        let end = self.commit_run(cursor, first, slots, stride)?;

        if let Some(run) = older {
            self.write_record(shared, run)?;
        }
        if !extends {
            let start = cursor;
            shared.newest.set(Some(Run { start, class }));
            self.donate(start, first);
        }
        shared.cursor.set(end);
        list.set_carve(first, end);
        let doubled = (run_bytes * 2).min(RUN_BYTES_MAX);
        self.classes[class].run_bytes.set(doubled);
        list.carve(stride).ok_or(AllocError)
    }

    /// Commits a run of `slots` blocks, or of one where memory is short, and returns its end.
    fn commit_run(
        &self,
        cursor: usize,
        first: usize,
        slots: usize,
        stride: usize,
    ) -> Result<usize, AllocError> {
        let end = first + slots * stride;
        if !self.backing.commits_on_demand() || self.backing.commit(cursor, end - cursor).is_ok() {
            return Ok(end);
        }
        let end = first + stride;
        self.backing.commit(cursor, end - cursor)?;
        Ok(end)
    }

    /// Describes `run` at the end of the range. There is room: the caller has reserved it.
    fn write_record(&self, shared: &SharedRange, run: Run) -> Result<(), AllocError> {
        let floor = shared.floor.get() - RECORD_BYTES;
        if self.backing.commits_on_demand() {
            self.backing.commit(floor, RECORD_BYTES)?;
        }
        // SAFETY: the caller took the record off the room before it chose the run, so the record
        // lies in the range above the end of the run; its bytes are committed and hold nothing.
        unsafe { store(self.pointer(floor), 1, run) };
        shared.floor.set(floor);
        Ok(())
    }

    /// Gives the skipped bytes `from .. to` to the classes of the pieces that they fall into.
    fn donate(&self, from: usize, to: usize) {
        for (offset, class) in self.pieces(from, to) {
            let slots = &self.classes[class].slots;
            // SAFETY: the piece is in the range, committed with the run, belongs to nobody and is
            // a multiple of the granule in size and place.
            unsafe { slots.push(Origin::of(&self.backing), offset, GRANULE) };
        }
    }

    /// The blocks that the skipped bytes `from .. to` fall into: offset and class.
    pub(super) fn pieces(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut offset = from;
        core::iter::from_fn(move || {
            let left = to.checked_sub(offset)?;
            // The largest power of two that starts aligned here and ends in time.
            let class = (GRANULE.ilog2()..=SizeClass::SIZE_MAX.ilog2())
                .rev()
                .map(|log2| 1usize << log2)
                .filter(|&size| size <= left)
                .filter_map(SizeClass::from_size)
                .map(SizeClass::index)
                .find(|&class| self.align_offset(offset, class) == Some(offset))?;
            let piece = (offset, class);
            offset += self.sizes[class];
            Some(piece)
        })
    }

    /// The runs of a shared range with their ends, newest first, so in falling order of address.
    pub(super) fn runs(&self, shared: &SharedRange) -> impl Iterator<Item = (Run, usize)> {
        let mut end = shared.cursor.get();
        let records = (shared.floor.get()..self.end).step_by(RECORD_BYTES);
        let older = records.map(|offset| {
            // SAFETY: a record was written at each of these offsets.
            unsafe { load::<Run>(self.pointer(offset), 1) }
        });
        shared
            .newest
            .get()
            .into_iter()
            .chain(older)
            .map(move |run| {
                let run_end = end;
                end = run.start;
                (run, run_end)
            })
    }

    /// A pointer to `offset` in the range.
    #[inline]
    pub(super) fn pointer(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.end);
        // SAFETY: every offset in use lies in the range.
        unsafe { self.backing.base().add(offset) }
    }
}

/// The free blocks of one class, and how long its next run is.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) slots: SlotList,
    pub(super) run_bytes: Cell<usize>,
}

impl Class {
    pub(super) const fn new(carved: usize, ready: usize) -> Self {
        Self {
            slots: SlotList::new(carved, ready),
            run_bytes: Cell::new(RUN_BYTES_MIN),
        }
    }
}
