//! Stacks of three wrappers and more under random programs: the oracle watches every block, and at the end of
//! each program nothing may be left of it in any count.
//!
//! The matrix has each wrapper alone, and the pairs two of them; here they stand as users stack them, and as
//! nobody would.
#![cfg(not(miri))] // Each wrapper and each pair runs there with its own tests.
#![cfg(all(feature = "arena", feature = "mmap", feature = "zeroize"))]

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;

use drystone::prelude::*;
use drystone::{
    AllocError, AllocatedRegion, BumpArena, Checked, Corruption, ExtendableSlab, FailEveryNth,
    Fast, Faulty, GlobalArena, HeapBacked, Inspect, Late, LockedMmapBacked, Misuse, MmapBacked,
    NonZeroLayout, Off, Report, Segregate, SizeClassed, StackAlloc, System, Tag, Tagged,
    WatermarkHandler, WithFallback,
};
use drystone::{BlockInfo, Budget, Canary, Deallocator, GuardPages, Quarantine, Reset};
use drystone_testkit::program::{Limits, Program, run, run_with_reset};

/// Programs for each stack.
const PROGRAMS: u64 = 60;

/// A stack without insight into its state, which the interpreter asks for.
struct Blind<A>(A);

// SAFETY: the stack keeps the contract.
unsafe impl<A: Deallocator> Deallocator for Blind<A> {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is the stack's; same requirements.
        unsafe { self.0.deallocate(ptr, layout) };
    }
}

// SAFETY: the stack keeps the contract.
unsafe impl<A: Allocator> Allocator for Blind<A> {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.allocate(layout)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.allocate_zeroed(layout)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the stack's; same requirements.
        unsafe { self.0.grow(ptr, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the stack's; same requirements.
        unsafe { self.0.grow_zeroed(ptr, old, new) }
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the block is the stack's; same requirements.
        unsafe { self.0.shrink(ptr, old, new) }
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the block is the stack's; same requirements.
        unsafe { self.0.usable_size(ptr, layout) }
    }

    fn corruption_events(&self) -> u64 {
        self.0.corruption_events()
    }
}

impl<A: Reset> Reset for Blind<A> {
    fn reset(&mut self) {
        self.0.reset();
    }
}

impl<A: Allocator> Inspect for Blind<A> {
    fn validate(&self, _ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        Ok(BlockInfo { usable_bytes: 0 })
    }

    /// A false alarm is the one thing that shows from outside.
    fn verify_all(&self) -> Result<Report, Corruption> {
        assert_eq!(self.0.corruption_events(), 0);
        Ok(Report::default())
    }

