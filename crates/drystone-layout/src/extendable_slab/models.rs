//! loom models of the slab itself: what two threads, or three, may do to it at once.
//!
//! Each block has a witness cell, which whoever has the block writes: loom reports two accesses
//! that are not ordered. The shards and the links of segments and groups lie in loom's cells, so a
//! thread that uses what it does not hold is reported too. The limits are small under loom: two
//! thread slots, one entry in a line of the index, one shard in a chunk.

use core::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, HeapSegment, NoProtection, NonZeroLayout,
    Reset, SegmentSource, StableAddress,
};
use drystone_sync::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::sync::Mutex;
use std::vec::Vec;

use super::grid::Grid;
use super::index::{Index, IndexWriter, OwnTable};
use super::runs::{self, Runs};
use super::segment::SegmentRef;
use super::shape::Shape;
use super::{ExtendableSlab, descriptor};

type Slot = u64;
type Slab = ExtendableSlab<Slot, NoProtection, Places>;

fn layout() -> NonZeroLayout {
    NonZeroLayout::for_type::<Slot>().expect("not zero-sized")
}

/// The slots that a model may use in all.
const SLOTS: usize = 16;

/// Memory for the segments of every execution of a model: loom repeats a schedule step by step, and
/// the index goes by address, so the addresses must be the same each time.
struct Memory(HeapSegment);

impl Memory {
    fn new() -> std::sync::Arc<Self> {
        let layout = NonZeroLayout::from_size_align(SLOTS * size_of::<Slot>(), 1 << 12);
        let memory = HeapSegment::new(layout.expect("valid")).expect("memory");
        std::sync::Arc::new(Self(memory))
    }
}

/// Segments from a [`Memory`], one after the other.
struct Places {
    memory: std::sync::Arc<Memory>,
    /// Not loom's: who comes first is decided by the schedule.
    /// Under a lock that loom does not know, so that it orders nothing in the models.
    next: Mutex<usize>,
}

/// A part of a [`Memory`].
struct Place {
    base: NonNull<u8>,
    bytes: usize,
    _memory: std::sync::Arc<Memory>,
}

// SAFETY: the part is used by its holder alone.
unsafe impl Send for Place {}

// SAFETY: parts are disjoint, and keep the memory; the answers are constant.
unsafe impl FixedRange for Place {
    fn base(&self) -> NonNull<u8> {
        self.base
    }

    fn size(&self) -> usize {
        self.bytes
    }

    fn base_align(&self) -> usize {
        size_of::<Slot>()
    }

    fn commits_on_demand(&self) -> bool {
        false
    }
}

// SAFETY: the memory does not move.
unsafe impl StableAddress for Place {}

// SAFETY: each part is cut off once. The parts of a model have one alignment, and are as long as it or
// several times as long.
unsafe impl SegmentSource for Places {
    type Segment = Place;

    fn segment(&self, layout: NonZeroLayout) -> Result<Place, AllocError> {
        let bytes = layout.size().get().next_multiple_of(layout.align().get());
        let mut next = self.next.lock().expect("no panic while held");
        let offset = *next;
        *next += bytes;
        if offset + bytes > self.memory.0.size() {
            return Err(AllocError);
        }
        Ok(Place {
            // SAFETY: the offset is inside the memory.
            base: unsafe { self.memory.0.base().add(offset) },
            bytes,
            _memory: self.memory.clone(),
        })
    }

    /// For the models that ask for runs: [`Runs`] takes none for fewer than 16 segments.
    fn run_bytes(&self) -> usize {
        2 * size_of::<Slot>()
    }
}

fn slab(memory: &std::sync::Arc<Memory>, capacity: usize) -> Slab {
    let places = Places {
        memory: memory.clone(),
        next: Mutex::new(0),
    };
    Slab::with_source(capacity, || NoProtection, places)
}

/// A slab, and a witness for each slot that it may have.
struct Watched {
    slab: Slab,
    base: usize,
    witnesses: Vec<UnsafeCell<usize>>,
}

// SAFETY: a witness is reached by whoever has the block, which is what the models check.
unsafe impl Sync for Watched {}
// SAFETY: as above.
unsafe impl Send for Watched {}

/// A block on its way to another thread.
struct Block(NonNull<u8>);

