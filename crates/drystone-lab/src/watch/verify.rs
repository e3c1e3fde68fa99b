//! Every byte checked: zeroed memory, alignment, overlap, contents.
//!
//! # What
//! Each block is filled with a pattern made of its slot's number, which no other live block
//! shares. Before a block is freed or resized the pattern is checked, and after it was resized
//! what both sizes have in common. A block that overlaps another destroys its pattern, so the
//! other's next check fails.
//!
//! # Memory picture
//! ```text
//!  up to 2 N bytes:  |################|            every byte
//!  above:            |####........####|            the first and the last N
//! ```
//! N is 512 KiB, or less for a program that asks for many gigabytes in total.
//!
//! # Threads
//! None shared: a block belongs to the thread whose turn it is.
//!
//! # Cost
//! Every byte is written and read: never timed.

use core::alloc::Layout;

use super::{Fault, Watch};
use crate::program::Step;
use crate::random::mix;

/// Bytes written at each end of a block, at most and at least; shorter blocks are written whole.
const END_BYTES_MAX: u64 = 512 << 10;
const END_BYTES_MIN: u64 = 4 << 10;

/// Bytes that a pass writes in total, about, before it leaves out the middle of blocks.
const PASS_BYTES: u64 = 4 << 30;

/// Checks blocks, and digests what was asked and whether it was served.
#[derive(Debug, Clone)]
pub(crate) struct Verify {
    end_bytes: usize,
    digest: u64,
    blocks: u64,
}

impl Verify {
    /// For a program of so many records that ask for so many bytes in total.
    pub(crate) fn new(requested_bytes: u64, records: u32) -> Self {
        let end_bytes = if requested_bytes <= PASS_BYTES {
            END_BYTES_MAX
        } else {
            (PASS_BYTES / 2 / u64::from(records.max(1))).clamp(END_BYTES_MIN, END_BYTES_MAX)
        };
        Self {
            end_bytes: end_bytes as usize,
            digest: 0,
            blocks: 0,
        }
    }

    /// A number that depends on every outcome so far, in order.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Blocks whose contents were checked.
    pub(crate) fn blocks_checked(&self) -> u64 {
        self.blocks
    }

    fn note(&mut self, step: &Step, outcome: u64) {
        let what = u64::from(step.record) << 8 | u64::from(step.op) << 4 | outcome;
        self.digest = mix(self.digest ^ mix(what) ^ step.size.rotate_left(17));
    }
}

/// The bytes of a block that carry the pattern.
fn covered(size: usize, end_bytes: usize) -> [core::ops::Range<usize>; 2] {
    if size / 2 <= end_bytes {
        [0..size, size..size]
    } else {
        [0..end_bytes, size - end_bytes..size]
    }
}

