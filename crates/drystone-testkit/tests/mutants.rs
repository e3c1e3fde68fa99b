//! The kit is tested on allocators that are wrong on purpose, each in one way: exactly the checks
//! named must find it.
//!
//! The faults stay inside one heap segment, so finding them harms nothing. Not under Miri: what is
//! tested here is the kit's judgement, not its pointers, and thirty allocators take it hours.
#![cfg(not(miri))]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::thread::{self, ThreadId};

use drystone_core::{
    AllocError, Allocator, BlockInfo, Corruption, Deallocator, Inspect, Misuse, NonZeroLayout,
    Owns, Report, Reset, StableAddress,
};
use drystone_testkit::FirstFit;
use drystone_testkit::conformance::{self, Caps};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Misaligned,
    WeakAbove4096,
    Overlapping,
    Short,
    ServesAbsurdSizes,
    ZeroesNothing,
    ZeroesRequestedOnly,
    LeaksAll,
    LeaksOversizedFrees,
    RefusesLateBlocks,
    UsableTooSmall,
    UsableTooLarge,
    GrowLosesContents,
    GrowIgnoresAlignment,
    GrowZeroesNothing,
    ShrinkCopiesTooMuch,
    RefusedGrowFrees,
    RefusedGrowScribbles,
    RaisesCorruption,
    CapacityFollowsUse,
    CapacityTooSmall,
    OwnsEverything,
    OwnsNothing,
    ResetKeepsBlocks,
    ValidatesAnything,
    ValidatesNothing,
    VerifyFindsGhosts,
    DigestCountsRefusals,
    DigestConstant,
    IgnoresForeignThreads,
    ServesOneThread,
}

/// A first-fit allocator that rounds sizes up to 16 bytes, and has one fault.
struct Mutant {
    inner: FirstFit,
    fault: Fault,
    home: ThreadId,
    /// Each live block: its address to what the inner allocator was asked for.
    live: RefCell<BTreeMap<usize, Entry>>,
    last: Cell<Option<NonNull<[u8]>>>,
    served: Cell<usize>,
    refused: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Entry {
    block: NonNull<u8>,
    layout: NonZeroLayout,
    requested: usize,
}

const CAPS_BLOCKS: usize = 24;
const CAPS: Caps = Caps::new(512, 4096, CAPS_BLOCKS).reuses_memory().bounded();
const RANGE: usize = 256 << 10;

fn layout(size: usize, align: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, align).expect("valid")
}

impl Mutant {
    fn new(fault: Fault) -> Self {
        Self {
            inner: FirstFit::new(RANGE),
            fault,
            home: thread::current().id(),
            live: RefCell::default(),
            last: Cell::new(None),
            served: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn serve(&self, asked: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let (size, align) = (asked.size().get(), asked.align().get());
        if self.has(Fault::ServesAbsurdSizes) && size > 1 << 40 {
            let block = self.inner.allocate(layout(16, 1))?;
            return Ok(NonNull::slice_from_raw_parts(block.cast(), size));
        }
        if self.has(Fault::ServesOneThread) && thread::current().id() != self.home {
            return Err(AllocError);
        }
        if self.has(Fault::RefusesLateBlocks) && self.live.borrow().len() >= CAPS_BLOCKS - 1 {
            return Err(AllocError);
        }
        if self.has(Fault::Overlapping) && self.served.get() % 7 == 5 {
            if let Some(block) = self
                .last
                .get()
                .filter(|block| block.len() >= size && align == 1)
            {
                if self
                    .live
                    .borrow()
                    .contains_key(&block.cast::<u8>().addr().get())
                {
                    return Ok(block);
                }
            }
        }
        let shift = match self.fault {
            Fault::Misaligned if align > 1 => 1,
            Fault::WeakAbove4096 if align > 4096 => 4096,
            _ => 0,
        };
        let rounded = size.checked_add(shift + 15).ok_or(AllocError)? & !15;
        let inner = NonZeroLayout::from_size_align(rounded, align).map_err(|_| AllocError)?;
        let block = self.inner.allocate(inner)?;
        // SAFETY: the block is longer than the request by the shift, at least.
        let start = unsafe { block.cast::<u8>().add(shift) };
        let len = if self.has(Fault::Short) {
            size - 1
        } else {
            rounded - shift
        };
        let entry = Entry {
            block: block.cast(),
            layout: inner,
            requested: size,
        };
        self.live.borrow_mut().insert(start.addr().get(), entry);
        let served = NonNull::slice_from_raw_parts(start, len);
        self.last.set(Some(served));
        self.served.set(self.served.get() + 1);
        Ok(served)
    }

    fn entry(&self, ptr: NonNull<u8>) -> Option<Entry> {
        self.live.borrow().get(&ptr.addr().get()).copied()
    }
}

// SAFETY: none: this allocator is wrong on purpose, within its own segment.
unsafe impl Deallocator for Mutant {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let Some(entry) = self.entry(ptr) else { return };
        let lost = self.has(Fault::LeaksAll)
            || self.has(Fault::LeaksOversizedFrees) && layout.size().get() != entry.requested
            || self.has(Fault::IgnoresForeignThreads) && thread::current().id() != self.home;
        if lost {
            return;
        }
        self.live.borrow_mut().remove(&ptr.addr().get());
        // SAFETY: the entry is that of a live block.
        unsafe { self.inner.deallocate(entry.block, entry.layout) };
    }
}

// SAFETY: none: this allocator is wrong on purpose, within its own segment.
unsafe impl Allocator for Mutant {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.serve(layout)
            .inspect_err(|_| self.refused.set(self.refused.get() + 1))
    }

