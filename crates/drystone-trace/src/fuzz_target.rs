//! The check that fuzzers and property tests share.
//!
//! A cargo-fuzz target is one line: `fuzz_target!(|data: &[u8]| target_trace(data));`.

use crate::dst::{
    self, ChunkEntry, ChunkHeader, End, HEADER_BYTES_MAX, Packing, Stage, index_header,
};
use crate::error::{TraceError, TraceErrorKind};
use crate::figures::Figures;
use crate::record::{Op, Record};
use crate::satrace::{Header, RECORD_BYTES};
use crate::synth::Script;
use crate::trace::Trace;

/// Feeds `data` to every reader and checks what they accept and what they refuse.
///
/// `data` is read as it is; behind a zstd magic; as the records of a raw trace whose header fits
/// their number; behind the magic of a `.dst` file, and as the operations of one in which all around
/// them fits; as dump text; and as the choices of a writer of valid traces, so that every
/// input also exercises the round trips.
///
/// # Panics
///
/// If a reader gives an error without a place, or something accepted does not come back
/// identical from the raw form or from the dump, or its figures contradict each other.
pub fn target_trace(data: &[u8]) {
    check(Trace::from_bytes(data));
    check(Trace::from_bytes(&[b"\x28\xB5\x2F\xFD", data].concat()));
    check(Trace::from_bytes(&with_fitting_header(data)));
    check(Trace::from_bytes(&[b"DRYTRACE", data].concat()));
    for stage in [Stage::Addresses, Stage::Ids] {
        check(Trace::from_bytes(&with_fitting_frames(stage, data)));
    }
    check(Trace::parse_dump(&String::from_utf8_lossy(data)));
    check_accepted(&script(data));
}

fn check(result: Result<Trace, TraceError>) {
    match result {
        Ok(trace) => check_accepted(&trace),
        Err(error) => check_refused(&error),
    }
}

fn check_refused(error: &TraceError) {
    assert_eq!(error.kind(), TraceErrorKind::Invalid, "{error}");
    assert!(
        error.byte().is_some() != error.line().is_some(),
        "one place: {error}"
    );
    assert!(!error.to_string().contains('\n'), "one line: {error}");
}

fn check_accepted(trace: &Trace) {
    let raw = trace.to_bytes();
    let read = Trace::from_bytes(&raw).expect("the raw form is read");
    assert_eq!(read.records(), trace.records(), "raw form");
    let mut dump = Vec::new();
    trace
        .write_dump(&mut dump)
        .expect("writing to memory succeeds");
    let dump = String::from_utf8(dump).expect("a dump is text");
    assert_eq!(Trace::parse_dump(&dump).as_ref().ok(), Some(trace), "dump");
    let dst = Trace::from_bytes(&trace.to_dst());
    assert_eq!(dst.as_ref().ok(), Some(trace), "dst form");
    let records = trace.records().to_vec();
    let again = Trace::from_records(trace.threads(), trace.objects(), records);
    let again = again.expect("the records are a trace").recorded(
        trace.times_ns().map(<[u64]>::to_vec),
        trace.events().to_vec(),
        trace.recording(),
    );
    assert_eq!(&again, trace, "records");
    check_figures(trace);
}

fn check_figures(trace: &Trace) {
    let figures = Figures::of(trace);
    let Figures {
        allocations,
        zeroed,
        frees,
        reallocations,
        ..
    } = figures;
    let births = allocations + zeroed;
    let moves = reallocations.grow + reallocations.shrink + reallocations.same;
    assert_eq!(births + frees + moves, trace.records().len() as u64);
    assert_eq!(births, frees + figures.live_at_end.objects);
    assert_eq!(births, trace.objects() + figures.revived_objects);
    assert!(figures.peak_live_objects >= figures.live_at_end.objects);
    assert!(figures.peak_live_bytes >= figures.live_at_end.bytes);
    assert!(figures.requested_bytes >= figures.peak_live_bytes);
    assert!(figures.cross_thread_frees <= frees && figures.cross_thread_reallocations <= moves);
    assert!((0.0..=1.0).contains(&figures.freed_within_63_records_ratio));
    let in_buckets: u64 = figures
        .size_histogram
        .iter()
        .map(|bucket| bucket.requests)
        .sum();
    assert_eq!(in_buckets, births + moves);
}

