//! Numbers that one thread writes and any thread may read.

use drystone_sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

macro_rules! published {
    ($name:ident, $atomic:ident, $number:ident) => {
        /// A number with one writer at a time. A write is a plain store; what a reader sees was
        /// right at some moment.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name($atomic);

        impl $name {
            #[allow(dead_code, reason = "some begin as zero bytes")]
            pub(crate) const fn new(value: $number) -> Self {
                Self($atomic::new(value))
            }

            #[inline(always)]
            pub(crate) fn get(&self) -> $number {
                // Relaxed: statistics, or the writer itself.
                self.0.load(Ordering::Relaxed)
            }

            /// Only for the one that writes.
            #[inline(always)]
            pub(crate) fn set(&self, value: $number) {
                self.0.store(value, Ordering::Relaxed);
            }
        }
    };
}

published!(PublishedU32, AtomicU32, u32);
published!(PublishedU64, AtomicU64, u64);
published!(PublishedUsize, AtomicUsize, usize);

/// As the numbers: a pointer, which readers may only compare and count with.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct PublishedPtr<T>(AtomicPtr<T>);

impl<T> PublishedPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Self(AtomicPtr::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> *mut T {
        // Relaxed: statistics, or the writer itself.
        self.0.load(Ordering::Relaxed)
    }

    /// Only for the one that writes.
    #[inline(always)]
    pub(crate) fn set(&self, value: *mut T) {
        self.0.store(value, Ordering::Relaxed);
    }
}
