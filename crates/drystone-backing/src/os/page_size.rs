//! [`page_size`]: asked once, then remembered.

use super::imp;

/// The page size of this system in bytes, a power of two: 4, 16 or 64 KiB on most.
///
/// Asked of the system at run time, because one program may run on kernels that differ, and then
/// remembered. On a target without an operating system it is only the unit that sizes are rounded
/// to.
#[cfg(not(loom))]
#[inline]
#[must_use]
pub fn page_size() -> usize {
    use drystone_sync::atomic::{AtomicUsize, Ordering};

    // 0: not asked yet.
    static PAGE_BYTES: AtomicUsize = AtomicUsize::new(0);

    // Relaxed: the number is all there is, and everyone who asks gets the same.
    match PAGE_BYTES.load(Ordering::Relaxed) {
        0 => {
            let asked = imp::page_size();
            PAGE_BYTES.store(asked, Ordering::Relaxed);
            asked
        }
        known => known,
    }
}

/// The page size of this system in bytes. Under loom it is not remembered: a static would carry
/// state from one execution of a model to the next.
#[cfg(loom)]
#[must_use]
pub fn page_size() -> usize {
    imp::page_size()
}
