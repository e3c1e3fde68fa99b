//! [`GenerationalSlab`]: values of one type behind handles that notice when a value is gone.
//!
//! # What
//!
//! A slab of values with a safe interface: a [`Handle`] is a number, not a pointer, and says which
//! value it means even after its slot was used again. Each slot counts its lives; a handle carries
//! the count at its making, and every access compares the two, in every build. A slot whose count
//! has come round is retired, so that a handle never means a later value.
//!
//! **Handles of other slabs.** The slots of each slab begin their count at a place of their own,
//! spread over all counts by the golden ratio. With `n` slabs made by the process so far and
//! generations of `b` bits, a handle of one slab is refused by all others with certainty while no
//! slot has lived `2^(b - 1) / (3 n)` times: with `u32`, 1000 slabs and 700 000 lives of one slot;
//! with `u64`, a million slabs and 10^12 lives. Beyond that a handle may mean a value of another
//! slab of the same type, never anything else. Generations of 8 and 16 bits tell slots' lives
//! apart, and slabs only by luck. The slabs of a process are counted to 2^32; where the target has
//! no compare-and-swap, the address of the range stands for the count, so a slab in the place of
//! an earlier one is not told from it.
//!
//! **Destructor policy.** [`remove`](GenerationalSlab::remove) moves a value out;
//! [`clear`](GenerationalSlab::clear), [`retain`](GenerationalSlab::retain), the end of a [`Drain`]
//! and the drop of the slab drop it. When a destructor panics, every other value that was to be
//! dropped by `clear`, a `Drain` or the slab still is, exactly once.
//!
//! # Memory picture
//!
//! ```text
//!   base   start                                     carved     ready     capacity
//!    |       |                                         |          |          |
//!    +-------+------------+-----------+------------+---+----------+----------+------+
//!    |  pad  | value, odd | link, even| value, odd | ..| untouched, committed | rest |
//!    +-------+------------+-----------+------------+---+----------+----------+------+
//!                         |       ^
//!                         v       +---- free
//!                        none
//! ```
//!
//! The generation lies behind the value, in the same slot. For values of a cache line or more it is
//! on the next line, and a lookup has both on their way at once.
//!
//! # Invariants
//!
//! - **I1** `start` is a multiple of the slot's alignment, as an address and across moves of the range.
//! - **I2** `start + capacity * STRIDE` is at most the size of the range.
//! - **I3** `carved <= ready <= capacity`, in slots. The slots below `ready` are committed; those
//!   below `carved` have a generation.
//! - **I4** A slot holds a value if its generation is odd, and none if it is even.
//! - **I5** The free list ends, and each of its slots is carved, even, and listed once.
//! - **I6** `live + free + retired == carved`. A retired slot is even, at the first generation of
//!   the slab, and on no list.
//!
//! # Threads
//!
//! `&self` reads, `&mut self` writes: the slab is `Send` if the values and the range are, and `Sync`
//! likewise, so readers may share one. No call blocks. Handles go anywhere.
//!
//! # Cost
//!
//! A lookup compares the index with the number of slots in use and the generation with the
//! slot's. An insertion takes the slot freed last; slots never used are carved in address order,
//! and nothing is touched before. A slot has the size of its value or 4 bytes, plus the generation,
//! rounded up to the alignment of both: 72 bytes for 64, with `u32`. A range that commits on demand
//! is committed in steps of 64 KiB, or of one slot where memory is short. Iteration visits every
//! carved slot.

mod generation;
mod handle;
mod inspect;
mod iter;
mod sequence;
mod slots;

use core::fmt;
use core::marker::PhantomData;

use drystone_core::{FixedRange, arith};

use crate::slab::slot_list::Origin;
use crate::{AllocValueError, SetupError};
pub use generation::Generation;
pub use handle::Handle;
pub use iter::{Drain, Iter, IterMut};
use slots::{Slot, Slots};

/// The end of the free list.
const NONE: u32 = u32::MAX;

/// How much of a range that commits on demand is committed at once, in bytes.
const COMMIT_STEP_BYTES: usize = 64 << 10;