    fn allocate_zeroed(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(layout)?;
        let absurd = self.has(Fault::ServesAbsurdSizes) && block.len() > 1 << 40;
        let len = match self.fault {
            Fault::ZeroesNothing => 0,
            Fault::ZeroesRequestedOnly => layout.size().get(),
            _ if absurd => 0,
            _ => block.len(),
        };
        // SAFETY: the block is valid for its length.
        unsafe { ptr::write_bytes(block.cast::<u8>().as_ptr(), 0, len) };
        Ok(block)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let entry = self.entry(ptr).ok_or(AllocError)?;
        let len = entry.layout.size().get();
        if self.has(Fault::GrowIgnoresAlignment) && new.size().get() <= len {
            return Ok(NonNull::slice_from_raw_parts(ptr, len));
        }
        let block = match self.allocate(new) {
            Ok(block) => block,
            Err(error) if self.has(Fault::RefusedGrowFrees) => {
                // SAFETY: the block is live.
                unsafe { self.deallocate(ptr, old) };
                return Err(error);
            }
            Err(error) if self.has(Fault::RefusedGrowScribbles) => {
                // SAFETY: the block is live.
                unsafe { ptr.write(0) };
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if !self.has(Fault::GrowLosesContents) && block.cast() != ptr {
            // SAFETY: both blocks hold the old size.
            unsafe { ptr::copy(ptr.as_ptr(), block.cast().as_ptr(), old.size().get()) };
        }
        // SAFETY: the block is live.
        unsafe { self.deallocate(ptr, old) };
        Ok(block)
    }

    unsafe fn grow_zeroed(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements are the same.
        let block = unsafe { self.grow(ptr, old, new) }?;
        let kept = old.size().get();
        let absurd = self.has(Fault::ServesAbsurdSizes) && block.len() > 1 << 40;
        if !self.has(Fault::GrowZeroesNothing) && !absurd {
            // SAFETY: the old size lies inside the block.
            let tail = unsafe { block.cast::<u8>().add(kept) };
            // SAFETY: the block is valid for its length.
            unsafe { ptr::write_bytes(tail.as_ptr(), 0, block.len() - kept) };
        }
        Ok(block)
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let block = self.allocate(new)?;
        let len = if self.has(Fault::ShrinkCopiesTooMuch) {
            old.size()
        } else {
            new.size()
        };
        // SAFETY: both blocks hold the new size; the fault stays inside the segment, which is
        // far larger than what the checks keep live.
        unsafe { ptr::copy(ptr.as_ptr(), block.cast().as_ptr(), len.get()) };
        // SAFETY: the block is live.
        unsafe { self.deallocate(ptr, old) };
        Ok(block)
    }

    unsafe fn usable_size(&self, ptr: NonNull<u8>, layout: NonZeroLayout) -> Option<usize> {
        let right = self.entry(ptr)?.layout.size().get();
        match self.fault {
            Fault::UsableTooSmall => Some(layout.size().get() - 1),
            Fault::UsableTooLarge => Some(right + 1),
            // Shifted or shortened blocks end before the inner one does.
            Fault::Misaligned | Fault::WeakAbove4096 | Fault::Short => None,
            _ => Some(right),
        }
    }

    fn capacity_bytes(&self) -> Option<usize> {
        match self.fault {
            Fault::CapacityFollowsUse => Some(RANGE - self.live.borrow().len()),
            Fault::CapacityTooSmall => Some(1000),
            _ => Some(RANGE),
        }
    }

    fn corruption_events(&self) -> u64 {
        if self.has(Fault::RaisesCorruption) {
            self.served.get() as u64
        } else {
            0
        }
    }
}

// SAFETY: the segment is on the heap.
unsafe impl StableAddress for Mutant {}

// SAFETY: the answer is right but for the faults that are about it.
unsafe impl Owns for Mutant {
    fn owns(&self, ptr: NonNull<u8>) -> bool {
        match self.fault {
            Fault::OwnsEverything => true,
            Fault::OwnsNothing => false,
            _ => self.inner.owns(ptr),
        }
    }
}

impl Reset for Mutant {
    fn reset(&mut self) {
        if !self.has(Fault::ResetKeepsBlocks) {
            self.inner.reset();
        }
        self.live.get_mut().clear();
    }
}

impl Inspect for Mutant {
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        match (self.fault, self.entry(ptr)) {
            (Fault::ValidatesAnything, _) => Ok(BlockInfo {
                usable_bytes: 1 << 20,
            }),
            (Fault::ValidatesNothing, _) | (_, None) => Err(Misuse::NeverAllocated),
            (_, Some(entry)) => Ok(BlockInfo {
                usable_bytes: entry.layout.size().get(),
            }),
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        if self.has(Fault::VerifyFindsGhosts) {
            return Err(Corruption {
                invariant: "I0: no ghosts",
                offset: 0,
            });
        }
        self.inner.verify_all()
    }

    fn state_digest(&self) -> u64 {
        match self.fault {
            Fault::DigestCountsRefusals => self.inner.state_digest() ^ self.refused.get(),
            Fault::DigestConstant => 7,
            _ => self.inner.state_digest(),
        }
    }
}

/// A mutant behind a lock, for the checks that need `Sync`.
struct Shared(std::sync::Mutex<Sendable>);

struct Sendable(Mutant);

// SAFETY: the mutant's pointers lead into its own segment, and its cells are its own.
unsafe impl Send for Sendable {}

// SAFETY: none: wrong on purpose.
unsafe impl Deallocator for Shared {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        let inner = self.0.lock().expect("not poisoned");
        // SAFETY: the caller's requirements are the same.
        unsafe { inner.0.deallocate(ptr, layout) };
    }
}

// SAFETY: none: wrong on purpose.
unsafe impl Allocator for Shared {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.0.lock().expect("not poisoned").0.allocate(layout)
    }
}

