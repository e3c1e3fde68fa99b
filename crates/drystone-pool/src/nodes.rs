//! What the nodes of the shared lists lie in, and how they are written.

use drystone_sync::atomic::{AtomicPtr, AtomicU32, Ordering};

pub(crate) use imp::boxed;

/// Stores what is not there already: nodes of different threads share lines, and what a thread takes off
/// and puts on again it mostly finds unchanged.
///
/// Relaxed: published by the exchange behind, made by the thread that has the node.
#[inline]
pub(crate) fn store_new(word: &AtomicU32, value: u32) {
    if word.load(Ordering::Relaxed) != value {
        word.store(value, Ordering::Relaxed);
    }
}

/// As [`store_new`].
#[inline]
pub(crate) fn store_new_ptr<T>(word: &AtomicPtr<T>, value: *mut T) {
    if word.load(Ordering::Relaxed) != value {
        word.store(value, Ordering::Relaxed);
    }
}

#[cfg(not(loom))]
mod imp {
    use core::ptr::{self, NonNull};
    use std::alloc::{Layout, alloc_zeroed};

    use drystone_sync::atomic::AtomicPtr;

    use crate::shared_list::Single;

    /// What is empty when all its bytes are zero.
    ///
    /// # Safety
    ///
    /// It is.
    pub(crate) unsafe trait Zeroed: Sized {}

    // SAFETY: a null pointer and the number 0.
    unsafe impl<T> Zeroed for Single<T> {}
    // SAFETY: a null pointer.
    unsafe impl<T> Zeroed for AtomicPtr<T> {}

    /// Zeroed memory for nodes, whose pages the system need not give before they are used. `None` if there is
    /// none.
    #[allow(
        clippy::disallowed_methods,
        reason = "the boxed slice is freed by the global allocator, which gives zeroed memory untouched"
    )]
    pub(crate) fn boxed<N: Zeroed>(count: usize) -> Option<Box<[N]>> {
        if count == 0 {
            return Some(Box::new([]));
        }
        let layout = Layout::array::<N>(count).ok()?;
        // SAFETY: a node has a size, and there is at least one.
        let memory = unsafe { alloc_zeroed(layout) };
        let nodes = NonNull::new(memory.cast::<N>())?;
        let nodes = ptr::slice_from_raw_parts_mut(nodes.as_ptr(), count);
        // SAFETY: allocated by the global allocator with the layout of this slice, and zeroed.
        Some(unsafe { Box::from_raw(nodes) })
    }
}

#[cfg(loom)]
mod imp {
    use core::ptr;

    use drystone_sync::atomic::{AtomicPtr, AtomicU32};

    use crate::shared_list::Single;

    pub(crate) trait Zeroed {
        fn zeroed() -> Self;
    }

    impl<T> Zeroed for Single<T> {
        fn zeroed() -> Self {
            Self {
                slot: Zeroed::zeroed(),
                below: AtomicU32::new(0),
            }
        }
    }

    impl<T> Zeroed for AtomicPtr<T> {
        fn zeroed() -> Self {
            Self::new(ptr::null_mut())
        }
    }

    pub(crate) fn boxed<N: Zeroed>(count: usize) -> Option<Box<[N]>> {
        Some((0..count).map(|_| N::zeroed()).collect())
    }
}
