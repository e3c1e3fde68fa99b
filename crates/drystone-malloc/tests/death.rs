//! What ends a process that runs on the library: one line, and an abort.
#![cfg(all(
    target_os = "linux",
    any(feature = "hardened", not(feature = "unchecked"))
))]

mod common;

use std::ffi::c_void;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt as _;
use std::ptr;
use std::thread;

use common::{family, is_preloaded, preloaded, text};

/// Runs a test on the library, which has to abort after one line; `expected` is what the line says
/// without the address.
fn assert_dies(test: &str, expected: &str) {
    let output = preloaded(test).output().expect("the program starts");
    let err = text(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{err}");
    let line = without_address(&err);
    if cfg!(feature = "hardened") {
        // Its blocks are larger than what was asked for by more than their class.
        let (line, _) = line
            .split_once("; block size")
            .unwrap_or((line.trim_end(), ""));
        let (expected, _) = expected
            .split_once("; block size")
            .unwrap_or((expected, ""));
        assert_eq!(line, format!("drystone: {expected}"));
    } else {
        assert_eq!(line, format!("drystone: {expected}\n"));
    }
}

/// The text with `ADDRESS` for the number between `(0x` and `)`.
fn without_address(line: &str) -> String {
    let Some((before, rest)) = line.split_once("0x") else {
        return line.to_owned();
    };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    format!("{before}ADDRESS{after}")
}

/// A test whose body ends the process that runs it.
macro_rules! dies {
    ($name:ident, $expected:literal, $body:expr) => {
        #[test]
        fn $name() {
            if is_preloaded() {
                $body;
                return;
            }
            assert_dies(stringify!($name), $expected);
        }
    };
}

/// Calls the process's own `free`, which the optimiser must not see through.
fn free(block: *mut c_void) {
    // SAFETY: none: the process ends because of it.
    unsafe { libc::free(black_box(block)) };
}

fn malloc(size: usize) -> *mut c_void {
    // SAFETY: no requirements.
    let block = unsafe { libc::malloc(black_box(size)) };
    assert!(!block.is_null());
    black_box(block)
}

fn offset(block: *mut c_void, bytes: usize) -> *mut c_void {
    block.wrapping_byte_add(bytes)
}

/// A pointer on its way to another thread.
struct Sent(*mut c_void);

// SAFETY: only the address is used there.
unsafe impl Send for Sent {}

impl Sent {
    fn free(self) {
        free(self.0);
    }
}

fn free_elsewhere(block: *mut c_void) {
    let sent = Sent(block);
    thread::spawn(move || sent.free())
        .join()
        .expect("the thread ends well");
}

dies!(
    freed_twice,
    "free(ADDRESS): freed already; block size 64",
    {
        let block = malloc(64);
        free(block);
        free(block);
    }
);

dies!(
    freed_twice_with_others_between,
    "free(ADDRESS): freed already; block size 112",
    {
        let (block, _kept) = (malloc(100), malloc(100));
        free(block);
        let others: Vec<_> = (0..100).map(|_| malloc(200)).collect();
        others.into_iter().for_each(free);
        free(block);
    }
);

dies!(
    freed_here_after_elsewhere,
    "free(ADDRESS): freed already; block size 80",
    {
        let (block, _kept) = (malloc(80), malloc(80));
        free_elsewhere(block);
        free(block);
    }
);

dies!(
    freed_elsewhere_after_here,
    "free(ADDRESS): freed already; block size 80",
    {
        let (block, _kept) = (malloc(80), malloc(80));
        free(block);
        free_elsewhere(block);
    }
);

#[cfg(not(feature = "hardened"))]
dies!(
    a_large_block_freed_twice,
    "free(ADDRESS): freed already; block size 3145728",
    {
        let block = malloc(3 << 20);
        free(block);
        free(block);
    }
);

#[cfg(feature = "guard")]
dies!(a_large_block_freed_twice, "free(ADDRESS): freed already", {
    let block = malloc(3 << 20);
    free(block);
    free(block);
});

// The hardened build gives a large block back to the system at once.
#[cfg(all(feature = "hardened", not(feature = "guard")))]
dies!(
    a_large_block_freed_twice,
    "free(ADDRESS): not from this allocator",
    {
        let block = malloc(3 << 20);
        free(block);
        free(block);
    }
);

dies!(
    freed_inside,
    "free(ADDRESS): not the beginning of a block; block size 208",
    free(offset(malloc(200), 16))
);

dies!(
    freed_askew,
    "free(ADDRESS): not the beginning of a block; block size 208",
    free(offset(malloc(200), 3))
);

dies!(
    freed_inside_a_run,
    "free(ADDRESS): not the beginning of a block; block size 262144",
    free(offset(malloc(200_000), 65_536))
);

dies!(
    freed_from_the_stack,
    "free(ADDRESS): not from this allocator",
    {
        let mut local = 0_u64;
        free((&raw mut local).cast());
    }
);

dies!(
    freed_from_a_static,
    "free(ADDRESS): not from this allocator",
    {
        static LOCAL: u64 = 7;
        free((&raw const LOCAL).cast_mut().cast());
    }
);

dies!(
    freed_from_nowhere,
    "free(ADDRESS): not from this allocator",
    free(ptr::without_provenance_mut(0x10))
);

dies!(
    resized_after_it_was_freed,
    "realloc(ADDRESS): freed already; block size 64",
    {
        let block = malloc(64);
        free(block);
        // SAFETY: none: the process ends because of it.
        black_box(unsafe { libc::realloc(black_box(block), 100) });
    }
);

dies!(
    asked_about_after_it_was_freed,
    "malloc_usable_size(ADDRESS): freed already; block size 64",
    {
        let block = malloc(64);
        free(block);
        // SAFETY: none: the process ends because of it.
        black_box(unsafe { libc::malloc_usable_size(black_box(block)) });
    }
);

/// The functions that the C library may not have, by the loaded library's own names.
fn wrong_size(call: impl FnOnce(*mut c_void)) {
    // SAFETY: no requirements.
    call(unsafe { (family().malloc)(100) });
}

dies!(
    freed_with_too_large_a_size,
    "free_sized(ADDRESS): not a block of this size; block size 112",
    // SAFETY: none: the process ends because of it.
    wrong_size(|block| unsafe { (family().free_sized)(block, 113) })
);

dies!(
    freed_with_an_alignment_it_does_not_have,
    "free_aligned_sized(ADDRESS): not the beginning of a block; block size 112",
    // SAFETY: none: the process ends because of it.
    wrong_size(|block| unsafe { (family().free_aligned_sized)(block, 1 << 20, 100) })
);

#[cfg(feature = "hardened")]
mod hardened {
    //! What the hardened build finds besides.

    use super::*;

    /// Writes one byte of a block, or beside it.
    fn write(block: *mut c_void, offset: usize, byte: u8) {
        let at: *mut u8 = super::offset(black_box(block), offset).cast();
        // SAFETY: none but that the memory is there: the process ends because of it.
        unsafe { at.write_volatile(byte) };
    }

    /// A test whose body ends the process that runs it: by a line, or by an access that faults where
    /// blocks are guarded.
    macro_rules! dies_in_hardened {
        ($name:ident, $expected:literal, $body:expr) => {
            dies_in_hardened!($name, assert_dies, $expected, $body);
        };
        ($name:ident, faults in guard, $expected:literal, $body:expr) => {
            dies_in_hardened!($name, assert_dies_or_faults, $expected, $body);
        };
        ($name:ident, $assert:ident, $expected:literal, $body:expr) => {
            #[test]
            fn $name() {
                if is_preloaded() {
                    $body;
                    return;
                }
                $assert(concat!("hardened::", stringify!($name)), $expected);
            }
        };
    }

    /// Runs a test on the library, which has to end as [`assert_dies`] says, or with guarded blocks by a
    /// fault before anything is said.
    fn assert_dies_or_faults(test: &str, expected: &str) {
        if !cfg!(feature = "guard") {
            return assert_dies(test, expected);
        }
        let output = preloaded(test).output().expect("the program starts");
        let err = text(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{err}");
        assert_eq!(err, "");
    }

    dies_in_hardened!(
        a_terminator_written_one_byte_too_far,
        "free(ADDRESS): written past its end",
        {
            let block = malloc(100);
            write(block, 100, 0);
            free(block);
        }
    );

    dies_in_hardened!(
        written_at_the_end_of_the_canary,
        "free(ADDRESS): written past its end",
        {
            let block = malloc(5000);
            write(block, 5007, 0);
            free(block);
        }
    );

    dies_in_hardened!(
        the_number_behind_a_block_overwritten,
        faults in guard,
        "free(ADDRESS): written past its end",
        {
            let block = malloc(16);
            for offset in 16..32 {
                write(block, offset, 0x41);
            }
            free(block);
        }
    );

    dies_in_hardened!(
        written_past_the_end_and_resized,
        faults in guard,
        "realloc(ADDRESS): written past its end",
        {
            let block = malloc(3 << 20);
            write(block, 3 << 20, 1);
            // SAFETY: none: the process ends because of it.
            black_box(unsafe { libc::realloc(black_box(block), 100) });
        }
    );

    dies_in_hardened!(
        written_before_its_start,
        "free(ADDRESS): written before its start",
        {
            let block = malloc(48);
            write(block.wrapping_byte_sub(1), 0, 0x41);
            free(block);
        }
    );

    dies_in_hardened!(
        its_record_overwritten,
        "free(ADDRESS): written before its start",
        {
            let block = malloc(48);
            for offset in 1..=16 {
                write(block.wrapping_byte_sub(offset), 0, 0x41);
            }
            free(block);
        }
    );

    dies_in_hardened!(
        written_far_behind_its_end,
        faults in guard,
        "free(ADDRESS): written past its end",
        {
            let block = malloc(4097);
            write(block, 4096 + 200, 1);
            free(block);
        }
    );

    dies_in_hardened!(
        written_after_it_was_freed,
        faults in guard,
        "free(ADDRESS): written after it was freed",
        {
            let block = malloc(500);
            free(block);
            write(block, 499, 1);
            // It leaves the quarantine.
            for _ in 0..2000 {
                free(malloc(500));
            }
        }
    );

    dies_in_hardened!(
        written_after_it_was_freed_and_never_again_allocated,
        faults in guard,
        "free(ADDRESS): written after it was freed",
        {
            let block = malloc(500);
            free(block);
            // Found when the process exits.
            write(block, 0, 1);
        }
    );

    dies_in_hardened!(
        freed_twice_with_the_same_size_between,
        "free(ADDRESS): freed already",
        {
            let block = malloc(64);
            free(block);
            for _ in 0..500 {
                free(malloc(64));
            }
            free(block);
        }
    );

    dies_in_hardened!(freed_after_it_moved, "free(ADDRESS): freed already", {
        let block = malloc(1000);
        // SAFETY: the block is live.
        let moved = unsafe { libc::realloc(block, 100_000) };
        assert_ne!(moved, block);
        free(block);
    });

    dies_in_hardened!(
        a_block_of_no_bytes_freed_twice,
        "free(ADDRESS): freed already",
        {
            let block = malloc(0);
            free(block);
            free(block);
        }
    );

    dies_in_hardened!(
        copied_past_the_end,
        "memcpy(ADDRESS): bytes outside of the block that it is in",
        {
            let (block, from) = (malloc(100), [7_u8; 101]);
            let bytes = black_box(from.len());
            // SAFETY: none: the process ends because of it.
            unsafe { libc::memcpy(block, black_box(&from).as_ptr().cast(), bytes) };
        }
    );

    dies_in_hardened!(
        copied_from_past_the_end,
        "memcpy(ADDRESS): bytes outside of the block that it is in",
        {
            let (block, mut to) = (malloc(100), [7_u8; 101]);
            let bytes = black_box(to.len() - 50);
            // SAFETY: none: the process ends because of it.
            unsafe { libc::memcpy(to.as_mut_ptr().cast(), offset(block, 50), bytes) };
            black_box(to);
        }
    );

    unsafe extern "C" {
        fn __memcpy_chk(
            to: *mut c_void,
            from: *const c_void,
            bytes: usize,
            room: usize,
        ) -> *mut c_void;
        fn __memmove_chk(
            to: *mut c_void,
            from: *const c_void,
            bytes: usize,
            room: usize,
        ) -> *mut c_void;
        fn __memset_chk(
            to: *mut c_void,
            value: std::ffi::c_int,
            bytes: usize,
            room: usize,
        ) -> *mut c_void;
    }

    dies_in_hardened!(
        copied_past_the_end_in_a_fortified_program,
        "memcpy(ADDRESS): bytes outside of the block that it is in",
        {
            let (block, from) = (malloc(100), [7_u8; 101]);
            // SAFETY: none: the process ends because of it.
            unsafe { __memcpy_chk(block, from.as_ptr().cast(), 101, black_box(usize::MAX)) };
        }
    );

    dies_in_hardened!(
        moved_past_what_the_compiler_saw,
        "memmove(ADDRESS): bytes outside of the block that it is in",
        {
            let (block, from) = (malloc(100), [7_u8; 60]);
            // SAFETY: none: the process ends because of it.
            unsafe { __memmove_chk(block, from.as_ptr().cast(), 60, black_box(50)) };
        }
    );

    dies_in_hardened!(
        set_past_the_end_in_a_fortified_program,
        "memset(ADDRESS): bytes outside of the block that it is in",
        // SAFETY: none: the process ends because of it.
        unsafe {
            __memset_chk(malloc(100), 7, 101, black_box(usize::MAX));
        }
    );

    dies_in_hardened!(set_after_it_was_freed, "memset(ADDRESS): freed already", {
        let block = malloc(100);
        free(block);
        // SAFETY: none: the process ends because of it.
        unsafe { libc::memset(block, 7, black_box(100)) };
    });

    dies_in_hardened!(
        a_block_of_no_bytes_is_set,
        "memset(ADDRESS): bytes outside of the block that it is in",
        // SAFETY: none: the process ends because of it.
        unsafe {
            libc::memset(malloc(0), 7, black_box(1));
        }
    );

    dies_in_hardened!(
        freed_with_too_small_a_size,
        "free_sized(ADDRESS): not a block of this size",
        // SAFETY: none: the process ends because of it.
        wrong_size(|block| unsafe { (family().free_sized)(block, 99) })
    );
}
