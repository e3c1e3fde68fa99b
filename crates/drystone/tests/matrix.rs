//! Every wrapper over every layout over every backing that fits together by type, and over the arena in
//! all its faces: the conformance suite, in short, over each stack.
//!
//! A list of wrappers, one of layouts and one of backings are multiplied by macro; each product is a
//! type of its own. The suite is compiled once, for a boxed allocator. What does not fit by type is
//! left out of a list, and said beside it.
#![cfg(not(miri))] // Each part runs there with its own tests, and pairs of wrappers in drystone-wrap.
#![cfg(feature = "mmap")]
#![allow(clippy::vec_init_then_push, reason = "a macro pushes for each product")]

use drystone_backing::page_size;
use drystone_core::Allocator;
use drystone_testkit::conformance::{self, Caps};

/// A stack: what it is called, what it undertakes to serve, and how it is made.
struct Stack {
    name: &'static str,
    caps: Caps,
    make: fn() -> Box<dyn Allocator>,
}

/// What every stack serves: blocks of 64 bytes, so that two words beside each do no harm.
const REUSING: Caps = Caps::new(64, 16, 12).reuses_memory();
const BOUNDED: Caps = REUSING.bounded();
const CURSOR: Caps = Caps::new(64, 16, 24).bounded();
const GROWING_CURSOR: Caps = Caps::new(64, 16, 24);

mod backing {
    use std::mem::MaybeUninit;

    use drystone_backing::{
        GuardedMmapBacked, HeapBacked, InlineBacked, LockedMmapBacked, MmapBacked, StaticBacked,
        System,
    };
    use drystone_core::{AllocatedRegion, NonZeroLayout};

    const BYTES: usize = 32 << 10;

    pub(super) fn inline() -> InlineBacked<BYTES> {
        InlineBacked::new()
    }

    pub(super) fn lent() -> StaticBacked<'static> {
        StaticBacked::new(Box::leak(
            vec![MaybeUninit::uninit(); BYTES].into_boxed_slice(),
        ))
    }

    pub(super) fn heap() -> HeapBacked {
        HeapBacked::with_align(BYTES, 256).expect("memory for a test")
    }

    pub(super) fn allocated() -> AllocatedRegion<System> {
        let layout = NonZeroLayout::from_size_align(BYTES, 256).expect("valid");
        AllocatedRegion::new(System, layout).expect("memory for a test")
    }

    pub(super) fn mmap() -> MmapBacked {
        MmapBacked::new(BYTES).expect("memory for a test")
    }

    pub(super) fn locked() -> LockedMmapBacked {
        LockedMmapBacked::new(BYTES).expect("eight pages may be locked")
    }

    pub(super) fn guarded() -> GuardedMmapBacked {
        GuardedMmapBacked::new(BYTES).expect("memory for a test")
    }
}

/// The same for blocks that need pages of their own.
mod pages {
    use drystone_backing::{GuardedMmapBacked, HugePageBacked, LockedMmapBacked, MmapBacked};

    const BYTES: usize = 512 << 10;

    pub(super) fn mmap() -> MmapBacked {
        MmapBacked::new(BYTES).expect("memory for a test")
    }

    pub(super) fn locked() -> LockedMmapBacked {
        LockedMmapBacked::new(BYTES).expect("half a mebibyte may be locked")
    }

    pub(super) fn guarded() -> GuardedMmapBacked {
        GuardedMmapBacked::new(BYTES).expect("memory for a test")
    }

    pub(super) fn huge() -> HugePageBacked {
        HugePageBacked::new(BYTES).expect("a huge page, as there was before")
    }
}

mod layout {
    use drystone_backing::{GuardedMmapBacked, LockedMmapBacked, MmapBacked};
    use drystone_backing::{HeapBacked, InlineBacked, MmapSource, StaticBacked, System};
    use drystone_core::{
        AllocatedRegion, Checked, FixedRange, HeapSource, NoProtection, SipHashMac, SourceFrom,
    };
    use drystone_layout::{
        BumpArena, ExtendableSlab, GrowableBump, SharedBumpArena, SizeClassed, Slab, SlabOwner,
        StackAlloc,
    };

