//! A pool of bump arenas: check one out, use it, and it comes back empty.
//!
//! # What
//!
//! [`ArenaPool`] keeps arenas that are not in use, for work that comes in pieces: a request, a
//! frame, a batch. [`checkout`](ArenaPool::checkout) hands out an idle arena, or makes one of a
//! range that the factory supplies. The guard, [`PooledArena`], is used as the
//! [`BumpArena`] in it, and gives it back when it is dropped: the arena is reset, and kept if fewer
//! than `max_idle` are idle, else dropped with its range.
//!
//! # Memory picture
//!
//! ```text
//!   ArenaPool                         PooledArena
//!   +-----------------------+         +------------------+
//!   | idle: [arena] [arena] |<--------| pool | arena --------> range
//!   | factory               |  drop   +------------------+
//!   +-----------------------+
//! ```
//!
//! An idle arena keeps its range, with what is committed and touched of it, so that the next user
//! meets warm memory. [`release_idle`](ArenaPool::release_idle) gives the pages back to the
//! operating system and keeps the ranges.
//!
//! # Invariants
//!
//! - **I1** `idle.len() <= max_idle`.
//! - **I2** An idle arena has no live block.
//! - **I3** `made == out + idle + dropped`.
//!
//! # Threads
//!
//! A pool and its guards belong to one thread: the pool is `Send` if ranges and factory are, never
//! `Sync`. Each thread has a pool of its own, or arenas that threads share come from elsewhere:
//! [`SharedBumpArena`](crate::SharedBumpArena). No call blocks but in the factory.
//!
//! # Cost
//!
//! A check-out and its return move the arena (48 bytes and the range's value) out of a vector and
//! back, and reset it. The vector is the pool's only memory of the heap; it grows to `max_idle`
//! places at most, and where it cannot grow, arenas are dropped instead of kept.

use core::cell::Cell;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use alloc::vec::Vec;
use drystone_core::{AllocError, FixedRange, OsBacked, OsError, Reset};

use crate::BumpArena;

/// Keeps idle arenas for the next user; see the [module](self).
///
/// ```
/// use drystone_core::{HeapSegment, NonZeroLayout};
/// use drystone_layout::ArenaPool;
///
/// let layout = NonZeroLayout::array::<u64>(512).unwrap();
/// let pool = ArenaPool::new(4, || HeapSegment::new(layout));
/// for request in ["GET /", "GET /favicon"] {
///     let arena = pool.checkout()?;
///     let words = arena.alloc_slice_fill_with(2, |i| request.split(' ').nth(i));
///     assert_eq!(words[0], Some("GET"));
/// }
/// // One range served both.
/// assert_eq!((pool.made(), pool.idle_count()), (1, 1));
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// A guard does not outlive its pool:
///
/// ```compile_fail,E0505
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::ArenaPool;
/// # let layout = NonZeroLayout::array::<u64>(512).unwrap();
/// let pool = ArenaPool::new(4, || HeapSegment::new(layout));
/// let arena = pool.checkout().unwrap();
/// drop(pool);
/// arena.alloc(1);
/// ```
///
/// A value does not outlive its guard:
///
/// ```compile_fail,E0505
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::ArenaPool;
/// # let layout = NonZeroLayout::array::<u64>(512).unwrap();
/// # let pool = ArenaPool::new(4, || HeapSegment::new(layout));
/// let arena = pool.checkout().unwrap();
/// let value = arena.alloc(1);
/// drop(arena);
/// *value = 2;
/// ```
///
/// Threads cannot share one:
///
/// ```compile_fail,E0277
/// # use drystone_core::{AllocError, HeapSegment};
/// # use drystone_layout::ArenaPool;
/// fn shared<T: Sync>() {}
/// shared::<ArenaPool<HeapSegment, fn() -> Result<HeapSegment, AllocError>>>();
/// ```
pub struct ArenaPool<B, F> {
    /// The arenas that wait; taken out of the cell while they are looked at.
    idle: Cell<Vec<BumpArena<B>>>,
    /// `None` while the factory runs.
    factory: Cell<Option<F>>,
    max_idle: usize,
    /// How many arenas were made, handed out at present, and dropped (I3).
    made: Cell<usize>,
    out: Cell<usize>,
    dropped: Cell<usize>,
}

impl<B: FixedRange, F: FnMut() -> Result<B, AllocError>> ArenaPool<B, F> {
    /// A pool that keeps at most `max_idle` idle arenas. Nothing is made yet; with 0 nothing is
    /// kept.
    #[inline]
    pub const fn new(max_idle: usize, factory: F) -> Self {
        Self {
            idle: Cell::new(Vec::new()),
            factory: Cell::new(Some(factory)),
            max_idle,
            made: Cell::new(0),
            out: Cell::new(0),
            dropped: Cell::new(0),
        }
    }

