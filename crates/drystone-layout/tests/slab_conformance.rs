//! Every promise of a slab, over every kind of range, under every protection.

mod ranges;

use drystone_backing::StaticBacked;
use drystone_backing::{HeapBacked, InlineBacked, MmapBacked, System};
use drystone_core::Region;
use drystone_core::{
    AllocatedRegion, Checked, FreeLink, FreelistProtection, NonZeroLayout, OnMisuse, SipHashMac,
    StableAddress,
};
use drystone_layout::Slab;
use drystone_testkit::conformance::Caps;
use drystone_testkit::conformance_suite;
use drystone_testkit::oracle::PanicOnMisuse;
use ranges::{Lazy, buffer, kept};

/// Fewer where each byte is slow.
const SLOTS: usize = if cfg!(miri) { 8 } else { 40 };
type Block = [u64; 6];
const CAPS: Caps = Caps::new(48, 8, SLOTS).reuses_memory().bounded();

/// Bytes for the slots, and for a base that is not aligned.
const BYTES: usize = SLOTS * 48 + 8;

/// A protection with tags.
struct SlotTag;

impl FreelistProtection for SlotTag {
    const TAGGED: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        !link.slot ^ link.next.unwrap_or(u32::MAX).rotate_left(16)
    }
}

/// Bytes for the slots and the longest record.
const GUARDED_BYTES: usize = match Slab::<Block, (), SipHashMac>::bytes_for(SLOTS) {
    Some(bytes) => bytes + 8,
    None => panic!("a few slots"),
};

/// A protection that is told nothing in correct use.
fn silent<M: FreelistProtection>(protection: M) -> OnMisuse<M, PanicOnMisuse> {
    OnMisuse::new(protection, PanicOnMisuse)
}

fn mac() -> OnMisuse<SipHashMac, PanicOnMisuse> {
    silent(SipHashMac::with_key(*b"a key for a test"))
}

fn region() -> NonZeroLayout {
    NonZeroLayout::from_size_align(BYTES, 8).expect("a valid layout")
}

fn stable<A: StableAddress>(allocator: A) -> A {
    allocator
}

conformance_suite!(
    heap,
    || stable(Slab::<Block, _>::new(SLOTS, HeapBacked::new(BYTES).expect("memory")).expect("fits")),
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    heap_tagged,
    || {
        let range = HeapBacked::new(BYTES).expect("memory");
        Slab::<Block, _, _>::with_protection(SLOTS, range, SlotTag).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    inline,
    || Slab::<Block, _>::new(SLOTS, InlineBacked::<BYTES>::new()).expect("fits"),
    CAPS;
    owns, reset, inspect, sends
);

conformance_suite!(
    mmap,
    || Slab::<Block, _>::new(SLOTS, MmapBacked::new(BYTES).expect("memory")).expect("fits"),
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    odd_static_buffer,
    || {
        let range = StaticBacked::new(&mut buffer::<BYTES>()[1..]);
        Slab::<Block, _>::new(SLOTS, range).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    borrowed_inline,
    || {
        let inline = kept(InlineBacked::<BYTES>::new());
        Slab::<Block, _>::new(SLOTS, Region::borrow(inline)).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    block_of_the_system,
    || {
        let range = AllocatedRegion::new(System, region()).expect("memory");
        Slab::<Block, _>::new(SLOTS, range).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    block_of_a_slab,
    || {
        let outer = HeapBacked::new(BYTES).expect("memory");
        let outer = Slab::<[u64; BYTES / 8], _>::new(1, outer).expect("fits");
        let range = AllocatedRegion::new(std::rc::Rc::new(outer), region()).expect("memory");
        Slab::<Block, _>::new(SLOTS, range).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect
);

conformance_suite!(
    heap_checked,
    || {
        let range = HeapBacked::new(GUARDED_BYTES).expect("memory");
        Slab::<Block, _, _>::with_protection(SLOTS, range, silent(Checked)).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    heap_mac,
    || {
        let range = HeapBacked::new(GUARDED_BYTES).expect("memory");
        Slab::<Block, _, _>::with_protection(SLOTS, range, mac()).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    inline_checked,
    || {
        let range = InlineBacked::<GUARDED_BYTES>::new();
        Slab::<Block, _, _>::with_protection(SLOTS, range, silent(Checked)).expect("fits")
    },
    CAPS;
    owns, reset, inspect, sends
);

conformance_suite!(
    odd_static_buffer_mac,
    || {
        let range = StaticBacked::new(&mut buffer::<GUARDED_BYTES>()[1..]);
        Slab::<Block, _, _>::with_protection(SLOTS, range, mac()).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    lazy_mac,
    || {
        let (range, _) = Lazy::new(GUARDED_BYTES, usize::MAX, 0);
        Slab::<Block, _, _>::with_protection(SLOTS, range, mac()).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);

conformance_suite!(
    mmap_checked,
    || {
        let range = MmapBacked::new(GUARDED_BYTES).expect("memory");
        Slab::<Block, _, _>::with_protection(SLOTS, range, silent(Checked)).expect("fits")
    },
    CAPS;
    owns, reset, stable_address, inspect, sends
);
