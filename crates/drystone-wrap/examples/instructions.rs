//! One wrapper around a slab, called `n` times, for counting the instructions of a call.
//!
//! `allocate_once` and `deallocate_once` are never inlined, so an instruction counter can collect
//! inside them only. Counted at two values of `n`, the difference divided by the difference of `n`
//! is one call, without start and first use:
//!
//! ```text
//! cargo build --release -p drystone-wrap --features std --example instructions
//! valgrind --tool=callgrind --callgrind-out-file=/dev/null \
//!     --toggle-collect='*::allocate_once*' target/release/examples/instructions statistics 1000
//! ```

use core::ptr::NonNull;
use std::process::ExitCode;

use drystone_backing::{MmapBacked, System};
use drystone_core::{Allocator, Global, HeapSegment, Late, NonZeroLayout, StdCompat02};
use drystone_layout::Slab;
use drystone_trace::Recorder;
use drystone_wrap::{
    Budget, CacheJitter, Canary, Faulty, GuardPages, HugePageAdvised, Locked, NeverFail, NoLock,
    NumaLocal, Off, PoisonOnFree, Quarantine, Segregate, Statistics, Tagged, Watermark,
    WatermarkHandler, WithFallback,
};

type Block = [u64; 8];

const LAYOUT: NonZeroLayout = NonZeroLayout::for_type::<Block>().expect("not zero-sized");
const SLOTS: usize = 64;

/// Hears nothing.
struct Deaf;

impl WatermarkHandler for Deaf {}

/// The slab over pages.
fn paged() -> Slab<Block, MmapBacked> {
    let pages = MmapBacked::new(SLOTS * size_of::<Block>()).expect("a page");
    Slab::new(SLOTS, pages).expect("the range fits the slots")
}

fn slab() -> Slab<Block, HeapSegment> {
    let range = NonZeroLayout::array::<Block>(SLOTS).expect("small");
    let range = HeapSegment::new(range).expect("a few kilobytes");
    Slab::new(SLOTS, range).expect("the range fits the slots")
}

/// The slab with room for the words of a canary.
fn wide() -> Slab<[u64; 11], HeapSegment> {
    let range = NonZeroLayout::array::<[u64; 11]>(SLOTS).expect("small");
    let range = HeapSegment::new(range).expect("a few kilobytes");
    Slab::new(SLOTS, range).expect("the range fits the slots")
}

#[inline(never)]
fn allocate_once<A: Allocator>(allocator: &A) -> Option<NonNull<[u8]>> {
    allocator.allocate(LAYOUT).ok()
}

/// # Safety
///
/// `block` is a live block of `allocator`, allocated with `LAYOUT`.
#[inline(never)]
unsafe fn deallocate_once<A: Allocator>(allocator: &A, block: NonNull<u8>) {
    // SAFETY: the caller's promise.
    unsafe { allocator.deallocate(block, LAYOUT) };
}

fn call<A: Allocator>(allocator: &A, n: u64) {
    for _ in 0..n {
        let block = allocate_once(allocator).expect("one block at a time");
        // SAFETY: the block was just handed out.
        unsafe { deallocate_once(allocator, block.cast()) };
    }
}

/// The same through the interface of collections.
mod std_compat {
    use core::ptr::NonNull;

    use allocator_api2_02::alloc::Allocator;

    use super::LAYOUT;

    #[inline(never)]
    fn allocate_once<A: Allocator>(allocator: &A) -> Option<NonNull<[u8]>> {
        allocator.allocate(LAYOUT.to_layout()).ok()
    }

    /// # Safety
    ///
    /// As above.
    #[inline(never)]
    unsafe fn deallocate_once<A: Allocator>(allocator: &A, block: NonNull<u8>) {
        // SAFETY: the caller's promise.
        unsafe { allocator.deallocate(block, LAYOUT.to_layout()) };
    }

    pub(crate) fn call<A: Allocator>(allocator: &A, n: u64) {
        for _ in 0..n {
            let block = allocate_once(allocator).expect("one block at a time");
            // SAFETY: the block was just handed out.
            unsafe { deallocate_once(allocator, block.cast()) };
        }
    }
}

/// The same through the interface of a program's own allocator.
mod global {
    use core::alloc::GlobalAlloc;

    use super::LAYOUT;

    #[inline(never)]
    fn allocate_once<A: GlobalAlloc>(allocator: &A) -> *mut u8 {
        // SAFETY: the size is not zero.
        unsafe { allocator.alloc(LAYOUT.to_layout()) }
    }

