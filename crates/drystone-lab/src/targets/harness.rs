//! No allocator at all: what the replay itself costs.

use core::alloc::Layout;
use core::cell::Cell;

use memmap2::MmapMut;

use crate::lab::{HARNESS, Lab};
use crate::target::{Description, ReplayTarget, Role, Workload};

/// Hands out one fixed range for each thread, over and over.
struct Null {
    scratch_bytes: usize,
    align: usize,
}

thread_local! {
    /// The range and how many bytes it was made for.
    static SCRATCH: Cell<(*mut u8, usize)> = const { Cell::new((core::ptr::null_mut(), 0)) };
}

impl Null {
    fn new(workload: &Workload) -> Result<Self, String> {
        let largest = usize::try_from(workload.largest_bytes).map_err(|e| e.to_string())?;
        let align = workload.largest_align;
        let scratch_bytes = largest
            .max(1)
            .checked_add(align)
            .ok_or("a block is too large")?;
        Ok(Self {
            scratch_bytes,
            align,
        })
    }

    #[inline]
    fn scratch(&self) -> *mut u8 {
        let (scratch, bytes) = SCRATCH.get();
        if bytes < self.scratch_bytes {
            self.make_scratch()
        } else {
            scratch
        }
    }

    #[cold]
    fn make_scratch(&self) -> *mut u8 {
        let Ok(mut mapping) = MmapMut::map_anon(self.scratch_bytes) else {
            return core::ptr::null_mut();
        };
        let base = mapping.as_mut_ptr();
        // Blocks point into it until the process, a child of the lab, ends.
        core::mem::forget(mapping);
        let aligned = base.map_addr(|addr| addr.next_multiple_of(self.align));
        SCRATCH.set((aligned, self.scratch_bytes));
        aligned
    }
}

// SAFETY: contents are not kept. The scratch range is as long as the largest block of the program
// after aligning it to the greatest alignment, and only the thread that asked writes to it.
unsafe impl ReplayTarget for Null {
    const KEEPS_CONTENTS: bool = false;

    #[inline]
    unsafe fn allocate(&self, _: Layout) -> *mut u8 {
        self.scratch()
    }

    #[inline]
    unsafe fn allocate_zeroed(&self, _: Layout) -> *mut u8 {
        self.scratch()
    }

    #[inline]
    unsafe fn deallocate(&self, _: *mut u8, _: Layout) {}

    #[inline]
    unsafe fn reallocate(&self, _: *mut u8, _: Layout, _: usize) -> *mut u8 {
        self.scratch()
    }
}

pub(super) fn add(lab: Lab) -> Lab {
    let description = Description::new(
        HARNESS,
        "no allocator: one fixed block a thread; the cost of the replay",
    )
    .version(env!("CARGO_PKG_VERSION"))
    .role(Role::Harness);
    lab.target(description, Null::new)
}
