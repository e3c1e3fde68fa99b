//! The thread-cached arena and its rivals, all called through `GlobalAlloc`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::ptr::NonNull;

use drystone_arena::GlobalArena;
use drystone_core::{Checked, Fast, Hardened};

#[cfg(feature = "mimalloc")]
use crate::blocks::MimallocTuned;
use crate::harness::Random;
use crate::rows::pool_across::Consumer;
use crate::rows::remote::{PIECE, in_pieces};
use crate::{Arm, Kind, Row};

/// What every contestant is.
trait Heap: GlobalAlloc + Copy + Send + Sync + 'static {}

impl<A: GlobalAlloc + Copy + Send + Sync + 'static> Heap for A {}

/// A workload over any contestant.
trait Workload: Copy + 'static {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)>;
}

fn arms(workload: impl Workload) -> Vec<Arm> {
    let ours = |name, kind| Arm::new(name, kind, workload.prepare(GlobalArena::<Fast>::new()));
    vec![
        ours("drystone GlobalArena", Kind::Ours),
        ours("drystone GlobalArena again", Kind::Control),
        Arm::new(
            "drystone GlobalArena<Checked>",
            Kind::Ours,
            workload.prepare(GlobalArena::<Checked>::new()),
        ),
        #[cfg(feature = "mimalloc")]
        Arm::new("mimalloc 2", Kind::Rival, workload.prepare(MimallocTuned)),
        #[cfg(feature = "rivals")]
        Arm::new(
            "snmalloc",
            Kind::Rival,
            workload.prepare(Shared(&snmalloc_rs::SnMalloc)),
        ),
        #[cfg(feature = "rivals")]
        Arm::new(
            "jemalloc",
            Kind::Rival,
            workload.prepare(Shared(&tikv_jemallocator::Jemalloc)),
        ),
        Arm::new("the system's", Kind::Rival, workload.prepare(System)),
    ]
}

/// The same, and the profile that looks at every word of a block.
fn arms_and_hardened(workload: impl Workload) -> Vec<Arm> {
    let mut arms = arms(workload);
    let hardened = Arm::new(
        "drystone GlobalArena<Hardened>",
        Kind::Ours,
        workload.prepare(GlobalArena::<Hardened>::new()),
    );
    arms.insert(3, hardened);
    arms
}

/// A rival whose type cannot be copied.
#[cfg(feature = "rivals")]
struct Shared<A: 'static>(&'static A);

#[cfg(feature = "rivals")]
impl<A> Clone for Shared<A> {
    fn clone(&self) -> Self {
        *self
    }
}

#[cfg(feature = "rivals")]
impl<A> Copy for Shared<A> {}

// SAFETY: every call is the allocator's own.
#[cfg(feature = "rivals")]
unsafe impl<A: GlobalAlloc> GlobalAlloc for Shared<A> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.realloc(block, layout, new_size) }
    }
}

/// A block that frees itself.
struct Block<A: Heap> {
    bytes: NonNull<u8>,
    layout: Layout,
    heap: A,
}

// SAFETY: the block is its owner's alone, and its allocator serves any thread.
unsafe impl<A: Heap> Send for Block<A> {}

impl<A: Heap> Block<A> {
    /// A block whose first byte is written.
    #[inline(always)]
    fn new(heap: A, layout: Layout) -> Self {
        // SAFETY: every layout here has bytes.
        let bytes = NonNull::new(unsafe { heap.alloc(layout) }).expect("there is memory");
        // SAFETY: the block's first byte.
        unsafe { bytes.write(1) };
        Self {
            bytes,
            layout,
            heap,
        }
    }

    /// Writes one byte of each page from this offset on.
    fn touch(&mut self, from: usize) {
        for offset in (from..self.layout.size()).step_by(4096) {
            // SAFETY: inside the block.
            let byte = unsafe { self.bytes.add(offset) };
            // SAFETY: the block's own byte.
            unsafe { byte.write(1) };
        }
    }
}

impl<A: Heap> Drop for Block<A> {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the block is live, and was handed out for this layout.
        unsafe { self.heap.dealloc(self.bytes.as_ptr(), self.layout) };
    }
}

const fn bytes(size: usize) -> Layout {
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("a valid size"),
    }
}

#[derive(Clone, Copy)]
struct HotPair<const N: usize>;

impl<const N: usize> Workload for HotPair<N> {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            let layout = const { bytes(N) };
            for _ in 0..units {
                // SAFETY: the layout has bytes.
                let block = black_box(unsafe { heap.alloc(layout) });
                // SAFETY: the block's first byte.
                unsafe { block.write(1) };
                // SAFETY: the block is live, and was handed out for this layout.
                unsafe { heap.dealloc(block, layout) };
            }
        })
    }
}

macro_rules! hot_pair {
    ($name:ident, $id:literal, $size:expr, $words:literal) => {
        pub(crate) fn $name() -> Row {
            Row {
                id: $id,
                unit: "pair",
                about: concat!(
                    "one block of ",
                    $words,
                    " taken and given back, the size known"
                ),
                arms: arms_and_hardened(HotPair::<{ $size }>),
            }
        }
    };
}

