//! [`Hierarchy`]: a master slab and the slaves attached to it; taking, giving, growing, ending.

use core::marker::PhantomData;
use core::ptr::{self, NonNull};

use drystone_core::{Stats, abort_on_unwind};
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{RawGuard, RawLock};

use super::SlabProvider;
use super::header::{Master, SlabRef};
use super::map::SlabMap;
use super::shape::Shape;
use super::state::State;
use crate::slots::SlabError;
use crate::slots::occupancy::WasFree;

/// Above this many handles the process ends: half the range, so that no count can wrap.
const HANDLES_MAX: usize = isize::MAX as usize;

/// The most slaves at once. With as many slots of the master the count of what keeps it still fits.
const SLAVES_MAX: usize = i32::MAX as usize;

/// The slabs of a cache, by their master. A plain pointer: who holds one sees to it that the
/// master lives, by a handle, a live slot or a slave that is not given back yet.
pub(super) struct Hierarchy<T, P, L, const SLAB_SIZE: usize> {
    master: SlabRef,
    types: PhantomData<Shape<T, P, L, SLAB_SIZE>>,
}

impl<T, P, L, const SLAB_SIZE: usize> Clone for Hierarchy<T, P, L, SLAB_SIZE> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, P, L, const SLAB_SIZE: usize> Copy for Hierarchy<T, P, L, SLAB_SIZE> {}

/// How far the quick way of giving a slot back came.
enum Quick {
    /// The slot is free, and that is all.
    Done,
    /// The slot is free, and nothing keeps its slab any more.
    NowEmpty,
    /// Nothing happened: the slot's word has to be opened, or the pointer is no live slot.
    Nothing,
}

/// What is left to do once the lock is released.
#[must_use]
enum After {
    Nothing,
    /// The slave left the ring and is empty: the provider gets it back.
    Release(SlabRef),
    /// Neither a handle nor a live slot nor a slave is left.
    End,
}

impl<T, P, L, const SLAB_SIZE: usize> Hierarchy<T, P, L, SLAB_SIZE> {
    /// The slab that `slot` lies in.
    #[inline]
    fn slab_of(slot: NonNull<T>) -> SlabRef {
        let mask = !(SLAB_SIZE - 1);
        // A slot's slab does not start at address 0, because its base is not null.
        let base = slot
            .as_ptr()
            .map_addr(|address| address & mask)
            .cast::<u8>();
        debug_assert!(!base.is_null());
        // SAFETY: as above.
        SlabRef::at(unsafe { NonNull::new_unchecked(base) })
    }

    /// The master slab.
    #[inline]
    pub(super) fn master(self) -> SlabRef {
        self.master
    }

    /// The occupancy map of a slab.
    ///
    /// # Safety
    ///
    /// The slab is formatted; the map is used only while the lock is held, or before the slab is
    /// attached.
    #[inline]
    pub(super) unsafe fn map(slab: SlabRef) -> SlabMap<T, P, L, SLAB_SIZE> {
        // SAFETY: passed on.
        unsafe { SlabMap::of(slab) }
    }

    /// The slot of this index, which is below the number of slots.
    #[inline]
    fn slot(slab: SlabRef, index: u32) -> NonNull<T> {
        let offset = Shape::<T, P, L, SLAB_SIZE>::slot_offset(index);
        // SAFETY: the slots lie in the slab.
        unsafe { slab.base().add(offset) }.cast()
    }

    /// Writes the header of a slab, with all slots free.
    ///
    /// # Safety
    ///
    /// The slab is `SLAB_SIZE` bytes of exclusive memory, aligned to its size.
    unsafe fn format(slab: SlabRef, owner: SlabRef) {
        // SAFETY: the memory is exclusive; the header is at its base, aligned with the slab.
        unsafe { slab.write_header(owner) };
        // SAFETY: the slab is formatted but for the occupancy, and not attached.
        let map = unsafe { Self::map(slab) };
        // SAFETY: the header is written, and nobody else knows the slab.
        unsafe { slab.header() }.occupancy.free_all(map);
    }

