//! What the heap says of itself: `mallinfo2`, `mallinfo`, `malloc_stats`, `mallopt`.

use core::ffi::c_int;
use core::fmt::Write as _;

use crate::heap;
use crate::output::Text;

/// The figures of the heap in the C library's form, in bytes: `arena` is what is resident at most,
/// `uordblks` what the program has, `fordblks` what waits to be used again, `keepcost` the part of that
/// which nothing keeps from being given back. The others are 0: mappings are not told apart.
#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> libc::mallinfo2 {
    info()
}

#[cfg(target_env = "gnu")]
fn info() -> libc::mallinfo2 {
    let stats = heap::stats();
    libc::mallinfo2 {
        arena: stats.resident_bytes,
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: stats.live_bytes,
        fordblks: stats.cached_bytes + stats.retained_bytes,
        keepcost: stats.retained_bytes,
    }
}

/// As `mallinfo2`; a figure that the type cannot hold is the largest that it can.
#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> libc::mallinfo {
    let wide = info();
    let narrow = |bytes: usize| c_int::try_from(bytes).unwrap_or(c_int::MAX);
    libc::mallinfo {
        arena: narrow(wide.arena),
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: narrow(wide.uordblks),
        fordblks: narrow(wide.fordblks),
        keepcost: narrow(wide.keepcost),
    }
}

/// Prints a table on standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    print_stats();
}

/// Obeys no parameter of the C library's allocator, and says so: the answer is 0, its word for an error.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(_parameter: c_int, _value: c_int) -> c_int {
    0
}

/// The table of `malloc_stats`, and of the setting `DRYSTONE_STATS`.
pub(crate) fn print_stats() {
    let mut text = Text::new();
    // Text never fails: what does not fit is left out.
    let _ = write!(text, "drystone-malloc\n{}", heap::stats());
    #[cfg(feature = "hardened")]
    heap::describe(&mut text);
    text.to_standard_error();
}
