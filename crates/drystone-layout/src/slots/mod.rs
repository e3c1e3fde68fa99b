//! [`Slots`]: a borrowed buffer cut into slots for values of one type.
//!
//! # What
//!
//! The smallest allocator for places without a heap: a buffer comes in, uninitialised slots go
//! out, and a slot that comes back is checked. Which slots are free is written beside the slots,
//! a bit each, so a slot may be as small as a byte and nothing of the allocator's is ever found in
//! one.
//!
//! # Memory picture
//!
//! ```text
//!  buffer                                                       end of the buffer
//!  │     base                                                           │
//!  ┌─────┬────────┬────────┬────────┬─ ─ ─┬────────┬──────┬──────┬──────┬────┐
//!  │ pad │ slot 0 │ slot 1 │ slot 2 │     │ n - 1  │ rest │links │words │pad │
//!  └─────┴────────┴────────┴────────┴─ ─ ─┴────────┴──────┴──────┴──────┴────┘
//!                                                     4 B    8 B each for 64 slots
//! ```
//!
//! # Invariants
//!
//! - I1: `base` is a multiple of the alignment of `T`; the slots, then the links, then the words
//!   lie in the buffer without overlap.
//! - I2: the occupancy map keeps O1 to O4 of its module, and `live` counts the slots handed out.
//!   Those are not touched.
//!
//! # Threads
//!
//! One at a time: `Slots` is `Send`, not `Sync`. It neither stores nor drops a `T`, so `T` has no
//! say: whoever puts a `T` into a slot and sends the slot elsewhere promises that `T` may go there.
//!
//! # Cost
//!
//! A slot is taken and given back in constant time, whatever the number of slots: a word loaded, a
//! bit changed, the word stored. Giving back divides by a constant. Beside the slots, 12 bytes for
//! every 64 of them on a 64-bit target, 8 bytes for every 32 on a 32-bit one.

mod error;
pub(crate) mod geometry;
mod inspect;
pub(crate) mod occupancy;

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

use drystone_core::arith;

pub use error::SlabError;
use geometry::{slots_in, words_for};
use occupancy::{Map, Occupancy};

/// How many of the slots are handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotsState {
    /// None: every slot is free.
    Free,
    /// Some.
    Partial,
    /// All: no slot is free.
    Full,
}

/// Slots for values of type `T`, cut from a buffer that is borrowed for `'a`.
///
/// The slots are uninitialised and the values the caller's: no `T` is ever dropped here. Slots
/// come in address order until the first is given back; which comes next then is not specified.
///
/// A pointer that is given back is checked: it has to be the start of a slot, and the slot has to be
/// handed out.
///
/// ```
/// use core::mem::MaybeUninit;
/// use drystone_layout::{SlabError, Slots, SlotsState};
///
/// let mut buffer = [MaybeUninit::uninit(); 256];
/// let slots = Slots::<[u8; 3]>::over(&mut buffer)?;
/// let slot = slots.try_pop_slot()?;
/// // SAFETY: the slot has just been handed out.
/// unsafe { slot.write([1, 2, 3]) };
/// assert_eq!(slots.get_state(), SlotsState::Partial);
///
/// // SAFETY: nobody uses the slot any more.
/// unsafe { slots.try_push_slot(slot) }?;
/// // SAFETY: as above.
/// assert_eq!(unsafe { slots.try_push_slot(slot) }, Err(SlabError::AlreadyFree));
/// # Ok::<(), SlabError>(())
/// ```
///
/// A zero-sized `T` does not compile:
///
/// ```compile_fail,E0080
/// let mut buffer = [core::mem::MaybeUninit::uninit(); 64];
/// let slots = drystone_layout::Slots::<()>::over(&mut buffer);
/// ```
///
/// The buffer stays borrowed:
///
/// ```compile_fail,E0506
/// let mut buffer = [core::mem::MaybeUninit::uninit(); 64];
/// let slots = drystone_layout::Slots::<u32>::over(&mut buffer).unwrap();
/// buffer[0] = core::mem::MaybeUninit::new(1);
/// slots.has_free();
/// ```
pub struct Slots<'a, T> {
    /// The first slot (I1).
    base: NonNull<u8>,
    map: BufferMap,
    occupancy: Occupancy,
    /// The slots handed out.
    live: Cell<u32>,
    buffer: PhantomData<&'a mut [MaybeUninit<u8>]>,
    slots: PhantomData<fn() -> T>,
}