/// The checks named, as a table.
macro_rules! checks {
    ($make:ident: $($name:ident),*) => {
        [$((stringify!($name), &|| { conformance::$name($make, CAPS); })),*]
            as [(&str, &dyn Fn()); _]
    };
}

/// The checks that fail for `fault`, by name.
fn failing_checks(fault: Fault) -> Vec<&'static str> {
    let make = || Mutant::new(fault);
    let shared = || Shared(std::sync::Mutex::new(Sendable(Mutant::new(fault))));
    let checks = checks!(
        make: basic_round_trip, alignment, lengths, refuses_absurd_sizes, disjoint, zeroed, fits,
        usable_size, grow_shrink, resize_refusal, exhaustion, capacity, corruption_events,
        dyn_usable, owns, reset, stable_address, inspect
    );
    let shared_checks = checks!(shared: sends, shares);
    let mut failing = Vec::new();
    for &(name, check) in checks.iter().chain(&shared_checks) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(check)) {
            let words = payload.downcast_ref::<String>().expect("a formatted panic");
            let named = words.starts_with(&format!("{name}: "));
            assert!(named, "{name} failed with the words: {words}");
            failing.push(name);
        }
    }
    let at_once = catch_unwind(|| conformance::check_allocator(make, CAPS));
    let of_allocator = |name: &&str| ALLOCATOR_CHECKS.contains(name);
    assert_eq!(at_once.is_err(), failing.iter().any(of_allocator));
    failing
}

/// The checks that `check_allocator` makes.
const ALLOCATOR_CHECKS: [&str; 14] = [
    "basic_round_trip",
    "alignment",
    "lengths",
    "refuses_absurd_sizes",
    "disjoint",
    "zeroed",
    "fits",
    "usable_size",
    "grow_shrink",
    "resize_refusal",
    "exhaustion",
    "capacity",
    "corruption_events",
    "dyn_usable",
];

