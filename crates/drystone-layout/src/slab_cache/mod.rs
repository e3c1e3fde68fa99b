//! [`SlabCache`]: the attachable slab, for kernels and firmware.
//!
//! # What
//!
//! Boxes for values of one type, cut from slabs that a [`SlabProvider`] supplies. The first slab,
//! the *master*, is taken at once; further ones, the *slaves*, are attached to it when all are
//! full. A [`SlabBox`] finds its slab by masking its address, so it can be dropped anywhere, after
//! the cache too: the last of all boxes and handles gives every slab back. No heap, no atomics of
//! its own: what threads need is the lock's to bring.
//!
//! # Memory picture
//!
//! ```text
//!  master, SLAB_SIZE bytes at a multiple of SLAB_SIZE
//!  ┌────────┬───────┬───────┬──────┬───────┬──────────┬─────┬─ ─ ─┬────────┬────────┐
//!  │ header │ words │ links │ lock │ state │ provider │ pad │     │ slot 1 │ slot 0 │
//!  └────────┴───────┴───────┴──────┴───────┴──────────┴─────┴─ ─ ─┴────────┴────────┘
//!    ▲                                  │ root
//!    │ owner                            ▼
//!  ┌────────┬───────┬───────┬─────┬─ ─ ─┬────────┬────────┬────────┬────────┬────────┐
//!  │ header │ words │ links │ pad │     │ slot 4 │ slot 3 │ slot 2 │ slot 1 │ slot 0 │
//!  └────────┴───────┴───────┴─────┴─ ─ ─┴────────┴────────┴────────┴────────┴────────┘
//!  slave                                              ▲
//!                                                     └ a SlabBox: address & !(SLAB_SIZE - 1)
//! ```
//!
//! Slots are counted from the end, so a slot's index needs no look at the kind of slab. The header
//! has 48 bytes on a 64-bit target and 32 on a 32-bit one: a check, a count, the owner, three cursors
//! of the occupancy map, two links. The map adds 12 bytes for every 64 slots. The lock, the figures
//! and the provider are in the master only.
//!
//! # Invariants
//!
//! - I1: every slab has a header that binds it to its master, and an occupancy map that keeps O1
//!   to O4 of its module. A slot outside a box is free.
//! - I2: the ring holds exactly the slabs that have a free slot; its first one serves until it is
//!   full.
//! - I3: at most one slave in the ring is empty, and it is the last.
//! - I4: `holds` counts what keeps a slab: its live slots, and for the master also 1 while there
//!   is a handle and 1 for each slave that the provider has not got back.
//! - I5: whoever takes `holds` of the master to 0, under the lock, is the last to know it and ends
//!   the hierarchy. `holds` of a slave at 0 only makes it empty: I3 says what becomes of it.
//!
//! # Threads
//!
//! One lock for the hierarchy, held for a few dozen instructions: never while the provider runs,
//! never while a value is dropped. A cache is `Send` and `Sync` if provider and lock are both
//! both; a box goes where its value may go besides. With [`NoLock`](struct@drystone_sync::NoLock)
//! everything stays on one thread, and the lock costs nothing.
//!
//! Threads that find all slabs full at once each ask the provider; of what they get, one slab is
//! kept beyond what was needed at most, the rest goes straight back.
//!
//! # Cost
//!
//! Allocating and dropping take constant time: lock, one word of the map, two or three counters,
//! unlock. The provider is called when all slabs are full, and when a second slave becomes empty;
//! going back and forth over a slab's edge does not call it.

mod header;
mod hierarchy;
mod inspect;
mod map;
#[cfg(all(test, loom))]
mod models;
mod provider;
mod shape;
mod slab_box;
mod state;

use core::fmt;
use core::marker::PhantomData;

use drystone_core::Stats;
use drystone_sync::RawLock;

use crate::AllocValueError;
use crate::slots::SlabError;
use hierarchy::Hierarchy;
use shape::Shape;

pub use provider::{ProviderFrom, SlabProvider};
pub use slab_box::SlabBox;

