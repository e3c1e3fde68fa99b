//! Frees that must be refused, many of each class in one process, by allocators that report: a slab to a
//! policy that writes down, an arena by its errors. What is found changes nothing, so the same allocator
//! judges them all.

use std::cell::RefCell;
use std::ptr::NonNull;

use drystone_backing::{HeapBacked, System};
use drystone_core::{
    Allocator, Checked, Deallocator, FreelistProtection, Misuse, MisusePolicy, NonZeroLayout,
    OnMisuse, SipHashMac,
};
use drystone_layout::Slab;
use drystone_testkit::kept;

use drystone::{Arena, ArenaConfig, FreeError, ThreadCache};

use drystone_testkit::Random;

/// Cases of each class and allocator.
const CASES: usize = 100_000;

/// An allocator that tells what it found.
trait Reporting {
    /// A layout that it serves, of two bytes or more.
    fn layout(&self, random: &mut Random) -> NonZeroLayout;

    /// A layout of the same alignment that cannot fit a block of `layout`.
    fn wrong(&self, layout: NonZeroLayout) -> NonZeroLayout;

    fn take(&mut self, layout: NonZeroLayout) -> NonNull<u8>;

    fn free(&mut self, block: NonNull<u8>, layout: NonZeroLayout) -> Option<Misuse>;
}

#[derive(Default)]
struct Record(RefCell<Vec<Misuse>>);

impl MisusePolicy for Record {
    fn on_misuse(&self, misuse: Misuse, _address: usize) {
        self.0.borrow_mut().push(misuse);
    }
}

type Slot = [u64; 5];

struct Slabs<M: FreelistProtection> {
    slab: Slab<Slot, HeapBacked, OnMisuse<M, &'static Record>>,
    record: &'static Record,
}

impl<M: FreelistProtection> Slabs<M> {
    fn new(protection: M) -> Self {
        let record: &'static Record = kept(Record::default());
        let range = HeapBacked::new_zeroed(4096).expect("memory for a test");
        let protection = OnMisuse::new(protection, record);
        let slab = Slab::with_protection(64, range, protection).expect("room for the slots");
        Self { slab, record }
    }
}

impl<M: FreelistProtection> Reporting for Slabs<M> {
    fn layout(&self, _random: &mut Random) -> NonZeroLayout {
        NonZeroLayout::for_type::<Slot>().expect("not zero-sized")
    }

    fn wrong(&self, layout: NonZeroLayout) -> NonZeroLayout {
        resized(layout, layout.size().get() + 1)
    }

    fn take(&mut self, layout: NonZeroLayout) -> NonNull<u8> {
        self.slab.allocate(layout).expect("room").cast()
    }

    fn free(&mut self, block: NonNull<u8>, layout: NonZeroLayout) -> Option<Misuse> {
        // SAFETY: none for some of the calls: the slab checks them.
        unsafe { self.slab.deallocate(block, layout) };
        let found = self.record.0.take();
        assert!(found.len() <= 1, "{found:?}");
        found.first().copied()
    }
}

struct Arenas {
    arena: Arena<Checked>,
    cache: ThreadCache,
}

impl Reporting for Arenas {
    fn layout(&self, random: &mut Random) -> NonZeroLayout {
        let size = random.below(2000) * 2 + 2;
        NonZeroLayout::from_size_align(size, 2 << random.below(5)).expect("valid")
    }

    fn wrong(&self, layout: NonZeroLayout) -> NonZeroLayout {
        resized(layout, 2 * layout.size().get() + 64)
    }

    fn take(&mut self, layout: NonZeroLayout) -> NonNull<u8> {
        let block = self.arena.allocate_with_cache(&mut self.cache, layout);
        block.expect("memory").cast()
    }

    fn free(&mut self, block: NonNull<u8>, layout: NonZeroLayout) -> Option<Misuse> {
        // SAFETY: none for some of the calls: the arena checks them.
        let freed = unsafe {
            self.arena
                .deallocate_with_cache(&mut self.cache, block, layout)
        };
        freed.err().map(|error| match error {
            FreeError::ForeignPointer => Misuse::ForeignPointer,
            FreeError::Misaligned => Misuse::InteriorPointer,
            FreeError::SizeMismatch { .. } => Misuse::LayoutMismatch,
            FreeError::DoubleFree => Misuse::DoubleFree,
            other => panic!("{other}"),
        })
    }
}

fn resized(layout: NonZeroLayout, size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, layout.align().get()).expect("a small layout")
}

fn moved(block: NonNull<u8>, bytes: usize) -> NonNull<u8> {
    block.map_addr(|address| address.checked_add(bytes).expect("inside a block"))
}

/// One case: a block amid others, and what is found of a free of something else or of it twice.
fn found(memory: &mut impl Reporting, expected: Misuse, random: &mut Random) -> Option<Misuse> {
    let layout = memory.layout(random);
    let others: Vec<_> = (0..random.below(4)).map(|_| memory.take(layout)).collect();
    let block = memory.take(layout);
    let stays = memory.take(layout);
    let found = match expected {
        Misuse::DoubleFree => {
            assert_eq!(memory.free(block, layout), None);
            for other in others.iter().take(random.below(4)) {
                assert_eq!(memory.free(*other, layout), None);
                assert_eq!(memory.free(*other, layout), Some(Misuse::DoubleFree));
            }
            memory.free(block, layout)
        }
        Misuse::InteriorPointer => {
            let offset = 1 + random.below(layout.size().get() - 1);
            memory.free(moved(block, offset), layout)
        }
        Misuse::ForeignPointer if random.below(2) == 0 => {
            let foreign = System.allocate(layout).expect("memory").cast();
            let found = memory.free(foreign, layout);
            // SAFETY: the block is the system's, and live.
            unsafe { System.deallocate(foreign, layout) };
            found
        }
        Misuse::ForeignPointer => {
            let mut stack = [0_u64; 64];
            memory.free(NonNull::from(&mut stack[random.below(64)]).cast(), layout)
        }
        _ => memory.free(block, memory.wrong(layout)),
    };
    // Whatever is still live is taken back without a word.
    for live in others.into_iter().chain([block]) {
        let again = memory.free(live, layout);
        let twice = expected == Misuse::DoubleFree && again == Some(Misuse::DoubleFree);
        assert!(again.is_none() || twice, "{expected:?}, then {again:?}");
    }
    assert_eq!(memory.free(stays, layout), None);
    found
}

fn each_is_found(mut memory: impl Reporting) {
    let mut random = Random::new(11);
    for expected in [
        Misuse::DoubleFree,
        Misuse::InteriorPointer,
        Misuse::ForeignPointer,
        Misuse::LayoutMismatch,
    ] {
        for case in 0..CASES {
            let found = found(&mut memory, expected, &mut random);
            assert_eq!(found, Some(expected), "case {case}");
        }
    }
}

#[test]
fn by_a_checked_slab() {
    each_is_found(Slabs::new(Checked));
}

#[test]
fn by_a_keyed_slab() {
    each_is_found(Slabs::new(SipHashMac::new()));
}

#[test]
fn by_a_checked_arena() {
    let config = ArenaConfig::default();
    each_is_found(Arenas {
        arena: Arena::new(config).expect("a valid configuration"),
        cache: ThreadCache::new(config),
    });
}
