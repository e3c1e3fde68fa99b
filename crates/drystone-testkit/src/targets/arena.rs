//! An arena with two caches, one of which comes and goes: blocks of every kind are freed through
//! either, resized, and freed wrongly.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::time::Duration;

use drystone_arena::{
    Arena, ArenaConfig, ArenaError, Checked, FreeError, Hardened, Profile, ThreadCache,
};
use drystone_core::{Allocator, NonZeroLayout};

use super::choose;

/// Steps of a program at most.
const STEPS_MAX: usize = 600;

/// Bytes of a block that are looked at, at either end.
const SEEN_MAX: usize = 4096;

/// The first byte chooses the profile and the configuration; each three after it are a step.
///
/// # Panics
///
/// If blocks overlap or change, a wrong free is taken, a right one is refused, or memory is lost.
pub fn target_arena(data: &[u8]) {
    let (choice, data) = choose(data);
    let config = ArenaConfig {
        arena_size: match choice / 2 % 3 {
            0 => ArenaConfig::UNLIMITED,
            1 => 1 << 20,
            _ => 12 << 20,
        },
        alignment: [1, 64][usize::from(choice / 8 % 2)],
        local_cache_target_bytes: [0, 256 << 10][usize::from(choice / 16 % 2)],
        refill_target_bytes: [1, 4 << 10][usize::from(choice / 32 % 2)],
        // At every look, or never: what a program does hangs on no clock.
        purge_delay: [Duration::ZERO, Duration::MAX][usize::from(choice / 64 % 2)],
    };
    if choice % 2 == 0 {
        run::<Checked>(config, data);
    } else {
        run::<Hardened>(config, data);
    }
}

fn run<P: Profile>(config: ArenaConfig, data: &[u8]) {
    let arena = Arena::<P>::with_profile(config).expect("a valid configuration");
    let other = Arena::<P>::with_profile(config).expect("a valid configuration");
    let mut other_cache = ThreadCache::new(config);
    let foreign = other
        .allocate_with_cache(&mut other_cache, layout(64, 8))
        .expect("memory for a test");
    let mut model = Model {
        caches: [ThreadCache::new(config), ThreadCache::new(config)],
        live: BTreeMap::new(),
        freed: BTreeMap::new(),
        of_other: foreign.cast(),
        config,
        arena,
        stamp: 0,
    };
    for step in data.chunks_exact(3).take(STEPS_MAX) {
        model.step(step[0], step[1], step[2]);
        model.check();
    }
    model.finish();
}

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("a valid layout")
}

/// A block that the program has.
#[derive(Clone, Copy)]
struct Block {
    start: NonNull<u8>,
    layout: NonZeroLayout,
    stamp: u8,
}

impl Block {
    /// The offsets that are stamped and compared: all of a small block, the ends of a large one.
    fn seen(size: usize) -> impl Iterator<Item = usize> {
        let end = size.min(SEEN_MAX);
        (0..end).chain(size.saturating_sub(SEEN_MAX).max(end)..size)
    }

    fn write(&self) {
        for offset in Self::seen(self.layout.size().get()) {
            // SAFETY: inside the block.
            let byte = unsafe { self.start.add(offset) };
            // SAFETY: the program's own byte.
            unsafe { byte.write(self.stamp) };
        }
    }

    fn check(&self, bytes: usize) {
        for offset in Self::seen(bytes) {
            // SAFETY: inside the block.
            let byte = unsafe { self.start.add(offset) };
            // SAFETY: the program's own byte, which it wrote.
            assert_eq!(unsafe { byte.read() }, self.stamp, "a block changed");
        }
    }

    fn address(&self) -> usize {
        self.start.addr().get()
    }
}

struct Model<P: Profile> {
    /// Dropped before the arena.
    caches: [ThreadCache; 2],
    live: BTreeMap<usize, Block>,
    /// Blocks that were freed, and of whose bytes none was handed out since.
    freed: BTreeMap<usize, Block>,
    of_other: NonNull<u8>,
    config: ArenaConfig,
    arena: Arena<P>,
    stamp: u8,
}

