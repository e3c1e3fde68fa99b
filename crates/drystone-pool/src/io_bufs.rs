//! [`IoBufs`]: a rope of views, read as if they were one.
//!
//! # What
//!
//! Messages that are put together from parts and written in one call, without copying the parts
//! together first.
//!
//! # Memory picture
//!
//! ```text
//!   up to 3:  [ IoBuf │ IoBuf │ IoBuf ]      4 and more:  queue ──> [ IoBuf │ IoBuf │ … ]
//! ```
//!
//! # Invariants
//!
//! - I1: no chunk is empty.
//! - I2: `len` is the sum of the chunks' lengths.
//!
//! # Threads
//!
//! As [`IoBuf`].
//!
//! # Cost
//!
//! Up to three chunks need no memory. [`len`](IoBufs::len) is a field. Splitting moves the side with
//! fewer chunks.

use core::fmt;
use core::iter;
use std::io::IoSlice;

use crate::chunk_list::ChunkList;
use crate::io_buf_mut::advance_beyond;
use crate::{IoBuf, IoBufMut};

/// Views in a row, which read as one run of bytes.
///
/// ```
/// use drystone_pool::{IoBuf, IoBufs};
/// use std::io::{IoSlice, Write};
///
/// let mut message = IoBufs::from(IoBuf::from_static(b"body"));
/// message.prepend(IoBuf::from_static(b"header "));
///
/// let mut slices = [IoSlice::new(&[]); 8];
/// let filled = message.io_slices(&mut slices);
/// let mut socket = Vec::new();
/// let written = socket.write_vectored(&slices[..filled])?;
/// message.advance(written);
///
/// assert!(message.is_empty() && socket == b"header body");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct IoBufs {
    chunks: ChunkList<IoBuf>,
    len: usize,
}

impl IoBufs {
    /// A rope of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            chunks: ChunkList::new(),
            len: 0,
        }
    }

    /// The bytes of all chunks.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of chunks, none of which is empty.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        self.chunks.count()
    }

    /// The chunk at `index`, from the front.
    #[must_use]
    pub fn chunk_at(&self, index: usize) -> Option<&IoBuf> {
        self.chunks.get(index)
    }

    /// The chunks from the front.
    pub fn chunks(&self) -> impl DoubleEndedIterator<Item = &IoBuf> {
        self.chunks.iter()
    }

    /// Whether there is at most one chunk.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.chunk_count() <= 1
    }

    /// The only chunk; `None` if there are more, or none.
    #[must_use]
    pub fn as_single(&self) -> Option<&IoBuf> {
        self.chunk_at(0).filter(|_| self.chunk_count() == 1)
    }

    /// The bytes as one view, if no copying is needed for that.
    ///
    /// # Errors
    ///
    /// The rope itself, if it has more than one chunk.
    pub fn try_into_single(mut self) -> Result<IoBuf, Self> {
        if self.is_single() {
            Ok(self.chunks.pop_front().unwrap_or_default())
        } else {
            Err(self)
        }
    }

    /// Puts `chunk` behind the others. An empty one is left out.
    ///
    /// # Panics
    ///
    /// If there are more than `usize::MAX` bytes then: chunks may show the same bytes many times.
    pub fn append(&mut self, chunk: impl Into<IoBuf>) {
        let chunk = chunk.into();
        if !chunk.is_empty() {
            self.len = longer(self.len, chunk.len());
            self.chunks.push_back(chunk);
        }
    }

    /// Puts `chunk` before the others. An empty one is left out.
    ///
    /// # Panics
    ///
    /// As [`append`](IoBufs::append).
    pub fn prepend(&mut self, chunk: impl Into<IoBuf>) {
        let chunk = chunk.into();
        if !chunk.is_empty() {
            self.len = longer(self.len, chunk.len());
            self.chunks.push_front(chunk);
        }
    }

    /// Leaves the first `count` bytes out. Chunks that are used up go at once.
    ///
    /// # Panics
    ///
    /// If `count` is above the length.
    pub fn advance(&mut self, count: usize) {
        if count > self.len {
            advance_beyond(count, self.len);
        }
        self.len -= count;
        let mut left = count;
        while let Some(front) = self.chunks.get_mut(0) {
            if left < front.len() {
                front.advance(left);
                return;
            }
            left -= front.len();
            self.chunks.pop_front();
        }
    }

    /// Splits the first `at` bytes off and gives them; the rest stays. At most one chunk is shared.
    ///
    /// # Panics
    ///
    /// If `at` is above the length.
    #[must_use = "use `advance` if the first bytes are not wanted"]
    pub fn split_to(&mut self, at: usize) -> Self {
        if at > self.len {
            split_beyond(at, self.len);
        }
        let (whole, rest) = self.position(at);
        let mut front = Self {
            chunks: self.chunks.split_to(whole),
            len: at,
        };
        if rest > 0 {
            if let Some(cut) = self.chunks.get_mut(0) {
                front.chunks.push_back(cut.split_to(rest));
            }
        }
        self.len -= at;
        front
    }

    /// How many chunks lie before the byte `at`, and how many bytes of the next one.
    fn position(&self, at: usize) -> (usize, usize) {
        let mut left = at;
        for (index, chunk) in self.chunks.iter().enumerate() {
            if left < chunk.len() {
                return (index, left);
            }
            left -= chunk.len();
        }
        (self.chunk_count(), 0)
    }

    /// The bytes in one view. One chunk is given as it is; more are copied to the global heap.
    ///
    /// # Panics
    ///
    /// As [`IoBufMut::with_capacity`].
    #[must_use]
    pub fn coalesce(self) -> IoBuf {
        match self.try_into_single() {
            Ok(single) => single,
            Err(rope) => {
                let mut whole = IoBufMut::with_capacity(rope.len);
                rope.copy_into(&mut whole);
                whole.freeze()
            }
        }
    }

    /// Copies all bytes behind those of `to`, which has room for them.
    pub(crate) fn copy_into(&self, to: &mut IoBufMut) {
        for chunk in self.chunks.iter() {
            let put = to.try_put_slice(chunk);
            debug_assert!(put.is_ok(), "no room for what was measured");
        }
    }

    /// Fills `slices` with the chunks from the front, for a vectored write. Gives the number of
    /// slices that were filled: all of the chunks, or as many as there are slices.
    pub fn io_slices<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        iter::zip(slices, self.chunks.iter())
            .map(|(slice, chunk)| *slice = IoSlice::new(chunk))
            .count()
    }

    /// Takes the first `count` bytes out as one view, if the first chunk has them.
    #[cfg(feature = "bytes")]
    pub(crate) fn take_from_front(&mut self, count: usize) -> Option<bytes::Bytes> {
        if count == 0 {
            return Some(bytes::Bytes::new());
        }
        let front = self
            .chunks
            .get_mut(0)
            .filter(|front| count <= front.len())?;
        let taken = front.take_bytes(count);
        if front.is_empty() {
            self.chunks.pop_front();
        }
        self.len -= count;
        Some(taken)
    }

    /// Panics if an invariant does not hold. Does nothing in release builds.
    pub fn debug_assert_invariants(&self) {
        debug_assert!(self.chunks.iter().all(|chunk| !chunk.is_empty()), "I1");
        let sum = self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
        debug_assert_eq!(self.len, sum, "I2");
    }
}

