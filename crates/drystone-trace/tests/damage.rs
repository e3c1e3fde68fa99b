//! Every kind of damage gives its own error, with its record, its byte and its reason.

mod common;

use common::{Row, compress, frame_of_raw_block, records, sample};
use drystone_trace::{Fault, Op, Trace, TraceError, TraceErrorKind};
use std::error::Error as _;

const HEADER: usize = 32;
const RECORD: usize = 16;

/// The error of `bytes`, raw and compressed, after making sure that both say the same.
fn error_of(bytes: &[u8]) -> TraceError {
    let error = Trace::from_bytes(bytes).expect_err("damaged");
    for compressed in [compress(bytes), frame_of_raw_block(bytes)] {
        let behind_zstd = Trace::from_bytes(&compressed).expect_err("damaged");
        assert_eq!(behind_zstd.to_string(), error.to_string());
    }
    assert_eq!(error.kind(), TraceErrorKind::Invalid);
    assert_eq!(error.line(), None);
    error
}

/// The sample with `change` made to its raw bytes.
fn damaged(change: impl FnOnce(&mut Vec<u8>)) -> TraceError {
    let mut bytes = sample().to_bytes();
    change(&mut bytes);
    error_of(&bytes)
}

fn pin(error: &TraceError, record: Option<u64>, byte: u64, text: &str) {
    assert_eq!(error.to_string(), text);
    assert_eq!((error.record(), error.byte()), (record, Some(byte)));
}

#[test]
fn empty() {
    let error = Trace::from_bytes(b"").unwrap_err();
    pin(
        &error,
        None,
        0,
        "header (byte 0): empty: a trace has a header of 32 bytes",
    );
    assert!(matches!(error.fault(), Fault::Empty));
}

#[test]
fn bad_magic() {
    let error = damaged(|bytes| bytes[7] = b'2');
    pin(
        &error,
        None,
        0,
        "header (byte 0): bad magic \"SATRACE2\": neither SATRACE1, DRYTRACE nor zstd",
    );
    let error = Trace::from_bytes(b"\x7fE").unwrap_err();
    pin(
        &error,
        None,
        0,
        "header (byte 0): bad magic \"\\x7fE\": neither SATRACE1, DRYTRACE nor zstd",
    );
}

#[test]
fn unknown_version() {
    let error = damaged(|bytes| bytes[8] = 2);
    pin(
        &error,
        None,
        8,
        "header (byte 8): unknown version 2: this reader knows version 1",
    );
}

#[test]
fn truncated_header() {
    let error = damaged(|bytes| bytes.truncate(20));
    pin(
        &error,
        None,
        20,
        "header (byte 20): truncated: 20 of the 32 bytes of the header",
    );
}

#[test]
fn truncated_records() {
    let error = damaged(|bytes| bytes.truncate(HEADER + 2 * RECORD + 5));
    let text = "record 2 (byte 69): truncated: 69 of the 176 bytes that 9 records take";
    pin(&error, Some(2), 69, text);
}

#[test]
fn trailing_bytes() {
    let error = damaged(|bytes| bytes.push(0));
    let text = "byte 176: trailing bytes after the 9 records that the header announces";
    pin(&error, None, 176, text);
}

#[test]
fn record_count_beyond_the_address_space() {
    let error = damaged(|bytes| bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes()));
    let text = "record 9 (byte 176): truncated: 176 of the 295147905179352825872 bytes that \
                18446744073709551615 records take";
    pin(&error, Some(9), 176, text);
}

#[test]
fn counts_that_the_records_cannot_reach() {
    let error = damaged(|bytes| bytes[12..16].copy_from_slice(&u32::MAX.to_le_bytes()));
    let text = "header (byte 12): 4294967295 threads announced for 9 records";
    pin(&error, None, 12, text);
    let error = damaged(|bytes| bytes[24..32].copy_from_slice(&(1_u64 << 60).to_le_bytes()));
    let text = "header (byte 24): 1152921504606846976 objects announced for 9 records";
    pin(&error, None, 24, text);
}

