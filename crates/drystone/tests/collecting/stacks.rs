//! The stacks that collections run on: each layout and each wrapper, alone where it serves every
//! request and before the platform's allocator where it does not.

#[cfg(not(miri))]
use std::mem::MaybeUninit;

#[cfg(not(miri))]
use drystone_backing::StaticBacked;
use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, MmapSource, System};
use drystone_core::{AllocatedRegion, Checked, HeapSource, NonZeroLayout, SipHashMac};
use drystone_layout::{
    BumpArena, ExtendableSlab, GrowableBump, SharedBumpArena, SizeClassed, Slab, StackAlloc,
};
use drystone_wrap::{
    Budget, CacheJitter, Canary, FailEveryNth, Faulty, Locked, NeverFail, Off, PoisonOnFree,
    Quarantine, Segregate, Statistics, Tagged, Watermark, WatermarkHandler, WithFallback,
};
#[cfg(not(miri))]
use drystone_wrap::{GuardPages, Placement};

/// Enough for a run of operations on an arena that takes nothing back.
const BYTES: usize = if cfg!(miri) { 1 << 20 } else { 32 << 20 };
const SLOTS: usize = 64;

type Slot = [u128; 8];

fn heap() -> HeapBacked {
    HeapBacked::with_align(BYTES, 4096).expect("memory for a test")
}

fn mapped() -> MmapBacked {
    MmapBacked::new(BYTES).expect("pages for a test")
}

pub(crate) fn bump() -> BumpArena<HeapBacked> {
    BumpArena::new(heap())
}

pub(crate) fn bump_mapped() -> BumpArena<MmapBacked> {
    BumpArena::new(mapped())
}

pub(crate) fn shared_bump() -> SharedBumpArena<MmapBacked> {
    SharedBumpArena::new(mapped())
}

pub(crate) fn growable_bump() -> GrowableBump<HeapSource> {
    GrowableBump::new(HeapSource)
}

pub(crate) fn growable_bump_mapped() -> GrowableBump<MmapSource> {
    GrowableBump::new(MmapSource)
}

pub(crate) fn stack() -> StackAlloc<HeapBacked> {
    StackAlloc::new(heap())
}

pub(crate) fn size_classed() -> SizeClassed<HeapBacked, { drystone_core::SizeClass::COUNT }> {
    SizeClassed::with_default_classes(heap()).expect("room for a block")
}

pub(crate) fn strict_classes() -> WithFallback<SizeClassed<HeapBacked, 5>, System> {
    let sizes = [8, 24, 64, 128, 512];
    let classes = SizeClassed::with_class_sizes(heap(), sizes, SLOTS);
    WithFallback::new(classes.expect("room for the classes"), System)
}

pub(crate) fn inline_bump() -> WithFallback<BumpArena<InlineBacked<1024>>, System> {
    WithFallback::new(BumpArena::new(InlineBacked::new()), System)
}

pub(crate) fn slab() -> WithFallback<Slab<Slot, HeapBacked, Checked>, System> {
    let slab = Slab::with_protection(SLOTS, heap(), Checked);
    WithFallback::new(slab.expect("room for the slots"), System)
}

pub(crate) fn slab_with_code() -> WithFallback<Slab<Slot, HeapBacked, SipHashMac>, System> {
    let slab = Slab::with_protection(SLOTS, heap(), SipHashMac::with_key([7; 16]));
    WithFallback::new(slab.expect("room for the slots"), System)
}

pub(crate) fn extendable_slab() -> WithFallback<ExtendableSlab<Slot>, System> {
    WithFallback::new(ExtendableSlab::new(SLOTS), System)
}

/// A slab cut out of an arena, before that arena.
pub(crate) fn slab_in_bump() -> impl drystone_core::Allocator {
    let arena = std::rc::Rc::new(GrowableBump::new(HeapSource));
    let layout = NonZeroLayout::array::<Slot>(2 * SLOTS).expect("not zero-sized");
    let region = AllocatedRegion::new(std::rc::Rc::clone(&arena), layout).expect("memory");
    let slab = Slab::<Slot, _>::new(SLOTS, region).expect("room for the slots");
    WithFallback::new(slab, arena)
}

pub(crate) fn locked() -> Locked<SizeClassed<HeapBacked, { drystone_core::SizeClass::COUNT }>> {
    Locked::new(size_classed())
}

pub(crate) fn statistics() -> Statistics<Locked<StackAlloc<HeapBacked>>> {
    Statistics::new(Locked::new(stack()))
}