/// One test for each fault: the checks that find it, and no others.
macro_rules! caught {
    ($($name:ident: $fault:ident => [$($check:literal),* $(,)?];)*) => {
        $(
            #[test]
            fn $name() {
                assert_eq!(failing_checks(Fault::$fault), [$($check),*] as [&str; _]);
            }
        )*
    };
}

caught! {
    a_right_allocator_passes: None => [];
    misaligned: Misaligned => ["alignment", "disjoint", "grow_shrink", "exhaustion", "reset"];
    weak_above4096: WeakAbove4096 => ["alignment"];
    overlapping: Overlapping => ["alignment", "disjoint", "zeroed", "fits", "usable_size", "grow_shrink", "capacity", "corruption_events", "owns", "inspect", "shares"];
    short: Short => ["basic_round_trip", "alignment", "lengths", "refuses_absurd_sizes", "disjoint", "zeroed", "fits", "usable_size", "grow_shrink", "resize_refusal", "exhaustion", "capacity", "corruption_events", "dyn_usable", "owns", "reset", "stable_address", "inspect", "sends", "shares"];
    serves_absurd_sizes: ServesAbsurdSizes => ["refuses_absurd_sizes", "resize_refusal"];
    zeroes_nothing: ZeroesNothing => ["zeroed"];
    zeroes_requested_only: ZeroesRequestedOnly => ["zeroed"];
    leaks_all: LeaksAll => ["fits", "grow_shrink", "exhaustion", "shares"];
    leaks_oversized_frees: LeaksOversizedFrees => ["fits"];
    refuses_late_blocks: RefusesLateBlocks => ["disjoint", "exhaustion", "reset", "shares"];
    usable_too_small: UsableTooSmall => ["usable_size"];
    usable_too_large: UsableTooLarge => ["usable_size"];
    grow_loses_contents: GrowLosesContents => ["grow_shrink"];
    grow_ignores_alignment: GrowIgnoresAlignment => ["grow_shrink"];
    grow_zeroes_nothing: GrowZeroesNothing => ["grow_shrink"];
    shrink_copies_too_much: ShrinkCopiesTooMuch => ["grow_shrink"];
    refused_grow_frees: RefusedGrowFrees => ["resize_refusal"];
    refused_grow_scribbles: RefusedGrowScribbles => ["resize_refusal"];
    raises_corruption: RaisesCorruption => ["corruption_events"];
    capacity_follows_use: CapacityFollowsUse => ["capacity"];
    capacity_too_small: CapacityTooSmall => ["capacity"];
    owns_everything: OwnsEverything => ["owns"];
    owns_nothing: OwnsNothing => ["owns"];
    reset_keeps_blocks: ResetKeepsBlocks => ["reset"];
    validates_anything: ValidatesAnything => ["inspect"];
    validates_nothing: ValidatesNothing => ["inspect"];
    verify_finds_ghosts: VerifyFindsGhosts => ["inspect"];
    digest_counts_refusals: DigestCountsRefusals => ["inspect"];
    digest_constant: DigestConstant => ["inspect"];
    ignores_foreign_threads: IgnoresForeignThreads => ["shares"];
    serves_one_thread: ServesOneThread => ["sends", "shares"];
}

/// A range over a heap buffer whose description is wrong in one way.
mod ranges {
    use super::*;
    use drystone_core::{FixedRange, HeapSegment, arith};

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(super) enum Lie {
        None,
        BaseWanders,
        AlignTooGreat,
        ContainsEnd,
        CommitsAnything,
        CommitRefusesEmpty,
        AlignOffsetRoundsTwice,
    }

    pub(super) struct Liar {
        segment: HeapSegment,
        lie: Lie,
        calls: Cell<usize>,
    }

    impl Liar {
        pub(super) fn new(lie: Lie) -> Self {
            let segment = HeapSegment::new(layout(5000, 64)).expect("memory");
            let calls = Cell::new(0);
            Self {
                segment,
                lie,
                calls,
            }
        }
    }

    // SAFETY: none: wrong on purpose.
    unsafe impl FixedRange for Liar {
        fn base(&self) -> NonNull<u8> {
            let wanders = self.lie == Lie::BaseWanders;
            self.calls.set(self.calls.get() + usize::from(wanders));
            // SAFETY: a few calls stay far inside the segment.
            unsafe { self.segment.base().add(self.calls.get() % 64) }
        }

