//! What to do about a misuse: panic, count, or end the process.

use std::io::{self, Write};
use std::process;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use drystone_core::{Misuse, MisusePolicy};

/// Panics with the misuse and the address. For tests, where unwinding out of an allocator ends
/// the test and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct PanicOnMisuse;

impl MisusePolicy for PanicOnMisuse {
    #[track_caller]
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        panic!("{misuse} at {address:#x}");
    }
}

/// Counts, and remembers the address of the latest.
#[derive(Debug, Default)]
pub struct CountMisuse {
    count: AtomicU64,
    latest: AtomicUsize,
}

impl CountMisuse {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            latest: AtomicUsize::new(0),
        }
    }

    /// How many misuses were reported.
    #[must_use]
    pub fn count(&self) -> u64 {
        // Relaxed: a count, read alone.
        self.count.load(Ordering::Relaxed)
    }

    /// The address of the latest, 0 if there was none.
    #[must_use]
    pub fn latest_address(&self) -> usize {
        // Relaxed: a figure, read alone.
        self.latest.load(Ordering::Relaxed)
    }
}

impl MisusePolicy for CountMisuse {
    fn on_misuse(&self, _misuse: Misuse, address: usize) {
        // Relaxed: the two orders nothing else, nor each other.
        self.latest.store(address, Ordering::Relaxed);
        // Relaxed: as above.
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes one line to standard error, `drystone: double free at 0x7f0c2a3b4010`, and aborts.
///
/// The line is put together in a fixed buffer: no allocation and no formatting, so it works with
/// a damaged heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct AbortOnMisuse;

impl MisusePolicy for AbortOnMisuse {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        let mut line = Line::new();
        line.push(b"drystone: ");
        line.push(misuse.name().as_bytes());
        line.push(b" at 0x");
        line.push_hex(address);
        line.push(b"\n");
        // A closed standard error changes nothing about what follows.
        let _ = io::stderr().write_all(line.bytes());
        process::abort();
    }
}

/// One line of text in a fixed buffer. What does not fit is left out.
struct Line {
    buffer: [u8; 96],
    len: usize,
}

impl Line {
    const fn new() -> Self {
        Self {
            buffer: [0; 96],
            len: 0,
        }
    }

    fn push(&mut self, words: &[u8]) {
        for (to, from) in self.buffer[self.len..].iter_mut().zip(words) {
            *to = *from;
            self.len += 1;
        }
    }

    /// Hexadecimal digits without leading zeros.
    fn push_hex(&mut self, value: usize) {
        let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            self.push(&[b"0123456789abcdef"[(value >> (digit * 4)) & 15]]);
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_formatting_would_give() {
        for value in [0, 1, 15, 16, 0xDEAD_BEEF, usize::MAX] {
            let mut line = Line::new();
            line.push(b"at 0x");
            line.push_hex(value);
            assert_eq!(line.bytes(), format!("at {value:#x}").as_bytes());
        }
    }

    #[test]
    fn a_line_ends_at_its_buffer() {
        let mut line = Line::new();
        for _ in 0..20 {
            line.push(b"0123456789");
        }
        assert_eq!(line.bytes().len(), 96);
    }
}
