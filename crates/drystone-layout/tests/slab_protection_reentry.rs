//! A protection with states that allocates and frees from inside every one of its methods, lies
//! about links, and sees them damaged. Whatever it does, no live block is handed out.

mod ranges;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};

use drystone_core::{
    Allocator, Deallocator, FreeLink, FreelistProtection, HeapSegment, Inspect, Misuse,
    NonZeroLayout,
};
use drystone_layout::Slab;
use ranges::{heap, layout};

type Caller = Slab<u64, HeapSegment, Trickster>;

const SLOTS: usize = 10;

fn word() -> NonZeroLayout {
    layout(8, 8)
}

/// What all calls, inner and outer, agree on.
#[derive(Default)]
struct World {
    slab: RefCell<Weak<Caller>>,
    /// The live blocks.
    live: RefCell<BTreeSet<NonNull<u8>>>,
    /// Blocks that were freed at some time: where links are damaged.
    freed: RefCell<Vec<NonNull<u8>>>,
    random: Cell<u64>,
    depth: Cell<usize>,
    handed_out: Cell<u64>,
    inner_calls: Cell<u64>,
}

impl World {
    fn below(&self, bound: u64) -> u64 {
        // The steps of a linear congruential generator (Knuth, MMIX); the high bits are good.
        let next = self
            .random
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.random.set(next);
        (next >> 33) % bound
    }

    fn allocate(&self, slab: &Caller) {
        if let Ok(block) = slab.allocate(word()) {
            let fresh = self.live.borrow_mut().insert(block.cast());
            assert!(fresh, "a live block was handed out");
            self.handed_out.set(self.handed_out.get() + 1);
        }
    }

    fn free(&self, slab: &Caller) {
        let picked = {
            let live = self.live.borrow();
            let nth = self.below(live.len().max(1) as u64) as usize;
            live.iter().nth(nth).copied()
        };
        let Some(block) = picked else { return };
        // Before the call: an inner call may free it no more, and take it once it is free.
        self.live.borrow_mut().remove(&block);
        self.freed.borrow_mut().push(block);
        // SAFETY: the block is live and was allocated with this layout.
        unsafe { slab.deallocate(block, word()) };
    }

    /// Writes into a block that is free, as far as anybody knows.
    fn damage(&self) {
        let freed = self.freed.borrow();
        let nth = self.below(freed.len().max(1) as u64) as usize;
        let Some(&block) = freed.get(nth) else { return };
        if !self.live.borrow().contains(&block) {
            let link = self.below(SLOTS as u64 + 1) | self.below(1 << 31) << 32;
            // SAFETY: the slot is free, but its bytes lie in the range: a use after free.
            unsafe { block.cast::<u64>().write(link) };
        }
    }

    fn step(&self, slab: &Caller) {
        match self.below(8) {
            0..4 => self.allocate(slab),
            4..7 => self.free(slab),
            _ => self.damage(),
        }
    }

    /// What the protection does when it is asked anything.
    fn call_back(&self) {
        let slab = self.slab.borrow().upgrade();
        let Some(slab) = slab.filter(|_| self.depth.get() < 3) else {
            return;
        };
        self.depth.set(self.depth.get() + 1);
        for _ in 0..self.below(3) {
            self.inner_calls.set(self.inner_calls.get() + 1);
            self.step(&slab);
        }
        self.depth.set(self.depth.get() - 1);
    }
}

/// Calls back from everywhere, and verifies what it likes.
struct Trickster(Rc<World>);

impl FreelistProtection for Trickster {
    const TAGGED: bool = true;
    const OCCUPANCY: bool = true;
    const EPOCHS: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        self.0.call_back();
        link.slot ^ link.epoch
    }

    fn verify(&self, _link: FreeLink, _tag: u32) -> bool {
        self.0.call_back();
        self.0.below(8) > 0
    }

    fn on_misuse(&self, misuse: Misuse, _address: usize) {
        assert_eq!(misuse, Misuse::DamagedLink);
        self.0.call_back();
    }
}

#[test]
fn no_call_back_and_no_lie_hands_out_a_live_block() {
    let (mut handed_out, mut inner_calls) = (0, 0);
    for seed in 0..if cfg!(miri) { 3 } else { 20_000 } {
        let world = Rc::new(World::default());
        world.random.set(seed);
        let bytes = Slab::<u64, (), Trickster>::bytes_for(SLOTS).expect("few");
        let protection = Trickster(Rc::clone(&world));
        let slab = Slab::with_protection(SLOTS, heap(bytes, 8), protection).expect("it fits");
        let slab: Rc<Caller> = Rc::new(slab);
        *world.slab.borrow_mut() = Rc::downgrade(&slab);
        for _ in 0..60 {
            world.step(&slab);
        }
        for &block in world.live.borrow().iter() {
            assert!(slab.validate(block).is_ok(), "seed {seed}");
        }
        handed_out += world.handed_out.get();
        inner_calls += world.inner_calls.get();
    }
    assert!(
        handed_out > 30 && inner_calls > 30,
        "{handed_out} {inner_calls}"
    );
}

/// Frees a block from inside another free.
#[derive(Default)]
struct Armed {
    slab: RefCell<Weak<Slab<u64, HeapSegment, Again>>>,
    block: Cell<Option<NonNull<u8>>>,
}

struct Again(Rc<Armed>);

impl FreelistProtection for Again {
    const TAGGED: bool = true;
    const OCCUPANCY: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        if let Some(block) = self.0.block.take() {
            let slab = self.0.slab.borrow().upgrade().expect("in use");
            // SAFETY: live in one test. In the other it is being freed already, which the slab has
            // to find out.
            unsafe { slab.deallocate(block, word()) };
        }
        link.slot
    }
}

fn armed_slab() -> (Rc<Armed>, Rc<Slab<u64, HeapSegment, Again>>) {
    let armed = Rc::new(Armed::default());
    let bytes = Slab::<u64, (), Again>::bytes_for(SLOTS).expect("few");
    let slab = Slab::with_protection(SLOTS, heap(bytes, 8), Again(Rc::clone(&armed)));
    let slab = Rc::new(slab.expect("it fits"));
    *armed.slab.borrow_mut() = Rc::downgrade(&slab);
    (armed, slab)
}

/// What a call back frees is on no list, but it is found again, and that is no damage.
#[test]
fn a_block_freed_by_a_call_back_is_found_when_the_slab_is_dry() {
    let (armed, slab) = armed_slab();
    let blocks: Vec<NonNull<u8>> = (0..SLOTS)
        .map(|_| slab.allocate(word()).expect("room").cast())
        .collect();
    armed.block.set(Some(blocks[3]));
    // SAFETY: the block is live.
    unsafe { slab.deallocate(blocks[7], word()) };
    slab.debug_assert_invariants();
    let taken = [(); 2].map(|()| slab.allocate(word()).expect("two are free").cast());
    assert_eq!(taken, [blocks[7], blocks[3]]);
    assert!(slab.allocate(word()).is_err());
    assert_eq!(slab.corruption_events(), 0);
    slab.debug_assert_invariants();
}

#[test]
fn a_block_freed_again_while_it_is_being_freed_is_noticed() {
    let (armed, slab) = armed_slab();
    let block = slab.allocate(word()).expect("room").cast();
    armed.block.set(Some(block));
    // SAFETY: the block is live.
    unsafe { slab.deallocate(block, word()) };
    assert_eq!(slab.corruption_events(), 1);
    let report = slab.verify_all().expect("sound");
    assert_eq!((report.live_blocks, report.free_blocks), (0, 1));
}
