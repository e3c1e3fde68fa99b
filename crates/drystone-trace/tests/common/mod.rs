//! What the integration tests share.
#![allow(dead_code, reason = "no test file uses all of it")]

use drystone_trace::{Op, Record, Trace};

/// A record as a row: thread, operation, object, size in bytes, logarithm of the alignment.
pub(crate) type Row = (u16, Op, u32, u64, u8);

pub(crate) fn records(rows: &[Row]) -> Vec<Record> {
    let record = |&(thread, op, object, size, align_log2): &Row| Record {
        object,
        thread,
        op,
        align_log2,
        size,
    };
    rows.iter().map(record).collect()
}

/// Two threads, three objects, every operation, a size of 0, a revived id and a live end.
pub(crate) fn sample() -> Trace {
    let rows = [
        (0, Op::Allocate, 0, 100, 4),
        (1, Op::AllocateZeroed, 1, 0, 3),
        (0, Op::Reallocate, 0, 250, 4),
        (1, Op::Free, 0, 250, 0),
        (0, Op::Allocate, 2, 4096, 12),
        (0, Op::Reallocate, 1, 8, 3),
        (1, Op::Allocate, 0, 60, 5),
        (1, Op::Reallocate, 2, 512, 12),
        (0, Op::Free, 2, 512, 0),
    ];
    Trace::from_records(2, 3, records(&rows)).expect("the sample is valid")
}

/// `raw` as one zstd frame of compressed blocks.
pub(crate) fn compress(raw: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(raw, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `raw` as one zstd frame of a raw block that states its content size and has no checksum.
pub(crate) fn frame_of_raw_block(raw: &[u8]) -> Vec<u8> {
    // Descriptor: single segment, content size in 4 bytes.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0b1010_0000];
    frame.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    let last_raw_block = (raw.len() as u32) << 3 | 1;
    frame.extend_from_slice(&last_raw_block.to_le_bytes()[..3]);
    frame.extend_from_slice(raw);
    frame
}
