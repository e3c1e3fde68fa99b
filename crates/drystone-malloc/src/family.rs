//! The functions themselves.
//!
//! Each judges its arguments ([`request`](super::request)), asks the [`heap`], and says what
//! became of it as POSIX and the C library do. `extern "C"` ends the process where something would
//! unwind; nothing does.

use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};

use drystone_arena::FreeError;

use crate::heap::Wrong;
use crate::request::{self, Refused, Request};
use crate::{errno, heap, misuse};

// The functions that programs see call those below and not each other: what they call by its public
// name may be somebody else's.

/// The answer of a function that returns a block: null comes with `ENOMEM`.
#[inline(always)]
fn answer(block: *mut u8) -> *mut c_void {
    if block.is_null() {
        return out_of_memory();
    }
    block.cast()
}

#[cold]
#[inline(never)]
fn out_of_memory() -> *mut c_void {
    errno::set(libc::ENOMEM);
    ptr::null_mut()
}

#[inline(always)]
fn allocate(request: Option<Request>) -> *mut c_void {
    match request {
        Some(request) => answer(heap::allocate(request)),
        None => out_of_memory(),
    }
}

fn allocate_aligned(request: Result<Request, Refused>) -> *mut c_void {
    match request {
        Ok(request) => answer(heap::allocate(request)),
        Err(Refused::Size) => out_of_memory(),
        Err(Refused::Alignment) => {
            errno::set(libc::EINVAL);
            ptr::null_mut()
        }
    }
}

#[inline(always)]
fn block_of(ptr: *mut c_void) -> Option<NonNull<u8>> {
    NonNull::new(ptr.cast())
}

/// Ends the process if the block does not have so many bytes.
fn expect_bytes(function: &str, block: NonNull<u8>, size: usize) {
    // SAFETY: the caller has the block.
    match unsafe { heap::usable_bytes(block) } {
        Ok(usable) if heap::fits(usable, size) => {}
        Ok(_) => misuse::abort(function, Wrong::Size, block.addr().get()),
        Err(wrong) => misuse::abort(function, wrong, block.addr().get()),
    }
}

/// A block of `size` bytes, aligned to 16. NULL and `ENOMEM` if there is no memory.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    new_block(size)
}

#[inline(always)]
fn new_block(size: usize) -> *mut c_void {
    match heap::allocate_at_once(size) {
        Some(block) => block.as_ptr().cast(),
        None => malloc_slowly(size),
    }
}

/// For large blocks, and when the thread has none at hand.
#[inline(never)]
extern "C" fn malloc_slowly(size: usize) -> *mut c_void {
    allocate(request::plain(size))
}

/// A block of `count` times `size` bytes, all zero. NULL and `ENOMEM` if there is no memory, or no block
/// of so many bytes.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match request::elements(count, size) {
        Some(request) => answer(heap::allocate_zeroed(request)),
        None => out_of_memory(),
    }
}

/// Takes back a block of any of these functions; NULL is none. `errno` stays as it is.
///
/// # Safety
///
/// Nobody uses the block any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(ptr: *mut c_void) {
    if let Some(block) = block_of(ptr) {
        // SAFETY: the caller's promise.
        unsafe { give_up(block) };
    }
}

/// # Safety
///
/// As [`free`].
#[inline(always)]
unsafe fn give_up(block: NonNull<u8>) {
    // SAFETY: the caller's promise.
    if !unsafe { heap::free_at_once(block) } {
        free_slowly(block);
    }
}

/// What short frees leave: blocks of other threads, large blocks, full caches, and misuse.
#[cold]
#[inline(never)]
extern "C" fn free_slowly(block: NonNull<u8>) {
    errno::kept(|| {
        // SAFETY: the caller of the family gave the block up.
        if let Err(wrong) = unsafe { heap::free(block) } {
            misuse::abort("free", wrong, block.addr().get());
        }
    });
}

/// Makes a block have `size` bytes, here or elsewhere; its first bytes stay. A block of no bytes is
/// freed, with NULL as the answer; NULL as the block asks for a new one. NULL and `ENOMEM` if there is
/// no memory: the block is as it was then.
///
/// # Safety
///
/// Nobody uses the block any more unless the answer is NULL and `size` is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { resize(ptr, size) }
}

