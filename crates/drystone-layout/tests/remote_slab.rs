//! Slabs of one owner and many remotes: queues, policies, closing, boxes, limits, bounds.
#![cfg(feature = "std")]

mod ranges;
mod remote_common;

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use drystone_backing::{HeapBacked, InlineBacked};
use drystone_core::{
    AllocError, AllocatedRegion, Allocator, Deallocator, FixedRange, HeapSegment, Inspect, Misuse,
    Region, StableAddress,
};
use drystone_layout::{
    Intrusive, RemoteBatch, RemoteBox, RemoteQueue, Ring, SetupError, Slab, SlabOwner, SlabRemote,
};
use ranges::{Inline, Lazy, Skewed, heap, layout};
use remote_common::*;

/// Something that another thread may have.
struct Sent<T>(T);

// SAFETY: the tests send blocks, which may be freed on any thread.
unsafe impl<T> Send for Sent<T> {}

impl<T> Sent<T> {
    fn get(self) -> T {
        self.0
    }
}

/// Runs `work` on a thread of its own and waits for it.
fn elsewhere<R>(work: impl FnOnce() -> R) -> R {
    let work = Sent(work);
    thread::scope(|threads| {
        threads
            .spawn(move || Sent((work.get())()))
            .join()
            .expect("the work does not panic")
            .get()
    })
}

macro_rules! both_queues {
    ($($name:ident)*) => {
        mod ring_queue {
            $(#[test]
            fn $name() {
                super::$name(super::Ring);
            })*
        }
        mod intrusive_queue {
            $(#[test]
            fn $name() {
                super::$name(super::Intrusive);
            })*
        }
    };
}

both_queues! {
    a_block_comes_back_when_the_owner_runs_dry
    blocks_of_every_way_come_home
    drain_counts_what_came_and_nothing_twice
    a_remote_outlives_the_owner
    the_last_handle_drops_the_range_whatever_it_is
    boxes_drop_their_value_where_they_are_dropped
    a_box_whose_destructor_panics_gives_its_slot_back
    boxes_outlive_the_owner
    into_inner_does_not_drop
    no_room_gives_the_value_back
    inspection_counts_what_has_not_been_seen_as_live
    a_batch_sends_at_its_bound_on_demand_and_at_the_end
    tiny_and_large_alignments
    the_range_stays_when_the_owner_moves
    a_range_that_commits_on_demand
    set_up_errors_are_those_of_a_slab
    leaving_blocks_behind_leaks_nothing_else
}

fn a_block_comes_back_when_the_owner_runs_dry<Q: RemoteQueue>(queue: Q) {
    let owner = with(4, queue);
    let remote = owner.remote();
    let blocks = take_all(&owner);
    assert_eq!(blocks.len(), 4);
    elsewhere(|| free(&remote, blocks[2]));
    assert_eq!(take(&owner), blocks[2]);
    assert_eq!(owner.allocate(word()), Err(AllocError));
    owner.debug_assert_invariants();
}

/// The owner's own free, a handle on its first thread, the same on another, a clone, a batch.
fn blocks_of_every_way_come_home<Q: RemoteQueue>(queue: Q) {
    let owner = with(6, queue);
    let remote = owner.remote();
    let mut expected = take_all(&owner);
    free(&owner, expected[0]);
    elsewhere(|| {
        free(&remote, expected[1]);
        let clone = remote.clone();
        free(&clone, expected[2]);
        let batch = clone.batch();
        free(&batch, expected[3]);
    });
    free(&remote, expected[4]);
    assert_eq!(try_free(&remote, expected[5]), Ok(()));
    drop(remote);
    let mut blocks = take_all(&owner);
    blocks.sort_unstable();
    expected.sort_unstable();
    assert_eq!(blocks, expected);
    owner.debug_assert_invariants();
}

fn drain_counts_what_came_and_nothing_twice<Q: RemoteQueue>(queue: Q) {
    let owner = with(8, queue);
    let remote = owner.remote();
    let blocks = take_all(&owner);
    assert_eq!(owner.drain(), 0);
    for (n, &block) in blocks.iter().enumerate() {
        if n % 2 == 0 {
            elsewhere(|| free(&remote, block));
        } else {
            free(&remote, block);
        }
    }
    assert_eq!(owner.drain(), 8);
    assert_eq!(owner.drain(), 0);
    let report = owner.verify_all().expect("sound");
    assert_eq!((report.live_blocks, report.free_blocks), (0, 8));
}

