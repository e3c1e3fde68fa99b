//! The `.dst` form: its exact bytes, its way back, every cut and every flipped bit.

mod common;

use common::{records, sample};
#[cfg(not(miri))]
use drystone_trace::Chunks;
use drystone_trace::synth::Scenario;
use drystone_trace::{Op, Trace, TraceErrorKind};

/// Every place; under Miri every 97th.
const STEP: usize = if cfg!(miri) { 97 } else { 1 };

fn timed() -> Trace {
    let trace = sample();
    let times = (0..trace.records().len() as u64)
        .map(|n| n * n * 1000)
        .collect();
    trace.with_times_ns(times).expect("one for each, rising")
}

/// A small file without what the header says of the machine.
#[test]
fn golden() {
    let rows = [(0, Op::Allocate, 0, 300, 4), (1, Op::Free, 0, 300, 0)];
    let trace = Trace::from_records(2, 1, records(&rows)).expect("valid");
    let trace = trace.with_times_ns(vec![5, 1005]).expect("rising");
    let file = trace.to_dst();
    assert_eq!(file[..12], *b"DRYTRACE\x01\0\0\0");
    let length = usize::from(file[12]) + 256 * usize::from(file[13]);
    let json: serde_json::Value = serde_json::from_slice(&file[16..16 + length]).expect("JSON");
    assert_eq!(json["stage"], "ids");
    assert_eq!(json["timed"], true);
    assert_eq!(json["ticks_per_second"], 1_000_000_000_u64);
    let chunks = &file[16 + length + 4..];
    let expected: &[u8] = &[
        b'C', b'H', b'N', b'K', 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0,
        0, // packing, thread, operations
        6, 0, 0, 0, 6, 0, 0, 0, // length, stored
        0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, // first order, first tick
        0x20, 0, 0, 0, 0xac,
        0x02, // allocate aligned to 2^4, the first, now, object 0, 300 bytes
    ];
    assert_eq!(&chunks[..expected.len()], expected);
    let second = &chunks[expected.len() + 4..];
    assert_eq!(second[..12], *b"CHNK\0\0\0\0\x01\0\0\0");
    assert_eq!(second[40..46], [0x02, 0, 0, 0, 0xac, 0x02]);
    let index = &second[40 + 6 + 4..];
    assert_eq!(index[..12], *b"INDX\x02\0\0\0\0\0\0\0");
    let chunks_at = file.len() - chunks.len();
    let entry = |byte: usize, thread: u32, order: u64, tick: u64| {
        let mut bytes = (byte as u64).to_le_bytes().to_vec();
        bytes.extend(thread.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(order.to_le_bytes());
        bytes.extend(tick.to_le_bytes());
        bytes
    };
    let length = expected.len() + 4;
    assert_eq!(index[12..44], entry(chunks_at, 0, 0, 5));
    assert_eq!(index[44..76], entry(chunks_at + length, 1, 1, 1005));
    let end = &index[80..];
    let index_at = (chunks_at + 2 * length) as u64;
    assert_eq!(end[..4], *b"DFIN");
    assert_eq!(end[4..12], index_at.to_le_bytes());
    assert_eq!(end[12..28], *b"\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
    assert_eq!(end.len(), 32);
    assert_eq!(Trace::from_bytes(&file).expect("a trace"), trace);

    // As files ended before they had an index.
    let mut old = file[..index_at as usize].to_vec();
    let mut end = b"DEND\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0".to_vec();
    end.extend(crc32fast::hash(&end).to_le_bytes());
    old.extend(&end);
    let read = Trace::from_bytes(&old).expect("a trace");
    assert!(read.recording().complete);
    assert_eq!(read, trace);
    let last = old.len() - 5;
    old[last] ^= 1;
    assert!(Trace::from_bytes(&old).is_err());
}

#[test]
fn every_trace_comes_back() {
    for trace in [sample(), timed()] {
        let back = Trace::from_bytes(&trace.to_dst()).expect("a trace");
        assert_eq!(back, trace);
        assert_eq!(back.times_ns(), trace.times_ns());
        assert!(back.recording().complete);
        let compressed = Trace::from_bytes(&common::compress(&trace.to_dst()));
        assert_eq!(compressed.expect("a trace"), trace);
        let mut dump = Vec::new();
        trace
            .write_dump(&mut dump)
            .expect("writing to memory succeeds");
        let dump = String::from_utf8(dump).expect("a dump is text");
        assert_eq!(Trace::parse_dump(&dump).expect("a dump"), trace);
    }
    let records = if cfg!(miri) { 50 } else { 50_000 };
    let scenarios = if cfg!(miri) { 1 } else { Scenario::ALL.len() };
    for scenario in Scenario::ALL.into_iter().take(scenarios) {
        let trace = scenario.generate(7, records);
        let file = trace.to_dst();
        assert_eq!(Trace::from_bytes(&file).expect("a trace"), trace);
        if !cfg!(miri) {
            assert!(
                file.len() < 9 * trace.records().len(),
                "{} bytes",
                file.len()
            );
        }
    }
}

/// Operations that repeat themselves are packed, and the file says so.
#[test]
fn what_repeats_itself_is_packed() {
    let rows: Vec<_> = (0..400)
        .map(|n| {
            let op = if n % 2 == 0 { Op::Allocate } else { Op::Free };
            (0, op, n / 2, 64, if n % 2 == 0 { 4 } else { 0 })
        })
        .collect();
    let trace = Trace::from_records(1, 200, records(&rows)).expect("valid");
    let file = trace.to_dst();
    let chunk = file
        .windows(4)
        .position(|four| four == b"CHNK")
        .expect("a chunk");
    let word = |at: usize| {
        let bytes = &file[chunk + at..chunk + at + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    };
    let (packing, operations, length, stored) = (word(4), word(12), word(16), word(20));
    assert_eq!((packing, operations), (1, 400));
    assert!(stored < length / 10, "{stored} of {length} bytes");
    let whole = &file[chunk + 40..chunk + 40 + stored as usize];
    assert_eq!(
        lz4_flex::block::decompress(whole, length as usize)
            .map(|body| body.len())
            .ok(),
        Some(length as usize)
    );
    assert_eq!(Trace::from_bytes(&file).expect("a trace"), trace);

    // The checksum covers what is stored: a chunk that was made so may still not unpack, or not to its length.
    for (at, value) in [
        (4, 2),
        (16, length - 1),
        (16, length + 1),
        (16, 1 << 21),
        (4, 0),
    ] {
        let mut damaged = file.clone();
        damaged[chunk + at..chunk + at + 4].copy_from_slice(&u32::to_le_bytes(value));
        let end = chunk + 40 + stored as usize;
        let checksum = crc32fast::hash(&damaged[chunk..end]);
        damaged[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
        let error = Trace::from_bytes(&damaged).expect_err("not what it says");
        assert_eq!(error.kind(), TraceErrorKind::Invalid, "{at}: {value}");
    }
}

#[test]
fn a_file_cut_off_is_a_trace_up_to_there() {
    let whole = timed();
    let file = whole.to_dst();
    let mut lengths = Vec::new();
    for len in (0..file.len()).step_by(STEP) {
        match Trace::from_bytes(&file[..len]) {
            Ok(trace) => {
                assert!(!trace.recording().complete);
                let kept = trace.records().len();
                assert_eq!(trace.records(), &whole.records()[..kept]);
                lengths.push(kept);
            }
            // The header, or a first chunk that names an object without its allocation.
            Err(error) => assert_eq!(error.kind(), TraceErrorKind::Invalid),
        }
    }
    assert!(lengths.is_sorted());
    assert!(lengths.contains(&0));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let file = timed().to_dst();
    for at in (0..file.len()).step_by(STEP) {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            match Trace::from_bytes(&damaged) {
                Err(error) => assert_eq!(error.kind(), TraceErrorKind::Invalid),
                // A chunk that says it is longer than the file reads as one that was cut off.
                Ok(trace) => assert!(!trace.recording().complete, "byte {at}, bit {bit}"),
            }
        }
    }
}

#[test]
fn times_that_fall_or_are_missing_are_refused() {
    assert!(sample().with_times_ns(vec![0; 3]).is_none());
    assert!(
        sample()
            .with_times_ns(vec![9, 8, 7, 6, 5, 4, 3, 2, 1])
            .is_none()
    );
    let text = "satrace-dump 1\nthreads 1\nobjects 1\nrecords 2\ntimed 1\n\
                0 allocate 0 8 8 100\n0 free 0 8 99\n";
    let error = Trace::parse_dump(text).expect_err("a time that falls");
    assert_eq!(error.line(), Some(7));
}

/// A file on disk.
#[cfg(not(miri))]
fn written(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let name = format!("drystone-{name}-{}.dst", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// Where the index of a whole file begins: its end says so.
fn index_at(file: &[u8]) -> usize {
    let word = &file[file.len() - 28..file.len() - 20];
    u64::from_le_bytes(word.try_into().expect("eight bytes")) as usize
}

#[test]
#[cfg(not(miri))] // Writes files.
fn an_index_that_lies_or_is_cut_is_refused_or_not_used() {
    let trace = Scenario::ProducerConsumer.generate(1, 60_000);
    let file = trace.to_dst();
    let path = written("index", &file);
    let chunks = Chunks::read(&path).expect("a file");
    assert!(chunks.indexed);
    assert!(chunks.entries.len() > 2);
    let operations: u64 = chunks.entries.iter().map(|c| u64::from(c.operations)).sum();
    assert_eq!(operations, trace.records().len() as u64);
    let index = index_at(&file);

    // Every entry is compared, also where the checksum fits what is there.
    for field in [0, 8, 12, 16, 24] {
        let mut lies = file.clone();
        lies[index + 12 + 32 + field] ^= 1;
        let checksum_at = file.len() - 36;
        let checksum = crc32fast::hash(&lies[index..checksum_at]);
        lies[checksum_at..checksum_at + 4].copy_from_slice(&checksum.to_le_bytes());
        let error = Trace::from_bytes(&lies).expect_err("an entry that lies");
        assert!(error.to_string().contains("index"), "{error}");
        std::fs::write(&path, &lies).expect("a file");
        let error = Chunks::read(&path).expect_err("an entry that lies");
        assert_eq!(error.kind(), TraceErrorKind::Invalid);
        assert!(error.to_string().contains("index"), "{error}");
    }
    // The end of the file names the index; its own checksum fits each time.
    for (at, value) in [(4, 0), (4, u64::MAX), (12, u64::MAX), (12, 1), (20, 0)] {
        let mut lies = file.clone();
        let end = file.len() - 32;
        lies[end + at..end + at + 8].copy_from_slice(&u64::to_le_bytes(value));
        let checksum = crc32fast::hash(&lies[end..end + 28]);
        lies[end + 28..].copy_from_slice(&checksum.to_le_bytes());
        assert!(Trace::from_bytes(&lies).is_err(), "{at}: {value}");
        std::fs::write(&path, &lies).expect("a file");
        // The number of operations is not the index's to know.
        assert_eq!(Chunks::read(&path).is_ok(), at == 20, "{at}: {value}");
    }
    // Without its end a file is walked, up to the last whole header of a chunk.
    for len in [file.len() - 1, index + 20, index, index - 1] {
        std::fs::write(&path, &file[..len]).expect("a file");
        let walked = Chunks::read(&path).expect("a file that was cut off");
        assert!(!walked.indexed);
        assert_eq!(walked.entries, chunks.entries, "cut at {len}");
        let read = Trace::from_bytes(&file[..len]).expect("a trace up to there");
        assert!(!read.recording().complete);
    }
    std::fs::remove_file(&path).expect("the file is there");
}

/// An open chunk and zero bytes are what a killed program leaves.
#[test]
fn zeros_between_chunks_and_chunks_that_nobody_closed_are_read() {
    let trace = timed();
    let file = trace.to_dst();
    let chunk = file
        .windows(4)
        .position(|four| four == b"CHNK")
        .expect("a chunk");
    let index = index_at(&file);
    let mut spread = file[..chunk].to_vec();
    let mut starts: Vec<usize> = (chunk..index)
        .filter(|at| file[*at..].starts_with(b"CHNK"))
        .collect();
    starts.push(index);
    for (number, pair) in starts.windows(2).enumerate() {
        spread.extend(vec![0; 3 + 100 * number]);
        let at = spread.len();
        spread.extend(&file[pair[0]..pair[1]]);
        // Open, whatever its checksum says, with room behind its operations.
        assert_eq!(spread[at + 4], 0, "not packed");
        spread[at + 4] = 2;
        spread[at + 12..at + 16].fill(0);
        let stored = u32::from_le_bytes(spread[at + 20..at + 24].try_into().expect("four bytes"));
        spread[at + 20..at + 24].copy_from_slice(&(stored + 50).to_le_bytes());
        spread.extend([0; 50]);
    }
    let read = Trace::from_bytes(&spread).expect("a trace");
    assert!(!read.recording().complete);
    assert_eq!(read, trace);
    // With an end such a chunk is damage: who writes the end has closed them all.
    let mut finished = file.clone();
    finished[chunk + 4] = 2;
    assert!(Trace::from_bytes(&finished).is_err());
    // A length beyond the room.
    let mut long = spread;
    let at = long
        .windows(4)
        .position(|four| four == b"CHNK")
        .expect("a chunk");
    long[at + 16..at + 20].fill(0xff);
    assert!(Trace::from_bytes(&long).is_err());
}
