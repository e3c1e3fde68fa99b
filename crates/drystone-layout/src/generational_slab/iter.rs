//! Iteration over the values of a slab, in slot order.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;

use drystone_core::FixedRange;

use super::slots::Slots;
use super::{Generation, GenerationalSlab, Handle};

impl<T, B: FixedRange, G: Generation> GenerationalSlab<T, B, G> {
    /// The values and their handles, in slot order.
    #[inline]
    pub fn iter(&self) -> Iter<'_, T, G> {
        Iter {
            walk: self.walk(),
            borrowed: PhantomData,
        }
    }

    /// The values, to be changed, and their handles, in slot order.
    #[inline]
    pub fn iter_mut(&mut self) -> IterMut<'_, T, G> {
        IterMut {
            walk: self.walk(),
            borrowed: PhantomData,
        }
    }

    /// Takes every value out, in slot order. What is left when the iterator is dropped is dropped
    /// with it; if the iterator is forgotten it stays in the slab.
    #[inline]
    pub fn drain(&mut self) -> Drain<'_, T, B, G> {
        Drain {
            next: 0,
            slab: self,
        }
    }

    #[inline]
    fn walk(&self) -> Walk<T, G> {
        Walk {
            slots: self.slots(),
            next: 0,
            left: self.live,
        }
    }
}

/// Steps from one occupied slot to the next.
struct Walk<T, G: Generation> {
    slots: Slots<T, G>,
    next: u32,
    /// The occupied slots at or after `next`: never more than there are (I6).
    left: u32,
}

impl<T, G: Generation> Walk<T, G> {
    /// The next occupied slot.
    ///
    /// # Safety
    ///
    /// The slots of the slab are as they were when the walk was made, and not written to meanwhile
    /// but for the values that the walk has passed.
    #[inline]
    unsafe fn step(&mut self) -> Option<Handle<T, G>> {
        if self.left == 0 {
            return None;
        }
        loop {
            let index = self.next;
            // SAFETY: an occupied slot is left at or after this one, so this one is carved.
            let generation = unsafe { self.slots.generation(index) };
            self.next += 1;
            if let Some(live) = generation.live() {
                self.left -= 1;
                return Some(Handle::new(index, live));
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl<T, G: Generation> Clone for Walk<T, G> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

/// The values of a slab and their handles; see [`GenerationalSlab::iter`].
pub struct Iter<'a, T, G: Generation = u32> {
    walk: Walk<T, G>,
    borrowed: PhantomData<&'a T>,
}

// SAFETY: the iterator is a shared borrow of the values.
unsafe impl<T: Sync, G: Generation> Send for Iter<'_, T, G> {}
// SAFETY: as above; through `&Iter` nothing but a clone can be had.
unsafe impl<T: Sync, G: Generation> Sync for Iter<'_, T, G> {}

impl<'a, T, G: Generation> Iterator for Iter<'a, T, G> {
    type Item = (Handle<T, G>, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the slab is borrowed for the iterator's life, so nothing changes.
        let handle = unsafe { self.walk.step() }?;
        // SAFETY: the slot is carved.
        let value = unsafe { self.walk.slots.value(handle.index()) };
        // SAFETY: the slot holds a value, and the slab is borrowed for `'a`.
        Some((handle, unsafe { value.as_ref() }))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.walk.size_hint()
    }
}

impl<T, G: Generation> ExactSizeIterator for Iter<'_, T, G> {}
impl<T, G: Generation> FusedIterator for Iter<'_, T, G> {}

impl<T, G: Generation> Clone for Iter<'_, T, G> {
    fn clone(&self) -> Self {
        Self {
            walk: self.walk.clone(),
            borrowed: PhantomData,
        }
    }
}

impl<T: fmt::Debug, G: Generation> fmt::Debug for Iter<'_, T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}

/// The values of a slab, to be changed, and their handles; see [`GenerationalSlab::iter_mut`].
pub struct IterMut<'a, T, G: Generation = u32> {
    walk: Walk<T, G>,
    borrowed: PhantomData<&'a mut T>,
}

// SAFETY: the iterator is an exclusive borrow of the values.
unsafe impl<T: Send, G: Generation> Send for IterMut<'_, T, G> {}
// SAFETY: through `&IterMut` no value can be reached.
unsafe impl<T: Sync, G: Generation> Sync for IterMut<'_, T, G> {}

impl<'a, T, G: Generation> Iterator for IterMut<'a, T, G> {
    type Item = (Handle<T, G>, &'a mut T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the slab is borrowed for the iterator's life, and only values that the walk has
        // passed are lent out.
        let handle = unsafe { self.walk.step() }?;
        // SAFETY: the slot is carved.
        let mut value = unsafe { self.walk.slots.value(handle.index()) };
        // SAFETY: the slot holds a value, the slab is borrowed exclusively for `'a`, and the walk
        // passes each slot once.
        Some((handle, unsafe { value.as_mut() }))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.walk.size_hint()
    }
}

impl<T, G: Generation> ExactSizeIterator for IterMut<'_, T, G> {}
impl<T, G: Generation> FusedIterator for IterMut<'_, T, G> {}

impl<T, G: Generation> fmt::Debug for IterMut<'_, T, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut")
            .field("left", &self.walk.left)
            .finish_non_exhaustive()
    }
}