fn a_remote_outlives_the_owner<Q: RemoteQueue>(queue: Q) {
    let owner = with(3, queue);
    let remote = owner.remote();
    let blocks = take_all(&owner);
    free(&remote, blocks[0]);
    drop(owner);
    // SAFETY: the block is still live, and aligned for a word.
    unsafe { blocks[1].cast::<Word>().write(7) };
    assert_eq!(try_free(&remote, blocks[1]), Err(blocks[1]));
    // SAFETY: as above; the refused free left it alone.
    assert_eq!(unsafe { blocks[1].cast::<Word>().read() }, 7);
    free(&remote, blocks[1]);
    let batch = remote.batch();
    free(&batch, blocks[2]);
    batch.flush();
    let late = remote.clone();
    assert_eq!(try_free(&late, blocks[2]), Err(blocks[2]));
}

/// A range that counts its drops.
struct Counted {
    inner: HeapSegment,
    drops: Arc<AtomicUsize>,
}

impl Counted {
    fn new(bytes: usize) -> (Self, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let counted = Self {
            inner: heap(bytes, 64),
            drops: Arc::clone(&drops),
        };
        (counted, drops)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the laws are the inner range's.
unsafe impl FixedRange for Counted {
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

fn the_last_handle_drops_the_range_whatever_it_is<Q: RemoteQueue>(queue: Q) {
    let (range, drops) = Counted::new(64);
    let owner = SlabOwner::<Word, _, Q>::with_queue(8, range, queue).expect("it fits");
    let remote = owner.remote();
    let clone = remote.clone();
    let batch = clone.batch();
    let boxed = owner.alloc_box(1).expect("room");
    let count = || drops.load(Ordering::Relaxed);
    drop(remote);
    drop(owner);
    assert_eq!(count(), 0);
    elsewhere(move || drop(clone));
    drop(batch);
    assert_eq!((count(), *boxed), (0, 1));
    elsewhere(move || drop(boxed));
    assert_eq!(count(), 1);
}

/// A value that tells how often it was dropped, and where.
struct Noisy(mpsc::Sender<thread::ThreadId>);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.0
            .send(thread::current().id())
            .expect("the test listens");
    }
}

fn boxes<T, Q: RemoteQueue>(capacity: usize, queue: Q) -> SlabOwner<T, HeapBacked, Q> {
    let bytes = capacity * SlabOwner::<T, HeapBacked, Q>::STRIDE;
    let range = HeapBacked::with_align(bytes, 64).expect("memory");
    SlabOwner::with_queue(capacity, range, queue).expect("it fits")
}

fn boxes_drop_their_value_where_they_are_dropped<Q: RemoteQueue>(queue: Q) {
    let owner = boxes(2, queue);
    let (sender, dropped) = mpsc::channel();
    let boxed = owner.alloc_box(Noisy(sender.clone())).expect("room");
    let there = elsewhere(move || {
        drop(boxed);
        thread::current().id()
    });
    assert_eq!(dropped.try_recv(), Ok(there));
    assert!(dropped.try_recv().is_err());
    assert_eq!(owner.drain(), 1);
    let boxed = owner.alloc_box(Noisy(sender)).expect("room");
    drop(boxed);
    assert_eq!(dropped.try_recv(), Ok(thread::current().id()));
}

fn a_box_whose_destructor_panics_gives_its_slot_back<Q: RemoteQueue>(queue: Q) {
    struct Bomb(#[allow(dead_code, reason = "gives it a size")] u64);
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as the test wants");
        }
    }
    let owner = boxes(1, queue);
    for _ in 0..3 {
        let boxed = owner.alloc_box(Bomb(1)).expect("the slot came back");
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(boxed)));
        assert!(outcome.is_err());
        assert_eq!(owner.drain(), 1);
        owner.debug_assert_invariants();
    }
}

fn boxes_outlive_the_owner<Q: RemoteQueue>(queue: Q) {
    let owner = boxes(200, queue);
    let kept: Vec<_> = (0..200)
        .map(|n| owner.alloc_box(format!("{n}")).expect("room"))
        .collect();
    drop(owner);
    elsewhere(move || {
        for (n, boxed) in kept.into_iter().enumerate() {
            assert_eq!(*boxed, n.to_string());
        }
    });
}

fn into_inner_does_not_drop<Q: RemoteQueue>(queue: Q) {
    let owner = boxes(1, queue);
    let value = Rc::new(5);
    let mut boxed = owner.alloc_box(Rc::clone(&value)).expect("room");
    assert_eq!(format!("{boxed:?} {boxed}"), "5 5");
    *boxed = Rc::clone(&value);
    assert_eq!(Rc::strong_count(&value), 2);
    let back = boxed.into_inner();
    assert_eq!((Rc::strong_count(&value), *back), (2, 5));
    assert_eq!(owner.drain(), 1);
}

