//! [`RpMalloc`]: rpmalloc without its interposition of the process's own calls.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::c_int;

use rpmalloc_sys as ffi;

use super::Heap;

/// rpmalloc 1.4. Without interposition a thread must announce itself before its first call, so
/// every call looks at a thread-local flag; so does its own code when it interposes.
#[derive(Clone, Copy)]
pub(crate) struct RpMalloc;

thread_local! {
    static ANNOUNCED: Cell<bool> = const { Cell::new(false) };
    static LEAVING: Leaving = const { Leaving };
}

unsafe extern "C" {
    /// The crate binds it without its argument: whether the caches of the thread go to all.
    fn rpmalloc_thread_finalize(release_caches: c_int);
}

/// Takes the thread's leave when it ends.
struct Leaving;

impl Drop for Leaving {
    fn drop(&mut self) {
        ANNOUNCED.set(false);
        // SAFETY: the thread had announced itself.
        unsafe { rpmalloc_thread_finalize(1) };
    }
}

#[inline(always)]
fn announced() {
    if !ANNOUNCED.get() {
        announce();
    }
}

#[cold]
fn announce() {
    // SAFETY: it does nothing the second time, and the first is before any other thread's: the
    // arms are prepared on the main thread.
    unsafe { ffi::rpmalloc_initialize() };
    // SAFETY: rpmalloc is initialised.
    unsafe { ffi::rpmalloc_thread_initialize() };
    ANNOUNCED.set(true);
    LEAVING.with(|_| {});
}

// SAFETY: the calls are those of rpmalloc, which aligns every block to 16 and more by its aligned
// calls.
unsafe impl GlobalAlloc for RpMalloc {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        announced();
        if layout.align() <= 16 {
            // SAFETY: any size may be asked for.
            unsafe { ffi::rpmalloc(layout.size()) }.cast()
        } else {
            // SAFETY: the alignment is a power of two.
            unsafe { ffi::rpaligned_alloc(layout.align(), layout.size()) }.cast()
        }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        announced();
        if layout.align() <= 16 {
            // SAFETY: any size may be asked for.
            unsafe { ffi::rpcalloc(1, layout.size()) }.cast()
        } else {
            // SAFETY: the alignment is a power of two.
            unsafe { ffi::rpaligned_calloc(layout.align(), 1, layout.size()) }.cast()
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        announced();
        // SAFETY: the block is live.
        unsafe { ffi::rpfree(block.cast()) };
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        announced();
        if layout.align() <= 16 {
            // SAFETY: the block is live.
            unsafe { ffi::rprealloc(block.cast(), new_size) }.cast()
        } else {
            let (align, old_size) = (layout.align(), layout.size());
            // SAFETY: the block is live and has this size and alignment; no flag is set.
            unsafe { ffi::rpaligned_realloc(block.cast(), align, new_size, old_size, 0) }.cast()
        }
    }
}

impl Heap for RpMalloc {
    const INLINED: bool = false;

    fn collect(self) {
        announced();
        // SAFETY: the thread has announced itself.
        unsafe { ffi::rpmalloc_thread_collect() };
    }
}
