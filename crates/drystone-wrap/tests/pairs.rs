//! Every wrapper around every wrapper: the pair keeps every promise, and both still act.

mod common;

use common::{Blocks, SLOT, Slots};
use drystone_core::{AllocError, Allocator, Owns, Reset, StableAddress};
use drystone_testkit::conformance::{self, Caps};
use drystone_testkit::oracle::{Oracle, PanicOnMisuse};
use drystone_wrap::{FailAfter, Faulty, Locked, Statistics, WithFallback};

const CAPS: Caps = Caps::new(SIZE_MAX, SIZE_MAX, SLOTS as usize)
    .reuses_memory()
    .bounded();

/// The largest size and alignment that the suite asks for.
const SIZE_MAX: usize = if cfg!(miri) { 16 } else { SLOT };

/// The slots of the innermost allocator.
const SLOTS: u32 = if cfg!(miri) { 8 } else { 56 };

/// The wrappers, each as a function of the inner allocator.
mod wrap {
    use super::common::Slots;
    use drystone_core::Owns;
    use drystone_wrap::{
        Faulty, Locked, NeverFail, NoLock, Off, SpinLock, Statistics, WithFallback,
    };

    pub(crate) fn fallback<A: Owns>(inner: A) -> WithFallback<A, Slots> {
        WithFallback::new(inner, Slots::new(8))
    }

    pub(crate) fn locked<A>(inner: A) -> Locked<A, SpinLock> {
        Locked::new(inner)
    }

    #[cfg(feature = "parking_lot")]
    pub(crate) fn parked<A>(inner: A) -> Locked<A, drystone_wrap::ParkingLotLock> {
        Locked::with_lock(inner, drystone_wrap::ParkingLotLock::new())
    }

    pub(crate) fn unlocked<A>(inner: A) -> Locked<A, NoLock> {
        Locked::with_lock(inner, NoLock)
    }

    pub(crate) fn counted<A>(inner: A) -> Statistics<A> {
        Statistics::new(inner)
    }

    pub(crate) fn uncounted<A>(inner: A) -> Statistics<A, Off> {
        Statistics::with_switch(inner, Off)
    }

    pub(crate) fn faulty<A>(inner: A) -> Faulty<A, NeverFail> {
        Faulty::new(inner, NeverFail)
    }
}

/// The conformance suite in one go, and the promises that all wrappers pass on.
fn conforms<A>(make: impl Fn() -> A)
where
    A: Allocator + Owns + Reset + StableAddress + Send,
{
    if cfg!(miri) {
        // What moves bytes and pointers. The rest is arithmetic, and the same with and without.
        conformance::basic_round_trip(&make, CAPS);
        conformance::zeroed(&make, CAPS);
        conformance::grow_shrink(&make, CAPS);
    } else {
        conformance::check_allocator(&make, CAPS);
        conformance::sends(&make, CAPS);
        // The oracle knows every live block: none overlaps another, and each is freed as it was
        // made.
        conformance::check_allocator(|| Oracle::new(make(), PanicOnMisuse), CAPS);
    }
    conformance::owns(&make, CAPS);
    conformance::reset(&make, CAPS);
    conformance::stable_address(&make, CAPS);
}

/// A wrapper whose own work shows, inside `outer`.
macro_rules! still_acts_inside {
    ($outer:ident) => {{
        let counted = Statistics::new(Slots::new(4));
        let outer = wrap::$outer(&counted);
        let block = outer.take(8, 8).expect("room");
        let block = outer.grow_to(block, 24).expect("in place");
        outer.give(block);
        let stats = counted.stats();
        assert_eq!(
            (stats.allocations, stats.reallocations, stats.deallocations),
            (1, 1, 1)
        );
        assert_eq!((stats.allocated_bytes, stats.deallocated_bytes), (24, 24));

        let faulty = Faulty::new(Slots::new(4), FailAfter::new(1));
        let outer = wrap::$outer(&faulty);
        let block = outer.take(8, 8).expect("one passes");
        let second = outer.take(8, 8);
        assert_eq!(faulty.policy().remaining(), 0);
        assert_eq!(faulty.inner().live(), 1, "the second was refused inside");
        second.map(|block| outer.give(block)).ok();
        outer.give(block);
        assert_eq!(faulty.inner().live(), 0);

        let fallback = WithFallback::new(Slots::new(1), Slots::new(1));
        let outer = wrap::$outer(&fallback);
        let blocks = [(); 2].map(|()| outer.take(8, 8).expect("one in each"));
        assert!(fallback.primary().owns(blocks[0].ptr));
        assert!(fallback.secondary().owns(blocks[1].ptr));
        for block in blocks {
            outer.give(block);
        }
        assert_eq!(
            (fallback.primary().live(), fallback.secondary().live()),
            (0, 0)
        );

        let locked = Locked::new(Slots::new(1));
        let outer = wrap::$outer(&locked);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    // Each thread has a wrapper of its own around the one lock.
                    let outer = wrap::$outer(&locked);
                    for _ in 0..if cfg!(miri) { 3 } else { 100 } {
                        outer.take(8, 8).map(|block| outer.give(block)).ok();
                    }
                });
            }
        });
        let block = outer.take(8, 8).expect("the slot is free again");
        outer.give(block);
        assert_eq!(locked.with(Slots::live), 0);
    }};
}

/// A wrapper whose own work shows, around `inner`.
macro_rules! still_acts_around {
    ($inner:ident) => {{
        let counted = Statistics::new(wrap::$inner(Slots::new(4)));
        let block = counted.take(8, 8).expect("room");
        let block = counted.shrink_to(block, 5, 8).expect("in place");
        counted.give(block);
        let stats = counted.stats();
        assert_eq!((stats.allocated_bytes, stats.deallocated_bytes), (8, 8));

        let faulty = Faulty::new(wrap::$inner(Slots::new(4)), FailAfter::new(1));
        let block = faulty.take(8, 8).expect("one passes");
        assert_eq!(faulty.take_zeroed(8, 8), Err(AllocError));
        assert_eq!(faulty.grow_to(block, 16), Err(AllocError));
        faulty.give(block);

        let both = WithFallback::new(wrap::$inner(Slots::new(1)), Slots::new(9));
        let blocks: Vec<_> = (0..).map_while(|_| both.take(8, 8).ok()).collect();
        for (seed, block) in (0..).zip(&blocks) {
            assert!(both.owns(block.ptr));
            block.fill(seed);
        }
        for (seed, block) in (0..).zip(blocks) {
            block.check(seed, 8);
            both.give(block);
        }
        assert_eq!(both.secondary().live(), 0);

        let locked = Locked::with_lock(wrap::$inner(Slots::new(2)), drystone_wrap::NoLock);
        let block = locked.take(8, 8).expect("room");
        assert!(locked.owns(block.ptr));
        locked.give(block);
    }};
}

macro_rules! around {
    ($($outer:ident)+) => { around!(@each [$($outer)+] $($outer)+); };
    (@each $inners:tt $($outer:ident)+) => { $( around!(@outer $outer $inners); )+ };
    (@outer $outer:ident [$($inner:ident)+]) => {
        mod $outer {
            use super::*;

            $(
                #[test]
                fn $inner() {
                    conforms(|| wrap::$outer(wrap::$inner(Slots::new(SLOTS))));
                }
            )+

            #[test]
            fn lets_what_is_inside_act() {
                still_acts_inside!($outer);
            }

            #[test]
            fn lets_what_is_around_act() {
                still_acts_around!($outer);
            }
        }
    };
}

around!(fallback locked unlocked counted uncounted faulty);

#[cfg(feature = "parking_lot")]
around!(parked);
