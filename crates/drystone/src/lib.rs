//! Layered, composable memory allocators.
//!
//! # What
//!
//! Small parts, each keeping a few named promises, stacked by generics at compile time. This crate
//! is the front door: it re-exports the parts by their plain names, and a feature turns on what
//! needs more than `core`.
//!
//! | layer | what it is | parts |
//! |---|---|---|
//! | contracts | what allocators promise each other | [`Allocator`], [`Deallocator`], [`FixedRange`], [`Owns`], [`Reset`], [`StableAddress`], [`NonZeroLayout`] … |
//! | backing | where the bytes come from | [`InlineBacked`], [`StaticBacked`], `HeapBacked`, `MmapBacked`, `HugePageBacked`, `LockedMmapBacked`, `GuardedMmapBacked`, `System` |
//! | layout | how a range is cut into blocks | [`BumpArena`], [`SharedBumpArena`], [`StackAlloc`], [`Slab`], [`SizeClassed`]; with `alloc` those that grow or are shared: `GrowableBump`, `ExtendableSlab`, `SlabOwner`, `GenerationalSlab` … |
//! | adapter | to what others call an allocator | [`Global`], [`StdCompat`], `Foreign02`, `Foreign04`, `ForeignStd` |
//! | wrapper | one behaviour over any allocator | [`WithFallback`], [`Segregate`], [`Budget`], [`Watermark`], [`Locked`], [`Statistics`], [`GuardPages`] …; [`AllocatorExt`] has a method for each |
//!
//! A backing is one exclusive range of bytes; a layout takes it by value and hands out blocks of
//! it; a wrapper takes an allocator by value and adds one thing. A block can be a range again
//! ([`AllocatedRegion`]), which is how layouts stack:
//!
//! ```
//! use drystone::prelude::*;
//! use drystone::{AllocatedRegion, BumpArena, InlineBacked, Slab, Statistics};
//!
//! // Eight blocks of 256 bytes inside the value itself, counted; one of them becomes an arena.
//! let slab = Slab::<[u64; 32], _>::new(8, InlineBacked::<2048>::new())?;
//! let blocks = Statistics::new(slab);
//! let layout = NonZeroLayout::for_type::<[u64; 32]>().expect("not zero-sized");
//!
//! let arena = BumpArena::new(AllocatedRegion::new(&blocks, layout)?);
//! let squares = arena.alloc_slice_copy(&[1, 4, 9]);
//! squares[0] += squares[2];
//! assert_eq!(blocks.stats().live_bytes(), 256);
//!
//! // Dropping the arena gives its block back.
//! drop(arena);
//! assert_eq!(blocks.stats().live_bytes(), 0);
//! # Ok::<(), drystone::AllocError>(())
//! ```
//!
//! # Memory picture
//!
//! ```text
//!  wrapper    Statistics                 counts; no bytes of a block
//!  layout       Slab                     | slot | slot | slot | ...
//!  backing        InlineBacked           |<------ one range ------>|
//! ```
//!
//! # Invariants
//!
//! `docs/CONTRACT.md` has the words and the laws; each module numbers what it keeps. A promise that a stack makes is a
//! trait that its type implements, and holds for every stack whose type implements it.
//!
//! # Threads
//!
//! A type is `Send` and `Sync` where its parts allow it. [`Locked`] makes a stack of one thread one for many.
//! `docs/CONCURRENCY.md` says what may wait for what.
//!
//! # Cost
//!
//! Stacks are resolved at compile time: a layer that does nothing in a call adds nothing to it.
//! `docs/BENCHMARKS.md` has figures.
//!
//! # Features
//!
//! All add; without any the crate is no_std, without `alloc`.
//!
//! | feature | what one gains |
//! |---|---|
//! | `std` (default) | `System`, the operating system's words in errors, locks that yield |
//! | `alloc` | `HeapBacked`, `HeapSource`, forwarding for `Box`, `Rc` and `Arc` |
//! | `mmap` | `MmapBacked`, `MmapSource`: pages of the operating system |
//! | `parking_lot` | `ParkingLotLock`: waiters of [`Locked`] sleep |
//! | `critical-section` | `CriticalSectionLock`: [`Locked`] without compare-and-swap, and in interrupt handlers |
//! | `zeroize` | `ZeroizeOnFree`: freed bytes are zero, for sure |
//! | `siphash` | `SipHashMac`: the links of a slab's free list carry a keyed code |
//! | `arena` | `GlobalArena`, `Arena` and `ThreadCache`: the thread-cached general-purpose allocator |
//! | `pool` | `BufferPool` and its views: buffers for network and storage I/O |
//! | `bytes` | `bytes::Buf` and `BufMut` for the views, conversion from and into `Bytes` |
//! | `tokio` | `AsyncRead`, `AsyncBufRead` and `AsyncWrite` of tokio for the views |
//! | `io-uring` | on Linux, `FixedBuffers`: a pool's memory as fixed buffers of an io_uring; elsewhere nothing |
//! | `metrics` | figures of pools for the recorder of the `metrics` facade |
//! | `prometheus` | `PoolCollector`: figures of pools for a registry of `prometheus-client` |
//! | `trace` | `Recorder`: writes down what a program allocates; the `trace` module reads it |
//! | `serde` | [`Stats`], the figures of pools and of traces can be serialised |
//! | `testing` | the `testing` module: checks for your own allocators |
//! | `allocator-api2-02` | [`StdCompat`] and `StdCompat02` lend allocators to collections of allocator-api2 0.2, hashbrown's among them; `Foreign02` takes theirs |
//! | `allocator-api2-04` | the same for allocator-api2 0.4; `Foreign04` |
//! | `nightly` | the same for the standard library's `Allocator`, where the compiler has it; `ForeignStd` |
//! | `full` | all of these but `nightly` |
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

