//! `memcpy`, `memmove` and `memset` that end the process where bytes leave the block they begin in.
//!
//! # What
//!
//! Pointers that are in no block of the heap pass: the stack, statics, mappings. Calls that a compiler
//! has put in line never come here, nor do those that the C library makes inside. The names that a compiler
//! calls under `_FORTIFY_SOURCE` are here too: the C library's own look at what the compiler knew, not at the
//! block.
//!
//! The work is done by the next library's functions of these names, which are looked up when the
//! library is initialised. Before that, and where there are none, it is done by [`plain`](self::plain).
//!
//! # Cost
//!
//! Two loads for each pointer outside of the heap, and the look-up of a block inside.

use core::ffi::{CStr, c_int, c_void};
use core::mem::transmute;
use core::ptr::{self, NonNull};

use drystone_sync::atomic::{AtomicPtr, Ordering};

use crate::heap::Wrong;
use crate::{heap, misuse};

type Copy = unsafe extern "C" fn(*mut c_void, *const c_void, usize) -> *mut c_void;
type Set = unsafe extern "C" fn(*mut c_void, c_int, usize) -> *mut c_void;

static MEMCPY: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static MEMMOVE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static MEMSET: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Looks the next library's functions up.
pub(crate) fn begin() {
    for (place, name) in [
        (&MEMCPY, c"memcpy"),
        (&MEMMOVE, c"memmove"),
        (&MEMSET, c"memset"),
    ] {
        // Relaxed: the function is there before and after.
        place.store(next(name), Ordering::Relaxed);
    }
}

/// The next library's function of a name; null if there is none.
pub(crate) fn next(name: &CStr) -> *mut c_void {
    // SAFETY: a name that ends with a zero byte.
    unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) }
}

/// Ends the process if bytes of a block leave it.
#[inline]
fn check(function: &str, start: *const c_void, bytes: usize) {
    let Some(start) = NonNull::new(start.cast_mut().cast::<u8>()) else {
        return;
    };
    if bytes == 0 {
        return;
    }
    // SAFETY: the caller of the function has the bytes.
    if let Err(wrong) = unsafe { heap::check_range(start, bytes) } {
        misuse::abort(function, wrong, start.addr().get());
    }
}

/// Copies bytes to bytes elsewhere, and answers where to.
///
/// # Safety
///
/// As in C: both have the bytes, and do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void {
    check("memcpy", to, bytes);
    check("memcpy", from, bytes);
    // SAFETY: the caller's promise.
    unsafe { copy(&MEMCPY, to, from, bytes) }
}

/// Copies bytes to other bytes, which may overlap, and answers where to.
///
/// # Safety
///
/// As in C: both have the bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
) -> *mut c_void {
    check("memmove", to, bytes);
    check("memmove", from, bytes);
    // SAFETY: the caller's promise.
    unsafe { copy(&MEMMOVE, to, from, bytes) }
}

/// Makes bytes have a value, and answers where.
///
/// # Safety
///
/// As in C: the bytes are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut c_void, value: c_int, bytes: usize) -> *mut c_void {
    check("memset", to, bytes);
    // SAFETY: the caller's promise.
    unsafe { set(to, value, bytes) }
}

/// [`memcpy`] in a program that was compiled with `_FORTIFY_SOURCE`, which knows how many bytes there are at
/// most: `room`.
///
/// # Safety
///
/// As [`memcpy`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __memcpy_chk(
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
    room: usize,
) -> *mut c_void {
    check_room("memcpy", to, bytes, room);
    // SAFETY: the caller's promise.
    unsafe { memcpy(to, from, bytes) }
}

/// [`memmove`] as [`__memcpy_chk`] is `memcpy`.
///
/// # Safety
///
/// As [`memmove`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __memmove_chk(
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
    room: usize,
) -> *mut c_void {
    check_room("memmove", to, bytes, room);
    // SAFETY: the caller's promise.
    unsafe { memmove(to, from, bytes) }
}