    fn state_digest(&self) -> u64 {
        0
    }
}

fn program(seed: u64) -> Program {
    const SIZES: [usize; 3] = [64, 700, 5000];
    const ALIGNS: [usize; 3] = [8, 64, 4096];
    let mut word = seed;
    let mut next = || {
        // The steps of SplitMix64's state, folded: the decoder makes operations of any bytes.
        word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (word ^ (word >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32
    };
    let length = 50 + next() as usize % 600;
    let bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
    let limits = Limits {
        max_size: SIZES[seed as usize % 3],
        max_align: ALIGNS[seed as usize / 3 % 3],
    };
    Program::decode(&bytes, limits)
}

/// Hears nothing.
struct Deaf;

impl WatermarkHandler for Deaf {}

fn heap(bytes: usize) -> HeapBacked {
    HeapBacked::with_align(bytes, 4096).expect("memory for a test")
}

fn bump() -> BumpArena<HeapBacked> {
    BumpArena::new(heap(64 << 10))
}

fn stack() -> StackAlloc<HeapBacked> {
    StackAlloc::new(heap(64 << 10))
}

fn classes() -> SizeClassed<HeapBacked, 5> {
    SizeClassed::with_class_sizes(heap(512 << 10), [64, 128, 512, 2048, 8192], 16).expect("room")
}

fn pages() -> BumpArena<MmapBacked> {
    BumpArena::new(MmapBacked::new(512 << 10).expect("memory for a test"))
}

fn locked_pages() -> StackAlloc<LockedMmapBacked> {
    StackAlloc::new(LockedMmapBacked::new(128 << 10).expect("32 pages may be locked"))
}

fn late<A>(inner: A) -> Late<A> {
    let late = Late::new();
    assert!(late.set(inner).is_ok(), "it was empty");
    late
}

/// A test for each stack, by `run` or `run_with_reset`.
macro_rules! stacks {
    ($run:ident: $($name:ident, $stack:expr;)+) => { $(
        #[test]
        fn $name() {
            for seed in 0..PROGRAMS {
                $run(Blind($stack), &program(seed));
            }
        }
    )+ };
}

stacks! { run_with_reset:
    held_then_framed_then_scrubbed,
        bump().quarantine::<8>().canary().poison_on_free().statistics();
    held_twice_within_a_budget, stack().quarantine::<4>().quarantine::<3>().budget(40_000);
    all_behind_a_lock, classes().quarantine::<16>().statistics().canary().locked();
    displaced_blocks_held, classes().cache_jitter().canary().quarantine::<5>().tagged("held");
    framed_three_times, stack().canary().canary().canary().statistics();
    guarded_twice, pages().guard_pages().guard_pages().statistics();
    all_that_ask_for_pages,
        pages().numa_local(0).guard_pages().huge_page_advised().canary().quarantine::<7>();
    secrets_between_guards,
        locked_pages().guard_pages().canary().zeroize_on_free().watermark(Deaf);
    two_stacks_by_size,
        Segregate::new(classes().canary(), stack().quarantine::<3>(), 100)
            .statistics()
            .poison_on_free();
    everything_is_large, Segregate::new(stack(), classes(), 0).zeroize_on_free();
    everything_is_small, Segregate::new(stack(), classes(), usize::MAX).quarantine::<2>();
    two_fallbacks,
        WithFallback::new(WithFallback::new(bump().canary(), stack().quarantine::<3>()), classes())
            .poison_on_free()
            .statistics();
    refusals_outside_of_what_is_held,
        Faulty::new(stack().quarantine::<4>(), FailEveryNth::new(3)).statistics().canary();
    refusals_below_what_is_held,
        Faulty::new(classes().canary(), FailEveryNth::new(2)).quarantine::<4>().zeroize_on_free();
    scrubbed_three_times, stack().poison_on_free().zeroize_on_free().poison_on_free().statistics();
    all_that_count, bump().budget(10_000).watermark(Deaf).statistics().tagged("counted");
    of_one_that_came_late, late(classes().quarantine::<3>()).canary().statistics();
    nothing_at_all,
        Quarantine::<_, 3, Off>::with_switch(
            Budget::with_switch(
                Canary::with_switch(GuardPages::with_switch(pages(), Off), Off),
                0,
                Off,
            ),
            Off,
        );
}

stacks! { run:
    over_the_system, System.canary().quarantine::<8>().statistics().locked();
    suspicious_build,
        GlobalArena::<Checked>::new().canary().quarantine::<64>().statistics();
    displaced_in_the_arena,
        GlobalArena::<Fast>::new().cache_jitter().poison_on_free().budget(1 << 20);
    small_from_the_arena,
        Segregate::new(GlobalArena::<Fast>::new(), System, 64).canary().quarantine::<5>();
    overflow_to_the_system,
        WithFallback::new(stack().quarantine::<2>(), System.canary()).statistics();
    slots_held, ExtendableSlab::<[u64; 700]>::new(4).canary().quarantine::<6>().statistics();
    in_a_box, Box::new(classes().canary()).quarantine::<4>().statistics();
    in_an_arc, Arc::new(classes().quarantine::<5>().locked()).canary().statistics();
    in_an_rc, Rc::new(stack()).quarantine::<5>().poison_on_free();
    over_a_block_of_another,
        AllocatedRegion::new(System, NonZeroLayout::from_size_align(64 << 10, 4096).expect("valid"))
            .map(BumpArena::new)
            .expect("memory for a test")
            .canary()
            .quarantine::<3>();
}

/// One tag for many allocators, one after another: what each took it gave back.
#[test]
fn counted_to_one_tag() {
    static TAG: Tag = Tag::new("all of them");
    for seed in 0..PROGRAMS {
        let arena = Tagged::with_tag(GlobalArena::<Checked>::new(), &TAG);
        run(Blind(arena.statistics().canary()), &program(seed));
        run(
            Blind(Tagged::with_tag(classes(), &TAG).quarantine::<4>()),
            &program(seed),
        );
        let stats = TAG.stats();
        assert_eq!(
            (stats.live_blocks(), stats.live_bytes()),
            (0, 0),
            "program {seed}"
        );
    }
}