fn no_room_gives_the_value_back<Q: RemoteQueue>(queue: Q) {
    let owner = boxes(1, queue);
    let first = owner.alloc_box(String::from("first")).expect("room");
    let error = owner.alloc_box(String::from("second")).unwrap_err();
    assert_eq!(error.into_value(), "second");
    drop(first);
    assert!(owner.alloc_box(String::from("third")).is_ok());
}

fn inspection_counts_what_has_not_been_seen_as_live<Q: RemoteQueue>(queue: Q) {
    let owner = with(4, queue);
    let remote = owner.remote();
    let blocks = take_all(&owner);
    let digest = owner.state_digest();
    for &block in &blocks {
        free(&remote, block);
    }
    assert_eq!(owner.state_digest(), digest);
    assert_eq!(owner.verify_all().expect("sound").live_blocks, 4);
    assert!(owner.validate(blocks[0]).is_ok());
    // Runs dry and looks: one block goes out, the rest is known to be free.
    let first = take(&owner);
    let report = owner.verify_all().expect("sound");
    assert_eq!(report.live_blocks + report.free_blocks, 4);
    assert!(owner.validate(first).is_ok());
    owner.drain();
    assert_ne!(owner.state_digest(), digest);
    for &block in blocks.iter().filter(|&&block| block != first) {
        assert_eq!(owner.validate(block), Err(Misuse::DoubleFree));
    }
}

fn a_batch_sends_at_its_bound_on_demand_and_at_the_end<Q: RemoteQueue>(queue: Q) {
    const BOUND: usize = RemoteBatch::<Word, HeapSegment>::BLOCKS_MAX;
    let owner = with(3 * BOUND, queue);
    let batch = owner.remote().batch();
    let blocks = take_all(&owner);
    for (n, &block) in blocks[..BOUND - 1].iter().enumerate() {
        assert_eq!(batch.len(), n);
        free(&batch, block);
        assert_eq!(owner.drain(), 0);
    }
    free(&batch, blocks[BOUND - 1]);
    assert!(batch.is_empty());
    assert_eq!(owner.drain(), BOUND);
    free(&batch, blocks[BOUND]);
    free(&batch, blocks[BOUND + 1]);
    batch.flush();
    batch.flush();
    assert_eq!(owner.drain(), 2);
    elsewhere(move || {
        free(&batch, blocks[BOUND + 2]);
        drop(batch);
    });
    assert_eq!(owner.drain(), 1);
}

#[repr(align(64))]
#[derive(Debug, PartialEq)]
struct Wide([u8; 65]);

fn tiny_and_large_alignments<Q: RemoteQueue>(queue: Q) {
    let wide = boxes(3, queue);
    let kept: Vec<_> = (0..3)
        .map(|n| wide.alloc_box(Wide([n; 65])).expect("room"))
        .collect();
    for boxed in &kept {
        assert!((&raw const **boxed).addr().is_multiple_of(64));
    }
    assert_eq!(kept[2].0, [2; 65]);
    drop(kept);
    assert_eq!(wide.drain(), 3);

    let tiny = SlabOwner::<u8, _, Intrusive>::with_queue(5, heap(40, 8), Intrusive);
    let tiny = tiny.expect("a byte takes a link's room");
    assert_eq!(tiny.block_stride(), size_of::<usize>());
    let odd = SlabOwner::<[u8; 11], _, Intrusive>::with_queue(7, Skewed::new(77, 1), Intrusive);
    let odd = odd.expect("strides need not be aligned");
    let remote = odd.remote();
    let eleven = layout(11, 1);
    let blocks: Vec<NonNull<u8>> = (0..7)
        .map(|_| odd.allocate(eleven).expect("room").cast())
        .collect();
    for &block in &blocks {
        // SAFETY: the block is live, and freed once.
        elsewhere(|| unsafe { remote.deallocate(block, eleven) });
    }
    assert_eq!(odd.drain(), 7);
    odd.debug_assert_invariants();
}

/// The range goes to the heap when the slab is made, so a move of the owner does not end blocks.
fn the_range_stays_when_the_owner_moves<Q: RemoteQueue>(queue: Q) {
    let owner = SlabOwner::<Word, _, Q>::with_queue(4, Inline::<32>::new(), queue);
    let owner = owner.expect("it fits");
    let block = take(&owner);
    let moved = Box::new(owner);
    assert!(moved.validate(block).is_ok());
    let remote = moved.remote();
    let moved = *moved;
    free(&remote, block);
    assert_eq!(moved.drain(), 1);
    assert_eq!(take(&moved), block);
}