// SAFETY: the buffer is borrowed exclusively and holds bytes; the cursors go with the value. See
// "Threads" in the module's documentation for `T`.
unsafe impl<T> Send for Slots<'_, T> {}

/// The map at the end of a buffer.
#[derive(Clone, Copy)]
struct BufferMap {
    words: NonNull<usize>,
    links: NonNull<u32>,
    slots: u32,
}

// SAFETY: the parts of a buffer have room for the words and links of at least one slot, aligned
// (I1), and the buffer is borrowed exclusively. One thread at a time has the cursors.
unsafe impl Map for BufferMap {
    #[inline]
    fn slots(self) -> u32 {
        self.slots
    }

    #[inline]
    fn words(self) -> NonNull<usize> {
        self.words
    }

    #[inline]
    fn links(self) -> NonNull<u32> {
        self.links
    }
}

/// Where the parts of a buffer lie, as offsets from its start.
#[derive(Clone, Copy)]
struct Parts {
    base: usize,
    links: usize,
    words: usize,
    slots: u32,
}

impl<T> Slots<'_, T> {
    /// The size of a slot in bytes, which is that of `T`.
    const STRIDE: usize = {
        assert!(size_of::<T>() > 0, "slots for a zero-sized type");
        size_of::<T>()
    };

    /// How many slots fit into a buffer of `bytes` bytes that starts at a multiple of the alignment
    /// of `T` and of `usize`. 0 where not one fits; at most `u32::MAX - 1`.
    ///
    /// ```
    /// use drystone_layout::Slots;
    ///
    /// # if cfg!(target_pointer_width = "64") {
    /// assert_eq!(Slots::<u128>::calculate_total_slots(4096), 253);
    /// assert_eq!(Slots::<u8>::calculate_total_slots(4096), 3448);
    /// # }
    /// assert_eq!(Slots::<u8>::calculate_total_slots(8), 0);
    /// ```
    #[must_use]
    pub const fn calculate_total_slots(bytes: usize) -> u32 {
        slots_in(arith::align_down(bytes, align_of::<usize>()), Self::STRIDE)
    }

    /// The parts of a buffer of `bytes` bytes at `address`.
    fn parts(address: usize, bytes: usize) -> Result<Parts, SlabError> {
        Self::place(address, bytes).ok_or(SlabError::BufferTooSmall {
            needed_bytes: Self::needed_bytes(address).unwrap_or(usize::MAX),
            available_bytes: bytes,
        })
    }

    /// The parts; `None` if not a single slot fits.
    fn place(address: usize, bytes: usize) -> Option<Parts> {
        let base = arith::padding(address, align_of::<T>());
        let end = address.checked_add(bytes)?;
        let words_end = arith::align_down(end, align_of::<usize>()).checked_sub(address)?;
        let slots = slots_in(words_end.checked_sub(base)?, Self::STRIDE);
        if slots == 0 {
            return None;
        }
        let words = words_end - words_for(slots) as usize * size_of::<usize>();
        let links = words - words_for(slots) as usize * size_of::<u32>();
        Some(Parts {
            base,
            links,
            words,
            slots,
        })
    }

    /// The bytes that one slot needs in a buffer at `address`.
    fn needed_bytes(address: usize) -> Option<usize> {
        let base = arith::padding(address, align_of::<T>());
        let map_end = address
            .checked_add(base)?
            .checked_add(Self::STRIDE)?
            .checked_add(geometry::WORD_COST_BYTES)?;
        Some(arith::align_up(map_end, align_of::<usize>())? - address)
    }

    /// The index of the slot that starts at `ptr`.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "compared before")]
    fn index_of(&self, address: usize) -> Result<u32, SlabError> {
        let offset = address.wrapping_sub(self.base.addr().get());
        let index = offset / Self::STRIDE;
        if index >= self.map.slots as usize || !offset.is_multiple_of(Self::STRIDE) {
            return Err(SlabError::InvalidPointer);
        }
        Ok(index as u32)
    }

    /// The slot of this index, which is below the number of slots.
    #[inline]
    fn slot(&self, index: u32) -> NonNull<T> {
        debug_assert!(index < self.map.slots);
        // SAFETY: by I1 the slots lie in the buffer, so the offset stays in it.
        unsafe { self.base.add(index as usize * Self::STRIDE) }.cast()
    }
}