// Contracts.
#[cfg(feature = "siphash")]
pub use drystone_core::SipHashMac;
pub use drystone_core::{
    AbortOnMisuse, Advice, AllocError, AllocFaultPolicy, AllocatedRegion, Allocator, BlockInfo,
    CACHE_LINE, CachePadded, Checked, Contents, Corruption, Deallocator, Fast, FixedRange,
    FreeLink, FreelistProtection, Hardened, Inspect, LayoutError, Misuse, MisusePolicy,
    NoProtection, NonZeroLayout, OnMisuse, OsBacked, OsError, OverPages, Owns, Protection, Region,
    Report, Reset, SegmentSource, SizeClass, SourceFrom, StableAddress, Stats, arith,
};
#[cfg(feature = "alloc")]
pub use drystone_core::{HeapSegment, HeapSource};

// Adapters.
#[cfg(feature = "allocator-api2-04")]
pub use drystone_core::Foreign04;
#[cfg(feature = "nightly")]
#[allow(
    unused_imports,
    unreachable_pub,
    reason = "empty where the compiler has no such trait"
)]
pub use drystone_core::standard::*;
pub use drystone_core::{
    AllocatorClone, Global, GlobalSafe, Late, NoHeap, StaticAllocator, StdCompat,
};
#[cfg(feature = "allocator-api2-02")]
pub use drystone_core::{Foreign02, StdCompat02};

// Backings.
#[cfg(feature = "std")]
pub use drystone_backing::System;
#[cfg(feature = "alloc")]
pub use drystone_backing::{BackingError, HeapBacked};
#[cfg(feature = "mmap")]
pub use drystone_backing::{
    FlaggedMmapSource, GuardedMmapBacked, HugePageBacked, LockedMmapBacked, MmapBacked, MmapFlags,
    MmapSource, page_size,
};
pub use drystone_backing::{InlineBacked, StaticBacked};

// Layouts.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use drystone_layout::{
    ADAPTIVE_COOLDOWN_TICKS, ADAPTIVE_LEVELS, BatchPolicy, Intrusive, RemoteBatch, RemoteBox,
    RemoteQueue, Ring, SlabOwner, SlabRemote, remote_slab,
};
pub use drystone_layout::{
    AllocValueError, BumpArena, Scope, SetupError, SizeClassed, Slab, bump, size_classed, slab,
};
#[cfg(feature = "alloc")]
pub use drystone_layout::{ArenaPool, PooledArena, arena_pool};
pub use drystone_layout::{
    DefaultLock, ProviderFrom, SlabBox, SlabCache, SlabError, SlabProvider, Slots, SlotsState,
    slab_cache, slots,
};
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use drystone_layout::{ExtendableSlab, extendable_slab};
pub use drystone_layout::{GenerationalSlab, Handle, generational_slab};
pub use drystone_layout::{GrowableBump, StackAlloc, growable_bump, stack_alloc};
#[cfg(target_has_atomic = "ptr")]
pub use drystone_layout::{SharedBumpArena, shared_bump};

