//! Random programs over an owner, its remotes, batches and boxes, against a model of where every
//! block is.
#![cfg(feature = "std")]

mod ranges;

use std::ptr::NonNull;

use drystone_core::{Allocator, Deallocator, HeapSegment, Inspect, NonZeroLayout};
use drystone_layout::{
    BatchPolicy, Intrusive, RemoteBatch, RemoteBox, RemoteQueue, SlabOwner, SlabRemote,
};
use proptest::prelude::*;
use ranges::heap;

const BLOCKS: usize = 24;
type Word = u64;

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate,
    OwnerFree(usize),
    RemoteFree(usize, usize),
    TryFree(usize, usize),
    /// On a thread of its own, so that it is not the one that has the lane.
    FarFree(usize, usize),
    Remote,
    Clone(usize),
    DropRemote(usize),
    Claim(usize),
    Batch(usize),
    BatchFree(usize, usize),
    Flush(usize),
    DropBatch(usize),
    Box,
    DropBox(usize),
    Unbox(usize),
    Drain,
    DropOwner,
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<usize>();
    prop_oneof![
        8 => Just(Step::Allocate),
        2 => n().prop_map(Step::OwnerFree),
        4 => (n(), n()).prop_map(|(a, b)| Step::RemoteFree(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Step::TryFree(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::FarFree(a, b)),
        1 => Just(Step::Remote),
        1 => n().prop_map(Step::Clone),
        1 => n().prop_map(Step::DropRemote),
        1 => n().prop_map(Step::Claim),
        1 => n().prop_map(Step::Batch),
        3 => (n(), n()).prop_map(|(a, b)| Step::BatchFree(a, b)),
        1 => n().prop_map(Step::Flush),
        1 => n().prop_map(Step::DropBatch),
        3 => Just(Step::Box),
        2 => n().prop_map(Step::DropBox),
        1 => n().prop_map(Step::Unbox),
        1 => Just(Step::Drain),
        // Late in most programs, if at all.
        1 => n().prop_map(|n| if n.is_multiple_of(12) { Step::DropOwner } else { Step::Drain }),
    ]
}

fn layout() -> NonZeroLayout {
    NonZeroLayout::for_type::<Word>().expect("not zero-sized")
}

/// The ends, and where each block is.
struct World<Q: RemoteQueue> {
    owner: Option<SlabOwner<Word, HeapSegment, Q>>,
    /// Keeps the memory of the live blocks when the owner is gone.
    keeper: Option<SlabRemote<Word, HeapSegment, Q>>,
    remotes: Vec<SlabRemote<Word, HeapSegment, Q>>,
    batches: Vec<RemoteBatch<Word, HeapSegment, Q>>,
    boxes: Vec<(RemoteBox<Word, HeapSegment, Q>, Word)>,
    /// Blocks in our hands, and what was written to them.
    live: Vec<(NonNull<u8>, Word)>,
    /// How many blocks each batch holds back.
    held: Vec<usize>,
    stamp: Word,
}

impl<Q: RemoteQueue> World<Q> {
    fn new(owner: SlabOwner<Word, HeapSegment, Q>) -> Self {
        Self {
            remotes: vec![owner.remote()],
            owner: Some(owner),
            keeper: None,
            batches: Vec::new(),
            boxes: Vec::new(),
            live: Vec::new(),
            held: Vec::new(),
            stamp: 0,
        }
    }

    /// The blocks that the owner can get at: all but those in our hands, in boxes and in batches.
    fn obtainable(&self) -> usize {
        let held: usize = self.held.iter().sum();
        BLOCKS - self.live.len() - self.boxes.len() - held
    }

    fn next_stamp(&mut self) -> Word {
        self.stamp += 1;
        self.stamp
    }

    /// Takes a live block out of our hands, after a look at what is in it.
    fn give_up(&mut self, choice: usize) -> Option<NonNull<u8>> {
        if self.live.is_empty() {
            return None;
        }
        let (block, stamp) = self.live.swap_remove(choice % self.live.len());
        // SAFETY: the block is live, and was written.
        let content = unsafe { block.cast::<Word>().read() };
        assert_eq!(content, stamp, "overwritten");
        Some(block)
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Allocate => self.allocate(),
            Step::OwnerFree(n) => {
                if self.owner.is_some() {
                    if let Some(block) = self.give_up(n) {
                        free(self.owner.as_ref().expect("checked"), block);
                    }
                }
            }
            Step::RemoteFree(to, n) => self.remote_free(to, n, free),
            Step::FarFree(to, n) => self.remote_free(to, n, free_far),
            Step::TryFree(to, n) => self.try_free(to, n),
            Step::Remote => {
                if self.remotes.len() < 40 {
                    self.remotes
                        .extend(self.owner.as_ref().map(SlabOwner::remote));
                }
            }
            Step::Clone(n) => {
                if let Some(remote) = choose(&self.remotes, n) {
                    let clone = self.remotes[remote].clone();
                    self.remotes.push(clone);
                }
            }
            Step::DropRemote(n) => {
                if let Some(remote) = choose(&self.remotes, n) {
                    self.remotes.swap_remove(remote);
                }
            }
            Step::Claim(n) => {
                if let Some(remote) = choose(&self.remotes, n) {
                    self.remotes[remote].claim();
                }
            }
            Step::Batch(n) => {
                if let Some(remote) = choose(&self.remotes, n) {
                    self.batches.push(self.remotes[remote].batch());
                    self.held.push(0);
                }
            }
            Step::BatchFree(to, n) => {
                if let Some(batch) = choose(&self.batches, to) {
                    if let Some(block) = self.give_up(n) {
                        free(&self.batches[batch], block);
                        self.held[batch] += 1;
                    }
                    assert_eq!(self.batches[batch].len(), self.held[batch]);
                }
            }
            Step::Flush(n) => {
                if let Some(batch) = choose(&self.batches, n) {
                    self.batches[batch].flush();
                    self.held[batch] = 0;
                }
            }
            Step::DropBatch(n) => {
                if let Some(batch) = choose(&self.batches, n) {
                    self.batches.swap_remove(batch);
                    self.held.swap_remove(batch);
                }
            }
            Step::Box => self.alloc_box(),
            Step::DropBox(n) => {
                if let Some(n) = choose(&self.boxes, n) {
                    let (boxed, stamp) = self.boxes.swap_remove(n);
                    assert_eq!(*boxed, stamp);
                }
            }
            Step::Unbox(n) => {
                if let Some(n) = choose(&self.boxes, n) {
                    let (boxed, stamp) = self.boxes.swap_remove(n);
                    assert_eq!(boxed.into_inner(), stamp);
                }
            }
            Step::Drain => {
                if let Some(owner) = &self.owner {
                    owner.drain();
                    assert_eq!(owner.drain(), 0, "a drain leaves nothing");
                    let report = owner.verify_all().expect("sound");
                    assert_eq!(report.live_blocks, BLOCKS - self.obtainable());
                }
            }
            Step::DropOwner => {
                if let Some(owner) = self.owner.take() {
                    self.keeper = Some(owner.remote());
                }
            }
        }
        if let Some(owner) = &self.owner {
            owner.debug_assert_invariants();
        }
    }

    fn allocate(&mut self) {
        let Some(owner) = &self.owner else { return };
        match owner.allocate(layout()) {
            Ok(block) => {
                assert!(self.obtainable() > 0, "a block out of nowhere");
                let block = block.cast::<u8>();
                assert!(self.live.iter().all(|&(live, _)| live != block), "twice");
                let stamp = self.next_stamp();
                // SAFETY: the block is live and aligned.
                unsafe { block.cast::<Word>().write(stamp) };
                self.live.push((block, stamp));
            }
            Err(_) => assert_eq!(self.obtainable(), 0, "a block is stranded"),
        }
    }

    fn alloc_box(&mut self) {
        let stamp = self.next_stamp();
        let Some(owner) = &self.owner else { return };
        match owner.alloc_box(stamp) {
            Ok(boxed) => {
                assert!(self.obtainable() > 0, "a block out of nowhere");
                self.boxes.push((boxed, stamp));
            }
            Err(error) => {
                assert_eq!(error.into_value(), stamp);
                assert_eq!(self.obtainable(), 0, "a block is stranded");
            }
        }
    }

    fn remote_free(
        &mut self,
        to: usize,
        n: usize,
        free: impl Fn(&SlabRemote<Word, HeapSegment, Q>, NonNull<u8>),
    ) {
        if let Some(remote) = choose(&self.remotes, to) {
            if let Some(block) = self.give_up(n) {
                free(&self.remotes[remote], block);
            }
        }
    }

    fn try_free(&mut self, to: usize, n: usize) {
        let Some(remote) = choose(&self.remotes, to) else {
            return;
        };
        let Some(block) = self.give_up(n) else { return };
        // SAFETY: the block is live, and freed once.
        if let Err(back) = unsafe { self.remotes[remote].try_deallocate(block, layout()) } {
            assert_eq!(back, block);
            let stamp = self.next_stamp();
            // SAFETY: a refused block is still live.
            unsafe { back.cast::<Word>().write(stamp) };
            self.live.push((back, stamp));
        } else {
            assert!(self.owner.is_some(), "an owner that is gone takes nothing");
        }
    }
}

