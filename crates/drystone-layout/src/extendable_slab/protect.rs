//! What the protection adds: frees that are checked, slots that are sealed, reports.
//!
//! A protection with [`OCCUPANCY`](FreelistProtection::OCCUPANCY) makes use of what is there
//! anyway: a slot whose bit is in its group's `free` or `remote`, or in the caller's word, is free.
//! A free that another thread's word or another thread's free hides from the check is found when
//! the slot is about to be handed out, or when the owner collects: always before it is handed out
//! again.
//!
//! A protection with [`TAGGED`](FreelistProtection::TAGGED) seals a slot that is freed: the tag of
//! its index and epoch lies in its first four bytes. Before the slot is handed out the seal is
//! verified and removed. Bytes are written one by one and atomically, so that even two threads that
//! wrongly free one slot at once do no more harm than that.

use super::*;

use drystone_core::{FreeLink, Misuse};
use drystone_sync::atomic::AtomicU32;
use group::GroupRef;

/// Where a block is.
#[derive(Clone, Copy)]
struct Place<'a> {
    segment: SegmentRef<'a>,
    group: GroupRef<'a>,
    /// The number of the slot in its segment.
    slot: u32,
    /// The bit of the slot in its group.
    bit: usize,
}

/// Slots found to be freed twice while a lock was held; reported after it.
#[derive(Default)]
pub(super) struct Findings {
    /// The address of a group's first slot, and the slots found.
    doubles: Option<(usize, usize)>,
}

impl Findings {
    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.doubles.is_some()
    }

    /// Notes slots of `group` that were freed twice.
    pub(super) fn note(&mut self, group: GroupRef<'_>, slots: usize, stride: usize) {
        if slots != 0 {
            let first =
                group.segment().base().addr() + group.index() as usize * GROUP_SLOTS * stride;
            self.doubles = Some((first, slots));
        }
    }
}

impl<T, M: FreelistProtection, S: SegmentSource> ExtendableSlab<T, M, S> {
    /// Frees the block at `address` if it is one.
    #[inline(never)]
    pub(super) fn free_guarded(&self, address: usize, layout: NonZeroLayout) {
        match self.examine(address, layout) {
            Ok(place) => {
                if M::TAGGED {
                    self.seal(place);
                }
                self.free_examined(place, address);
            }
            Err(misuse) => self.report(misuse, address),
        }
    }

    fn free_examined(&self, place: Place<'_>, address: usize) {
        let Place { group, bit, .. } = place;
        let owner = place.segment.owner();
        let own = self.own();
        if let Some(held) = own {
            match held.push(address, Self::STRIDE) {
                Pushed::Done => return,
                Pushed::Elsewhere => {}
                Pushed::Refused => return self.report(Misuse::DoubleFree, address),
            }
            if held.slot() == owner {
                return self.put_back(held, group, bit);
            }
        }
        if own.is_none() && owner == SHARED {
            self.with_shared(|held| self.put_back(held, group, bit));
        } else if self.send_home(group, bit) & bit != 0 && M::OCCUPANCY {
            self.report(Misuse::DoubleFree, address);
        }
    }

