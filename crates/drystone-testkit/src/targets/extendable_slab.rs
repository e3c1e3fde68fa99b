//! Extendable slabs: the contract under the oracle, and growth, trims, failing sources and wrong
//! frees beside a model.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use drystone_core::{
    AllocError, Allocator, Checked, Deallocator, FreeLink, FreelistProtection, HeapSegment,
    Inspect, Misuse, MisusePolicy, NoProtection, NonZeroLayout, OnMisuse, Owns, Reset,
    SegmentSource,
};
use drystone_layout::ExtendableSlab;

use super::choose;
use crate::program::{Limits, Program, run_with_reset};

/// Seals free slots, with all that a protection can ask for and no secret.
#[derive(Clone, Copy, Debug)]
struct Sealed;

impl FreelistProtection for Sealed {
    const TAGGED: bool = true;
    const OCCUPANCY: bool = true;
    const EPOCHS: bool = true;

    fn tag(&self, link: FreeLink) -> u32 {
        (link.slot ^ link.epoch.rotate_left(16)).wrapping_mul(0x9E37_79B9)
    }
}

/// The capacities of a segment: below, at and above what a word of bits holds.
const CAPACITIES: [usize; 8] = [1, 2, 3, 7, 63, 64, 65, 130];

/// The first byte chooses slot and protection, the second the capacity; the rest is a program, or
/// steps of growth and misuse.
///
/// # Panics
///
/// If the slab breaks a promise or an invariant.
pub fn target_extendable_slab(data: &[u8]) {
    let (choice, data) = choose(data);
    let (capacity, data) = choose(data);
    let capacity = CAPACITIES[usize::from(capacity) % CAPACITIES.len()];
    match choice % 8 {
        0 => program::<u64, _>(capacity, || NoProtection, data),
        1 => program::<[u8; 3], _>(capacity, || Checked, data),
        2 => program::<u128, _>(capacity, || Sealed, data),
        3 => program::<u8, _>(capacity, || NoProtection, data),
        4 => steps::<[u8; 24], _>(capacity, NoProtection, data),
        5 => steps::<[u8; 5], _>(capacity, Checked, data),
        6 => steps::<u64, _>(capacity, Sealed, data),
        _ => steps::<[u8; 100], _>(capacity, Checked, data),
    }
}

fn program<T, M: FreelistProtection + 'static>(capacity: usize, factory: fn() -> M, data: &[u8]) {
    let limits = Limits {
        max_size: size_of::<T>(),
        max_align: align_of::<T>(),
    };
    // Small enough to run out in a program.
    let source = Limited(Rc::new(Cell::new(40)));
    let slab = ExtendableSlab::<T, M, _>::with_source(capacity, factory, source);
    run_with_reset(slab, &Program::decode(data, limits));
}

/// Heap segments while the number lasts. It does not count what comes back.
#[derive(Clone, Debug)]
struct Limited(Rc<Cell<usize>>);

// SAFETY: the segments are the heap's.
unsafe impl SegmentSource for Limited {
    type Segment = HeapSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<HeapSegment, AllocError> {
        self.0.set(self.0.get().checked_sub(1).ok_or(AllocError)?);
        HeapSegment::new(layout)
    }
}

/// Remembers the last misuse that it was told of.
#[derive(Clone, Debug, Default)]
struct Last(Arc<Mutex<Option<(Misuse, usize)>>>);

impl MisusePolicy for Last {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        *self.0.lock().expect("not poisoned") = Some((misuse, address));
    }
}

fn steps<T, M>(capacity: usize, protection: M, data: &[u8])
where
    M: FreelistProtection + Copy + Send + Sync + 'static,
{
    let mut model = Model::<T, M>::new(capacity, protection);
    for step in data.chunks(2) {
        model.step(step[0], usize::from(*step.last().unwrap_or(&0)));
        model.check();
    }
    model.finish();
}

/// A slab, and what is live in it.
struct Model<T, M: FreelistProtection> {
    slab: ExtendableSlab<T, OnMisuse<M, Last>, Limited>,
    supply: Rc<Cell<usize>>,
    told: Last,
    layout: NonZeroLayout,
    live: BTreeMap<usize, (NonNull<u8>, u8)>,
    freed: Vec<NonNull<u8>>,
    stamp: u8,
    misuses: u64,
}