// SAFETY: whoever has the value has the block.
unsafe impl Send for Block {}

impl Watched {
    fn new(memory: &std::sync::Arc<Memory>, capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            slab: slab(memory, capacity),
            base: memory.0.base().addr().get(),
            witnesses: (0..SLOTS).map(|_| UnsafeCell::new(0)).collect(),
        })
    }

    fn take(&self) -> Block {
        let block = Block(self.slab.allocate(layout()).expect("memory").cast());
        self.touch(&block);
        block
    }

    fn give(&self, block: Block) {
        self.touch(&block);
        // SAFETY: a live block, which the caller gives up.
        unsafe { self.slab.deallocate(block.0, layout()) };
    }

    /// What the holder of a block does with it.
    fn touch(&self, block: &Block) {
        let slot = (block.0.addr().get() - self.base) / size_of::<Slot>();
        self.witnesses[slot].with_mut(|witness| {
            // SAFETY: the caller has the block; loom checks that nobody else has.
            unsafe { *witness += 1 };
        });
    }

    /// Nothing is lost: every slot of every segment can be handed out, once.
    fn check(&self) {
        self.slab.debug_assert_invariants();
        let segments = self.slab.segment_count();
        let slots = segments * self.slab.segment_capacity();
        let mut all: Vec<_> = (0..slots)
            .map(|_| self.slab.allocate(layout()).expect("memory").cast::<u8>())
            .collect();
        assert_eq!(self.slab.segment_count(), segments, "slots were lost");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), slots, "a slot was handed out twice");
    }
}

/// Two threads that have nothing both take a segment; each finds its own by address, also in the
/// table that the other one made.
#[test]
fn loom3_two_threads_grow_at_once() {
    let memory = Memory::new();
    loom::model(move || {
        let slab = Arc::new(slab(&memory, 1));
        let take = |slab: &Slab| {
            let block = slab.allocate(layout()).expect("memory").cast::<u8>();
            assert!(
                super::Owns::owns(slab, block),
                "a segment in use was not found"
            );
            Block(block)
        };
        let other = {
            let slab = Arc::clone(&slab);
            thread::spawn(move || take(&slab))
        };
        let blocks = [take(&slab), other.join().expect("ends")];
        assert_eq!(slab.segment_count(), 2);
        for block in blocks {
            // SAFETY: live.
            unsafe { slab.deallocate(block.0, layout()) };
        }
    });
}

fn take_and_give(slab: &Slab) {
    let block = slab.allocate(layout()).expect("memory").cast::<u8>();
    assert!(super::Owns::owns(slab, block));
    // SAFETY: live.
    unsafe { slab.deallocate(block, layout()) };
}

/// A block that is freed elsewhere comes home while its owner collects, or later.
#[test]
fn loom2_a_free_elsewhere_meets_the_owners_collecting() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 2);
        let (sent, kept) = (watched.take(), watched.take());
        let other = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || watched.give(sent))
        };
        // The segment is used up: the owner collects, and if it comes too early takes another one.
        let more = watched.take();
        other.join().expect("ends");
        watched.give(more);
        watched.give(kept);
        watched.check();
    });
}

/// Two threads free into one group: one of them puts it on the list, and the owner that collects
/// has what both did behind it.
#[test]
fn loom3_two_frees_elsewhere_list_a_group_once() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 2);
        let blocks = [watched.take(), watched.take()];
        let others = blocks.map(|block| {
            let watched = Arc::clone(&watched);
            thread::spawn(move || watched.give(block))
        });
        let more = [watched.take(), watched.take()];
        for other in others {
            other.join().expect("ends");
        }
        more.into_iter().for_each(|block| watched.give(block));
        watched.check();
    });
}

/// A segment is not given back while a free into it is on its way, and is given back after.
#[test]
fn loom2_trim_meets_a_free_elsewhere() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 1);
        let sent = watched.take();
        let other = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || watched.give(sent))
        };
        watched.slab.trim();
        other.join().expect("ends");
        watched.slab.trim();
        assert_eq!(watched.slab.segment_count(), 0);
    });
}

