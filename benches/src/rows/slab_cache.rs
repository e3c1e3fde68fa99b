//! Boxes for a `u128` in slabs of 4096 bytes, one thread: the hot pair, fill and free in order,
//! churn at half full.

#[cfg(feature = "reference")]
use std::alloc::Layout;
use std::hint::black_box;
use std::ptr::NonNull;

use drystone_backing::HeapBacked;
use drystone_core::{
    Allocator, CachePadded, Checked, FreelistProtection, NoProtection, NonZeroLayout,
};
use drystone_layout::{ProviderFrom, Slab, SlabBox, SlabCache};
use drystone_wrap::NoLock;

use crate::harness::Random;
use crate::{Arm, Kind, Row};

/// Values that live at most, in every workload.
const VALUES: usize = 4096;

/// The most values that a burst of the churn row replaces.
const BURST_MAX: usize = 32;

/// One value boxed and dropped, again and again.
pub(crate) fn hot_pair() -> Row {
    Row {
        id: "slab-cache-hot",
        unit: "pair",
        about: "one u128 boxed and dropped, again and again",
        arms: arms(HotPair),
    }
}

/// Many values boxed, then all dropped in the order of boxing.
pub(crate) fn fill_and_drop_in_order() -> Row {
    Row {
        id: "slab-cache-fifo",
        unit: "pair",
        about: "4096 u128 boxed, then dropped in the same order",
        arms: arms(FillFifo),
    }
}

/// Random values replaced in bursts while half of them live.
pub(crate) fn churn_at_half_full() -> Row {
    Row {
        id: "slab-cache-churn",
        unit: "pair",
        about: "2048 u128 live; bursts of 1 to 32 random ones dropped, then as many boxed",
        arms: arms(Churn),
    }
}

/// A source of boxed values.
trait Boxes {
    /// Owns a value; given back, not dropped, so that sources without boxes can take part.
    type Owned;

    fn take(&mut self, value: u128) -> Self::Owned;

    fn give(&mut self, owned: Self::Owned);
}

/// A workload over any source.
trait Workload: Copy + 'static {
    fn prepare<B: Boxes + 'static>(self, boxes: B) -> Box<dyn FnMut(u64)>;
}

#[derive(Clone, Copy)]
struct HotPair;

impl Workload for HotPair {
    fn prepare<B: Boxes + 'static>(self, boxes: B) -> Box<dyn FnMut(u64)> {
        let mut boxes = apart(boxes);
        Box::new(move |units| {
            let boxes = &mut **boxes;
            for n in 0..units {
                let owned = black_box(black_box(&mut *boxes).take(u128::from(n)));
                black_box(&mut *boxes).give(owned);
            }
        })
    }
}

#[derive(Clone, Copy)]
struct FillFifo;

impl Workload for FillFifo {
    fn prepare<B: Boxes + 'static>(self, boxes: B) -> Box<dyn FnMut(u64)> {
        let mut boxes = apart(boxes);
        let mut live = Vec::with_capacity(VALUES);
        Box::new(move |units| {
            let boxes = &mut **boxes;
            for _ in 0..units.div_ceil(VALUES as u64) {
                for n in 0..VALUES as u128 {
                    live.push(black_box(black_box(&mut *boxes).take(n)));
                }
                for owned in live.drain(..) {
                    black_box(&mut *boxes).give(black_box(owned));
                }
            }
        })
    }
}

#[derive(Clone, Copy)]
struct Churn;

impl Workload for Churn {
    fn prepare<B: Boxes + 'static>(self, boxes: B) -> Box<dyn FnMut(u64)> {
        let mut boxes = apart(boxes);
        let mut random = Random::new(7);
        let mut live: Vec<Option<B::Owned>> = (0..VALUES as u128 / 2)
            .map(|n| Some(boxes.take(n)))
            .collect();
        // Drawn beforehand, so that the row times the contestant and not the generator. A burst is
        // a window of the order, so that it names no value twice.
        let mut order: Vec<u16> = (0..(VALUES / 2) as u16).collect();
        random.shuffle(&mut order);
        let bursts: Vec<usize> = (0..1024).map(|_| 1 + random.below(BURST_MAX)).collect();
        let (mut burst, mut window) = (0, 0);
        Box::new(move |units| {
            let boxes = &mut **boxes;
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
                    if let Some(owned) = live[usize::from(victim)].take() {
                        black_box(&mut *boxes).give(owned);
                    }
                }
                for &victim in victims {
                    let owned = black_box(&mut *boxes).take(u128::from(victim));
                    live[usize::from(victim)] = Some(black_box(owned));
                }
                done += count as u64;
            }
        })
    }
}

/// The contestant on cache lines of its own, away from what the harness writes.
fn apart<B: Boxes>(boxes: B) -> Box<CachePadded<B>> {
    Box::new(CachePadded::new(boxes))
}

type Heap = ProviderFrom<drystone_backing::System>;

impl Boxes for SlabCache<u128, Heap, NoLock, 4096> {
    type Owned = SlabBox<u128, Heap, NoLock, 4096>;

