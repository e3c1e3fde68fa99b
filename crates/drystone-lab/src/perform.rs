//! One step on one slot: the innermost code of a replay.
//!
//! # What
//! Calls the target, touches the block, keeps the slot, counts refusals. It allocates nothing.
//!
//! # Threads
//! Each thread has its own [`Performer`]; slots follow the rule of the slot table.

use std::hint::black_box;

use crate::program::{Step, op};
use crate::slots::Slot;
use crate::target::ReplayTarget;
use crate::touch::Touch;
use crate::watch::{Fault, Watch};

/// What one thread counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tally {
    /// Operations that a target was asked for.
    pub(crate) operations: u64,
    /// Refused, and would be refused at any time.
    pub(crate) refused_oversized: u64,
    /// Refused for want of space.
    pub(crate) refused_exhausted: u64,
    /// Operations on an object that was refused earlier.
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.refused_oversized += other.refused_oversized;
        self.refused_exhausted += other.refused_exhausted;
        self.skipped += other.skipped;
    }
}

/// Executes steps for one thread.
pub(crate) struct Performer<'a, T, W> {
    pub(crate) target: &'a T,
    pub(crate) watch: W,
    pub(crate) touch: Touch,
    pub(crate) page_bytes: usize,
    pub(crate) tally: Tally,
}

impl<T: ReplayTarget, W: Watch> Performer<'_, T, W> {
    /// Executes `step`. The caller holds the slot's turn.
    #[inline]
    pub(crate) fn perform(&mut self, step: &Step, slot: &Slot) -> Result<(), Fault> {
        match step.op {
            op::ALLOCATE => self.allocate(step, slot, false),
            op::ALLOCATE_ZEROED => self.allocate(step, slot, true),
            op::FREE => self.free(step, slot),
            op::REALLOCATE => self.reallocate(step, slot),
            _ => self.move_to_new_alignment(step, slot),
        }
    }

    #[inline]
    fn allocate(&mut self, step: &Step, slot: &Slot, zeroed: bool) -> Result<(), Fault> {
        let layout = step.layout();
        self.watch.before();
        let block = if zeroed {
            // SAFETY: a step's size is not 0.
            unsafe { self.target.allocate_zeroed(layout) }
        } else {
            // SAFETY: a step's size is not 0.
            unsafe { self.target.allocate(layout) }
        };
        self.watch.after();
        let block = black_box(block);
        self.tally.operations += 1;
        if block.is_null() {
            self.refuse(step);
            slot.clear();
            return Ok(());
        }
        // SAFETY: the target handed the block out for this layout, to this thread.
        unsafe { self.watch.allocated(step, block, layout, zeroed) }?;
        if W::TOUCHES {
            // SAFETY: the block is valid for its layout's size, which is not 0, and this thread's.
            unsafe { self.touch.write(block, 0, layout.size(), self.page_bytes) };
        }
        slot.fill(block, layout);
        self.watch.finished(step, signed(layout.size()));
        Ok(())
    }

    #[inline]
    fn free(&mut self, step: &Step, slot: &Slot) -> Result<(), Fault> {
        let block = slot.block();
        if block.is_null() {
            self.skip(step);
            return Ok(());
        }
        let layout = slot.layout();
        // SAFETY: the slot's block is live, of the slot's layout, and its turn is this thread's.
        unsafe { self.watch.leaving(step, block, layout) }?;
        slot.clear();
        self.watch.before();
        // SAFETY: as above; the slot forgot the block, so nobody uses it again.
        unsafe { self.target.deallocate(block, layout) };
        self.watch.after();
        self.tally.operations += 1;
        self.watch.finished(step, -signed(layout.size()));
        Ok(())
    }

    #[inline]
    fn reallocate(&mut self, step: &Step, slot: &Slot) -> Result<(), Fault> {
        let block = slot.block();
        if block.is_null() {
            self.skip(step);
            return Ok(());
        }
        let (old, new) = (slot.layout(), step.layout());
        // SAFETY: the slot's block is live, of the slot's layout, and its turn is this thread's.
        unsafe { self.watch.leaving(step, block, old) }?;
        self.watch.before();
        // SAFETY: as above; the new size with the same alignment is a step's layout.
        let moved = unsafe { self.target.reallocate(block, old, new.size()) };
        self.watch.after();
        let moved = black_box(moved);
        self.tally.operations += 1;
        if moved.is_null() {
            self.refuse(step);
            return Ok(());
        }
        slot.fill(moved, new);
        // SAFETY: the target resized the block to this layout, for this thread.
        unsafe { self.after_resize(step, moved, old, new) }
    }

    #[cold]
    fn move_to_new_alignment(&mut self, step: &Step, slot: &Slot) -> Result<(), Fault> {
        let block = slot.block();
        if block.is_null() {
            self.skip(step);
            return Ok(());
        }
        let (old, new) = (slot.layout(), step.layout());
        // SAFETY: the slot's block is live, of the slot's layout, and its turn is this thread's.
        unsafe { self.watch.leaving(step, block, old) }?;
        self.watch.before();
        // SAFETY: a step's size is not 0.
        let moved = unsafe { self.target.allocate(new) };
        self.tally.operations += 1;
        if moved.is_null() {
            self.watch.after();
            self.refuse(step);
            return Ok(());
        }
        if T::KEEPS_CONTENTS {
            let kept = old.size().min(new.size());
            // SAFETY: both blocks are live and at least `kept` bytes long, and they are disjoint.
            unsafe { moved.copy_from_nonoverlapping(block, kept) };
        }
        // SAFETY: the old block is live, of the slot's layout, and replaced below.
        unsafe { self.target.deallocate(block, old) };
        self.watch.after();
        slot.fill(moved, new);
        // SAFETY: the block is of this layout and holds the old one's first bytes.
        unsafe { self.after_resize(step, moved, old, new) }
    }

    /// # Safety
    /// `block` is live, of layout `new`, this thread's, and begins with the old block's bytes.
    #[inline]
    unsafe fn after_resize(
        &mut self,
        step: &Step,
        block: *mut u8,
        old: core::alloc::Layout,
        new: core::alloc::Layout,
    ) -> Result<(), Fault> {
        // SAFETY: the caller's promise.
        unsafe { self.watch.resized(step, block, old, new) }?;
        if W::TOUCHES && new.size() > old.size() {
            // SAFETY: the block is valid for its size; the old size is below it.
            unsafe {
                self.touch
                    .write(block, old.size(), new.size(), self.page_bytes);
            };
        }
        self.watch
            .finished(step, signed(new.size()) - signed(old.size()));
        Ok(())
    }

    #[cold]
    fn refuse(&mut self, step: &Step) {
        if self
            .target
            .refuses_from_bytes()
            .is_some_and(|bytes| step.layout().size() >= bytes)
        {
            self.tally.refused_oversized += 1;
        } else {
            self.tally.refused_exhausted += 1;
        }
        self.watch.refused(step);
        self.watch.finished(step, 0);
    }

    #[cold]
    fn skip(&mut self, step: &Step) {
        self.tally.skipped += 1;
        self.watch.finished(step, 0);
    }
}

/// Sizes of valid layouts fit.
fn signed(size: usize) -> i64 {
    size as i64
}
