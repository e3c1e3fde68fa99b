//! Clean use: whatever is right is not found wrong.

use std::env;
use std::ptr::NonNull;

use drystone_backing::{HeapBacked, MmapBacked, System, page_size};
use drystone_core::{AbortOnMisuse, Allocator, Checked, NonZeroLayout, OnMisuse, SipHashMac};
use drystone_layout::{SizeClassed, Slab};
use drystone_testkit::kept;
use drystone_wrap::{Canary, GuardPages, PoisonOnFree, Quarantine};

use drystone::{Arena, ArenaConfig, GlobalArena, ThreadCache};

use crate::alone;
use drystone_testkit::Random;

/// How many blocks are live at most.
const LIVE_MAX: usize = 64;

/// A block that is filled with a byte of its own.
struct Block {
    ptr: NonNull<u8>,
    layout: NonZeroLayout,
    fill: u8,
}

impl Block {
    fn new<A: Allocator>(memory: &A, layout: NonZeroLayout, fill: u8) -> Option<Self> {
        let ptr = memory.allocate(layout).ok()?.cast();
        let block = Self { ptr, layout, fill };
        block.write();
        Some(block)
    }

    fn bytes(&self) -> usize {
        self.layout.size().get()
    }

    fn write(&self) {
        // SAFETY: the block is live and as long.
        unsafe { self.ptr.write_bytes(self.fill, self.bytes()) };
    }

    /// Whether the first `bytes` are as they were written.
    fn is_intact(&self, bytes: usize) -> bool {
        // SAFETY: the block is live, at least as long, and was written.
        let written = unsafe { NonNull::slice_from_raw_parts(self.ptr, bytes).as_ref() };
        written.iter().all(|byte| *byte == self.fill)
    }

    /// Another size, and the same alignment.
    fn resize<A: Allocator>(&mut self, memory: &A, layout: NonZeroLayout) {
        let layout = NonZeroLayout::from_size_align(layout.size().get(), self.layout.align().get())
            .expect("a small layout");
        let kept = self.bytes().min(layout.size().get());
        let resized = if layout.size() >= self.layout.size() {
            // SAFETY: the block is live with its layout.
            unsafe { memory.grow(self.ptr, self.layout, layout) }
        } else {
            // SAFETY: as above.
            unsafe { memory.shrink(self.ptr, self.layout, layout) }
        };
        if let Ok(block) = resized {
            (self.ptr, self.layout) = (block.cast(), layout);
            assert!(self.is_intact(kept));
            self.write();
        }
    }

    fn free<A: Allocator>(self, memory: &A) {
        assert!(self.is_intact(self.bytes()));
        // SAFETY: the block is live with its layout, and is not used afterwards.
        unsafe { memory.deallocate(self.ptr, self.layout) };
    }
}

/// As many operations as the environment says, or `default`.
fn operations(default: usize) -> usize {
    let said = env::var("DRYSTONE_CLEAN_OPERATIONS").ok();
    said.map_or(default, |text| text.parse().expect("a number"))
}

/// Allocates, resizes and frees at random. The allocator has a policy that ends the process: a false alarm
/// cannot be missed.
fn use_well<A: Allocator>(memory: &A, size_max: usize, operations: usize) {
    let _alone = alone();
    let mut random = Random::new(size_max as u64);
    let mut live: Vec<Block> = Vec::new();
    for step in 0..operations {
        let layout = random.layout(size_max);
        let picked = random.below(LIVE_MAX);
        match random.below(4) {
            0 if picked < live.len() => live[picked].resize(memory, layout),
            1 | 2 if picked < live.len() => live.swap_remove(picked).free(memory),
            _ if live.len() < LIVE_MAX => live.extend(Block::new(memory, layout, step as u8)),
            _ => {}
        }
    }
    for block in live {
        block.free(memory);
    }
    assert_eq!(memory.corruption_events(), 0);
}

fn classes() -> SizeClassed<HeapBacked, 6> {
    let range = HeapBacked::new(1 << 20).expect("memory for a test");
    SizeClassed::with_class_sizes(range, [64, 128, 256, 512, 1024, 2048], 128).expect("room")
}

type Slot = [u64; 16];

#[test]
fn canary() {
    use_well(&Canary::new(classes()), 500, operations(200_000));
}

#[test]
fn quarantine() {
    use_well(
        &Quarantine::<_, 32>::new(classes()),
        500,
        operations(200_000),
    );
}

#[test]
fn all_that_touch_bytes_over_the_system() {
    let memory = Canary::new(Quarantine::<_, 32>::new(PoisonOnFree::new(System)));
    use_well(&memory, 2000, operations(200_000));
}

#[test]
fn a_checked_slab() {
    let range = HeapBacked::new(64 << 10).expect("memory for a test");
    let protection = OnMisuse::new(Checked, AbortOnMisuse);
    let slab = Slab::<Slot, _, _>::with_protection(100, range, protection).expect("room");
    use_well(&slab, 128, operations(200_000));
}

#[test]
fn a_keyed_slab() {
    let range = HeapBacked::new(64 << 10).expect("memory for a test");
    let protection = OnMisuse::new(SipHashMac::new(), AbortOnMisuse);
    let slab = Slab::<Slot, _, _>::with_protection(100, range, protection).expect("room");
    use_well(&slab, 128, operations(200_000));
}

#[test]
fn a_checked_arena() {
    use_well(&GlobalArena::<Checked>::new(), 5000, operations(200_000));
    let config = ArenaConfig::default();
    let arena = kept(Arena::<Checked>::new(config).expect("a valid configuration"));
    use_well(
        &arena.bind(kept(ThreadCache::new(config))),
        5000,
        operations(200_000),
    );
}

/// A hundredth: each operation asks the system two or three times.
#[test]
fn guard_pages() {
    let slot = 8 * page_size();
    let pages = MmapBacked::new(80 * slot).expect("memory for a test");
    let classes = SizeClassed::with_class_sizes(pages, [slot], 72).expect("room");
    use_well(&GuardPages::new(classes), 5000, operations(200_000) / 100);
}