    #[inline(always)]
    fn take(&mut self, value: u128) -> Self::Owned {
        self.alloc(value).expect("memory for a slab")
    }

    #[inline(always)]
    fn give(&mut self, owned: Self::Owned) {
        drop(owned);
    }
}

impl Boxes for SlabCache<u128, Heap> {
    type Owned = SlabBox<u128, Heap>;

    #[inline(always)]
    fn take(&mut self, value: u128) -> Self::Owned {
        self.alloc(value).expect("memory for a slab")
    }

    #[inline(always)]
    fn give(&mut self, owned: Self::Owned) {
        drop(owned);
    }
}

fn heap() -> Heap {
    ProviderFrom::new(drystone_backing::System)
}

fn unlocked() -> SlabCache<u128, Heap, NoLock, 4096> {
    SlabCache::with_lock(heap(), NoLock).expect("memory for a slab")
}

/// A plain allocator, used as a box would use it.
struct Raw<A>(A);

const VALUE: NonZeroLayout = match NonZeroLayout::for_type::<u128>() {
    Some(layout) => layout,
    None => panic!("a number has a size"),
};

impl<A: Allocator> Boxes for Raw<A> {
    type Owned = NonNull<u128>;

    #[inline(always)]
    fn take(&mut self, value: u128) -> NonNull<u128> {
        let block = self
            .0
            .allocate(VALUE)
            .expect("the row stays below the capacity");
        let block = block.cast::<u128>();
        // SAFETY: the block is live and holds a `u128`.
        unsafe { block.write(value) };
        block
    }

    #[inline(always)]
    fn give(&mut self, owned: NonNull<u128>) {
        // SAFETY: a live block of this allocator with this layout, given once.
        unsafe { self.0.deallocate(owned.cast(), VALUE) };
    }
}

fn slab<M: FreelistProtection>(protection: M) -> Raw<Slab<u128, HeapBacked, M>> {
    // The protection may keep its record in the range, beside the slots.
    let memory = HeapBacked::new(VALUES * (size_of::<u128>() + 1)).expect("68 KiB of heap");
    let slab = Slab::with_protection(VALUES, memory, protection);
    Raw(slab.expect("the range holds the slots"))
}

/// The heap, box by box.
struct PlainBox;

impl Boxes for PlainBox {
    type Owned = Box<u128>;

    #[inline(always)]
    fn take(&mut self, value: u128) -> Box<u128> {
        Box::new(value)
    }

    #[inline(always)]
    fn give(&mut self, owned: Box<u128>) {
        drop(owned);
    }
}

/// Every contestant, prepared for `workload`.
fn arms<W: Workload>(workload: W) -> Vec<Arm> {
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add(
        "drystone SlabCache, NoLock",
        Kind::Ours,
        workload.prepare(unlocked()),
    );
    add(
        "drystone SlabCache, NoLock again",
        Kind::Control,
        workload.prepare(unlocked()),
    );
    add(
        "drystone SlabCache, SpinLock",
        Kind::Ours,
        workload.prepare(SlabCache::<u128, Heap>::new(heap()).expect("memory for a slab")),
    );
    add(
        "drystone Slab, Checked",
        Kind::Ours,
        workload.prepare(slab(Checked)),
    );
    add(
        "drystone Slab",
        Kind::Ours,
        workload.prepare(slab(NoProtection)),
    );
    #[cfg(feature = "reference")]
    add(
        "attachable-slab-allocator, NoLock",
        Kind::Rival,
        workload.prepare(attachable::cache()),
    );
    add("Box", Kind::Rival, workload.prepare(PlainBox));
    arms
}

/// The reference crate. Its memory provider is two functions of the whole program.
#[cfg(feature = "reference")]
mod attachable {
    use std::alloc::{GlobalAlloc, System};

    use attachable_slab_allocator::locks::NoLock;
    use attachable_slab_allocator::{Result, SlabBox, SlabCache, define_allocation_hooks};

    use super::{Boxes, Layout, NonNull};

    fn provide(layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: a slab's layout is not zero-sized.
        NonNull::new(unsafe { System.alloc(layout) })
    }

    fn take_back(ptr: NonNull<u8>, layout: Layout) -> Result<()> {
        // SAFETY: the block came from `provide` with this layout.
        unsafe { System.dealloc(ptr.as_ptr(), layout) };
        Ok(())
    }

    define_allocation_hooks!(provide, take_back);

    type Cache = SlabCache<u128, NoLock, 4096>;

    pub(super) fn cache() -> Cache {
        Cache::new().expect("memory for a slab")
    }

    impl Boxes for Cache {
        type Owned = SlabBox<u128, NoLock, 4096>;

        #[inline(always)]
        fn take(&mut self, value: u128) -> Self::Owned {
            let mut owned = self.alloc().expect("memory for a slab");
            *owned = value;
            owned
        }

        #[inline(always)]
        fn give(&mut self, owned: Self::Owned) {
            drop(owned);
        }
    }
}