/// [`memset`] as [`__memcpy_chk`] is `memcpy`.
///
/// # Safety
///
/// As [`memset`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __memset_chk(
    to: *mut c_void,
    value: c_int,
    bytes: usize,
    room: usize,
) -> *mut c_void {
    check_room("memset", to, bytes, room);
    // SAFETY: the caller's promise.
    unsafe { memset(to, value, bytes) }
}

/// Ends the process if there are more bytes than the compiler saw room for.
#[inline]
fn check_room(function: &str, start: *mut c_void, bytes: usize, room: usize) {
    if bytes > room {
        misuse::abort(function, Wrong::Range, start.addr());
    }
}

/// Makes bytes zero that belong to no block of the program.
///
/// # Safety
///
/// The bytes are there, and the caller's.
pub(crate) unsafe fn wipe(bytes: NonNull<[u8]>) {
    // SAFETY: the caller's promise.
    unsafe { set(bytes.cast().as_ptr(), 0, bytes.len()) };
}

/// Copies the bytes of a block to one that replaces it.
///
/// # Safety
///
/// Both have the bytes, and do not overlap.
pub(crate) unsafe fn fill_from(to: NonNull<u8>, from: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's promise.
    unsafe { copy(&MEMCPY, to.as_ptr().cast(), from.as_ptr().cast(), bytes) };
}

/// # Safety
///
/// As [`memset`].
#[inline]
unsafe fn set(to: *mut c_void, value: c_int, bytes: usize) -> *mut c_void {
    let found = MEMSET.load(Ordering::Relaxed);
    if found.is_null() {
        // SAFETY: the caller's promise.
        unsafe { plain::set(to.cast(), value.to_le_bytes()[0], bytes) };
        return to;
    }
    // SAFETY: the next library's `memset` is of this type.
    let function = unsafe { transmute::<*mut c_void, Set>(found) };
    // SAFETY: the caller's promise.
    unsafe { function(to, value, bytes) }
}

/// # Safety
///
/// As [`memcpy`], or for what `memmove` is as [`memmove`].
#[inline]
unsafe fn copy(
    found: &AtomicPtr<c_void>,
    to: *mut c_void,
    from: *const c_void,
    bytes: usize,
) -> *mut c_void {
    let found = found.load(Ordering::Relaxed);
    if found.is_null() {
        // SAFETY: the caller's promise.
        unsafe { plain::copy(to.cast(), from.cast(), bytes) };
        return to;
    }
    // SAFETY: the next library's function of the name is of this type.
    let function = unsafe { transmute::<*mut c_void, Copy>(found) };
    // SAFETY: the caller's promise.
    unsafe { function(to, from, bytes) }
}

mod plain {
    //! Byte by byte, and volatile: a compiler makes no call of `memcpy` out of it.

    /// # Safety
    ///
    /// Both have the bytes.
    pub(super) unsafe fn copy(to: *mut u8, from: *const u8, bytes: usize) {
        if to.addr().wrapping_sub(from.addr()) >= bytes {
            for offset in 0..bytes {
                // SAFETY: the caller's promise.
                unsafe { one(to, from, offset) };
            }
        } else {
            for offset in (0..bytes).rev() {
                // SAFETY: the caller's promise.
                unsafe { one(to, from, offset) };
            }
        }
    }

    /// # Safety
    ///
    /// Both have a byte at the offset.
    unsafe fn one(to: *mut u8, from: *const u8, offset: usize) {
        // SAFETY: the caller's promise.
        let from = unsafe { from.add(offset) };
        // SAFETY: the caller's promise.
        let byte = unsafe { from.read_volatile() };
        // SAFETY: the caller's promise.
        let to = unsafe { to.add(offset) };
        // SAFETY: the caller's promise.
        unsafe { to.write_volatile(byte) };
    }

    /// # Safety
    ///
    /// The bytes are there.
    pub(super) unsafe fn set(to: *mut u8, value: u8, bytes: usize) {
        for offset in 0..bytes {
            // SAFETY: the caller's promise.
            let to = unsafe { to.add(offset) };
            // SAFETY: the caller's promise.
            unsafe { to.write_volatile(value) };
        }
    }
}
