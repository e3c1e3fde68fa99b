//! Many threads free what one allocates: nothing is lost, nothing comes twice.
#![cfg(feature = "std")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use drystone_core::{Allocator, Deallocator, HeapSegment, Inspect, NonZeroLayout};
use drystone_layout::{BatchPolicy, Intrusive, RemoteQueue, Ring, SlabOwner};

/// A block is stamped with its number and a check when it is handed out, and its freer checks both.
type Block = [u64; 4];

const LAYOUT: NonZeroLayout = match NonZeroLayout::for_type::<Block>() {
    Some(layout) => layout,
    None => panic!("a block has a size"),
};

/// A block on its way to the thread that frees it, and its stamp.
struct Parcel {
    block: NonNull<u8>,
    stamp: u64,
}

// SAFETY: the block may be freed on any thread.
unsafe impl Send for Parcel {}

impl Parcel {
    fn check(stamp: u64) -> u64 {
        stamp.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5555
    }

    /// Stamps a block that was just handed out.
    fn stamped(block: NonNull<u8>, stamp: u64) -> Self {
        let words = [stamp, Self::check(stamp), !stamp, stamp];
        // SAFETY: the block is live, aligned, and as long as the words.
        unsafe { block.cast::<Block>().write(words) };
        Self { block, stamp }
    }

    /// Checks the stamp: a block that was handed out twice has another one, or a torn one.
    fn open(self) -> NonNull<u8> {
        // SAFETY: the block is live, aligned, and was written in full.
        let words = unsafe { self.block.cast::<Block>().read() };
        let stamp = self.stamp;
        assert_eq!(words, [stamp, Self::check(stamp), !stamp, stamp]);
        self.block
    }
}

fn owner<Q: RemoteQueue>(capacity: usize, queue: Q) -> SlabOwner<Block, HeapSegment, Q> {
    let layout = NonZeroLayout::from_size_align(capacity * size_of::<Block>(), 16);
    let layout = layout.expect("a valid layout");
    let range = HeapSegment::new(layout).expect("memory");
    SlabOwner::with_queue(capacity, range, queue).expect("it fits")
}

fn free<D: Deallocator>(to: &D, block: NonNull<u8>) {
    // SAFETY: the block is live, and freed once.
    unsafe { to.deallocate(block, LAYOUT) };
}

/// One owner hands stamped blocks to `threads` threads in turn, `each` to each, and takes them
/// again as they come home. In the end every block is free, once.
fn hand_out<Q>(threads: usize, each: usize, capacity: usize, queue: Q)
where
    Q: RemoteQueue + 'static,
{
    let owner = owner(capacity, queue);
    let freed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..threads)
            .map(|number| {
                let (sender, parcels) = mpsc::sync_channel::<Vec<Parcel>>(4);
                let remote = owner.remote();
                let freed = &freed;
                scope.spawn(move || {
                    let batch = remote.batch();
                    for parcels in parcels {
                        for parcel in parcels {
                            let block = parcel.open();
                            // A third of the threads send batches, a third mix.
                            match number % 3 {
                                0 => free(&remote, block),
                                1 => free(&batch, block),
                                _ if freed.load(Ordering::Relaxed).is_multiple_of(2) => {
                                    free(&remote, block);
                                }
                                _ => free(&batch, block),
                            }
                            freed.fetch_add(1, Ordering::Relaxed);
                        }
                        // What a batch holds back the owner may be waiting for.
                        batch.flush();
                    }
                });
                sender
            })
            .collect();
        let mut stamp = 0;
        let (mut sent, mut turn) = (0, 0);
        let parcel_size = (capacity / (8 * threads)).clamp(1, 128);
        while sent < threads * each {
            let count = parcel_size.min(threads * each - sent);
            let mut parcel = Vec::with_capacity(count);
            while parcel.len() < count {
                match owner.allocate(LAYOUT) {
                    Ok(block) => {
                        parcel.push(Parcel::stamped(block.cast(), stamp));
                        stamp += 1;
                    }
                    Err(_) if parcel.is_empty() => thread::yield_now(),
                    Err(_) => break,
                }
            }
            sent += parcel.len();
            lanes[turn % threads]
                .send(parcel)
                .expect("the thread listens");
            turn += 1;
        }
    });
    assert_eq!(freed.into_inner(), threads * each, "freed once each");
    owner.drain();
    let report = owner.verify_all().expect("sound");
    assert_eq!(report.live_blocks, 0, "lost");
    let mut all: Vec<_> = std::iter::from_fn(|| owner.allocate(LAYOUT).ok())
        .map(|block| block.cast::<u8>())
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), capacity, "each block once");
}

/// Operations of each of the 64 threads: a million where they take a reasonable time.
const EACH: usize = if cfg!(miri) {
    4
} else if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};

const THREADS: usize = if cfg!(miri) { 3 } else { 64 };

const CAPACITY: usize = if cfg!(miri) { 8 } else { 64 << 10 };

#[test]
fn sixty_four_threads_with_lanes() {
    hand_out(THREADS, EACH, CAPACITY, Intrusive);
}

#[test]
fn sixty_four_threads_with_a_ring() {
    hand_out(THREADS, EACH / 16 + 1, CAPACITY, Ring);
}

#[test]
fn few_blocks_and_many_threads() {
    hand_out(THREADS.min(8), EACH / 64 + 1, 8, Intrusive);
    hand_out(THREADS.min(8), EACH / 64 + 1, 8, Ring);
}

