//! Every call to the operating system fails once, one after another, and with all that follow: the
//! arena answers that it has no memory, loses nothing, and serves again afterwards.
#![cfg(not(miri))] // Runs the same script some thousand times.

use std::ptr::NonNull;
use std::time::Duration;

use drystone_arena::{
    Arena, ArenaConfig, ArenaError, ArenaStats, Checked, Fast, Hardened, Profile, ThreadCache,
};
use drystone_backing::fault_os::{FaultOs, OsCall};
use drystone_core::{Allocator, NonZeroLayout};

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

fn config() -> ArenaConfig {
    ArenaConfig {
        // Memory goes back when the script says so, whatever the time is.
        purge_delay: Duration::MAX,
        ..ArenaConfig::default()
    }
}

/// A block with its layout and what its first and last byte are.
struct Block {
    start: NonNull<u8>,
    layout: NonZeroLayout,
    mark: u8,
}

impl Block {
    fn new(start: NonNull<u8>, layout: NonZeroLayout, mark: u8) -> Self {
        let block = Self {
            start,
            layout,
            mark,
        };
        for byte in block.ends() {
            // SAFETY: the block's own byte.
            unsafe { byte.write(mark) };
        }
        block
    }

    fn ends(&self) -> [NonNull<u8>; 2] {
        // SAFETY: inside the block.
        let last = unsafe { self.start.add(self.layout.size().get() - 1) };
        [self.start, last]
    }

    fn check(&self) {
        for byte in self.ends() {
            // SAFETY: the block's own byte.
            assert_eq!(unsafe { byte.read() }, self.mark);
        }
    }
}

/// The sizes of the script: pages of several classes, runs, and mappings of their own, for several
/// segments in all.
const SIZES: [(usize, usize); 8] = [
    (64, 1100),
    (1000, 70),
    (9000, 20),
    (100_000, 8),
    (300_000, 8),
    (2 << 20, 3),
    (3 << 20, 2),
    (5 << 20, 1),
];

/// How many blocks the script asks for.
fn requests() -> u64 {
    let first: usize = SIZES.iter().map(|(_, count)| count).sum();
    let second: usize = SIZES.iter().map(|(_, count)| count / 2).sum();
    (first + second) as u64
}