    /// Why freeing `address` would be wrong, as far as can be told.
    #[inline]
    fn examine(&self, address: usize, layout: NonZeroLayout) -> Result<Place<'_>, Misuse> {
        let place = self.place(address)?;
        if M::OCCUPANCY {
            if self.is_free(place) {
                return Err(Misuse::DoubleFree);
            }
            if !Self::fits(layout) {
                return Err(Misuse::LayoutMismatch);
            }
        }
        Ok(place)
    }

    /// The slot that starts at `address`, if one does that was handed out.
    #[inline]
    fn place(&self, address: usize) -> Result<Place<'_>, Misuse> {
        let segment = self.index.find(address).ok_or(Misuse::ForeignPointer)?;
        let offset = self.offset_of(address);
        if offset >= self.segment_bytes() {
            return Err(Misuse::ForeignPointer);
        }
        let slot = offset / Self::STRIDE;
        let group = (slot / GROUP_SLOTS) as u32;
        if group >= segment.opened() {
            return Err(Misuse::NeverAllocated);
        }
        if slot * Self::STRIDE != offset {
            return Err(Misuse::InteriorPointer);
        }
        Ok(Place {
            segment,
            group: segment.group(group),
            slot: slot as u32,
            bit: 1 << (slot % GROUP_SLOTS),
        })
    }

    /// Whether the slot is free, as far as this thread can see.
    #[inline]
    fn is_free(&self, place: Place<'_>) -> bool {
        let mut slots = place.group.free_anywhere();
        if let Some(held) = self.own() {
            if held.group().is_some_and(|group| group == place.group) {
                slots |= held.word();
            }
        }
        slots & place.bit != 0
    }

    /// What [`Inspect::validate`](drystone_core::Inspect::validate) says of `address`. `words` adds
    /// the slots of a group that lie in words that can be read.
    pub(super) fn validate_with(
        &self,
        address: usize,
        words: impl FnOnce(GroupRef<'_>) -> usize,
    ) -> Result<(), Misuse> {
        let place = self.place(address)?;
        let free = place.group.free_anywhere() | words(place.group);
        if free & place.bit != 0 {
            return Err(Misuse::DoubleFree);
        }
        Ok(())
    }

    /// Whether a slot just taken from a word may be handed out.
    #[inline]
    pub(super) fn admit(&self, shape: &Shape, group: GroupRef<'_>, start: NonNull<u8>) -> bool {
        let segment = group.segment();
        let address = start.addr().get();
        let slot = address.wrapping_sub(segment.base().addr()) / Self::STRIDE;
        let place = Place {
            segment,
            group,
            slot: slot as u32,
            bit: 1 << (slot % GROUP_SLOTS),
        };
        if M::OCCUPANCY && group.free_anywhere() & place.bit != 0 {
            // It was freed twice; the other copy stays free.
            self.report(Misuse::DoubleFree, address);
            return false;
        }
        if M::TAGGED && !self.unseal(place, start, shape) {
            self.report(Misuse::DamagedLink, address);
            return false;
        }
        true
    }

    /// Seals a slot that the caller gives up.
    fn seal(&self, place: Place<'_>) {
        let Some(shape) = &self.shape else { return };
        let epoch = self.epoch(place, shape);
        // 0 says that there is no seal.
        let next = epoch.load(Ordering::Relaxed).wrapping_add(1).max(1);
        epoch.store(next, Ordering::Relaxed);
        let Some(base) = NonNull::new(place.segment.base()) else {
            return;
        };
        let tag = self.tag_of(place, next, shape, |protection, link| protection.tag(link));
        let offset = place.slot as usize * Self::STRIDE;
        // SAFETY: the slot lies in the segment.
        store_tag(unsafe { base.add(offset) }, tag.unwrap_or(0));
    }

    /// Removes the seal of a slot that the caller has taken; says whether it was whole.
    fn unseal(&self, place: Place<'_>, start: NonNull<u8>, shape: &Shape) -> bool {
        let epoch = self.epoch(place, shape).load(Ordering::Relaxed);
        if epoch == 0 {
            return true;
        }
        let tag = load_tag(start);
        let whole = self.tag_of(place, epoch, shape, |protection, link| {
            protection.verify(link, tag)
        });
        if whole == Some(true) {
            // A new block shows no tag.
            store_tag(start, 0);
        }
        whole == Some(true)
    }

    /// Asks the segment's protection about the seal of a slot that the caller has.
    fn tag_of<R>(
        &self,
        place: Place<'_>,
        epoch: u32,
        shape: &Shape,
        ask: impl FnOnce(&M, FreeLink) -> R,
    ) -> Option<R> {
        let link = FreeLink {
            slot: place.slot,
            next: None,
            epoch: if M::EPOCHS { epoch } else { 0 },
        };
        let ask = |protection: &M| abort_on_unwind(|| ask(protection, link));
        // SAFETY: the descriptor is of this slab's types and shape, and the caller has a slot of
        // the segment.
        unsafe { descriptor::with_protection::<S::Segment, M, R>(place.segment, shape, ask) }
    }

    fn epoch<'a>(&'a self, place: Place<'a>, shape: &Shape) -> &'a AtomicU32 {
        // SAFETY: the descriptor is of this slab's types and shape, and lives as long as the slab.
        let epochs = unsafe { descriptor::epochs::<S::Segment, M>(place.segment, shape) };
        // SAFETY: a protection with tags has an epoch for each slot.
        let epoch = unsafe { epochs.add(place.slot as usize) };
        // SAFETY: as above; epochs are initialised with the descriptor and only ever shared.
        unsafe { epoch.as_ref() }
    }

    /// Counts and reports a misuse or a damage. Called outside every lock.
    #[cold]
    #[inline(never)]
    fn report(&self, misuse: Misuse, address: usize) {
        // Relaxed: a counter. Above half of its range it stays, so that it never falls.
        if self.events.load(Ordering::Relaxed) < usize::MAX / 2 {
            self.events.fetch_add(1, Ordering::Relaxed);
        }
        abort_on_unwind(|| (self.factory)().on_misuse(misuse, address));
    }

    /// Reports what was found under a lock.
    #[inline]
    pub(super) fn report_all(&self, findings: Findings) {
        if let Some((first, mut slots)) = findings.doubles {
            while slots != 0 {
                let index = slots.trailing_zeros() as usize;
                slots &= slots - 1;
                self.report(Misuse::DoubleFree, first + index * Self::STRIDE);
            }
        }
    }
}

/// Writes a tag to the first bytes of a free slot.
#[cfg(not(loom))]
fn store_tag(slot: NonNull<u8>, tag: u32) {
    for (index, byte) in tag.to_le_bytes().into_iter().enumerate() {
        tag_byte(slot, index).store(byte, Ordering::Relaxed);
    }
}

/// Reads the first bytes of a free slot.
#[cfg(not(loom))]
fn load_tag(slot: NonNull<u8>) -> u32 {
    u32::from_le_bytes(core::array::from_fn(|index| {
        tag_byte(slot, index).load(Ordering::Relaxed)
    }))
}

#[cfg(not(loom))]
fn tag_byte<'a>(slot: NonNull<u8>, index: usize) -> &'a drystone_sync::atomic::AtomicU8 {
    // SAFETY: a slot of a protection with tags is at least four bytes long.
    let byte = unsafe { slot.add(index) };
    // SAFETY: the byte is valid, and while the slot is free it is only reached atomically.
    unsafe { drystone_sync::atomic::AtomicU8::from_ptr(byte.as_ptr()) }
}

/// Writes a tag to the first bytes of a free slot.
#[cfg(loom)]
fn store_tag(slot: NonNull<u8>, tag: u32) {
    // SAFETY: a slot of a protection with tags is at least four bytes long.
    unsafe { slot.cast::<u32>().write_unaligned(tag) };
}

/// Reads the first bytes of a free slot.
#[cfg(loom)]
fn load_tag(slot: NonNull<u8>) -> u32 {
    // SAFETY: as above, and the slot was sealed.
    unsafe { slot.cast::<u32>().read_unaligned() }
}