#[test]
fn counts_that_the_records_do_not_reach() {
    let error = damaged(|bytes| bytes[12] = 3);
    pin(
        &error,
        None,
        12,
        "header (byte 12): 3 threads announced, but thread 2 has no record",
    );
    let error = damaged(|bytes| bytes[24] = 4);
    let text = "header (byte 24): 4 objects announced, but object 3 is never allocated";
    pin(&error, None, 24, text);
}

#[test]
fn unknown_operation() {
    let error = damaged(|bytes| bytes[HEADER + 4 * RECORD + 6] = 4);
    pin(
        &error,
        Some(4),
        96,
        "record 4 (byte 96): unknown operation 4: 0 to 3 are known",
    );
}

#[test]
fn an_earlier_record_is_reported_before_an_unknown_operation() {
    let error = damaged(|bytes| {
        bytes[HEADER + 4 * RECORD + 6] = 255;
        bytes[HEADER + 3 * RECORD] = 2;
    });
    let text = "record 3 (byte 80): free of object 2, which is not live";
    pin(&error, Some(3), 80, text);
}

#[test]
fn a_wrong_length_is_reported_before_the_records() {
    let error = damaged(|bytes| {
        bytes[HEADER + 6] = 9;
        bytes.pop();
    });
    assert!(
        matches!(
            error.fault(),
            Fault::Truncated {
                records: 9,
                bytes: 175
            }
        ),
        "{error}"
    );
}

#[test]
fn out_of_range() {
    let error = damaged(|bytes| bytes[HEADER + RECORD + 4] = 2);
    let text = "record 1 (byte 48): thread 2 is out of range: the header announces 2";
    pin(&error, Some(1), 48, text);
    let error = damaged(|bytes| bytes[HEADER + RECORD] = 3);
    let text = "record 1 (byte 48): object 3 is out of range: the header announces 3";
    pin(&error, Some(1), 48, text);
}

/// The error of `rows`, which have one thread and one object.
fn rows_error(rows: &[Row]) -> TraceError {
    let error = Trace::from_records(1, 1, records(rows)).expect_err("damaged");
    assert_eq!(error.kind(), TraceErrorKind::Invalid);
    error
}

const BIRTH: Row = (0, Op::Allocate, 0, 8, 3);
const DEATH: Row = (0, Op::Free, 0, 8, 0);

#[test]
fn liveness() {
    let error = rows_error(&[BIRTH, DEATH, DEATH]);
    pin(
        &error,
        Some(2),
        64,
        "record 2 (byte 64): free of object 0, which is not live",
    );
    let error = rows_error(&[DEATH]);
    pin(
        &error,
        Some(0),
        32,
        "record 0 (byte 32): free of object 0, which is not live",
    );
    let error = rows_error(&[BIRTH, BIRTH]);
    pin(
        &error,
        Some(1),
        48,
        "record 1 (byte 48): allocation of object 0, which is live",
    );
    let zeroed = (0, Op::AllocateZeroed, 0, 8, 3);
    let error = rows_error(&[BIRTH, zeroed]);
    pin(
        &error,
        Some(1),
        48,
        "record 1 (byte 48): allocation of object 0, which is live",
    );
    let error = rows_error(&[BIRTH, DEATH, (0, Op::Reallocate, 0, 8, 3)]);
    pin(
        &error,
        Some(2),
        64,
        "record 2 (byte 64): reallocation of object 0, which is not live",
    );
}

#[test]
fn the_error_form_of_the_manual() {
    let mut rows = vec![BIRTH];
    rows.extend((1..17).map(|object| (0, Op::Allocate, object, 8, 3)));
    rows.push((0, Op::Free, 99, 8, 0));
    rows.extend((17..100).map(|object| (0, Op::Allocate, object, 8, 3)));
    let error = Trace::from_records(1, 100, records(&rows)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "record 17 (byte 304): free of object 99, which is not live"
    );
}

#[test]
fn a_dead_id_may_be_allocated_again() {
    let trace = Trace::from_records(1, 1, records(&[BIRTH, DEATH, BIRTH, DEATH])).unwrap();
    assert_eq!(drystone_trace::Figures::of(&trace).revived_objects, 1);
}

