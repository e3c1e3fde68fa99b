//! loom models on the types themselves.
//!
//! loom does not see the blocks' memory, so each block has a witness: a cell that its user writes
//! while it has the block. Two users at once, or one after the other without an order between them,
//! are two accesses that loom reports.

use core::ptr::NonNull;

use drystone_core::{
    Allocator, Deallocator, FixedRange, HeapSegment, NonZeroLayout, StableAddress,
};
use drystone_sync::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::vec::Vec;

use super::lane::Lane;
use super::{BatchPolicy, Intrusive, RemoteBox, RemoteQueue, Ring, SlabOwner, SlabRemote};

type Word = u64;

fn word() -> NonZeroLayout {
    NonZeroLayout::for_type::<Word>().expect("not zero-sized")
}

/// The witnesses of a slab's blocks, and of its range.
struct Witness {
    base: NonNull<u8>,
    blocks: Vec<UnsafeCell<u32>>,
    /// Written by the drop of the range, read by whoever still may use it.
    range: UnsafeCell<u32>,
}

// SAFETY: a cell is touched by whoever has the block, which is what the models check.
unsafe impl Sync for Witness {}
// SAFETY: as above; the base is an address.
unsafe impl Send for Witness {}

impl Witness {
    /// What the user of a block does with it.
    fn use_block(&self, block: NonNull<u8>) {
        self.use_range();
        let index = (block.addr().get() - self.base.addr().get()) / size_of::<Word>();
        self.blocks[index].with_mut(|uses| {
            // SAFETY: the caller has the block.
            unsafe { *uses += 1 };
        });
    }

    /// What whoever may use the range relies on.
    fn use_range(&self) {
        self.range.with(|drops| {
            // SAFETY: the range lives.
            assert_eq!(unsafe { *drops }, 0, "the range was dropped");
        });
    }

    fn drops(&self) -> u32 {
        self.range.with(|drops| {
            // SAFETY: the caller has joined everybody else.
            unsafe { *drops }
        })
    }
}

/// A range that says when it is dropped.
struct Watched {
    inner: HeapSegment,
    witness: Arc<Witness>,
}

impl Watched {
    fn new(blocks: usize) -> (Self, Arc<Witness>) {
        let layout = NonZeroLayout::array::<Word>(blocks).expect("a valid layout");
        let inner = HeapSegment::new(layout).expect("memory");
        let witness = Arc::new(Witness {
            base: inner.base(),
            blocks: (0..blocks).map(|_| UnsafeCell::new(0)).collect(),
            range: UnsafeCell::new(0),
        });
        let witness_of_range = Arc::clone(&witness);
        let range = Self {
            inner,
            witness: witness_of_range,
        };
        (range, witness)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.witness.range.with_mut(|drops| {
            // SAFETY: nobody uses the range any more.
            unsafe { *drops += 1 };
        });
    }
}

// SAFETY: the laws are the inner range's.
unsafe impl FixedRange for Watched {
    fn base(&self) -> NonNull<u8> {
        self.inner.base()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn base_align(&self) -> usize {
        self.inner.base_align()
    }

    fn commits_on_demand(&self) -> bool {
        false
    }
}

// SAFETY: the inner range is stable.
unsafe impl StableAddress for Watched {}

type Owner<Q> = SlabOwner<Word, Watched, Q>;
type Remote<Q> = SlabRemote<Word, Watched, Q>;

fn owner<Q: RemoteQueue>(blocks: usize, queue: Q) -> (Owner<Q>, Arc<Witness>) {
    let (range, witness) = Watched::new(blocks);
    let owner = SlabOwner::with_queue(blocks, range, queue).expect("it fits");
    (owner, witness)
}

fn take<Q: RemoteQueue>(owner: &Owner<Q>, witness: &Witness) -> Option<Block> {
    let block = owner.allocate(word()).ok()?.cast();
    witness.use_block(block);
    Some(Block(block))
}

/// A block that may go to another thread.
struct Block(NonNull<u8>);

// SAFETY: a block may be freed on any thread.
unsafe impl Send for Block {}

impl Block {
    fn free(self, to: &impl Deallocator, witness: &Witness) {
        witness.use_block(self.0);
        // SAFETY: the block is live, and freed once.
        unsafe { to.deallocate(self.0, word()) };
    }

