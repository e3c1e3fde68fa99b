//! Giving segments back: to the source, and at the end.

use super::*;

use descriptor::Mapped;
use drystone_core::Reset;
use protect::Findings;

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// Gives back to the source every segment of which no slot is in use and that the slab can
    /// get at; returns their bytes.
    ///
    /// It can get at the calling thread's segments, those of threads that have ended, and the pool.
    /// Another living thread keeps at most one segment whose slots are all free, what it has not
    /// collected yet of what others freed, and the segment that it allocates from.
    ///
    /// The descriptors, about 200 bytes and half a byte for each slot, stay for the segments that
    /// come next.
    pub fn trim(&self) -> usize {
        let Some(shape) = &self.shape else { return 0 };
        // A word goes back to its group, which may be another shard's: first all words, then
        // what they make free.
        self.each_reachable(|held| self.put_word_back(held));
        let mut findings = Findings::default();
        self.each_reachable(|held| {
            self.collect(held, &mut findings);
            if let Some(spare) = held.take_spare() {
                self.growth.put(spare);
            }
        });
        self.report_all(findings);
        let mut bytes = 0;
        while let Some(segment) = self.growth.take_out(&self.index) {
            self.give_back(segment, shape);
            bytes += shape.bytes();
        }
        bytes
    }

    /// Runs `f` with the calling thread's shard, with each that no living thread uses, and with the
    /// shared one.
    pub(super) fn each_reachable<'a>(&'a self, mut f: impl FnMut(Held<'a>)) {
        let own = self.own();
        if let Some(held) = own {
            f(held);
        }
        for (slot, shard) in self.shards.iter() {
            if own.is_some_and(|own| own.slot() == slot as u32) {
                continue;
            }
            if let Some(_visit) = shard.visit() {
                // SAFETY: the visit lasts while `f` runs.
                f(unsafe { Held::new(shard, slot as u32) });
            }
        }
        self.with_shared(f);
    }

    /// Puts the slots of the shard's word back into their group.
    fn put_word_back<'a>(&'a self, held: Held<'a>) {
        let Some(word) = held.take_word() else { return };
        if word.group.segment().owner() == held.slot() {
            self.put_back(held, word.group, word.slots);
        } else {
            self.send_home(word.group, word.slots);
        }
    }

    /// Gives back what the pool did not need for a while.
    #[inline]
    pub(super) fn give_back_surplus(&self, shape: &Shape) {
        for _ in 0..self.growth.take_surplus() {
            let Some(segment) = self.growth.take_out(&self.index) else {
                return;
            };
            self.give_back(segment, shape);
        }
    }

    /// Gives a segment back that is in no list and not in the index.
    pub(super) fn give_back(&self, segment: SegmentRef<'_>, shape: &Shape) {
        self.empty(segment, shape);
        self.growth.put_unused(segment);
    }

    /// Gives the memory of a segment back, if it has some; the descriptor stays.
    fn empty(&self, segment: SegmentRef<'_>, shape: &Shape) {
        // SAFETY: the descriptor is of this slab's types and shape; the callers have the segment
        // to themselves.
        let mapped = unsafe { descriptor::empty::<S::Segment, M>(segment, shape) };
        if let Some(Mapped { piece, protection }) = mapped {
            self.runs.put(piece);
            abort_on_unwind(|| drop(protection));
        }
    }
}

impl<T, M: FreelistProtection, S: SegmentSource> Reset for ExtendableSlab<T, M, S> {
    /// Frees every block. The segments stay, in the pool.
    fn reset(&mut self) {
        let Some(shape) = self.shape else { return };
        for (slot, shard) in self.shards.iter() {
            // SAFETY: nobody else uses the slab.
            unsafe { Held::new(shard, slot as u32) }.clear();
        }
        // SAFETY: as above.
        unsafe { Held::new(&self.shared, SHARED) }.clear();
        self.growth.clear_pool();
        let mut next = self.growth.locked(|state| state.descriptors().next());
        while let Some(segment) = next {
            next = segment.older();
            if !segment.base().is_null() {
                // SAFETY: the descriptor is of this slab's types and shape; every slot is free by
                // the exclusive borrow, and every list was forgotten.
                unsafe { descriptor::forget_slots::<S::Segment, M>(segment, &shape) };
                self.growth.put(segment);
            }
        }
    }
}

impl<T, M: FreelistProtection, S: SegmentSource> Drop for ExtendableSlab<T, M, S> {
    fn drop(&mut self) {
        let Some(shape) = self.shape else { return };
        let mut next = self.growth.locked(|state| state.descriptors().next());
        while let Some(segment) = next {
            next = segment.older();
            self.empty(segment, &shape);
            // SAFETY: the descriptor is of this slab's types and shape; nobody else uses the slab.
            unsafe { descriptor::destroy::<S::Segment, M>(segment, &shape) };
        }
        let index = &mut self.index;
        // SAFETY: nobody reads the index any more.
        self.growth
            .locked(|state| unsafe { state.index.destroy(index) });
    }
}
