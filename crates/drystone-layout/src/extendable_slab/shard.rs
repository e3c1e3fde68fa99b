//! [`Shard`]: what one thread allocates from, and [`Held`], the right to use it.

use core::marker::PhantomData;
use core::ptr::NonNull;

use drystone_core::CachePadded;
use drystone_sync::ThreadSlot;
use drystone_sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use drystone_sync::cell::UnsafeCell;

use super::group::{Group, GroupRef, Pending};
use super::segment::{NO_GROUP, Segment, SegmentList, SegmentRef};
use super::shape::{GROUP_SLOTS, Shape};

/// The state of one thread slot, or of all threads without one.
pub(super) struct Shard {
    own: CachePadded<Own>,
    pub(super) inbox: CachePadded<Inbox>,
}

struct Own {
    /// FREE, VISITED, or the word of the thread slot that uses the shard. A thread that ended
    /// leaves its word here.
    holder: AtomicUsize,
    local: UnsafeCell<Local>,
}

/// No thread uses the shard.
const FREE: usize = 0;
/// A thread looks for what others left.
const VISITED: usize = 1;
const _: () = assert!(VISITED < ThreadSlot::WORD_MIN);

/// What other threads write.
pub(super) struct Inbox {
    /// Groups of this shard's segments that other threads freed into.
    pub(super) pending: Pending,
    /// Whether a visitor found nothing here, and the holder has taken nothing since.
    dry: AtomicBool,
}

/// What the holder writes.
pub(super) struct Local {
    /// The slots to hand out next: bits of a group, taken out of its `free`.
    word: usize,
    /// The first slot of that group. Dangling without a group.
    base: NonNull<u8>,
    /// The bytes of the group's slots; 0 without a group.
    span: usize,
    group: Option<NonNull<Group>>,
    /// The segments that have groups with free slots or groups not opened, the last freed first.
    segments: SegmentList,
    /// A segment whose slots are all free, kept for the next time the list runs out.
    spare: Option<NonNull<Segment>>,
}

/// Slots taken out of a group, with what it takes to hand them out.
#[derive(Clone, Copy)]
pub(super) struct Word<'a> {
    pub(super) slots: usize,
    pub(super) group: GroupRef<'a>,
    base: NonNull<u8>,
    span: usize,
}

/// What became of a slot that was to be put into the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It is in the word.
    Done,
    /// It is of another group.
    Elsewhere,
    /// It is of the word's group, but cannot be put there.
    Refused,
}

/// Slots went back to a group that had none, or that now has all.
#[derive(Clone, Copy)]
#[must_use]
pub(super) struct Unsettled {
    /// The free slots of the group until then.
    before: usize,
}

/// What became of slots that went back to their group.
#[must_use]
pub(super) enum Settled<'a> {
    /// Nothing else is to be done.
    Kept,
    /// Every slot of the segment is free, and the shard has a spare one: it goes to the pool.
    Surplus(SegmentRef<'a>),
}

impl Local {
    /// Takes the lowest slot of the word.
    #[inline]
    fn pop(&mut self, stride: usize) -> Option<NonNull<u8>> {
        let word = self.word;
        if word == 0 {
            return None;
        }
        self.word = word & (word - 1);
        let offset = word.trailing_zeros() as usize * stride;
        // SAFETY: a set bit is a slot of the group, which lies in the segment that `base` points
        // into.
        Some(unsafe { self.base.add(offset) })
    }

    /// The bit of the slot that `address` lies in, if it is of the group.
    #[inline]
    fn bit_of(&self, address: usize, stride: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.base.addr().get());
        // The shift is below the number of bits, since `span` is that of a group.
        (offset < self.span).then(|| 1usize.wrapping_shl((offset / stride) as u32))
    }

    /// The slots that are in the group and not in the word.
    #[inline]
    fn free_in_group(&self) -> usize {
        match self.group {
            // SAFETY: groups outlive the shard's holders.
            Some(group) => unsafe { group.as_ref() }.free_anywhere(),
            None => 0,
        }
    }
}

impl Shard {
    /// A shard that owns nothing.
    pub(super) fn new() -> Self {
        Self {
            own: CachePadded::new(Own {
                holder: AtomicUsize::new(FREE),
                local: UnsafeCell::new(Local {
                    word: 0,
                    base: NonNull::dangling(),
                    span: 0,
                    group: None,
                    segments: SegmentList::new(),
                    spare: None,
                }),
            }),
            inbox: CachePadded::new(Inbox {
                pending: Pending::new(),
                dry: AtomicBool::new(true),
            }),
        }
    }