    /// # Safety
    ///
    /// As above.
    #[inline(never)]
    unsafe fn deallocate_once<A: GlobalAlloc>(allocator: &A, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { allocator.dealloc(block, LAYOUT.to_layout()) };
    }

    pub(crate) fn call<A: GlobalAlloc>(allocator: &A, n: u64) {
        for _ in 0..n {
            let block = allocate_once(allocator);
            assert!(!block.is_null(), "one block at a time");
            // SAFETY: the block was just handed out.
            unsafe { deallocate_once(allocator, block) };
        }
    }
}

/// A recorder that records, to a file whose name is gone at once.
fn recording() -> Recorder<Slab<Block, HeapSegment>> {
    let path = std::env::temp_dir().join(format!("instructions-{}.dst", std::process::id()));
    drystone_trace::record_to(&path).expect("a new file");
    std::fs::remove_file(&path).expect("it is there");
    Recorder::new(slab())
}

/// Makes a second thread count, which makes every later count atomic.
fn shared() -> Statistics<Locked<Slab<Block, HeapSegment>>> {
    let counted = Statistics::new(Locked::new(slab()));
    call(&counted, 1);
    std::thread::scope(|scope| {
        scope.spawn(|| call(&counted, 1));
    });
    counted
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let Some(n) = args.next().and_then(|n| n.parse().ok()) else {
        eprintln!("usage: instructions NAME N");
        return ExitCode::from(2);
    };
    match name.as_str() {
        "slab" => call(&slab(), n),
        "reference" => call(&&slab(), n),
        "std-compat" => std_compat::call(&StdCompat02::new(slab()), n),
        "global-locked" => global::call(&Global::new(Locked::new(paged())), n),
        "recorder" => call(&Recorder::new(slab()), n),
        "recorder-recording" => call(&recording(), n),
        "late" => {
            let late = Late::new();
            let _ = late.set(slab());
            call(&late, n);
        }
        "fallback" => call(&WithFallback::new(slab(), System), n),
        "segregate" => call(&Segregate::new(slab(), System, 64), n),
        "budget" => call(&Budget::new(slab(), 1 << 20), n),
        "budget-off" => call(&Budget::with_switch(slab(), 0, Off), n),
        "watermark" => call(&Watermark::new(slab(), Deaf), n),
        "watermark-off" => call(&Watermark::with_switch(slab(), Deaf, Off), n),
        "tagged" => call(&Tagged::new(slab(), "counted"), n),
        "tagged-off" => call(&Tagged::with_tag(slab(), Off), n),
        "jitter-small" => call(&CacheJitter::new(slab()), n),
        "jitter-off" => call(&CacheJitter::with_switch(slab(), Off), n),
        "slab-paged" => call(&paged(), n),
        "guard-pages-off" => call(&GuardPages::with_switch(paged(), Off), n),
        "numa-local-off" => call(&NumaLocal::with_switch(paged(), 0, Off), n),
        "huge-page-advised-off" => call(&HugePageAdvised::with_switch(paged(), Off), n),
        "numa-local" => call(&NumaLocal::new(paged(), 0), n),
        "huge-page-advised" => call(&HugePageAdvised::new(paged()), n),
        "slab-wide" => call(&wide(), n),
        "canary" => call(&Canary::new(wide()), n),
        "canary-off" => call(&Canary::with_switch(slab(), Off), n),
        "poison" => call(&PoisonOnFree::new(slab()), n),
        "poison-off" => call(&PoisonOnFree::with_switch(slab(), Off), n),
        #[cfg(feature = "zeroize")]
        "zeroize" => call(&drystone_wrap::ZeroizeOnFree::new(slab()), n),
        "quarantine" => call(&Quarantine::<_, 16>::new(slab()), n),
        "quarantine-off" => call(&Quarantine::<_, 16, Off>::with_switch(slab(), Off), n),
        "faulty" => call(&Faulty::new(slab(), NeverFail), n),
        "statistics-off" => call(&Statistics::with_switch(slab(), Off), n),
        "statistics" => call(&Statistics::new(slab()), n),
        "locked" => call(&Locked::new(slab()), n),
        "locked-no-lock" => call(&Locked::with_lock(slab(), NoLock), n),
        "statistics-shared-locked" => call(&shared(), n),
        _ => {
            eprintln!("unknown name: {name}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
