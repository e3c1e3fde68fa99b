//! A slab of one owner and its remotes, on three threads that take turns as the bytes say.
//!
//! Only one thread does anything at a time, so a program always runs the same way; but each thread
//! has its own lanes, and handles go from one to another.

use std::ptr::NonNull;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use drystone_backing::HeapBacked;
use drystone_core::{Allocator, Deallocator, Inspect, NonZeroLayout};
use drystone_layout::{
    BatchPolicy, Intrusive, RemoteBatch, RemoteBox, RemoteQueue, SetupError, SlabOwner, SlabRemote,
};

use super::choose;

/// Blocks of a slab here.
const BLOCKS: usize = 12;

/// Handles that a thread has at most.
const REMOTES_MAX: usize = 12;

/// The threads, the owner's first.
const THREADS: usize = 3;

type Word = u64;
type Owner<Q> = SlabOwner<Word, HeapBacked, Q>;
type Remote<Q> = SlabRemote<Word, HeapBacked, Q>;
type Batch<Q> = RemoteBatch<Word, HeapBacked, Q>;
type Boxed<Q> = RemoteBox<Word, HeapBacked, Q>;

const LAYOUT: NonZeroLayout = match NonZeroLayout::for_type::<Word>() {
    Some(layout) => layout,
    None => panic!("a word has a size"),
};

/// The first byte chooses the queue; each three after it are a step.
///
/// # Panics
///
/// If a block is lost or comes twice, or the slab breaks a promise or an invariant.
pub fn target_owner_remote(data: &[u8]) {
    let (choice, data) = choose(data);
    let queue_capacity = usize::from(choice / 4);
    let fixed = BatchPolicy::Fixed(usize::from(choice / 32));
    let range = || HeapBacked::new(BLOCKS * size_of::<Word>()).expect("memory for a test");
    match choice % 4 {
        0 | 1 => run(SlabOwner::with_queue(BLOCKS, range(), Intrusive), data),
        2 => run(
            SlabOwner::with_batch_policy(BLOCKS, range(), fixed, queue_capacity % 16),
            data,
        ),
        _ => run(
            SlabOwner::with_batch_policy(
                BLOCKS,
                range(),
                BatchPolicy::Adaptive,
                queue_capacity % 16,
            ),
            data,
        ),
    }
}

fn run<Q: RemoteQueue + 'static>(owner: Result<Owner<Q>, SetupError>, data: &[u8]) {
    let owner = owner.expect("room for the slots");
    thread::scope(|scope| {
        let mut hands: Vec<Helper<Q>> = Vec::new();
        for _ in 1..THREADS {
            let (orders, their_orders) = mpsc::channel();
            let (answer, answers) = mpsc::channel();
            scope.spawn(move || {
                let mut hand = Hand::default();
                for order in their_orders {
                    let reply = hand.obey(order);
                    answer.send(reply).expect("the program waits");
                }
            });
            hands.push((orders, answers));
        }
        let mut world = World {
            mine: Hand::default(),
            helpers: hands,
            live: Vec::new(),
            boxes: Vec::new(),
            held: [0; THREADS],
            owner: Some(owner),
            keeper: None,
            stamp: 0,
        };
        for step in data.chunks_exact(3) {
            world.step(step[0], step[1], step[2]);
        }
        world.finish();
    });
}

/// How a helping thread is reached.
type Helper<Q> = (Sender<Order<Q>>, Receiver<Reply<Q>>);

/// A block that goes from thread to thread.
struct Block(NonNull<u8>);

// SAFETY: a block may be freed on any thread.
unsafe impl Send for Block {}

impl Block {
    fn free(self, to: &impl Deallocator) {
        // SAFETY: the block is live, and freed once.
        unsafe { to.deallocate(self.0, LAYOUT) };
    }
}

/// What a thread is told to do. A number chooses among the handles it has.
enum Order<Q: RemoteQueue> {
    Free(u8, Block),
    TryFree(u8, Block),
    BatchFree(u8, Block),
    Flush,
    DropBatch,
    Clone(u8),
    Claim(u8),
    DropRemote(u8),
    GiveRemote(u8),
    TakeRemote(Remote<Q>),
    DropBox(Boxed<Q>),
    Unbox(Boxed<Q>),
}

enum Reply<Q: RemoteQueue> {
    Done,
    /// The block that was not freed.
    Back(Block),
    Remote(Remote<Q>),
    Value(Word),
}

/// What a thread has.
struct Hand<Q: RemoteQueue> {
    remotes: Vec<Remote<Q>>,
    batch: Option<Batch<Q>>,
}

impl<Q: RemoteQueue> Default for Hand<Q> {
    fn default() -> Self {
        Self {
            remotes: Vec::new(),
            batch: None,
        }
    }
}

