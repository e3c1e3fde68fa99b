//! What a thread does when its word is empty.

use super::*;

use descriptor::Mapped;
use group::GroupRef;
use index::OwnTable;
use protect::Findings;
use shard::Word;

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// Allocates where the calling thread's word is empty, or has to be checked, or does not
    /// exist.
    #[inline(never)]
    pub(super) fn allocate_slowly(&self) -> Result<NonNull<u8>, AllocError> {
        let shape = self.shape.as_ref().ok_or(AllocError)?;
        loop {
            let (start, group) = self.take_slot(shape)?;
            if !Self::GUARDED || self.admit(shape, group, start) {
                return Ok(start);
            }
        }
    }

    /// Takes a slot from a word, a refilled one if need be.
    fn take_slot(&self, shape: &Shape) -> Result<(NonNull<u8>, GroupRef<'_>), AllocError> {
        if let Some(slot) = thread_slot() {
            self.shards.get_or_make(slot.index())?.take(slot);
        }
        let mut findings = Findings::default();
        let taken = self.with_held(|held| self.pop_or_refill(held, shape, &mut findings));
        self.report_all(findings);
        if let Some(taken) = taken {
            self.give_back_surplus(shape);
            return Ok(taken);
        }
        // The source is user code, so no lock is held and no state borrowed here.
        let segment = self.map()?;
        let mut findings = Findings::default();
        let taken = self.with_held(|held| {
            held.attach(segment);
            self.pop_or_refill(held, shape, &mut findings)
        });
        self.report_all(findings);
        taken.ok_or(AllocError)
    }

    /// Runs `f` with the calling thread's shard, or with the shared one under its lock.
    fn with_held<'a, R>(&'a self, f: impl FnOnce(Held<'a>) -> R) -> R {
        match self.own() {
            Some(held) => f(held),
            None => self.with_shared(f),
        }
    }

    fn pop_or_refill<'a>(
        &'a self,
        held: Held<'a>,
        shape: &Shape,
        findings: &mut Findings,
    ) -> Option<(NonNull<u8>, GroupRef<'a>)> {
        if held.word() == 0 {
            let word = self.next_word(held, shape, findings)?;
            held.set_word(word);
        }
        Some((held.pop(Self::STRIDE)?, held.group()?))
    }

    /// Slots to hand out next, from wherever there are free ones.
    fn next_word<'a>(
        &'a self,
        held: Held<'a>,
        shape: &Shape,
        findings: &mut Findings,
    ) -> Option<Word<'a>> {
        if let Some(word) = self.next_word_of(held, shape, findings) {
            return Some(word);
        }
        if let Some(segment) = self.growth.take() {
            held.attach(segment);
            return held.next_word(shape, Self::STRIDE);
        }
        self.word_of_others(held, shape, findings)
    }

    /// Slots of the shard's own segments.
    fn next_word_of<'a>(
        &'a self,
        held: Held<'a>,
        shape: &Shape,
        findings: &mut Findings,
    ) -> Option<Word<'a>> {
        if let Some(word) = held.next_word(shape, Self::STRIDE) {
            return Some(word);
        }
        self.collect(held, findings);
        if let Some(word) = held.next_word(shape, Self::STRIDE) {
            return Some(word);
        }
        if held.use_spare() {
            return held.next_word(shape, Self::STRIDE);
        }
        None
    }

    /// Takes in what other threads freed.
    pub(super) fn collect<'a>(&'a self, held: Held<'a>, findings: &mut Findings) {
        for group in held.take_pending() {
            if M::OCCUPANCY && findings.is_full() {
                // Left for the next time: it is off the list, and its slots are not collected.
                held.inbox().pending.push(group);
                continue;
            }
            let slots = group.take_remote();
            let free = group.free();
            if M::OCCUPANCY {
                findings.note(group, slots & free, Self::STRIDE);
            }
            if slots & !free != 0 {
                self.put_back(held, group, slots & !free);
            }
        }
    }

    /// Slots from a shard that no living thread uses.
    fn word_of_others<'a>(
        &'a self,
        held: Held<'a>,
        shape: &Shape,
        findings: &mut Findings,
    ) -> Option<Word<'a>> {
        let mut others = self
            .shards
            .iter()
            .filter(|(slot, shard)| *slot as u32 != held.slot() && shard.may_have_slots());
        let word = others.find_map(|(slot, shard)| self.visit(slot, shard, shape, findings));
        if word.is_some() || held.slot() == SHARED || !self.shared.may_have_slots() {
            return word;
        }
        self.with_shared(|shared| self.word_of(shared, shape, findings))
    }

    /// Takes a word out of the shard of `slot` if no living thread uses it.
    fn visit<'a>(
        &'a self,
        slot: usize,
        shard: &'a Shard,
        shape: &Shape,
        findings: &mut Findings,
    ) -> Option<Word<'a>> {
        let _visit = shard.visit()?;
        // SAFETY: the visit lasts until the end of the call.
        let visited = unsafe { Held::new(shard, slot as u32) };
        self.word_of(visited, shape, findings)
    }

    /// The word of a shard that is visited, or one of its segments' slots. The slots stay in
    /// their groups' segments, so they go back to the visited shard when they are freed.
    fn word_of<'a>(
        &'a self,
        visited: Held<'a>,
        shape: &Shape,
        findings: &mut Findings,
    ) -> Option<Word<'a>> {
        let word = visited
            .take_word()
            .or_else(|| self.next_word_of(visited, shape, findings));
        if word.is_none() {
            visited.set_dry();
        }
        word
    }

    /// Takes a new segment from the source and enters it into the index. No thread owns it yet.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is no such segment, or no memory for it or its bookkeeping; nothing
    /// has changed then.
    pub(super) fn map(&self) -> Result<SegmentRef<'_>, AllocError> {
        let shape = self.shape.as_ref().ok_or(AllocError)?;
        let piece = self.runs.take(shape.layout(), self.growth.segments())?;
        let protection = abort_on_unwind(|| (self.factory)());
        let segment = match self.descriptor(shape) {
            Ok(segment) => segment,
            Err(AllocError) => {
                self.runs.put(piece);
                return Err(AllocError);
            }
        };
        let mapped = Mapped { piece, protection };
        // SAFETY: the descriptor is of this slab's types and shape, has no segment, and belongs
        // to this thread.
        unsafe { descriptor::fill(segment, shape, mapped) };
        self.enter(segment, shape)?;
        Ok(segment)
    }

    /// A descriptor without a segment.
    fn descriptor(&self, shape: &Shape) -> Result<SegmentRef<'_>, AllocError> {
        if let Some(segment) = self.growth.take_unused() {
            return Ok(segment);
        }
        let count = (self.growth.segments() / runs::SHARE).clamp(1, runs::PIECES_MAX);
        let mut made = descriptor::create::<S::Segment, M>(shape, count)
            .or_else(|AllocError| descriptor::create::<S::Segment, M>(shape, 1))?
            .peekable();
        let segment = *made.peek().ok_or(AllocError)?;
        self.growth.adopt(made);
        Ok(segment)
    }

    /// Enters a new segment into the index; gives it back if there is no memory for that.
    fn enter(&self, segment: SegmentRef<'_>, shape: &Shape) -> Result<(), AllocError> {
        let mut table = None;
        loop {
            match self.growth.enter(&self.index, segment, &mut table) {
                // A table that was not needed after all is freed here, outside the lock.
                Ok(()) => return Ok(()),
                Err(needed) => match OwnTable::new(needed.log2) {
                    Ok(made) => table = Some(made),
                    Err(AllocError) => {
                        self.give_back(segment, shape);
                        return Err(AllocError);
                    }
                },
            }
        }
    }
}
