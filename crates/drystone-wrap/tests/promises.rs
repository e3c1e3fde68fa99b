//! What each wrapper keeps of the allocator inside it: the types, compared with the table in
//! `docs/COMPOSING.md`.
#![cfg(not(miri))] // Reads a file, and has no unsafe code that runs.

mod common;

use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use common::composing::table;
use drystone_core::{
    Advice, AllocError, Allocator, Contents, Deallocator, FixedRange, GlobalSafe, Late, NoHeap,
    NonZeroLayout, OsBacked, OsError, OverPages, Owns, Protection, Reset, StableAddress,
};
use drystone_trace::Recorder;
use drystone_wrap::{
    Budget, CacheJitter, Canary, Faulty, GuardPages, HugePageAdvised, Locked, NeverFail, NumaLocal,
    Off, PoisonOnFree, Quarantine, Segregate, Statistics, Tag, Tagged, Watermark, WatermarkHandler,
    WithFallback,
};

/// Whether a type has a trait, as a constant: the inherent constant exists only where the bound
/// holds, and is preferred to the trait's where it exists.
macro_rules! has {
    ($type:ty: $($bound:tt)+) => {{
        struct Probe<T: ?Sized>(PhantomData<T>);
        #[allow(dead_code, reason = "unused where the bound holds")]
        trait Otherwise {
            const HOLDS: bool = false;
        }
        impl<T: ?Sized> Otherwise for Probe<T> {}
        #[allow(dead_code, reason = "unused where the bound does not hold")]
        impl<T: ?Sized + $($bound)+> Probe<T> {
            const HOLDS: bool = true;
        }
        <Probe<$type>>::HOLDS
    }};
}

/// Has every promise. Serves nothing: only its type matters.
struct Full;

/// Has only `Owns`, without which it could not be a primary, and is an allocator.
struct Bare;

/// Owns blocks, but hands none out.
struct NoAllocator;

/// Lets its bytes be reached, stays where it is, and has no other promise.
struct Reached;

/// Lends its pages, and has no other promise.
struct Paged;

/// Has every promise that a content wrapper may ask for, but moves.
struct Moving;

/// Allocators of each kind of thread safety.
struct OneThread(PhantomData<Rc<()>>);
struct Movable(PhantomData<Cell<()>>);
struct Pinned(PhantomData<std::sync::MutexGuard<'static, ()>>);
struct Shared;

macro_rules! allocator {
    ($($type:ty),+) => { $(
        // SAFETY: never called: no block is handed out.
        unsafe impl Deallocator for $type {
            unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {}
        }

        // SAFETY: no block is handed out.
        unsafe impl Allocator for $type {
            fn allocate(&self, _layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
                Err(AllocError)
            }
        }

        // SAFETY: there is no block and no memory.
        unsafe impl Owns for $type {
            fn owns(&self, _ptr: NonNull<u8>) -> bool {
                false
            }
        }
    )+ };
}
allocator!(Full, Bare, OneThread, Movable, Pinned, Shared, Moving);

/// For the column of `Owns`: an allocator that does not know its blocks.
struct Forgetful;

// SAFETY: there is no block and no memory.
unsafe impl Owns for NoAllocator {
    fn owns(&self, _ptr: NonNull<u8>) -> bool {
        false
    }
}

// SAFETY: there is no block.
unsafe impl Contents for Full {
    unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
        block
    }

    unsafe fn ending(&mut self, _visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {}
}

macro_rules! over_pages {
    ($($type:ty),+) => { $(
        // SAFETY: there is no block.
        unsafe impl OverPages for $type {
            type Pages = Full;

            fn pages(&self) -> &Full {
                &Full
            }
        }
    )+ };
}
over_pages!(Full, Paged, OneThread, Movable, Pinned, Shared);

macro_rules! forgetful_allocator {
    ($($type:ty),+) => { $(
        // SAFETY: never called: no block is handed out.
        unsafe impl Deallocator for $type {
            unsafe fn deallocate(&self, _ptr: NonNull<u8>, _layout: NonZeroLayout) {}
        }

        // SAFETY: no block is handed out.
        unsafe impl Allocator for $type {
            fn allocate(&self, _layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
                Err(AllocError)
            }
        }
    )+ };
}
forgetful_allocator!(Forgetful, Reached, Paged);

macro_rules! contents {
    ($($type:ty),+) => { $(
        // SAFETY: there is no block.
        unsafe impl Contents for $type {
            unsafe fn own_pointer(&self, block: NonNull<u8>, _layout: NonZeroLayout) -> NonNull<u8> {
                block
            }

            unsafe fn ending(&mut self, _visit: &mut dyn FnMut(&mut [MaybeUninit<u8>])) {}
        }
    )+ };
}
contents!(Reached, Moving, OneThread, Movable, Pinned, Shared);

macro_rules! stable {
    ($($type:ty),+) => { $(
        // SAFETY: there is no block.
        unsafe impl StableAddress for $type {}
    )+ };
}
stable!(Reached, OneThread, Movable, Pinned, Shared);

impl Reset for Full {
    fn reset(&mut self) {}
}

// SAFETY: there is no block.
unsafe impl StableAddress for Full {}

// SAFETY: no method does anything.
unsafe impl NoHeap for Full {}
// SAFETY: no method does anything.
unsafe impl GlobalSafe for Full {}

// SAFETY: an empty range keeps every law.
unsafe impl FixedRange for Full {
    fn base(&self) -> NonNull<u8> {
        NonNull::dangling()
    }

    fn size(&self) -> usize {
        0
    }

    fn base_align(&self) -> usize {
        1
    }
}

// SAFETY: every call is refused.
unsafe impl OsBacked for Full {
    fn page_size(&self) -> usize {
        1
    }

    unsafe fn release(&self, _offset: usize, _len: usize) -> Result<(), OsError> {
        Err(OsError::Unsupported { what: "pages" })
    }

    unsafe fn protect(&self, _: usize, _: usize, _: Protection) -> Result<(), OsError> {
        Err(OsError::Unsupported { what: "pages" })
    }

    fn advise(&self, _: usize, _: usize, _: Advice) -> Result<(), OsError> {
        Err(OsError::Unsupported { what: "pages" })
    }

    fn bind_node(&self, _: usize, _: usize, _: u32) -> Result<(), OsError> {
        Err(OsError::Unsupported { what: "pages" })
    }
}

/// A cell of the table, from what holds over an inner allocator with and without the promise.
fn of_one(with: bool, without: bool) -> &'static str {
    match (with, without) {
        (true, true) => "yes",
        (true, false) => "if A",
        (false, false) => "no",
        (false, true) => "if A has not",
    }
}