    /// An empty arena: the one given back last, or a new one.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if none is idle and the factory refuses, or if it is the factory itself that
    /// asks.
    ///
    /// # Panics
    ///
    /// If the factory does. The pool is then as it was.
    #[inline]
    pub fn checkout(&self) -> Result<PooledArena<'_, B, F>, AllocError> {
        let arena = match self.with_idle(Vec::pop) {
            Some(arena) => arena,
            None => self.make()?,
        };
        self.out.set(self.out.get() + 1);
        Ok(PooledArena {
            pool: self,
            arena: ManuallyDrop::new(arena),
        })
    }

    /// Makes arenas until `count` are idle, or as many as the pool keeps.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the factory refuses; those made before are kept.
    ///
    /// # Panics
    ///
    /// If the factory does; those made before are kept.
    pub fn prefill(&self, count: usize) -> Result<(), AllocError> {
        while self.idle_count() < count.min(self.max_idle) {
            let arena = self.make()?;
            self.keep(arena);
        }
        Ok(())
    }

    /// A new arena.
    #[cold]
    fn make(&self) -> Result<BumpArena<B>, AllocError> {
        /// Puts the factory back, also when it panics.
        struct Running<'p, F> {
            home: &'p Cell<Option<F>>,
            factory: Option<F>,
        }

        impl<F> Drop for Running<'_, F> {
            fn drop(&mut self) {
                self.home.set(self.factory.take());
            }
        }

        // The factory runs outside of its cell, and may use the pool meanwhile; a check-out that
        // would need the factory again finds the cell empty.
        let mut running = Running {
            factory: Some(self.factory.take().ok_or(AllocError)?),
            home: &self.factory,
        };
        let factory = running.factory.as_mut().ok_or(AllocError)?;
        let range = factory()?;
        self.made.set(self.made.get() + 1);
        Ok(BumpArena::new(range))
    }
}

impl<B, F> ArenaPool<B, F> {
    /// The arenas that wait for a user.
    pub fn idle_count(&self) -> usize {
        self.with_idle(|idle| idle.len())
    }

    /// The most arenas that wait for a user.
    #[inline]
    pub const fn max_idle(&self) -> usize {
        self.max_idle
    }

    /// The arenas handed out and not given back. One whose guard was forgotten counts for ever.
    #[inline]
    pub fn checked_out_count(&self) -> usize {
        self.out.get()
    }

    /// How often the factory has supplied a range.
    #[inline]
    pub fn made(&self) -> usize {
        self.made.get()
    }

    /// Drops every idle arena and its range.
    pub fn trim(&self) {
        let idle = self.idle.take();
        self.dropped.set(self.dropped.get() + idle.len());
    }

    /// Gives the pages of the idle arenas back to the operating system; their ranges stay, and
    /// their bytes are as after [`OsBacked::release`].
    ///
    /// # Errors
    ///
    /// The first [`OsError`]; the other arenas are tried all the same.
    pub fn release_idle(&self) -> Result<(), OsError>
    where
        B: OsBacked,
    {
        self.with_idle(|idle| {
            let mut outcome = Ok(());
            for arena in idle.iter() {
                let size = arena.backing().size();
                // SAFETY: the range is whole, and an idle arena has no live block (I2), so nobody
                // needs the bytes.
                outcome = outcome.and(unsafe { arena.backing().release(0, size) });
            }
            outcome
        })
    }

    /// Keeps an empty arena for the next user, or drops it where there is no place.
    fn keep(&self, arena: BumpArena<B>) {
        let surplus = self.with_idle(|idle| {
            if idle.len() < self.max_idle && idle.try_reserve(1).is_ok() {
                idle.push(arena);
                None
            } else {
                Some(arena)
            }
        });
        if surplus.is_some() {
            self.dropped.set(self.dropped.get() + 1);
        }
    }

    /// Looks at the idle arenas. Nothing of the user's runs meanwhile.
    #[inline]
    fn with_idle<R>(&self, look: impl FnOnce(&mut Vec<BumpArena<B>>) -> R) -> R {
        let mut idle = self.idle.take();
        let answer = look(&mut idle);
        self.idle.set(idle);
        answer
    }
}

impl<B: FixedRange, F> ArenaPool<B, F> {
    /// Checks every invariant by number.
    ///
    /// # Panics
    ///
    /// In builds with debug assertions, if one does not hold.
    pub fn debug_assert_invariants(&self) {
        debug_assert!(self.idle_count() <= self.max_idle, "I1");
        debug_assert!(
            self.with_idle(|idle| idle.iter().all(|arena| arena.allocated_bytes() == 0)),
            "I2"
        );
        debug_assert_eq!(
            self.made.get(),
            self.out.get() + self.idle_count() + self.dropped.get(),
            "I3"
        );
    }
}

impl<B, F> fmt::Debug for ArenaPool<B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaPool")
            .field("idle", &self.idle_count())
            .field("max_idle", &self.max_idle)
            .field("checked_out", &self.out.get())
            .field("made", &self.made.get())
            .finish_non_exhaustive()
    }
}

/// An arena of a pool, given back when this is dropped.
///
/// Through `&mut` it opens scopes: `arena.scope()`. What it holds may be swapped with another arena
/// of the same type; the pool then keeps that one.
#[must_use = "an arena that is dropped at once goes back unused"]
pub struct PooledArena<'p, B: FixedRange, F> {
    pool: &'p ArenaPool<B, F>,
    arena: ManuallyDrop<BumpArena<B>>,
}

impl<B: FixedRange, F> Deref for PooledArena<'_, B, F> {
    type Target = BumpArena<B>;

    #[inline]
    fn deref(&self) -> &BumpArena<B> {
        &self.arena
    }
}

impl<B: FixedRange, F> DerefMut for PooledArena<'_, B, F> {
    #[inline]
    fn deref_mut(&mut self) -> &mut BumpArena<B> {
        &mut self.arena
    }
}

impl<B: FixedRange, F> Drop for PooledArena<'_, B, F> {
    fn drop(&mut self) {
        // SAFETY: the guard is being dropped and does not use the field again.
        let mut arena = unsafe { ManuallyDrop::take(&mut self.arena) };
        arena.reset();
        self.pool.out.set(self.pool.out.get() - 1);
        self.pool.keep(arena);
    }
}

impl<B: FixedRange, F> fmt::Debug for PooledArena<'_, B, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PooledArena").field(&**self).finish()
    }
}
