//! Values behind handles: 1 000 000 random lookups in 100 000 live values, and churn.

use std::hint::black_box;

use drystone_backing::{HeapBacked, MmapBacked};
use drystone_core::{CachePadded, FixedRange};
use drystone_layout::{GenerationalSlab, Handle};

use crate::harness::Random;
use crate::{Arm, Kind, Row};

/// Live values of the lookup rows.
const LIVE: usize = 100_000;

/// Lookups whose keys are drawn beforehand, in random order.
const LOOKUPS: usize = 1_000_000;

/// Slots of the churn row, of which half are live.
const SLOTS: usize = 4096;

/// The most values that a burst of the churn row replaces.
const BURST_MAX: usize = 32;

type Large = [u64; 8];

/// Random lookups in 100 000 values of 64 bytes; the first word of each is read.
pub(crate) fn get_64_bytes() -> Row {
    Row {
        id: "handle-get-64",
        unit: "lookup",
        about: "random lookups in 100 000 live values of 64 bytes",
        arms: get_arms::<Large>(|n| [n; 8], |value| value[0]),
    }
}

/// Random lookups in 100 000 values of 8 bytes.
pub(crate) fn get_8_bytes() -> Row {
    Row {
        id: "handle-get-8",
        unit: "lookup",
        about: "random lookups in 100 000 live values of 8 bytes",
        arms: get_arms::<u64>(|n| n, |&value| value),
    }
}

/// Values of 64 bytes replaced in bursts while half of the slots are live.
pub(crate) fn churn() -> Row {
    Row {
        id: "handle-churn",
        unit: "pair",
        about: "2048 of 4096 live; bursts of 1 to 32 random values removed, then as many inserted",
        arms: vec![
            Arm::new("slots by hand", Kind::Limit, churn_in(ByHand::new(SLOTS))),
            Arm::new(
                "drystone GenerationalSlab",
                Kind::Ours,
                churn_in(heap_slab::<Large>(SLOTS)),
            ),
            Arm::new(
                "drystone GenerationalSlab again",
                Kind::Control,
                churn_in(heap_slab::<Large>(SLOTS)),
            ),
            Arm::new(
                "slab",
                Kind::Rival,
                churn_in(slab::Slab::<Large>::with_capacity(SLOTS)),
            ),
            #[cfg(feature = "rivals")]
            Arm::new(
                "slotmap",
                Kind::Rival,
                churn_in(slotmap::SlotMap::<_, Large>::with_capacity(SLOTS)),
            ),
        ],
    }
}

/// A table of values behind keys.
trait Table<T> {
    type Key: Copy + 'static;

    fn insert(&mut self, value: T) -> Self::Key;
    fn get(&self, key: Self::Key) -> &T;
    fn remove(&mut self, key: Self::Key) -> T;
}

impl<T: 'static, B: FixedRange> Table<T> for GenerationalSlab<T, B> {
    type Key = Handle<T>;

    #[inline(always)]
    fn insert(&mut self, value: T) -> Handle<T> {
        match GenerationalSlab::insert(self, value) {
            Ok(handle) => handle,
            Err(_) => panic!("the row stays below the capacity"),
        }
    }

    #[inline(always)]
    fn get(&self, key: Handle<T>) -> &T {
        GenerationalSlab::get(self, key).expect("every key is live")
    }

    #[inline(always)]
    fn remove(&mut self, key: Handle<T>) -> T {
        GenerationalSlab::remove(self, key).expect("every key is live")
    }
}

impl<T> Table<T> for slab::Slab<T> {
    type Key = usize;

    #[inline(always)]
    fn insert(&mut self, value: T) -> usize {
        slab::Slab::insert(self, value)
    }

    #[inline(always)]
    fn get(&self, key: usize) -> &T {
        slab::Slab::get(self, key).expect("every key is live")
    }

    #[inline(always)]
    fn remove(&mut self, key: usize) -> T {
        slab::Slab::remove(self, key)
    }
}

#[cfg(feature = "rivals")]
impl<T> Table<T> for slotmap::SlotMap<slotmap::DefaultKey, T> {
    type Key = slotmap::DefaultKey;

    #[inline(always)]
    fn insert(&mut self, value: T) -> slotmap::DefaultKey {
        slotmap::SlotMap::insert(self, value)
    }

    #[inline(always)]
    fn get(&self, key: slotmap::DefaultKey) -> &T {
        slotmap::SlotMap::get(self, key).expect("every key is live")
    }

    #[inline(always)]
    fn remove(&mut self, key: slotmap::DefaultKey) -> T {
        slotmap::SlotMap::remove(self, key).expect("every key is live")
    }
}

