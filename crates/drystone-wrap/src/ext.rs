//! [`AllocatorExt`]: stacks built by method, from the inside out.

use drystone_core::{AllocFaultPolicy, Allocator, Contents, OverPages, Owns, StableAddress};
use drystone_sync::RawLock;
#[cfg(target_has_atomic = "32")]
use drystone_sync::SpinLock;

#[cfg(feature = "zeroize")]
use crate::ZeroizeOnFree;
#[cfg(target_has_atomic = "ptr")]
use crate::{Budget, CacheJitter, Canary, GuardPages, Watermark, WatermarkHandler};
use crate::{
    Faulty, HugePageAdvised, Locked, NumaLocal, PoisonOnFree, Quarantine, Segregate, WithFallback,
};
#[cfg(target_has_atomic = "32")]
use crate::{Statistics, Tagged};

/// A method for each wrapper, for every allocator.
///
/// Each takes the allocator by value and puts the wrapper around it, with its default parameters. What
/// is called last is outermost, and meets a request first.
///
/// ```
/// use drystone_core::{Contents, StableAddress};
/// use drystone_wrap::{AllocatorExt, PoisonOnFree, Quarantine, Statistics};
///
/// fn suspicious<A: Contents + StableAddress>(
///     arena: A,
/// ) -> Statistics<Quarantine<PoisonOnFree<A>, 64>> {
///     arena.poison_on_free().quarantine::<64>().statistics()
/// }
/// ```
///
/// A reference is an allocator too: `(&arena).statistics()` leaves the arena where it is.
pub trait AllocatorExt: Allocator + Sized {
    /// What this allocator refuses, `secondary` serves: [`WithFallback`].
    #[inline]
    fn with_fallback<S>(self, secondary: S) -> WithFallback<Self, S>
    where
        Self: Owns,
    {
        WithFallback::new(self, secondary)
    }

    /// Sizes above `threshold_bytes` come from `large`: [`Segregate`].
    #[inline]
    fn segregate<L>(self, large: L, threshold_bytes: usize) -> Segregate<Self, L> {
        Segregate::new(self, large, threshold_bytes)
    }

    /// At most `limit_bytes` bytes may be live at once: [`Budget`].
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    fn budget(self, limit_bytes: usize) -> Budget<Self> {
        Budget::new(self, limit_bytes)
    }

    /// Any thread may call, behind a lock that spins: [`Locked`].
    #[cfg(target_has_atomic = "32")]
    #[inline]
    fn locked(self) -> Locked<Self, SpinLock> {
        Locked::new(self)
    }

    /// Any thread may call that `lock` lets in: [`Locked`].
    #[inline]
    fn locked_with<L: RawLock>(self, lock: L) -> Locked<Self, L> {
        Locked::with_lock(self, lock)
    }

    /// Counts blocks and bytes: [`Statistics`].
    #[cfg(target_has_atomic = "32")]
    #[inline]
    fn statistics(self) -> Statistics<Self> {
        Statistics::new(self)
    }

    /// Tells `handler` when memory runs low: [`Watermark`].
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    fn watermark<H: WatermarkHandler>(self, handler: H) -> Watermark<Self, H> {
        Watermark::new(self, handler)
    }

    /// Counts under `label`: [`Tagged`].
    #[cfg(target_has_atomic = "32")]
    #[inline]
    fn tagged(self, label: &'static str) -> Tagged<Self> {
        Tagged::new(self, label)
    }

    /// Fills freed bytes with a pattern: [`PoisonOnFree`].
    #[inline]
    fn poison_on_free(self) -> PoisonOnFree<Self>
    where
        Self: Contents,
    {
        PoisonOnFree::new(self)
    }

    /// Makes freed bytes zero: [`ZeroizeOnFree`].
    #[cfg(feature = "zeroize")]
    #[inline]
    fn zeroize_on_free(self) -> ZeroizeOnFree<Self>
    where
        Self: Contents,
    {
        ZeroizeOnFree::new(self)
    }

    /// Keeps up to `N` freed blocks from being used again, and looks at them when they leave:
    /// [`Quarantine`].
    #[inline]
    fn quarantine<const N: usize>(self) -> Quarantine<Self, N>
    where
        Self: Contents + StableAddress,
    {
        Quarantine::new(self)
    }

    /// Puts a word in front of and behind each block, and looks at both: [`Canary`].
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    fn canary(self) -> Canary<Self>
    where
        Self: Contents,
    {
        Canary::new(self)
    }

    /// Puts pages that fault around each block: [`GuardPages`].
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    fn guard_pages(self) -> GuardPages<Self>
    where
        Self: OverPages,
    {
        GuardPages::new(self)
    }

    /// Starts large blocks in different sets of a cache: [`CacheJitter`].
    #[cfg(target_has_atomic = "ptr")]
    #[inline]
    fn cache_jitter(self) -> CacheJitter<Self>
    where
        Self: Contents,
    {
        CacheJitter::new(self)
    }

    /// Takes memory of NUMA node `node`: [`NumaLocal`].
    #[inline]
    fn numa_local(self, node: u32) -> NumaLocal<Self>
    where
        Self: OverPages,
    {
        NumaLocal::new(self, node)
    }

    /// Asks for huge pages: [`HugePageAdvised`].
    #[inline]
    fn huge_page_advised(self) -> HugePageAdvised<Self>
    where
        Self: OverPages,
    {
        HugePageAdvised::new(self)
    }

    /// Refuses what `policy` says: [`Faulty`].
    #[inline]
    fn faulty<P: AllocFaultPolicy>(self, policy: P) -> Faulty<Self, P> {
        Faulty::new(self, policy)
    }
}

impl<A: Allocator> AllocatorExt for A {}
