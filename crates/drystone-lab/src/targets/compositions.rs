//! drystone's own compositions.

use core::alloc::Layout;

use drystone_arena::GlobalArena;
use drystone_backing::{MmapBacked, MmapFlags, System};
use drystone_core::{Checked, Fast, Hardened, Reset, SizeClass};
use drystone_layout::{BumpArena, SizeClassed};
use drystone_wrap::{Locked, Statistics, WithFallback};

use super::cached_arena::Cached;
use crate::lab::Lab;
use crate::target::{Description, FromAllocator, FromGlobal, ReplayTarget, Role, Workload};

/// Address space that a composition reserves, in bytes: 4 GiB where addresses have 64 bits. Only
/// what is used becomes memory.
const RANGE_BYTES: usize = if usize::BITS >= 64 {
    1 << (usize::BITS / 2)
} else {
    256 << 20
};

/// Sizes that `fallback` serves itself, in bytes.
const HOT_SIZES: [usize; 8] = [16, 32, 48, 64, 96, 128, 256, 512];

/// Blocks of each hot size.
const HOT_BLOCKS: usize = 8192;

type Classes = SizeClassed<MmapBacked, { SizeClass::COUNT }>;
type General = Locked<WithFallback<Classes, System>>;

fn reserve(bytes: usize) -> Result<MmapBacked, String> {
    MmapBacked::with_flags(bytes, MmapFlags::new().no_reserve()).map_err(|e| e.to_string())
}

fn general() -> Result<General, String> {
    let classes = SizeClassed::with_default_classes(reserve(RANGE_BYTES)?);
    let classes = classes.map_err(|e| e.to_string())?;
    Ok(Locked::new(WithFallback::new(classes, System)))
}

fn hot_then_arena() -> Result<impl ReplayTarget, String> {
    let bytes = HOT_SIZES.iter().sum::<usize>() * HOT_BLOCKS + (1 << 20);
    let hot = SizeClassed::with_class_sizes(reserve(bytes)?, HOT_SIZES, HOT_BLOCKS);
    let hot = hot.map_err(|e| e.to_string())?;
    let hot = Locked::new(hot);
    let arena = GlobalArena::<Fast>::new();
    Ok(FromAllocator(WithFallback::new(hot, arena)))
}

/// A bump arena for all threads, emptied between passes.
struct Bump(FromAllocator<Locked<BumpArena<MmapBacked>>>);

impl Bump {
    /// Room for all that the program asks for, as far as one range goes.
    fn new(workload: &Workload) -> Result<Self, String> {
        let asked = usize::try_from(workload.requested_bytes).unwrap_or(usize::MAX);
        let bytes = asked.saturating_add(1 << 20).min(RANGE_BYTES);
        Ok(Self(FromAllocator(Locked::new(BumpArena::new(reserve(
            bytes,
        )?)))))
    }
}

// SAFETY: all calls are the inner target's.
unsafe impl ReplayTarget for Bump {
    #[inline]
    unsafe fn allocate(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.allocate(layout) }
    }

    #[inline]
    unsafe fn allocate_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.allocate_zeroed(layout) }
    }

    #[inline]
    unsafe fn deallocate(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(block, layout) }
    }

    #[inline]
    unsafe fn reallocate(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.reallocate(block, layout, new_size) }
    }

    fn refuses_from_bytes(&self) -> Option<usize> {
        self.0.refuses_from_bytes()
    }

    fn between_passes(&mut self) {
        self.0.0.reset();
    }
}

pub(super) fn add(lab: Lab) -> Lab {
    let described = |name: &str, about: &str| {
        Description::new(name, about)
            .version(env!("CARGO_PKG_VERSION"))
            .flags("Fast profile, spin lock")
    };
    lab.target(
        described("arena", "GlobalArena<Fast>").flags("Fast profile"),
        |_| Ok(FromGlobal(GlobalArena::<Fast>::new())),
    )
    .target(
        described(
            "arena-checked",
            "GlobalArena<Checked>: every misuse of a free is found",
        )
        .flags("Checked profile"),
        |_| Ok(FromGlobal(GlobalArena::<Checked>::new())),
    )
    .target(
        described(
            "arena-huge",
            "GlobalArena<Fast> that asks for huge pages, as mimalloc does",
        )
        .flags("Fast profile")
        .when_named(),
        |_| {
            let arena = GlobalArena::<Fast>::new();
            arena.advise_huge_pages().map_err(|e| e.to_string())?;
            Ok(FromGlobal(arena))
        },
    )
    .target(
        described(
            "arena-hardened",
            "GlobalArena<Hardened>: free blocks are filled, looked at and shuffled, runs are guarded",
        )
        .flags("Hardened profile")
        .when_named(),
        |_| Ok(FromGlobal(GlobalArena::<Hardened>::new())),
    )
    .target(
        described(
            "arena-cached",
            "Arena<Fast> with a ThreadCache of each thread's, found in a thread-local",
        )
        .flags("Fast profile")
        .when_named(),
        |_| Cached::new(),
    )
    .target(
        described(
            "size-classed",
            "Locked<WithFallback<SizeClassed<MmapBacked>, System>>",
        ),
        |_| general().map(FromAllocator),
    )
    .target(
        described("size-classed-stats", "the same within Statistics"),
        |_| Ok(FromAllocator(Statistics::new(general()?))),
    )
    .target(
        described(
            "fallback",
            "8 hot sizes up to 512 B, 8192 blocks each, behind a lock; then the arena",
        ),
        |_| hot_then_arena(),
    )
    .target(
        described(
            "bump",
            "Locked<BumpArena<MmapBacked>>: never gives back, reset between passes",
        )
        .role(Role::Ceiling),
        Bump::new,
    )
}
