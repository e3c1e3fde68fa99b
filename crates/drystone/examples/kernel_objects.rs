//! A kernel's object cache: pages from a pool of its own, no heap. `SlabCache::with_lock` takes a lock that
//! masks interrupts, too.
//!
//! Run it with `cargo run -p drystone --example kernel_objects`.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use drystone::{SlabCache, SlabProvider};

const PAGE: usize = 4096;
const PAGES: usize = 16;

/// The kernel's pages, one bit for each that is free.
#[repr(align(4096))]
struct PagePool(UnsafeCell<MaybeUninit<[[u8; PAGE]; PAGES]>>, AtomicUsize);

// SAFETY: a page is reached by whoever took its bit, and by nobody else.
unsafe impl Sync for PagePool {}

static POOL: PagePool = PagePool(
    UnsafeCell::new(MaybeUninit::uninit()),
    AtomicUsize::new((1 << PAGES) - 1),
);

// SAFETY: pages are disjoint, aligned to their size and in static memory; a page is provided by
// whoever took its bit (Acquire) after it was given back (Release). Nothing unwinds.
unsafe impl SlabProvider for PagePool {
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        let takes_lowest = |free: usize| {
            let fits = layout.size() <= PAGE && layout.align() <= PAGE;
            (fits && free != 0).then(|| free & (free - 1))
        };
        let free = self
            .1
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, takes_lowest)
            .ok()?;
        // SAFETY: the pool has a bit for each of its pages only.
        Some(unsafe {
            NonNull::from(&self.0)
                .cast::<u8>()
                .add(free.trailing_zeros() as usize * PAGE)
        })
    }

    unsafe fn take_back(&self, page: NonNull<u8>, _layout: Layout) {
        let offset = page.addr().get() - NonNull::from(&self.0).addr().get();
        self.1.fetch_or(1 << (offset / PAGE), Ordering::Release);
    }
}

pub(crate) fn main() {
    let tasks = SlabCache::<(u32, &str), _>::new(&POOL).expect("a first page");
    let init = tasks.alloc((1, "init")).expect("room");
    // Until the pool runs dry: the error gives the task back, here it is dropped.
    let workers: Vec<_> = (2..)
        .map_while(|id| tasks.alloc((id, "worker")).ok())
        .collect();
    println!(
        "{} workers in {} slabs, {:?} the last",
        workers.len(),
        tasks.slab_count(),
        workers.last()
    );
    drop(workers);
    println!(
        "{} bytes trimmed, {} slab left",
        tasks.trim(),
        tasks.slab_count()
    );
    // A box needs no handle: the last one gives the page back.
    drop(tasks);
    println!("task {} is called {}", init.0, init.1);
    drop(init);
    assert_eq!(POOL.1.load(Ordering::Relaxed), (1 << PAGES) - 1);
}
