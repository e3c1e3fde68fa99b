//! Misuse that reaches an oracle through a stack of parts ends the process with one exact line,
//! and pages that may not be touched fault. Not under Miri, which starts no processes.
#![cfg(not(miri))]

use std::cell::Cell;
use std::ptr::NonNull;

use drystone_backing::{HeapBacked, MmapBacked, System, page_size};
use drystone_core::{
    AllocError, Allocator, Deallocator, FixedRange, NonZeroLayout, OsBacked, Owns, Protection,
    StableAddress,
};
use drystone_layout::{BumpArena, Slab};
use drystone_testkit::FirstFit;
use drystone_testkit::death::{self, End, Expect};
use drystone_testkit::oracle::{AbortOnMisuse, Oracle};
use drystone_wrap::{Faulty, Locked, NeverFail, Statistics, WithFallback};

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

fn watched<A: Allocator + StableAddress>(inner: A) -> Oracle<A, AbortOnMisuse> {
    Oracle::new(inner, AbortOnMisuse)
}

fn slab() -> Slab<[u64; 8], HeapBacked> {
    let range = HeapBacked::new(4096).expect("memory for a test");
    Slab::new(16, range).expect("room for the slots")
}

/// Frees one block twice through `stack`.
fn free_twice<A: Allocator>(stack: A) {
    let block = stack.allocate(layout(64)).expect("room").cast();
    for _ in 0..2 {
        // SAFETY: the block is live; then it is not, which the oracle below is to find.
        unsafe { stack.deallocate(block, layout(64)) };
    }
}

/// Frees a block with the wrong size through `stack`.
fn free_short<A: Allocator>(stack: A) {
    let block = stack.allocate(layout(64)).expect("room").cast();
    // SAFETY: the layout does not fit, which the oracle below is to find.
    unsafe { stack.deallocate(block, layout(56)) };
}

/// Frees a pointer to the stack through `stack`.
fn free_foreign<A: Allocator>(stack: A) {
    let stranger = [0u64; 8];
    // SAFETY: the pointer is foreign, which the oracle below is to find.
    unsafe { stack.deallocate(NonNull::from(&stranger).cast(), layout(64)) };
}

/// A death test for each row: the body dies with the line.
macro_rules! dies {
    ($($name:ident: $line:literal, $body:expr;)*) => {
        $(
            #[test]
            fn $name() {
                let expected = Expect { end: End::Abort, line: $line };
                death::expect(stringify!($name), expected, || $body);
            }
        )*
    };
}

dies! {
    double_free_through_a_lock:
        "drystone: double free", free_twice(Locked::new(watched(slab())));
    double_free_through_statistics:
        "drystone: double free", free_twice(Statistics::new(watched(slab())));
    double_free_through_a_fault_injector:
        "drystone: double free", free_twice(Faulty::new(watched(slab()), NeverFail));
    double_free_through_a_primary:
        "drystone: double free", free_twice(WithFallback::new(watched(slab()), System));
    double_free_through_a_secondary:
        "drystone: double free",
        free_twice(WithFallback::new(BumpArena::new(drystone_backing::InlineBacked::<0>::new()), watched(System)));
    double_free_through_three:
        "drystone: double free",
        free_twice(Statistics::new(Locked::new(Faulty::new(watched(slab()), NeverFail))));
    double_free_over_a_bump_arena:
        "drystone: double free",
        free_twice(watched(BumpArena::new(HeapBacked::new(4096).expect("memory"))));
    short_free_through_statistics:
        "drystone: layout mismatch", free_short(Statistics::new(watched(FirstFit::new(4096))));
    short_free_through_a_lock:
        "drystone: layout mismatch", free_short(Locked::new(watched(FirstFit::new(4096))));
    foreign_free_falls_to_the_secondary:
        "drystone: foreign pointer", free_foreign(WithFallback::new(slab(), watched(System)));
    foreign_free_through_a_lock:
        "drystone: foreign pointer", free_foreign(Locked::new(watched(slab())));
}

/// Takes access away from the second page of a mapping, and does `touch` with the address in it.
fn touch_protected(protection: Protection, touch: impl FnOnce(NonNull<u8>)) {
    let page = page_size();
    let pages = MmapBacked::new(3 * page).expect("memory for a test");
    pages.commit(0, 3 * page).expect("memory for a test");
    // SAFETY: nothing lies in the page, and what touches it below is meant to fault.
    unsafe { pages.protect(page, page, protection) }.expect("a page may be protected");
    // SAFETY: inside the mapping.
    touch(unsafe { pages.base().add(page + 100) });
}

const FAULT: Expect<'_> = Expect {
    end: End::Fault,
    line: "",
};

#[test]
fn reading_a_page_without_access_faults() {
    death::expect("reading_a_page_without_access_faults", FAULT, || {
        touch_protected(Protection::None, |byte| {
            // SAFETY: none: the access is meant to fault.
            let _ = unsafe { byte.read_volatile() };
        });
    });
}

#[test]
fn writing_a_page_that_is_read_only_faults() {
    death::expect("writing_a_page_that_is_read_only_faults", FAULT, || {
        touch_protected(Protection::Read, |byte| {
            // SAFETY: none: the access is meant to fault.
            unsafe { byte.write_volatile(1) };
        });
    });
}

#[test]
fn touching_the_next_page_does_not_fault() {
    let survived = death::try_expect("touching_the_next_page_does_not_fault", FAULT, || {
        touch_protected(Protection::None, |byte| {
            // SAFETY: the third page may be accessed.
            let next = unsafe { byte.add(page_size()) };
            // SAFETY: as above.
            unsafe { next.write_volatile(1) };
        });
    });
    let words = survived.expect_err("alive").to_string();
    assert!(words.starts_with("the body did not die"), "{words}");
}

/// A heap whose blocks are the primary's from the first resize on, and a primary that has no room.
#[derive(Default)]
struct Swallowed(Cell<bool>);

// SAFETY: the blocks are the system's.
unsafe impl Deallocator for Swallowed {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the block is the system's; same requirements.
        unsafe { System.deallocate(ptr, layout) };
    }
}

// SAFETY: the blocks are the system's.
unsafe impl Allocator for Swallowed {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        System.allocate(layout)
    }

    unsafe fn grow(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        self.0.set(true);
        // SAFETY: the block is the system's; same requirements.
        unsafe { System.grow(ptr, old, new) }
    }
}

/// Has no room, and says that every block is its own once the heap has resized one.
struct Swallows<'a>(&'a Swallowed);

// SAFETY: there is never a block.
unsafe impl Deallocator for Swallows<'_> {
    unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {}
}

// SAFETY: there is never a block.
unsafe impl Allocator for Swallows<'_> {
    fn allocate(&self, _layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        Err(AllocError)
    }
}

// SAFETY: none: the answer is meant to be wrong.
unsafe impl Owns for Swallows<'_> {
    fn owns(&self, _ptr: NonNull<u8>) -> bool {
        self.0.0.get()
    }
}

#[test]
fn a_secondary_that_resizes_into_the_primary_ends_the_process() {
    let expected = Expect {
        end: End::Abort,
        line: "drystone: the secondary of a WithFallback has memory inside the primary's",
    };
    let test = "a_secondary_that_resizes_into_the_primary_ends_the_process";
    death::expect(test, expected, || {
        let heap = Swallowed::default();
        let both = WithFallback::new(Swallows(&heap), &heap);
        let block = both.allocate(layout(64)).expect("memory").cast();
        // SAFETY: the block is live with this layout.
        let _ = unsafe { both.grow(block, layout(64), layout(128)) };
    });
}