/// # Safety
///
/// As [`realloc`].
unsafe fn resize(ptr: *mut c_void, size: usize) -> *mut c_void {
    let Some(block) = block_of(ptr) else {
        return new_block(size);
    };
    if size == 0 {
        // SAFETY: the caller's promise.
        unsafe { give_up(block) };
        return ptr::null_mut();
    }
    let Some(request) = request::plain(size) else {
        return out_of_memory();
    };
    // SAFETY: the caller's promise.
    match unsafe { heap::reallocate(block, request) } {
        Ok(moved) => answer(moved),
        Err(wrong) => misuse::abort("realloc", wrong, block.addr().get()),
    }
}

/// As `realloc` with `count` times `size` bytes. NULL and `ENOMEM` if no block has so many.
///
/// # Safety
///
/// As [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(ptr: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the caller's promise.
        Some(bytes) => unsafe { resize(ptr, bytes) },
        None => out_of_memory(),
    }
}

/// Stores a block of `size` bytes, aligned to `alignment`, a power of two and a multiple of a
/// pointer's size. The answer is 0, `EINVAL` for another alignment, or `ENOMEM`; nothing is stored
/// then. `errno` stays as it is.
///
/// # Safety
///
/// `place` is valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    alignment: usize,
    size: usize,
) -> c_int {
    let request = match request::posix(size, alignment) {
        Ok(request) => request,
        Err(Refused::Alignment) => return libc::EINVAL,
        Err(Refused::Size) => return libc::ENOMEM,
    };
    let block = errno::kept(|| heap::allocate(request));
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { place.write(block.cast()) };
    0
}

/// A block of `size` bytes, aligned to `alignment`, a power of two: NULL and `EINVAL` for another one,
/// NULL and `ENOMEM` if there is no memory. The size need not be a multiple of the alignment.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(alignment: usize, size: usize) -> *mut c_void {
    allocate_aligned(request::power_of_two(size, alignment))
}

/// A block of `size` bytes, aligned to the next power of two from `alignment` on.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(alignment: usize, size: usize) -> *mut c_void {
    allocate_aligned(request::rounded_up(size, alignment))
}

/// A block of `size` bytes, aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    allocate(request::aligned(size, page_bytes()))
}

/// A block of whole pages with at least `size` bytes, at least one page, aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    allocate(request::pages(size, page_bytes()))
}

fn page_bytes() -> usize {
    drystone_backing::page_size()
}

/// The bytes of a live block, all of which the caller may use; 0 for NULL.
///
/// # Safety
///
/// The block is not freed meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(ptr: *mut c_void) -> usize {
    let Some(block) = block_of(ptr) else {
        return 0;
    };
    // SAFETY: the caller's promise.
    match unsafe { heap::usable_bytes(block) } {
        Ok(bytes) => bytes,
        Err(wrong) => misuse::abort("malloc_usable_size", wrong, block.addr().get()),
    }
}

/// As `free`, of a block for which `size` bytes were asked.
///
/// # Safety
///
/// As [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(ptr: *mut c_void, size: usize) {
    if let Some(block) = block_of(ptr) {
        expect_bytes("free_sized", block, size);
        // SAFETY: the caller's promise.
        unsafe { give_up(block) };
    }
}

/// As `free`, of a block for which `size` bytes at `alignment` were asked.
///
/// # Safety
///
/// As [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(ptr: *mut c_void, alignment: usize, size: usize) {
    if let Some(block) = block_of(ptr) {
        if !alignment.is_power_of_two() || !block.addr().get().is_multiple_of(alignment) {
            let wrong = Wrong::Free(FreeError::Misaligned);
            misuse::abort("free_aligned_sized", wrong, block.addr().get());
        }
        expect_bytes("free_aligned_sized", block, size);
        // SAFETY: the caller's promise.
        unsafe { give_up(block) };
    }
}

/// Gives back the memory that nothing uses and that no other thread keeps. 1 if memory was unmapped,
/// otherwise 0. How much to keep is not obeyed: the arena keeps nothing here.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_pad: usize) -> c_int {
    errno::kept(heap::trim).into()
}