fn a_range_that_commits_on_demand<Q: RemoteQueue>(queue: Q) {
    let (range, log) = Lazy::new(1 << 10, usize::MAX, 0);
    let owner = SlabOwner::<Word, _, Q>::with_queue(128, range, queue).expect("it fits");
    assert_eq!(log.commits.load(Ordering::Relaxed), 0);
    let remote = owner.remote();
    let block = take(&owner);
    assert!(log.commits.load(Ordering::Relaxed) > 0);
    free(&remote, block);
    drop(remote);
    drop(owner);
    assert_eq!(log.drops.load(Ordering::Relaxed), 1);

    let (range, _) = Lazy::new(1 << 10, 0, 0);
    let owner = SlabOwner::<Word, _, Ring>::with_queue(128, range, Ring).expect("it fits");
    assert_eq!(owner.allocate(word()), Err(AllocError));
    owner.debug_assert_invariants();
}

fn set_up_errors_are_those_of_a_slab<Q: RemoteQueue + Clone>(queue: Q) {
    fn error<T, B: FixedRange, Q: RemoteQueue>(capacity: usize, range: B, queue: Q) -> SetupError {
        SlabOwner::<T, B, Q>::with_queue(capacity, range, queue).expect_err("it does not fit")
    }
    assert_eq!(
        error::<Word, _, _>(0, heap(8, 8), queue.clone()),
        SetupError::ZeroCapacity
    );
    assert_eq!(
        error::<Word, _, _>(3, heap(16, 8), queue.clone()),
        SetupError::RangeTooSmall {
            needed_bytes: 24,
            available_bytes: 16
        }
    );
    let limit = SlabOwner::<Word, HeapSegment, Q>::CAPACITY_MAX;
    assert_eq!(
        error::<Word, _, _>(limit + 1, heap(16, 8), queue.clone()),
        SetupError::CapacityAboveLimit {
            capacity: limit + 1,
            limit
        }
    );
    assert_eq!(
        error::<Wide, _, _>(1, InlineBacked::<512>::new(), queue),
        SetupError::AlignmentUnavailable {
            align: 64,
            base_align: 16
        }
    );
}

/// Live blocks, a full lane or ring, and a window that is open when the owner goes.
fn leaving_blocks_behind_leaks_nothing_else<Q: RemoteQueue>(queue: Q) {
    let (range, drops) = Counted::new(64 * 8);
    let owner = SlabOwner::<Word, _, Q>::with_queue(64, range, queue).expect("it fits");
    let remote = owner.remote();
    let blocks: Vec<_> = (0..64).map(|_| take(&owner)).collect();
    for &block in &blocks[..40] {
        free(&remote, block);
    }
    take(&owner);
    drop(owner);
    for &block in &blocks[40..50] {
        free(&remote, block);
    }
    drop(remote);
    assert_eq!(drops.load(Ordering::Relaxed), 1);
}

/// The thread that claims a handle first has the lane. The others use the list: a lane that is full
/// does too, and so does a handle without a lane. All of it comes home.
#[test]
fn lanes_and_their_overflow() {
    let owner = with(64, Intrusive);
    let mut remote = owner.remote();
    let blocks = take_all(&owner);
    let handles: Vec<_> = (0..40).map(|_| remote.clone()).collect();
    for (handle, &block) in handles.iter().zip(&blocks) {
        free(handle, block);
    }
    elsewhere(|| {
        free(&remote, blocks[40]);
        free(&remote, blocks[41]);
    });
    free(&remote, blocks[42]);
    remote.claim();
    free(&remote, blocks[43]);
    let mut back: Vec<_> = (0..44).map(|_| take(&owner)).collect();
    back.sort_unstable();
    let mut expected = blocks[..44].to_vec();
    expected.sort_unstable();
    assert_eq!(back, expected);
}

/// Blocks that went through a lane come home in the order of their frees; a lane goes round, and
/// its place is used again by the next handle.
#[test]
fn a_lane_goes_round_and_its_place_is_used_again() {
    let owner = with(6, Intrusive);
    let mut blocks = take_all(&owner);
    for round in 0..10 {
        let remote = owner.remote();
        for _ in 0..7 {
            for &block in &blocks {
                free(&remote, block);
            }
            let back = take_all(&owner);
            assert_eq!(back, blocks, "round {round}");
            blocks.rotate_left(1);
        }
        free(&remote, blocks[0]);
        drop(remote);
        assert_eq!(
            take(&owner),
            blocks[0],
            "what waits in a lane outlives its handle"
        );
    }
}

