//! What reading costs in memory, counted by the global allocator: no more than the data backs,
//! whatever a header claims.
#![cfg(not(miri))] // Counts the allocations of large inputs.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use common::{compress, frame_of_raw_block, sample};
use drystone_trace::Trace;
use drystone_trace::synth::Scenario;

/// Counts the bytes that each thread allocates and their peak: tests run side by side.
struct Counting;

thread_local! {
    /// May fall below zero: blocks move between threads.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    let live = LIVE.get() + bytes;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

#[global_allocator]
static GLOBAL: Counting = Counting;

// SAFETY: every call is handed to `System`; counting touches no block.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`, and `block` came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

/// The most bytes that `work` had allocated at one time.
fn peak_of<T>(work: impl FnOnce() -> T) -> usize {
    let before = LIVE.get();
    PEAK.set(before);
    drop(work());
    (PEAK.get() - before).cast_unsigned()
}

/// One read of records, and room for the decoder's tables and the test harness.
const SMALL: usize = 512 * 1024;

#[test]
fn claims_of_a_header_allocate_nothing() {
    let claims = [1 << 20, 1 << 32, 1 << 59, 1 << 60, u64::MAX];
    for claim in claims {
        for (at, len) in [(12, 4), (16, 8), (24, 8)] {
            let mut raw = sample().to_bytes();
            raw[at..at + len].copy_from_slice(&claim.to_le_bytes()[..len]);
            for bytes in [compress(&raw), frame_of_raw_block(&raw), raw] {
                let peak = peak_of(|| Trace::from_bytes(&bytes));
                assert!(
                    peak < SMALL,
                    "{peak} bytes for a claim of {claim} at byte {at}"
                );
            }
        }
    }
}

#[test]
fn claims_of_a_dump_allocate_nothing() {
    let text = "satrace-dump 1\nthreads 4294967295\nobjects 18446744073709551615\n\
                records 18446744073709551615\n0 allocate 0 8 8\n";
    assert!(peak_of(|| Trace::parse_dump(text)) < SMALL);
}

/// A frame whose window is 128 MiB, or whose content size says 1 GiB, over a few bytes.
#[test]
fn claims_of_a_frame_allocate_nothing() {
    let window = [0x28, 0xB5, 0x2F, 0xFD, 0b0000_0000, (27 - 10) << 3, 1, 0, 0];
    assert!(peak_of(|| Trace::from_bytes(&window)) < SMALL);
    let twice = [&window[..], &window[..]].concat();
    assert!(peak_of(|| Trace::from_bytes(&twice)) < SMALL);
    let mut content = frame_of_raw_block(&sample().to_bytes());
    content[5..9].copy_from_slice(&(1_u32 << 30).to_le_bytes());
    assert!(peak_of(|| Trace::from_bytes(&content)) < SMALL);
}

/// 128 KiB of zero bytes in 4 bytes, again and again: 1 GiB behind a header of 9 records.
#[test]
fn a_decompression_bomb_stops_at_the_announced_length() {
    let mut bomb = vec![0x28, 0xB5, 0x2F, 0xFD, 0, (17 - 10) << 3];
    let raw = sample().to_bytes();
    bomb.extend_from_slice(&((raw.len() as u32) << 3).to_le_bytes()[..3]);
    bomb.extend_from_slice(&raw);
    let run_of_zeros = (128 * 1024_u32) << 3 | 0b010;
    for _ in 0..8192 {
        bomb.extend_from_slice(&run_of_zeros.to_le_bytes()[..3]);
        bomb.push(0);
    }
    let peak = peak_of(|| {
        let error = Trace::from_bytes(&bomb).unwrap_err();
        assert!(matches!(
            error.fault(),
            drystone_trace::Fault::TrailingBytes { records: 9 }
        ));
    });
    assert!(peak < 2 * SMALL, "{peak} bytes");
}

#[test]
fn a_raw_trace_takes_16_bytes_a_record_and_8_an_object() {
    let raw = Scenario::ParserPhase.generate(1, 200_000).to_bytes();
    let peak = peak_of(|| Trace::from_bytes(&raw).unwrap());
    assert!(
        peak < raw.len() + raw.len() / 2 + SMALL,
        "{peak} bytes for {}",
        raw.len()
    );
}
