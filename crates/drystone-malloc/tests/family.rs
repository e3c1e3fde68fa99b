//! What POSIX and the C library say of each function, one by one.
#![cfg(target_os = "linux")]

mod common;

use std::collections::HashSet;
use std::ffi::c_void;
use std::ptr;

use common::{errno, family, set_errno};

/// What no call of the family sets.
const UNTOUCHED: i32 = 4711;

/// Its square is one more than a size can be.
const ROOT: usize = 1 << (usize::BITS / 2);

/// Asserts that the call answers NULL and says why.
fn assert_refused(code: i32, call: impl FnOnce() -> *mut c_void) {
    set_errno(UNTOUCHED);
    assert!(call().is_null());
    assert_eq!(errno(), code);
}

fn free(block: *mut c_void) {
    // SAFETY: the tests give up what they were given, or NULL.
    unsafe { (family().free)(block) };
}

fn malloc(size: usize) -> *mut c_void {
    // SAFETY: no requirements.
    let block = unsafe { (family().malloc)(size) };
    assert!(!block.is_null(), "memory for a test");
    block
}

const HARDENED: bool = cfg!(feature = "hardened");

/// All bytes that the block has, by its own word, can be written and read.
fn assert_usable(block: *mut c_void, least: usize) {
    // SAFETY: the block is live.
    let bytes = unsafe { (family().malloc_usable_size)(block) };
    assert!(bytes >= least, "{bytes} for {least}");
    if bytes == 0 {
        // The hardened build gives an address that nobody may access.
        assert_eq!((least, HARDENED), (0, true));
        return;
    }
    let block: *mut u8 = block.cast();
    // SAFETY: the block has the bytes.
    unsafe { block.write_bytes(0xa5, bytes) };
    // SAFETY: as above.
    let last = unsafe { block.add(bytes - 1) };
    // SAFETY: as above; it was written.
    assert_eq!(unsafe { last.read() }, 0xa5);
}

#[test]
fn blocks_are_aligned_and_usable_to_the_last_byte() {
    for size in (0..300).chain([4096, 65_536, 131_073, 1 << 21, (1 << 21) + 1, 40 << 20]) {
        let block = malloc(size);
        assert_eq!(block.addr() % 16, 0, "{size}");
        assert_usable(block, size);
        free(block);
    }
}

#[test]
fn blocks_of_no_bytes_are_different_blocks() {
    let blocks: Vec<_> = (0..1000).map(|_| malloc(0)).collect();
    let different: HashSet<_> = blocks.iter().map(|block| block.addr()).collect();
    assert_eq!(different.len(), blocks.len());
    for block in blocks {
        free(block);
    }
    free(ptr::null_mut());
}

#[test]
fn what_no_memory_can_hold_is_refused() {
    let family = family();
    let half = isize::MAX.unsigned_abs();
    for size in [usize::MAX, half + 1, half, half - 15, half - 4096] {
        // SAFETY: no requirements.
        assert_refused(libc::ENOMEM, || unsafe { (family.malloc)(size) });
        // SAFETY: no requirements.
        assert_refused(libc::ENOMEM, || unsafe { (family.calloc)(1, size) });
        // SAFETY: no requirements.
        assert_refused(libc::ENOMEM, || unsafe { (family.calloc)(size, 1) });
        // SAFETY: no requirements.
        assert_refused(libc::ENOMEM, || unsafe { (family.memalign)(64, size) });
        // SAFETY: no requirements.
        assert_refused(libc::ENOMEM, || unsafe { (family.valloc)(size) });
        // SAFETY: no requirements.
        assert_refused(libc::ENOMEM, || unsafe { (family.pvalloc)(size) });
        let block = malloc(100);
        // SAFETY: the block is live, and stays so after a refusal.
        assert_refused(libc::ENOMEM, || unsafe { (family.realloc)(block, size) });
        assert_usable(block, 100);
        free(block);
    }
    // SAFETY: no requirements.
    assert_refused(libc::ENOMEM, || unsafe { (family.calloc)(ROOT, ROOT) });
    let block = malloc(8);
    // SAFETY: the block is live, and stays so after a refusal.
    assert_refused(libc::ENOMEM, || unsafe {
        (family.reallocarray)(block, 2 * ROOT, ROOT)
    });
    free(block);
}

#[test]
fn cleared_blocks_are_zero_where_others_were() {
    for size in [1_usize, 24, 1000, 9000, 140_000, 3 << 20] {
        for _ in 0..3 {
            // SAFETY: no requirements.
            let block = unsafe { (family().calloc)(size, 1) };
            assert!(!block.is_null());
            // SAFETY: the block has the bytes, and they were written.
            let bytes = unsafe { std::slice::from_raw_parts(block.cast::<u8>(), size) };
            assert!(bytes.iter().all(|byte| *byte == 0), "{size}");
            assert_usable(block, size);
            free(block);
        }
    }
}

#[test]
fn a_resized_block_keeps_its_bytes() {
    let sizes = [1_usize, 17, 500, 5000, 100_000, 300_000, 5 << 20, 9 << 20];
    for from in sizes {
        for to in sizes {
            let block: *mut u8 = malloc(from).cast();
            // SAFETY: the block has the bytes.
            unsafe { block.write_bytes(0x3c, from) };
            // SAFETY: the block is live, and not used any more.
            let moved = unsafe { (family().realloc)(block.cast(), to) };
            assert!(!moved.is_null());
            let kept = from.min(to);
            // SAFETY: the block has the bytes, and they were written.
            let bytes = unsafe { std::slice::from_raw_parts(moved.cast::<u8>(), kept) };
            assert!(bytes.iter().all(|byte| *byte == 0x3c), "{from} to {to}");
            assert_usable(moved, to);
            free(moved);
        }
    }
}