fn choose<T>(from: &[T], choice: usize) -> Option<usize> {
    (!from.is_empty()).then(|| choice % from.len())
}

fn free<D: Deallocator>(to: &D, block: NonNull<u8>) {
    // SAFETY: the block is live, and freed once.
    unsafe { to.deallocate(block, layout()) };
}

fn free_far<Q: RemoteQueue>(to: &SlabRemote<Word, HeapSegment, Q>, block: NonNull<u8>) {
    struct Sent(NonNull<u8>);
    // SAFETY: a block may be freed on any thread.
    unsafe impl Send for Sent {}
    let sent = Sent(block);
    std::thread::scope(|threads| {
        threads.spawn(move || free(to, { sent }.0));
    });
}

fn run<Q: RemoteQueue>(owner: SlabOwner<Word, HeapSegment, Q>, steps: &[Step]) {
    let mut world = World::new(owner);
    for &step in steps {
        world.run(step);
    }
    // Whatever is left goes home, and then every block is there, once.
    let World {
        owner,
        remotes,
        batches,
        boxes,
        live,
        ..
    } = world;
    drop((batches, boxes));
    let Some(owner) = owner else { return };
    live.iter().for_each(|&(block, _)| free(&owner, block));
    drop(remotes);
    let mut all: Vec<_> = std::iter::from_fn(|| owner.allocate(layout()).ok())
        .map(|block| block.cast::<u8>())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), BLOCKS);
    owner.debug_assert_invariants();
}

fn ring(policy: BatchPolicy, queue_capacity: usize) -> SlabOwner<Word, HeapSegment> {
    SlabOwner::with_batch_policy(BLOCKS, heap(BLOCKS * 8, 8), policy, queue_capacity)
        .expect("it fits")
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 0..if cfg!(miri) { 40 } else { 400 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 600 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn lanes_and_list(steps in steps()) {
        let owner = SlabOwner::with_queue(BLOCKS, heap(BLOCKS * 8, 8), Intrusive);
        run(owner.expect("it fits"), &steps);
    }

    #[test]
    fn rings(steps in steps(), threshold in 0..30usize, queue_capacity in 0..30usize) {
        run(ring(BatchPolicy::Fixed(threshold), queue_capacity), &steps);
    }

    #[test]
    fn adaptive_rings(steps in steps(), queue_capacity in 0..30usize) {
        run(ring(BatchPolicy::Adaptive, queue_capacity), &steps);
    }
}
