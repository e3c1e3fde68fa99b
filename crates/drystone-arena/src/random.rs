//! [`Random`]: numbers that decide which block is handed out, from a seed that nobody outside knows.
//!
//! The generator is splitmix64: fast, even, and not made for secrets of its own. Who sees many numbers
//! in a row, as addresses of blocks in the order of their allocation, may work out the next ones.

use core::cell::Cell;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use drystone_core::abort_on_unwind;

/// A number of the system's random source, by way of std's hash keys.
pub(crate) fn draw() -> u64 {
    abort_on_unwind(|| RandomState::new().hash_one(0u64))
}

/// A generator. Zero bytes are one, which has to be [seeded](Self::seed).
#[derive(Debug)]
pub(crate) struct Random {
    state: Cell<u64>,
}

impl Random {
    pub(crate) fn seed(&self) {
        self.state.set(draw());
    }

    /// The next number.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    #[inline]
    pub(crate) fn below(&self, end: u32) -> u32 {
        let half = (self.number() >> 32) as u32;
        ((u64::from(half) * u64::from(end)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_their_end_and_reach_all_of_it() {
        let random = Random {
            state: Cell::new(1),
        };
        for end in [1, 2, 7, 32] {
            let mut seen = [false; 32];
            for _ in 0..1000 {
                seen[random.below(end) as usize] = true;
            }
            let reached = seen.iter().filter(|seen| **seen).count();
            assert_eq!(reached, end as usize);
        }
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(draw(), draw());
    }
}
