//! [`number_of`]: a number for each slab, from which its generations start.

/// How many slabs the process has made. It wraps after 2^32.
#[cfg(all(target_has_atomic = "32", not(loom)))]
static MADE: drystone_sync::atomic::AtomicU32 = drystone_sync::atomic::AtomicU32::new(0);

/// The number of a new slab: different from that of every other, up to 2^32 of them.
#[cfg(all(target_has_atomic = "32", not(loom)))]
pub(super) fn number_of(_base_address: usize) -> u32 {
    // Relaxed: only that no two callers get the same number matters.
    MADE.fetch_add(1, drystone_sync::atomic::Ordering::Relaxed)
}

/// The number of a new slab, made of where its range lies: different slabs that live at the same
/// time lie at different places, but a later one may lie where an earlier one did.
#[cfg(not(all(target_has_atomic = "32", not(loom))))]
pub(super) fn number_of(base_address: usize) -> u32 {
    (base_address >> 3) as u32
}
