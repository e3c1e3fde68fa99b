//! Which calls reach the allocator inside: watched, and compared with the table in
//! `docs/COMPOSING.md`.

mod common;

use core::cell::RefCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use common::composing::table;
use common::{Blocks, Pages, SLOT, Slots};
use drystone_core::{
    AllocError, Allocator, Contents, Deallocator, Late, NonZeroLayout, OverPages, Owns,
    StableAddress,
};
use drystone_trace::Recorder;
use drystone_wrap::{
    Budget, CacheJitter, Canary, Faulty, GuardPages, HugePageAdvised, Locked, NeverFail, NumaLocal,
    Off, PoisonOnFree, Quarantine, Segregate, Statistics, Tagged, Watermark, WatermarkHandler,
    WithFallback,
};

type Log = Rc<RefCell<Vec<&'static str>>>;

/// `Slots` that writes down which of its methods are called.
struct Spy {
    slots: Slots,
    log: Log,
}

impl Spy {
    fn note(&self, method: &'static str) -> &Slots {
        self.log.borrow_mut().push(method);
        &self.slots
    }
}

// SAFETY: the slots keep the contract.
unsafe impl Deallocator for Spy {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.note("deallocate").deallocate(ptr, layout) }
    }
}

// SAFETY: the slots keep the contract.
unsafe impl Allocator for Spy {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.note("allocate").allocate(layout)
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.note("allocate_zeroed").allocate_zeroed(layout)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.note("grow").grow(ptr, old, new) }
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.note("grow_zeroed").grow_zeroed(ptr, old, new) }
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.note("shrink").shrink(ptr, old, new) }
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.note("usable_size").usable_size(ptr, layout) }
    }

    fn capacity_bytes(&self) -> Option<usize> {
        self.note("capacity_bytes").capacity_bytes()
    }

    fn corruption_events(&self) -> u64 {
        self.note("corruption_events").corruption_events()
    }
}

// SAFETY: the slots keep the contract.
unsafe impl Owns for Spy {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        self.slots.owns(ptr)
    }
}

// SAFETY: the slots keep the contract.
unsafe impl Contents for Spy {
    unsafe fn own_pointer(&self, block: NonNull<u8>, layout: NonZeroLayout) -> NonNull<u8> {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.slots.own_pointer(block, layout) }
    }

    unsafe fn ending(&mut self, visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {
        // SAFETY: the caller's requirements are those of the slots.
        unsafe { self.slots.ending(visit) }
    }
}

// SAFETY: the slots stay where they are.
unsafe impl StableAddress for Spy {}

// SAFETY: the slots keep the contract.
unsafe impl OverPages for Spy {
    type Pages = Pages;

    fn pages(&self) -> &Pages {
        self.slots.pages()
    }
}

/// Hears nothing.
struct Deaf;

impl WatermarkHandler for Deaf {}

/// The columns of the table, and the methods that each stands for.
const COLUMNS: [&[&str]; 7] = [
    &["allocate"],
    &["allocate_zeroed"],
    &["grow", "grow_zeroed", "shrink"],
    &["deallocate"],
    &["usable_size"],
    &["capacity_bytes"],
    &["corruption_events"],
];

fn spy() -> (Spy, Log) {
    let log = Log::default();
    let spy = Spy {
        slots: Slots::new(4),
        log: Rc::clone(&log),
    };
    (spy, log)
}

/// As [`same_calls`], of what `wrap` makes of a spy.
fn same<A: Allocator>(wrap: impl FnOnce(Spy) -> A) -> Vec<&'static str> {
    let (spy, log) = spy();
    same_calls(&wrap(spy), &log)
}

/// Calls every method of `wrapped`, and says which of them called the method of the same name
/// inside, once, and nothing else but the corruption count.
fn same_calls<A: Allocator + ?Sized>(wrapped: &A, log: &Log) -> Vec<&'static str> {
    let mut same = Vec::new();
    // What was asked when the wrapper was made is another matter.
    log.take();
    let mut judge = |method: &'static str| {
        let mut calls = log.take();
        // Wrappers may look at the count of corruption and weigh blocks beside their work.
        calls
            .retain(|call| *call == method || !["corruption_events", "usable_size"].contains(call));
        if calls == [method] {
            same.push(method);
        }
    };
    let block = wrapped.take(8, 8).expect("room");
    judge("allocate");
    let zeroed = wrapped.take_zeroed(8, 8).expect("room");
    judge("allocate_zeroed");
    let block = wrapped.grow_to(block, 16).expect("room");
    judge("grow");
    let block = wrapped.grow_zeroed_to(block, 24).expect("room");
    judge("grow_zeroed");
    let block = wrapped.shrink_to(block, 12, 8).expect("room");
    judge("shrink");
    let usable = wrapped.usable(block);
    assert!(usable == Some(SLOT) || usable == Some(12), "{usable:?}");
    judge("usable_size");
    assert!(wrapped.capacity_bytes().is_some());
    judge("capacity_bytes");
    assert_eq!(wrapped.corruption_events(), 0);
    judge("corruption_events");
    wrapped.give(block);
    judge("deallocate");
    wrapped.give(zeroed);
    same
}

