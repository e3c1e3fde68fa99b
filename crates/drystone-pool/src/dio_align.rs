//! [`DioAlign`]: what direct I/O asks of buffers, offsets and lengths.

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
mod linux;
#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
use linux as imp;
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
mod none;
#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(miri))))]
use none as imp;

use core::fmt;
use core::ops::Range;
use std::fs::File;
use std::io;

use drystone_core::arith;

/// Where the figures of a [`DioAlign`] come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DioSource {
    /// The kernel gave them for this file.
    Reported,
    /// The kernel did not say: [`DioAlign::FALLBACK_BYTES`], which every disk's sectors divide.
    /// Whether the file can be opened for direct I/O is not known.
    Assumed,
    /// The kernel says that this file has no direct I/O. The figures are
    /// [`DioAlign::FALLBACK_BYTES`] and serve for nothing but laying out buffers.
    Unsupported,
}

/// The alignment that direct I/O (`O_DIRECT`) on a file needs, in bytes.
///
/// ```
/// use drystone_pool::DioAlign;
///
/// let align = DioAlign::fallback();
/// // Bytes 5000 to 9000 of a file lie in these blocks:
/// assert_eq!(align.superset(5000..9000), Some(4096..12288));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DioAlign {
    // I1: both are powers of two.
    memory_bytes: usize,
    offset_bytes: usize,
    source: DioSource,
}

impl DioAlign {
    /// The alignment that is assumed where the kernel does not tell.
    pub const FALLBACK_BYTES: usize = 4096;

    /// Asks the kernel about `file`: `statx` with `STATX_DIOALIGN`, known to Linux from 6.1 on for
    /// the file systems that take part. Everything else is answered with
    /// [`fallback`](DioAlign::fallback).
    ///
    /// # Errors
    ///
    /// The kernel's, if it knows the question and cannot look at the file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(match imp::ask(file)? {
            None => Self::fallback(),
            Some((0, _) | (_, 0)) => Self {
                source: DioSource::Unsupported,
                ..Self::fallback()
            },
            Some((memory_bytes, offset_bytes)) => Self::reported(memory_bytes, offset_bytes),
        })
    }

    /// The alignment to assume of a file that nothing is known of.
    #[must_use]
    pub const fn fallback() -> Self {
        Self {
            memory_bytes: Self::FALLBACK_BYTES,
            offset_bytes: Self::FALLBACK_BYTES,
            source: DioSource::Assumed,
        }
    }

    /// What the kernel said, if it makes sense.
    fn reported(memory_bytes: usize, offset_bytes: usize) -> Self {
        if !memory_bytes.is_power_of_two() || !offset_bytes.is_power_of_two() {
            return Self::fallback();
        }
        Self {
            memory_bytes,
            offset_bytes,
            source: DioSource::Reported,
        }
    }

    /// A buffer starts at a multiple of this. A power of two.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// An offset in the file and a length are multiples of this. A power of two.
    #[must_use]
    pub const fn offset_bytes(&self) -> usize {
        self.offset_bytes
    }

    /// Where the figures come from.
    #[must_use]
    pub const fn source(&self) -> DioSource {
        self.source
    }

    /// Whether `buffer` may be read into or written from at `offset` of the file.
    #[must_use]
    pub fn fits(&self, buffer: &[u8], offset: u64) -> bool {
        arith::is_aligned(buffer.as_ptr().addr(), self.memory_bytes)
            && arith::is_aligned(buffer.len(), self.offset_bytes)
            && offset.is_multiple_of(self.offset_bytes as u64)
    }

    /// The smallest range that covers `range` and may be read or written at once. `None` if it ends
    /// beyond `u64::MAX`.
    #[must_use]
    pub fn superset(&self, range: Range<u64>) -> Option<Range<u64>> {
        let block = self.offset_bytes as u64;
        let start = range.start - range.start % block;
        let end = range.end.max(range.start).checked_next_multiple_of(block)?;
        Some(start..end)
    }
}

impl fmt::Display for DioAlign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            memory_bytes,
            offset_bytes,
            source,
        } = self;
        match source {
            DioSource::Unsupported => f.write_str("no direct I/O on this file"),
            DioSource::Reported | DioSource::Assumed => {
                let told = match source {
                    DioSource::Assumed => "assumed",
                    _ => "reported by the kernel",
                };
                write!(
                    f,
                    "buffers at {memory_bytes}, offsets and lengths at {offset_bytes} bytes ({told})"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_make_no_sense_are_not_believed() {
        assert_eq!(DioAlign::reported(3, 512), DioAlign::fallback());
        assert_eq!(DioAlign::reported(512, 100), DioAlign::fallback());
        let align = DioAlign::reported(4, 512);
        assert_eq!((align.memory_bytes(), align.offset_bytes()), (4, 512));
        assert_eq!(align.source(), DioSource::Reported);
        assert_eq!(
            align.to_string(),
            "buffers at 4, offsets and lengths at 512 bytes (reported by the kernel)"
        );
    }

    #[test]
    fn supersets_start_and_end_at_blocks() {
        let align = DioAlign::reported(4, 512);
        assert_eq!(align.superset(0..0), Some(0..0));
        assert_eq!(align.superset(0..1), Some(0..512));
        assert_eq!(align.superset(511..513), Some(0..1024));
        assert_eq!(align.superset(512..1024), Some(512..1024));
        assert_eq!(align.superset(0..u64::MAX), None);
        let end = u64::MAX - 511;
        assert_eq!(align.superset(end - 1..end), Some(end - 512..end));
    }
}