#[test]
fn impossible_layouts() {
    let word = usize::BITS as u8;
    for (size, align_log2) in [
        (8, word),
        (8, 255),
        (0, word - 1),
        (isize::MAX as u64, 4),
        (u64::MAX, 0),
        (u64::MAX - 1, 0),
    ] {
        let row = (0, Op::Allocate, 0, size, align_log2);
        let text = format!(
            "record 0 (byte 32): impossible layout: {size} bytes aligned to 2^{align_log2}"
        );
        pin(&rows_error(&[row]), Some(0), 32, &text);
        let error = rows_error(&[BIRTH, (0, Op::Reallocate, 0, size, align_log2)]);
        assert!(
            matches!(error.fault(), Fault::ImpossibleLayout { .. }),
            "{error}"
        );
    }
    for (size, align_log2) in [(isize::MAX as u64, 0), (0, word - 2), (1, word - 2)] {
        let rows = [(0, Op::Allocate, 0, size, align_log2)];
        let trace = Trace::from_records(1, 1, records(&rows)).expect("a possible layout");
        let layout = trace.records()[0].layout().unwrap();
        assert_eq!(layout.size() as u64, size.max(1));
        assert_eq!(layout.align(), 1 << align_log2);
    }
}

#[test]
fn frees_that_contradict_the_block() {
    let error = rows_error(&[BIRTH, (0, Op::Free, 0, 9, 0)]);
    let text = "record 1 (byte 48): free of object 0 states 9 bytes, but it has 8";
    pin(&error, Some(1), 48, text);
    let error = rows_error(&[BIRTH, (0, Op::Free, 0, 8, 3)]);
    let text = "record 1 (byte 48): free with alignment byte 3, which must be 0";
    pin(&error, Some(1), 48, text);
}

#[test]
fn compression_damage() {
    let whole = frame_of_raw_block(&sample().to_bytes());
    assert_eq!(Trace::from_bytes(&whole).unwrap(), sample());
    let damages: [(&str, Vec<u8>); 6] = [
        ("cut", whole[..whole.len() - 1].to_vec()),
        ("only the magic", whole[..4].to_vec()),
        ("reserved block type", changed(&whole, 9, 0b110)),
        ("content size", changed(&whole, 5, 1)),
        ("trailing garbage", [&whole[..], b"garbage"].concat()),
        (
            "cut skippable frame",
            [&whole[..], b"\x50\x2A\x4D\x18\x09\0\0\0short"].concat(),
        ),
    ];
    for (what, bytes) in damages {
        let error = Trace::from_bytes(&bytes).expect_err(what);
        assert_eq!(error.kind(), TraceErrorKind::Invalid, "{what}");
        assert!(
            matches!(error.fault(), Fault::Compression(_)),
            "{what}: {error}"
        );
        assert!(
            error.to_string().contains("): damaged compression: "),
            "{what}: {error}"
        );
        assert!(
            error.byte().is_some() && error.source().is_some(),
            "{what}: {error}"
        );
    }
}

fn changed(bytes: &[u8], at: usize, bits: u8) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] |= bits;
    bytes
}

#[test]
fn the_content_checksum_is_checked() {
    let whole = compress(&sample().to_bytes());
    assert_ne!(whole[4] & 0b100, 0, "the frame carries a checksum");
    let at = whole.len() - 1;
    let error = Trace::from_bytes(&changed(&whole, at, !whole[at])).unwrap_err();
    let text = "byte 176: damaged compression: the content checksum does not match";
    assert!(
        error
            .to_string()
            .ends_with("the content checksum does not match"),
        "{text}: {error}"
    );
}

#[test]
fn frames_one_after_the_other_are_one_trace() {
    let raw = sample().to_bytes();
    let skippable = b"\x5F\x2A\x4D\x18\x03\0\0\0abc";
    let empty = frame_of_raw_block(b"");
    let (head, tail) = raw.split_at(50);
    let parts = [
        &skippable[..],
        &compress(head),
        skippable,
        &empty,
        &frame_of_raw_block(tail),
        skippable,
    ];
    assert_eq!(Trace::from_bytes(&parts.concat()).unwrap(), sample());
}

#[test]
fn the_empty_trace_is_a_trace() {
    let empty = Trace::from_records(0, 0, Vec::new()).unwrap();
    assert_eq!(Trace::from_bytes(&empty.to_bytes()).unwrap(), empty);
    assert_eq!(empty.to_bytes().len(), HEADER);
}