    /// Frees without a look at the range, which may be gone afterwards.
    fn try_free<Q: RemoteQueue>(self, to: &Remote<Q>, witness: &Witness) -> bool {
        witness.use_block(self.0);
        // SAFETY: the block is live, and freed once.
        unsafe { to.try_deallocate(self.0, word()) }.is_ok()
    }
}

/// The blocks that the owner has and gets, all different.
fn all_free<Q: RemoteQueue>(owner: &Owner<Q>, witness: &Witness) -> usize {
    let mut blocks: Vec<_> = core::iter::from_fn(|| take(owner, witness).map(|b| b.0)).collect();
    let count = blocks.len();
    blocks.sort_unstable();
    blocks.dedup();
    assert_eq!(blocks.len(), count, "a block twice");
    owner.debug_assert_invariants();
    count
}

/// One remote frees two blocks while the owner takes what it can get.
fn free_beside_allocate<Q: RemoteQueue + 'static>(make: impl Fn() -> Q + Sync + Send + 'static) {
    loom::model(move || {
        let (owner, witness) = owner(2, make());
        let blocks = [(); 2].map(|()| take(&owner, &witness).expect("room"));
        let freer = {
            let (remote, witness) = (owner.remote(), Arc::clone(&witness));
            thread::spawn(move || blocks.map(|block| block.free(&remote, &witness)))
        };
        let early = usize::from(take(&owner, &witness).is_some());
        freer.join().expect("frees");
        assert_eq!(early + all_free(&owner, &witness), 2);
    });
}

#[test]
fn loom2_a_free_through_a_lane_beside_an_allocate() {
    free_beside_allocate(|| Intrusive);
}

#[test]
fn loom2_a_free_through_a_ring_beside_an_allocate() {
    free_beside_allocate(|| Ring);
}

/// Four pushes into a lane of two entries: the later ones find room only where the owner has been.
#[test]
fn loom2_a_lane_goes_round_beside_the_owner() {
    loom::model(|| {
        let lane = Arc::new(Lane::new(2).expect("memory"));
        let payload = Arc::new([(); 4].map(|()| Cell(UnsafeCell::new(0))));
        let producer = {
            let (lane, payload) = (Arc::clone(&lane), Arc::clone(&payload));
            thread::spawn(move || {
                assert!(lane.is_mine());
                let mut sent = Vec::new();
                for index in 0..4 {
                    payload[index as usize].touch();
                    // SAFETY: this thread is the producer.
                    if unsafe { lane.push(index) } {
                        sent.push(index);
                    }
                }
                sent
            })
        };
        let mut got = Vec::new();
        for _ in 0..2 {
            receive(&lane, &payload[..], &mut got);
        }
        let sent = producer.join().expect("sends");
        receive(&lane, &payload[..], &mut got);
        assert_eq!(got, sent, "in order, each once");
        assert!(got.starts_with(&[0, 1]));
    });
}

/// What a block's user writes before it frees, and the owner after it has it back.
struct Cell(UnsafeCell<u32>);

// SAFETY: touched by whoever has the block.
unsafe impl Sync for Cell {}
// SAFETY: as above.
unsafe impl Send for Cell {}

impl Cell {
    fn touch(&self) {
        self.0.with_mut(|touches| {
            // SAFETY: the caller has the block.
            unsafe { *touches += 1 };
        });
    }
}

/// Takes all that waits, as a drain does.
fn receive(lane: &Lane, payload: &[Cell], got: &mut Vec<u32>) {
    let (mut taken, pushed) = lane.waiting();
    while taken != pushed {
        // SAFETY: the entry waits; this thread is the owner.
        let index = unsafe { lane.read(taken) };
        payload[index as usize].touch();
        got.push(index);
        taken = taken.wrapping_add(1);
    }
    lane.publish_taken(taken);
}

/// Two threads free through one handle: one has the lane, the other the list.
#[test]
fn loom3_two_threads_and_one_handle() {
    loom::model(|| {
        let (owner, witness) = owner(2, Intrusive);
        let remote = Arc::new(owner.remote());
        let threads = [(); 2].map(|()| {
            let block = take(&owner, &witness).expect("room");
            let (remote, witness) = (Arc::clone(&remote), Arc::clone(&witness));
            thread::spawn(move || block.free(&*remote, &witness))
        });
        for thread in threads {
            thread.join().expect("frees");
        }
        assert_eq!(all_free(&owner, &witness), 2);
    });
}

/// A handle ends on one thread and the next begins on another, with the same lane if the one was
/// first, with a new one otherwise.
#[test]
fn loom2_a_lane_changes_hands() {
    loom::model(|| {
        let (owner, witness) = owner(2, Intrusive);
        let [first, second] = [(); 2].map(|()| take(&owner, &witness).expect("room"));
        let remote = owner.remote();
        let other = {
            let witness = Arc::clone(&witness);
            thread::spawn(move || {
                first.free(&remote, &witness);
                drop(remote);
            })
        };
        let next = owner.remote();
        second.free(&next, &witness);
        other.join().expect("frees");
        assert_eq!(all_free(&owner, &witness), 2);
    });
}

