//! What the tests of the wrappers that touch bytes share.

use core::ptr::NonNull;
use std::cell::RefCell;

use drystone_core::{FixedRange, Misuse, MisusePolicy};
pub(crate) use drystone_testkit::Random;

/// A byte that stands for a secret. No pattern, canary or link of the tests is likely to have it
/// throughout.
pub(crate) const SECRET: u8 = 0x5e;

/// Writes down what it hears.
#[derive(Debug, Default)]
pub(crate) struct Record(RefCell<Vec<(Misuse, usize)>>);

impl Record {
    /// What was heard since the last call.
    pub(crate) fn take(&self) -> Vec<Misuse> {
        self.0
            .take()
            .into_iter()
            .map(|(misuse, _)| misuse)
            .collect()
    }

    /// The same, with the addresses.
    pub(crate) fn take_with_addresses(&self) -> Vec<(Misuse, usize)> {
        self.0.take()
    }
}

impl MisusePolicy for Record {
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        self.0.borrow_mut().push((misuse, address));
    }
}

/// Every byte of a range that was initialised as a whole, and since then written only with
/// initialised bytes.
pub(crate) fn bytes_of<B: FixedRange>(range: &B) -> Vec<u8> {
    let bytes = NonNull::slice_from_raw_parts(range.base(), range.size());
    // SAFETY: readable (L3) and initialised, and nobody writes meanwhile.
    unsafe { bytes.as_ref() }.to_vec()
}

/// How many bytes of a range are [`SECRET`].
pub(crate) fn secrets_in<B: FixedRange>(range: &B) -> usize {
    secrets(&bytes_of(range))
}

/// How many bytes are [`SECRET`].
pub(crate) fn secrets(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == SECRET).count()
}

/// As [`secrets`], but for one or two by themselves: for an allocator that keeps addresses in its
/// range, of which any byte may be a part.
pub(crate) fn secrets_beside_addresses(bytes: &[u8]) -> usize {
    let runs = bytes.chunk_by(|a, b| a == b);
    runs.filter(|run| run[0] == SECRET && run.len() > 2)
        .map(<[u8]>::len)
        .sum()
}