    /// Where the shared part lies in the master.
    #[inline]
    fn master_ptr(self) -> NonNull<Master<P, L>> {
        let offset = Shape::<T, P, L, SLAB_SIZE>::MASTER_OFFSET;
        // SAFETY: the offset is inside the slab.
        unsafe { self.master.base().add(offset) }.cast()
    }

    #[inline]
    fn lock<'s>(self) -> &'s L {
        // SAFETY: the master lives, and its lock is initialised.
        unsafe { &(*self.master_ptr().as_ptr()).lock }
    }

    #[inline]
    fn state<'s>(self) -> &'s UnsafeCell<State> {
        // SAFETY: the master lives, and its state is initialised.
        unsafe { &(*self.master_ptr().as_ptr()).state }
    }

    #[inline]
    fn provider<'s>(self) -> &'s P {
        // SAFETY: the master lives, and its provider is initialised.
        unsafe { &(*self.master_ptr().as_ptr()).provider }
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Hierarchy<T, P, L, SLAB_SIZE> {
    /// A master slab with one handle on it.
    pub(super) fn new(provider: P, lock: L) -> Result<Self, SlabError> {
        let master = SlabRef::at(Self::provide(&provider)?);
        let this = Self {
            master,
            types: PhantomData,
        };
        // SAFETY: the memory is new, exclusive, and aligned by the check in `provide`.
        unsafe { Self::format(master, master) };
        this.keep_master();
        let mut state = State::new(master);
        // SAFETY: the master is formatted and in no ring, and nobody else knows it.
        unsafe { state.push_back(master) };
        let shared = Master {
            lock,
            state: UnsafeCell::new(state),
            provider,
        };
        // SAFETY: the shape leaves room for it there, aligned; the memory is exclusive.
        unsafe { this.master_ptr().write(shared) };
        Ok(this)
    }

    /// Memory for a slab, with its alignment checked.
    fn provide(provider: &P) -> Result<NonNull<u8>, SlabError> {
        let layout = Shape::<T, P, L, SLAB_SIZE>::LAYOUT;
        let base = provider.provide(layout).ok_or(SlabError::OutOfMemory)?;
        if base.addr().get().is_multiple_of(SLAB_SIZE) {
            return Ok(base);
        }
        // SAFETY: the memory came from this provider with this layout, and nobody has used it.
        unsafe { provider.take_back(base, layout) };
        Err(SlabError::Misaligned { align: SLAB_SIZE })
    }

    /// Runs `f` under the lock. `f` is code of this module, which does not unwind.
    #[inline]
    pub(super) fn locked<R>(self, f: impl FnOnce(&mut State) -> R) -> R {
        let _held = RawGuard::lock(self.lock());
        // SAFETY: the lock is held.
        unsafe { self.with_state(f) }
    }

    /// Runs `f` on what the lock guards.
    ///
    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline]
    unsafe fn with_state<R>(self, f: impl FnOnce(&mut State) -> R) -> R {
        self.state().with_mut(|state| {
            // SAFETY: the lock is held, so nobody else reaches the state.
            let state = unsafe { &mut *state };
            f(state)
        })
    }

    /// A free slot, from a new slab if there must be one.
    #[inline]
    pub(super) fn take(self) -> Option<NonNull<T>> {
        self.lock().lock();
        // SAFETY: the lock is held.
        let ready = unsafe { self.with_state(|state| self.take_quick(state)) };
        let Some((slab, index)) = ready else {
            // SAFETY: the lock is held, and passed on.
            return unsafe { self.take_rare() };
        };
        // SAFETY: the lock was taken above.
        unsafe { self.lock().unlock() };
        Some(Self::slot(slab, index))
    }

    /// A slot that is ready in the slab that serves, if another one is.
    #[inline]
    fn take_quick(self, state: &mut State) -> Option<(SlabRef, u32)> {
        let slab = state.root();
        // SAFETY: the slab that serves is attached, and the lock is held.
        let header = unsafe { slab.header() };
        let index = header.occupancy.take_quick()?;
        header.holds.set(header.holds.get() + 1);
        state.count_allocation();
        Some((slab, index))
    }

    /// A free slot where [`take_quick`](Self::take_quick) has none. Unlocks.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and gives it up.
    #[cold]
    #[inline(never)]
    unsafe fn take_rare(self) -> Option<NonNull<T>> {
        // SAFETY: the lock is held.
        let slot = unsafe { self.with_state(|state| self.take_open(state)) };
        // SAFETY: the caller took the lock.
        unsafe { self.lock().unlock() };
        slot.or_else(|| self.grow())
    }

    /// A free slot of the slabs that there are.
    fn take_open(self, state: &mut State) -> Option<NonNull<T>> {
        let slab = state.first()?;
        // SAFETY: a slab in the ring is attached, and the lock is held.
        let header = unsafe { slab.header() };
        // SAFETY: the lock is held.
        let map = unsafe { Self::map(slab) };
        // SAFETY: this is the slab's map.
        let index = unsafe { header.occupancy.take(map) }?;
        if header.occupancy.is_full() {
            // SAFETY: the slab is in the ring, at its root.
            unsafe { state.unlink(slab, self.master) };
        }
        header.holds.set(header.holds.get() + 1);
        state.count_allocation();
        Some(Self::slot(slab, index))
    }

    /// Attaches a new slab, unless others have freed or attached meanwhile.
    fn grow(self) -> Option<NonNull<T>> {
        let Ok(base) = Self::provide(self.provider()) else {
            return self.locked(|state| {
                let slot = self.take_open(state);
                state.failures += u64::from(slot.is_none());
                slot
            });
        };
        let slab = SlabRef::at(base);
        // SAFETY: the memory is new, exclusive and aligned.
        unsafe { Self::format(slab, self.master) };
        let (slot, surplus) = self.locked(|state| {
            let (slot, surplus) = self.attach(state, slab);
            state.failures += u64::from(slot.is_none());
            (slot, surplus)
        });
        if surplus {
            // SAFETY: the slab was not attached, so nobody knows it.
            unsafe { self.take_back(slab) };
        }
        slot
    }

    /// Takes a slot and attaches `fresh` if it is needed for that, or as the empty slab that is
    /// kept. Answers whether it is surplus.
    fn attach(self, state: &mut State, fresh: SlabRef) -> (Option<NonNull<T>>, bool) {
        let there = self.take_open(state);
        let wanted = there.is_none() || state.kept_empty(self.master).is_none();
        if !wanted || state.slaves == SLAVES_MAX {
            return (there, true);
        }
        state.slaves += 1;
        self.keep_master();
        // SAFETY: the slab is formatted, and is attached by this.
        unsafe { state.push_back(fresh) };
        (there.or_else(|| self.take_open(state)), false)
    }

    /// Gives a slot back to the slab that it came from.
    ///
    /// # Safety
    ///
    /// The slot was taken from a hierarchy of exactly these types and is owned by the caller, who
    /// uses it no more. Its pointer is the one that was taken, with its provenance.
    #[inline]
    pub(super) unsafe fn give(slot: NonNull<T>) {
        let slab = Self::slab_of(slot);
        // SAFETY: the slot is live, so its slab is attached.
        let Some(master) = (unsafe { slab.verified_owner() }) else {
            // Whatever the header says now is not to be followed: the slot is lost, and with it
            // the slab and its master.
            return;
        };
        let this = Self {
            master,
            types: PhantomData,
        };
        this.lock().lock();
        // SAFETY: the lock is held.
        match unsafe { this.with_state(|state| this.give_quick(state, slab, slot)) } {
            // SAFETY: the lock was taken above.
            Quick::Done => unsafe { this.lock().unlock() },
            // SAFETY: the lock is held, and passed on; the slot is passed on.
            rest => unsafe { this.give_rare(slab, slot, rest) },
        }
    }

    /// Takes a slot back if it needs no more than its bit and the counts.
    #[inline]
    fn give_quick(self, state: &mut State, slab: SlabRef, slot: NonNull<T>) -> Quick {
        let Some(index) = Shape::<T, P, L, SLAB_SIZE>::index_at(slot.addr().get()) else {
            return Quick::Nothing;
        };
        // SAFETY: the slab has a live slot, so it is attached; the lock is held.
        let header = unsafe { slab.header() };
        // SAFETY: the lock is held.
        let map = unsafe { Self::map(slab) };
        // SAFETY: this is the slab's map.
        if !unsafe { header.occupancy.give_quick(map, index) } {
            return Quick::Nothing;
        }
        state.count_deallocation();
        let holds = header.holds.get() - 1;
        header.holds.set(holds);
        if holds == 0 {
            Quick::NowEmpty
        } else {
            Quick::Done
        }
    }

    /// What [`give_quick`](Self::give_quick) left to do. Unlocks.
    ///
    /// # Safety
    ///
    /// The caller holds the lock and gives it up; the slot as for [`give`](Self::give).
    #[cold]
    #[inline(never)]
    unsafe fn give_rare(self, slab: SlabRef, slot: NonNull<T>, rest: Quick) {
        let rest = |state: &mut State| match rest {
            Quick::Nothing => self.give_any(state, slab, slot),
            Quick::NowEmpty => self.emptied(state, slab),
            Quick::Done => After::Nothing,
        };
        // SAFETY: the lock is held.
        let after = unsafe { self.with_state(rest) };
        // SAFETY: the caller took the lock.
        unsafe { self.lock().unlock() };
        // SAFETY: it was decided under the lock.
        unsafe { self.settle(after) };
    }

    /// Takes a slot back, or counts a pointer that is no live slot.
    fn give_any(self, state: &mut State, slab: SlabRef, slot: NonNull<T>) -> After {
        let Some(index) = Shape::<T, P, L, SLAB_SIZE>::index_at(slot.addr().get()) else {
            return state.refuse();
        };
        // SAFETY: the slab has a live slot, so it is attached; the lock is held.
        let header = unsafe { slab.header() };
        let was_full = header.occupancy.is_full();
        // SAFETY: the lock is held.
        let map = unsafe { Self::map(slab) };
        // SAFETY: this is the slab's map.
        if let Err(WasFree) = unsafe { header.occupancy.give(map, index) } {
            return state.refuse();
        }
        if was_full {
            // SAFETY: a full slab is attached and not in the ring.
            unsafe { state.push_partial(slab, self.master) };
        }
        state.count_deallocation();
        header.holds.set(header.holds.get() - 1);
        if header.holds.get() == 0 {
            self.emptied(state, slab)
        } else {
            After::Nothing
        }
    }

    /// What becomes of a slab that nothing keeps.
    fn emptied(self, state: &mut State, slab: SlabRef) -> After {
        if slab == self.master {
            return After::End;
        }
        let kept = state.kept_empty(self.master);
        if state.handles == 0 || kept.is_some_and(|kept| kept != slab) {
            // SAFETY: a slab with a free slot is in the ring.
            unsafe { state.unlink(slab, self.master) };
            return After::Release(slab);
        }
        // SAFETY: as above.
        unsafe { state.move_to_back(slab, self.master) };
        After::Nothing
    }

    /// One thing more that keeps the master.
    fn keep_master(self) {
        // SAFETY: the master is attached, and the caller holds the lock.
        let holds = &unsafe { self.master.header() }.holds;
        holds.set(holds.get() + 1);
    }

    /// One thing less that keeps the master: the handles or a slave.
    fn let_master_go(self) -> After {
        // SAFETY: the master is attached, and the caller holds the lock.
        let holds = &unsafe { self.master.header() }.holds;
        holds.set(holds.get() - 1);
        if holds.get() == 0 {
            After::End
        } else {
            After::Nothing
        }
    }

    /// Does what was decided under the lock.
    ///
    /// # Safety
    ///
    /// `after` was decided under the lock by this call, and the lock released since.
    unsafe fn settle(self, after: After) {
        let after = match after {
            After::Release(slab) => {
                // The slave keeps the master until the provider has it, and with the master the
                // provider inside.
                // SAFETY: the slave is empty and in no ring, so nobody knows it.
                unsafe { self.take_back(slab) };
                self.locked(|state| {
                    state.slaves -= 1;
                    self.let_master_go()
                })
            }
            other => other,
        };
        if let After::End = after {
            // SAFETY: no handle, live slot or slave is left, so nobody else knows the master.
            unsafe { self.end() };
        }
    }

    /// Gives a slave to the provider.
    ///
    /// # Safety
    ///
    /// The slab came from this hierarchy's provider, and nobody knows it any more.
    unsafe fn take_back(self, slab: SlabRef) {
        let layout = Shape::<T, P, L, SLAB_SIZE>::LAYOUT;
        // SAFETY: the slab came from this provider with this layout.
        unsafe { self.provider().take_back(slab.base(), layout) };
    }

    /// Gives the master to the provider that it holds, and drops the provider.
    ///
    /// # Safety
    ///
    /// Nobody else knows the master any more.
    unsafe fn end(self) {
        // Shows the models that nobody is in there any more.
        self.state().with_mut(|_| ());
        // The provider cannot stay in the memory that it takes back, nor can the lock.
        // SAFETY: the shared part is initialised, and nobody uses it any more.
        let shared = unsafe { ptr::read(self.master_ptr().as_ptr()) };
        let layout = Shape::<T, P, L, SLAB_SIZE>::LAYOUT;
        // SAFETY: the master came from this provider with this layout.
        unsafe { shared.provider.take_back(self.master.base(), layout) };
    }

    /// Counts one more handle.
    pub(super) fn add_handle(self) {
        let handles = self.locked(|state| {
            state.handles += 1;
            state.handles
        });
        if handles > HANDLES_MAX {
            abort_on_unwind(|| panic!("SlabCache: too many handles"));
        }
    }

    /// Counts one handle less.
    ///
    /// # Safety
    ///
    /// The caller gives up a handle of its own.
    pub(super) unsafe fn remove_handle(self) {
        let after = self.locked(|state| {
            state.handles -= 1;
            if state.handles != 0 {
                return After::Nothing;
            }
            // Nobody can ask for a slot again, so no empty slab is worth keeping.
            let kept = self.unlink_kept(state);
            match self.let_master_go() {
                After::Nothing => kept.map_or(After::Nothing, After::Release),
                // A slave that was kept would have kept the master.
                end => end,
            }
        });
        // SAFETY: it was decided under the lock.
        unsafe { self.settle(after) };
    }

    /// Gives the empty slave that is kept to the provider. Answers whether there was one.
    pub(super) fn trim(self) -> bool {
        let Some(slab) = self.locked(|state| self.unlink_kept(state)) else {
            return false;
        };
        // SAFETY: it was decided under the lock.
        unsafe { self.settle(After::Release(slab)) };
        true
    }

    fn unlink_kept(self, state: &mut State) -> Option<SlabRef> {
        let slab = state.kept_empty(self.master)?;
        // SAFETY: the slab is the last of the ring.
        unsafe { state.unlink(slab, self.master) };
        Some(slab)
    }

    /// The figures.
    pub(super) fn stats(self) -> Stats {
        self.locked(|state| state.stats(size_of::<T>()))
    }

    /// The slabs that the provider has not got back, the master included.
    pub(super) fn slab_count(self) -> usize {
        self.locked(|state| state.slaves) + 1
    }
}

impl State {
    /// Counts a pointer that is not a live slot, and leaves everything as it is.
    fn refuse(&mut self) -> After {
        self.corruption_events += 1;
        After::Nothing
    }
}