    const SLOTS: usize = 24;
    const KEY: [u8; 16] = *b"sixteen constant";

    /// A slot of 512 bytes, as aligned as the range can guarantee.
    pub(super) trait Room: FixedRange {
        type Slot;
    }

    #[expect(dead_code, reason = "only its size and alignment matter")]
    #[repr(align(16))]
    pub(super) struct Slot([u8; 512]);
    #[expect(dead_code, reason = "only its size and alignment matter")]
    #[repr(align(256))]
    pub(super) struct AlignedSlot([u8; 512]);

    // Storage that moves is aligned to 16 at most, and a lent buffer lies where it lies.
    impl<const N: usize> Room for InlineBacked<N> {
        type Slot = Slot;
    }
    macro_rules! aligned {
        ($($backing:ty),+) => { $( impl Room for $backing { type Slot = AlignedSlot; } )+ };
    }
    aligned!(
        StaticBacked<'static>,
        HeapBacked,
        AllocatedRegion<System>,
        MmapBacked,
        LockedMmapBacked,
        GuardedMmapBacked
    );

    pub(super) fn bump<B: FixedRange>(backing: B) -> BumpArena<B> {
        BumpArena::new(backing)
    }

    pub(super) fn shared_bump<B: FixedRange>(backing: B) -> SharedBumpArena<B> {
        SharedBumpArena::new(backing)
    }

    pub(super) fn stack<B: FixedRange>(backing: B) -> StackAlloc<B> {
        StackAlloc::new(backing)
    }

    pub(super) fn slab<B: Room>(backing: B) -> Slab<B::Slot, B> {
        Slab::new(SLOTS, backing).expect("the range fits the slots")
    }

    pub(super) fn checked_slab<B: Room>(backing: B) -> Slab<B::Slot, B, Checked> {
        Slab::with_protection(SLOTS, backing, Checked).expect("the range fits the slots")
    }

    pub(super) fn mac_slab<B: Room>(backing: B) -> Slab<B::Slot, B, SipHashMac> {
        let mac = SipHashMac::with_key(KEY);
        Slab::with_protection(SLOTS, backing, mac).expect("the range fits the slots")
    }

    pub(super) fn classes<B: FixedRange>(backing: B) -> SizeClassed<B, 3> {
        SizeClassed::with_class_sizes(backing, [128, 256, 512], SLOTS).expect("the range fits")
    }

    pub(super) fn owner<B: Room>(backing: B) -> SlabOwner<B::Slot, B> {
        SlabOwner::new(SLOTS, backing).expect("the range fits the slots")
    }

    /// These take segments from a source, so they have no backing: the second name says which source.
    pub(super) fn growable_heap(_: ()) -> GrowableBump<HeapSource> {
        GrowableBump::new(HeapSource)
    }

    pub(super) fn growable_mmap(_: ()) -> GrowableBump<MmapSource> {
        GrowableBump::new(MmapSource)
    }

    pub(super) fn growable_system(_: ()) -> GrowableBump<SourceFrom<System>> {
        GrowableBump::new(SourceFrom::new(System))
    }

    pub(super) fn extendable_heap(_: ()) -> ExtendableSlab<AlignedSlot> {
        ExtendableSlab::new(SLOTS)
    }

    pub(super) fn extendable_checked(_: ()) -> ExtendableSlab<AlignedSlot, Checked> {
        ExtendableSlab::with_protection(SLOTS, || Checked)
    }

    pub(super) fn extendable_mmap(_: ()) -> ExtendableSlab<AlignedSlot, NoProtection, MmapSource> {
        ExtendableSlab::with_source(SLOTS, || NoProtection, MmapSource)
    }

    /// The arena has memory of its own, and takes what it needs from the system.
    #[cfg(feature = "arena")]
    pub(super) use arena::{
        cached_checked, cached_fast, cached_hardened, global_checked, global_fast, global_hardened,
    };

    #[cfg(feature = "arena")]
    mod arena {
        use drystone::{Arena, ArenaConfig, CachedArena, Fast, GlobalArena, Hardened, ThreadCache};
        use drystone_arena::Profile;
        use drystone_core::Checked;
        use drystone_testkit::kept;

