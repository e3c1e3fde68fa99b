//! Every wrapper around every wrapper: the pair keeps every promise, and both still act.

mod common;

use core::num::NonZeroU16;
use core::ptr::NonNull;

use common::content::{Record, SECRET};
use common::{Block, Blocks, PAGE, Pages, Slots, Tally};
use drystone_core::{
    Advice, AllocError, Allocator, CACHE_LINE, Deallocator, Late, Misuse, NonZeroLayout, OverPages,
    Owns, Reset, StableAddress,
};
use drystone_testkit::conformance::{self, Caps};
use drystone_testkit::oracle::{Oracle, PanicOnMisuse};
use drystone_wrap::{
    Budget, CacheJitter, Canary, FailAfter, Faulty, GuardPages, HugePageAdvised, Locked, NumaLocal,
    On, PoisonOnFree, Quarantine, Segregate, Statistics, Tagged, Watermark, WithFallback,
};

const CAPS: Caps = Caps::new(SIZE_MAX, SIZE_MAX, SLOTS as usize)
    .reuses_memory()
    .bounded();

/// The largest size and alignment that the suite asks for.
const SIZE_MAX: usize = if cfg!(miri) { 16 } else { 64 };

/// The slots of the innermost allocator.
const SLOTS: u32 = if cfg!(miri) { 8 } else { 56 };

/// The size of its slots: room for the largest block between what two wrappers put around it.
const WIDE: usize = if CACHE_LINE > 128 { 4096 } else { 2048 };

fn slots(count: u32) -> Slots {
    Slots::sized(count, WIDE)
}

/// The wrappers, each as a function of the inner allocator.
mod wrap {
    use super::common::Slots;
    use super::{SLOTS, slots};
    use core::num::NonZeroU16;
    use drystone_core::{
        Allocator, Contents, Late, Misuse, MisusePolicy, OverPages, Owns, StableAddress,
    };
    use drystone_wrap::{
        Budget, CacheJitter, Canary, Faulty, GuardPages, HugePageAdvised, Locked, NeverFail,
        NoLock, NumaLocal, Off, On, Placement, PoisonOnFree, Quarantine, Segregate, SpinLock,
        Statistics, Tagged, Watermark, WatermarkHandler, WithFallback,
    };

    pub(crate) fn fallback<A: Owns>(inner: A) -> WithFallback<A, Slots> {
        WithFallback::new(inner, slots(8))
    }