/// `data` as whole records behind a header that announces their number, and as many threads and
/// objects as the first two bytes say.
fn with_fitting_header(data: &[u8]) -> Vec<u8> {
    let (counts, body) = data.split_at(data.len().min(2));
    let records = body.len() as u64 / RECORD_BYTES;
    let count = |at: usize| counts.get(at).copied().unwrap_or(0);
    let header = Header {
        threads: count(0).into(),
        records,
        objects: count(1).into(),
    };
    let body = &body[..(records * RECORD_BYTES) as usize];
    [&header.to_bytes()[..], body].concat()
}

/// A `.dst` file with `data` as the operations of two threads, half each: its first two bytes choose
/// what the chunks say of themselves.
fn with_fitting_frames(stage: Stage, data: &[u8]) -> Vec<u8> {
    let (choices, body) = data.split_at(data.len().min(2));
    let choice = |at: usize| choices.get(at).copied().unwrap_or(0);
    let header = dst::Header {
        stage,
        ticks_per_second: (choice(0) & 1 == 1).then_some(1_000_000_000),
    };
    let mut file = header
        .write("fuzz", None, &mut [0; HEADER_BYTES_MAX])
        .to_vec();
    let mut operations = 0;
    let mut entries = Vec::new();
    let (first, second) = body.split_at(body.len() / 2);
    for (thread, body) in [(0, first), (1, second)] {
        // So that the second chunk may go on where the first ends.
        let first_order = if thread == 0 { 0 } else { u64::from(choice(1)) };
        let mut chunk = ChunkHeader::of(thread, first_order, 0, body, header);
        if thread == 1 && choice(0) & 2 != 0 {
            chunk.packing = Packing::Open;
            chunk.operations = 0;
        }
        operations += u64::from(chunk.operations);
        let start = file.len();
        entries.push(ChunkEntry::of(start as u64, &chunk));
        file.extend(chunk.to_bytes());
        file.extend(body);
        seal(&mut file, start);
        file.extend(vec![0; usize::from(choice(0) >> 4)]);
    }
    if choice(0) & 2 != 0 {
        return file;
    }
    let start = file.len();
    file.extend(index_header(entries.len() as u64));
    file.extend(entries.into_iter().flat_map(ChunkEntry::to_bytes));
    seal(&mut file, start);
    let end = End {
        index_byte: start as u64,
        chunks: 2,
        operations,
    };
    file.extend(end.to_bytes());
    file
}

/// Appends the checksum of what stands from `start` on.
fn seal(file: &mut Vec<u8>, start: usize) {
    let checksum = crc32fast::hash(&file[start..]);
    file.extend(checksum.to_le_bytes());
}

/// A valid trace that three bytes a record choose.
fn script(data: &[u8]) -> Trace {
    let mut script = Script::new(data.len() / 3);
    let mut live = Vec::new();
    for bytes in data.chunks_exact(3) {
        let thread = u16::from(bytes[0] >> 4);
        let size = u64::from(bytes[1]) << (bytes[2] % 20);
        let chosen = |len: usize| usize::from(bytes[2]) % len;
        match Op::from_byte(bytes[0] & 3) {
            Some(Op::Free) if !live.is_empty() => {
                script.free(thread, live.swap_remove(chosen(live.len())));
            }
            Some(Op::Reallocate) if !live.is_empty() => {
                script.reallocate(thread, &live[chosen(live.len())], size);
            }
            Some(op @ (Op::Allocate | Op::AllocateZeroed)) => {
                live.push(script.allocate_as(thread, op, size, bytes[2] % 16));
            }
            _ => live.push(script.allocate(thread, size)),
        }
    }
    revive_first(script.into_trace())
}

/// `trace` with its first freed object allocated and freed once more, where it has one.
fn revive_first(trace: Trace) -> Trace {
    let Some(&free) = trace.records().iter().find(|record| record.op == Op::Free) else {
        return trace;
    };
    let birth = Record {
        op: Op::Allocate,
        ..free
    };
    let records = [trace.records(), &[birth, free]].concat();
    Trace::from_records(trace.threads(), trace.objects(), records)
        .expect("a dead object may be allocated again")
}