impl<T, M: FreelistProtection + Copy + Send + Sync + 'static> Model<T, M> {
    fn new(capacity: usize, protection: M) -> Self {
        let supply = Rc::new(Cell::new(20));
        let told = Last::default();
        let policy = told.clone();
        let factory = move || OnMisuse::new(protection, policy.clone());
        let source = Limited(supply.clone());
        Self {
            slab: ExtendableSlab::with_source(capacity, factory, source),
            supply,
            told,
            layout: NonZeroLayout::for_type::<T>().expect("not zero-sized"),
            live: BTreeMap::new(),
            freed: Vec::new(),
            stamp: 0,
            misuses: 0,
        }
    }

    fn step(&mut self, kind: u8, argument: usize) {
        match kind % 12 {
            0..=2 => (0..argument % 80).for_each(|_| self.allocate()),
            3 | 4 => self.free(argument),
            5 => (0..argument % 80).for_each(|_| self.free(0)),
            6 => (0..argument % 80).for_each(|n| self.free(n * argument)),
            7 => self.trim(),
            8 => self.supply.set(argument % 40),
            9 if argument.is_multiple_of(8) => {
                self.slab.reset();
                self.live.clear();
            }
            9 | 10 => self.misuse(argument),
            _ => self.free_twice(argument),
        }
    }

    fn allocate(&mut self) {
        let Ok(block) = self.slab.allocate(self.layout) else {
            assert_eq!(
                self.supply.get(),
                0,
                "refused while the source has segments"
            );
            let slots = self.slab.segment_count() * self.slab.segment_capacity();
            assert_eq!(self.live.len(), slots, "refused while slots are free");
            return;
        };
        let ptr = block.cast::<u8>();
        self.stamp = self.stamp.wrapping_add(1);
        // SAFETY: the block is live and as long as its layout.
        unsafe { ptr.write_bytes(self.stamp, self.layout.size().get()) };
        let before = self.live.insert(ptr.addr().get(), (ptr, self.stamp));
        assert!(before.is_none(), "a live block was handed out");
    }

    /// Takes a live block out of the model, after a look at its bytes.
    fn take(&mut self, at: usize) -> Option<NonNull<u8>> {
        let at = at.checked_rem(self.live.len())?;
        let (&key, &(ptr, stamp)) = self.live.iter().nth(at)?;
        self.live.remove(&key);
        let bytes = NonNull::slice_from_raw_parts(ptr, self.layout.size().get());
        // SAFETY: the block is live, and all of it was written.
        let bytes = unsafe { bytes.as_ref() };
        assert!(
            bytes.iter().all(|&byte| byte == stamp),
            "a live block changed"
        );
        Some(ptr)
    }

    fn free(&mut self, at: usize) {
        if let Some(ptr) = self.take(at) {
            // SAFETY: the block is live.
            unsafe { self.slab.deallocate(ptr, self.layout) };
            self.freed.truncate(7);
            self.freed.insert(0, ptr);
        }
    }

    fn trim(&mut self) {
        let before = self.slab.segment_count();
        let bytes = self.slab.trim();
        assert_eq!(
            bytes,
            (before - self.slab.segment_count()) * self.slab.segment_bytes()
        );
        assert_eq!(self.slab.segment_count(), self.segments_in_use());
    }

    fn segments_in_use(&self) -> usize {
        let align = self.slab.segment_bytes().next_power_of_two();
        let mut numbers: Vec<_> = self.live.keys().map(|address| address / align).collect();
        numbers.dedup();
        numbers.len()
    }

    /// Frees what is no block: the inside of one, or an address of somebody else's.
    fn misuse(&mut self, argument: usize) {
        let inside = self
            .live
            .values()
            .nth(argument.checked_rem(self.live.len()).unwrap_or(0));
        let (address, expected) = match inside {
            Some((ptr, _)) if self.layout.size().get() > 1 => {
                let offset = 1 + argument % (self.layout.size().get() - 1);
                (ptr.addr().get() + offset, Misuse::InteriorPointer)
            }
            _ => ((&raw const self.stamp).addr(), Misuse::ForeignPointer),
        };
        self.expect_refusal(address, &[expected]);
    }

    /// Frees what was freed before and is not live now.
    fn free_twice(&mut self, argument: usize) {
        let Some(at) = argument.checked_rem(self.freed.len()) else {
            return;
        };
        let address = self.freed[at].addr().get();
        if !self.live.contains_key(&address) {
            // Its segment may have been given back, or be another one now.
            let possible = [
                Misuse::DoubleFree,
                Misuse::ForeignPointer,
                Misuse::NeverAllocated,
                Misuse::InteriorPointer,
            ];
            self.expect_refusal(address, &possible);
        }
    }

    fn expect_refusal(&mut self, address: usize, possible: &[Misuse]) {
        if !M::OCCUPANCY {
            return;
        }
        if self.live.contains_key(&address) {
            return;
        }
        let Some(pointer) = NonNull::new(std::ptr::without_provenance_mut(address)) else {
            return;
        };
        let digest = self.slab.verify_all().expect("sound");
        // SAFETY: a checked slab uses the address only, and refuses what is no live block; that is
        // what is tested.
        unsafe { self.slab.deallocate(pointer, self.layout) };
        self.misuses += 1;
        assert_eq!(self.slab.verify_all().expect("sound"), digest);
        let told = self.told.0.lock().expect("not poisoned").take();
        let (misuse, at) = told.expect("the misuse was reported");
        assert!(possible.contains(&misuse) && at == address, "{misuse}");
    }

    fn check(&self) {
        let report = self.slab.verify_all().expect("every invariant holds");
        assert_eq!(report.live_blocks, self.live.len());
        assert_eq!(self.slab.corruption_events(), self.misuses);
        for (ptr, _) in self.live.values().take(3) {
            assert!(self.slab.owns(*ptr) && self.slab.validate(*ptr).is_ok());
        }
    }

    fn finish(mut self) {
        while !self.live.is_empty() {
            self.free(0);
        }
        self.check();
        self.trim();
        assert_eq!(self.slab.segment_count(), 0);
    }
}