/// Values of type `T` in the range `B`, each named by a [`Handle`]; see the [module](self).
///
/// `T` may be zero-sized. The values move with the range, and no borrow outlives a move, so every
/// kind of range serves; one that may move must guarantee the alignment of `T`.
///
/// ```
/// use drystone_core::{HeapSegment, NonZeroLayout};
/// use drystone_layout::GenerationalSlab;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<u64>(512).unwrap())?;
/// let mut players = GenerationalSlab::new(100, range)?;
/// let ada = players.insert("Ada").unwrap();
/// let bob = players.insert("Bob").unwrap();
///
/// assert_eq!(players.remove(ada), Some("Ada"));
/// // The slot is used again; the old handle still means Ada.
/// let eve = players.insert("Eve").unwrap();
/// assert_eq!((players.get(ada), players.get(eve)), (None, Some(&"Eve")));
/// assert_eq!(players.iter().map(|(_, name)| *name).collect::<Vec<_>>(), ["Eve", "Bob"]);
/// # assert!(players.contains(bob));
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// There is no second slab with the same values and handles:
///
/// ```compile_fail,E0599
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::GenerationalSlab;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u64>(64).unwrap()).unwrap();
/// let slab = GenerationalSlab::<u64, _>::new(4, range).unwrap();
/// let twin = slab.clone();
/// ```
///
/// A reference does not outlive the removal of its value, or a move of the slab:
///
/// ```compile_fail,E0502
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::GenerationalSlab;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u64>(64).unwrap()).unwrap();
/// # let mut slab = GenerationalSlab::<u64, _>::new(4, range).unwrap();
/// let handle = slab.insert(7).unwrap();
/// let seven = slab.get(handle);
/// slab.remove(handle);
/// assert_eq!(seven, Some(&7));
/// ```
///
/// ```compile_fail,E0505
/// # use drystone_core::{HeapSegment, NonZeroLayout};
/// # use drystone_layout::GenerationalSlab;
/// # let range = HeapSegment::new(NonZeroLayout::array::<u64>(64).unwrap()).unwrap();
/// # let mut slab = GenerationalSlab::<u64, _>::new(4, range).unwrap();
/// let handle = slab.insert(7).unwrap();
/// let seven = slab.get(handle);
/// let moved = slab;
/// assert_eq!(seven, Some(&7));
/// ```
///
/// Values that stay on a thread keep their slab there:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::GenerationalSlab;
/// fn sent<T: Send>() {}
/// sent::<GenerationalSlab<std::rc::Rc<u8>, HeapSegment>>();
/// ```
pub struct GenerationalSlab<T, B: FixedRange, G: Generation = u32> {
    /// The link to the first slot: its offset or its address, as the range has it (I1).
    first: usize,
    /// The slots there is room for (I2).
    capacity: u32,
    /// The slots that have been used (I3).
    carved: u32,
    /// The slots that may be used without committing more (I3).
    ready: u32,
    /// The first slot of the free list, or [`NONE`] (I5).
    free: u32,
    live: u32,
    retired: u32,
    /// The generation that slots begin with.
    first_generation: G,
    backing: B,
    values: PhantomData<T>,
}

impl<T, B: FixedRange> GenerationalSlab<T, B> {
    /// A slab for `capacity` values with generations of 32 bits.
    ///
    /// # Errors
    ///
    /// As [`with_generation`](Self::with_generation).
    #[inline]
    pub fn new(capacity: usize, backing: B) -> Result<Self, SetupError> {
        Self::with_generation(capacity, backing)
    }
}

impl<T, B: FixedRange, G: Generation> GenerationalSlab<T, B, G> {
    /// The distance between two slots in bytes: the generation, and the value or 4 bytes, rounded
    /// up to the alignment of both.
    pub const STRIDE: usize = size_of::<Slot<T, G>>();

    /// The most values that a slab of this type can hold: `u32::MAX - 1`, or as many as fit in
    /// `isize::MAX` bytes.
    pub const CAPACITY_MAX: usize = {
        let in_bytes = arith::SIZE_MAX / Self::STRIDE;
        let indices = NONE as usize - 1;
        if in_bytes < indices {
            in_bytes
        } else {
            indices
        }
    };

    /// How many slots are committed at once.
    const COMMIT_STEP: u32 = {
        let slots = COMMIT_STEP_BYTES / Self::STRIDE;
        if slots == 0 { 1 } else { slots as u32 }
    };