fn pattern_word(slot: u32, word: usize) -> [u8; 8] {
    let key = mix(u64::from(slot) + 1);
    key.wrapping_add((word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .to_ne_bytes()
}

fn pattern_byte(slot: u32, offset: usize) -> u8 {
    pattern_word(slot, offset / 8)[offset % 8]
}

fn fill(bytes: &mut [u8], slot: u32, first_offset: usize) {
    let mut offset = first_offset;
    let head = (first_offset.next_multiple_of(8) - first_offset).min(bytes.len());
    let (unaligned, rest) = bytes.split_at_mut(head);
    for byte in unaligned {
        *byte = pattern_byte(slot, offset);
        offset += 1;
    }
    for chunk in rest.chunks_mut(8) {
        chunk.copy_from_slice(&pattern_word(slot, offset / 8)[..chunk.len()]);
        offset += 8;
    }
}

/// Offset of the first byte that is not the pattern's.
fn first_wrong(bytes: &[u8], slot: u32, first_offset: usize) -> Option<usize> {
    let head = (first_offset.next_multiple_of(8) - first_offset).min(bytes.len());
    let (unaligned, rest) = bytes.split_at(head);
    let wrong = |bytes: &[u8], from: usize| {
        let at = bytes
            .iter()
            .zip(from..)
            .find(|&(&b, at)| b != pattern_byte(slot, at));
        at.map(|(_, at)| at)
    };
    if let Some(at) = wrong(unaligned, first_offset) {
        return Some(at);
    }
    (first_offset + head..)
        .step_by(8)
        .zip(rest.chunks(8))
        .find_map(|(offset, chunk)| {
            if chunk == &pattern_word(slot, offset / 8)[..chunk.len()] {
                None
            } else {
                wrong(chunk, offset)
            }
        })
}

/// # Safety
/// `block` is valid for writes of `size` bytes and this thread's alone.
unsafe fn stamp(block: *mut u8, size: usize, end_bytes: usize, slot: u32) {
    for range in covered(size, end_bytes) {
        // SAFETY: the range lies within `size`.
        let start = unsafe { block.add(range.start) };
        // The memory may be uninitialised: write before a slice is made of it.
        // SAFETY: the range lies within the block, which is this thread's alone.
        unsafe { start.write_bytes(0, range.len()) };
        // SAFETY: initialised above, within the block, this thread's alone.
        let bytes = unsafe { core::slice::from_raw_parts_mut(start, range.len()) };
        fill(bytes, slot, range.start);
    }
}

/// Checks the bytes below `limit` of a stamped block of `size` bytes.
///
/// # Safety
/// `block` is valid for reads of `limit` bytes, stamped as a block of `size`, this thread's alone.
unsafe fn check(
    step: &Step,
    block: *mut u8,
    (size, end_bytes): (usize, usize),
    limit: usize,
    when: &str,
) -> Result<(), Fault> {
    for range in covered(size, end_bytes) {
        let end = range.end.min(limit);
        if range.start >= end {
            continue;
        }
        // SAFETY: the range starts below `limit`, within the block.
        let start = unsafe { block.add(range.start) };
        // SAFETY: within the block; its bytes were initialised when it was stamped.
        let bytes = unsafe { core::slice::from_raw_parts(start, end - range.start) };
        if let Some(at) = first_wrong(bytes, step.slot, range.start) {
            let what = format!("byte {at} of a block of {size} bytes changed {when}");
            return Err(Fault {
                record: step.record,
                what,
            });
        }
    }
    Ok(())
}

fn check_alignment(step: &Step, block: *mut u8, layout: Layout) -> Result<(), Fault> {
    if block.addr().is_multiple_of(layout.align()) {
        return Ok(());
    }
    let what = format!("a block is not aligned to {} bytes", layout.align());
    Err(Fault {
        record: step.record,
        what,
    })
}

impl Watch for Verify {
    const TOUCHES: bool = false;

    unsafe fn allocated(
        &mut self,
        step: &Step,
        block: *mut u8,
        layout: Layout,
        zeroed: bool,
    ) -> Result<(), Fault> {
        check_alignment(step, block, layout)?;
        if zeroed {
            // SAFETY: a zeroed block of this size is initialised and this thread's alone.
            let bytes = unsafe { core::slice::from_raw_parts(block, layout.size()) };
            if let Some(at) = bytes.iter().position(|&b| b != 0) {
                let what = format!(
                    "byte {at} of a zeroed block of {} bytes is not 0",
                    bytes.len()
                );
                return Err(Fault {
                    record: step.record,
                    what,
                });
            }
        }
        // SAFETY: the block is this thread's alone and as long as its layout says.
        unsafe { stamp(block, layout.size(), self.end_bytes, step.slot) };
        self.blocks += 1;
        self.note(step, 1);
        Ok(())
    }

    unsafe fn leaving(&mut self, step: &Step, block: *mut u8, layout: Layout) -> Result<(), Fault> {
        self.note(step, 2);
        let size = layout.size();
        // SAFETY: the block is live, this thread's alone, and was stamped when it was handed out.
        unsafe {
            check(
                step,
                block,
                (size, self.end_bytes),
                size,
                "while it was live",
            )
        }
    }

    unsafe fn resized(
        &mut self,
        step: &Step,
        block: *mut u8,
        old: Layout,
        layout: Layout,
    ) -> Result<(), Fault> {
        check_alignment(step, block, layout)?;
        let kept = old.size().min(layout.size());
        // SAFETY: the block is at least `kept` bytes long; the target promises that they are the
        // old block's, which was stamped.
        unsafe {
            check(
                step,
                block,
                (old.size(), self.end_bytes),
                kept,
                "in a reallocation",
            )
        }?;
        // SAFETY: the block is this thread's alone and as long as its layout says.
        unsafe { stamp(block, layout.size(), self.end_bytes, step.slot) };
        self.blocks += 1;
        self.note(step, 3);
        Ok(())
    }

    fn refused(&mut self, step: &Step) {
        self.note(step, 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_byte_is_found() {
        for (size, first_offset) in [(1, 0), (7, 0), (8, 0), (33, 5), (64, 3)] {
            let mut bytes = vec![0u8; size];
            fill(&mut bytes, 9, first_offset);
            assert_eq!(first_wrong(&bytes, 9, first_offset), None);
            for at in 0..size {
                bytes[at] ^= 0x40;
                assert_eq!(
                    first_wrong(&bytes, 9, first_offset),
                    Some(first_offset + at)
                );
                bytes[at] ^= 0x40;
            }
        }
    }

    #[test]
    fn patterns_of_two_slots_differ_in_their_first_bytes() {
        let firsts: std::collections::HashSet<[u8; 8]> =
            (0..10_000).map(|slot| pattern_word(slot, 0)).collect();
        assert_eq!(firsts.len(), 10_000);
    }

    #[test]
    fn long_blocks_are_covered_at_both_ends() {
        let [head, tail] = covered(100, 30);
        assert_eq!((head, tail), (0..30, 70..100));
        assert_eq!(covered(60, 30)[0], 0..60);
        assert_eq!(Verify::new(1 << 20, 10).end_bytes as u64, END_BYTES_MAX);
        assert_eq!(
            Verify::new(1 << 40, u32::MAX).end_bytes as u64,
            END_BYTES_MIN
        );
    }
}