/// The lock of a cache that names none: `SpinLock`, or `NoLock` where the target has no
/// compare-and-swap, which keeps the cache on one thread.
#[cfg(target_has_atomic = "32")]
pub type DefaultLock = drystone_sync::SpinLock;
/// The lock of a cache that names none: `SpinLock`, or `NoLock` where the target has no
/// compare-and-swap, which keeps the cache on one thread.
#[cfg(not(target_has_atomic = "32"))]
pub type DefaultLock = drystone_sync::NoLock;

/// The size of a slab in bytes where none is named: a page.
const DEFAULT_SLAB_SIZE: usize = 4096;

/// A handle on slabs for values of type `T`.
///
/// Clones are handles on the same slabs. Any size of `T` above zero and any alignment, as long as
/// two values fit into a slab beside its header; more than that does not compile.
///
/// `P` supplies the slabs, `L` guards them; `SLAB_SIZE`, a power of two, is the size of a slab
/// and its alignment.
///
/// A lock of one's own, for a processor with one core:
///
/// ```
/// # #[cfg(not(loom))] {
/// use core::sync::atomic::{AtomicBool, Ordering};
/// use drystone_core::{HeapSegment, NonZeroLayout};
/// use drystone_layout::{BumpArena, ProviderFrom, SlabCache};
/// use drystone_sync::RawLock;
///
/// # mod cpu { pub fn disable_interrupts() {} pub fn enable_interrupts() {} }
/// /// Keeps interrupt handlers out. One core, so nobody else is there.
/// struct InterruptsOff(AtomicBool);
///
/// // SAFETY: with interrupts off nothing else runs on the only core until they are on again, and
/// // then everything before has happened. Nothing unwinds, and the value is not touched after
/// // interrupts are on.
/// unsafe impl RawLock for InterruptsOff {
///     const INIT: Self = Self(AtomicBool::new(false));
///
///     fn lock(&self) {
///         cpu::disable_interrupts();
///         debug_assert!(!self.0.swap(true, Ordering::Acquire), "locked twice");
///     }
///
///     unsafe fn unlock(&self) {
///         self.0.store(false, Ordering::Release);
///         cpu::enable_interrupts();
///     }
/// }
///
/// # let range = HeapSegment::new(NonZeroLayout::from_size_align(4096, 1024).unwrap())?;
/// # let arena = BumpArena::new(range);
/// # let pages = ProviderFrom::new(&arena);
/// let tasks = SlabCache::<[u64; 6], _, _, 1024>::with_lock(pages, InterruptsOff::INIT)?;
/// let task = tasks.alloc([0; 6]).map_err(|_| "no memory for a task");
/// # assert!(task.is_ok());
/// # }
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// A slab that is not a power of two, or too small for two values, does not compile:
///
/// ```compile_fail,E0080
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::{BumpArena, ProviderFrom, SlabCache};
/// # use drystone_sync::NoLock;
/// # fn pages() -> ProviderFrom<&'static BumpArena<HeapSegment>> { unimplemented!() }
/// let cache = SlabCache::<u64, _, _, 3000>::with_lock(pages(), NoLock);
/// ```
///
/// ```compile_fail,E0080
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::{BumpArena, ProviderFrom, SlabCache};
/// # use drystone_sync::NoLock;
/// # fn pages() -> ProviderFrom<&'static BumpArena<HeapSegment>> { unimplemented!() }
/// let cache = SlabCache::<[u64; 40], _, _, 512>::with_lock(pages(), NoLock);
/// ```
pub struct SlabCache<
    T,
    P: SlabProvider,
    L: RawLock = DefaultLock,
    const SLAB_SIZE: usize = DEFAULT_SLAB_SIZE,
> {
    // C1: one of the counted handles on it.
    slabs: Hierarchy<T, P, L, SLAB_SIZE>,
    // Dropping the last handle drops the provider and the lock.
    owns: PhantomData<(P, L)>,
}

// SAFETY: the handles of two threads share the slabs under the lock, call the provider at the same
// time, and the last one drops provider and lock. No `T` is reached through a handle.
unsafe impl<T, P, L, const SLAB_SIZE: usize> Send for SlabCache<T, P, L, SLAB_SIZE>
where
    P: SlabProvider + Send + Sync,
    L: RawLock + Send + Sync,
{
}

