//! [`CacheRing`]: the free slots of one class that one thread cached.
//!
//! # What
//!
//! A bounded double-ended queue of pointers. Its owner, one thread, pushes and pops at the bottom,
//! the hot end. Anybody may steal from the cold end. The owner's side has no read-modify-write, and
//! no fence where the process can run a barrier on all its threads
//! ([`Protocol`]), and waits only for a thief that is after the last pointer.
//!
//! # Memory picture
//!
//! ```text
//!  positions   START .. done ......... claimed ........... bottom .. done + capacity
//!              gone     a thief reads   free slots, cold to hot      room
//!
//!  line 1 (owner)   bottom  gate  limit  hits  mask  moves  places ──> [ptr; power of two]
//!  line 2 (thieves) claimed done lock capacity protocol
//! ```
//!
//! Positions only name places, `position & mask`; they grow and never wrap.
//!
//! `gate` and `limit` are what the owner's short paths compare with. Where the owner needs no fence,
//! `gate` is `claimed`, and `limit` is `done + capacity` as the owner last knew it. Where it does,
//! `gate` is the greatest number and `limit` is 0: every short path fails into the long one, which
//! has the fence. So the short paths have no branch for the protocol.
//!
//! # Invariants
//!
//! - I1: `START <= done <= claimed`, and `claimed - done` is at most what a thief asked for.
//! - I2: `claimed <= bottom + 1` while no thief has a claim above the bottom under way; the owner
//!   goes below `claimed` by at most one, and puts its bottom back.
//! - I3: `bottom - done <= capacity <= places`.
//! - I4: with a settled claim, the places of `claimed .. bottom` hold pointers that nobody else has.
//! - I5: only the owner writes `bottom`, `limit`, `hits`, `moves`; only who holds `lock` writes `claimed`,
//!   `gate` and `done`, or the owner in a move that found the lock free.
//!
//! # Threads
//!
//! **The owner's pop** lowers `bottom`, passes the light fence, reads `claimed`. **The thief**
//! raises `claimed`, passes the heavy fence, reads `bottom`. One of them sees the other: either the
//! owner finds its position claimed, or the thief finds the bottom at or below it and takes its
//! claim back to there. Positions under a claim that the thief has not taken back are never popped, so
//! the thief reads the places of a settled claim alone. It publishes by `done` that it has read them,
//! and the owner's room is reckoned from there.
//!
//! It may be that each saw the other. The thief has then left the position to the owner and may say
//! that it found nothing, so the owner must not leave it in the ring: it waits for the thief's lock
//! and takes what the thief left. A pop that answers `None` has found the ring empty.
//!
//! **The owner's spill** is its own theft, and needs no lock: the owner raises `moves`, passes the light
//! fence, reads the lock, and takes nothing if it is held. The thief takes the lock, passes the heavy fence,
//! reads `moves`, and takes nothing if it is raised. One of them sees the other. `moves` stands until the
//! owner has put what it spilled where others can find it, so it also tells a thief that finds nothing here
//! that there may be some in a moment.
//!
//! `steal` and `drain` wait for other thieves of the same ring, each of which holds the lock for two
//! barriers and the reading.
//!
//! # Cost
//!
//! 128 bytes and 8 for each place. Pop and push: two or three loads, two stores and one branch, on
//! one line beside the place. A spill or refill: no read-modify-write where the owner needs no fence.

use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::OsError;
use drystone_sync::atomic::{AtomicU64, Ordering};
use drystone_sync::cell::UnsafeCell;
use drystone_sync::{RawGuard, SpinLock};

use crate::asymmetric::{Protocol, light_asymmetric};

/// The first position; above 0, so that the owner of an empty ring can go one below.
const START: u64 = 1;

type Place<T> = UnsafeCell<MaybeUninit<NonNull<T>>>;

/// A bounded double-ended queue of pointers: one owner, many thieves.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct CacheRing<T> {
    bottom: AtomicU64,
    gate: AtomicU64,
    limit: AtomicU64,
    hits: AtomicU64,
    mask: u64,
    /// How many moves of several pointers the owner has under way.
    moves: AtomicU64,
    places: Box<[Place<T>]>,
    thieves: Thieves,
}