hot_pair!(hot_64, "arena-hot-64", 64, "64 B");
hot_pair!(hot_1k, "arena-hot-1k", 1 << 10, "1 KiB");
hot_pair!(hot_16k, "arena-hot-16k", 16 << 10, "16 KiB");

#[derive(Clone, Copy)]
struct Batch;

impl Workload for Batch {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let mut blocks: Vec<Block<A>> = Vec::with_capacity(1000);
        Box::new(move |units| {
            for _ in 0..units.div_ceil(1000) {
                blocks.extend((0..1000).map(|_| Block::new(heap, const { bytes(64) })));
                blocks.drain(..).for_each(drop);
            }
        })
    }
}

pub(crate) fn batch() -> Row {
    Row {
        id: "arena-batch",
        unit: "pair",
        about: "1000 blocks of 64 B taken, then given back in the order of taking",
        arms: arms(Batch),
    }
}

/// Random blocks replaced while so many are live. Sizes are spread over their logarithm.
#[derive(Clone, Copy)]
struct Churn {
    live: usize,
    from_log2: u32,
    to_log2: u32,
    touched: bool,
}

impl Churn {
    fn layout(self, random: &mut Random) -> Layout {
        let log2 = self.from_log2 as usize + random.below((self.to_log2 - self.from_log2) as usize);
        bytes((1 << log2) + random.below(1 << log2))
    }
}

impl Workload for Churn {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let mut random = Random::new(11);
        // Drawn beforehand, so that the row times the contestant and not the generator.
        let layouts: Vec<_> = (0..1 << 16).map(|_| self.layout(&mut random)).collect();
        let places: Vec<_> = (0..1 << 16).map(|_| random.below(self.live)).collect();
        let mut blocks: Vec<Option<Block<A>>> = (0..self.live)
            .map(|n| Some(Block::new(heap, layouts[n % layouts.len()])))
            .collect();
        let mut at = 0;
        Box::new(move |units| {
            for _ in 0..units {
                let place = &mut blocks[places[at]];
                *place = None;
                let mut block = Block::new(heap, layouts[at]);
                if self.touched {
                    block.touch(0);
                }
                *place = Some(black_box(block));
                // Places and sizes go round in different steps, so that they meet anew each time.
                at = (at + 1) % (layouts.len() - 1);
            }
        })
    }
}

macro_rules! churn {
    ($name:ident, $id:literal, $live:literal, $log2:expr, $touched:literal, $about:literal) => {
        pub(crate) fn $name() -> Row {
            Row {
                id: $id,
                unit: "pair",
                about: $about,
                arms: arms_and_hardened(Churn {
                    live: $live,
                    from_log2: $log2.start,
                    to_log2: $log2.end,
                    touched: $touched,
                }),
            }
        }
    };
}

churn!(
    churn_5k,
    "arena-churn-5k",
    5000,
    (4..12),
    false,
    "random blocks of 16 B to 4 KiB replaced, 5000 live"
);
churn!(
    churn_200k,
    "arena-churn-200k",
    200_000,
    (4..12),
    false,
    "random blocks of 16 B to 4 KiB replaced, 200 000 live"
);
churn!(
    large,
    "arena-large",
    32,
    (16..20),
    true,
    "random blocks of 64 KiB to 1 MiB replaced, 32 live, a byte of each page written"
);

#[derive(Clone, Copy)]
struct Across;

impl Workload for Across {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let consumer = Consumer::<Block<A>>::new();
        Box::new(move |units| {
            in_pieces(units, PIECE, || {
                consumer.piece(|place| {
                    place.write(Block::new(heap, const { bytes(64) }));
                })
            });
        })
    }
}

pub(crate) fn pipe() -> Row {
    Row {
        id: "arena-pipe",
        unit: "block",
        about: "blocks of 64 B taken here, handed over in batches of 64, given back on another core",
        arms: arms(Across),
    }
}

/// From 64 B to 64 MiB.
const DOUBLINGS: u64 = 20;

#[derive(Clone, Copy)]
struct Doubling;

impl Workload for Doubling {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            for _ in 0..units.div_ceil(DOUBLINGS) {
                let mut block = Block::new(heap, bytes(64));
                while block.layout.size() < 64 << 20 {
                    double(&mut block);
                }
            }
        })
    }
}

/// Makes a block twice as large, and writes a byte of each new page.
fn double<A: Heap>(block: &mut Block<A>) {
    let old = block.layout.size();
    // SAFETY: the block is live, and was handed out for this layout; the size is valid.
    let grown = unsafe {
        block
            .heap
            .realloc(block.bytes.as_ptr(), block.layout, 2 * old)
    };
    block.bytes = NonNull::new(grown).expect("there is memory");
    block.layout = bytes(2 * old);
    block.touch(old);
}

pub(crate) fn doubling() -> Row {
    Row {
        id: "arena-doubling",
        unit: "doubling",
        about: "a block doubled from 64 B to 64 MiB, a byte of each page written",
        arms: arms(Doubling),
    }
}
