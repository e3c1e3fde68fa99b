//! 64-byte objects from containers that grow and that threads share: the hot pair.

use std::hint::black_box;

use drystone_core::{CachePadded, Checked};
use drystone_layout::ExtendableSlab;

use crate::blocks::{Blocks, Drystone, General, Keyed, Lifo, Object};
use crate::{Arm, Kind, Row};

/// Slots of a segment.
const CAPACITY: usize = 1024;

/// One object taken and given back, again and again.
pub(crate) fn hot_pair() -> Row {
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add("hand-written LIFO", Kind::Limit, pairs(Lifo::new(CAPACITY)));
    add("drystone ExtendableSlab", Kind::Ours, pairs(plain()));
    add(
        "drystone ExtendableSlab again",
        Kind::Control,
        pairs(plain()),
    );
    add(
        "drystone ExtendableSlab, Checked",
        Kind::Ours,
        pairs(Drystone(ExtendableSlab::<Object, _>::with_protection(
            CAPACITY,
            || Checked,
        ))),
    );
    add(
        "drystone ExtendableSlab, SipHashMac",
        Kind::Ours,
        pairs(Drystone(ExtendableSlab::<Object, _>::with_protection(
            CAPACITY,
            || drystone_core::SipHashMac::with_key([7; 16]),
        ))),
    );
    add("slab", Kind::Rival, pairs(Keyed(slab::Slab::new())));
    add(
        "system malloc",
        Kind::Rival,
        pairs(General(std::alloc::System)),
    );
    #[cfg(feature = "mimalloc")]
    add(
        "mimalloc 2",
        Kind::Rival,
        pairs(General(crate::blocks::MimallocTuned)),
    );
    #[cfg(feature = "rivals")]
    {
        add("sharded-slab", Kind::Rival, pairs(Sharded::new()));
        add(
            "snmalloc",
            Kind::Rival,
            pairs(General(snmalloc_rs::SnMalloc)),
        );
        add(
            "jemalloc",
            Kind::Rival,
            pairs(General(tikv_jemallocator::Jemalloc)),
        );
    }
    #[cfg(feature = "reference")]
    add(
        "forge-alloc ExtendableSlab",
        Kind::Rival,
        pairs(reference::Reference::new(CAPACITY)),
    );
    Row {
        id: "extendable-hot",
        unit: "pair",
        about: "one 64-byte object of a growable, shared container taken and given back",
        arms,
    }
}

fn plain() -> Drystone<ExtendableSlab<Object>> {
    Drystone(ExtendableSlab::new(CAPACITY))
}

fn pairs<B: Blocks + 'static>(blocks: B) -> Box<dyn FnMut(u64)> {
    let mut blocks = Box::new(CachePadded::new(blocks));
    Box::new(move |units| {
        let blocks = &mut **blocks;
        for _ in 0..units {
            let token = black_box(black_box(&mut *blocks).take());
            black_box(&mut *blocks).give(token);
        }
    })
}

/// The `sharded-slab` crate: blocks are named by keys, and any thread may give one back.
#[cfg(feature = "rivals")]
pub(crate) struct Sharded(pub(crate) sharded_slab::Slab<Object>);

#[cfg(feature = "rivals")]
impl Sharded {
    pub(crate) fn new() -> Self {
        Self(sharded_slab::Slab::new())
    }
}

#[cfg(feature = "rivals")]
impl Blocks for Sharded {
    type Token = usize;

    #[inline(always)]
    fn take(&mut self) -> usize {
        self.0
            .insert(Object::filled(1))
            .expect("the row stays below the capacity")
    }

    #[inline(always)]
    fn give(&mut self, token: usize) {
        assert!(self.0.remove(token), "a live object");
    }
}

/// The reference's extendable slab.
#[cfg(feature = "reference")]
pub(crate) mod reference {
    use std::ptr::NonNull;

    use forge_alloc::{Allocator, Deallocator, ExtendableSlab, NonZeroLayout};

    use crate::blocks::{Blocks, Object, touch};

    pub(crate) struct Reference(pub(crate) ExtendableSlab<Object>);

    impl Reference {
        pub(crate) fn new(capacity: usize) -> Self {
            Self(ExtendableSlab::new(capacity))
        }
    }

    fn layout() -> NonZeroLayout {
        NonZeroLayout::for_type::<Object>().expect("the object has a size")
    }

    impl Blocks for Reference {
        type Token = NonNull<u8>;

        #[inline(always)]
        fn take(&mut self) -> NonNull<u8> {
            let block = self.0.allocate(layout()).expect("memory to map").cast();
            touch(block.as_ptr());
            block
        }

        #[inline(always)]
        fn give(&mut self, token: NonNull<u8>) {
            // SAFETY: the token is a live block of this allocator with this layout, given once.
            unsafe { self.0.deallocate(token, layout()) };
        }
    }
}