        fn size(&self) -> usize {
            4096
        }

        fn base_align(&self) -> usize {
            self.segment.base_align() << usize::from(self.lie == Lie::AlignTooGreat)
        }

        fn contains(&self, ptr: NonNull<u8>) -> bool {
            let offset = ptr
                .addr()
                .get()
                .wrapping_sub(self.segment.base().addr().get());
            offset < 4096 + usize::from(self.lie == Lie::ContainsEnd)
        }

        fn commit(&self, offset: usize, len: usize) -> Result<(), AllocError> {
            let fits = match self.lie {
                Lie::CommitsAnything => offset.wrapping_add(len) <= 4096,
                Lie::CommitRefusesEmpty => len > 0 && arith::range_fits(offset, len, 4096),
                _ => arith::range_fits(offset, len, 4096),
            };
            if fits { Ok(()) } else { Err(AllocError) }
        }

        fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
            let aligned = arith::align_offset_at(self.segment.base().addr().get(), offset, align)?;
            let twice = self.lie == Lie::AlignOffsetRoundsTwice && align > 1;
            aligned.checked_add(if twice { align } else { 0 })
        }
    }
}

/// One test for each lie of a range: the words that find it.
macro_rules! range_caught {
    ($($name:ident: $lie:ident => $words:literal;)*) => {
        $(
            #[test]
            #[should_panic(expected = $words)]
            fn $name() {
                conformance::fixed_range(&ranges::Liar::new(ranges::Lie::$lie));
            }
        )*
    };
}

range_caught! {
    base_wanders: BaseWanders => "fixed_range: two calls of base and size differ";
    align_too_great: AlignTooGreat => "fixed_range: base ";
    contains_end: ContainsEnd => "fixed_range: contains ";
    commits_anything: CommitsAnything => "fixed_range: commit(1, 18446744073709551615) passed";
    commit_refuses_empty: CommitRefusesEmpty => "fixed_range: commit(0, 0) failed";
    align_offset_rounds_twice: AlignOffsetRoundsTwice => "fixed_range: align_offset(0, 2) is Some(2)";
}

#[test]
fn a_right_range_passes() {
    conformance::fixed_range(&ranges::Liar::new(ranges::Lie::None));
}

/// Storage inside the value that claims to stay where it is.
struct Inline {
    bytes: std::cell::UnsafeCell<[u8; 4096]>,
    used: Cell<usize>,
}

// SAFETY: nothing is taken back.
unsafe impl Deallocator for Inline {
    unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {}
}

// SAFETY: blocks of one byte alignment, one after the other.
unsafe impl Allocator for Inline {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        let start = self.used.get();
        let end = start + layout.size().get();
        if end > 4096 || layout.align().get() > 1 {
            return Err(AllocError);
        }
        self.used.set(end);
        let base = NonNull::new(self.bytes.get())
            .ok_or(AllocError)?
            .cast::<u8>();
        // SAFETY: below 4096.
        let ptr = unsafe { base.add(start) };
        Ok(NonNull::slice_from_raw_parts(ptr, end - start))
    }
}

// SAFETY: none: wrong on purpose.
unsafe impl StableAddress for Inline {}

#[test]
#[should_panic(expected = "stable_address: byte 0 of a block changed when the allocator moved")]
fn storage_by_value_is_not_stable() {
    let make = || Inline {
        bytes: std::cell::UnsafeCell::new([0; 4096]),
        used: Cell::new(0),
    };
    conformance::stable_address(make, Caps::new(64, 1, 64));
}

#[test]
#[should_panic(expected = "stable_range: the range moved with its value")]
fn a_range_by_value_is_not_stable() {
    struct ByValue(std::cell::UnsafeCell<[u8; 64]>);
    // SAFETY: the bytes are the value's own.
    unsafe impl drystone_core::FixedRange for ByValue {
        fn base(&self) -> NonNull<u8> {
            NonNull::from(&self.0).cast()
        }
        fn size(&self) -> usize {
            64
        }
        fn base_align(&self) -> usize {
            1
        }
    }
    // SAFETY: none: wrong on purpose.
    unsafe impl StableAddress for ByValue {}
    conformance::stable_range(|| ByValue(std::cell::UnsafeCell::new([0; 64])));
}