fn rows() -> BTreeMap<&'static str, Vec<&'static str>> {
    let (lent, log) = spy();
    BTreeMap::from([
        ("`&A`", same_calls::<&Spy>(&&lent, &log)),
        ("`Box<A>`", same(Box::new)),
        ("`Rc<A>`", same(Rc::new)),
        (
            "`Arc<A>`",
            #[allow(clippy::arc_with_non_send_sync, reason = "used on one thread")]
            same(Arc::new),
        ),
        (
            "`Late<A>`",
            same(|spy| {
                let late = Late::new();
                assert!(late.set(spy).is_ok());
                late
            }),
        ),
        ("`Recorder<A>`", same(Recorder::new)),
        ("`Locked<A>`", same(Locked::new)),
        ("`Statistics<A>`", same(Statistics::new)),
        (
            "`Statistics<A, Off>`",
            same(|spy| Statistics::with_switch(spy, Off)),
        ),
        (
            "`Faulty<A, NeverFail>`",
            same(|spy| Faulty::new(spy, NeverFail)),
        ),
        ("`Budget<A>`", same(|spy| Budget::new(spy, 1000))),
        (
            "`Budget<A, Off>`",
            same(|spy| Budget::with_switch(spy, 0, Off)),
        ),
        ("`Watermark<A, H>`", same(|spy| Watermark::new(spy, Deaf))),
        (
            "`Watermark<A, H, Off>`",
            same(|spy| Watermark::with_switch(spy, Deaf, Off)),
        ),
        ("`Tagged<A>`", same(|spy| Tagged::new(spy, "spied"))),
        ("`Tagged<A, Off>`", same(|spy| Tagged::with_tag(spy, Off))),
        ("`GuardPages<A>`", same(GuardPages::new)),
        (
            "`GuardPages<A, Off>`",
            same(|spy| GuardPages::with_switch(spy, Off)),
        ),
        ("`CacheJitter<A>`", same(CacheJitter::new)),
        (
            "`CacheJitter<A, Off>`",
            same(|spy| CacheJitter::with_switch(spy, Off)),
        ),
        ("`PoisonOnFree<A>`", same(PoisonOnFree::new)),
        (
            "`PoisonOnFree<A, Off>`",
            same(|spy| PoisonOnFree::with_switch(spy, Off)),
        ),
        ("`Quarantine<A, N>`", same(Quarantine::<_, 8>::new)),
        (
            "`Quarantine<A, N, Off>`",
            same(|spy| Quarantine::<_, 8, Off>::with_switch(spy, Off)),
        ),
        ("`Canary<A>`", same(Canary::new)),
        (
            "`Canary<A, Off>`",
            same(|spy| Canary::with_switch(spy, Off)),
        ),
        ("`NumaLocal<A>`", same(|spy| NumaLocal::new(spy, 0))),
        (
            "`NumaLocal<A, Off>`",
            same(|spy| NumaLocal::with_switch(spy, 0, Off)),
        ),
        (
            "`HugePageAdvised<A, Off>`",
            same(|spy| HugePageAdvised::with_switch(spy, Off)),
        ),
        ("`HugePageAdvised<A>`", same(HugePageAdvised::new)),
    ])
}

#[test]
fn a_cell_says_same_where_the_same_method_is_called() {
    let header = "| | allocate | zeroed | grow, shrink | deallocate | usable size | capacity | \
                  corruption |";
    let mut table = table(header);
    for two_parts in ["`WithFallback<P, S>`", "`Segregate<S, L>`"] {
        let row = table.remove(two_parts).expect("a row");
        assert!(row.iter().all(|cell| !cell.contains("same")), "{two_parts}");
    }
    let said: BTreeMap<_, _> = table
        .into_iter()
        .map(|(row, cells)| {
            (
                row,
                cells.iter().map(|cell| cell.contains("same")).collect(),
            )
        })
        .collect();
    let seen: BTreeMap<_, Vec<bool>> = rows()
        .into_iter()
        .map(|(row, same)| {
            let column = |methods: &&[&str]| methods.iter().all(|method| same.contains(method));
            (row, COLUMNS.iter().map(column).collect())
        })
        .collect();
    assert_eq!(said, seen);
}

#[test]
fn a_primary_that_serves_sees_the_same_calls() {
    let same = same(|spy| WithFallback::new(spy, Slots::new(1)));
    for method in COLUMNS.concat() {
        assert!(same.contains(&method), "{method} in {same:?}");
    }
}

#[test]
fn the_small_part_sees_the_same_calls_for_small_blocks() {
    let same = same(|spy| Segregate::new(spy, Slots::new(1), SLOT));
    for method in COLUMNS.concat() {
        assert!(same.contains(&method), "{method} in {same:?}");
    }
}