    /// Whether the shard is that of the thread with this slot, which is the calling one.
    #[inline]
    pub(super) fn is_held_by(&self, slot: ThreadSlot) -> bool {
        // Relaxed: the word was written by this thread. (Or by an earlier one with the same word,
        // all of which happened before.)
        self.own.holder.load(Ordering::Relaxed) == slot.word()
    }

    /// Makes the shard that of the calling thread, whose slot this is and has the shard's index.
    /// Does nothing while another thread visits.
    pub(super) fn take(&self, slot: ThreadSlot) {
        let mut holder = self.own.holder.load(Ordering::Relaxed);
        // A word that is found belongs to a thread that had the index before, and so has ended.
        while holder != VISITED && holder != slot.word() {
            // Acquire: pairs with the Release in `Visit::drop`; what a thread before this one did is
            // ordered by the slot. Release: pairs with the Acquire in `visit`, so that who reads
            // the word and asks about its thread knows that it began.
            match self.own.holder.compare_exchange_weak(
                holder,
                slot.word(),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => holder = now,
            }
        }
    }

    /// Uses the shard for a moment, if no living thread does.
    pub(super) fn visit(&self) -> Option<Visit<'_>> {
        // Acquire: pairs with the Release in `take`.
        let holder = self.own.holder.load(Ordering::Acquire);
        let unused = match ThreadSlot::from_word(holder) {
            // What the thread did happened before the yes.
            Some(slot) => slot.has_ended(),
            None => holder == FREE,
        };
        if !unused {
            return None;
        }
        // Acquire: pairs with the Release in `Visit::drop`.
        self.own
            .holder
            .compare_exchange(holder, VISITED, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        Some(Visit { shard: self })
    }

    /// Whether a visit may find something.
    pub(super) fn may_have_slots(&self) -> bool {
        // Relaxed: a visitor that comes too early finds it the next time.
        !self.inbox.dry.load(Ordering::Relaxed) || !self.inbox.pending.is_empty()
    }
}

/// The right to use a shard: it is the calling thread's, or visited by it, or, for the shared
/// shard, the calling thread has the lock.
///
/// Several may exist for one shard on one thread: no method calls user code.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    // I1: no other thread uses the shard's `local`, or the links of segments whose owner is
    // `slot`, while this value exists.
    shard: &'a Shard,
    slot: u32,
    not_send: PhantomData<*const ()>,
}

/// A visit to a shard that no living thread uses; ends on drop.
pub(super) struct Visit<'a> {
    // I1: the shard's holder is VISITED, by this visit.
    shard: &'a Shard,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Shard::take` and `Shard::visit`.
        self.shard.own.holder.store(FREE, Ordering::Release);
    }
}

impl<'a> Held<'a> {
    /// The right to use `shard`, whose segments say that `slot` owns them.
    ///
    /// # Safety
    ///
    /// Until the value is dropped no other thread uses the shard or claims to own such segments,
    /// and what former holders did happened before. Segments and groups outlive `'a`.
    #[inline]
    pub(super) unsafe fn new(shard: &'a Shard, slot: u32) -> Self {
        Self {
            shard,
            slot,
            not_send: PhantomData,
        }
    }