/// Allocates, grows, frees half, gives memory back, allocates again, and frees the rest. How many
/// requests were refused.
fn script<P: Profile>(arena: &Arena<P>) -> usize {
    let mut refused = 0;
    let mut cache = ThreadCache::new(config());
    let mut live = Vec::new();
    let mut allocate =
        |cache: &mut ThreadCache, live: &mut Vec<Block>, size: usize, mark: u8| match arena
            .allocate_with_cache(cache, layout(size))
        {
            Ok(block) => live.push(Block::new(block.cast(), layout(size), mark)),
            Err(ArenaError::OutOfMemory { requested, .. }) => {
                assert_eq!(requested, size);
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        };
    for (mark, (size, count)) in SIZES.into_iter().enumerate() {
        for _ in 0..count {
            allocate(&mut cache, &mut live, size, mark as u8);
        }
    }
    let free = |cache: &mut ThreadCache, block: Block| {
        block.check();
        // SAFETY: live, of this layout, and not used again.
        let freed = unsafe { arena.deallocate_with_cache(cache, block.start, block.layout) };
        assert_eq!(freed, Ok(()));
    };
    for n in (0..live.len()).rev().step_by(2) {
        let block = live.swap_remove(n);
        free(&mut cache, block);
    }
    arena
        .drain_thread_cache(&mut cache)
        .expect("the cache's own arena");
    arena.trim();
    for (mark, (size, count)) in SIZES.into_iter().enumerate() {
        for _ in 0..count / 2 {
            allocate(&mut cache, &mut live, size, mark as u8);
        }
    }
    for block in &mut live {
        refused += usize::from(!grow(arena, &mut cache, block));
    }
    // What else may be asked of the system; it may refuse.
    let _advised = arena.advise_huge_pages();
    for block in live {
        free(&mut cache, block);
    }
    arena
        .drain_thread_cache(&mut cache)
        .expect("the cache's own arena");
    refused
}

/// Makes a large block half as large again. Whether there was memory.
fn grow<P: Profile>(arena: &Arena<P>, cache: &mut ThreadCache, block: &mut Block) -> bool {
    let old = block.layout;
    if old.size().get() < 300_000 {
        return true;
    }
    let new = layout(old.size().get() / 2 * 3);
    let bound = arena.bind(cache);
    // SAFETY: live, of the layout `old`, and the other one is larger.
    let Ok(grown) = (unsafe { bound.grow(block.start, old, new) }) else {
        block.check();
        return false;
    };
    block.start = grown.cast();
    block.check();
    *block = Block::new(grown.cast(), new, block.mark);
    true
}

/// What is left when everything was freed and given back.
fn settled<P: Profile>(arena: &Arena<P>) -> ArenaStats {
    // What earlier calls could not give back.
    arena.trim();
    arena.stats()
}

fn nothing_is_lost<P: Profile>(expected: &[OsCall]) {
    let whole = Arena::<P>::with_profile(config()).expect("valid");
    assert_eq!(script(&whole), 0);
    let most_mapped = settled(&whole).mapped_bytes;
    for call in expected {
        let counted = FaultOs::fail_nth(u64::MAX).only(*call);
        script(&whole);
        assert!(counted.calls() > 0, "the script makes no call of {call:?}");
    }
    let mut hit = 0;
    for fail in [FaultOs::fail_nth, FaultOs::fail_from] {
        for n in 1.. {
            let arena = Arena::<P>::with_profile(config()).expect("valid");
            let faults = fail(n);
            let refused = script(&arena);
            let failed = faults.faults();
            // A request asks twice: for many segments, then for one.
            let most = 2 * requests() + 200;
            assert!(
                faults.calls() < most,
                "a script of {} calls",
                faults.calls()
            );
            drop(faults);
            assert!(
                failed > 0 || refused == 0,
                "refused although no call failed"
            );
            let stats = settled(&arena);
            assert_eq!(
                (stats.live_bytes, stats.cached_bytes, stats.in_pages_bytes),
                (0, 0, 0),
                "call {n}: {stats}"
            );
            assert_eq!(stats.retained_bytes, 0, "call {n}: {stats}");
            assert!(stats.mapped_bytes <= most_mapped, "call {n}: {stats}");
            assert_eq!(script(&arena), 0, "refuses after healing, call {n}");
            if failed == 0 {
                break;
            }
            hit += 1;
        }
    }
    println!("{hit} calls failed");
    assert!(hit >= 20, "{hit}");
}

/// A segment is closed at once, a page or run is opened and closed once each; its guard, closed with the
/// segment, costs nothing.
#[test]
fn access_changes_twice_for_a_run() {
    let arena = Arena::<Hardened>::with_profile(config()).expect("valid");
    let counted = FaultOs::fail_nth(u64::MAX).only(OsCall::Protect);
    let mut cache = ThreadCache::new(config());
    let segment_bytes = 4 << 20;
    let allocate = |cache: &mut ThreadCache| {
        let block = arena.allocate_with_cache(cache, layout(300_000));
        block.expect("there is memory").cast()
    };
    let first = allocate(&mut cache);
    let segments = arena.stats().mapped_bytes as u64 / segment_bytes;
    assert_eq!(counted.calls(), segments + 1, "of {segments} segments");
    let more: Vec<_> = (0..5).map(|_| allocate(&mut cache)).collect();
    assert_eq!(counted.calls(), segments + 6, "one more for each");
    for block in more.into_iter().chain([first]) {
        // SAFETY: live, of this layout, and not used again.
        let freed = unsafe { arena.deallocate_with_cache(&mut cache, block, layout(300_000)) };
        assert_eq!(freed, Ok(()));
    }
    assert_eq!(counted.calls(), segments + 12, "and one when it is freed");
    drop(counted);
    arena
        .drain_thread_cache(&mut cache)
        .expect("the cache's own arena");
}

const CALLS: [OsCall; 4] = [OsCall::Map, OsCall::Release, OsCall::Move, OsCall::Advise];

#[test]
fn nothing_is_lost_under_fast() {
    nothing_is_lost::<Fast>(&CALLS);
}

#[test]
fn nothing_is_lost_under_checked() {
    nothing_is_lost::<Checked>(&CALLS);
}

#[test]
fn nothing_is_lost_under_hardened() {
    nothing_is_lost::<Hardened>(&[
        OsCall::Map,
        OsCall::Release,
        OsCall::Move,
        OsCall::Advise,
        OsCall::Protect,
    ]);
}
