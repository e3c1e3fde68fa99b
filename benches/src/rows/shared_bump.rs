//! Values of 16 bytes from an arena that threads share, reset after every 4096.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{self, JoinHandle};

use drystone_backing::HeapBacked;
use drystone_core::{CachePadded, Reset};
use drystone_layout::{BumpArena, SharedBumpArena};
use drystone_wrap::Locked;

use crate::{Arm, Kind, Row};

/// Values between two resets, for each thread.
const BATCH: u64 = 4096;

type Value = [u64; 2];

/// Memory of each contestant: the batch of two threads, and room for chunk headers.
const BYTES: usize = 160 << 10;

/// One thread.
pub(crate) fn alone() -> Row {
    Row {
        id: "shared-bump-1",
        unit: "value",
        about: "16-byte values from a shared arena, one thread, reset after every 4096",
        arms: vec![
            Arm::new("swapped cursor", Kind::Limit, one_thread(Cursor::swapped())),
            Arm::new("added cursor", Kind::Limit, one_thread(Cursor::added())),
            Arm::new("drystone SharedBumpArena", Kind::Ours, one_thread(shared())),
            Arm::new(
                "drystone SharedBumpArena again",
                Kind::Control,
                one_thread(shared()),
            ),
            Arm::new(
                "drystone BumpArena, not shared",
                Kind::Ours,
                one_thread(plain()),
            ),
            Arm::new(
                "drystone Locked<BumpArena>",
                Kind::Ours,
                one_thread(locked()),
            ),
            Arm::new("Mutex<bumpalo>", Kind::Rival, one_thread(mutex())),
        ],
    }
}

/// Two threads on one arena; a unit is a value of either.
pub(crate) fn two_threads() -> Row {
    Row {
        id: "shared-bump-2",
        unit: "value",
        about: "16-byte values from a shared arena, two threads at once, reset after every 8192",
        arms: vec![
            Arm::new(
                "swapped cursor",
                Kind::Limit,
                both_threads(Cursor::swapped()),
            ),
            Arm::new("added cursor", Kind::Limit, both_threads(Cursor::added())),
            Arm::new(
                "drystone SharedBumpArena",
                Kind::Ours,
                both_threads(shared()),
            ),
            Arm::new(
                "drystone SharedBumpArena again",
                Kind::Control,
                both_threads(shared()),
            ),
            Arm::new(
                "drystone Locked<BumpArena>",
                Kind::Ours,
                both_threads(locked()),
            ),
            Arm::new("Mutex<bumpalo>", Kind::Rival, both_threads(mutex())),
        ],
    }
}

/// An arena that hands out values.
trait Source: 'static {
    fn take(&self, value: Value);
    fn reset(&mut self);
}

impl Source for SharedBumpArena<HeapBacked> {
    #[inline(always)]
    fn take(&self, value: Value) {
        black_box(black_box(self).alloc::<Value>(value));
    }

    fn reset(&mut self) {
        Reset::reset(self);
    }
}

impl Source for BumpArena<HeapBacked> {
    #[inline(always)]
    fn take(&self, value: Value) {
        black_box(black_box(self).alloc::<Value>(value));
    }

    fn reset(&mut self) {
        Reset::reset(self);
    }
}

impl Source for Locked<BumpArena<HeapBacked>> {
    #[inline(always)]
    fn take(&self, value: Value) {
        use drystone_core::{Allocator, NonZeroLayout};
        const LAYOUT: NonZeroLayout = NonZeroLayout::for_type::<Value>().expect("not zero-sized");
        let block = black_box(self).allocate(LAYOUT).expect("the batch fits");
        // SAFETY: the block is new, aligned for the value and as long.
        unsafe { block.cast::<Value>().write(value) };
        black_box(block);
    }

    fn reset(&mut self) {
        Reset::reset(self);
    }
}

impl Source for Mutex<bumpalo::Bump> {
    #[inline(always)]
    fn take(&self, value: Value) {
        let arena = black_box(self).lock().expect("no panic inside");
        black_box(arena.alloc::<Value>(value));
    }

    fn reset(&mut self) {
        self.get_mut().expect("no panic inside").reset();
    }
}

/// The least: a cursor on a line of its own, moved by a swap or an addition, without alignment.
struct Cursor {
    cursor: CachePadded<AtomicUsize>,
    memory: Box<[std::cell::UnsafeCell<Value>]>,
    swaps: bool,
}

