//! The rivals of the feature `rivals`.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use super::rpmalloc::RpMalloc;
use super::{Heap, Visitor};

pub(super) fn visit(visitor: &mut impl Visitor) {
    visitor.heap("snmalloc", Shared(&snmalloc_rs::SnMalloc));
    visitor.heap("jemalloc", Shared(&tikv_jemallocator::Jemalloc));
    visitor.heap("rpmalloc 1", RpMalloc);
    visitor.heap("rusty_alloc", Shared(&rusty_alloc_api::RustyAlloc));
}

/// What [`Heap`] asks beyond `GlobalAlloc`.
trait Traits: GlobalAlloc + Sync {
    const INLINED: bool;

    fn collect();
}

impl Traits for snmalloc_rs::SnMalloc {
    const INLINED: bool = false;

    /// The crate binds no such call; the allocator gives large chunks back as they become free.
    fn collect() {}
}

impl Traits for tikv_jemallocator::Jemalloc {
    const INLINED: bool = false;

    fn collect() {
        // The second name is that of all arenas together.
        for name in [c"thread.tcache.flush", c"arena.4096.purge"] {
            // SAFETY: both take no value and give none.
            let result = unsafe {
                tikv_jemalloc_sys::mallctl(
                    name.as_ptr(),
                    ptr::null_mut(),
                    ptr::null_mut(),
                    ptr::null_mut(),
                    0,
                )
            };
            assert_eq!(result, 0, "jemalloc knows {name:?}");
        }
    }
}

impl Traits for rusty_alloc_api::RustyAlloc {
    const INLINED: bool = true;

    fn collect() {
        rusty_alloc::alloc::collect(true);
    }
}

/// A rival whose type cannot be copied.
struct Shared<A: 'static>(&'static A);

impl<A> Clone for Shared<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Shared<A> {}

// SAFETY: every call is the allocator's own.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Shared<A> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(block, layout) }
    }

    #[inline(always)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    #[inline(always)]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.0.realloc(block, layout, new_size) }
    }
}

impl<A: Traits> Heap for Shared<A> {
    const INLINED: bool = A::INLINED;

    fn collect(self) {
        A::collect();
    }
}
