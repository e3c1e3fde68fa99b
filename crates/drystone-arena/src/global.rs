//! [`GlobalArena`]: the process-wide arena as a global allocator.

use core::alloc::{GlobalAlloc, Layout};
use core::marker::PhantomData;
use core::ptr;

use drystone_core::NonZeroLayout;

use crate::geometry::{Kind, SLICE_BYTES, block_bytes, segment_address};
use crate::heap::Heap;
use crate::page::Block;
use crate::profile::{Fast, Profile};
use crate::segment::Segment;
use crate::segment_map;

/// The arena of the process.
pub struct GlobalArena<P = Fast> {
    profile: PhantomData<fn() -> P>,
}

impl<P> GlobalArena<P> {
    /// The arena of the process; every value is the same one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            profile: PhantomData,
        }
    }
}

#[inline(always)]
fn layout_of(layout: Layout) -> NonZeroLayout {
    let size = layout.size().max(1);
    // SAFETY: the size is not 0, and the rest is a layout's.
    match NonZeroLayout::from_size_align(size, layout.align()) {
        Ok(layout) => layout,
        // SAFETY: a layout's size and alignment are valid, and size 0 became 1.
        Err(_) => unsafe { core::hint::unreachable_unchecked() },
    }
}

impl<P: Profile> GlobalArena<P> {
    #[cold]
    #[inline(never)]
    fn allocate_class_slowly(class: usize) -> *mut u8 {
        P::with_thread(|thread| {
            thread.with(P::core(), P::register, |heap| {
                // SAFETY: the thread has the heap.
                unsafe { heap.allocate(class) }
            })
        })
        .unwrap_or(ptr::null_mut())
        .cast()
    }

    #[cold]
    #[inline(never)]
    fn allocate_large(layout: NonZeroLayout) -> (*mut u8, bool) {
        match Kind::of(layout) {
            Kind::Run {
                slices,
                align_slices,
            } => P::with_thread(|thread| {
                thread.with(P::core(), P::register, |heap| {
                    heap.allocate_run(slices, align_slices)
                })
            })
            .flatten()
            .unwrap_or((ptr::null_mut(), false)),
            _ => match P::core().allocate_huge(layout) {
                Some((block, zeroed)) => (block.as_ptr(), zeroed),
                None => (ptr::null_mut(), false),
            },
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn free_away(block: *mut u8, class: usize) {
        let address = block.addr();
        // SAFETY: the caller's block is live.
        let segment = unsafe { Segment::of(segment_address(address)) };
        P::with_thread(|thread| {
            thread.with(P::core(), P::register, |heap| {
                // SAFETY: the block is the caller's to give up.
                unsafe { Self::free_with(heap, segment, address, class) }
            })
        });
    }

    unsafe fn free_with(heap: &Heap, segment: &Segment, address: usize, class: usize) {
        // SAFETY: the address of a live block.
        let block = unsafe { segment_map::pointer(address) }.cast::<Block>();
        if ptr::eq(segment.owner(), heap) {
            // SAFETY: the caller's promise.
            unsafe { heap.free(block, class) };
        } else {
            // SAFETY: the caller's promise.
            unsafe { heap.free_remote(segment, segment.run_of(address), block, block_bytes(class)) };
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn free_large(block: *mut u8, layout: NonZeroLayout) {
        let address = block.addr();
        // SAFETY: the caller's block is live.
        let segment = unsafe { Segment::of(segment_address(address)) };
        if Kind::of(layout) == Kind::Huge {
            // SAFETY: the caller's block is a huge one.
            unsafe { P::core().free_huge(segment) };
            return;
        }
        P::with_thread(|thread| {
            thread.with(P::core(), P::register, |heap| {
                let first = segment.run_of(address);
                if ptr::eq(segment.owner(), heap) {
                    heap.free_run(segment, first);
                } else {
                    let block = segment.at(first * SLICE_BYTES).cast();
                    let bytes = usize::from(2u8) * SLICE_BYTES;
                    // SAFETY: the block is the caller's to give up.
                    unsafe { heap.free_remote(segment, first, block, bytes) };
                }
            })
        });
    }
}

// SAFETY: blocks are of the size and alignment asked for, live until they are freed, and nobody
// else's.
unsafe impl<P: Profile> GlobalAlloc for GlobalArena<P> {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let layout = layout_of(layout);
        let Kind::Class(class) = Kind::of(layout) else {
            return Self::allocate_large(layout).0;
        };
        P::with_thread(|thread| {
            let block = thread.get().pop(class);
            if block.is_null() {
                return Self::allocate_class_slowly(class);
            }
            block.cast()
        })
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let layout = layout_of(layout);
        let Kind::Class(class) = Kind::of(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { Self::free_large(block, layout) };
        };
        let address = block.addr();
        // SAFETY: the caller's block is live.
        let segment = unsafe { Segment::of(segment_address(address)) };
        P::with_thread(|thread| {
            let heap = thread.get();
            if ptr::eq(segment.owner(), heap) {
                // SAFETY: the address of a live block.
                let block = unsafe { segment_map::pointer(address) };
                // SAFETY: the block is this heap's, and the caller's to give up.
                unsafe { heap.free(block.cast(), class) };
            } else {
                // SAFETY: the caller's promise.
                unsafe { Self::free_away(block, class) };
            }
        });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        let whole = layout_of(layout);
        if let Kind::Class(_) = Kind::of(whole) {
            // SAFETY: the caller's promise.
            let block = unsafe { self.alloc(layout) };
            if !block.is_null() {
                // SAFETY: the block has `size` bytes.
                unsafe { block.write_bytes(0, size) };
            }
            return block;
        }
        let (block, zeroed) = Self::allocate_large(whole);
        if !block.is_null() && !zeroed {
            // SAFETY: the block has `size` bytes.
            unsafe { block.write_bytes(0, size) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let old = layout_of(layout);
        // SAFETY: the caller promises that the size is valid for the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        let new = layout_of(new_layout);
        if Self::fits_in_place(block, old, new) {
            return block;
        }
        // SAFETY: the caller's promise.
        let moved = unsafe { self.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: both blocks have the bytes, and are different.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(new_size)) };
            // SAFETY: the caller gave the block up.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

impl<P: Profile> GlobalArena<P> {
    fn fits_in_place(block: *mut u8, old: NonZeroLayout, new: NonZeroLayout) -> bool {
        match (Kind::of(old), Kind::of(new)) {
            (Kind::Class(old), Kind::Class(new)) => old == new,
            (Kind::Run { slices: have, .. }, Kind::Run { slices, .. }) => {
                if have == slices {
                    return true;
                }
                let address = block.addr();
                // SAFETY: the caller's block is live.
                let segment = unsafe { Segment::of(segment_address(address)) };
                P::with_thread(|thread| {
                    let heap = thread.get();
                    ptr::eq(segment.owner(), heap)
                        && heap.resize_run(segment, segment.run_of(address), slices).is_some()
                })
            }
            (Kind::Huge, Kind::Huge) => {
                let slices = |layout: NonZeroLayout| layout.size().get().div_ceil(SLICE_BYTES);
                slices(old) == slices(new)
            }
            _ => false,
        }
    }
}