impl Default for IoBufs {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints length and number of chunks, no contents.
impl fmt::Debug for IoBufs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBufs")
            .field("len", &self.len)
            .field("chunks", &self.chunk_count())
            .finish()
    }
}

/// The length of a rope with `more` bytes.
fn longer(len: usize, more: usize) -> usize {
    len.checked_add(more)
        .unwrap_or_else(|| panic!("{more} bytes more than {len} exceed usize::MAX"))
}

#[cold]
pub(crate) fn split_beyond(at: usize, len: usize) -> ! {
    panic!("split at {at}, the rope has {len} bytes")
}

impl<V: Into<IoBuf>> Extend<V> for IoBufs {
    fn extend<I: IntoIterator<Item = V>>(&mut self, chunks: I) {
        for chunk in chunks {
            self.append(chunk);
        }
    }
}

impl<V: Into<IoBuf>> FromIterator<V> for IoBufs {
    fn from_iter<I: IntoIterator<Item = V>>(chunks: I) -> Self {
        let mut rope = Self::new();
        rope.extend(chunks);
        rope
    }
}

/// The chunks of an [`IoBufs`] from the front, each as it is.
#[derive(Debug)]
pub struct IntoIter {
    rope: IoBufs,
}

impl Iterator for IntoIter {
    type Item = IoBuf;

    fn next(&mut self) -> Option<IoBuf> {
        let chunk = self.rope.chunks.pop_front()?;
        self.rope.len -= chunk.len();
        Some(chunk)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.rope.chunk_count();
        (count, Some(count))
    }
}

impl ExactSizeIterator for IntoIter {}

impl IntoIterator for IoBufs {
    type Item = IoBuf;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter { rope: self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_may_reach_usize_max() {
        assert_eq!(longer(usize::MAX - 3, 3), usize::MAX);
    }

    #[test]
    #[should_panic(expected = "4 bytes more than")]
    fn a_length_beyond_usize_max_is_refused() {
        let _ = longer(usize::MAX - 3, 4);
    }
}
