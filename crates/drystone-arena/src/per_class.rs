//! [`PerClass`]: something for each size class.

use core::cell::UnsafeCell;

use drystone_core::SizeClass;

/// Something for each size class, whose every change is in cells of its own.
///
/// References are to single entries: whoever checks references would look at all the others too.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct PerClass<T> {
    entries: UnsafeCell<[T; SizeClass::COUNT]>,
}

impl<T> PerClass<T> {
    pub(crate) const fn new(entries: [T; SizeClass::COUNT]) -> Self {
        Self {
            entries: UnsafeCell::new(entries),
        }
    }

    #[inline(always)]
    pub(crate) fn of(&self, class: usize) -> &T {
        debug_assert!(class < SizeClass::COUNT);
        let first = self.entries.get().cast::<T>();
        // SAFETY: classes are below the count.
        let entry = unsafe { first.add(class) };
        // SAFETY: nobody has an exclusive reference to an entry but who has all of them.
        unsafe { &*entry }
    }
}