#[test]
fn resizing_to_nothing_frees_and_nothing_resized_is_new() {
    let family = family();
    let block = malloc(100);
    // SAFETY: the block is live, and not used any more.
    assert!(unsafe { (family.realloc)(block, 0) }.is_null());
    // SAFETY: NULL is no block.
    let block = unsafe { (family.realloc)(ptr::null_mut(), 0) };
    assert!(!block.is_null());
    free(block);
    // SAFETY: NULL is no block.
    let block = unsafe { (family.reallocarray)(ptr::null_mut(), 3, 100) };
    assert_usable(block, 300);
    free(block);
}

#[test]
fn every_alignment_is_served() {
    let family = family();
    for log2 in 0..=24 {
        let align = 1_usize << log2;
        for size in [0, 1, align / 2, align, align + 1, 70_000] {
            let mut placed = ptr::null_mut();
            if align >= size_of::<usize>() {
                // SAFETY: the place is valid.
                let code = unsafe { (family.posix_memalign)(&raw mut placed, align, size) };
                assert_eq!(code, 0, "{align}");
            }
            // SAFETY: no requirements.
            let aligned = unsafe { (family.aligned_alloc)(align, size) };
            // SAFETY: no requirements.
            let memaligned = unsafe { (family.memalign)(align, size) };
            assert!(!aligned.is_null() && !memaligned.is_null());
            for block in [placed, aligned, memaligned] {
                assert_eq!(block.addr() % align.max(16), 0, "{align}");
                if !block.is_null() {
                    assert_usable(block, size);
                }
                free(block);
            }
        }
    }
}

#[test]
fn alignments_that_are_none_are_refused() {
    let family = family();
    let mut place = ptr::dangling_mut::<c_void>();
    set_errno(UNTOUCHED);
    for align in [0, 1, 2, 4, 3, 24, 4095, usize::MAX] {
        // SAFETY: the place is valid.
        let code = unsafe { (family.posix_memalign)(&raw mut place, align, 8) };
        assert_eq!(code, libc::EINVAL, "{align}");
    }
    let half = isize::MAX.unsigned_abs();
    for (align, size) in [(8, half), (ROOT * (ROOT / 4), 8), (4096, usize::MAX)] {
        // SAFETY: the place is valid.
        let code = unsafe { (family.posix_memalign)(&raw mut place, align, size) };
        assert_eq!(code, libc::ENOMEM, "{align}");
    }
    assert_eq!(place, ptr::dangling_mut(), "nothing was stored");
    assert_eq!(errno(), UNTOUCHED);
    for align in [0, 3, 24, usize::MAX] {
        // SAFETY: no requirements.
        assert_refused(libc::EINVAL, || unsafe { (family.aligned_alloc)(align, 8) });
    }
    // SAFETY: no requirements.
    assert_refused(libc::EINVAL, || unsafe { (family.memalign)(usize::MAX, 8) });
    for (align, served) in [(0, 16), (3, 16), (24, 32), (4095, 4096)] {
        // SAFETY: no requirements.
        let block = unsafe { (family.memalign)(align, 8) };
        assert_eq!(block.addr() % served, 0, "{align}");
        free(block);
    }
}

#[test]
fn page_aligned_blocks_are_whole_pages_where_they_must_be() {
    // SAFETY: no requirements.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size");
    for size in [0, 1, page - 1, page, page + 1, 50 * page] {
        // SAFETY: no requirements.
        let block = unsafe { (family().valloc)(size) };
        assert_eq!(block.addr() % page, 0);
        assert_usable(block, size);
        free(block);
        // SAFETY: no requirements.
        let block = unsafe { (family().pvalloc)(size) };
        assert_eq!(block.addr() % page, 0);
        assert_usable(block, size.max(1).next_multiple_of(page));
        free(block);
    }
}

#[test]
fn freeing_keeps_errno() {
    set_errno(UNTOUCHED);
    for size in [8, 5000, 200_000, 3 << 20, 100 << 20] {
        let blocks: Vec<_> = (0..8).map(|_| malloc(size)).collect();
        set_errno(UNTOUCHED);
        for block in blocks {
            free(block);
        }
        assert_eq!(errno(), UNTOUCHED, "{size}");
    }
    // SAFETY: no requirements.
    unsafe { (family().malloc_trim)(0) };
    assert_eq!(errno(), UNTOUCHED);
}

#[test]
fn sized_frees_take_what_was_asked_for() {
    let family = family();
    for size in [0, 1, 24, 1000, 70_000, 200_000, 3 << 20] {
        let block = malloc(size);
        // SAFETY: the block is live, and not used any more.
        unsafe { (family.free_sized)(block, size) };
        // SAFETY: no requirements.
        let block = unsafe { (family.aligned_alloc)(128, size) };
        // SAFETY: the block is live, and not used any more.
        unsafe { (family.free_aligned_sized)(block, 128, size) };
    }
    // SAFETY: NULL is no block.
    unsafe { (family.free_sized)(ptr::null_mut(), 5) };
    // SAFETY: NULL is no block.
    unsafe { (family.free_aligned_sized)(ptr::null_mut(), 8, 5) };
}

#[test]
fn what_is_not_obeyed_says_so() {
    // SAFETY: no requirements.
    assert_eq!(unsafe { (family().mallopt)(libc::M_ARENA_MAX, 1) }, 0);
    // SAFETY: NULL is no block.
    assert_eq!(unsafe { (family().malloc_usable_size)(ptr::null_mut()) }, 0);
}
