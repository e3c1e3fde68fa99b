//! `operator new` and `operator delete` of C++, whose blocks are told from those of `malloc`.
//!
//! # What
//!
//! All forms that C++17 has. A block goes back to the form that it came from: `delete` of a block of
//! `new[]` or of `malloc`, `free` of a block of `new`, and a `delete` with another size end the process.
//!
//! A program may replace some of the operators, and the standard library's others then call its own. So
//! where one of the four plain forms is not this library's, the others hand on to the next library's,
//! and blocks are told apart no more.
//!
//! A request that fails calls the new-handler as long as there is one, and throws `std::bad_alloc` then.
//! The forms that do not throw do not call the handler, which might throw.

use core::ffi::{CStr, c_void};
use core::mem::{MaybeUninit, transmute};
use core::ptr::{self, NonNull};

use drystone_arena::FreeError;
use drystone_sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use crate::copies::next;
use crate::heap::{self, Wrong};
use crate::kind::Kind;
use crate::output::line;
use crate::request::{self, ALIGN, Request};
use crate::{errno, misuse};

/// Whose the operators are.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Whose {
    Unknown,
    Ours,
    Others,
}

/// Whether the operators that the process calls are this library's.
fn are_ours() -> bool {
    static WHOSE: AtomicU8 = AtomicU8::new(Whose::Unknown as u8);
    // Relaxed: whoever asks gets the same answer.
    let known = WHOSE.load(Ordering::Relaxed);
    if known != Whose::Unknown as u8 {
        return known == Whose::Ours as u8;
    }
    let ours = NAMES.iter().all(|name| is_ours(name));
    let whose = if ours { Whose::Ours } else { Whose::Others };
    WHOSE.store(whose as u8, Ordering::Relaxed);
    ours
}

/// The plain forms.
#[cfg(target_pointer_width = "64")]
const NAMES: [&CStr; 4] = [c"_Znwm", c"_Znam", c"_ZdlPv", c"_ZdaPv"];
#[cfg(target_pointer_width = "32")]
const NAMES: [&CStr; 4] = [c"_Znwj", c"_Znaj", c"_ZdlPv", c"_ZdaPv"];

/// Whether the function that the process calls by this name lies in this library.
#[cold]
fn is_ours(name: &CStr) -> bool {
    // SAFETY: a name that ends with a zero byte.
    let called = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    let own: fn(&CStr) -> bool = is_ours;
    base_of(called) == base_of(own as *const c_void)
}

/// Where the library begins that the address is in.
fn base_of(address: *const c_void) -> *mut c_void {
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: a valid place for the answer.
    let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) };
    // SAFETY: zero bytes are a value of it, and what was written is one.
    let info = unsafe { info.assume_init() };
    if found == 0 {
        ptr::null_mut()
    } else {
        info.dli_fbase
    }
}

/// The request of an operator; the alignment is a power of two.
fn request(size: usize, align: usize) -> Option<Request> {
    if !align.is_power_of_two() {
        return None;
    }
    request::aligned(size, align)
}

/// A block; null if there is no memory.
fn try_new(size: usize, align: usize, kind: Kind) -> *mut c_void {
    match request(size, align) {
        Some(request) => heap::allocate_of(request, kind).cast(),
        None => ptr::null_mut(),
    }
}

/// A block. Throws if there is no memory.
fn new(size: usize, align: usize, kind: Kind) -> *mut c_void {
    loop {
        let block = try_new(size, align, kind);
        if !block.is_null() {
            return block;
        }
        fail(size);
    }
}

/// Calls the new-handler, or throws.
#[cold]
fn fail(size: usize) {
    type Handler = Option<extern "C-unwind" fn()>;
    let handler = symbol(c"_ZSt15get_new_handlerv");
    if !handler.is_null() {
        // SAFETY: the standard library's function, of this type.
        let get = unsafe { transmute::<*mut c_void, extern "C-unwind" fn() -> Handler>(handler) };
        if let Some(handler) = get() {
            return handler();
        }
    }
    let throw = symbol(c"_ZSt17__throw_bad_allocv");
    if !throw.is_null() {
        // SAFETY: as above.
        let throw = unsafe { transmute::<*mut c_void, extern "C-unwind" fn()>(throw) };
        throw();
    }
    line!("drystone: operator new({size}): out of memory, and nothing to throw");
    // SAFETY: no requirements.
    unsafe { libc::abort() }
}

fn symbol(name: &CStr) -> *mut c_void {
    // SAFETY: a name that ends with a zero byte.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }
}