/// One thread gives a segment back while the other looks its own up.
#[test]
fn loom2_trim_meets_a_lookup() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 1);
        let (sent, spare) = (watched.take(), watched.take());
        watched.give(spare);
        let other = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || watched.give(sent))
        };
        watched.slab.trim();
        other.join().expect("ends");
        watched.slab.trim();
        assert_eq!(watched.slab.segment_count(), 0);
    });
}

/// What a thread leaves when it ends is taken over by the next, or by who comes by: not by both.
#[test]
fn loom3_a_dead_threads_slots_have_one_heir() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 2);
        // Both slots of the segment are in the word of the first thread.
        let first = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || {
                let block = watched.take();
                watched.give(block);
            })
        };
        first.join().expect("ends");
        let next = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || {
                let block = watched.take();
                watched.give(block);
            })
        };
        let block = watched.take();
        watched.give(block);
        next.join().expect("ends");
        // Each of the three may have needed a segment: a joined thread may still have its slot.
        assert!(watched.slab.segment_count() <= 3);
    });
}

/// A thread that ends while another one looks for slots: either it is seen to have ended, and what
/// it did is seen, or it is left alone.
#[test]
fn loom3_a_visit_meets_the_end_of_a_thread() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 2);
        let other = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || {
                let block = watched.take();
                watched.give(block);
            })
        };
        let block = watched.take();
        watched.give(block);
        other.join().expect("ends");
        assert!(watched.slab.segment_count() <= 2);
    });
}

/// A thread beyond the limit of slots uses the shared state, at the same time as one that has a
/// slot frees into it.
#[test]
fn loom3_a_thread_without_a_slot_shares() {
    let memory = Memory::new();
    loom::model(move || {
        let watched = Watched::new(&memory, 2);
        let holder = watched.take();
        let second = {
            let watched = Arc::clone(&watched);
            // Has the second slot for as long as it runs.
            thread::spawn(move || watched.give(holder))
        };
        let third = {
            let watched = Arc::clone(&watched);
            thread::spawn(move || {
                let block = watched.take();
                watched.give(block);
            })
        };
        second.join().expect("ends");
        third.join().expect("ends");
        watched.slab.debug_assert_invariants();
    });
}

/// A descriptor with a segment at a made-up address, for models of the index alone.
struct Described {
    segment: SegmentRef<'static>,
    shape: Shape,
}

impl Described {
    fn at(address: usize) -> Self {
        let shape = Shape::new(1, 8, 8).expect("small");
        let made = descriptor::create::<HeapSegment, NoProtection>(&shape, 1);
        let segment = made.expect("memory").next().expect("one");
        segment.set_base(core::ptr::without_provenance_mut(address));
        Self { segment, shape }
    }
}

impl Drop for Described {
    fn drop(&mut self) {
        // SAFETY: created with these types and this shape, and the model is over.
        unsafe { descriptor::destroy::<HeapSegment, NoProtection>(self.segment, &self.shape) };
    }
}

/// The address bits below the made-up segments.
const SHIFT: u32 = 3;
const GRID: Grid = Grid::new(1 << SHIFT);

fn insert(writer: &mut IndexWriter, index: &Index, described: &Described) {
    let mut table = None;
    while let Err(needed) = writer.make_room(index, &mut table) {
        table = Some(OwnTable::new(needed.log2).expect("memory"));
    }
    writer.insert(index, described.segment);
}

/// What a reader of the index gets.
struct Shared(*const Index);
// SAFETY: the index outlives the thread, which only reads it.
unsafe impl Send for Shared {}

