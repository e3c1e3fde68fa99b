//! [`InCell`]: a value whose every change is in cells of its own, held in a cell as a whole.

use core::cell::UnsafeCell;
use core::ops::Deref;

/// A value that is only ever shared.
///
/// A reference to it promises nothing about its bytes: the memory may be unmapped in a call that
/// was given the reference. And what checks references has one cell to look at, not thousands.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct InCell<T> {
    value: UnsafeCell<T>,
}

impl<T> InCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            value: UnsafeCell::new(value),
        }
    }
}

impl<T> Deref for InCell<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: nobody has an exclusive reference to the value but who has the whole.
        unsafe { &*self.value.get() }
    }
}
