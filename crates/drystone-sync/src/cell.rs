//! [`UnsafeCell`]: shared mutable memory reached through closures.
//!
//! `core`'s cell gives out a pointer that lives on; nobody can tell when an access through it
//! begins and ends. The closures mark both ends, so that loom can report two accesses that
//! overlap. In a normal build they compile to nothing.

#[cfg(loom)]
pub use loom::cell::UnsafeCell;

#[cfg(not(loom))]
pub use imp::UnsafeCell;

#[cfg(not(loom))]
mod imp {
    /// A cell whose content may change behind a shared reference.
    ///
    /// Same size, alignment and rules as [`core::cell::UnsafeCell`].
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T: ?Sized>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        /// A cell that holds `value`.
        #[inline]
        pub const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        /// The value.
        #[inline]
        pub fn into_inner(self) -> T {
            self.0.into_inner()
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Calls `f` with a pointer for reading.
        ///
        /// Whoever reads through it makes sure that nobody writes meanwhile, and does not keep
        /// it past the call.
        #[inline]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Calls `f` with a pointer for writing.
        ///
        /// Whoever writes through it makes sure that nobody else reads or writes meanwhile, and
        /// does not keep it past the call.
        #[inline]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}