impl<P: Profile> Model<P> {
    fn step(&mut self, operation: u8, size: u8, choice: u8) {
        let cache = usize::from(operation / 128);
        match operation % 16 {
            0..6 => self.allocate(cache, wanted(size, choice)),
            6..10 => self.free(cache, choice),
            10 => self.resize(cache, size, choice),
            11 => self.free_wrongly(cache, size, choice),
            12 => self.free_again(cache, choice),
            13 => {
                let drained = self.arena.drain_thread_cache(&mut self.caches[cache]);
                assert_eq!(drained, Ok(()));
            }
            14 => self.caches[1] = ThreadCache::new(self.config),
            _ => drop(self.arena.trim()),
        }
    }

    fn allocate(&mut self, cache: usize, layout: NonZeroLayout) {
        let answer = self
            .arena
            .allocate_with_cache(&mut self.caches[cache], layout);
        match answer {
            Ok(block) => self.enter(block, layout),
            Err(ArenaError::OutOfMemory { requested, .. }) => {
                assert_eq!(requested, layout.size().get());
                let unlimited = self.config.arena_size == ArenaConfig::UNLIMITED;
                assert!(!unlimited, "refused without a limit");
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Writes down a block that was handed out.
    fn enter(&mut self, block: NonNull<[u8]>, layout: NonZeroLayout) {
        assert!(block.len() >= layout.size().get());
        let align = layout.align().get().max(self.config.alignment);
        assert!(block.addr().get().is_multiple_of(align));
        let (start, end) = (block.addr().get(), block.addr().get() + block.len());
        let before = self.live.range(..end).next_back();
        let overlaps = before.is_some_and(|(at, other)| at + other.layout.size().get() > start);
        assert!(!overlaps, "two blocks overlap");
        self.freed
            .retain(|at, old| at + old.layout.size().get() <= start || end <= *at);
        self.stamp = self.stamp.wrapping_add(1);
        let block = Block {
            start: block.cast(),
            layout,
            stamp: self.stamp,
        };
        block.write();
        self.live.insert(start, block);
    }

    /// Some live block.
    fn pick(&self, choice: u8) -> Option<Block> {
        let at = usize::from(choice) % self.live.len().max(1);
        self.live.values().nth(at).copied()
    }

    fn release(&mut self, cache: usize, start: NonNull<u8>, layout: NonZeroLayout) -> Freed {
        let cache = &mut self.caches[cache];
        // SAFETY: the program frees what it has, or what the arena has to find out.
        unsafe { self.arena.deallocate_with_cache(cache, start, layout) }
    }

    fn free(&mut self, cache: usize, choice: u8) {
        if let Some(block) = self.pick(choice) {
            block.check(block.layout.size().get());
            self.live.remove(&block.address());
            assert_eq!(self.release(cache, block.start, block.layout), Ok(()));
            self.freed.insert(block.address(), block);
        }
    }

    fn resize(&mut self, cache: usize, size: u8, choice: u8) {
        let Some(old) = self.pick(choice) else {
            return;
        };
        let (have, new) = (old.layout.size(), wanted(size, choice));
        let new = layout(new.size().get(), old.layout.align().get());
        let bound = self.arena.bind(&mut self.caches[cache]);
        let answer = if new.size() < have {
            // SAFETY: the block is live with this layout, and the other one is smaller.
            unsafe { bound.shrink(old.start, old.layout, new) }
        } else {
            // SAFETY: the block is live with this layout, and the other one is no smaller.
            unsafe { bound.grow(old.start, old.layout, new) }
        };
        let Ok(block) = answer else {
            old.check(have.get());
            return;
        };
        let moved = Block {
            start: block.cast(),
            ..old
        };
        // What lies behind the first part was not stamped where a large block became smaller.
        moved.check(have.get().min(new.size().get()).min(SEEN_MAX));
        self.live.remove(&old.address());
        if moved.start != old.start {
            self.freed.insert(old.address(), old);
        }
        self.enter(block, new);
    }

    /// Frees what is no block, or not so: an error, and nothing changes.
    fn free_wrongly(&mut self, cache: usize, size: u8, choice: u8) {
        let before = self.arena.stats().live_bytes;
        let mut own = 0u64;
        let foreign = self.release(cache, NonNull::from(&mut own).cast(), layout(8, 8));
        assert_eq!(foreign, Err(FreeError::ForeignPointer));
        let of_other = self.release(cache, self.of_other, layout(64, 8));
        assert_eq!(of_other, Err(FreeError::WrongArena));
        if let Some(block) = self.pick(choice) {
            let bytes = block.layout.size().get();
            let longer = layout(2 * bytes + (64 << 10), block.layout.align().get());
            let answer = self.release(cache, block.start, longer);
            assert!(matches!(answer, Err(FreeError::SizeMismatch { .. })));
            if bytes > 1 {
                // SAFETY: inside the block.
                let interior = unsafe { block.start.add(1 + usize::from(size) % (bytes - 1)) };
                // The bytes there say nothing of what is before them.
                let answer = self.release(cache, interior, block.layout);
                let found = [FreeError::Misaligned, FreeError::DoubleFree];
                assert!(answer.is_err_and(|error| found.contains(&error)));
            }
        }
        assert_eq!(self.arena.stats().live_bytes, before);
    }

    /// Frees a block once more: an error, whatever became of its memory.
    fn free_again(&mut self, cache: usize, choice: u8) {
        let at = usize::from(choice) % self.freed.len().max(1);
        if let Some(block) = self.freed.values().nth(at).copied() {
            let before = self.arena.stats().live_bytes;
            let answer = self.release(cache, block.start, block.layout);
            assert!(answer.is_err(), "a free block was freed");
            assert_eq!(self.arena.stats().live_bytes, before);
        }
    }

    fn check(&self) {
        let stats = self.arena.stats();
        let least: usize = self.live.values().map(|b| b.layout.size().get()).sum();
        assert!(stats.live_bytes >= least);
        assert!(stats.live_bytes + stats.cached_bytes <= stats.in_pages_bytes);
        assert!(stats.in_pages_bytes <= stats.mapped_bytes);
        assert!(stats.in_pages_bytes <= stats.limit_bytes);
        assert_eq!(
            stats.remaining_bytes,
            stats.limit_bytes - stats.in_pages_bytes
        );
    }

    fn finish(mut self) {
        for (number, block) in self.live.clone().into_values().enumerate() {
            block.check(block.layout.size().get());
            assert_eq!(self.release(number % 2, block.start, block.layout), Ok(()));
        }
        self.caches = [self.config; 2].map(ThreadCache::new);
        self.arena.trim();
        // What the caches' heaps had sent each other.
        self.arena.trim();
        let stats = self.arena.stats();
        assert_eq!(
            (stats.live_bytes, stats.cached_bytes, stats.in_pages_bytes),
            (0, 0, 0),
            "{stats}"
        );
        assert_eq!(stats.retained_bytes, 0, "{stats}");
    }
}

type Freed = Result<(), FreeError>;

/// A layout: small ones most often, some of each other kind.
fn wanted(size: u8, choice: u8) -> NonZeroLayout {
    let n = usize::from(size);
    let fine = usize::from(choice);
    let bytes = match choice % 8 {
        0..4 => n + 1,
        4 | 5 => n * 40 + 1,
        6 => n * 1100 + fine + 1,
        _ => n * 13_000 + 1,
    };
    let align = match choice / 8 % 8 {
        0..5 => 1 << (n % 5),
        5 => 1 << (n % 13),
        6 => 1 << (n % 17),
        _ => 1 << (n % 23),
    };
    layout(bytes, align)
}