/// Counts how many ranges live.
struct Counted {
    inner: HeapSegment,
    alive: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

// SAFETY: the laws are the inner range's.
unsafe impl drystone_core::FixedRange for Counted {
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

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

/// Owners, remotes, batches and boxes that die in every order, on two threads, with blocks in every
/// place. The range goes with the last of them.
fn life_cycles<Q>(cycles: usize, make: impl Fn() -> Q)
where
    Q: RemoteQueue + 'static,
{
    type Word = u64;
    let layout = NonZeroLayout::for_type::<Word>().expect("not zero-sized");
    let alive = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicU64::new(0));
    let mut random = Random(3);
    type Task = Box<dyn FnOnce() + Send>;
    let (tasks, queue) = mpsc::channel::<Task>();
    let other = thread::spawn(move || queue.into_iter().for_each(|task| task()));

    struct Tally(
        Arc<AtomicU64>,
        #[allow(dead_code, reason = "fills a slot")] u64,
    );
    impl Drop for Tally {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let mut boxes = 0;
    for _ in 0..cycles {
        alive.fetch_add(1, Ordering::Relaxed);
        let bytes = NonZeroLayout::array::<Tally>(8).expect("a valid layout");
        let range = Counted {
            inner: HeapSegment::new(bytes).expect("memory"),
            alive: Arc::clone(&alive),
        };
        let owner = SlabOwner::<Tally, _, Q>::with_queue(8, range, make()).expect("it fits");
        let mut ends: Vec<Task> = Vec::new();
        let mut give = |end: Task| ends.push(end);
        for _ in 0..random.below(4) {
            let remote = owner.remote();
            if random.below(2) == 0 {
                let clone = remote.clone();
                give(Box::new(move || drop(clone)));
            }
            if let Ok(block) = owner.allocate(layout) {
                let parcel = Parcel {
                    block: block.cast(),
                    stamp: 0,
                };
                let batch = remote.batch();
                let batched = random.below(2) == 0;
                give(Box::new(move || {
                    let Parcel { block, .. } = { parcel };
                    let to: &dyn Deallocator = if batched { &batch } else { &remote };
                    // SAFETY: the block is live, and freed once.
                    unsafe { to.deallocate(block, layout) };
                }));
            }
        }
        for _ in 0..random.below(3) {
            if let Ok(boxed) = owner.alloc_box(Tally(Arc::clone(&dropped), 1)) {
                boxes += 1;
                give(Box::new(move || drop(boxed)));
            }
        }
        give(Box::new(move || drop(owner)));
        while !ends.is_empty() {
            let end = ends.swap_remove(random.below(ends.len()));
            if random.below(2) == 0 {
                tasks.send(end).expect("the other thread lives");
            } else {
                end();
            }
        }
    }
    drop(tasks);
    other.join().expect("no end panics");
    assert_eq!(alive.load(Ordering::Relaxed), 0, "every range was dropped");
    assert_eq!(dropped.load(Ordering::Relaxed), boxes, "every value once");
}

#[test]
fn twenty_thousand_life_cycles() {
    let cycles = if cfg!(miri) { 12 } else { 20_000 };
    life_cycles(cycles, || Intrusive);
    life_cycles(cycles, || Ring);
}

/// The owner goes from thread to thread, and its remotes stay.
#[test]
fn the_owner_moves_between_threads() {
    let rounds = if cfg!(miri) { 3 } else { 300 };
    let mut owner = owner(4, Intrusive);
    let remote = owner.remote();
    for round in 0..rounds {
        let block = owner.allocate(LAYOUT).expect("room").cast();
        let parcel = Parcel::stamped(block, round);
        owner = thread::scope(|scope| {
            let freer = scope.spawn(|| free(&remote, { parcel }.open()));
            let user = scope.spawn(move || {
                let more = owner.allocate(LAYOUT).expect("room").cast();
                // SAFETY: the block is live, and freed once.
                unsafe { owner.deallocate(more, LAYOUT) };
                owner
            });
            freer.join().expect("frees");
            user.join().expect("allocates")
        });
    }
    owner.drain();
    assert_eq!(owner.verify_all().expect("sound").live_blocks, 0);
}

/// An adaptive ring under two threads keeps to its levels.
#[test]
fn an_adaptive_ring_under_load() {
    let each = if cfg!(miri) { 20 } else { 20_000 };
    let layout = NonZeroLayout::array::<Block>(256).expect("a valid layout");
    let range = HeapSegment::new(layout).expect("memory");
    let owner = SlabOwner::<Block, _>::with_batch_policy(256, range, BatchPolicy::Adaptive, 64)
        .expect("fits");
    let remote = owner.remote();
    let (sender, parcels) = mpsc::sync_channel::<Parcel>(128);
    let freer = thread::spawn(move || {
        for parcel in parcels {
            free(&remote, parcel.open());
        }
    });
    for stamp in 0..each {
        let block = loop {
            match owner.allocate(LAYOUT) {
                Ok(block) => break block.cast(),
                Err(_) => thread::yield_now(),
            }
        };
        sender
            .send(Parcel::stamped(block, stamp))
            .expect("the thread listens");
        let threshold = owner.adaptive_threshold_snapshot().expect("adaptive");
        assert!(drystone_layout::ADAPTIVE_LEVELS.contains(&threshold));
    }
    drop(sender);
    freer.join().expect("frees");
    owner.drain();
    assert_eq!(owner.verify_all().expect("sound").live_blocks, 0);
}