/// Why nothing was stolen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotStolen {
    /// The system refused its barrier.
    NoBarrier,
    /// The owner is moving pointers.
    OwnerMoves,
}

impl From<OsError> for NotStolen {
    fn from(_: OsError) -> Self {
        Self::NoBarrier
    }
}

/// What the owner's short paths do not touch.
#[derive(Debug)]
#[repr(align(64))]
struct Thieves {
    claimed: AtomicU64,
    done: AtomicU64,
    lock: SpinLock,
    capacity: u64,
    protocol: Protocol,
}

// SAFETY: the places are handed from thread to thread by the protocol above. The pointers are only
// carried; who dereferences one answers for that.
unsafe impl<T> Sync for CacheRing<T> {}
// SAFETY: as above.
unsafe impl<T> Send for CacheRing<T> {}

impl<T> CacheRing<T> {
    /// An empty ring for `capacity` pointers; 0 takes none.
    pub(crate) fn new(capacity: u32, protocol: Protocol) -> Self {
        let places = (capacity as usize).next_power_of_two();
        let (gate, limit) = if protocol.is_asymmetric() {
            (START, START + u64::from(capacity))
        } else {
            (u64::MAX, 0)
        };
        Self {
            bottom: AtomicU64::new(START),
            gate: AtomicU64::new(gate),
            limit: AtomicU64::new(limit),
            hits: AtomicU64::new(0),
            mask: places as u64 - 1,
            moves: AtomicU64::new(0),
            places: (0..places)
                .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
                .collect(),
            thieves: Thieves {
                claimed: AtomicU64::new(START),
                done: AtomicU64::new(START),
                lock: SpinLock::new(),
                capacity: u64::from(capacity),
                protocol,
            },
        }
    }

    /// The most pointers that it holds.
    pub(crate) fn capacity(&self) -> u32 {
        // A u32 when the ring was made.
        self.thieves.capacity as u32
    }

    /// How many pointers there are, up to what goes on at the same time. Anyone may ask.
    pub(crate) fn len_hint(&self) -> usize {
        // Acquire: pairs with the Release of each store to `bottom`, for the caller that goes on to
        // what is in the ring. `claimed` Relaxed: a number.
        let bottom = self.bottom.load(Ordering::Acquire);
        let claimed = self.thieves.claimed.load(Ordering::Relaxed);
        bottom.saturating_sub(claimed) as usize
    }

    /// How many pops have found a pointer. Anyone may ask.
    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// [`pop`](CacheRing::pop) without its long path, for the hit path: `None` says nothing, and the
    /// caller asks `pop`.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop).
    #[inline(always)]
    pub(crate) unsafe fn pop_short(&self) -> Option<NonNull<T>> {
        let bottom = own(&self.bottom);
        let newest = bottom - 1;
        // Release: as in `pop`.
        self.bottom.store(newest, Ordering::Release);
        light_asymmetric();
        // Relaxed: as in `pop`.
        if newest < self.gate.load(Ordering::Relaxed) {
            self.bottom.store(bottom, Ordering::Release);
            return None;
        }
        Some(self.take_hit(newest))
    }

    /// Takes the pointer that was pushed last; `None` if there is none. Waits only if a thief is at
    /// work on that very pointer.
    ///
    /// # Safety
    ///
    /// The caller is the owner: calls of the unsafe functions of one ring happen one after the
    /// other.
    pub(crate) unsafe fn pop(&self) -> Option<NonNull<T>> {
        let bottom = own(&self.bottom);
        // Release, like every store to `bottom`: pairs with the Acquire in `settle`, so that a
        // thief sees the places below whichever bottom it reads.
        self.bottom.store(bottom - 1, Ordering::Release);
        light_asymmetric();
        // Relaxed: ordered behind the store by the fence; no data comes with it.
        if bottom - 1 < self.gate.load(Ordering::Relaxed) {
            return self.pop_slow(bottom);
        }
        Some(self.take_hit(bottom - 1))
    }