    /// The number that the shard's segments have as owner.
    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.slot
    }

    /// Runs `f` on the shard's state. `f` calls nothing that comes here again.
    #[inline]
    fn local<R>(self, f: impl FnOnce(&mut Local) -> R) -> R {
        self.shard.own.local.with_mut(|local| {
            // SAFETY: by I1 no other thread is here, and `f` does not come back.
            f(unsafe { &mut *local })
        })
    }

    /// Takes the lowest slot of the word.
    #[inline]
    pub(super) fn pop(self, stride: usize) -> Option<NonNull<u8>> {
        self.local(|local| local.pop(stride))
    }

    /// As [`pop`](Self::pop), if the slot is not also free in its group: that is, freed twice.
    #[inline]
    pub(super) fn pop_if_single(self, stride: usize) -> Option<NonNull<u8>> {
        self.local(|local| {
            let lowest = local.word & local.word.wrapping_neg();
            if lowest & local.free_in_group() != 0 {
                return None;
            }
            local.pop(stride)
        })
    }

    /// Puts the slot at `address` into the word if it is of the same group.
    #[inline]
    pub(super) fn push(self, address: usize, stride: usize) -> Pushed {
        self.local(|local| match local.bit_of(address, stride) {
            None => Pushed::Elsewhere,
            Some(bit) if local.word & bit != 0 => Pushed::Refused,
            Some(bit) => {
                local.word |= bit;
                Pushed::Done
            }
        })
    }

    /// As [`push`](Self::push), and refuses what is no slot or free already.
    #[inline]
    pub(super) fn push_if_live(self, address: usize, stride: usize) -> Pushed {
        self.local(|local| match local.bit_of(address, stride) {
            None => Pushed::Elsewhere,
            Some(bit) => {
                let offset = address.wrapping_sub(local.base.addr().get());
                let free = local.word | local.free_in_group();
                if free & bit != 0 || !offset.is_multiple_of(stride) {
                    return Pushed::Refused;
                }
                local.word |= bit;
                Pushed::Done
            }
        })
    }

    /// The group that the word's slots are of.
    #[inline]
    pub(super) fn group(self) -> Option<GroupRef<'a>> {
        // SAFETY: groups outlive `'a`.
        self.local(|local| local.group)
            .map(|group| unsafe { GroupRef::from_raw(group) })
    }

    /// The word, without its group.
    #[inline]
    pub(super) fn word(self) -> usize {
        self.local(|local| local.word)
    }

    /// Takes the word out; the shard has no group afterwards.
    pub(super) fn take_word(self) -> Option<Word<'a>> {
        let word = self.local(|local| {
            let group = local.group.take()?;
            let word = Word {
                slots: core::mem::take(&mut local.word),
                // SAFETY: groups outlive `'a`.
                group: unsafe { GroupRef::from_raw(group) },
                base: local.base,
                span: core::mem::take(&mut local.span),
            };
            local.base = NonNull::dangling();
            Some(word)
        })?;
        (word.slots != 0).then_some(word)
    }

    /// Allocates from `word` from now on. The shard's own word is empty.
    pub(super) fn set_word(self, word: Word<'a>) {
        self.shard.inbox.dry.store(false, Ordering::Relaxed);
        self.local(|local| {
            debug_assert_eq!(local.word, 0);
            local.word = word.slots;
            local.base = word.base;
            local.span = word.span;
            local.group = Some(word.group.as_raw());
        });
    }

    /// Says that a visitor took what there was.
    pub(super) fn set_dry(self) {
        self.shard.inbox.dry.store(true, Ordering::Relaxed);
    }

    /// Where other threads' frees arrive.
    pub(super) fn inbox(self) -> &'a Inbox {
        &self.shard.inbox
    }

    /// Collects the groups that other threads freed into.
    #[inline]
    pub(super) fn take_pending(self) -> super::group::Taken<'a> {
        // SAFETY: groups outlive `'a`.
        unsafe { self.shard.inbox.pending.take_all() }
    }

    /// Owns `segment` from now on: one from the pool, or new, that no thread has.
    pub(super) fn attach(self, segment: SegmentRef<'a>) {
        segment.set_owner(self.slot);
        self.list(segment);
    }

    fn list(self, segment: SegmentRef<'a>) {
        // A visitor may take the slots from now on.
        self.shard.inbox.dry.store(false, Ordering::Relaxed);
        // SAFETY: by I1 the segments on the list and this one are the calling thread's; the
        // callers checked that it is on no list.
        self.local(|local| unsafe { local.segments.push(segment) });
    }

    fn unlist(self, segment: SegmentRef<'a>) {
        // SAFETY: by I1 the segments on the list are the calling thread's; the callers checked
        // that it is on the list.
        self.local(|local| unsafe { local.segments.remove(segment) });
    }

    /// Lists the spare segment; says whether there was one.
    pub(super) fn use_spare(self) -> bool {
        let Some(spare) = self.take_spare() else {
            return false;
        };
        self.list(spare);
        true
    }

    /// Takes the spare segment out.
    pub(super) fn take_spare(self) -> Option<SegmentRef<'a>> {
        let spare = self.local(|local| local.spare.take())?;
        // SAFETY: descriptors outlive `'a`.
        Some(unsafe { SegmentRef::from_raw(spare) })
    }

    /// The spare segment.
    pub(super) fn spare(self) -> Option<SegmentRef<'a>> {
        let spare = self.local(|local| local.spare)?;
        // SAFETY: descriptors outlive `'a`.
        Some(unsafe { SegmentRef::from_raw(spare) })
    }

    /// The segments on the list.
    pub(super) fn segments(self) -> impl Iterator<Item = SegmentRef<'a>> {
        let list = self.local(|local| local.segments);
        // SAFETY: by I1 nobody else changes the list, and the callers do not while they walk.
        unsafe { list.iter() }
    }

    /// Takes the free slots of a group out of the first segment on the list, or opens its next
    /// group.
    pub(super) fn next_word(self, shape: &Shape, stride: usize) -> Option<Word<'a>> {
        // SAFETY: descriptors outlive `'a`.
        let segment: SegmentRef<'a> = self.local(|local| unsafe { local.segments.first() })?;
        debug_assert_eq!(segment.owner(), self.slot);
        // SAFETY: the segment is this shard's (I1).
        let first = unsafe { segment.links(|links| links.free_groups) };
        let opened = segment.opened();
        let (slots, group, next) = if first == NO_GROUP {
            segment.set_opened(opened + 1);
            (shape.mask(opened), segment.group(opened), NO_GROUP)
        } else {
            let group = segment.group(first);
            let slots = group.free();
            group.set_free(0);
            // SAFETY: the segment is this shard's (I1).
            (slots, group, unsafe { group.free_next() })
        };
        let full = first != NO_GROUP && slots == shape.mask(group.index());
        // SAFETY: the segment is this shard's (I1).
        unsafe {
            segment.links(|links| {
                links.free_groups = next;
                links.full_groups -= u32::from(full);
            });
        }
        if next == NO_GROUP && segment.opened() == shape.groups() {
            self.unlist(segment);
        }
        let offset = group.index() as usize * GROUP_SLOTS * stride;
        let base = NonNull::new(segment.base())?;
        Some(Word {
            slots,
            group,
            // SAFETY: the group's slots lie in the segment.
            base: unsafe { base.add(offset) },
            span: shape.slots(group.index()) * stride,
        })
    }

    /// Puts slots back into a group of this shard's segments. None of them is there already.
    ///
    /// # Errors
    ///
    /// [`Unsettled`] if the group got its first free slot, or its last: [`settle`](Self::settle)
    /// is the next call then.
    #[inline]
    pub(super) fn put_back(
        self,
        group: GroupRef<'a>,
        slots: usize,
        shape: &Shape,
    ) -> Result<(), Unsettled> {
        let before = group.free();
        let after = before | slots;
        group.set_free(after);
        if before != 0 && after != shape.mask(group.index()) {
            Ok(())
        } else {
            Err(Unsettled { before })
        }
    }

    /// Does what follows from a group's first free slot, or its last.
    pub(super) fn settle(
        self,
        group: GroupRef<'a>,
        Unsettled { before }: Unsettled,
        shape: &Shape,
    ) -> Settled<'a> {
        let after = group.free();
        let segment = group.segment();
        let index = group.index();
        debug_assert_eq!(segment.owner(), self.slot);
        let update = |links: &mut super::segment::Links| {
            let next = links.free_groups;
            if before == 0 {
                links.free_groups = index;
            }
            links.full_groups += u32::from(after == shape.mask(index));
            (next, links.listed, links.full_groups)
        };
        // SAFETY: the segment is this shard's (I1).
        let (next, listed, full) = unsafe { segment.links(update) };
        if before == 0 {
            // SAFETY: as above.
            unsafe { group.set_free_next(next) };
        }
        if full < segment.opened() {
            if !listed {
                self.list(segment);
            }
            return Settled::Kept;
        }
        if listed {
            self.unlist(segment);
        }
        self.keep_or_give(segment)
    }

    /// Keeps the first segment whose slots are all free as the spare one.
    fn keep_or_give(self, segment: SegmentRef<'a>) -> Settled<'a> {
        let kept = self.local(|local| {
            let kept = local.spare.is_none();
            if kept {
                local.spare = Some(segment.as_raw());
            }
            kept
        });
        if kept {
            self.shard.inbox.dry.store(false, Ordering::Relaxed);
            Settled::Kept
        } else {
            Settled::Surplus(segment)
        }
    }

    /// Forgets everything. For a slab whose slots are all to be free.
    pub(super) fn clear(self) {
        let _ = self.take_word();
        self.local(|local| {
            local.segments = SegmentList::new();
            local.spare = None;
        });
        self.take_pending().for_each(drop);
        self.set_dry();
    }
}
