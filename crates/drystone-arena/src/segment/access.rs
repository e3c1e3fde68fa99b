//! Which slices of a hardened segment can be accessed: those of runs, and none else.
//!
//! ```text
//!  header │ bits │ run │ guard │ run of two slices     │ guard │ free ...
//!  rw     │ rw   │ rw  │ none  │ rw                    │ none  │ none, once something was there
//! ```
//!
//! The slice behind a run is its guard: it is in no run while the run lives. A slice that nothing is in
//! any more cannot be accessed before it is in a run again, so what is read or written there faults.

use drystone_core::Protection;

use super::Segment;
use crate::geometry::{SLICE_BYTES, SLICES, run_mask};

/// The guard of a run: the slice behind it, if the segment has one.
pub(super) const fn guard_mask(first: usize, slices: usize) -> u64 {
    if first + slices < SLICES {
        1 << (first + slices)
    } else {
        0
    }
}

impl Segment {
    /// Lets the slices of a run be used, and none of its guard. Whether the run can be used; calls
    /// `refused` if its guard can be, too.
    pub(crate) fn admit(&self, first: usize, slices: usize, refused: impl Fn()) -> bool {
        let barred = &self.slices().barred;
        let shut = barred.get() & run_mask(slices) << first;
        let open = self.set_access(shut, Protection::ReadWrite);
        barred.set(barred.get() & !open);
        self.bar(guard_mask(first, slices), refused);
        open == shut
    }

    /// Takes the access away to a run of which nothing is in use. Calls `refused` if the system does not
    /// allow it.
    pub(crate) fn bar_run(&self, first: usize, slices: usize, refused: impl Fn()) {
        self.bar(run_mask(slices) << first, refused);
    }

    /// Takes the access to the free slices of a new segment away, which the arena has alone. Calls
    /// `refused` if the system does not allow it.
    pub(crate) fn bar_free(&self, refused: impl Fn()) {
        self.bar(self.slices().free.get(), refused);
    }

    fn bar(&self, mask: u64, refused: impl Fn()) {
        let barred = &self.slices().barred;
        let open = mask & !barred.get();
        let shut = self.set_access(open, Protection::None);
        barred.set(barred.get() | shut);
        if shut != open {
            // What is written there is not noticed.
            let fresh = &self.slices().fresh;
            fresh.set(fresh.get() & (shut | !open));
            refused();
        }
    }

    /// Changes the access to slices, which nothing is in; one call of the system for each stretch. Those
    /// for which it was done.
    fn set_access(&self, slices: u64, access: Protection) -> u64 {
        let range = self.reservation().range();
        let start = self.address() - range.base().addr().get();
        let mut done = 0;
        for (first, len) in stretches(slices) {
            // SAFETY: nothing is in the slices.
            let answer =
                unsafe { range.set_access(start + first * SLICE_BYTES, len * SLICE_BYTES, access) };
            if answer {
                done |= run_mask(len) << first;
            }
        }
        done
    }
}

/// The stretches of set bits: where each begins, and its length.
pub(super) fn stretches(mut bits: u64) -> impl Iterator<Item = (usize, usize)> {
    core::iter::from_fn(move || {
        if bits == 0 {
            return None;
        }
        let first = bits.trailing_zeros() as usize;
        let len = (bits >> first).trailing_ones() as usize;
        bits &= !(run_mask(len) << first);
        Some((first, len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_found() {
        let of = |bits| stretches(bits).collect::<Vec<_>>();
        assert_eq!(of(0), []);
        assert_eq!(of(0b1100_1011), [(0, 2), (3, 1), (6, 2)]);
        assert_eq!(of(u64::MAX), [(0, 64)]);
    }
}