impl<'a, T> Slots<'a, T> {
    /// Slots in `buffer`, all free.
    ///
    /// Only the map's first word is written; each further word when its first slot is handed out.
    ///
    /// # Errors
    ///
    /// [`SlabError::BufferTooSmall`] if not a single slot fits.
    pub fn over(buffer: &'a mut [MaybeUninit<u8>]) -> Result<Self, SlabError> {
        let bytes = buffer.len();
        let start = NonNull::from(buffer).cast::<u8>();
        // SAFETY: the slice is valid for its length and borrowed exclusively for `'a`; its bytes
        // may be uninitialised.
        unsafe { Self::new(start, bytes) }
    }

    /// Slots in the `bytes` bytes at `start`, all free.
    ///
    /// # Errors
    ///
    /// [`SlabError::BufferTooSmall`] if not a single slot fits.
    ///
    /// # Safety
    ///
    /// For `'a`, the bytes are valid for reads and writes, and nobody else reads or writes them
    /// but whoever is handed a slot.
    pub unsafe fn new(start: NonNull<u8>, bytes: usize) -> Result<Self, SlabError> {
        let parts = Self::parts(start.addr().get(), bytes)?;
        // SAFETY: the offset is inside the buffer, by `place`.
        let base = unsafe { start.add(parts.base) };
        // SAFETY: as above.
        let links = unsafe { start.add(parts.links) }.cast();
        // SAFETY: as above.
        let words = unsafe { start.add(parts.words) }.cast();
        let map = BufferMap {
            words,
            links,
            slots: parts.slots,
        };
        let occupancy = Occupancy::closed();
        occupancy.free_all(map);
        Ok(Self {
            base,
            map,
            occupancy,
            live: Cell::new(0),
            buffer: PhantomData,
            slots: PhantomData,
        })
    }

    /// Hands out a free slot, uninitialised.
    ///
    /// The slot belongs to the caller for `'a`, or until it is given back.
    ///
    /// # Errors
    ///
    /// [`SlabError::OutOfMemory`] if no slot is free.
    #[inline]
    pub fn try_pop_slot(&self) -> Result<NonNull<T>, SlabError> {
        // SAFETY: the occupancy was made for this map.
        let index = unsafe { self.occupancy.take(self.map) }.ok_or(SlabError::OutOfMemory)?;
        self.live.set(self.live.get() + 1);
        Ok(self.slot(index))
    }

    /// Takes a slot back. A value in it is not dropped.
    ///
    /// Whatever the pointer is, it is not dereferenced: the address is checked.
    ///
    /// # Errors
    ///
    /// [`SlabError::InvalidPointer`] if `ptr` is not the start of a slot of this buffer, and
    /// [`SlabError::AlreadyFree`] if the slot is free.
    ///
    /// # Safety
    ///
    /// If `ptr` is the start of a slot that is handed out, the caller owns that slot and uses it no
    /// more.
    #[inline]
    pub unsafe fn try_push_slot(&self, ptr: NonNull<T>) -> Result<(), SlabError> {
        let index = self.index_of(ptr.addr().get())?;
        // SAFETY: the occupancy was made for this map.
        match unsafe { self.occupancy.give(self.map, index) } {
            Ok(()) => {
                self.live.set(self.live.get() - 1);
                Ok(())
            }
            Err(occupancy::WasFree) => Err(SlabError::AlreadyFree),
        }
    }

    /// Whether a slot is free.
    #[inline]
    pub fn has_free(&self) -> bool {
        !self.occupancy.is_full()
    }

    /// Whether none, some or all of the slots are handed out.
    #[inline]
    pub fn get_state(&self) -> SlotsState {
        if self.live.get() == 0 {
            SlotsState::Free
        } else if self.occupancy.is_full() {
            SlotsState::Full
        } else {
            SlotsState::Partial
        }
    }

    /// The slots that are free.
    #[inline]
    pub fn get_free_slots(&self) -> u32 {
        self.map.slots - self.live.get()
    }

    /// The slots that there are.
    #[inline]
    pub fn get_slot_count(&self) -> u32 {
        self.map.slots
    }
}

impl<T> fmt::Debug for Slots<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("slots", &self.get_slot_count())
            .field("free", &self.get_free_slots())
            .finish_non_exhaustive()
    }
}
