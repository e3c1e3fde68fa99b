//! The thread-cached arena and its rivals, all called through `GlobalAlloc`.

mod across;
mod zeroed;

use std::alloc::Layout;
use std::hint::black_box;
use std::ptr::NonNull;

use drystone_arena::GlobalArena;
use drystone_core::{Checked, Fast, Hardened};

use crate::harness::{Random, in_batches, timed};
use crate::rivals::{Called, Heap, Rivals, Visitor};
use crate::{Arm, Kind, Row};

/// Builds the row of this name with these rivals; `None` if there is none.
pub(crate) fn build<R: Rivals>(id: &str) -> Option<Row> {
    let row = match id {
        "arena-hot-64" => hot_pair::<R, 64>("arena-hot-64", INLINED),
        "arena-hot-1k" => hot_pair::<R, { 1 << 10 }>("arena-hot-1k", INLINED),
        "arena-hot-16k" => hot_pair::<R, { 16 << 10 }>("arena-hot-16k", INLINED),
        "arena-called-64" => hot_pair::<R, 64>("arena-called-64", CALLED),
        "arena-called-1k" => hot_pair::<R, { 1 << 10 }>("arena-called-1k", CALLED),
        "arena-called-16k" => hot_pair::<R, { 16 << 10 }>("arena-called-16k", CALLED),
        "arena-batch" => batch::<R>(),
        "arena-churn-5k" => small_churn::<R>(
            "arena-churn-5k",
            "random blocks of 16 B to 4 KiB replaced, 5000 live",
            5000,
        ),
        "arena-churn-200k" => small_churn::<R>(
            "arena-churn-200k",
            "random blocks of 16 B to 4 KiB replaced, 200 000 live",
            200_000,
        ),
        "arena-pipe" => across::pipe::<R>(),
        "arena-larson" => across::larson::<R>(),
        "arena-large" => large::<R>(),
        "arena-20m" => one_of_20m::<R>(),
        "arena-doubling" => doubling::<R>(),
        _ => return zeroed::build::<R>(id),
    };
    Some(row)
}

/// A workload over any contestant.
pub(super) trait Workload: Copy + 'static {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)>;
}

/// How the contestants of a row are made.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// With calls that are not inlined, also where they could be.
    called: bool,
    /// With the profile that looks at every word of a block.
    hardened: bool,
}

pub(super) const INLINED: Manner = Manner {
    called: false,
    hardened: true,
};

pub(super) const CALLED: Manner = Manner {
    called: true,
    hardened: true,
};

/// The arena in the profiles that do not write whole blocks, and the rivals.
pub(super) fn arms<R: Rivals>(workload: impl Workload) -> Vec<Arm> {
    let manner = Manner {
        called: false,
        hardened: false,
    };
    arms_in::<R>(manner, workload)
}

pub(super) fn arms_in<R: Rivals>(manner: Manner, workload: impl Workload) -> Vec<Arm> {
    let mut contestants = Contestants {
        workload,
        called: manner.called,
        kind: Kind::Ours,
        arms: Vec::new(),
    };
    contestants.heap("drystone GlobalArena", GlobalArena::<Fast>::new());
    contestants.kind = Kind::Control;
    contestants.heap("drystone GlobalArena again", GlobalArena::<Fast>::new());
    contestants.kind = Kind::Ours;
    contestants.heap(
        "drystone GlobalArena<Checked>",
        GlobalArena::<Checked>::new(),
    );
    if manner.hardened {
        contestants.heap(
            "drystone GlobalArena<Hardened>",
            GlobalArena::<Hardened>::new(),
        );
    }
    contestants.kind = Kind::Rival;
    R::visit(&mut contestants);
    contestants.arms
}

/// Collects an arm for each contestant.
struct Contestants<W> {
    workload: W,
    called: bool,
    kind: Kind,
    arms: Vec<Arm>,
}

impl<W: Workload> Visitor for Contestants<W> {
    fn heap<A: Heap>(&mut self, name: &'static str, heap: A) {
        let run = if self.called && A::INLINED {
            self.workload.prepare(Called(heap))
        } else {
            self.workload.prepare(heap)
        };
        self.arms.push(Arm {
            name,
            kind: self.kind,
            run,
        });
    }
}

/// A block that frees itself.
pub(super) struct Block<A: Heap> {
    bytes: NonNull<u8>,
    layout: Layout,
    heap: A,
}

// SAFETY: the block is its owner's alone, and its allocator serves any thread.
unsafe impl<A: Heap> Send for Block<A> {}

impl<A: Heap> Block<A> {
    /// A block whose first byte is written.
    #[inline(always)]
    pub(super) fn new(heap: A, layout: Layout) -> Self {
        // SAFETY: every layout here has bytes.
        let block = unsafe { heap.alloc(layout) };
        Self::written(heap, block, layout)
    }

    /// The same, of zeroes.
    #[inline(always)]
    pub(super) fn zeroed(heap: A, layout: Layout) -> Self {
        // SAFETY: every layout here has bytes.
        let block = unsafe { heap.alloc_zeroed(layout) };
        Self::written(heap, block, layout)
    }

