//! mimalloc, through its Rust wrapper and through the calls that suit Rust best.

use core::alloc::{GlobalAlloc, Layout};

use crate::lab::Lab;
use crate::target::{Description, FromGlobal};

/// Largest alignment that plain `mi_malloc` keeps for every size, in bytes.
const NATURAL_ALIGN: usize = 16;

/// mimalloc with the plain calls where the alignment allows them, and frees that tell the size.
struct Tuned;

/// Whether `mi_malloc(size)` is aligned to `align`. Blocks smaller than 16 bytes are only aligned
/// to 8.
#[inline]
fn is_natural(layout: Layout) -> bool {
    layout.align() <= 8 || layout.align() <= NATURAL_ALIGN && layout.size() >= NATURAL_ALIGN
}

// SAFETY: the C library's functions return null or a block of at least the size, aligned to 16
// bytes (8 for sizes below 16) or to what was asked, and keep contents on reallocation.
unsafe impl GlobalAlloc for Tuned {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_natural(layout) {
            // SAFETY: no requirements.
            unsafe { libmimalloc_sys::mi_malloc(layout.size()) }.cast()
        } else {
            // SAFETY: the alignment is a power of two.
            unsafe { libmimalloc_sys::mi_malloc_aligned(layout.size(), layout.align()) }.cast()
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_natural(layout) {
            // SAFETY: no requirements.
            unsafe { libmimalloc_sys::mi_zalloc(layout.size()) }.cast()
        } else {
            // SAFETY: the alignment is a power of two.
            unsafe { libmimalloc_sys::mi_zalloc_aligned(layout.size(), layout.align()) }.cast()
        }
    }

    #[inline]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller passes a live block of this allocator with its size and alignment.
        unsafe {
            libmimalloc_sys::mi_free_size_aligned(ptr.cast(), layout.size(), layout.align());
        }
    }

    #[inline]
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the new size forms a layout with this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        if is_natural(new) {
            // SAFETY: the block is live and of this allocator.
            unsafe { libmimalloc_sys::mi_realloc(ptr.cast(), new_size) }.cast()
        } else {
            // SAFETY: the block is live and of this allocator; the alignment is a power of two.
            unsafe { libmimalloc_sys::mi_realloc_aligned(ptr.cast(), new_size, layout.align()) }
                .cast()
        }
    }
}

pub(super) fn add(lab: Lab) -> Lab {
    // SAFETY: no requirements.
    let number = unsafe { libmimalloc_sys::mi_version() };
    let version = format!(
        "{}.{}.{}",
        number / 10_000,
        number / 100 % 100,
        number % 100
    );
    let wrapped = Description::new("mimalloc", "mimalloc through its Rust wrapper")
        .version(version.clone())
        .flags("static, release, v2 source");
    let tuned = Description::new(
        "mimalloc-tuned",
        "mimalloc: plain calls up to alignment 16, sized frees",
    )
    .version(version)
    .flags("static, release, v2 source");
    lab.target(wrapped, |_| Ok(FromGlobal(mimalloc::MiMalloc)))
        .target(tuned, |_| Ok(FromGlobal(Tuned)))
}
