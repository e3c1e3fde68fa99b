//! [`SlabBox`]: owns one value in a slab.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::pin::Pin;
use core::ptr::{self, NonNull};

use drystone_sync::RawLock;

use super::hierarchy::Hierarchy;
use super::{DefaultLock, SlabProvider};

/// Owns a value in a slab of a [`SlabCache`](crate::SlabCache). One pointer wide.
///
/// Dropping it drops the value, outside the cache's lock, and gives the slot back, also if the
/// value's destructor panics. It may outlive every handle on the cache; the last box then gives the
/// slabs back to the provider and drops it.
///
/// Goes to another thread if the value, the provider and the lock may. A box over
/// [`NoLock`](struct@drystone_sync::NoLock) stays on its thread:
///
/// ```compile_fail,E0277
/// use drystone_core::HeapSegment;
/// use drystone_layout::{BumpArena, ProviderFrom, SlabBox};
/// use drystone_sync::NoLock;
///
/// fn send<T: Send>() {}
/// send::<SlabBox<u64, ProviderFrom<BumpArena<HeapSegment>>, NoLock>>();
/// ```
pub struct SlabBox<
    T,
    P: SlabProvider,
    L: RawLock = DefaultLock,
    const SLAB_SIZE: usize = { super::DEFAULT_SLAB_SIZE },
> {
    // B1: a live slot of a cache of these types, taken from it as this pointer, with an
    // initialised value. It may be used for the whole slab: that is how the header is reached.
    slot: NonNull<T>,
    owns: PhantomData<(T, P, L)>,
}

// SAFETY: the box owns its value, so `T` goes along. Dropping it locks the cache and may call the
// provider while another thread does, drop the provider as the last one, and drop the lock.
unsafe impl<T, P, L, const SLAB_SIZE: usize> Send for SlabBox<T, P, L, SLAB_SIZE>
where
    T: Send,
    P: SlabProvider + Send + Sync,
    L: RawLock + Send + Sync,
{
}

// SAFETY: through a shared box only `&T` is reached. The bounds on provider and lock keep it to
// what may also be sent.
unsafe impl<T, P, L, const SLAB_SIZE: usize> Sync for SlabBox<T, P, L, SLAB_SIZE>
where
    T: Sync,
    P: SlabProvider + Send + Sync,
    L: RawLock + Send + Sync,
{
}

/// The value is not inside the box, so it does not move with it.
impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Unpin for SlabBox<T, P, L, SLAB_SIZE> {}

/// Gives a slot back when it goes out of scope.
struct GiveBack<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> {
    // G1: a live slot of a cache of these types, owned, whose value is moved out or dropped.
    slot: NonNull<T>,
    types: PhantomData<(P, L)>,
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> GiveBack<T, P, L, SLAB_SIZE> {
    #[inline]
    const fn new(slot: NonNull<T>) -> Self {
        Self {
            slot,
            types: PhantomData,
        }
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Drop for GiveBack<T, P, L, SLAB_SIZE> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the slot is owned, of these types and no longer used (G1).
        unsafe { Hierarchy::<T, P, L, SLAB_SIZE>::give(self.slot) };
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> SlabBox<T, P, L, SLAB_SIZE> {
    /// The value, moved out; its slot is free again.
    #[inline]
    pub fn into_inner(self) -> T {
        let slot = Self::into_raw(self);
        let _slot = GiveBack::<T, P, L, SLAB_SIZE>::new(slot);
        // SAFETY: the slot holds an initialised value (B1), which moves out: from here on the slot
        // is only given back.
        unsafe { slot.read() }
    }

    /// The slot, whose value and return are the caller's from now on:
    /// [`from_raw`](Self::from_raw) takes both over again.
    #[inline]
    #[must_use = "the slot is lost without its pointer"]
    pub fn into_raw(this: Self) -> NonNull<T> {
        ManuallyDrop::new(this).slot
    }

    /// The box whose slot this is.
    ///
    /// # Safety
    ///
    /// The pointer came from [`into_raw`](Self::into_raw) of a box of exactly these types, and
    /// nobody else uses the slot or makes a box of it. It is that pointer or a copy of it: one made
    /// from a reference to the value reaches the value only, and not the slab around it. The slot
    /// holds an initialised value.
    #[inline]
    pub unsafe fn from_raw(slot: NonNull<T>) -> Self {
        Self {
            slot,
            owns: PhantomData,
        }
    }

    /// The value for as long as the provider's memory may live; its slot is never given back, nor
    /// is its slab.
    #[inline]
    pub fn leak<'a>(this: Self) -> &'a mut T
    where
        T: 'a,
        P: 'a,
        L: 'a,
    {
        let mut slot = Self::into_raw(this);
        // SAFETY: the slot holds an initialised value (B1) that nobody else reaches. It is never
        // given back, so the slab stays, and the provider in the master stays undropped.
        unsafe { slot.as_mut() }
    }

    /// The box, with its value pinned.
    ///
    /// A slot is used again only after its value was dropped. If the box is forgotten, its slab is
    /// never given back and the provider never dropped, so the memory stays as it is; `'static`
    /// keeps out providers whose memory ends with a borrow.
    #[inline]
    pub fn into_pin(this: Self) -> Pin<Self>
    where
        P: 'static,
    {
        // SAFETY: the value does not move with the box, no method of a pinned box moves it, and its
        // memory is not used for anything else before it was dropped: see above.
        unsafe { Pin::new_unchecked(this) }
    }

    /// The address of the value. For reading it while no `&mut` to it is in use.
    #[inline]
    pub const fn as_ptr(this: &Self) -> *const T {
        this.slot.as_ptr()
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Drop for SlabBox<T, P, L, SLAB_SIZE> {
    #[inline]
    fn drop(&mut self) {
        // Also if the value's destructor panics.
        let _slot = GiveBack::<T, P, L, SLAB_SIZE>::new(self.slot);
        // SAFETY: the slot holds an initialised value, which nobody uses after the box (B1).
        unsafe { ptr::drop_in_place(self.slot.as_ptr()) };
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> Deref for SlabBox<T, P, L, SLAB_SIZE> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the slot holds an initialised value that the box owns (B1).
        unsafe { self.slot.as_ref() }
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> DerefMut
    for SlabBox<T, P, L, SLAB_SIZE>
{
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the box is borrowed exclusively.
        unsafe { self.slot.as_mut() }
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> AsRef<T>
    for SlabBox<T, P, L, SLAB_SIZE>
{
    #[inline]
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> AsMut<T>
    for SlabBox<T, P, L, SLAB_SIZE>
{
    #[inline]
    fn as_mut(&mut self) -> &mut T {
        self
    }
}

impl<T: fmt::Debug, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> fmt::Debug
    for SlabBox<T, P, L, SLAB_SIZE>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, P: SlabProvider, L: RawLock, const SLAB_SIZE: usize> fmt::Display
    for SlabBox<T, P, L, SLAB_SIZE>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
