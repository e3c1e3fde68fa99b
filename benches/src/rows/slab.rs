//! 64-byte objects, 4096 slots: the hot pair, fill and free in order, churn at half full.

use std::hint::black_box;

use drystone_backing::{HeapBacked, MmapBacked};
use drystone_core::CachePadded;
use drystone_layout::{SizeClassed, Slab};

use crate::blocks::{Blocks, Drystone, General, Keyed, Lifo, Object};
use crate::harness::Random;
use crate::{Arm, Kind, Row};

/// Slots of each contestant.
pub(super) const SLOTS: usize = 4096;

/// The most objects that a burst of the churn row replaces.
const BURST_MAX: usize = 32;

/// One object taken and given back, again and again.
pub(crate) fn hot_pair() -> Row {
    Row {
        id: "slab-hot",
        unit: "pair",
        about: "one 64-byte object taken and given back, again and again",
        arms: arms(HotPair),
    }
}

/// All slots taken, then all given back in the order of taking.
pub(crate) fn fill_and_free_in_order() -> Row {
    Row {
        id: "slab-fifo",
        unit: "pair",
        about: "4096 objects of 64 bytes taken, then given back in the same order",
        arms: arms(FillFifo),
    }
}

/// Random objects replaced in bursts while half of the slots are live.
pub(crate) fn churn_at_half_full() -> Row {
    Row {
        id: "slab-churn",
        unit: "pair",
        about: "2048 of 4096 live; bursts of 1 to 32 random objects given back, then as many taken",
        arms: arms(Churn),
    }
}

/// A workload over any contestant.
pub(super) trait Workload: Copy + 'static {
    fn prepare<B: Blocks + 'static>(self, blocks: B) -> Box<dyn FnMut(u64)>;
}

#[derive(Clone, Copy)]
pub(super) struct HotPair;

impl Workload for HotPair {
    fn prepare<B: Blocks + 'static>(self, blocks: B) -> Box<dyn FnMut(u64)> {
        let mut blocks = apart(blocks);
        Box::new(move |units| {
            let blocks = &mut **blocks;
            for _ in 0..units {
                let token = black_box(black_box(&mut *blocks).take());
                black_box(&mut *blocks).give(token);
            }
        })
    }
}

#[derive(Clone, Copy)]
pub(super) struct FillFifo;

impl Workload for FillFifo {
    fn prepare<B: Blocks + 'static>(self, blocks: B) -> Box<dyn FnMut(u64)> {
        let mut blocks = apart(blocks);
        let mut tokens: Vec<B::Token> = (0..SLOTS).map(|_| blocks.take()).collect();
        tokens.iter().for_each(|&token| blocks.give(token));
        Box::new(move |units| {
            let blocks = &mut **blocks;
            for _ in 0..units.div_ceil(SLOTS as u64) {
                for token in &mut tokens {
                    *token = black_box(black_box(&mut *blocks).take());
                }
                for &token in &tokens {
                    black_box(&mut *blocks).give(black_box(token));
                }
            }
        })
    }
}

#[derive(Clone, Copy)]
pub(super) struct Churn;

impl Workload for Churn {
    fn prepare<B: Blocks + 'static>(self, blocks: B) -> Box<dyn FnMut(u64)> {
        let mut blocks = apart(blocks);
        let mut random = Random::new(7);
        let mut live: Vec<B::Token> = (0..SLOTS / 2).map(|_| blocks.take()).collect();
        // Drawn beforehand, so that the row times the contestant and not the generator. A burst is
        // a window of the order, so that it names no object twice.
        let mut order: Vec<u16> = (0..(SLOTS / 2) as u16).collect();
        random.shuffle(&mut order);
        let bursts: Vec<usize> = (0..1024).map(|_| 1 + random.below(BURST_MAX)).collect();
        let (mut burst, mut window) = (0, 0);
        Box::new(move |units| {
            let blocks = &mut **blocks;
            let mut done = 0;
            while done < units {
                let count = bursts[burst];
                burst = (burst + 1) % bursts.len();
                if window + count > order.len() {
                    window = 0;
                }
                let victims = &order[window..window + count];
                window += count;
                for &victim in victims {
                    black_box(&mut *blocks).give(live[usize::from(victim)]);
                }
                for &victim in victims {
                    live[usize::from(victim)] = black_box(black_box(&mut *blocks).take());
                }
                done += count as u64;
            }
        })
    }
}

/// The contestant on cache lines of its own, away from what the harness writes.
fn apart<B: Blocks>(blocks: B) -> Box<CachePadded<B>> {
    Box::new(CachePadded::new(blocks))
}

fn heap_slab() -> Drystone<Slab<Object, HeapBacked>> {
    let memory = HeapBacked::new(SLOTS * size_of::<Object>()).expect("256 KiB of heap");
    Drystone(Slab::new(SLOTS, memory).expect("the range holds the slots"))
}

/// Every contestant, prepared for `workload`.
fn arms<W: Workload>(workload: W) -> Vec<Arm> {
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add(
        "hand-written LIFO",
        Kind::Limit,
        workload.prepare(Lifo::new(SLOTS)),
    );
    add("drystone Slab", Kind::Ours, workload.prepare(heap_slab()));
    add(
        "drystone Slab again",
        Kind::Control,
        workload.prepare(heap_slab()),
    );
    add(
        "drystone Slab, mmap",
        Kind::Ours,
        workload.prepare(mmap_slab()),
    );
    add(
        "drystone SizeClassed",
        Kind::Ours,
        workload.prepare(size_classed()),
    );
    add(
        "slab",
        Kind::Rival,
        workload.prepare(Keyed(slab::Slab::with_capacity(SLOTS))),
    );
    add(
        "system malloc",
        Kind::Rival,
        workload.prepare(General(std::alloc::System)),
    );
    #[cfg(feature = "mimalloc")]
    add(
        "mimalloc 2",
        Kind::Rival,
        workload.prepare(General(crate::blocks::MimallocTuned)),
    );
    #[cfg(feature = "rivals")]
    add(
        "snmalloc",
        Kind::Rival,
        workload.prepare(General(snmalloc_rs::SnMalloc)),
    );
    #[cfg(feature = "rivals")]
    add(
        "jemalloc",
        Kind::Rival,
        workload.prepare(General(tikv_jemallocator::Jemalloc)),
    );
    arms
}

fn mmap_slab() -> Drystone<Slab<Object, MmapBacked>> {
    let memory = MmapBacked::new(SLOTS * size_of::<Object>()).expect("256 KiB can be mapped");
    Drystone(Slab::new(SLOTS, memory).expect("the range holds the slots"))
}

fn size_classed() -> impl Blocks {
    let memory = MmapBacked::new(1 << 20).expect("1 MiB can be mapped");
    Drystone(SizeClassed::with_default_classes(memory).expect("the range holds the classes"))
}