/// The least: an index with a bounds check, no generations; free indices on a stack.
struct ByHand<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl<T> ByHand<T> {
    fn new(capacity: usize) -> Self {
        Self {
            values: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
        }
    }
}

impl<T: Copy> Table<T> for ByHand<T> {
    type Key = u32;

    #[inline(always)]
    fn insert(&mut self, value: T) -> u32 {
        if let Some(index) = self.free.pop() {
            self.values[index as usize] = value;
            return index;
        }
        self.values.push(value);
        (self.values.len() - 1) as u32
    }

    #[inline(always)]
    fn get(&self, key: u32) -> &T {
        &self.values[key as usize]
    }

    #[inline(always)]
    fn remove(&mut self, key: u32) -> T {
        self.free.push(key);
        self.values[key as usize]
    }
}

fn heap_slab<T>(capacity: usize) -> GenerationalSlab<T, HeapBacked> {
    let bytes = capacity * GenerationalSlab::<T, HeapBacked>::STRIDE;
    let memory = HeapBacked::with_align(bytes, 64).expect("some MiB of heap");
    GenerationalSlab::new(capacity, memory).expect("the range holds the slots")
}

fn mmap_slab<T>(capacity: usize) -> GenerationalSlab<T, MmapBacked> {
    let bytes = capacity * GenerationalSlab::<T, MmapBacked>::STRIDE;
    let memory = MmapBacked::new(bytes).expect("some MiB can be mapped");
    GenerationalSlab::new(capacity, memory).expect("the range holds the slots")
}

fn get_arms<T: Copy + 'static>(make: fn(u64) -> T, word: fn(&T) -> u64) -> Vec<Arm> {
    let ours = || gets_in(heap_slab::<T>(LIVE), make, word);
    vec![
        Arm::new(
            "array",
            Kind::Limit,
            gets_in(ByHand::<T>::new(LIVE), make, word),
        ),
        Arm::new("drystone GenerationalSlab", Kind::Ours, ours()),
        Arm::new("drystone GenerationalSlab again", Kind::Control, ours()),
        Arm::new(
            "drystone GenerationalSlab, mmap",
            Kind::Ours,
            gets_in(mmap_slab::<T>(LIVE), make, word),
        ),
        Arm::new(
            "slab",
            Kind::Rival,
            gets_in(slab::Slab::with_capacity(LIVE), make, word),
        ),
        #[cfg(feature = "rivals")]
        Arm::new(
            "slotmap",
            Kind::Rival,
            gets_in(slotmap::SlotMap::with_capacity(LIVE), make, word),
        ),
    ]
}

/// Looks keys up in an order drawn beforehand; the sum of what is read is the result.
fn gets_in<T, M: Table<T> + 'static>(
    table: M,
    make: fn(u64) -> T,
    word: fn(&T) -> u64,
) -> impl FnMut(u64) {
    let mut table = Box::new(CachePadded::new(table));
    let keys: Vec<M::Key> = (0..LIVE as u64).map(|n| table.insert(make(n))).collect();
    let mut random = Random::new(11);
    let order: Vec<M::Key> = (0..LOOKUPS).map(|_| keys[random.below(LIVE)]).collect();
    let mut next = 0;
    move |units| {
        let mut sum = 0u64;
        let mut left = units as usize;
        while left > 0 {
            let count = left.min(LOOKUPS - next);
            for &key in &order[next..next + count] {
                sum = sum.wrapping_add(word(black_box(&**table).get(key)));
            }
            next = (next + count) % LOOKUPS;
            left -= count;
        }
        black_box(sum);
    }
}

/// Replaces random values in bursts, drawn beforehand.
fn churn_in<M: Table<Large> + 'static>(table: M) -> impl FnMut(u64) {
    let mut table = Box::new(CachePadded::new(table));
    let mut random = Random::new(7);
    let mut live: Vec<M::Key> = (0..SLOTS as u64 / 2)
        .map(|n| table.insert([n; 8]))
        .collect();
    let mut order: Vec<u16> = (0..(SLOTS / 2) as u16).collect();
    random.shuffle(&mut order);
    let bursts: Vec<usize> = (0..1024).map(|_| 1 + random.below(BURST_MAX)).collect();
    let (mut burst, mut window) = (0, 0);
    move |units| {
        let table = &mut **table;
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
                black_box(black_box(&mut *table).remove(live[usize::from(victim)])[0]);
            }
            for &victim in victims {
                live[usize::from(victim)] = black_box(&mut *table).insert([done; 8]);
            }
            done += count as u64;
        }
    }
}
