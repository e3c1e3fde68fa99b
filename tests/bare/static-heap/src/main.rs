//! A program without an operating system whose global allocator is a composition over two static
//! regions, attached at boot: fast memory first, the rest behind it. Linked for bare targets, also those
//! without compare-and-swap.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, UnsafeCell};
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

use drystone_backing::StaticBacked;
use drystone_core::{Global, Late, SizeClass};
use drystone_layout::{SizeClassed, StackAlloc};
use drystone_wrap::{CriticalSectionLock, Locked, WithFallback};

/// Size classes over the fast region; what they refuse, in stack order in the rest.
type Heap = WithFallback<
    SizeClassed<StaticBacked<'static>, { SizeClass::COUNT }>,
    StackAlloc<StaticBacked<'static>>,
>;

#[global_allocator]
static HEAP: Global<Locked<Late<Heap>, CriticalSectionLock>> =
    Global::new(Locked::with_lock(Late::new(), CriticalSectionLock::new()));

/// Bytes that are lent once, to the heap.
#[repr(align(64))]
struct Region<const N: usize>(UnsafeCell<[MaybeUninit<u8>; N]>);

// SAFETY: `lend` gives the bytes away once, at boot, before there is anyone else.
unsafe impl<const N: usize> Sync for Region<N> {}

impl<const N: usize> Region<N> {
    const fn new() -> Self {
        Self(UnsafeCell::new([MaybeUninit::uninit(); N]))
    }

    /// # Safety
    ///
    /// Called once.
    unsafe fn lend(&'static self) -> &'static mut [MaybeUninit<u8>] {
        // SAFETY: the caller's promise: nobody else has the bytes.
        unsafe { &mut *self.0.get() }
    }
}

static FAST: Region<4096> = Region::new();
static REST: Region<8192> = Region::new();

/// Attaches the regions. `false` if they are too small.
fn boot() -> bool {
    // SAFETY: the program boots once.
    let fast = unsafe { FAST.lend() };
    // SAFETY: the program boots once.
    let rest = unsafe { REST.lend() };
    let Ok(small) = SizeClassed::with_default_classes(StaticBacked::new(fast)) else {
        return false;
    };
    let heap = WithFallback::new(small, StackAlloc::new(StaticBacked::new(rest)));
    HEAP.inner().with(|late| late.set(heap).is_ok())
}

/// What the program does with its heap.
fn work() -> usize {
    let mut names = BTreeMap::new();
    for number in 0..20_u8 {
        names.insert(number, String::from("packet"));
    }
    let buffer: Vec<u8> = names.values().flat_map(|name| name.bytes()).collect();
    buffer.len()
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    if boot() {
        core::hint::black_box(work());
    }
    halt()
}

fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    halt()
}

/// The critical section of this program, which has one core and no interrupts: it only counts how it is
/// nested. A board's own masks interrupts here.
struct OneCore;
critical_section::set_impl!(OneCore);

struct Inside(Cell<bool>);
// SAFETY: one core, no interrupts.
unsafe impl Sync for Inside {}
static INSIDE: Inside = Inside(Cell::new(false));

// SAFETY: nothing runs beside what this program runs.
unsafe impl critical_section::Impl for OneCore {
    unsafe fn acquire() -> critical_section::RawRestoreState {
        INSIDE.0.replace(true)
    }

    unsafe fn release(was_inside: critical_section::RawRestoreState) {
        INSIDE.0.set(was_inside);
    }
}
