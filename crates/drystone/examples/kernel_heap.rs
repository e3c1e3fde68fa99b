//! A kernel's heap over a static region that is attached at boot, under a lock.
//!
//! Until `boot` every request is refused; then size classes cut the region. On the machine the static
//! also has `#[global_allocator]` above it: `tests/bare/static-heap` is such a program, linked without
//! an operating system. Here the collections name the heap, so that the example runs on a desktop:
//! `cargo run -p drystone --features allocator-api2-02 --example kernel_heap`.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use allocator_api2_02::vec::Vec; // the crate `allocator-api2`, 0.2
use drystone::{
    AllocError, Allocator, Global, Late, Locked, NonZeroLayout, SizeClassed, StaticBacked,
    StdCompat02,
};

type Classes = SizeClassed<StaticBacked<'static>, 4>;

static HEAP: Global<Locked<Late<Classes>>> = Global::new(Locked::new(Late::new()));

/// The bytes that the linker script would set aside.
#[repr(align(4096))]
struct Region(UnsafeCell<[MaybeUninit<u8>; 64 << 10]>);

// SAFETY: `boot` alone reaches the bytes, once, and gives them to the heap.
unsafe impl Sync for Region {}

static REGION: Region = Region(UnsafeCell::new([MaybeUninit::uninit(); 64 << 10]));

/// Attaches the region. `false` if it is too small.
///
/// # Safety
///
/// Called once.
unsafe fn boot() -> bool {
    // SAFETY: the caller's promise: nobody else has the bytes.
    let region = StaticBacked::new(unsafe { &mut *REGION.0.get() });
    match SizeClassed::with_class_sizes(region, [64, 256, 1024, 4096], 8) {
        Ok(classes) => HEAP.inner().with(|late| late.set(classes).is_ok()),
        Err(_) => false,
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let page = NonZeroLayout::from_size_align(4096, 16)?;
    let refusal = HEAP
        .inner()
        .allocate(page)
        .err()
        .ok_or("memory before boot")?;
    println!("a page before boot: {refusal}");
    // SAFETY: the only call.
    if !unsafe { boot() } {
        return Err("the region is too small".into());
    }

    // As many pages as there are, in lists that are in the heap as well.
    let memory = StdCompat02::new(HEAP.inner());
    let mut pages = Vec::new_in(memory);
    while pages.try_reserve(1).is_ok() {
        let mut page = Vec::<u8, _>::new_in(memory);
        if page.try_reserve_exact(4096).is_err() {
            break;
        }
        pages.push(page);
    }
    println!("{} pages until the heap was full", pages.len());
    pages.truncate(3);
    let mut again = Vec::<u8, _>::new_in(memory);
    again.try_reserve_exact(4096).map_err(|_| AllocError)?;
    println!("{} are kept, the others serve again", pages.len());
    Ok(())
}
