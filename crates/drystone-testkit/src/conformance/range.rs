//! The laws of [`FixedRange`].

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use drystone_core::{AllocError, FixedRange, StableAddress, arith};

use super::block::{Verdict, ensure};
use super::settle;
use crate::bytes;

/// What can be asked of a range without writing to it: steady answers (L1), a size within bounds
/// (L2), an alignment that is true (L6), `contains` and `commit` at their edges, and the law of
/// `align_offset`.
///
/// # Panics
///
/// If a law is broken.
#[track_caller]
pub fn fixed_range<R: FixedRange>(range: &R) {
    settle("fixed_range", description(range));
}

fn description<R: FixedRange>(range: &R) -> Verdict {
    let (base, size) = (range.base(), range.size());
    ensure!(
        (range.base(), range.size()) == (base, size),
        "two calls of base and size differ"
    );
    ensure!(
        size <= arith::SIZE_MAX && base.addr().get().checked_add(size).is_some(),
        "size {size} at {base:?} exceeds isize::MAX or wraps"
    );
    let align = range.base_align();
    ensure!(
        align.is_power_of_two() && base.addr().get() % align == 0,
        "base {base:?} is not aligned to {align}"
    );
    contains(range)?;
    commits(range)?;
    align_offsets(range)
}

/// `contains` answers by address: the first and last byte are inside, their neighbours are not.
fn contains<R: FixedRange>(range: &R) -> Verdict {
    let (base, size) = (range.base(), range.size());
    let asks = |address: usize| {
        NonNull::new(base.as_ptr().with_addr(address)).is_some_and(|ptr| range.contains(ptr))
    };
    let start = base.addr().get();
    for offset in [0, 1, size / 2, size.wrapping_sub(1)] {
        ensure!(
            asks(start.wrapping_add(offset)) == (offset < size),
            "contains is wrong about offset {offset} of {size}"
        );
    }
    for outside in [start.wrapping_sub(1), start + size, usize::MAX, 1] {
        ensure!(
            outside.wrapping_sub(start) < size || !asks(outside),
            "contains {outside:#x}, which is outside"
        );
    }
    Ok(())
}

/// `commit` accepts every part of the range, again and again, and refuses every other.
fn commits<R: FixedRange>(range: &R) -> Verdict {
    let size = range.size();
    let inside = [
        (0, 0),
        (0, size),
        (size, 0),
        (size / 2, size - size / 2),
        (0, size.min(1)),
    ];
    for (offset, len) in inside.into_iter().chain(inside) {
        ensure!(
            range.commit(offset, len).is_ok(),
            "commit({offset}, {len}) failed inside {size} bytes"
        );
    }
    let outside = [
        (0, size + 1),
        (size, 1),
        (size + 1, 0),
        (1, usize::MAX),
        (usize::MAX, 1),
        (usize::MAX, usize::MAX),
    ];
    for (offset, len) in outside {
        ensure!(
            range.commit(offset, len) == Err(AllocError),
            "commit({offset}, {len}) passed in {size} bytes"
        );
    }
    Ok(())
}

/// `align_offset` gives the smallest offset that is aligned here; where the range can move, only
/// alignments that the base keeps.
fn align_offsets<R: FixedRange>(range: &R) -> Verdict {
    let start = range.base().addr().get();
    for log2 in 0..=20 {
        let align = 1usize << log2;
        for offset in [0, 1, 7, 63, 4095, range.size(), usize::MAX - 64, usize::MAX] {
            let right = arith::align_offset_at(start, offset, align);
            let answer = range.align_offset(offset, align);
            let may_refuse = align > range.base_align();
            ensure!(
                answer == right || answer.is_none() && may_refuse,
                "align_offset({offset}, {align}) is {answer:?} at {start:#x}, and {right:?} is right"
            );
        }
    }
    Ok(())
}

/// All bytes of the committed range can be written and read back (L3, L5), and asking about the
/// range meanwhile leaves them alone (L4).
///
/// # Panics
///
/// If a law is broken.
#[track_caller]
pub fn fixed_range_contents<R: FixedRange>(make: impl Fn() -> R) {
    settle("fixed_range_contents", contents(&make(), &make()));
}

fn contents<R: FixedRange>(one: &R, other: &R) -> Verdict {
    let all = [(1, whole(one)?), (2, whole(other)?)];
    for (seed, range) in all {
        // SAFETY: the whole range is committed and valid for writes by L3.
        unsafe { bytes::stamp(range, seed) };
    }
    description(one)?;
    for (seed, range) in all {
        // SAFETY: valid for reads by L3, and written above.
        let changed = unsafe { bytes::first_difference(range, seed) };
        ensure!(
            changed.is_none(),
            "byte {} of a range of {} changed",
            changed.unwrap_or_default(),
            range.len()
        );
    }
    Ok(())
}

/// All bytes of `range`, committed.
fn whole<R: FixedRange>(range: &R) -> Verdict<NonNull<[u8]>> {
    ensure!(
        range.commit(0, range.size()).is_ok(),
        "cannot commit all of {} bytes",
        range.size()
    );
    Ok(NonNull::slice_from_raw_parts(range.base(), range.size()))
}

/// A range that claims [`StableAddress`] stays where it is, with its bytes, when its value moves.
///
/// # Panics
///
/// If a law is broken.
#[track_caller]
pub fn stable_range<R: FixedRange + StableAddress>(make: impl Fn() -> R) {
    settle("stable_range", survives_moves(make()));
}

fn survives_moves<R: FixedRange + StableAddress>(range: R) -> Verdict {
    let mut home = Box::new(MaybeUninit::new(range));
    // SAFETY: written just now.
    let bytes_before = whole(unsafe { home.assume_init_ref() })?;
    // SAFETY: the whole range is committed and valid for writes by L3.
    unsafe { bytes::stamp(bytes_before, 3) };
    // SAFETY: initialised; the old place is not used as a range again.
    let moved = Box::new(unsafe { home.assume_init_read() });
    // SAFETY: the box is valid for writes of its own type.
    unsafe { ptr::write_bytes(home.as_mut_ptr(), 0xA5, 1) };
    let range = *moved;
    ensure!(
        (range.base(), range.size()) == (bytes_before.cast(), bytes_before.len()),
        "the range moved with its value"
    );
    // SAFETY: valid for reads by L3, and written above.
    let changed = unsafe { bytes::first_difference(bytes_before, 3) };
    ensure!(
        changed.is_none(),
        "byte {} of the range changed when its value moved",
        changed.unwrap_or_default()
    );
    description(&range)
}
