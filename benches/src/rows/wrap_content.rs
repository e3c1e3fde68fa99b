//! What the wrappers that touch a block's bytes cost, beside the same slab without them, and how fast
//! they wipe, beside `memset`.

use std::hint::black_box;
use std::ptr::{self, NonNull};

use drystone_backing::HeapBacked;
use drystone_core::{Allocator, FixedRange, NonZeroLayout};
use drystone_layout::Slab;
use drystone_wrap::{Canary, Off, PoisonOnFree, Quarantine, ZeroizeOnFree};
use zeroize::Zeroize;

use super::slab::{Churn, HotPair, SLOTS, Workload};
use crate::blocks::Drystone;
use crate::{Arm, Kind, Row};

/// A slot with room for an object and the words of a canary.
type Wide = [u64; 11];

/// One object taken and given back, again and again.
pub(crate) fn hot_pair() -> Row {
    Row {
        id: "wrap-content-hot",
        unit: "pair",
        about: "one 64-byte object in a slot of 88 taken and given back, under each wrapper",
        arms: arms(HotPair),
    }
}

/// Random objects replaced in bursts while half of the slots are live.
pub(crate) fn churn_at_half_full() -> Row {
    Row {
        id: "wrap-content-churn",
        unit: "pair",
        about: "2048 of 4096 live; bursts of 1 to 32 random objects given back, then as many taken",
        arms: arms(Churn),
    }
}

/// Every wrapper, prepared for `workload`.
fn arms<W: Workload>(workload: W) -> Vec<Arm> {
    let arm = |name, kind, run| Arm { name, kind, run };
    vec![
        arm("Slab", Kind::Ours, workload.prepare(Drystone(slab()))),
        arm(
            "Slab again",
            Kind::Control,
            workload.prepare(Drystone(slab())),
        ),
        arm(
            "Canary, off",
            Kind::Ours,
            workload.prepare(Drystone(Canary::with_switch(slab(), Off))),
        ),
        arm(
            "Canary",
            Kind::Ours,
            workload.prepare(Drystone(Canary::new(slab()))),
        ),
        arm(
            "PoisonOnFree",
            Kind::Ours,
            workload.prepare(Drystone(PoisonOnFree::new(slab()))),
        ),
        arm(
            "ZeroizeOnFree",
            Kind::Ours,
            workload.prepare(Drystone(ZeroizeOnFree::new(slab()))),
        ),
        arm(
            "Quarantine of 64",
            Kind::Ours,
            workload.prepare(Drystone(Quarantine::<_, 64>::new(slab()))),
        ),
        arm(
            "Canary, Quarantine of 64, PoisonOnFree",
            Kind::Ours,
            workload.prepare(Drystone(Canary::new(Quarantine::<_, 64>::new(
                PoisonOnFree::new(slab()),
            )))),
        ),
    ]
}

fn slab() -> Slab<Wide, HeapBacked> {
    let memory = HeapBacked::new(SLOTS * size_of::<Wide>()).expect("less than 1 MiB of heap");
    Slab::new(SLOTS, memory).expect("the range holds the slots")
}

/// A block of 4 KiB taken and wiped.
pub(crate) fn wipe_4k() -> Row {
    wipe::<4096>(
        "wrap-wipe-4k",
        "a block of 4 KiB taken and given back, which wipes it",
    )
}

/// A block of 64 KiB taken and wiped.
pub(crate) fn wipe_64k() -> Row {
    wipe::<{ 64 << 10 }>(
        "wrap-wipe-64k",
        "a block of 64 KiB taken and given back, which wipes it",
    )
}

/// A block of 4 MiB taken and wiped.
pub(crate) fn wipe_4m() -> Row {
    wipe::<{ 4 << 20 }>(
        "wrap-wipe-4m",
        "a block of 4 MiB taken and given back, which wipes it",
    )
}

fn wipe<const BYTES: usize>(id: &'static str, about: &'static str) -> Row {
    let pages = |count| HeapBacked::with_align(count * BYTES, 4096).expect("a few MiB of heap");
    let slab = || Slab::<[u8; BYTES], _>::new(2, pages(2)).expect("two slots");
    let arms = vec![
        pair(
            "ZeroizeOnFree",
            Kind::Ours,
            ZeroizeOnFree::new(slab()),
            BYTES,
        ),
        pair(
            "ZeroizeOnFree again",
            Kind::Control,
            ZeroizeOnFree::new(slab()),
            BYTES,
        ),
        pair("PoisonOnFree", Kind::Ours, PoisonOnFree::new(slab()), BYTES),
        pair(
            "Quarantine of 1",
            Kind::Ours,
            Quarantine::<_, 1>::new(slab()),
            BYTES,
        ),
        over("memset", Kind::Limit, pages(1), |bytes| {
            // SAFETY: the reference is valid for writes of its whole length.
            unsafe { ptr::write_bytes(bytes.as_mut_ptr(), 0, bytes.len()) };
        }),
        over(
            "zeroize of a slice of bytes",
            Kind::Rival,
            pages(1),
            Zeroize::zeroize,
        ),
    ];
    Row {
        id,
        unit: "block",
        about,
        arms,
    }
}

/// A block of `bytes` taken and given back.
fn pair<A>(name: &'static str, kind: Kind, memory: A, bytes: usize) -> Arm
where
    A: Allocator + 'static,
{
    let layout = NonZeroLayout::from_size_align(bytes, 1).expect("a few MiB");
    Arm::new(name, kind, move |units| {
        for _ in 0..units {
            let memory = black_box(&memory);
            let block = memory.allocate(layout).expect("one of two").cast();
            let block = black_box(block);
            // SAFETY: the block was just handed out for this layout.
            unsafe { memory.deallocate(block, layout) };
        }
    })
}

/// The bytes of a range overwritten by `wipe`, and nothing else.
fn over(
    name: &'static str,
    kind: Kind,
    range: HeapBacked,
    wipe: impl Fn(&mut [u8]) + 'static,
) -> Arm {
    // SAFETY: the range is writable.
    unsafe { range.base().write_bytes(1, range.size()) };
    Arm::new(name, kind, move |units| {
        for _ in 0..units {
            let mut bytes = NonNull::slice_from_raw_parts(black_box(range.base()), range.size());
            // SAFETY: the range is this arm's alone, and initialised.
            wipe(black_box(unsafe { bytes.as_mut() }));
            black_box(bytes);
        }
    })
}