    /// A slab for `capacity` values with generations of type `G`.
    ///
    /// The range needs `capacity` times [`STRIDE`](Self::STRIDE) bytes, and a little more if its
    /// base is not aligned for a slot. Nothing is written to it, and nothing committed.
    ///
    /// # Errors
    ///
    /// [`SetupError`] if `capacity` is 0 or above [`CAPACITY_MAX`](Self::CAPACITY_MAX), if the
    /// range is too small, or if it can move and guarantees less than the alignment of a slot. The
    /// range is dropped.
    pub fn with_generation(capacity: usize, backing: B) -> Result<Self, SetupError> {
        let start = Self::place(capacity, &backing)?;
        let capacity = capacity as u32;
        let ready = if backing.commits_on_demand() {
            0
        } else {
            capacity
        };
        let number = sequence::number_of(backing.base().addr().get());
        Ok(Self {
            first: Origin::of(&backing).link_to(start),
            capacity,
            carved: 0,
            ready,
            free: NONE,
            live: 0,
            retired: 0,
            first_generation: G::start(number),
            backing,
            values: PhantomData,
        })
    }

    /// Where the first slot starts.
    fn place(capacity: usize, backing: &B) -> Result<usize, SetupError> {
        if capacity == 0 {
            return Err(SetupError::ZeroCapacity);
        }
        if capacity > Self::CAPACITY_MAX {
            return Err(SetupError::CapacityAboveLimit {
                capacity,
                limit: Self::CAPACITY_MAX,
            });
        }
        let align = align_of::<Slot<T, G>>();
        let Some(start) = backing.align_offset(0, align) else {
            return Err(SetupError::AlignmentUnavailable {
                align,
                base_align: backing.base_align(),
            });
        };
        // The capacity is within its limit, so the product does not overflow.
        let bytes = capacity * Self::STRIDE;
        if !arith::range_fits(start, bytes, backing.size()) {
            return Err(SetupError::RangeTooSmall {
                needed_bytes: start.saturating_add(bytes),
                available_bytes: backing.size(),
            });
        }
        Ok(start)
    }

    /// The slots there are in all, retired ones included.
    #[inline]
    pub const fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// The values in the slab.
    #[inline]
    pub const fn len(&self) -> usize {
        self.live as usize
    }

    /// Whether there is no value in the slab.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The slots that will not be used again, because their generation has come round. There is
    /// room for [`capacity`](Self::capacity) less this many values.
    #[inline]
    pub const fn retired(&self) -> usize {
        self.retired as usize
    }

    /// The range.
    #[inline]
    pub const fn backing(&self) -> &B {
        &self.backing
    }

    #[inline]
    fn slots(&self) -> Slots<T, G> {
        let origin = Origin::of(&self.backing);
        // SAFETY: by I2 the offset lies in the range, or at its end if no value has bytes.
        Slots::new(unsafe { origin.base().add(origin.offset_to(self.first)) })
    }

    /// The offset of the first slot.
    fn start(&self) -> usize {
        Origin::of(&self.backing).offset_to(self.first)
    }

    /// Puts a value in a slot.
    ///
    /// # Errors
    ///
    /// [`AllocValueError`] with the value if every slot is occupied or retired, or the range has no
    /// memory for another.
    #[inline]
    pub fn insert(&mut self, value: T) -> Result<Handle<T, G>, AllocValueError<T>> {
        match self.vacancy() {
            Some(index) => Ok(self.occupy(index, value)),
            None => Err(AllocValueError::new(value)),
        }
    }

    /// Puts in a slot the value that `make` makes of its own handle. `None` if there is no room;
    /// `make` is then not called.
    ///
    /// # Panics
    ///
    /// If `make` does; the slab is then as it was.
    ///
    /// ```
    /// # use drystone_core::{HeapSegment, NonZeroLayout};
    /// # use drystone_layout::GenerationalSlab;
    /// # use drystone_layout::generational_slab::Handle;
    /// struct Node {
    ///     parent: Handle<Node>,
    /// }
    /// # let range = HeapSegment::new(NonZeroLayout::array::<u64>(64).unwrap())?;
    /// let mut nodes = GenerationalSlab::<Node, _>::new(4, range)?;
    /// let root = nodes.insert_with_handle(|own| Node { parent: own }).unwrap();
    /// assert_eq!(nodes.get(root).unwrap().parent, root);
    /// # Ok::<(), drystone_core::AllocError>(())
    /// ```
    #[inline]
    pub fn insert_with_handle(
        &mut self,
        make: impl FnOnce(Handle<T, G>) -> T,
    ) -> Option<Handle<T, G>> {
        let index = self.vacancy()?;
        // SAFETY: a slot of the free list is carved, so it has a generation (I3).
        let generation = unsafe { self.slots().generation(index) };
        let value = make(Handle::new(index, generation.occupied()));
        Some(self.occupy(index, value))
    }

