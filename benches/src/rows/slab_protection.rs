//! What the protections of a slab cost: the rows of `slab`, with the plain slab as the first.

use std::cell::Cell;
use std::ptr::NonNull;

use drystone_backing::HeapBacked;
use drystone_core::{Checked, FixedRange, FreeLink, FreelistProtection, NoProtection, SipHashMac};
use drystone_layout::Slab;

use super::slab::{Churn, FillFifo, HotPair, SLOTS, Workload};
use crate::blocks::{Blocks, Drystone, Object, touch};
use crate::{Arm, Kind, Row};

/// One object taken and given back, again and again.
pub(crate) fn hot_pair() -> Row {
    Row {
        id: "slab-protection-hot",
        unit: "pair",
        about: "one 64-byte object taken and given back, under each protection",
        arms: arms(HotPair),
    }
}

/// All slots taken, then all given back in the order of taking.
pub(crate) fn fill_and_free_in_order() -> Row {
    Row {
        id: "slab-protection-fifo",
        unit: "pair",
        about: "4096 objects of 64 bytes taken, then given back in the same order",
        arms: arms(FillFifo),
    }
}

/// Random objects replaced in bursts while half of the slots are live.
pub(crate) fn churn_at_half_full() -> Row {
    Row {
        id: "slab-protection-churn",
        unit: "pair",
        about: "2048 of 4096 live; bursts of 1 to 32 random objects given back, then as many taken",
        arms: arms(Churn),
    }
}

/// Every contestant, prepared for `workload`.
fn arms<W: Workload>(workload: W) -> Vec<Arm> {
    vec![
        Arm {
            name: "NoProtection",
            kind: Kind::Ours,
            run: workload.prepare(slab(NoProtection)),
        },
        Arm {
            name: "NoProtection again",
            kind: Kind::Control,
            run: workload.prepare(slab(NoProtection)),
        },
        Arm {
            name: "Checked",
            kind: Kind::Ours,
            run: workload.prepare(slab(Checked)),
        },
        Arm {
            name: "a tag of two operations",
            kind: Kind::Ours,
            run: workload.prepare(slab(Mixed)),
        },
        Arm {
            name: "SipHashMac",
            kind: Kind::Ours,
            run: workload.prepare(slab(SipHashMac::new())),
        },
        Arm {
            name: "hand-written, a byte a slot",
            kind: Kind::Limit,
            run: workload.prepare(HandWritten::<Bytes>::new()),
        },
        Arm {
            name: "hand-written, a bit a slot",
            kind: Kind::Limit,
            run: workload.prepare(HandWritten::<Bits>::new()),
        },
    ]
}

fn slab<M: FreelistProtection>(protection: M) -> Drystone<Slab<Object, HeapBacked, M>> {
    let bytes = Slab::<Object, (), M>::bytes_for(SLOTS).expect("a few slots");
    let memory = HeapBacked::new(bytes).expect("less than 1 MiB of heap");
    let slab = Slab::with_protection(SLOTS, memory, protection);
    Drystone(slab.expect("the range holds the slots"))
}

/// Tags alone, made by next to nothing: what the path with tags costs without a hash.
struct Mixed;

impl FreelistProtection for Mixed {
    const TAGGED: bool = true;

    #[inline]
    fn tag(&self, link: FreeLink) -> u32 {
        link.slot ^ link.next.unwrap_or(u32::MAX)
    }
}

/// Which of the slots are live.
trait Occupancy {
    fn new() -> Self;
    fn is_live(&self, index: usize) -> bool;
    fn set(&self, index: usize, live: bool);
}

/// A byte for each slot: a mark is a store.
struct Bytes(Box<[Cell<bool>]>);

impl Occupancy for Bytes {
    fn new() -> Self {
        Self((0..SLOTS).map(|_| Cell::new(false)).collect())
    }

    #[inline(always)]
    fn is_live(&self, index: usize) -> bool {
        self.0[index].get()
    }

    #[inline(always)]
    fn set(&self, index: usize, live: bool) {
        self.0[index].set(live);
    }
}

/// A bit for each slot: a mark is a load, an operation and a store of a word that 64 slots share.
struct Bits(Box<[Cell<u64>]>);

impl Occupancy for Bits {
    fn new() -> Self {
        Self((0..SLOTS / 64).map(|_| Cell::new(0)).collect())
    }

    #[inline(always)]
    fn is_live(&self, index: usize) -> bool {
        self.0[index / 64].get() >> (index % 64) & 1 == 1
    }

    #[inline(always)]
    fn set(&self, index: usize, live: bool) {
        let word = &self.0[index / 64];
        let bit = 1 << (index % 64);
        word.set(if live {
            word.get() | bit
        } else {
            word.get() & !bit
        });
    }
}

/// A free list of offsets with the checks of `Checked`, over either record.
struct HandWritten<O> {
    head: usize,
    occupancy: O,
    memory: HeapBacked,
}

/// The end of the list.
const NONE: usize = usize::MAX;

impl<O: Occupancy> HandWritten<O> {
    fn new() -> Self {
        let memory = HeapBacked::new(SLOTS * size_of::<Object>()).expect("256 KiB of heap");
        let mut list = Self {
            head: NONE,
            occupancy: O::new(),
            memory,
        };
        for index in (0..SLOTS).rev() {
            list.occupancy.set(index, true);
            let slot = list.slot(index * size_of::<Object>());
            list.give(slot);
        }
        list
    }

    #[inline(always)]
    fn slot(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: every offset in use is that of a slot.
        unsafe { self.memory.base().add(offset) }
    }

    /// The index of the slot at `offset`; not below the number of slots for any other offset.
    #[inline(always)]
    fn index(offset: usize) -> usize {
        offset.rotate_right(size_of::<Object>().trailing_zeros())
    }
}

impl<O: Occupancy> Blocks for HandWritten<O> {
    type Token = NonNull<u8>;

    #[inline(always)]
    fn take(&mut self) -> NonNull<u8> {
        let head = self.head;
        assert!(head != NONE, "the row stays below the capacity");
        self.occupancy.set(Self::index(head), true);
        let slot = self.slot(head);
        // SAFETY: a free slot holds a link, and slots are aligned.
        let next = unsafe { slot.cast::<usize>().read() };
        if next != NONE {
            let index = Self::index(next);
            assert!(
                index < SLOTS && !self.occupancy.is_live(index),
                "a damaged link"
            );
        }
        self.head = next;
        // SAFETY: the slot has left the list.
        unsafe { slot.cast::<usize>().write(0) };
        touch(slot.as_ptr());
        slot
    }

    #[inline(always)]
    fn give(&mut self, token: NonNull<u8>) {
        let offset = token
            .addr()
            .get()
            .wrapping_sub(self.memory.base().addr().get());
        let index = Self::index(offset);
        assert!(
            index < SLOTS && self.occupancy.is_live(index),
            "a wrong free"
        );
        // SAFETY: the slot is live, given once, and aligned.
        unsafe { self.slot(offset).cast::<usize>().write(self.head) };
        self.occupancy.set(index, false);
        self.head = offset;
    }
}