/// A window holds at most a quarter of a lane, so a thread that goes on freeing finds room.
#[test]
fn more_than_a_lane_holds() {
    // Under Miri the lane holds them all.
    const BLOCKS: usize = if cfg!(miri) { 64 } else { 20_000 };
    let owner = with(BLOCKS, Intrusive);
    let remote = owner.remote();
    let blocks = take_all(&owner);
    for &block in &blocks {
        free(&remote, block);
    }
    let mut back = take_all(&owner);
    let window = BLOCKS.min(1024);
    assert_eq!(back[..window], blocks[..window]);
    back.sort_unstable();
    assert_eq!(back, blocks);
    owner.debug_assert_invariants();
}

/// The words that others write are not on the lines of the owner, whose own are in itself.
#[test]
fn the_owner_costs_what_a_slab_costs() {
    let slab = size_of::<Slab<Word, HeapSegment>>();
    assert!(size_of::<SlabOwner<Word, HeapSegment, Intrusive>>() <= slab + 64);
    assert!(size_of::<SlabRemote<Word, HeapSegment>>() == size_of::<usize>());
    assert!(size_of::<RemoteBox<Word, HeapSegment>>() == 2 * size_of::<usize>());
    assert!(size_of::<Option<RemoteBox<Word, HeapSegment>>>() == 2 * size_of::<usize>());
}

/// Whether a type is `Send`, and whether it is `Sync`. A method of the type itself is found before
/// one of a trait, and there is none where the bound is not met.
macro_rules! auto_traits {
    ($type:ty) => {{
        let sends = SendProbe::<$type>(PhantomData).holds();
        let shares = SyncProbe::<$type>(PhantomData).holds();
        (sends, shares)
    }};
}

struct SendProbe<T>(PhantomData<T>);
struct SyncProbe<T>(PhantomData<T>);

trait Otherwise {
    fn holds(&self) -> bool {
        false
    }
}

impl<T> Otherwise for SendProbe<T> {}
impl<T> Otherwise for SyncProbe<T> {}

impl<T: Send> SendProbe<T> {
    fn holds(&self) -> bool {
        true
    }
}

impl<T: Sync> SyncProbe<T> {
    fn holds(&self) -> bool {
        true
    }
}

/// Who may be sent, and who shared, with each bound there and missing.
#[test]
fn auto_traits_follow_range_and_value() {
    type Local = AllocatedRegion<Rc<dyn Allocator>>;
    type Shy = std::sync::MutexGuard<'static, u8>;
    macro_rules! check {
        ($queue:ty) => {
            assert_eq!(auto_traits!(SlabOwner<Word, HeapSegment, $queue>), (true, false));
            assert_eq!(auto_traits!(SlabOwner<Rc<u8>, HeapSegment, $queue>), (true, false));
            assert_eq!(auto_traits!(SlabOwner<Word, Region<'static>, $queue>), (true, false));
            assert_eq!(auto_traits!(SlabOwner<Word, Local, $queue>), (false, false));
            assert_eq!(auto_traits!(SlabRemote<Word, HeapSegment, $queue>), (true, true));
            assert_eq!(auto_traits!(SlabRemote<Rc<u8>, HeapSegment, $queue>), (true, true));
            assert_eq!(auto_traits!(SlabRemote<Word, Local, $queue>), (false, false));
            assert_eq!(auto_traits!(RemoteBatch<Word, HeapSegment, $queue>), (true, false));
            assert_eq!(auto_traits!(RemoteBatch<Word, Local, $queue>), (false, false));
            assert_eq!(auto_traits!(RemoteBox<Word, HeapSegment, $queue>), (true, true));
            assert_eq!(auto_traits!(RemoteBox<Cell<u8>, HeapSegment, $queue>), (true, false));
            assert_eq!(auto_traits!(RemoteBox<Rc<u8>, HeapSegment, $queue>), (false, false));
            assert_eq!(auto_traits!(RemoteBox<Shy, HeapSegment, $queue>), (false, true));
            assert_eq!(auto_traits!(RemoteBox<Word, Local, $queue>), (false, true));
        };
    }
    check!(Ring);
    check!(Intrusive);

    fn stable<A: StableAddress>() {}
    stable::<SlabOwner<Word, HeapSegment>>();
    stable::<SlabOwner<Word, InlineBacked<64>, Intrusive>>();
}