        pub(in super::super) fn global_fast(_: ()) -> GlobalArena<Fast> {
            GlobalArena::new()
        }

        pub(in super::super) fn global_checked(_: ()) -> GlobalArena<Checked> {
            GlobalArena::new()
        }

        pub(in super::super) fn global_hardened(_: ()) -> GlobalArena<Hardened> {
            GlobalArena::new()
        }

        pub(in super::super) fn cached_hardened(_: ()) -> CachedArena<'static, Hardened> {
            cached()
        }

        fn cached<P: Profile>() -> CachedArena<'static, P> {
            let config = ArenaConfig::default();
            let arena = Arena::<P>::with_profile(config).expect("a valid configuration");
            kept(arena).bind(kept(ThreadCache::new(config)))
        }

        pub(in super::super) fn cached_fast(_: ()) -> CachedArena<'static, Fast> {
            cached()
        }

        pub(in super::super) fn cached_checked(_: ()) -> CachedArena<'static, Checked> {
            cached()
        }
    }

    /// A block of four pages of 4 KiB: a block between two guards, and one to spare.
    #[expect(dead_code, reason = "only its size and alignment matter")]
    #[repr(align(4096))]
    pub(super) struct Pages([u8; 16 << 10]);

    pub(super) fn slab_of_pages<B: FixedRange>(backing: B) -> Slab<Pages, B> {
        Slab::new(SLOTS, backing).expect("the range fits the slots")
    }

    pub(super) fn checked_slab_of_pages<B: FixedRange>(backing: B) -> Slab<Pages, B, Checked> {
        Slab::with_protection(SLOTS, backing, Checked).expect("the range fits the slots")
    }

    pub(super) fn classes_of_pages<B: FixedRange>(backing: B) -> SizeClassed<B, 1> {
        SizeClassed::with_class_sizes(backing, [16 << 10], SLOTS).expect("the range fits")
    }
}

mod wrap {
    use std::num::NonZeroU16;

    use drystone_backing::System;
    use drystone_core::{Allocator, Contents, Late, OverPages, Owns, StableAddress};
    use drystone_wrap::{
        Budget, CacheJitter, Canary, Faulty, GuardPages, HugePageAdvised, Locked, NeverFail,
        NumaLocal, Off, Placement, PoisonOnFree, Quarantine, Segregate, SpinLock, Statistics,
        Tagged, Watermark, WatermarkHandler, WithFallback,
    };

    pub(super) fn bare<A>(inner: A) -> A {
        inner
    }

    pub(super) fn fallback<A: Owns>(inner: A) -> WithFallback<A, System> {
        WithFallback::new(inner, System)
    }

    pub(super) fn segregate<A>(inner: A) -> Segregate<A, System> {
        Segregate::new(inner, System, 40)
    }

    pub(super) fn locked<A>(inner: A) -> Locked<A, SpinLock> {
        Locked::new(inner)
    }

    pub(super) fn counted<A>(inner: A) -> Statistics<A> {
        Statistics::new(inner)
    }

    pub(super) fn uncounted<A>(inner: A) -> Statistics<A, Off> {
        Statistics::with_switch(inner, Off)
    }

    pub(super) fn faulty<A>(inner: A) -> Faulty<A, NeverFail> {
        Faulty::new(inner, NeverFail)
    }

    pub(super) fn budget<A>(inner: A) -> Budget<A> {
        Budget::new(inner, 1 << 20)
    }

    pub(super) struct Deaf;

    impl WatermarkHandler for Deaf {}

    pub(super) fn watermark<A: Allocator>(inner: A) -> Watermark<A, Deaf> {
        Watermark::new(inner, Deaf)
    }

    pub(super) fn late<A>(inner: A) -> Late<A> {
        let late = Late::new();
        assert!(late.set(inner).is_ok(), "it was empty");
        late
    }

    #[cfg(feature = "trace")]
    pub(super) fn recorded<A>(inner: A) -> drystone::Recorder<A> {
        drystone::Recorder::new(inner)
    }

    pub(super) fn tagged<A>(inner: A) -> Tagged<A> {
        Tagged::new(inner, "matrix")
    }