/// A handle is made, with a new lane, while the owner looks at the lanes.
#[test]
fn loom2_a_lane_is_made_beside_the_owner() {
    loom::model(|| {
        let (owner, witness) = owner(1, Intrusive);
        let block = take(&owner, &witness).expect("room");
        let remote = owner.remote();
        let freer = {
            let witness = Arc::clone(&witness);
            thread::spawn(move || {
                let another = remote.clone();
                block.free(&another, &witness);
            })
        };
        let early = usize::from(take(&owner, &witness).is_some());
        freer.join().expect("frees");
        assert_eq!(early + all_free(&owner, &witness), 1);
    });
}

/// A batch of two is flushed by its drop while the owner looks.
#[test]
fn loom2_a_flush_beside_a_drain() {
    loom::model(|| {
        let (owner, witness) = owner(2, Intrusive);
        let blocks = [(); 2].map(|()| take(&owner, &witness).expect("room"));
        let freer = {
            let (batch, witness) = (owner.remote().batch(), Arc::clone(&witness));
            thread::spawn(move || {
                for block in blocks {
                    block.free(&batch, &witness);
                }
            })
        };
        let early = owner.drain();
        assert!(matches!(early, 0 | 2), "a chain arrives whole");
        freer.join().expect("frees");
        assert_eq!(early + owner.drain(), 2);
        assert_eq!(all_free(&owner, &witness), 2);
    });
}

/// The owner goes while a remote frees: the block is taken or refused, the range is dropped once,
/// by the last of the two, and after the last use.
fn free_beside_the_end<Q: RemoteQueue + 'static>(make: impl Fn() -> Q + Sync + Send + 'static) {
    loom::model(move || {
        let (owner, witness) = owner(2, make());
        let [first, second] = [(); 2].map(|()| take(&owner, &witness).expect("room"));
        let freer = {
            let (remote, witness) = (owner.remote(), Arc::clone(&witness));
            thread::spawn(move || {
                let taken = first.try_free(&remote, &witness);
                let later = second.try_free(&remote, &witness);
                assert!(taken || !later, "an owner that is gone stays gone");
                witness.use_range();
            })
        };
        drop(owner);
        freer.join().expect("frees");
        assert_eq!(witness.drops(), 1);
    });
}

#[test]
fn loom2_a_free_through_a_lane_beside_the_owners_end() {
    free_beside_the_end(|| Intrusive);
}

#[test]
fn loom2_a_free_through_a_ring_beside_the_owners_end() {
    free_beside_the_end(|| Ring);
}

/// A ring without room: the frees go through the list, which is what the owner closes.
#[test]
fn loom2_a_push_on_the_list_beside_the_owners_end() {
    loom::model(|| {
        let (range, witness) = Watched::new(1);
        let owner = SlabOwner::<Word, _>::with_batch_policy(1, range, BatchPolicy::Fixed(1), 0);
        let owner = owner.expect("it fits");
        let block = take(&owner, &witness).expect("room");
        let freer = {
            let (remote, witness) = (owner.remote(), Arc::clone(&witness));
            thread::spawn(move || {
                block.free(&remote, &witness);
                witness.use_range();
            })
        };
        drop(owner);
        freer.join().expect("frees");
        assert_eq!(witness.drops(), 1);
    });
}

/// Two boxes and the owner end at once: the value is dropped on its thread, the range with the last.
#[test]
fn loom3_boxes_end_beside_the_owner() {
    loom::model(|| {
        let (owner, witness) = owner(2, Intrusive);
        let boxes = [(); 2].map(|()| owner.alloc_box(7).expect("room"));
        let ends = boxes.map(|boxed: RemoteBox<Word, Watched, Intrusive>| {
            let witness = Arc::clone(&witness);
            thread::spawn(move || {
                witness.use_range();
                assert_eq!(boxed.into_inner(), 7);
            })
        });
        drop(owner);
        for end in ends {
            end.join().expect("drops");
        }
        assert_eq!(witness.drops(), 1);
    });
}

/// A box is dropped while the owner looks for room: the slot comes home once.
#[test]
fn loom2_a_box_beside_an_allocate() {
    loom::model(|| {
        let (owner, witness) = owner(1, Intrusive);
        let boxed = owner.alloc_box(7).expect("room");
        let end = thread::spawn(move || drop(boxed));
        let early = take(&owner, &witness).is_some();
        end.join().expect("drops");
        assert_eq!(usize::from(early) + all_free(&owner, &witness), 1);
    });
}

/// The last handles, on two threads, without the owner.
#[test]
fn loom2_the_last_of_two_handles_drops_the_range() {
    loom::model(|| {
        let (owner, witness) = owner(1, Ring);
        let (here, there) = (owner.remote(), owner.remote());
        drop(owner);
        let end = {
            let witness = Arc::clone(&witness);
            thread::spawn(move || {
                witness.use_range();
                drop(there);
            })
        };
        witness.use_range();
        drop(here);
        end.join().expect("drops");
        assert_eq!(witness.drops(), 1);
    });
}