    pub(crate) fn segregate<A>(inner: A) -> Segregate<A, Slots> {
        Segregate::new(inner, slots(SLOTS), 32)
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

    pub(crate) fn budget<A>(inner: A) -> Budget<A> {
        Budget::new(inner, 1 << 20)
    }

    pub(crate) fn unlimited<A>(inner: A) -> Budget<A, Off> {
        Budget::with_switch(inner, 0, Off)
    }

    /// Hears nothing.
    #[derive(Debug, Default)]
    pub(crate) struct Deaf;

    impl WatermarkHandler for Deaf {}

    pub(crate) fn watermark<A: Allocator>(inner: A) -> Watermark<A, Deaf> {
        Watermark::new(inner, Deaf)
    }

    pub(crate) fn tagged<A>(inner: A) -> Tagged<A> {
        Tagged::new(inner, "pairs")
    }

    pub(crate) fn late<A>(inner: A) -> Late<A> {
        let late = Late::new();
        late.set(inner).map_err(drop).expect("the first");
        late
    }

    pub(crate) fn jitter<A: Contents>(inner: A) -> CacheJitter<A> {
        CacheJitter::with_positions(inner, 4, NonZeroU16::new(2).expect("two"))
    }

    /// Hears nothing: what is found around the wrapper under test is not the matter.
    #[derive(Debug, Default)]
    pub(crate) struct Mute;

    impl MisusePolicy for Mute {
        fn on_misuse(&self, _misuse: Misuse, _address: usize) {}
    }

    pub(crate) fn poison<A: Contents>(inner: A) -> PoisonOnFree<A> {
        PoisonOnFree::new(inner)
    }

    pub(crate) fn canary<A>(inner: A) -> Canary<A, On, Mute> {
        Canary::with_policy(inner, Mute)
    }

    pub(crate) fn quarantine<A: Contents + StableAddress>(inner: A) -> Quarantine<A, 5, On, Mute> {
        Quarantine::with_policy(inner, usize::MAX, Mute)
    }

    /// A quarantine that no block is small enough for: what others count is freed at once.
    pub(crate) fn passing<A: Contents + StableAddress>(inner: A) -> Quarantine<A, 5, On, Mute> {
        Quarantine::with_policy(inner, 0, Mute)
    }

    pub(crate) fn guard<A: OverPages>(inner: A) -> GuardPages<A> {
        GuardPages::new(inner)
    }

    pub(crate) fn guard_in_front<A: OverPages>(inner: A) -> GuardPages<A> {
        GuardPages::with_guards(inner, 2, Placement::AtStart)
    }

    pub(crate) fn numa<A: OverPages>(inner: A) -> NumaLocal<A> {
        NumaLocal::new(inner, 0)
    }

    pub(crate) fn huge<A: OverPages>(inner: A) -> HugePageAdvised<A> {
        HugePageAdvised::new(inner)
    }
}

/// An allocator with the promises that all wrappers pass on.
trait Whole: Allocator + Owns + Reset + StableAddress + Send {}

impl<A: Allocator + Owns + Reset + StableAddress + Send> Whole for A {}

/// Any such allocator. The suite is compiled once, for this one.
struct Erased(Box<dyn Whole>);

// SAFETY: every call goes to the allocator in the box.
unsafe impl Deallocator for Erased {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's requirements are those of the allocator in the box.
        unsafe { self.0.deallocate(ptr, layout) }
    }
}

macro_rules! resize {
    ($($method:ident)+) => { $(
        unsafe fn $method(
            &self,
            ptr: NonNull<u8>,
            old: NonZeroLayout,
            new: NonZeroLayout,
        ) -> Result<NonNull<[u8]>, AllocError> {
            // SAFETY: the caller's requirements are those of the allocator in the box.
            unsafe { self.0.$method(ptr, old, new) }
        }
    )+ };
}

// SAFETY: every call goes to the allocator in the box.
unsafe impl Allocator for Erased {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.allocate(layout)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.allocate_zeroed(layout)
    }

    resize!(grow grow_zeroed shrink);

    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the caller's requirements are those of the allocator in the box.
        unsafe { self.0.usable_size(ptr, layout) }
    }

    fn capacity_bytes(&self) -> Option<usize> {
        self.0.capacity_bytes()
    }

    fn corruption_events(&self) -> u64 {
        self.0.corruption_events()
    }
}

// SAFETY: the allocator in the box answers.
unsafe impl Owns for Erased {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.0.owns(ptr)
    }
}

// SAFETY: the allocator in the box keeps its blocks in place when it moves, and here it does not.
unsafe impl StableAddress for Erased {}