// SAFETY: as for `Send`: a shared handle can be cloned, and so become another thread's own.
unsafe impl<T, P, L, const SLAB_SIZE: usize> Sync for SlabCache<T, P, L, SLAB_SIZE>
where
    P: SlabProvider + Send + Sync,
    L: RawLock + Send + Sync,
{
}

impl<T, P: SlabProvider> SlabCache<T, P> {
    /// A cache with the default lock and slabs of 4096 bytes;
    /// [`with_lock`](SlabCache::with_lock) chooses both. Takes the master slab.
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`] if the provider has no memory, [`SlabError::Misaligned`] if what
    /// it has does not start at a multiple of the slab's size. The provider is dropped.
    pub fn new(provider: P) -> Result<Self, SlabError> {
        Self::with_lock(provider, DefaultLock::new())
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> SlabCache<T, P, L, SLAB_SIZE> {
    /// The slots of a slave slab.
    pub const SLOTS_PER_SLAB: usize = Shape::<T, P, L, SLAB_SIZE>::SLAVE_SLOTS as usize;

    /// The slots of the master slab, which also holds the lock, the figures and the provider.
    pub const SLOTS_IN_MASTER: usize = Shape::<T, P, L, SLAB_SIZE>::MASTER_SLOTS as usize;

    /// A cache with this lock, unlocked, and slabs of `SLAB_SIZE` bytes. Takes the master slab.
    ///
    /// # Errors
    ///
    /// As [`new`](SlabCache::new).
    pub fn with_lock(provider: P, lock: L) -> Result<Self, SlabError> {
        Ok(Self {
            slabs: Hierarchy::new(provider, lock)?,
            owns: PhantomData,
        })
    }

    /// A box with `value`.
    ///
    /// # Errors
    ///
    /// The value, if all slabs are full and the provider has no memory, or only some that does not
    /// start at a multiple of the slab's size.
    #[inline]
    pub fn alloc(&self, value: T) -> Result<SlabBox<T, P, L, SLAB_SIZE>, AllocValueError<T>> {
        let Some(slot) = self.slabs.take() else {
            return Err(AllocValueError::new(value));
        };
        // SAFETY: the slot was free, is aligned for `T`, and belongs to this call alone.
        unsafe { slot.write(value) };
        // SAFETY: the slot was taken from a cache of these types, as this pointer, and holds a
        // value now.
        Ok(unsafe { SlabBox::from_raw(slot) })
    }

    /// Gives the empty slab that is kept for later, if there is one, back to the provider. Returns
    /// the bytes given back.
    ///
    /// The master is not given back before the last box and handle are gone.
    pub fn trim(&self) -> usize {
        if self.slabs.trim() { SLAB_SIZE } else { 0 }
    }

    /// What the cache has done and what it holds, over all handles. Bytes are those of the values.
    ///
    /// A corruption event is a box that was made with [`SlabBox::from_raw`] of something that was
    /// no live slot. It was not followed.
    pub fn stats(&self) -> Stats {
        self.slabs.stats()
    }

    /// The slabs that the provider has not got back, the master included.
    pub fn slab_count(&self) -> usize {
        self.slabs.slab_count()
    }
}

/// Another handle on the same slabs.
impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Clone
    for SlabCache<T, P, L, SLAB_SIZE>
{
    #[inline]
    fn clone(&self) -> Self {
        self.slabs.add_handle();
        Self {
            slabs: self.slabs,
            owns: PhantomData,
        }
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Drop
    for SlabCache<T, P, L, SLAB_SIZE>
{
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is a counted handle (C1), and it ends here.
        unsafe { self.slabs.remove_handle() };
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> fmt::Debug
    for SlabCache<T, P, L, SLAB_SIZE>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlabCache")
            .field("slab_size", &SLAB_SIZE)
            .field("slabs", &self.slab_count())
            .field("stats", &self.stats())
            .finish()
    }
}
