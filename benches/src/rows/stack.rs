//! A stack of 64-byte objects: the pair, and 64 taken and given back in reverse order.

use std::hint::black_box;

use drystone_backing::HeapBacked;
use drystone_core::CachePadded;
use drystone_layout::{BumpArena, Slab, StackAlloc};

use crate::blocks::{Blocks, Drystone, Lifo, Object};
use crate::{Arm, Kind, Row};

/// Objects that are live at once in the deep row.
const DEPTH: usize = 64;

/// Memory of each contestant.
const BYTES: usize = 16 << 10;

/// One object taken and given back, again and again.
pub(crate) fn pair() -> Row {
    Row {
        id: "stack-pair",
        unit: "pair",
        about: "one 64-byte object taken and given back, again and again",
        arms: arms(1),
    }
}

/// 64 objects taken, then given back in reverse order.
pub(crate) fn deep() -> Row {
    Row {
        id: "stack-64",
        unit: "pair",
        about: "64 objects of 64 bytes taken, then given back in reverse order",
        arms: arms(DEPTH),
    }
}

fn arms(depth: usize) -> Vec<Arm> {
    let memory = || HeapBacked::with_align(BYTES, 64).expect("16 KiB of heap");
    let stack = || Drystone(StackAlloc::new(memory()));
    let slab = Slab::<Object, _>::new(DEPTH, memory()).expect("the range holds the slots");
    vec![
        Arm::new(
            "hand-written LIFO",
            Kind::Limit,
            lifo(Lifo::new(DEPTH), depth),
        ),
        Arm::new("drystone StackAlloc", Kind::Ours, lifo(stack(), depth)),
        Arm::new(
            "drystone StackAlloc again",
            Kind::Control,
            lifo(stack(), depth),
        ),
        Arm::new(
            "drystone BumpArena",
            Kind::Ours,
            lifo(Drystone(BumpArena::new(memory())), depth),
        ),
        Arm::new("drystone Slab", Kind::Ours, lifo(Drystone(slab), depth)),
        Arm::new(
            "system malloc",
            Kind::Rival,
            lifo(crate::blocks::General(std::alloc::System), depth),
        ),
        #[cfg(feature = "mimalloc")]
        Arm::new(
            "mimalloc 2",
            Kind::Rival,
            lifo(crate::blocks::General(crate::blocks::MimallocTuned), depth),
        ),
        #[cfg(feature = "rivals")]
        Arm::new(
            "snmalloc",
            Kind::Rival,
            lifo(crate::blocks::General(snmalloc_rs::SnMalloc), depth),
        ),
    ]
}

fn lifo<B: Blocks + 'static>(blocks: B, depth: usize) -> impl FnMut(u64) {
    let mut blocks = Box::new(CachePadded::new(blocks));
    let mut tokens: Vec<B::Token> = Vec::with_capacity(depth);
    move |units| {
        let blocks = &mut **blocks;
        for _ in 0..units.div_ceil(depth as u64) {
            for _ in 0..depth {
                tokens.push(black_box(black_box(&mut *blocks).take()));
            }
            while let Some(token) = tokens.pop() {
                black_box(&mut *blocks).give(token);
            }
        }
    }
}