pub(crate) fn statistics_off() -> Statistics<System, Off> {
    Statistics::with_switch(System, Off)
}

pub(crate) fn faulty() -> Faulty<System, NeverFail> {
    Faulty::new(System, NeverFail)
}

/// Every third request goes past the arena.
pub(crate) fn faulty_primary() -> impl drystone_core::Allocator {
    WithFallback::new(Faulty::new(bump(), FailEveryNth::new(3)), System)
}

pub(crate) fn segregate() -> impl drystone_core::Allocator {
    Segregate::new(size_classed(), System, 128)
}

pub(crate) fn budget() -> Budget<System> {
    Budget::new(System, BYTES)
}

pub(crate) fn tagged() -> Tagged<System> {
    Tagged::new(System, "collections")
}

pub(crate) fn poisoned() -> impl drystone_core::Allocator {
    PoisonOnFree::new(stack())
}

pub(crate) fn quarantined() -> impl drystone_core::Allocator {
    Quarantine::<_, 16>::new(PoisonOnFree::new(stack()))
}

/// Over a range of its own: a box narrows its pointer, and the canary beside the block is reached through
/// one that is derived from the range.
pub(crate) fn canaried() -> impl drystone_core::Allocator {
    Canary::new(stack())
}

pub(crate) fn jittered() -> impl drystone_core::Allocator {
    CacheJitter::new(stack())
}

pub(crate) fn system() -> System {
    System
}

// The recipes of docs/RECIPES.md; scratch and frame are `bump`.

pub(crate) fn sessions() -> Statistics<WithFallback<Slab<Slot, HeapBacked>, System>> {
    let slab = Slab::new(SLOTS, heap()).expect("room for the slots");
    Statistics::new(WithFallback::new(slab, System))
}

#[cfg(all(feature = "zeroize", not(miri)))]
pub(crate) fn secrets() -> impl drystone_core::Allocator {
    let pages = drystone_backing::LockedMmapBacked::new(16 << 10).expect("pages to lock");
    let slab = Slab::<Slot, _>::new(SLOTS, pages).expect("room for the slots");
    WithFallback::new(drystone_wrap::ZeroizeOnFree::new(slab), System)
}

#[cfg(all(feature = "arena", not(miri)))]
pub(crate) fn suspicious() -> impl drystone_core::Allocator {
    let heap = drystone::GlobalArena::<Checked>::new();
    Statistics::new(Quarantine::<_, 64>::new(Canary::new(heap)))
}

#[cfg(not(miri))]
pub(crate) fn hardened_heap() -> impl drystone_core::Allocator {
    let guarded = GuardPages::with_guards(bump_mapped(), 1, Placement::AtEnd);
    WithFallback::new(guarded, System)
}

#[cfg(not(miri))]
pub(crate) fn kernel_heap() -> impl drystone_core::Allocator {
    let region = Box::leak(vec![MaybeUninit::uninit(); 16 << 10].into_boxed_slice());
    let classes = SizeClassed::with_class_sizes(StaticBacked::new(region), [32, 128, 512], 16);
    WithFallback::new(Locked::new(classes.expect("room for the classes")), System)
}

/// Warned at the marks, and refused above the budget.
pub(crate) fn budgeted_query() -> impl drystone_core::Allocator {
    struct Deaf;
    impl WatermarkHandler for Deaf {}
    Watermark::new(Budget::new(System, BYTES), Deaf)
}

/// `$run!(name)` for each stack, in a module of that name. Under Miri without those that differ from
/// another one in what is switched off, in a lock, or in pages that are blocks of the heap there, and without
/// the recipes that need an operating system.
macro_rules! on_every_stack {
    ($run:ident) => {
        on_every_stack! { $run:
            bump growable_bump stack strict_classes slab extendable_slab slab_in_bump statistics
            faulty_primary quarantined canaried jittered tagged sessions budgeted_query
        }
        #[cfg(not(miri))]
        on_every_stack! { $run:
            bump_mapped shared_bump growable_bump_mapped size_classed inline_bump slab_with_code locked
            statistics_off faulty segregate budget poisoned system hardened_heap kernel_heap
        }
        #[cfg(all(feature = "zeroize", not(miri)))]
        on_every_stack! { $run: secrets }
        #[cfg(all(feature = "arena", not(miri)))]
        on_every_stack! { $run: suspicious }
    };
    ($run:ident: $($stack:ident)+) => { $(
        mod $stack {
            use super::*;
            $run!($stack);
        }
    )+ };
}