impl<Q: RemoteQueue> Hand<Q> {
    fn remote(&mut self, choice: u8) -> Option<&mut Remote<Q>> {
        let count = self.remotes.len();
        (count > 0).then(|| &mut self.remotes[usize::from(choice) % count])
    }

    fn obey(&mut self, order: Order<Q>) -> Reply<Q> {
        match order {
            Order::Free(n, block) => match self.remote(n) {
                Some(remote) => block.free(remote),
                None => return Reply::Back(block),
            },
            Order::TryFree(n, block) => {
                let Some(remote) = self.remote(n) else {
                    return Reply::Back(block);
                };
                // SAFETY: the block is live, and freed once.
                if let Err(back) = unsafe { remote.try_deallocate(block.0, LAYOUT) } {
                    assert_eq!(back, block.0);
                    return Reply::Back(Block(back));
                }
            }
            Order::BatchFree(n, block) => {
                if self.batch.is_none() {
                    let batch = self.remote(n).map(|remote| remote.batch());
                    self.batch = batch;
                }
                match &self.batch {
                    Some(batch) => block.free(batch),
                    None => return Reply::Back(block),
                }
            }
            Order::Flush => {
                if let Some(batch) = &self.batch {
                    batch.flush();
                }
            }
            Order::DropBatch => self.batch = None,
            Order::Clone(n) => {
                if self.remotes.len() < REMOTES_MAX {
                    let clone = self.remote(n).map(|remote| remote.clone());
                    self.remotes.extend(clone);
                }
            }
            Order::Claim(n) => {
                if let Some(remote) = self.remote(n) {
                    remote.claim();
                }
            }
            Order::DropRemote(n) => drop(self.give(n)),
            Order::GiveRemote(n) => {
                if let Some(remote) = self.give(n) {
                    return Reply::Remote(remote);
                }
            }
            Order::TakeRemote(remote) => self.remotes.push(remote),
            Order::DropBox(boxed) => drop(boxed),
            Order::Unbox(boxed) => return Reply::Value(boxed.into_inner()),
        }
        Reply::Done
    }

    fn give(&mut self, choice: u8) -> Option<Remote<Q>> {
        let count = self.remotes.len();
        (count > 0).then(|| self.remotes.swap_remove(usize::from(choice) % count))
    }
}

/// The owner, the threads, and where each block is.
struct World<Q: RemoteQueue> {
    mine: Hand<Q>,
    helpers: Vec<Helper<Q>>,
    /// Blocks in nobody's slab, and what is in them.
    live: Vec<(Block, Word)>,
    boxes: Vec<(Boxed<Q>, Word)>,
    /// How many blocks each thread's batch holds back.
    held: [usize; THREADS],
    owner: Option<Owner<Q>>,
    /// Keeps the memory of the live blocks when the owner is gone.
    keeper: Option<Remote<Q>>,
    stamp: Word,
}

impl<Q: RemoteQueue> World<Q> {
    fn step(&mut self, what: u8, who: u8, which: u8) {
        let who = usize::from(who) % THREADS;
        match what % 16 {
            0..=2 => self.allocate(),
            3 => self.alloc_box(),
            4 | 5 => {
                self.free(which, |world, block| {
                    world.order(who, Order::Free(which / 4, block))
                });
            }
            6 => self.try_free(who, which),
            7 => self.batch_free(who, which),
            8 => self.owner_free(which),
            9 => self.end_box(who, which),
            10 => self.send_remote(who, which),
            11 => drop(self.order(who, Order::Clone(which))),
            12 => drop(self.order(who, Order::Claim(which))),
            13 => drop(self.order(who, Order::DropRemote(which))),
            14 => self.end_batch(who, which),
            _ if which == 0 => self.end_owner(),
            _ => self.drain(),
        }
        if let Some(owner) = &self.owner {
            owner.debug_assert_invariants();
        }
    }

    /// Has a thread do something, and waits until it has.
    fn order(&mut self, who: usize, order: Order<Q>) -> Reply<Q> {
        match who.checked_sub(1) {
            None => self.mine.obey(order),
            Some(helper) => {
                let (orders, answers) = &self.helpers[helper];
                orders.send(order).expect("the thread waits for orders");
                answers.recv().expect("the thread answers")
            }
        }
    }

    /// The blocks that the owner can get at.
    fn obtainable(&self) -> usize {
        let held: usize = self.held.iter().sum();
        BLOCKS - self.live.len() - self.boxes.len() - held
    }

    fn next_stamp(&mut self) -> Word {
        self.stamp += 1;
        self.stamp
    }

