//! Which wrappers never touch the global heap: each, if its parts do not.
//!
//! A part that is an allocator has to be [`GlobalSafe`] for the whole to be, except behind a lock.

use drystone_core::{Allocator, Contents, GlobalSafe, MisusePolicy, NoHeap, StableAddress};

use crate::{
    AlwaysFail, FailOnSize, Faulty, HugePageAdvised, Locked, NeverFail, NumaLocal, Quarantine,
    Scrub, ScrubOnFree, Segregate, Switch, WithFallback,
};
#[cfg(target_has_atomic = "ptr")]
use crate::{Budget, CacheJitter, Canary, FailAfter, FailEveryNth, GuardPages, Watermark};
#[cfg(target_has_atomic = "32")]
use crate::{Statistics, TagRef, Tagged};

/// `[generics] Type: its allocators; its other parts that run code of their own`
macro_rules! by_parts {
    ($([$($generics:tt)*] $whole:ty: $($inner:ident),+; $($part:ident),*)+) => { $(
        // SAFETY: what the wrapper adds is a few words in the value, changed without waiting; the rest
        // is done by the parts.
        unsafe impl<$($generics)*> NoHeap for $whole
        where
            $($inner: NoHeap,)+
            $($part: NoHeap,)*
        {
        }
        // SAFETY: as above.
        unsafe impl<$($generics)*> GlobalSafe for $whole
        where
            $($inner: GlobalSafe,)+
            $($part: NoHeap,)*
            Self: Allocator + Sync + 'static,
        {
        }
    )+ };
}

by_parts! {
    [P, S] WithFallback<P, S>: P, S;
    [SMALL, LARGE] Segregate<SMALL, LARGE>: SMALL, LARGE;
    [A, P] Faulty<A, P>: A; P
    [A: Contents, W: Scrub, S: Switch] ScrubOnFree<A, W, S>: A;
    [A: Contents + StableAddress, const N: usize, S: Switch, P: MisusePolicy]
        Quarantine<A, N, S, P>: A; P
    [A, S: Switch] NumaLocal<A, S>: A;
    [A, S: Switch] HugePageAdvised<A, S>: A;
}

#[cfg(target_has_atomic = "32")]
by_parts! {
    [A, S: Switch] Statistics<A, S>: A;
    [A, T: TagRef] Tagged<A, T>: A;
}

#[cfg(target_has_atomic = "ptr")]
by_parts! {
    [A, S: Switch] Budget<A, S>: A;
    [A, S: Switch] CacheJitter<A, S>: A;
    [A, S: Switch, P: MisusePolicy] Canary<A, S, P>: A; P
    [A: drystone_core::OverPages, S: Switch] GuardPages<A, S>: A;
    [A, H, S: Switch] Watermark<A, H, S>: A; H
}

// SAFETY: the lock and the allocator do not; the copy of the count of corruption is a word.
unsafe impl<A: NoHeap, L: NoHeap> NoHeap for Locked<A, L> {}
// SAFETY: as above; waiting for the lock is waiting for a thread inside `A`, which does not wait for
// the heap.
unsafe impl<A: NoHeap, L: NoHeap> GlobalSafe for Locked<A, L> where Self: Allocator + Sync + 'static {}

/// Policies that only compare and count.
macro_rules! policies {
    ($($policy:ty),+) => { $(
        // SAFETY: it compares and counts.
        unsafe impl NoHeap for $policy {}
    )+ };
}
policies!(NeverFail, AlwaysFail, FailOnSize);
#[cfg(target_has_atomic = "ptr")]
policies!(FailAfter, FailEveryNth);