    /// The rest of a pop that did not get by the gate: the ring is empty, a thief has claimed the
    /// position, or the owner needs a fence.
    #[cold]
    #[inline(never)]
    fn pop_slow(&self, bottom: u64) -> Option<NonNull<T>> {
        let newest = bottom - 1;
        if !self.thieves.protocol.is_asymmetric() {
            self.thieves.protocol.light();
            if self.is_own(newest) {
                return Some(self.take_hit(newest));
            }
        }
        // Relaxed: a number. Where everything up to the bottom has been read out, there is nothing.
        if self.thieves.done.load(Ordering::Relaxed) != bottom {
            // A thief may be about to take its claim back because it saw the lowered bottom, and
            // to tell others that there is nothing. The position must not stay then: see who gets it.
            let _guard = RawGuard::lock(&self.thieves.lock);
            if self.is_own(newest) {
                return Some(self.take_hit(newest));
            }
        }
        // Release: as in `pop`.
        self.bottom.store(bottom, Ordering::Release);
        None
    }

    /// Whether the owner, whose bottom is `newest`, has that position: no thief claimed it.
    fn is_own(&self, newest: u64) -> bool {
        // Relaxed: ordered behind the store to `bottom` by the fence or the lock.
        newest >= self.thieves.claimed.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn take_hit(&self, newest: u64) -> NonNull<T> {
        self.count_hit();
        // SAFETY: not claimed, hence the owner's by I4.
        unsafe { self.read(newest) }
    }

    /// Adds a pointer at the hot end. Behind it the light fence has been passed: what the caller
    /// reads next is what a thief wrote before its heavy one, or the thief finds the pointer.
    ///
    /// # Errors
    ///
    /// The pointer, if the ring is full.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop).
    pub(crate) unsafe fn push(&self, pointer: NonNull<T>) -> Result<(), NonNull<T>> {
        let bottom = own(&self.bottom);
        if bottom >= own(&self.limit) {
            return self.push_slow(bottom, pointer);
        }
        // SAFETY: below the limit there is room.
        unsafe { self.write(bottom, pointer) };
        // Release: pairs with the Acquire in `settle`.
        self.bottom.store(bottom + 1, Ordering::Release);
        light_asymmetric();
        Ok(())
    }

    /// [`push`](CacheRing::push) without its long path, for the hit path: `false` says nothing, and
    /// the caller asks `push`.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop).
    #[inline(always)]
    pub(crate) unsafe fn push_short(&self, pointer: NonNull<T>) -> bool {
        let bottom = own(&self.bottom);
        let has_room = bottom < own(&self.limit);
        if has_room {
            // SAFETY: below the limit there is room.
            unsafe { self.write(bottom, pointer) };
            // Release: as in `push`.
            self.bottom.store(bottom + 1, Ordering::Release);
            light_asymmetric();
        }
        has_room
    }

    /// The push that knows no room: asks the thieves how far they are.
    #[cold]
    #[inline(never)]
    fn push_slow(&self, bottom: u64, pointer: NonNull<T>) -> Result<(), NonNull<T>> {
        if bottom >= self.learn_limit() {
            return Err(pointer);
        }
        // SAFETY: below the limit there is room.
        unsafe { self.write(bottom, pointer) };
        // Release: as in `push`.
        self.bottom.store(bottom + 1, Ordering::Release);
        self.thieves.protocol.light();
        Ok(())
    }

    /// Adds pointers while there is room and `next` has any, and says how many. The fence is as in
    /// [`push`](CacheRing::push), once for all.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop). `next` does not use the ring.
    pub(crate) unsafe fn refill(&self, mut next: impl FnMut() -> Option<NonNull<T>>) -> usize {
        let bottom = own(&self.bottom);
        let limit = self.learn_limit();
        let mut top = bottom;
        while top < limit {
            let Some(pointer) = next() else { break };
            // SAFETY: below the limit there is room.
            unsafe { self.write(top, pointer) };
            top += 1;
        }
        // Release: as in `push`.
        self.bottom.store(top, Ordering::Release);
        self.thieves.protocol.light();
        (top - bottom) as usize
    }

    /// How many more pointers the owner can push now; thieves may make it more.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop).
    pub(crate) unsafe fn room(&self) -> usize {
        let bottom = own(&self.bottom);
        (self.learn_limit() - bottom) as usize
    }

    /// Begins a move: the owner is about to have pointers in hand that nobody can find. Moves may nest.
    /// Behind it the light fence has been passed, as behind a [`push`](CacheRing::push).
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop).
    pub(crate) unsafe fn begin_move(&self) {
        // Relaxed: the fence orders it before the loads that follow.
        self.moves.store(own(&self.moves) + 1, Ordering::Relaxed);
        self.thieves.protocol.light();
    }

