//! Blocks of the global heap, and what is refused.
#![cfg(feature = "alloc")]

use std::error::Error;

use drystone_backing::{BackingError, HeapBacked};
use drystone_core::{AllocError, FixedRange, OsError};

const SIZE_MAX: usize = isize::MAX as usize;

#[test]
fn size_is_exact_and_alignment_at_least_what_was_asked() {
    for bytes in [1, 15, 16, 4097] {
        for bit in 0..14 {
            let align = 1 << bit;
            let backing = HeapBacked::with_align(bytes, align).expect("small");
            assert_eq!(backing.size(), bytes);
            assert_eq!(backing.base().addr().get() % align, 0);
            assert!(backing.base_align() >= align);
            assert_eq!(backing.align_offset(1, 1), Some(1));
            // SAFETY: the range is exclusive, writable, and `bytes` long.
            unsafe { backing.base().write_bytes(0xA5, bytes) };
        }
    }
}

#[test]
fn zeroed_is_zero_to_the_last_byte() {
    let plain = HeapBacked::new_zeroed(5000).expect("small");
    let aligned = HeapBacked::with_align_zeroed(5000, 512).expect("small");
    for backing in [plain, aligned] {
        for offset in 0..backing.size() {
            // SAFETY: the offset lies in the range.
            let byte = unsafe { backing.base().add(offset) };
            // SAFETY: the bytes are initialised with zero.
            assert_eq!(unsafe { byte.read() }, 0);
        }
    }
}

#[test]
fn the_base_stays_when_the_value_moves() {
    let backing = HeapBacked::new(64).expect("small");
    let base = backing.base();
    let moved = Box::new(backing);
    assert_eq!(moved.base(), base);
    // SAFETY: the first byte of a live exclusive range.
    unsafe { base.write(1) };
}

#[test]
fn what_no_block_can_be_is_told_apart() {
    assert_eq!(
        HeapBacked::new(0).expect_err("no bytes"),
        BackingError::ZeroSize
    );
    for align in [0, 3, 48, usize::MAX] {
        assert_eq!(
            HeapBacked::with_align(8, align).expect_err("not a power of two"),
            BackingError::Alignment { align }
        );
    }
    for (bytes, align, limit) in [
        (SIZE_MAX - 14, 16, SIZE_MAX - 15),
        (usize::MAX, 1, SIZE_MAX),
        (1, 1 << (usize::BITS - 1), 0),
    ] {
        assert_eq!(
            HeapBacked::with_align(bytes, align).expect_err("too large"),
            BackingError::TooLarge { bytes, limit }
        );
    }
}

#[test]
#[cfg_attr(
    miri,
    ignore = "Miri aborts where the heap would refuse; run without Miri"
)]
fn a_heap_without_the_memory_is_out_of_memory() {
    // The largest size that is not too large: no machine has it.
    let bytes = SIZE_MAX - 15;
    for made in [HeapBacked::new(bytes), HeapBacked::new_zeroed(bytes)] {
        assert_eq!(
            made.expect_err("no machine has it"),
            BackingError::OutOfMemory { bytes }
        );
    }
}

#[test]
fn errors_say_what_was_asked() {
    let call = OsError::Call {
        call: "mmap",
        code: 12,
    };
    for (error, words) in [
        (BackingError::ZeroSize, "no bytes"),
        (BackingError::Alignment { align: 3 }, "3"),
        (BackingError::TooLarge { bytes: 7, limit: 5 }, "limit is 5"),
        (BackingError::OutOfMemory { bytes: 99 }, "99"),
        (BackingError::Os(call), "mmap failed"),
    ] {
        assert!(error.to_string().contains(words), "{error}");
    }
    assert_eq!(
        BackingError::from(call).source().map(ToString::to_string),
        Some(call.to_string())
    );
    assert!(BackingError::ZeroSize.source().is_none());
}

#[test]
fn errors_travel_as_allocation_errors() {
    fn take() -> Result<HeapBacked, AllocError> {
        Ok(HeapBacked::new(0)?)
    }
    assert_eq!(take().expect_err("no bytes"), AllocError);
}