/// A segment that is in the index is found whatever is entered, removed and rewritten meanwhile: in
/// a table that is outgrown, and in one that is filled anew under the reader.
#[test]
fn loom3_a_lookup_meets_tables_that_change() {
    loom::model(|| {
        let all: Vec<_> = (1..=4).map(|n| Described::at(n << SHIFT)).collect();
        let mut index = Index::new(GRID);
        let mut writer = IndexWriter::new();
        insert(&mut writer, &index, &all[0]);
        insert(&mut writer, &index, &all[1]);
        // Each round leaves a key that is gone, until the table is written anew; the table before
        // the current one is used for that.
        let mut round = 0;
        let mut rounds = |writer: &mut IndexWriter, count| {
            for _ in 0..count {
                writer.remove(&index, all[1 + round % 3].segment);
                round += 1;
                insert(writer, &index, &all[1 + round % 3]);
            }
        };
        rounds(&mut writer, 4);
        let shared = Shared(&raw const index);
        let reader = thread::spawn(move || {
            let shared = shared;
            // SAFETY: the index lives until the thread was joined.
            let index = unsafe { &*shared.0 };
            // The second look, whose answer is final.
            let found = index.find_again(1 << SHIFT);
            assert!(found.is_some(), "a segment in use was not found");
        });
        let before = index.rewrites();
        rounds(&mut writer, 7);
        reader.join().expect("ends");
        assert!(
            index.rewrites() >= before + 2,
            "the table was not rewritten under the reader"
        );
        // SAFETY: the reader has ended.
        unsafe { writer.destroy(&mut index) };
    });
}

/// A reader may come upon a descriptor that is just being entered: it sees all of it.
#[test]
fn loom2_a_lookup_meets_a_new_descriptor() {
    loom::model(|| {
        let first = Described::at(1 << SHIFT);
        let mut index = Index::new(GRID);
        let mut writer = IndexWriter::new();
        insert(&mut writer, &index, &first);
        let shared = Shared(&raw const index);
        let reader = thread::spawn(move || {
            let shared = shared;
            // SAFETY: the index lives until the thread was joined.
            let index = unsafe { &*shared.0 };
            for number in 2..6 {
                let found = index.find(number << SHIFT);
                assert!(found.is_none_or(|s| s.base().addr() == number << SHIFT));
            }
        });
        let second = Described::at(2 << SHIFT);
        insert(&mut writer, &index, &second);
        writer.remove(&index, first.segment);
        first.segment.set_base(core::ptr::null_mut());
        let third = Described::at(3 << SHIFT);
        insert(&mut writer, &index, &third);
        reader.join().expect("ends");
        // SAFETY: the reader has ended.
        unsafe { writer.destroy(&mut index) };
    });
}

/// Reset is exclusive; what threads that ended left in every place is forgotten.
#[test]
fn loom3_reset_after_threads() {
    let memory = Memory::new();
    loom::model(move || {
        let mut slab = slab(&memory, 2);
        {
            struct Shared(*const Slab);
            // SAFETY: the slab outlives the thread, and is `Sync`.
            unsafe impl Send for Shared {}
            let shared = Shared(&raw const slab);
            let other = thread::spawn(move || {
                let shared = shared;
                // SAFETY: the slab lives until the thread was joined.
                take_and_give(unsafe { &*shared.0 });
            });
            take_and_give(&slab);
            other.join().expect("ends");
        }
        slab.reset();
        slab.debug_assert_invariants();
        take_and_give(&slab);
    });
}

/// Two threads take pieces of runs and put them back: each piece has one user at a time, who is ordered
/// behind the one before, and every range goes back.
#[test]
fn loom2_two_threads_share_a_run() {
    let memory = Memory::new();
    loom::model(move || {
        let places = Places {
            memory: memory.clone(),
            next: Mutex::new(0),
        };
        let witnesses: Vec<_> = (0..SLOTS).map(|_| UnsafeCell::new(0)).collect();
        let shared = Arc::new((Runs::new(places), witnesses));
        let base = memory.0.base().addr().get();
        let use_one = move |(runs, witnesses): &(Runs<Places>, Vec<UnsafeCell<usize>>)| {
            // As many segments as make runs of two.
            let piece = runs.take(layout(), 2 * runs::SHARE).expect("memory");
            let number = (piece.base().addr().get() - base) / size_of::<Slot>();
            witnesses[number].with_mut(|witness| {
                // SAFETY: loom checks that nobody else is here.
                unsafe { *witness += 1 };
            });
            runs.put(piece);
        };
        struct Shared(Arc<(Runs<Places>, Vec<UnsafeCell<usize>>)>);
        // SAFETY: a slab shares its runs between threads likewise.
        unsafe impl Send for Shared {}
        let other = Shared(Arc::clone(&shared));
        let other = thread::spawn(move || {
            let other = other;
            use_one(&other.0);
        });
        use_one(&shared);
        other.join().expect("ends");
        assert_eq!(shared.0.free(), 0, "a run was not given back");
    });
}