    pub(super) fn jitter<A: Contents>(inner: A) -> CacheJitter<A> {
        CacheJitter::with_positions(inner, 16, NonZeroU16::new(2).expect("two"))
    }

    pub(super) fn poison<A: Contents>(inner: A) -> PoisonOnFree<A> {
        PoisonOnFree::new(inner)
    }

    #[cfg(feature = "zeroize")]
    pub(super) fn zeroize<A: Contents>(inner: A) -> drystone_wrap::ZeroizeOnFree<A> {
        drystone_wrap::ZeroizeOnFree::new(inner)
    }

    pub(super) fn quarantine<A: Contents + StableAddress>(inner: A) -> Quarantine<A, 4> {
        Quarantine::new(inner)
    }

    pub(super) fn canary<A: Contents>(inner: A) -> Canary<A> {
        Canary::new(inner)
    }

    pub(super) fn guard<A: OverPages>(inner: A) -> GuardPages<A> {
        GuardPages::new(inner)
    }

    pub(super) fn guard_in_front<A: OverPages>(inner: A) -> GuardPages<A> {
        GuardPages::with_guards(inner, 1, Placement::AtStart)
    }

    pub(super) fn numa<A: OverPages>(inner: A) -> NumaLocal<A> {
        NumaLocal::new(inner, 0)
    }

    pub(super) fn huge_advised<A: OverPages>(inner: A) -> HugePageAdvised<A> {
        HugePageAdvised::new(inner)
    }
}

/// `stacks!(wrapper, caps: [layouts] over mod [backings])`: each layout over each backing, wrapped.
macro_rules! stacks {
    ($stacks:ident, $wrapper:ident, $caps:expr, [$($layout:ident)+] $place:ident $backings:tt) => {
        $( stacks!(@layout $stacks, $wrapper, $caps, $layout $place $backings); )+
    };
    (@layout $stacks:ident, $wrapper:ident, $caps:expr, $layout:ident $place:ident [$($backing:ident)+]) => {
        $( $stacks.push(Stack {
            name: concat!(
                stringify!($wrapper), "<", stringify!($layout), "<", stringify!($place), "::",
                stringify!($backing), ">>"
            ),
            caps: $caps,
            make: || Box::new(wrap::$wrapper(layout::$layout($place::$backing()))),
        }); )+
    };
    // Layouts over a source, and the system.
    (@source $stacks:ident, $wrapper:ident, $caps:expr, [$($layout:ident)+]) => {
        $( $stacks.push(Stack {
            name: concat!(stringify!($wrapper), "<", stringify!($layout), ">"),
            caps: $caps,
            make: || Box::new(wrap::$wrapper(layout::$layout(()))),
        }); )+
    };
}