    #[inline(always)]
    fn written(heap: A, block: *mut u8, layout: Layout) -> Self {
        let bytes = NonNull::new(block).expect("there is memory");
        // SAFETY: the block's first byte.
        unsafe { bytes.write(1) };
        Self {
            bytes,
            layout,
            heap,
        }
    }

    /// Leaves the block allocated for good, and gives the pages that it fills back to the system.
    #[cfg(unix)]
    pub(super) fn leak(self) {
        let before = self.bytes.as_ptr().addr().next_multiple_of(4096) - self.bytes.as_ptr().addr();
        let whole = self.layout.size().saturating_sub(before) / 4096 * 4096;
        if whole > 0 {
            let pages = self.bytes.as_ptr().wrapping_add(before).cast();
            // SAFETY: the pages lie inside the block, which nobody uses any more.
            unsafe { libc::madvise(pages, whole, libc::MADV_DONTNEED) };
        }
        std::mem::forget(self);
    }

    /// Leaves the block allocated for good.
    #[cfg(not(unix))]
    pub(super) fn leak(self) {
        std::mem::forget(self);
    }

    /// Writes one byte of each page from this offset on.
    pub(super) fn touch(&mut self, from: usize) {
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

pub(super) const fn bytes(size: usize) -> Layout {
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

fn hot_pair<R: Rivals, const N: usize>(id: &'static str, manner: Manner) -> Row {
    Row {
        id,
        unit: "pair",
        about: if manner.called {
            "a block taken and given back, no call inlined"
        } else {
            "a block taken and given back, the size known"
        },
        arms: arms_in::<R>(manner, HotPair::<N>),
    }
}

#[derive(Clone, Copy)]
struct Batch;

impl Workload for Batch {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        let mut blocks: Vec<Block<A>> = Vec::with_capacity(1000);
        Box::new(move |units| {
            in_batches(units, 1000, || {
                timed(|| {
                    blocks.extend((0..1000).map(|_| Block::new(heap, const { bytes(64) })));
                    blocks.drain(..).for_each(drop);
                })
            });
        })
    }
}

fn batch<R: Rivals>() -> Row {
    Row {
        id: "arena-batch",
        unit: "pair",
        about: "1000 blocks of 64 B taken, then given back in the order of taking",
        arms: arms::<R>(Batch),
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
        let mut churn = move |units| {
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
        };
        if self.touched {
            // Until memory has been found for what is live at the same time.
            churn(4096);
        }
        Box::new(churn)
    }
}

const LARGE: Churn = Churn {
    live: 32,
    from_log2: 16,
    to_log2: 20,
    touched: true,
};

fn small_churn<R: Rivals>(id: &'static str, about: &'static str, live: usize) -> Row {
    let churn = Churn {
        live,
        from_log2: 4,
        to_log2: 12,
        touched: false,
    };
    Row {
        id,
        unit: "pair",
        about,
        arms: arms_in::<R>(INLINED, churn),
    }
}

fn large<R: Rivals>() -> Row {
    Row {
        id: "arena-large",
        unit: "pair",
        about: "random blocks of 64 KiB to 1 MiB replaced, 32 live, a byte of each page written",
        arms: arms_in::<R>(INLINED, LARGE),
    }
}

/// The churn of the row `arena-large`.
pub(crate) fn large_churn<A: Heap>(heap: A) -> Box<dyn FnMut(u64)> {
    LARGE.prepare(heap)
}

/// The same block again and again, its first and last byte written, or one of each page.
#[derive(Clone, Copy)]
struct Single<const N: usize> {
    touched: bool,
}

impl<const N: usize> Workload for Single<N> {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            for _ in 0..units {
                let mut block = Block::new(heap, const { bytes(N) });
                block.touch(if self.touched { 0 } else { N - 1 });
                drop(black_box(block));
            }
        })
    }
}

const TWENTY_MIB: usize = 20 << 20;

/// The pairs of the row `arena-20m`, a byte of each page written.
pub(crate) fn touched_20m<A: Heap>(heap: A) -> Box<dyn FnMut(u64)> {
    Single::<TWENTY_MIB> { touched: true }.prepare(heap)
}

fn one_of_20m<R: Rivals>() -> Row {
    Row {
        id: "arena-20m",
        unit: "pair",
        about: "a block of 20 MiB taken and given back, its first and last byte written",
        arms: arms::<R>(Single::<TWENTY_MIB> { touched: false }),
    }
}

/// From 64 B to 64 MiB.
const DOUBLINGS: u64 = 20;

#[derive(Clone, Copy)]
struct Doubling;

impl Workload for Doubling {
    fn prepare<A: Heap>(self, heap: A) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            in_batches(units, DOUBLINGS, || {
                timed(|| {
                    let mut block = Block::new(heap, bytes(64));
                    while block.layout.size() < 64 << 20 {
                        double(&mut block);
                    }
                })
            });
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

fn doubling<R: Rivals>() -> Row {
    Row {
        id: "arena-doubling",
        unit: "doubling",
        about: "a block doubled from 64 B to 64 MiB, a byte of each page written",
        arms: arms::<R>(Doubling),
    }
}