/// Takes the values out of a slab; see [`GenerationalSlab::drain`].
pub struct Drain<'a, T, B: FixedRange, G: Generation = u32> {
    slab: &'a mut GenerationalSlab<T, B, G>,
    /// The first slot not visited yet.
    next: u32,
}

impl<T, B: FixedRange, G: Generation> Iterator for Drain<'_, T, B, G> {
    type Item = (Handle<T, G>, T);

    fn next(&mut self) -> Option<Self::Item> {
        while self.slab.live > 0 {
            let index = self.next;
            // SAFETY: an occupied slot is left at or after this one, so this one is carved (I3).
            let generation = unsafe { self.slab.slots().generation(index) };
            self.next += 1;
            if let Some(live) = generation.live() {
                let handle = Handle::new(index, live);
                // SAFETY: the generation is odd: the slot holds a value (I4).
                return Some((handle, unsafe { self.slab.vacate(handle) }));
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.slab.len(), Some(self.slab.len()))
    }
}

impl<T, B: FixedRange, G: Generation> ExactSizeIterator for Drain<'_, T, B, G> {}
impl<T, B: FixedRange, G: Generation> FusedIterator for Drain<'_, T, B, G> {}

impl<T, B: FixedRange, G: Generation> Drop for Drain<'_, T, B, G> {
    fn drop(&mut self) {
        /// Goes on where a destructor panicked. A second panic while the first unwinds ends the
        /// process, as everywhere.
        struct Rest<'d, 'a, T, B: FixedRange, G: Generation>(&'d mut Drain<'a, T, B, G>);

        impl<T, B: FixedRange, G: Generation> Drop for Rest<'_, '_, T, B, G> {
            fn drop(&mut self) {
                self.0.by_ref().for_each(drop);
            }
        }

        let rest = Rest(self);
        rest.0.by_ref().for_each(drop);
    }
}

impl<T, B: FixedRange, G: Generation> fmt::Debug for Drain<'_, T, B, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("left", &self.slab.live)
            .finish_non_exhaustive()
    }
}

impl<'a, T, B: FixedRange, G: Generation> IntoIterator for &'a GenerationalSlab<T, B, G> {
    type Item = (Handle<T, G>, &'a T);
    type IntoIter = Iter<'a, T, G>;

    #[inline]
    fn into_iter(self) -> Iter<'a, T, G> {
        self.iter()
    }
}

impl<'a, T, B: FixedRange, G: Generation> IntoIterator for &'a mut GenerationalSlab<T, B, G> {
    type Item = (Handle<T, G>, &'a mut T);
    type IntoIter = IterMut<'a, T, G>;

    #[inline]
    fn into_iter(self) -> IterMut<'a, T, G> {
        self.iter_mut()
    }
}
