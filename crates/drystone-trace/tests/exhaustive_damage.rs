//! A small trace cut at every byte and with every bit turned over: never a panic, and never
//! accepted where the form can tell.

mod common;

use std::io::{self, Read};

use common::{compress, frame_of_raw_block, sample};
use drystone_trace::{Fault, Trace, TraceErrorKind, fuzz_target::target_trace};

/// Every length; under Miri, which takes some hundred milliseconds for each, every 11th.
const CUT_STEP: usize = if cfg!(miri) { 11 } else { 1 };

#[test]
fn every_truncation_of_the_raw_form() {
    let raw = sample().to_bytes();
    for len in (0..raw.len()).step_by(CUT_STEP) {
        let error = Trace::from_bytes(&raw[..len]).expect_err("cut");
        let expected = match len {
            0 => matches!(error.fault(), Fault::Empty),
            1..32 => matches!(error.fault(), Fault::TruncatedHeader { .. }),
            _ => matches!(error.fault(), Fault::Truncated { .. }),
        };
        assert!(expected, "{len} bytes: {error}");
        let byte = error.byte().unwrap();
        assert_eq!(byte, len as u64);
        assert_eq!(
            error.record(),
            byte.checked_sub(32).map(|behind| behind / 16)
        );
    }
}

#[test]
fn every_truncation_of_the_compressed_form() {
    let raw = sample().to_bytes();
    for whole in [compress(&raw), frame_of_raw_block(&raw)] {
        assert_eq!(Trace::from_bytes(&whole).unwrap(), sample());
        for len in (0..whole.len()).step_by(CUT_STEP) {
            let error = Trace::from_bytes(&whole[..len]).expect_err("cut");
            assert_eq!(error.kind(), TraceErrorKind::Invalid);
            let expected = match len {
                0 => matches!(error.fault(), Fault::Empty),
                1..4 => matches!(error.fault(), Fault::BadMagic { .. }),
                _ => matches!(error.fault(), Fault::Compression(_)),
            };
            assert!(expected, "{len} bytes: {error}");
        }
    }
}

/// Gives its bytes one read at a time, is interrupted before each, and then fails.
struct Failing<'a> {
    bytes: &'a [u8],
    interrupted: bool,
}

impl Read for Failing<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.bytes.read(&mut out[..1])
    }
}

#[test]
fn a_source_that_fails_is_unreadable_at_every_byte() {
    let raw = sample().to_bytes();
    for whole in [compress(&raw), frame_of_raw_block(&raw), raw] {
        for len in (0..=whole.len()).step_by(CUT_STEP) {
            let mut source = Failing {
                bytes: &whole[..len],
                interrupted: false,
            };
            let error = Trace::from_reader(&mut source).expect_err("the source fails");
            assert_eq!(
                error.kind(),
                TraceErrorKind::Unreadable,
                "{len} bytes: {error}"
            );
            let reset = |e: &io::Error| e.kind() == io::ErrorKind::ConnectionReset;
            assert!(
                matches!(error.fault(), Fault::Io(e) if reset(e)),
                "{len} bytes: {error}"
            );
        }
        let mut source = &whole[..];
        assert_eq!(Trace::from_reader(&mut source).unwrap(), sample());
    }
}

/// `whole` with one bit turned over, for every bit; for every 301st under Miri.
fn every_flip(whole: &[u8], mut check: impl FnMut(&[u8])) {
    let mut bytes = whole.to_vec();
    let step = if cfg!(miri) { 301 } else { 1 };
    for bit in (0..bytes.len() * 8).step_by(step) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(&bytes);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn every_flip_of_the_raw_form() {
    every_flip(&sample().to_bytes(), |bytes| {
        target_trace(bytes);
        let read = Trace::from_bytes(bytes);
        assert!(
            read.map_or(true, |trace| trace != sample()),
            "a flip is an error or a difference"
        );
    });
}

#[test]
fn every_flip_of_a_frame_with_a_checksum() {
    every_flip(&compress(&sample().to_bytes()), |bytes| {
        target_trace(bytes);
        // A flip of the header may leave the contents alone, such as one of the window size. One
        // that changes them does not pass the checksum, unless it switches the checksum off.
        let has_checksum = bytes[4] & 0b100 != 0;
        if let (true, Ok(trace)) = (has_checksum, Trace::from_bytes(bytes)) {
            assert_eq!(trace, sample());
        }
    });
}

/// Two bytes of a longer compressed trace replaced at a time, by a fixed generator.
#[test]
#[cfg_attr(
    miri,
    ignore = "the decoder under the interpreter; run: cargo test -p drystone-trace"
)]
fn many_damages_of_a_longer_frame() {
    let trace = drystone_trace::synth::Scenario::JsonTree.generate(3, 2000);
    let whole = compress(&trace.to_bytes());
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..4000 {
        let mut bytes = whole.clone();
        for _ in 0..2 {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        if let Ok(read) = Trace::from_bytes(&bytes) {
            assert!(bytes[4] & 0b100 == 0 || read == trace);
        }
    }
}