/// Takes a block back; null is none. `size` is what its caller says that it has.
///
/// # Safety
///
/// Nobody uses the block any more.
unsafe fn delete(block: *mut c_void, size: Option<usize>, align: usize, kind: Kind) {
    let Some(block) = NonNull::new(block.cast::<u8>()) else {
        return;
    };
    let function = match kind {
        Kind::NewArray => "operator delete[]",
        Kind::New | Kind::Malloc => "operator delete",
    };
    let freed = errno::kept(|| {
        if !block.addr().get().is_multiple_of(align.max(1)) {
            return Err(Wrong::Free(FreeError::Misaligned));
        }
        if let Some(size) = size {
            // SAFETY: the caller has the block.
            let usable = unsafe { heap::usable_bytes(block) }?;
            if !heap::fits(usable, size) {
                return Err(Wrong::Size);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { heap::free_of(block, kind) }
    });
    if let Err(wrong) = freed {
        misuse::abort(function, wrong, block.addr().get());
    }
}

/// A parameter that is there for its type.
type NoThrow = *const c_void;

/// Defines an operator under its name in the C++ binary interface. Where operators are others', the next
/// library's is called.
macro_rules! operator {
    ($wide:literal, $narrow:literal, $name:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?, $own:expr) => {
        #[cfg_attr(target_pointer_width = "64", unsafe(export_name = $wide))]
        #[cfg_attr(target_pointer_width = "32", unsafe(export_name = $narrow))]
        unsafe extern "C-unwind" fn $name($($argument: $type),*) $(-> $answer)? {
            static NEXT: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
            if !are_ours() {
                let mut found = NEXT.load(Ordering::Relaxed);
                if found.is_null() {
                    const NAME: &str = if cfg!(target_pointer_width = "64") {
                        concat!($wide, "\0")
                    } else {
                        concat!($narrow, "\0")
                    };
                    if let Ok(name) = CStr::from_bytes_with_nul(NAME.as_bytes()) {
                        found = next(name);
                    }
                    NEXT.store(found, Ordering::Relaxed);
                }
                if !found.is_null() {
                    type Next = unsafe extern "C-unwind" fn($($type),*) $(-> $answer)?;
                    // SAFETY: a function of that name is of this type.
                    let next = unsafe { transmute::<*mut c_void, Next>(found) };
                    // SAFETY: the caller's promise.
                    return unsafe { next($($argument),*) };
                }
            }
            $own
        }
    };
}

macro_rules! news {
    ($($wide:literal, $narrow:literal, $name:ident($size:ident $(, $argument:ident: $type:ty)*) => $own:expr;)+) => {
        $(operator!($wide, $narrow, $name($size: usize $(, $argument: $type)*) -> *mut c_void, $own);)+
    };
}

macro_rules! deletes {
    ($($wide:literal, $narrow:literal, $name:ident($block:ident $(, $argument:ident: $type:ty)*)
        => $size:expr, $align:expr, $kind:expr;)+) => {
        $(operator!(
            $wide, $narrow, $name($block: *mut c_void $(, $argument: $type)*),
            // SAFETY: the caller's promise.
            unsafe { delete($block, $size, $align, $kind) }
        );)+
    };
}

news! {
    "_Znwm", "_Znwj", new_one(size) => new(size, ALIGN, Kind::New);
    "_Znam", "_Znaj", new_array(size) => new(size, ALIGN, Kind::NewArray);
    "_ZnwmRKSt9nothrow_t", "_ZnwjRKSt9nothrow_t", try_new_one(size, _no: NoThrow)
        => try_new(size, ALIGN, Kind::New);
    "_ZnamRKSt9nothrow_t", "_ZnajRKSt9nothrow_t", try_new_array(size, _no: NoThrow)
        => try_new(size, ALIGN, Kind::NewArray);
    "_ZnwmSt11align_val_t", "_ZnwjSt11align_val_t", new_one_at(size, align: usize)
        => new(size, align, Kind::New);
    "_ZnamSt11align_val_t", "_ZnajSt11align_val_t", new_array_at(size, align: usize)
        => new(size, align, Kind::NewArray);
    "_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZnwjSt11align_val_tRKSt9nothrow_t",
        try_new_one_at(size, align: usize, _no: NoThrow) => try_new(size, align, Kind::New);
    "_ZnamSt11align_val_tRKSt9nothrow_t", "_ZnajSt11align_val_tRKSt9nothrow_t",
        try_new_array_at(size, align: usize, _no: NoThrow) => try_new(size, align, Kind::NewArray);
}

deletes! {
    "_ZdlPv", "_ZdlPv", delete_one(block) => None, 1, Kind::New;
    "_ZdaPv", "_ZdaPv", delete_array(block) => None, 1, Kind::NewArray;
    "_ZdlPvm", "_ZdlPvj", delete_one_sized(block, size: usize) => Some(size), 1, Kind::New;
    "_ZdaPvm", "_ZdaPvj", delete_array_sized(block, size: usize) => Some(size), 1, Kind::NewArray;
    "_ZdlPvRKSt9nothrow_t", "_ZdlPvRKSt9nothrow_t", delete_one_after(block, _no: NoThrow)
        => None, 1, Kind::New;
    "_ZdaPvRKSt9nothrow_t", "_ZdaPvRKSt9nothrow_t", delete_array_after(block, _no: NoThrow)
        => None, 1, Kind::NewArray;
    "_ZdlPvSt11align_val_t", "_ZdlPvSt11align_val_t", delete_one_at(block, align: usize)
        => None, align, Kind::New;
    "_ZdaPvSt11align_val_t", "_ZdaPvSt11align_val_t", delete_array_at(block, align: usize)
        => None, align, Kind::NewArray;
    "_ZdlPvmSt11align_val_t", "_ZdlPvjSt11align_val_t",
        delete_one_sized_at(block, size: usize, align: usize) => Some(size), align, Kind::New;
    "_ZdaPvmSt11align_val_t", "_ZdaPvjSt11align_val_t",
        delete_array_sized_at(block, size: usize, align: usize) => Some(size), align, Kind::NewArray;
    "_ZdlPvSt11align_val_tRKSt9nothrow_t", "_ZdlPvSt11align_val_tRKSt9nothrow_t",
        delete_one_at_after(block, align: usize, _no: NoThrow) => None, align, Kind::New;
    "_ZdaPvSt11align_val_tRKSt9nothrow_t", "_ZdaPvSt11align_val_tRKSt9nothrow_t",
        delete_array_at_after(block, align: usize, _no: NoThrow) => None, align, Kind::NewArray;
}