/// A module for each wrapper of any allocator, with the list of its stacks and a test over them.
/// `unbounded`: a part beside the layout has no limit.
macro_rules! wrappers {
    ($($(#[$cfg:meta])* $wrapper:ident: $limit:ident over $backings:tt;)+) => { $(
        $(#[$cfg])*
        mod $wrapper {
            use super::*;

            pub(super) fn stacks() -> Vec<Stack> {
                let mut stacks = Vec::new();
                stacks!(stacks, $wrapper, limits::$limit(CURSOR), [bump shared_bump stack] backing $backings);
                stacks!(
                    stacks, $wrapper, limits::$limit(BOUNDED),
                    [slab checked_slab mac_slab classes owner] backing $backings
                );
                stacks!(
                    @source stacks, $wrapper, GROWING_CURSOR,
                    [growable_heap growable_mmap growable_system]
                );
                stacks!(
                    @source stacks, $wrapper, REUSING,
                    [extendable_heap extendable_checked extendable_mmap]
                );
                #[cfg(feature = "arena")]
                stacks!(
                    @source stacks, $wrapper, REUSING,
                    [
                        global_fast global_checked global_hardened
                        cached_fast cached_checked cached_hardened
                    ]
                );
                stacks
            }

            #[test]
            fn conforms() {
                conform(&stacks());
            }
        }
    )+
        /// The stacks of these wrappers.
        fn of_any_allocator() -> Vec<Stack> {
            let mut stacks = Vec::new();
            $(
                $(#[$cfg])*
                stacks.extend($wrapper::stacks());
            )+
            stacks
        }
    };
}

/// What a wrapper makes of a layout's limit.
mod limits {
    use super::Caps;

    pub(super) fn bounded(caps: Caps) -> Caps {
        caps
    }

    /// The system stands beside the layout, so the whole never runs out.
    pub(super) fn unbounded(_: Caps) -> Caps {
        super::GROWING_CURSOR
    }
}

wrappers! {
    bare: bounded over [inline lent heap allocated mmap locked guarded];
    fallback: unbounded over [inline lent heap allocated mmap locked guarded];
    segregate: unbounded over [inline lent heap allocated mmap locked guarded];
    locked: bounded over [inline lent heap allocated mmap locked guarded];
    counted: bounded over [inline lent heap allocated mmap locked guarded];
    uncounted: bounded over [inline lent heap allocated mmap locked guarded];
    faulty: bounded over [inline lent heap allocated mmap locked guarded];
    budget: bounded over [inline lent heap allocated mmap locked guarded];
    watermark: bounded over [inline lent heap allocated mmap locked guarded];
    tagged: bounded over [inline lent heap allocated mmap locked guarded];
    poison: bounded over [inline lent heap allocated mmap locked guarded];
    #[cfg(feature = "zeroize")]
    zeroize: bounded over [inline lent heap allocated mmap locked guarded];
    late: bounded over [inline lent heap allocated mmap locked guarded];
    #[cfg(feature = "trace")]
    recorded: bounded over [inline lent heap allocated mmap locked guarded];
    canary: bounded over [inline lent heap allocated mmap locked guarded];
    // Storage that moves guarantees an alignment of 16, and a displaced block needs its span.
    jitter: bounded over [lent heap allocated mmap locked guarded];
    // It keeps addresses of freed blocks, so its blocks may not move: no storage by value.
    quarantine: bounded over [lent heap allocated mmap locked guarded];
}

/// The same for wrappers that need pages: over layouts that lend theirs.
macro_rules! over_pages {
    ($($wrapper:ident)+) => { $(
        mod $wrapper {
            use super::*;

            pub(super) fn stacks() -> Vec<Stack> {
                let mut stacks = Vec::new();
                stacks!(stacks, $wrapper, CURSOR, [bump shared_bump stack] pages [mmap locked guarded]);
                stacks!(
                    stacks, $wrapper, BOUNDED,
                    [slab_of_pages checked_slab_of_pages classes_of_pages] pages [mmap locked guarded]
                );
                stacks
            }

            #[test]
            fn conforms() {
                conform(&stacks());
            }
        }
    )+
        fn of_pages() -> Vec<Stack> {
            [$( $wrapper::stacks() ),+].into_iter().flatten().collect()
        }
    };
}

over_pages!(guard guard_in_front numa huge_advised);

/// Runs the suite over each of `stacks`.
fn conform(stacks: &[Stack]) {
    if page_size() > 4096 {
        eprintln!("left out: slots of the stacks over pages are made for pages of 4096 bytes");
        return;
    }
    for stack in stacks {
        eprintln!("{}", stack.name);
        conformance::check_allocator(stack.make, stack.caps);
    }
}

#[test]
fn over_huge_pages_where_there_are_some() {
    if let Err(refusal) = drystone_backing::HugePageBacked::new(1) {
        eprintln!("left out: {refusal}");
        return;
    }
    // A guard would be a huge page too, so only the wrappers without any.
    let mut stacks = Vec::new();
    stacks!(stacks, numa, CURSOR, [bump shared_bump stack] pages [huge]);
    stacks!(stacks, huge_advised, CURSOR, [bump shared_bump stack] pages [huge]);
    conform(&stacks);
}

#[test]
fn there_are_as_many_stacks_as_promised_and_no_two_are_the_same() {
    let mut names: Vec<_> = of_any_allocator().iter().map(|stack| stack.name).collect();
    names.extend(of_pages().iter().map(|stack| stack.name));
    let count = names.len();
    println!("{count} stacks");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a stack is listed twice");
    let least = if cfg!(feature = "arena") { 1000 } else { 900 };
    assert!(count >= least, "{count} stacks");
}