    fn keep(&mut self, block: NonNull<u8>) {
        let stamp = self.next_stamp();
        // SAFETY: the block is live and aligned.
        unsafe { block.cast::<Word>().write(stamp) };
        self.live.push((Block(block), stamp));
    }

    fn allocate(&mut self) {
        let Some(owner) = &self.owner else { return };
        match owner.allocate(LAYOUT) {
            Ok(block) => {
                let block = block.cast::<u8>();
                assert!(self.live.iter().all(|(live, _)| live.0 != block), "twice");
                self.keep(block);
            }
            Err(_) => assert_eq!(self.obtainable(), 0, "a block is stranded"),
        }
    }

    fn alloc_box(&mut self) {
        let stamp = self.next_stamp();
        let Some(owner) = &self.owner else { return };
        match owner.alloc_box(stamp) {
            Ok(boxed) => self.boxes.push((boxed, stamp)),
            Err(_) => assert_eq!(self.obtainable(), 0, "a block is stranded"),
        }
    }

    /// Gives a live block, if there is one, to `free`; says whether it was freed.
    fn free(&mut self, which: u8, free: impl FnOnce(&mut Self, Block) -> Reply<Q>) -> bool {
        if self.live.is_empty() {
            return false;
        }
        let (block, stamp) = self.live.swap_remove(usize::from(which) % self.live.len());
        // SAFETY: the block is live, and was written.
        let content = unsafe { block.0.cast::<Word>().read() };
        assert_eq!(content, stamp, "overwritten");
        match free(self, block) {
            Reply::Back(block) => {
                self.keep(block.0);
                false
            }
            _ => true,
        }
    }

    fn try_free(&mut self, who: usize, which: u8) {
        let freed = self.free(which, |world, block| {
            world.order(who, Order::TryFree(which / 4, block))
        });
        assert!(
            !freed || self.owner.is_some(),
            "an owner that is gone takes nothing"
        );
    }

    fn batch_free(&mut self, who: usize, which: u8) {
        let freed = self.free(which, |world, block| {
            world.order(who, Order::BatchFree(which / 4, block))
        });
        self.held[who] += usize::from(freed);
    }

    fn owner_free(&mut self, which: u8) {
        self.free(which, |world, block| match &world.owner {
            Some(owner) => {
                block.free(owner);
                Reply::Done
            }
            None => Reply::Back(block),
        });
    }

    fn end_box(&mut self, who: usize, which: u8) {
        if self.boxes.is_empty() {
            return;
        }
        let (boxed, stamp) = self
            .boxes
            .swap_remove(usize::from(which) % self.boxes.len());
        assert_eq!(*boxed, stamp, "overwritten");
        if which.is_multiple_of(2) {
            self.order(who, Order::DropBox(boxed));
        } else if let Reply::Value(value) = self.order(who, Order::Unbox(boxed)) {
            assert_eq!(value, stamp);
        }
    }

    /// Makes a handle, or takes one from a thread, and gives it to the next.
    fn send_remote(&mut self, who: usize, which: u8) {
        let remote = match &self.owner {
            Some(owner) if which.is_multiple_of(2) => Some(owner.remote()),
            _ => match self.order(who, Order::GiveRemote(which)) {
                Reply::Remote(remote) => Some(remote),
                _ => None,
            },
        };
        if let Some(remote) = remote {
            self.order((who + 1) % THREADS, Order::TakeRemote(remote));
        }
    }

    fn end_batch(&mut self, who: usize, which: u8) {
        let order = if which.is_multiple_of(2) {
            Order::Flush
        } else {
            Order::DropBatch
        };
        self.order(who, order);
        self.held[who] = 0;
    }

    fn drain(&self) {
        if let Some(owner) = &self.owner {
            owner.drain();
            assert_eq!(owner.drain(), 0, "a drain leaves nothing");
            let report = owner.verify_all().expect("the drained slab is sound");
            assert_eq!(report.live_blocks, BLOCKS - self.obtainable());
        }
    }

    fn end_owner(&mut self) {
        if let Some(owner) = self.owner.take() {
            self.keeper = Some(owner.remote());
        }
    }

    /// Sends everything home: the owner then has every block, once.
    fn finish(mut self) {
        for who in 0..THREADS {
            self.end_batch(who, 1);
        }
        self.boxes.clear();
        let Some(owner) = self.owner.take() else {
            return;
        };
        for (block, _) in self.live.drain(..) {
            block.free(&owner);
        }
        let mut all: Vec<_> = std::iter::from_fn(|| owner.allocate(LAYOUT).ok())
            .map(|block| block.cast::<u8>())
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), BLOCKS, "each block once");
        owner.debug_assert_invariants();
    }
}