    /// The value that `handle` names, if it is still there.
    #[inline]
    pub fn get(&self, handle: Handle<T, G>) -> Option<&T> {
        if !self.contains(handle) {
            return None;
        }
        // SAFETY: a slot that holds a value is carved, and exists by I2.
        let value = unsafe { self.slots().value(handle.index()) };
        // SAFETY: the generation is odd, so the slot holds a value (I4), which only `&mut self`
        // can change or take out.
        Some(unsafe { value.as_ref() })
    }

    /// The value that `handle` names, if it is still there.
    #[inline]
    pub fn get_mut(&mut self, handle: Handle<T, G>) -> Option<&mut T> {
        if !self.contains(handle) {
            return None;
        }
        // SAFETY: as in `get`.
        let mut value = unsafe { self.slots().value(handle.index()) };
        // SAFETY: the slot holds a value (I4), borrowed exclusively with the slab.
        Some(unsafe { value.as_mut() })
    }

    /// The values that the handles name, all at once. `None` if one is gone, or if two handles
    /// name the same value.
    ///
    /// Compares every pair of handles.
    ///
    /// ```
    /// # use drystone_core::{HeapSegment, NonZeroLayout};
    /// # use drystone_layout::GenerationalSlab;
    /// # let range = HeapSegment::new(NonZeroLayout::array::<u64>(64).unwrap())?;
    /// # let mut slab = GenerationalSlab::<u32, _>::new(4, range)?;
    /// let (one, two) = (slab.insert(1).unwrap(), slab.insert(2).unwrap());
    /// let [a, b] = slab.get_disjoint_mut([one, two]).unwrap();
    /// core::mem::swap(a, b);
    /// assert_eq!(slab.get(one), Some(&2));
    /// assert_eq!(slab.get_disjoint_mut([one, one]), None);
    /// # Ok::<(), drystone_core::AllocError>(())
    /// ```
    pub fn get_disjoint_mut<const N: usize>(
        &mut self,
        handles: [Handle<T, G>; N],
    ) -> Option<[&mut T; N]> {
        for (position, handle) in handles.iter().enumerate() {
            let seen = &handles[..position];
            if !self.contains(*handle) || seen.iter().any(|other| other.index() == handle.index()) {
                return None;
            }
        }
        let slots = self.slots();
        Some(handles.map(|handle| {
            // SAFETY: as in `get`.
            let mut value = unsafe { slots.value(handle.index()) };
            // SAFETY: the slot holds a value (I4), no other handle names the same slot, and all
            // are borrowed exclusively with the slab.
            unsafe { value.as_mut() }
        }))
    }

    /// Whether the value that `handle` names is still there.
    #[inline]
    pub fn contains(&self, handle: Handle<T, G>) -> bool {
        if handle.index() >= self.carved {
            return false;
        }
        // SAFETY: the slot is carved, so it exists, is aligned and has a generation (I1 to I3).
        let generation = unsafe { self.slots().generation(handle.index()) };
        generation == G::stored(handle.generation())
    }

    /// Takes the value out that `handle` names, if it is still there.
    #[inline]
    pub fn remove(&mut self, handle: Handle<T, G>) -> Option<T> {
        if self.contains(handle) {
            // SAFETY: the slot is in the life that the handle names, so it holds a value (I4).
            Some(unsafe { self.vacate(handle) })
        } else {
            None
        }
    }

    /// Drops every value. Their handles name nothing from then on.
    ///
    /// # Panics
    ///
    /// If a destructor does; the other values are dropped all the same.
    pub fn clear(&mut self) {
        drop(self.drain());
    }

