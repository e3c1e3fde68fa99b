//! [`RemoteBox`]: a value in a slot, droppable on any thread.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

use super::RemoteQueue;
use super::ring::Ring;
use super::shared::Handle;

/// A value in a block of a [`SlabOwner`](super::SlabOwner).
///
/// May be sent to another thread: dropping it runs the value's destructor there, and then the
/// block goes home. May outlive the owner.
///
/// ```
/// use drystone_core::{HeapSegment, NonZeroLayout};
/// use drystone_layout::SlabOwner;
///
/// let range = HeapSegment::new(NonZeroLayout::array::<String>(10).unwrap())?;
/// let owner = SlabOwner::new(10, range)?;
/// let message = owner.alloc_box(String::from("words"))?;
/// std::thread::spawn(move || assert_eq!(message.len(), 5)).join().unwrap();
/// assert_eq!(owner.drain(), 1);
/// # Ok::<(), drystone_core::AllocError>(())
/// ```
///
/// What must stay on its thread keeps its box there:
///
/// ```compile_fail,E0277
/// # use drystone_core::HeapSegment;
/// # use drystone_layout::RemoteBox;
/// fn assert_send<S: Send>() {}
/// assert_send::<RemoteBox<std::rc::Rc<u8>, HeapSegment>>();
/// ```
pub struct RemoteBox<T, B, Q: RemoteQueue = Ring> {
    /// A live `T` in a slot of the slab, which belongs to this box.
    value: NonNull<T>,
    /// The slab's shared block, which keeps the slot's memory.
    handle: Handle<T, B, Q>,
    /// Drops a `T`.
    owned: PhantomData<T>,
}

// SAFETY: the box owns its value and a handle, and both may be sent.
unsafe impl<T: Send, B: Send, Q: RemoteQueue> Send for RemoteBox<T, B, Q> {}
// SAFETY: a shared box gives access to a shared value, and to nothing else.
unsafe impl<T: Sync, B, Q: RemoteQueue> Sync for RemoteBox<T, B, Q> {}

impl<T, B, Q: RemoteQueue> RemoteBox<T, B, Q> {
    /// A box of the value at `value`.
    ///
    /// # Safety
    ///
    /// `value` is a live `T` in a slot of the handle's slab, which belongs to nobody else.
    #[inline]
    pub(super) unsafe fn new(value: NonNull<T>, handle: Handle<T, B, Q>) -> Self {
        Self {
            value,
            handle,
            owned: PhantomData,
        }
    }

    /// The value; its block goes home.
    #[inline]
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: the value is live, and is not used in its slot again.
        let value = unsafe { this.value.read() };
        // SAFETY: the handle is not used through `this` again.
        let handle = unsafe { ptr::read(&this.handle) };
        drop(EmptySlot {
            slot: this.value.cast(),
            handle: &handle,
        });
        value
    }
}

/// A slot whose value is gone. Dropping it sends the slot home, during unwinding too.
struct EmptySlot<'a, T, B, Q: RemoteQueue> {
    slot: NonNull<u8>,
    handle: &'a Handle<T, B, Q>,
}

impl<T, B, Q: RemoteQueue> Drop for EmptySlot<'_, T, B, Q> {
    #[inline]
    fn drop(&mut self) {
        let shared = self.handle.shared();
        // SAFETY: the slot belonged to the box, whose value is gone.
        let sent = unsafe { shared.send(None, shared.offset_of(self.slot)) };
        // Without an owner the slot stays where it is until the range is dropped.
        let _ = sent;
    }
}

impl<T, B, Q: RemoteQueue> Drop for RemoteBox<T, B, Q> {
    #[inline]
    fn drop(&mut self) {
        // Goes home after the value is dropped, also if that panics.
        let _slot = EmptySlot {
            slot: self.value.cast(),
            handle: &self.handle,
        };
        // SAFETY: the value is live and the box's, which is never used again.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T, B, Q: RemoteQueue> Deref for RemoteBox<T, B, Q> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value is live and the box's, which is borrowed.
        unsafe { self.value.as_ref() }
    }
}

impl<T, B, Q: RemoteQueue> DerefMut for RemoteBox<T, B, Q> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the value is live and the box's, which is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: fmt::Debug, B, Q: RemoteQueue> fmt::Debug for RemoteBox<T, B, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Display, B, Q: RemoteQueue> fmt::Display for RemoteBox<T, B, Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