// Wrappers.
pub use drystone_wrap::AllocatorExt;
#[cfg(target_has_atomic = "ptr")]
pub use drystone_wrap::Canary;
#[cfg(feature = "critical-section")]
pub use drystone_wrap::CriticalSectionLock;
#[cfg(feature = "parking_lot")]
pub use drystone_wrap::ParkingLotLock;
pub use drystone_wrap::{AlwaysFail, FailOnSize, Faulty, Locked, NeverFail, NoLock, RawLock};
#[cfg(target_has_atomic = "ptr")]
pub use drystone_wrap::{Budget, CacheJitter, GuardPages, Placement, Watermark, WatermarkHandler};
#[cfg(target_has_atomic = "ptr")]
pub use drystone_wrap::{FailAfter, FailEveryNth};
pub use drystone_wrap::{HugePageAdvised, NumaLocal, Segregate, WithFallback};
pub use drystone_wrap::{Off, On, Poison, PoisonOnFree, Quarantine, Scrub, ScrubOnFree, Switch};
#[cfg(target_has_atomic = "32")]
pub use drystone_wrap::{SpinLock, Statistics};
#[cfg(target_has_atomic = "32")]
pub use drystone_wrap::{Tag, TagRef, Tagged};
#[cfg(feature = "zeroize")]
pub use drystone_wrap::{ZeroizeOnFree, Zeros};

// The arena.
#[cfg(feature = "arena")]
pub use drystone_arena::{
    Arena, ArenaConfig, ArenaError, ArenaStats, CachedArena, FreeError, GlobalArena, ThreadCache,
    ThreadCacheStats, allocate, deallocate, deallocate_with_size, global_stats, trim,
};

// Buffer pools.
#[cfg(feature = "prometheus")]
pub use drystone_pool::PoolCollector;
#[cfg(feature = "pool")]
pub use drystone_pool::{
    Alignment, AllocAsync, BorrowPolicy, BufferClass, BufferPool, BufferPoolConfig,
    BufferPoolThreadCache, CapacityError, ClassStats, ConfigError, DioAlign, DioSource,
    FallbackPolicy, IoBuf, IoBufMut, IoBufs, IoBufsBuilder, IoBufsMut, LeakPlace, LeakReport,
    PoolError, PoolStats, PooledView, RegisteredRegion, ReturnPolicy, io_bufs, io_bufs_mut,
};
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub use drystone_pool::{FixedBuffers, RingFile};

/// Checks for allocators: their promises one by one, an oracle, injected faults, random programs.
#[cfg(feature = "testing")]
pub use drystone_testkit as testing;
/// Reads and records allocation traces.
#[cfg(feature = "trace")]
pub use drystone_trace as trace;
#[cfg(feature = "trace")]
pub use drystone_trace::{RecordError, Recorder, finish_recording, record_to};

#[cfg(all(
    doctest,
    feature = "mmap",
    feature = "parking_lot",
    feature = "allocator-api2-02"
))]
mod pins;

/// The contracts that code over any allocator names.
pub mod prelude {
    pub use drystone_core::{
        AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, Owns, Reset, StableAddress,
    };
    pub use drystone_wrap::AllocatorExt;
}

// The compositions of the repository's front page, as documentation tests.
#[cfg(all(doctest, feature = "mmap", feature = "pool"))]
#[doc = include_str!("../../../README.md")]
struct FrontPage;

// The stacks of docs/RECIPES.md, likewise.
#[cfg(all(doctest, feature = "mmap", feature = "arena", feature = "zeroize"))]
#[doc = include_str!("../../../docs/RECIPES.md")]
struct Recipes;
