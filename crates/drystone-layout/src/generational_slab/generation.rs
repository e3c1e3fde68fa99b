//! [`Generation`]: which life of a slot a handle belongs to. Plain numbers, no pointers.
#![forbid(unsafe_code)]

use core::fmt::Debug;
use core::hash::Hash;

/// How many lives of a slot a slab tells apart: `u8`, `u16`, `u32` or `u64`.
///
/// A slot with a generation of `n` bits serves `2^(n - 1)` values, one after the other, and is then
/// retired. This trait is sealed.
pub trait Generation: Copy + Eq + Debug + sealed::Counter + Send + Sync + 'static {}

/// 2^64 divided by the golden ratio, made odd: multiples of it are spread evenly (Knuth, The Art of
/// Computer Programming, volume 3, 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A count that is odd while the slot is occupied.
pub(super) mod sealed {
    use super::{Debug, Hash};

    /// What a slab does with a generation.
    pub trait Counter: Sized {
        /// A generation of an occupied slot: odd, so never zero.
        type Live: Copy + Eq + Ord + Hash + Debug + Send + Sync;

        /// The even generation that the slots of the slab number `sequence` begin with.
        fn start(sequence: u32) -> Self;

        /// What follows a vacant generation.
        fn occupied(self) -> Self::Live;

        /// What follows an occupied generation. Comes round to the start in the end.
        fn vacated(live: Self::Live) -> Self;

        /// An occupied generation as it is stored.
        fn stored(live: Self::Live) -> Self;

        /// The generation if it is that of an occupied slot.
        fn live(self) -> Option<Self::Live>;

        /// For digests.
        fn to_u64(self) -> u64;
    }
}

macro_rules! generation {
    ($($number:ty, $live:ty;)*) => {$(
        impl Generation for $number {}

        impl sealed::Counter for $number {
            type Live = $live;

            #[inline]
            fn start(sequence: u32) -> Self {
                let spread = u64::from(sequence).wrapping_mul(GOLDEN);
                (spread >> (u64::BITS - Self::BITS)) as Self & !1
            }

            #[inline]
            fn occupied(self) -> Self::Live {
                <$live>::MIN | self
            }

            #[inline]
            fn vacated(live: Self::Live) -> Self {
                live.get().wrapping_add(1)
            }

            #[inline]
            fn stored(live: Self::Live) -> Self {
                live.get()
            }

            #[inline]
            fn live(self) -> Option<Self::Live> {
                if self & 1 == 1 { <$live>::new(self) } else { None }
            }

            #[inline]
            fn to_u64(self) -> u64 {
                self.into()
            }
        }
    )*};
}

generation! {
    u8, core::num::NonZeroU8;
    u16, core::num::NonZeroU16;
    u32, core::num::NonZeroU32;
    u64, core::num::NonZeroU64;
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::sealed::Counter;
    use std::vec::Vec;

    /// The shortest way round between two starts, in lives.
    fn closest<G: Counter>(slabs: u32, bits: u32) -> u64 {
        let mut starts: Vec<u64> = (0..slabs).map(|n| G::start(n).to_u64() / 2).collect();
        starts.sort_unstable();
        let round = 1u64 << (bits - 1);
        let across = starts[0] + round - starts[starts.len() - 1];
        let gaps = starts.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.chain([across]).min().expect("two slabs")
    }

    #[test]
    fn starts_of_slabs_are_a_third_of_an_even_share_apart() {
        let counts: &[u32] = if cfg!(miri) {
            &[2, 3, 100]
        } else {
            &[2, 3, 8, 100, 1597, 10_946, 100_000]
        };
        for &slabs in counts {
            assert!(closest::<u32>(slabs, 32) >= (1 << 31) / (3 * u64::from(slabs)));
            assert!(closest::<u64>(slabs, 64) >= (1 << 63) / (3 * u64::from(slabs)));
        }
        assert!(closest::<u16>(100, 16) >= (1 << 15) / 300);
        assert!(closest::<u8>(8, 8) >= (1 << 7) / 24);
    }

    #[test]
    fn a_generation_alternates_and_comes_round() {
        for sequence in 0..300 {
            let start = u8::start(sequence);
            let mut generation = start;
            for _ in 0..128 {
                assert_eq!(generation.live(), None);
                let live = generation.occupied();
                assert_eq!(u8::stored(live).live(), Some(live));
                assert_eq!(u8::stored(live), generation + 1);
                generation = u8::vacated(live);
            }
            assert_eq!(generation, start);
        }
    }
}