impl Reset for Erased {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// The conformance suite in one go, and the promises that all wrappers pass on.
fn conforms(make: &dyn Fn() -> Box<dyn Whole>) {
    let make = || Erased(make());
    if cfg!(miri) {
        // What moves bytes and pointers, once. The rest is arithmetic, and the same with and without.
        conformance::basic_round_trip(make, CAPS);
        resizes(&make());
        return conformance::owns(make, CAPS);
    }
    conformance::check_allocator(make, CAPS);
    conformance::sends(make, CAPS);
    // The oracle knows every live block: none overlaps another, and each is freed as it was made.
    conformance::check_allocator(|| Oracle::new(make(), PanicOnMisuse), CAPS);
    conformance::owns(make, CAPS);
    conformance::reset(make, CAPS);
}

/// A block keeps its bytes through every kind of resize, in the sizes that Miri has time for.
fn resizes(allocator: &Erased) {
    let block = allocator.take(3, 8).expect("room");
    block.fill(1);
    let block = allocator.grow_to(block, 9).expect("room");
    block.check(1, 3);
    block.fill(2);
    let block = allocator.grow_zeroed_to(block, 14).expect("room");
    block.check(2, 9);
    block.check_zero_from(9);
    let block = allocator.shrink_to(block, 5, 8).expect("room");
    block.check(2, 5);
    allocator.give(block);
}

/// A wrapper whose own work shows, inside `outer`.
macro_rules! still_acts_inside {
    ($outer:ident) => {{
        let counted = Statistics::new(slots(4));
        let outer = wrap::$outer(&counted);
        let block = outer.take(8, 8).expect("room");
        let block = outer.grow_to(block, 24).expect("room");
        outer.give(block);
        let stats = counted.stats();
        assert_eq!(stats.live_blocks(), 0);
        assert_eq!(stats.allocated_bytes, stats.deallocated_bytes);
        assert!(
            stats.allocations >= 1 && stats.allocated_bytes >= 24,
            "{stats}"
        );

        let faulty = Faulty::new(slots(4), FailAfter::new(1));
        let outer = wrap::$outer(&faulty);
        let block = outer.take(8, 8).expect("one passes");
        let second = outer.take(8, 8);
        assert_eq!(faulty.policy().remaining(), 0);
        assert_eq!(faulty.inner().live(), 1, "the second was refused inside");
        second.map(|block| outer.give(block)).ok();
        outer.give(block);
        assert_eq!(faulty.inner().live(), 0);

        let fallback = WithFallback::new(slots(1), slots(1));
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

        let locked = Locked::new(slots(1));
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

        let parts = Segregate::new(slots(4), slots(4), 512);
        let outer = wrap::$outer(&parts);
        let small = outer.take(8, 8).expect("room");
        assert_eq!((parts.small().live(), parts.large().live()), (1, 0));
        outer.give(small);
        assert_eq!(parts.small().live(), 0);
        if let Ok(large) = parts.take(513, 8) {
            assert_eq!((parts.small().live(), parts.large().live()), (0, 1));
            parts.give(large);
        }

        let budget = Budget::new(slots(4), 900);
        let outer = wrap::$outer(&budget);
        let block = outer.take(8, 8).expect("within the budget");
        assert!(budget.used_bytes() >= 8);
        let beyond = [(); 9].map(|()| outer.take(32, 8));
        assert!(budget.used_bytes() <= 900);
        for block in beyond.into_iter().flatten().chain([block]) {
            outer.give(block);
        }
        assert_eq!(budget.used_bytes(), 0);

        let watermark = Watermark::with_capacity(slots(4), Tally::default(), WIDE * 4, 25, 50);
        let outer = wrap::$outer(&watermark);
        let blocks: Vec<_> = (0..9).map_while(|_| outer.take(8, 8).ok()).collect();
        // Four slots are out, then the inner allocator refuses; what stands beside it may serve.
        let [warned, critical, refused] = watermark.handler().heard();
        assert!(
            warned == 1 && critical == 1 && refused >= 1,
            "{warned} {critical} {refused}"
        );
        for block in blocks {
            outer.give(block);
        }
        assert_eq!(watermark.used_bytes(), 0);

        let tagged = Tagged::new(slots(4), "inside");
        let outer = wrap::$outer(&tagged);
        let block = outer.take(8, 8).expect("room");
        assert_eq!(tagged.stats().live_blocks(), 1);
        assert!(tagged.stats().live_bytes() >= 8);
        outer.give(block);
        assert_eq!(tagged.stats().live_bytes(), 0);

        let late = Late::new();
        let outer = wrap::$outer(&late);
        let early = outer.take(8, 8);
        late.set(slots(4)).map_err(drop).expect("the first");
        let block = outer.take(8, 8).expect("room");
        let bound = late.get().expect("it is there");
        assert_eq!(bound.live(), 1, "what came early is not of it");
        outer.give(block);
        assert_eq!(bound.live(), 0);
        early.map(|block| outer.give(block)).ok();

        // More positions inside than the wrapper around may have of its own.
        let jitter = CacheJitter::with_positions(slots(8), 4, NonZeroU16::new(7).expect("seven"));
        assert_displaces(&wrap::$outer(&jitter));

        let guarded = GuardPages::new(slots(4));
        let outer = wrap::$outer(&guarded);
        let block = outer.take(8, 8).expect("room");
        assert_guarded(guarded.pages(), block);
        outer.give(block);
        assert_eq!(guarded.pages().inaccessible(), 0);
    }};
}

/// A wrapper whose own work shows, around `inner`.
macro_rules! still_acts_around {
    ($inner:ident) => {{
        let counted = Statistics::new(wrap::$inner(slots(4)));
        let block = counted.take(8, 8).expect("room");
        let block = counted.shrink_to(block, 5, 8).expect("room");
        counted.give(block);
        let stats = counted.stats();
        assert_eq!((stats.allocated_bytes, stats.deallocated_bytes), (8, 8));

        let faulty = Faulty::new(wrap::$inner(slots(4)), FailAfter::new(1));
        let block = faulty.take(8, 8).expect("one passes");
        assert_eq!(faulty.take_zeroed(8, 8), Err(AllocError));
        assert_eq!(faulty.grow_to(block, 16), Err(AllocError));
        faulty.give(block);

        let both = WithFallback::new(wrap::$inner(slots(1)), slots(9));
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

        let locked = Locked::with_lock(wrap::$inner(slots(2)), drystone_wrap::NoLock);
        let block = locked.take(8, 8).expect("room");
        assert!(locked.owns(block.ptr));
        locked.give(block);

        let parts = Segregate::new(wrap::$inner(slots(2)), slots(2), 16);
        let small = parts.take(16, 8).expect("room");
        assert!(parts.small().owns(small.ptr));
        let large = parts.grow_to(small, 17).expect("room");
        assert!(parts.large().owns(large.ptr));
        let small = parts.shrink_to(large, 9, 8).expect("room");
        assert_eq!(parts.large().live(), 0);
        parts.give(small);

        let budget = Budget::new(wrap::$inner(slots(4)), 16);
        let block = budget.take(8, 8).expect("within the budget");
        assert_eq!(budget.take(9, 1), Err(AllocError));
        let block = budget.grow_to(block, 16).expect("within the budget");
        assert_eq!(budget.grow_to(block, 17), Err(AllocError));
        budget.give(block);
        assert_eq!(budget.used_bytes(), 0);

        let inner = wrap::$inner(slots(4));
        let watermark = Watermark::with_capacity(inner, Tally::default(), 100, 1, 100_000);
        let block = watermark.take(8, 8).expect("room");
        assert_eq!(watermark.handler().heard(), [1, 0, 0]);
        watermark.give(block);
        assert_eq!(watermark.used_bytes(), 0);

        let tagged = Tagged::new(wrap::$inner(slots(4)), "around");
        let block = tagged.take(8, 8).expect("room");
        assert_eq!(tagged.stats().live_bytes(), 8);
        tagged.give(block);
        assert_eq!(tagged.stats().live_bytes(), 0);

        let late = Late::new();
        assert_eq!(late.take(8, 8), Err(AllocError));
        late.set(wrap::$inner(slots(4)))
            .map_err(drop)
            .expect("the first");
        let block = late.take(8, 8).expect("room");
        assert!(late.owns(block.ptr));
        late.give(block);

        let inner = wrap::$inner(slots(8));
        let three = NonZeroU16::new(3).expect("three");
        assert_displaces(&CacheJitter::with_positions(inner, 4, three));
    }};
}

/// A wrapper that touches bytes, inside `outer`.
macro_rules! contents_still_act_inside {
    ($outer:ident) => {{
        let poisoned = PoisonOnFree::with_pattern(slots(4), 0x11);
        let outer = wrap::$outer(&poisoned);
        let block = outer.take(24, 8).expect("room");
        fill_with_secret(block);
        outer.give(block);
        assert!((0..24).all(|at| stale_byte(block, at) == 0x11));

        let record = Record::default();
        let guarded = Canary::with_policy(slots(4), &record);
        let outer = wrap::$outer(&guarded);
        let block = outer.take(24, 8).expect("room");
        // What the wrapper around put behind the block comes first, if it put anything there.
        overwrite_what_is_behind(block);
        outer.give(block);
        assert_eq!(record.take(), [Misuse::Overrun]);

        let held = Quarantine::<_, 4, On, _>::with_policy(slots(4), usize::MAX, &record);
        let outer = wrap::$outer(&held);
        let block = outer.take(24, 8).expect("room");
        outer.give(block);
        change(block, 23);
        held.flush();
        assert_eq!(record.take(), [Misuse::WriteAfterFree]);
    }};
}

/// A wrapper that touches bytes, around `inner`.
macro_rules! contents_still_act_around {
    ($inner:ident) => {{
        let poisoned = PoisonOnFree::new(wrap::$inner(slots(4)));
        let block = poisoned.take(24, 8).expect("room");
        fill_with_secret(block);
        poisoned.give(block);
        assert!((0..24).all(|at| stale_byte(block, at) != SECRET));

        let record = Record::default();
        let guarded = Canary::with_policy(wrap::$inner(slots(4)), &record);
        let block = guarded.take(24, 8).expect("room");
        change(block, 24);
        guarded.give(block);
        assert_eq!(record.take(), [Misuse::Overrun]);

        let inner = wrap::$inner(slots(4));
        let held = Quarantine::<_, 4, On, _>::with_policy(inner, usize::MAX, &record);
        let block = held.take(24, 8).expect("room");
        held.give(block);
        change(block, 23);
        held.flush();
        assert_eq!(record.take(), [Misuse::WriteAfterFree]);
    }};
}

fn fill_with_secret(block: Block) {
    // SAFETY: the block is live and so long.
    unsafe { block.ptr.write_bytes(SECRET, block.len) };
}

/// A byte at an offset from the start of a block that may be freed: the slot is still there.
fn stale_byte(block: Block, at: usize) -> u8 {
    // SAFETY: inside the slot.
    let byte = unsafe { block.ptr.add(at) };
    // SAFETY: the tests look at bytes that were written.
    unsafe { byte.read() }
}

/// Changes such a byte, or one behind the block.
fn change(block: Block, at: usize) {
    let before = stale_byte(block, at);
    // SAFETY: inside the slot.
    let byte = unsafe { block.ptr.add(at) };
    // SAFETY: the memory is there. That the byte is not the test's to write is what is to be found.
    unsafe { byte.write(before ^ 0x20) };
}

/// Writes to every byte of the slot that is behind the block.
fn overwrite_what_is_behind(block: Block) {
    let rest = WIDE - block.ptr.addr().get() % WIDE - block.len;
    // SAFETY: inside the slot.
    let behind = unsafe { block.ptr.add(block.len) };
    // SAFETY: the memory is there. That it is not the test's to write is what is to be found.
    unsafe { behind.write_bytes(0xa5, rest) };
}

/// Six blocks start at three places of their slots at least: more than two positions can make.
fn assert_displaces<A: Allocator>(allocator: &A) {
    let blocks = [(); 6].map(|()| allocator.take(8, 8).expect("room"));
    let mut places = blocks.map(|block| block.ptr.addr().get() % WIDE / CACHE_LINE);
    places.sort_unstable();
    let distinct = 1 + places.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(distinct >= 3, "{places:?}");
    for block in blocks {
        allocator.give(block);
    }
}

/// The block lies between guards that are no further away than its page's ends.
fn assert_guarded(pages: &Pages, block: Block) {
    let start = block.ptr.addr().get();
    let end = start + block.len - 1;
    assert!(!pages.faults_at(start) && !pages.faults_at(end));
    let guards_near = (0..WIDE / PAGE).filter(|page| {
        let slot = start / WIDE * WIDE;
        pages.faults_at(slot + page * PAGE)
    });
    assert!(guards_near.count() >= 2);
}

/// `around!([outers] [inners])`: each outer wrapper around each inner one, and acting.
macro_rules! around {
    ([$($outer:ident)+] $inners:tt) => { $( around!(@outer $outer $inners); )+ };
    (@outer $outer:ident [$($inner:ident)+]) => {
        mod $outer {
            use super::*;

            $(
                #[test]
                fn $inner() {
                    conforms(&|| Box::new(wrap::$outer(wrap::$inner(slots(SLOTS)))));
                    let make = || wrap::$outer(wrap::$inner(slots(SLOTS)));
                    conformance::stable_address(make, CAPS);
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

            #[test]
            fn lets_what_touches_bytes_act() {
                contents_still_act_inside!($outer);
                contents_still_act_around!($outer);
            }
        }
    };
}

around!(
    [fallback segregate locked unlocked counted uncounted faulty budget unlimited watermark tagged late jitter
     poison canary passing]
    [fallback segregate locked unlocked counted uncounted faulty budget unlimited watermark tagged late jitter
     poison canary quarantine guard guard_in_front numa huge]
);

/// A quarantine that holds blocks, around each other one. That what is inside acts is seen by `passing`,
/// which does not keep blocks from it.
mod quarantine {
    use super::*;

    macro_rules! around_each {
        ($($inner:ident)+) => { $(
            #[test]
            fn $inner() {
                conforms(&|| Box::new(wrap::quarantine(wrap::$inner(slots(SLOTS)))));
                let make = || wrap::quarantine(wrap::$inner(slots(SLOTS)));
                conformance::stable_address(make, CAPS);
            }
        )+ };
    }
    around_each!(fallback segregate locked unlocked counted uncounted faulty budget unlimited watermark tagged
        late jitter poison canary quarantine guard guard_in_front numa huge);
}

#[cfg(feature = "parking_lot")]
around!([parked] [parked guard]);

/// `paged!([wrappers])`: those that need pages fit around each other only.
macro_rules! paged {
    ([$($outer:ident)+]) => { paged!(@each [$($outer)+] $($outer)+); };
    (@each $inners:tt $($outer:ident)+) => { $( paged!(@outer $outer $inners); )+ };
    (@outer $outer:ident [$($inner:ident)+]) => {
        mod $outer {
            use super::*;

            $(
                #[test]
                fn $inner() {
                    conforms(&|| Box::new(wrap::$outer(wrap::$inner(slots(SLOTS)))));
                    let make = || wrap::$outer(wrap::$inner(slots(SLOTS)));
                    conformance::stable_address(make, CAPS);
                }

            )+

            #[test]
            fn lets_what_is_inside_act() {
                let outer = wrap::$outer(GuardPages::new(slots(4)));
                let block = outer.take(8, 8).expect("room");
                assert_guarded(outer.pages(), block);
                outer.give(block);
                assert_eq!(outer.pages().inaccessible(), 0);

                let outer = wrap::$outer(NumaLocal::new(slots(4), 3));
                assert_eq!(outer.inner().last_refusal(), None);
                let outer = wrap::$outer(HugePageAdvised::new(slots(4)));
                assert_eq!(outer.pages().advised(), Some(Advice::HugePages));
            }

            #[test]
            fn lets_what_is_around_act() {
                let guarded = GuardPages::new(wrap::$outer(slots(4)));
                let block = guarded.take(8, 8).expect("room");
                assert_guarded(guarded.pages(), block);
                guarded.give(block);
                assert_eq!(guarded.pages().inaccessible(), 0);

                let bound = NumaLocal::new(wrap::$outer(slots(4)), 3);
                assert_eq!(bound.pages().bound_to(), Some(3));
                let advised = HugePageAdvised::new(wrap::$outer(slots(4)));
                assert_eq!(advised.pages().advised(), Some(Advice::HugePages));
                still_acts_around!($outer);
                contents_still_act_around!($outer);
            }
        }
    };
}

paged!([guard guard_in_front numa huge]);