// SAFETY: each slot is written by the one thread that got its index from the cursor.
unsafe impl Sync for Cursor {}

impl Cursor {
    fn swapped() -> Self {
        let slots = 2 * BATCH as usize;
        Self {
            cursor: CachePadded::new(AtomicUsize::new(0)),
            memory: (0..slots)
                .map(|_| std::cell::UnsafeCell::new([0; 2]))
                .collect(),
            swaps: true,
        }
    }

    fn added() -> Self {
        Self {
            swaps: false,
            ..Self::swapped()
        }
    }

    #[inline(always)]
    fn next(&self) -> usize {
        if !self.swaps {
            return self.cursor.fetch_add(1, Ordering::Relaxed);
        }
        let mut cursor = self.cursor.load(Ordering::Relaxed);
        loop {
            let swapped = self.cursor.compare_exchange_weak(
                cursor,
                cursor + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(index) => return index,
                Err(now) => cursor = now,
            }
        }
    }
}

impl Source for Cursor {
    #[inline(always)]
    fn take(&self, value: Value) {
        let slot = self.memory[black_box(self).next()].get();
        // SAFETY: the index was given to this call alone.
        unsafe { slot.write(value) };
        black_box(slot);
    }

    fn reset(&mut self) {
        *self.cursor.get_mut() = 0;
    }
}

fn memory() -> HeapBacked {
    HeapBacked::with_align(BYTES, 16).expect("160 KiB of heap")
}

fn shared() -> SharedBumpArena<HeapBacked> {
    SharedBumpArena::new(memory())
}

fn plain() -> BumpArena<HeapBacked> {
    BumpArena::new(memory())
}

fn locked() -> Locked<BumpArena<HeapBacked>> {
    Locked::new(plain())
}

fn mutex() -> Mutex<bumpalo::Bump> {
    Mutex::new(bumpalo::Bump::with_capacity(BYTES))
}

fn one_thread<S: Source>(mut source: S) -> impl FnMut(u64) {
    move |units| {
        for _ in 0..units.div_ceil(BATCH) {
            for value in 0..BATCH {
                source.take([value, 1]);
            }
            source.reset();
        }
    }
}

/// What the main thread and its helper share: the arena, and how much the helper is to do.
struct Shared<S> {
    source: std::cell::UnsafeCell<S>,
    batches: AtomicUsize,
    meeting: Barrier,
}

// SAFETY: the arena is reset by the main thread only, between two meetings at which the helper
// waits; at all other times it is shared.
unsafe impl<S: Sync> Sync for Shared<S> {}
// SAFETY: as above; it is owned by both threads in turn.
unsafe impl<S: Send> Send for Shared<S> {}

impl<S: Source> Shared<S> {
    fn batch(&self) {
        // SAFETY: nobody resets the arena before the next meeting.
        let source = unsafe { &*self.source.get() };
        for value in 0..BATCH {
            source.take([value, 1]);
        }
    }
}

/// A thread that fills its batches until it is told to do none.
struct Helper<S: Source + Send + Sync> {
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Source + Send + Sync> Helper<S> {
    fn new(source: S) -> Self {
        let shared = Arc::new(Shared {
            source: std::cell::UnsafeCell::new(source),
            batches: AtomicUsize::new(0),
            meeting: Barrier::new(2),
        });
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            loop {
                theirs.meeting.wait();
                let batches = theirs.batches.load(Ordering::Relaxed);
                if batches == 0 {
                    return;
                }
                for _ in 0..batches {
                    theirs.batch();
                    theirs.meeting.wait();
                    theirs.meeting.wait();
                }
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    fn run(&self, batches: usize) {
        let shared = &*self.shared;
        shared.batches.store(batches, Ordering::Relaxed);
        shared.meeting.wait();
        for _ in 0..batches {
            shared.batch();
            shared.meeting.wait();
            // SAFETY: the helper waits for the next meeting.
            unsafe { &mut *shared.source.get() }.reset();
            shared.meeting.wait();
        }
    }
}

impl<S: Source + Send + Sync> Drop for Helper<S> {
    fn drop(&mut self) {
        self.shared.batches.store(0, Ordering::Relaxed);
        self.shared.meeting.wait();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the helper only allocates");
        }
    }
}

fn both_threads<S: Source + Send + Sync>(source: S) -> impl FnMut(u64) {
    let helper = Helper::new(source);
    move |units| helper.run(units.div_ceil(2 * BATCH) as usize)
}
