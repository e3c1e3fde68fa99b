//! A protection that calls back into its slab, from safe code, during every kind of call.
//!
//! What is held is taken out of its cell before it is dropped: the drop calls back too.

use std::cell::{Cell, RefCell};
use std::mem::MaybeUninit;
use std::rc::Rc;

use drystone_core::{
    AllocatedRegion, FreeLink, FreelistProtection, HeapSegment, Inspect, NonZeroLayout,
};
use drystone_layout::{BumpArena, Slab};

type Object = [u64; 4];
type Reentrant = Slab<Object, HeapSegment, Reenter>;

thread_local! {
    /// The slab to call back into, once.
    static SLAB: Cell<Option<Rc<Reentrant>>> = const { Cell::new(None) };
    /// What the call back took, kept in use.
    static HELD: RefCell<Vec<BumpArena<AllocatedRegion<Rc<Reentrant>>>>> =
        const { RefCell::new(Vec::new()) };
}

struct Reenter;

/// Takes three blocks of the slab and puts values without content into them.
fn take_blocks() {
    let Some(slab) = SLAB.take() else { return };
    for _ in 0..3 {
        let region = AllocatedRegion::new(Rc::clone(&slab), layout()).expect("blocks are left");
        let arena = BumpArena::new(region);
        arena.alloc(MaybeUninit::<Object>::uninit());
        HELD.with_borrow_mut(|held| held.push(arena));
    }
}

impl FreelistProtection for Reenter {
    const TAGGED: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        take_blocks();
        link.slot
    }

    fn verify(&self, link: FreeLink, tag: u32) -> bool {
        take_blocks();
        link.slot == tag
    }
}

fn layout() -> NonZeroLayout {
    NonZeroLayout::for_type::<Object>().expect("not zero-sized")
}

/// A slab of sixteen slots with three on its free list, which calls back at the next occasion.
fn armed() -> Rc<Reentrant> {
    let bytes = Slab::<Object, (), Reenter>::bytes_for(16).expect("a small slab");
    let range = NonZeroLayout::from_size_align(bytes, Reentrant::SLOT_ALIGN).expect("valid");
    let range = HeapSegment::new(range).expect("the heap has room");
    let slab = Rc::new(Slab::with_protection(16, range, Reenter).expect("the range holds 16"));
    let blocks: Vec<_> = (0..3)
        .map(|_| AllocatedRegion::new(Rc::clone(&slab), layout()).expect("fresh"))
        .collect();
    drop(blocks);
    SLAB.set(Some(Rc::clone(&slab)));
    slab
}

/// The call back happened, and everything taken can be given back.
fn disarm(slab: &Reentrant) {
    assert_eq!(HELD.with_borrow(Vec::len), 3);
    drop(HELD.take());
    slab.verify_all().expect("sound");
    assert_eq!(slab.verify_all().expect("sound").live_blocks, 0);
}

#[test]
fn a_walk_over_the_list_reads_no_block_that_was_taken_meanwhile() {
    let slab = armed();
    slab.verify_all().expect("sound");
    disarm(&slab);
}

#[test]
fn a_digest_reads_no_block_that_was_taken_meanwhile() {
    let slab = armed();
    let digest = slab.state_digest();
    disarm(&slab);
    assert_ne!(digest, 0);
}

#[test]
fn a_validation_reads_no_block_that_was_taken_meanwhile() {
    let slab = armed();
    let probe = AllocatedRegion::new(Rc::clone(&slab), layout()).expect("blocks are left");
    let start = drystone_core::FixedRange::base(&probe);
    slab.validate(start).expect("live");
    drop(probe);
    disarm(&slab);
}

#[test]
fn a_pop_and_a_push_hand_no_block_out_twice() {
    let slab = armed();
    let popped = AllocatedRegion::new(Rc::clone(&slab), layout()).expect("blocks are left");
    SLAB.set(Some(Rc::clone(&slab)));
    drop(HELD.take());
    drop(popped);
    SLAB.take();
    drop(HELD.take());
    slab.verify_all().expect("sound");
}
