//! A kernel's object cache: pages from a pool of its own, a lock of its own, no heap.
//!
//! The parts that touch hardware are stand-ins, so that the example runs on a desktop:
//! `cargo run -p drystone --example kernel_objects`.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use drystone::{RawLock, SlabBox, SlabCache, SlabProvider};

const PAGE: usize = 4096;
const PAGES: usize = 16;

/// The kernel's pages, one bit for each that is free.
#[repr(align(4096))]
struct PagePool {
    memory: UnsafeCell<MaybeUninit<[[u8; PAGE]; PAGES]>>,
    free: AtomicUsize,
}

// SAFETY: a page is reached by whoever took its bit, and by nobody else.
unsafe impl Sync for PagePool {}

static POOL: PagePool = PagePool {
    memory: UnsafeCell::new(MaybeUninit::uninit()),
    free: AtomicUsize::new((1 << PAGES) - 1),
};

impl PagePool {
    fn take(&self) -> Option<usize> {
        let lowest = |free: usize| (free != 0).then(|| free & (free - 1));
        let before = self
            .free
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, lowest)
            .ok()?;
        Some(before.trailing_zeros() as usize)
    }

    fn give(&self, page: usize) {
        self.free.fetch_or(1 << page, Ordering::Release);
    }

    fn base(&self) -> NonNull<u8> {
        NonNull::from(&self.memory).cast()
    }
}

// SAFETY: pages are disjoint, aligned to their size and in static memory; a page is provided by
// whoever took its bit (Acquire) after it was given back (Release). Nothing unwinds.
unsafe impl SlabProvider for PagePool {
    fn provide(&self, layout: Layout) -> Option<NonNull<u8>> {
        if layout.size() > PAGE || layout.align() > PAGE {
            return None;
        }
        let page = self.take()?;
        // SAFETY: the pool has a bit for each of its pages only.
        Some(unsafe { self.base().add(page * PAGE) })
    }

    unsafe fn take_back(&self, ptr: NonNull<u8>, _layout: Layout) {
        self.give((ptr.addr().get() - self.base().addr().get()) / PAGE);
    }
}

/// Spins with interrupts off, so that no handler waits for the code that it interrupted.
struct IrqSpinLock {
    held: AtomicBool,
}

mod cpu {
    /// Would be `cli`, or `cpsid i`.
    pub(crate) fn disable_interrupts() {}
    /// Would be `sti`, or `cpsie i`.
    pub(crate) fn enable_interrupts() {}
}

// SAFETY: the flag is set by the one holder, released by a store that the next holder acquires.
// The store is the last touch of the lock. Nothing unwinds.
unsafe impl RawLock for IrqSpinLock {
    const INIT: Self = Self {
        held: AtomicBool::new(false),
    };

    fn lock(&self) {
        cpu::disable_interrupts();
        while self.held.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
    }

    unsafe fn unlock(&self) {
        self.held.store(false, Ordering::Release);
        cpu::enable_interrupts();
    }
}

#[derive(Debug)]
struct Task {
    id: u32,
    name: &'static str,
}

type Tasks = SlabCache<Task, &'static PagePool, IrqSpinLock>;
type TaskBox = SlabBox<Task, &'static PagePool, IrqSpinLock>;

fn spawn(tasks: &Tasks, id: u32, name: &'static str) -> Option<TaskBox> {
    tasks.alloc(Task { id, name }).ok()
}

pub(crate) fn main() {
    let tasks = Tasks::with_lock(&POOL, IrqSpinLock::INIT).expect("a page for the master slab");
    let init = spawn(&tasks, 1, "init").expect("room");

    // Until the pool runs dry: the error gives the task back, here it is dropped.
    let workers: Vec<TaskBox> = (2..).map_while(|id| spawn(&tasks, id, "worker")).collect();
    println!("{} workers in {} slabs", workers.len(), tasks.slab_count());
    println!("the last one: {:?}", workers.last());
    drop(workers);
    println!(
        "{} bytes trimmed, {} slab left",
        tasks.trim(),
        tasks.slab_count()
    );

    // A box needs no handle: the last one gives the page back.
    drop(tasks);
    println!("task {} is called {}", init.id, init.name);
    drop(init);
    assert_eq!(POOL.free.load(Ordering::Relaxed), (1 << PAGES) - 1);
}