/// The same over two inner allocators: both with it, the first only, the second only, neither.
fn of_two(holds: [bool; 4]) -> &'static str {
    match holds {
        [true, true, true, true] => "yes",
        [true, false, false, false] => "if both",
        [false, false, false, false] => "no",
        [true, true, false, false] => "if P",
        [true, false, true, false] => "if S",
        [true, true, true, false] => "if either",
        _ => "contradictory",
    }
}

/// A cell of the columns `Send` and `Sync`, from what holds over inner types that are neither,
/// `Send` only, `Sync` only, and both.
fn of_threads(holds: [bool; 4], own: &'static str) -> &'static str {
    match (holds, own) {
        ([true, true, true, true], _) => "yes",
        ([false, false, false, false], _) => "no",
        ([false, true, false, true], "Send") | ([false, false, true, true], "Sync") => "if A",
        ([false, true, false, true], _) => "if A is Send",
        ([false, false, true, true], _) => "if A is Sync",
        ([false, false, false, true], _) => "if A is Send and Sync",
        _ => "contradictory",
    }
}

/// The row of a wrapper of one allocator.
macro_rules! row {
    ($name:literal, $a:ident => $wrapper:ty) => {{
        macro_rules! over {
            ($inner:ty: $promise:path) => {{
                type $a = $inner;
                has!($wrapper: $promise)
            }};
        }
        macro_rules! threads {
            ($auto:ident) => {
                of_threads(
                    [
                        over!(OneThread: $auto),
                        over!(Movable: $auto),
                        over!(Pinned: $auto),
                        over!(Shared: $auto),
                    ],
                    stringify!($auto),
                )
            };
        }
        let cells = vec![
            of_one(over!(Full: Allocator), over!(NoAllocator: Allocator)),
            of_one(over!(Full: Owns), over!(Forgetful: Owns)),
            of_one(over!(Full: Reset), over!(Bare: Reset)),
            of_one(over!(Full: StableAddress), over!(Bare: StableAddress)),
            of_one(over!(Full: FixedRange), over!(Bare: FixedRange)),
            of_one(over!(Full: OsBacked), over!(Bare: OsBacked)),
            threads!(Send),
            threads!(Sync),
            of_one(over!(Full: GlobalSafe), over!(Bare: GlobalSafe)),
            of_one(over!(Full: Contents), over!(Bare: Contents)),
            of_one(over!(Full: OverPages), over!(Bare: OverPages)),
        ];
        ($name, cells)
    }};
}

/// The row of a wrapper that is no type unless the inner allocator keeps the promises of `$least`.
macro_rules! row_over {
    ($least:ty: $name:literal, $a:ident => $wrapper:ty, stable without: $stays:expr) => {{
        macro_rules! over {
            ($inner:ty: $promise:path) => {{
                type $a = $inner;
                has!($wrapper: $promise)
            }};
        }
        macro_rules! threads {
            ($auto:ident) => {
                of_threads(
                    [
                        over!(OneThread: $auto),
                        over!(Movable: $auto),
                        over!(Pinned: $auto),
                        over!(Shared: $auto),
                    ],
                    stringify!($auto),
                )
            };
        }
        // A column of what the type asks for can only say that it follows the inner allocator.
        let contents = over!($least: Contents) && !has!($least: Contents);
        let pages = over!($least: OverPages) && !has!($least: OverPages);
        let cells = vec![
            of_one(over!(Full: Allocator), false),
            of_one(over!(Full: Owns), over!($least: Owns)),
            of_one(over!(Full: Reset), over!($least: Reset)),
            of_one(over!(Full: StableAddress), $stays),
            of_one(over!(Full: FixedRange), over!($least: FixedRange)),
            of_one(over!(Full: OsBacked), over!($least: OsBacked)),
            threads!(Send),
            threads!(Sync),
            of_one(over!(Full: GlobalSafe), over!($least: GlobalSafe)),
            of_one(over!(Full: Contents), contents),
            of_one(over!(Full: OverPages), pages),
        ];
        ($name, cells)
    }};
}

/// The row of a wrapper that is no type unless the inner allocator lets its bytes be reached and, if
/// nothing is said about `moving`, stays where it is.
macro_rules! row_over_contents {
    ($name:literal, $a:ident => $wrapper:ty) => {
        row_over!(Reached: $name, $a => $wrapper, stable without: false)
    };
    ($name:literal, $a:ident => $wrapper:ty, moving: $moving:ty) => {
        row_over!(Reached: $name, $a => $wrapper, stable without: {
            type $a = Moving;
            has!($moving: StableAddress)
        })
    };
}

/// The row of a wrapper that is no type unless the inner allocator lends its pages.
macro_rules! row_over_pages {
    ($name:literal, $a:ident => $wrapper:ty) => {
        row_over!(Paged: $name, $a => $wrapper, stable without: {
            type $a = Paged;
            has!($wrapper: StableAddress)
        })
    };
}

/// A cell of the row of a wrapper of two allocators.
macro_rules! cell_of_two {
    ($wrapper:ident: $promise:path, $with:ty, $without:ty) => {
        of_two([
            has!($wrapper<$with, $with>: $promise),
            has!($wrapper<$with, $without>: $promise),
            has!($wrapper<$without, $with>: $promise),
            has!($wrapper<$without, $without>: $promise),
        ])
    };
}

/// The row of a wrapper of two allocators.
macro_rules! row_of_two {
    ($name:literal, $wrapper:ident) => {{
        let cells = vec![
            cell_of_two!($wrapper: Allocator, Full, NoAllocator),
            cell_of_two!($wrapper: Owns, Full, Forgetful),
            cell_of_two!($wrapper: Reset, Full, Bare),
            cell_of_two!($wrapper: StableAddress, Full, Bare),
            cell_of_two!($wrapper: FixedRange, Full, Bare),
            cell_of_two!($wrapper: OsBacked, Full, Bare),
            cell_of_two!($wrapper: Send, Shared, OneThread),
            cell_of_two!($wrapper: Sync, Shared, OneThread),
            cell_of_two!($wrapper: GlobalSafe, Full, Bare),
            cell_of_two!($wrapper: Contents, Full, Bare),
            cell_of_two!($wrapper: OverPages, Full, Bare),
        ];
        ($name, cells)
    }};
}

/// Hears nothing.
struct Deaf;

impl WatermarkHandler for Deaf {}

// SAFETY: it does nothing.
unsafe impl NoHeap for Deaf {}

fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    vec![
        row!("`&A`", A => &'static A),
        row!("`Box<A>`", A => Box<A>),
        row!("`Rc<A>`", A => Rc<A>),
        row!("`Arc<A>`", A => Arc<A>),
        row!("`Late<A>`", A => Late<A>),
        row_of_two!("`WithFallback<P, S>`", WithFallback),
        row_of_two!("`Segregate<S, L>`", Segregate),
        row!("`Locked<A>`", A => Locked<A>),
        row!("`Statistics<A>`", A => Statistics<A>),
        row!("`Statistics<A, Off>`", A => Statistics<A, Off>),
        row!("`Faulty<A, NeverFail>`", A => Faulty<A, NeverFail>),
        row!("`Budget<A>`", A => Budget<A>),
        row!("`Budget<A, Off>`", A => Budget<A, Off>),
        row!("`Watermark<A, H>`", A => Watermark<A, Deaf>),
        row!("`Watermark<A, H, Off>`", A => Watermark<A, Deaf, Off>),
        row!("`Tagged<A>`", A => Tagged<A>),
        row!("`Tagged<A, &Tag>`", A => Tagged<A, &'static Tag>),
        row!("`Tagged<A, Off>`", A => Tagged<A, Off>),
        row_over_pages!("`GuardPages<A>`", A => GuardPages<A>),
        row_over_pages!("`GuardPages<A, Off>`", A => GuardPages<A, Off>),
        row!("`CacheJitter<A>`", A => CacheJitter<A>),
        row!("`CacheJitter<A, Off>`", A => CacheJitter<A, Off>),
        row_over_contents!("`PoisonOnFree<A>`", A => PoisonOnFree<A>, moving: PoisonOnFree<A>),
        row_over_contents!(
            "`PoisonOnFree<A, Off>`",
            A => PoisonOnFree<A, Off>,
            moving: PoisonOnFree<A, Off>
        ),
        row_over_contents!("`Quarantine<A, N>`", A => Quarantine<A, 8>),
        row_over_contents!("`Quarantine<A, N, Off>`", A => Quarantine<A, 8, Off>),
        row!("`Canary<A>`", A => Canary<A>),
        row!("`Canary<A, Off>`", A => Canary<A, Off>),
        row!("`NumaLocal<A>`", A => NumaLocal<A>),
        row!("`NumaLocal<A, Off>`", A => NumaLocal<A, Off>),
        row!("`HugePageAdvised<A>`", A => HugePageAdvised<A>),
        row!("`HugePageAdvised<A, Off>`", A => HugePageAdvised<A, Off>),
        row!("`Recorder<A>`", A => Recorder<A>),
    ]
}

const HEADER: &str = "| | Allocator | Owns | Reset | StableAddress | FixedRange | OsBacked | Send \
                      | Sync | GlobalSafe | Contents | OverPages |";

#[test]
fn the_table_of_promises_is_what_the_types_say() {
    let rows: BTreeMap<_, _> = rows().into_iter().collect();
    assert_eq!(table(HEADER), rows);
}

/// A few facts in plain sight, so that a mistake in the macros above cannot agree with itself.
#[test]
fn facts_that_anyone_can_check() {
    const {
        assert!(has!(Statistics<Full>: Reset));
        assert!(!has!(Statistics<Bare>: Reset));
        assert!(!has!(Statistics<Full>: FixedRange));
        assert!(has!(Locked<Movable>: Sync));
        assert!(!has!(Locked<OneThread>: Sync));
        assert!(!has!(Rc<Full>: Send));
        assert!(has!(Full: OsBacked));
        assert!(!has!(WithFallback<Full, Bare>: StableAddress));
        assert!(!has!(WithFallback<Forgetful, Full>: Allocator));
        assert!(has!(Faulty<Full, NeverFail>: GlobalSafe));
        assert!(!has!(Locked<Bare>: GlobalSafe));
        assert!(!has!(Box<Full>: GlobalSafe));
        assert!(has!(NumaLocal<GuardPages<Full>>: OverPages));
        assert!(!has!(Statistics<Full>: OverPages));
        assert!(!has!(&'static Full: OverPages));
        assert!(!has!(Tagged<Full, &'static Tag>: Reset));
        assert!(has!(Locked<Quarantine<Full, 8>>: GlobalSafe));
        assert!(!has!(Quarantine<Full, 8>: Sync));
        assert!(has!(Canary<Full>: Sync));
        assert!(!has!(Canary<Bare>: Allocator));
    }
}
