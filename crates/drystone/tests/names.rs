//! Every public name can be imported from the root and from its own crate.

/// Imports each name twice, into modules of their own; a missing one does not compile.
macro_rules! names {
    ($($group:ident $(if $feature:literal)? : $own:ident { $($name:ident),* $(,)? })*) => {
        $(
            $(#[cfg(feature = $feature)])?
            mod $group {
                #[expect(unused_imports, reason = "importing is the test")]
                mod from_root {
                    use drystone::{$($name),*};
                }
                #[expect(unused_imports, reason = "importing is the test")]
                mod from_its_crate {
                    use $own::{$($name),*};
                }
            }
        )*
    };
}

names! {
    contracts: drystone_core {
        AllocError, LayoutError, NonZeroLayout, Deallocator, Allocator, FixedRange, Region,
        AllocatedRegion, Owns, StableAddress, OsBacked, SegmentSource, SourceFrom, Reset,
        FreelistProtection, NoProtection, SizeClass, Stats, AllocFaultPolicy, CachePadded,
        CACHE_LINE, Inspect, Misuse, MisusePolicy, Checked, OnMisuse, AbortOnMisuse,
    }
    link_codes if "siphash": drystone_core { SipHashMac }
    adapters: drystone_core {
        Global, GlobalSafe, Late, NoHeap, StdCompat, AllocatorClone, StaticAllocator,
    }
    adapters_02 if "allocator-api2-02": drystone_core { StdCompat02, Foreign02 }
    adapters_04 if "allocator-api2-04": drystone_core { Foreign04 }
    heap_contracts if "alloc": drystone_core { HeapSource, HeapSegment }
    arena if "arena": drystone_arena {
        Arena, ArenaConfig, ArenaError, ArenaStats, CachedArena, FreeError, GlobalArena,
        ThreadCache, ThreadCacheStats, allocate, deallocate, deallocate_with_size, global_stats,
        trim, Checked, Fast, Hardened,
    }
    backings: drystone_backing { InlineBacked, StaticBacked }
    heap_backings if "alloc": drystone_backing { HeapBacked, HeapSource }
    system if "std": drystone_backing { System }
    mapped if "mmap": drystone_backing {
        MmapBacked, HugePageBacked, LockedMmapBacked, GuardedMmapBacked, MmapFlags, MmapSource,
    }
    layouts: drystone_layout { BumpArena, Scope, Slab, SizeClassed, AllocValueError }
    bump_family: drystone_layout { GrowableBump, SharedBumpArena, StackAlloc }
    handles: drystone_layout { GenerationalSlab, Handle }
    attachable: drystone_layout {
        DefaultLock, ProviderFrom, SlabBox, SlabCache, SlabError, SlabProvider, Slots, SlotsState,
    }
    pooled_arenas if "alloc": drystone_layout { ArenaPool, PooledArena }
    growing if "alloc": drystone_layout { ExtendableSlab }
    owner_and_remote if "alloc": drystone_layout {
        SlabOwner, SlabRemote, RemoteBox, RemoteBatch, RemoteQueue, Ring, Intrusive, BatchPolicy,
        ADAPTIVE_LEVELS, ADAPTIVE_COOLDOWN_TICKS,
    }
    policies: drystone_wrap {
        AllocatorExt, Segregate, Budget, Watermark, WatermarkHandler, Tagged, Tag, GuardPages,
        Placement, CacheJitter, NumaLocal, HugePageAdvised,
    }
    wrappers: drystone_wrap {
        WithFallback, Locked, Statistics, Faulty, NeverFail, AlwaysFail, FailAfter, FailEveryNth,
        FailOnSize, NoLock, SpinLock, RawLock, Off,
    }
    contents: drystone_wrap { PoisonOnFree, Poison, ScrubOnFree, Quarantine, Canary, On, Switch }
    contents_promise: drystone_core { Contents }
    wiping if "zeroize": drystone_wrap { ZeroizeOnFree, Zeros }
    buffer_pools if "pool": drystone_pool {
        BufferPool, BufferPoolConfig, BufferPoolThreadCache, PoolError, ConfigError, PoolStats,
        RegisteredRegion, DioAlign,
    }
    buffer_views if "pool": drystone_pool { IoBuf, IoBufMut, IoBufs, IoBufsMut, CapacityError }
    recording if "trace": drystone_trace { Recorder, RecordError, record_to, finish_recording }
    section_lock if "critical-section": drystone_wrap { CriticalSectionLock }
    sleeping_lock if "parking_lot": drystone_wrap { ParkingLotLock }
}

#[cfg(all(feature = "io-uring", target_os = "linux"))]
#[test]
fn fixed_buffers_are_the_same_from_both() {
    let same: fn(drystone::FixedBuffers) -> drystone_pool::FixedBuffers = |fixed| fixed;
    let _ = same;
}

#[test]
fn unit_values_are_usable_in_expressions() {
    let _ = (
        drystone::AllocError,
        drystone::LayoutError,
        drystone::NoProtection,
        drystone::NoLock,
    );
    #[cfg(feature = "alloc")]
    let _ = (drystone::HeapSource, drystone::Ring, drystone::Intrusive);
    #[cfg(feature = "std")]
    let _ = drystone::System;
    #[cfg(feature = "mmap")]
    let _ = drystone::MmapSource;
}

#[cfg(feature = "testing")]
#[test]
fn the_checks_are_reachable() {
    use drystone::testing::conformance::{Caps, basic_round_trip};
    basic_round_trip(|| drystone::System, Caps::general());
}

#[cfg(feature = "trace")]
#[test]
fn the_trace_readers_are_reachable() {
    use drystone::trace::{Trace, TraceError};
    assert!(size_of::<Trace>() > 0 && size_of::<TraceError>() > 0);
}