    /// Ends a move: what was in hand is where others find it, or given out.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop), after a [`begin_move`](CacheRing::begin_move).
    pub(crate) unsafe fn end_move(&self) {
        // Release: pairs with the Acquire in `is_moving`.
        self.moves.store(own(&self.moves) - 1, Ordering::Release);
    }

    /// Whether the owner has a move under way. Who passed the heavy fence and is told `false` finds what
    /// moves that began before it have put elsewhere.
    pub(crate) fn is_moving(&self) -> bool {
        self.moves.load(Ordering::Acquire) != 0
    }

    /// Takes up to `count` pointers off the cold end, the coldest first. Takes none while a thief
    /// is at work.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop), in a move. `take` does not use the ring and does not unwind.
    pub(crate) unsafe fn spill(&self, count: usize, take: impl FnMut(NonNull<T>)) -> usize {
        debug_assert_ne!(own(&self.moves), 0, "not in a move");
        if self.thieves.lock.is_locked() {
            return 0;
        }
        self.take_own(count, take)
    }

    /// Takes every pointer, the coldest first. Waits for a thief at work.
    ///
    /// # Safety
    ///
    /// As [`pop`](CacheRing::pop). `take` does not use the ring and does not unwind.
    pub(crate) unsafe fn drain(&self, take: impl FnMut(NonNull<T>)) -> usize {
        let _guard = RawGuard::lock(&self.thieves.lock);
        self.take_own(usize::MAX, take)
    }

    /// The owner as its own thief, with the lock or in a move: it knows the bottom, and needs no fence.
    fn take_own(&self, count: usize, take: impl FnMut(NonNull<T>)) -> usize {
        let first = own(&self.thieves.claimed);
        let bottom = own(&self.bottom);
        let end = bottom.min(first.saturating_add(count as u64));
        self.claim_to(end);
        self.read_out(first, end, take);
        self.learn_limit();
        (end - first) as usize
    }

    /// Takes up to `count` pointers off the cold end, the coldest first, and says how many.
    ///
    /// A pointer whose push happened before is found unless somebody else takes it. While the owner is
    /// at work nothing is taken, and [`is_moving`](Self::is_moving) was true at some moment. `take` is called
    /// with the lock of the ring's thieves held: it does little, does not use the ring and does not
    /// unwind.
    ///
    /// # Errors
    ///
    /// [`NotStolen`]: nothing was taken.
    pub(crate) fn steal(
        &self,
        count: usize,
        take: impl FnMut(NonNull<T>),
    ) -> Result<usize, NotStolen> {
        let _guard = RawGuard::lock(&self.thieves.lock);
        // Acquire: pairs with the Release in `read_out` by the owner, who has moved what it read out. Not
        // `claimed`, which runs ahead of it.
        let done = self.thieves.done.load(Ordering::Acquire);
        // Relaxed: read again below. Under the lock, because another thief may have raised `claimed`
        // above what it will take.
        if self.bottom.load(Ordering::Relaxed) <= done {
            return Ok(0);
        }
        self.thieves.protocol.heavy()?;
        if self.is_moving() {
            return Err(NotStolen::OwnerMoves);
        }
        let first = own(&self.thieves.claimed);
        let wanted = first + self.thieves.capacity.min(count as u64);
        self.claim_to(wanted);
        if let Err(refused) = self.thieves.protocol.heavy() {
            self.claim_to(first);
            return Err(refused.into());
        }
        let end = self.settle(first, wanted);
        self.read_out(first, end, take);
        Ok((end - first) as usize)
    }

    /// Takes the claim of `first .. wanted` back to where the owner has come, and says where.
    fn settle(&self, first: u64, wanted: u64) -> u64 {
        // Acquire: pairs with the Release of each store to `bottom`; the places below hold what the
        // owner wrote.
        let bottom = self.bottom.load(Ordering::Acquire);
        let end = wanted.min(bottom).max(first);
        self.claim_to(end);
        end
    }

