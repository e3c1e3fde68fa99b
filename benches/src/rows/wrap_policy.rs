//! What the policy wrappers cost around a slab: the hot pair, with the bare slab as the first.

use drystone_backing::{HeapBacked, MmapBacked, System};
use drystone_core::Allocator;
use drystone_layout::Slab;
use drystone_wrap::{
    Budget, Faulty, GuardPages, Locked, NeverFail, Off, Segregate, Statistics, Tagged, Watermark,
    WatermarkHandler, WithFallback,
};

use super::slab::{HotPair, SLOTS, Workload};
use crate::blocks::{Drystone, Object};
use crate::{Arm, Kind, Row};

/// One object taken and given back, again and again, through each wrapper.
pub(crate) fn hot_pair() -> Row {
    Row {
        id: "wrap-policy",
        unit: "pair",
        about: "one 64-byte object taken and given back, through one wrapper around a slab",
        arms: vec![
            arm("Slab", Kind::Ours, slab()),
            arm("Slab again", Kind::Control, slab()),
            arm(
                "WithFallback",
                Kind::Ours,
                WithFallback::new(slab(), System),
            ),
            arm("Segregate", Kind::Ours, Segregate::new(slab(), System, 64)),
            arm("Faulty", Kind::Ours, Faulty::new(slab(), NeverFail)),
            arm("Statistics", Kind::Ours, Statistics::new(slab())),
            arm("Tagged", Kind::Ours, Tagged::new(slab(), "row")),
            arm("Budget", Kind::Ours, Budget::new(slab(), 1 << 20)),
            arm(
                "Budget off",
                Kind::Ours,
                Budget::with_switch(slab(), 0, Off),
            ),
            arm("Watermark", Kind::Ours, Watermark::new(slab(), Deaf)),
            arm("Locked", Kind::Ours, Locked::new(slab())),
            arm("GuardPages", Kind::Ours, GuardPages::new(slab_of_pages())),
        ],
    }
}

/// Hears nothing.
struct Deaf;

impl WatermarkHandler for Deaf {}

fn slab() -> Slab<Object, HeapBacked> {
    let memory = HeapBacked::new(SLOTS * size_of::<Object>()).expect("the heap has room");
    Slab::new(SLOTS, memory).expect("the range fits the slots")
}

/// Room for a block between two guards.
#[repr(align(4096))]
struct Pages {
    _bytes: [u8; 12 << 10],
}

fn slab_of_pages() -> Slab<Pages, MmapBacked> {
    let pages = MmapBacked::new(64 * size_of::<Pages>()).expect("address space");
    Slab::new(64, pages).expect("the range fits the slots")
}

fn arm<A: Allocator + 'static>(name: &'static str, kind: Kind, allocator: A) -> Arm {
    Arm {
        name,
        kind,
        run: HotPair.prepare(Drystone(allocator)),
    }
}