    /// Keeps the values for which `keep` answers `true` and drops the others, in slot order.
    ///
    /// # Panics
    ///
    /// If `keep` or a destructor does; the values not visited yet are then kept.
    pub fn retain(&mut self, mut keep: impl FnMut(Handle<T, G>, &mut T) -> bool) {
        for index in 0..self.carved {
            let slots = self.slots();
            // SAFETY: the slot is carved (I3).
            let generation = unsafe { slots.generation(index) };
            let Some(live) = generation.live() else {
                continue;
            };
            // SAFETY: the slot exists.
            let mut value = unsafe { slots.value(index) };
            // SAFETY: the slot holds a value (I4), borrowed exclusively with the slab.
            let value = unsafe { value.as_mut() };
            let handle = Handle::new(index, live);
            if !keep(handle, value) {
                // SAFETY: the slot holds the value still, and no reference to it is left.
                drop(unsafe { self.vacate(handle) });
            }
        }
    }

    /// The first slot of the free list, which a new slot joins if it is empty.
    #[inline]
    fn vacancy(&mut self) -> Option<u32> {
        if self.free == NONE {
            self.carve()?;
        }
        Some(self.free)
    }

    /// Puts the first slot never used on the free list, which is empty.
    #[inline]
    fn carve(&mut self) -> Option<()> {
        let index = self.carved;
        if index == self.ready {
            self.commit()?;
        }
        let slots = self.slots();
        // SAFETY: the slot is below `ready`: it exists, is aligned and committed (I1 to I3), and
        // nothing has used it yet.
        unsafe { slots.set_generation(index, self.first_generation) };
        // SAFETY: as above; an even generation says that it holds no value.
        unsafe { slots.set_next_free(index, NONE) };
        self.carved += 1;
        self.free = index;
        Some(())
    }

    /// Commits the next step of the range, or one slot where that is all there is memory for.
    #[cold]
    #[inline(never)]
    fn commit(&mut self) -> Option<()> {
        let left = self.capacity - self.ready;
        if left == 0 {
            return None;
        }
        let offset = self.start() + self.ready as usize * Self::STRIDE;
        let commit = |slots: u32| self.backing.commit(offset, slots as usize * Self::STRIDE);
        let step = Self::COMMIT_STEP.min(left);
        let committed = match commit(step) {
            Ok(()) => step,
            Err(_) => commit(1).map(|()| 1).ok()?,
        };
        self.ready += committed;
        Some(())
    }

    /// Moves `value` into the first slot of the free list, which is `index`.
    #[inline]
    fn occupy(&mut self, index: u32, value: T) -> Handle<T, G> {
        let slots = self.slots();
        // SAFETY: a slot of the free list is carved and holds a link (I5).
        let next = unsafe { slots.next_free(index) };
        // SAFETY: the slot is carved (I3).
        let live = unsafe { slots.generation(index) }.occupied();
        // SAFETY: the slot exists.
        let place = unsafe { slots.value(index) };
        // SAFETY: the place is aligned for `T`, has room for one, and holds none (I4, I5).
        unsafe { place.write(value) };
        // SAFETY: the slot exists, and is borrowed exclusively with the slab.
        unsafe { slots.set_generation(index, G::stored(live)) };
        self.free = next;
        self.live += 1;
        Handle::new(index, live)
    }

    /// Takes the value out that `handle` names. All bookkeeping is done when it returns, so that whatever the
    /// value's destructor does finds the slab whole.
    ///
    /// # Safety
    ///
    /// The value is there.
    #[inline]
    unsafe fn vacate(&mut self, handle: Handle<T, G>) -> T {
        debug_assert!(self.contains(handle));
        let (slots, index) = (self.slots(), handle.index());
        let generation = G::vacated(handle.generation());
        // SAFETY: the slot exists.
        let place = unsafe { slots.value(index) };
        // SAFETY: the slot holds a value, by the caller's promise, and the generation written next
        // says that it does no longer.
        let value = unsafe { place.read() };
        // SAFETY: the slot exists, and is borrowed exclusively with the slab.
        unsafe { slots.set_generation(index, generation) };
        self.live -= 1;
        if generation == self.first_generation {
            self.retired += 1;
        } else {
            // SAFETY: the slot is carved and its value was just moved out.
            unsafe { slots.set_next_free(index, self.free) };
            self.free = index;
        }
        value
    }
}

impl<T, B: FixedRange, G: Generation> Drop for GenerationalSlab<T, B, G> {
    fn drop(&mut self) {
        if core::mem::needs_drop::<T>() {
            self.clear();
        }
    }
}

impl<T: fmt::Debug, B: FixedRange, G: Generation> fmt::Debug for GenerationalSlab<T, B, G> {
    /// A map of handles to values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