    /// Hands the pointers of a settled claim out, and their places back.
    fn read_out(&self, first: u64, end: u64, mut take: impl FnMut(NonNull<T>)) {
        for position in first..end {
            // SAFETY: settled, hence claimed by this thread alone and written before.
            take(unsafe { self.read(position) });
        }
        // Release: pairs with the Acquire in `learn_limit`; the places have been read.
        self.thieves.done.store(end, Ordering::Release);
    }

    /// Relaxed: a number. What is read behind it is ordered by `bottom` and `done`.
    fn claim_to(&self, position: u64) {
        self.thieves.claimed.store(position, Ordering::Relaxed);
        if self.thieves.protocol.is_asymmetric() {
            self.gate.store(position, Ordering::Relaxed);
        }
    }

    /// The position that the owner may not reach now.
    fn learn_limit(&self) -> u64 {
        // Acquire: pairs with the Release in `read_out`; the places below may be written.
        let done = self.thieves.done.load(Ordering::Acquire);
        let limit = done + self.thieves.capacity;
        if self.thieves.protocol.is_asymmetric() {
            self.limit.store(limit, Ordering::Relaxed);
        }
        limit
    }

    #[inline(always)]
    fn count_hit(&self) {
        // Relaxed, and no read-modify-write: only the owner writes it.
        let hits = own(&self.hits);
        self.hits.store(hits + 1, Ordering::Relaxed);
    }

    /// # Safety
    ///
    /// The place of `position` was written, and nobody writes it meanwhile.
    #[inline(always)]
    unsafe fn read(&self, position: u64) -> NonNull<T> {
        self.place(position).with(|place| {
            // SAFETY: the cell's pointer; nobody writes, by the caller's promise.
            let pointer = unsafe { *place };
            // SAFETY: written before, by the caller's promise.
            unsafe { pointer.assume_init() }
        })
    }

    /// # Safety
    ///
    /// Nobody else reads or writes the place of `position` meanwhile.
    #[inline(always)]
    unsafe fn write(&self, position: u64, pointer: NonNull<T>) {
        self.place(position).with_mut(|place| {
            // SAFETY: the cell's pointer; nobody else is there, by the caller's promise.
            unsafe { *place = MaybeUninit::new(pointer) };
        });
    }

    #[inline(always)]
    fn place(&self, position: u64) -> &Place<T> {
        // The mask is less than the number of places, which is a usize.
        let index = (position & self.mask) as usize;
        debug_assert!(index < self.places.len(), "I3");
        // SAFETY: at most the mask, which is one less than the number of places.
        unsafe { self.places.get_unchecked(index) }
    }

    /// Checks I1 to I3 on a ring that nobody uses meanwhile.
    #[cfg(test)]
    pub(crate) fn debug_assert_invariants(&self) {
        let bottom = self.bottom.load(Ordering::Relaxed);
        let claimed = self.thieves.claimed.load(Ordering::Relaxed);
        let done = self.thieves.done.load(Ordering::Relaxed);
        assert!(START <= done && done == claimed, "I1");
        assert!(claimed <= bottom, "I2");
        assert!(bottom - done <= self.thieves.capacity, "I3");
        assert!(self.thieves.capacity as usize <= self.places.len(), "I3");
        if self.thieves.protocol.is_asymmetric() {
            assert_eq!(self.gate.load(Ordering::Relaxed), claimed);
            assert!(self.limit.load(Ordering::Relaxed) <= done + self.thieves.capacity);
        }
    }
}

/// Reads a word that nobody else writes: the owner its own, the holder of the lock the thieves'.
#[cfg(not(loom))]
#[inline(always)]
fn own(word: &AtomicU64) -> u64 {
    // Relaxed: this thread wrote it, or took it over by the lock.
    word.load(Ordering::Relaxed)
}

/// As above, and checked. Such a load must not count as an access of the word: loom looks at the
/// last one only, and would not try the store behind it before a load of somebody else.
#[cfg(loom)]
fn own(word: &AtomicU64) -> u64 {
    // SAFETY: nobody else writes it; loom reports if that is wrong.
    unsafe { word.unsync_load() }
}

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;
