//! [`IoBufsMut`]: a rope of buffers, written and read as if they were one.
//!
//! # What
//!
//! What a vectored read goes into: several buffers of a pool instead of one large one.
//!
//! # Memory picture
//!
//! ```text
//!   │ consumed │ readable │      │ readable       │ writable │  │ writable        │
//!   └────────── chunk 0 ──┴ gap ─┘ └──────── chunk 1 ────────┘  └─── chunk 2 ─────┘
//!                                            writing goes on here ┘ = `tail`
//! ```
//!
//! Bytes stay in the order in which they were written. So the room behind a chunk that is followed by
//! readable bytes, a gap, is not written any more.
//!
//! # Invariants
//!
//! - I1: `len` is the sum of the chunks' lengths.
//! - I2: chunks behind `tail` are empty; `tail` is the index of a chunk, or 0 where there is none.
//! - I3: the first chunk is not empty, unless all are.
//! - I4: no chunk has a capacity of 0.
//! - I5: the chunk at `tail` has room, unless it is the last.
//!
//! # Threads
//!
//! As [`IoBufMut`].
//!
//! # Cost
//!
//! Up to three chunks need no memory. [`len`](IoBufsMut::len) is a field;
//! [`spare_bytes`](IoBufsMut::spare_bytes) looks at every chunk that can be written.

use core::fmt;
use core::iter;
use core::mem::MaybeUninit;
use core::ptr;
use std::io::{self, IoSlice, IoSliceMut, Read};

use crate::chunk_list::ChunkList;
use crate::io_buf_mut::advance_beyond;
use crate::io_bufs::split_beyond;
use crate::{CapacityError, IoBufMut, IoBufs};

/// The most slices that one vectored read is given; more chunks wait for the next.
const SLICES_MAX: usize = 64;

/// Buffers in a row, filled and read as one run of bytes.
///
/// Three things make writable room go: consuming all bytes of a chunk while bytes follow it,
/// [`freeze`](IoBufsMut::freeze), and chunks whose bytes are followed by those of another when the
/// rope is made.
///
/// ```
/// use drystone_pool::{IoBufMut, IoBufsMut};
///
/// let mut rope: IoBufsMut = (0..3).map(|_| IoBufMut::with_capacity(4)).collect();
/// let read = rope.read_vectored_from(&mut &b"0123456789"[..])?;
/// assert_eq!((read, rope.len(), rope.spare_bytes()), (10, 10, 2));
/// assert_eq!(rope.freeze().coalesce(), b"0123456789");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct IoBufsMut {
    chunks: ChunkList<IoBufMut>,
    /// Readable bytes.
    len: usize,
    /// The chunk that the next byte goes into.
    tail: usize,
}

impl IoBufsMut {
    /// A rope of nothing, with room for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self {
            chunks: ChunkList::new(),
            len: 0,
            tail: 0,
        }
    }

    /// The bytes that can be read.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to read.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that can be read and those that can still be written; gaps do not count.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.len + self.spare_bytes()
    }

    /// The bytes that can still be written.
    #[must_use]
    pub fn spare_bytes(&self) -> usize {
        self.chunks
            .iter()
            .skip(self.tail)
            .map(|chunk| chunk.capacity() - chunk.len())
            .sum()
    }

    /// The number of chunks.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        self.chunks.count()
    }

    /// The chunk at `index`, from the front.
    #[must_use]
    pub fn chunk_at(&self, index: usize) -> Option<&IoBufMut> {
        self.chunks.get(index)
    }

    /// The chunks from the front.
    pub fn chunks(&self) -> impl DoubleEndedIterator<Item = &IoBufMut> {
        self.chunks.iter()
    }

    /// Whether there is at most one chunk.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.chunk_count() <= 1
    }

    /// The only chunk; `None` if there are more, or none.
    #[must_use]
    pub fn as_single(&self) -> Option<&IoBufMut> {
        self.chunk_at(0).filter(|_| self.chunk_count() == 1)
    }

    /// The bytes of the only chunk, to be written over; `None` if there are more chunks, or none.
    #[must_use]
    pub fn as_single_mut(&mut self) -> Option<&mut [u8]> {
        let single = self.chunk_count() == 1;
        let chunk = self.chunks.get_mut(0).filter(|_| single)?;
        Some(chunk)
    }

    /// The bytes and the room as one buffer, if no copying is needed for that.
    ///
    /// # Errors
    ///
    /// The rope itself, if it has more than one chunk.
    pub fn try_into_single(mut self) -> Result<IoBufMut, Self> {
        if self.is_single() {
            Ok(self.chunks.pop_front().unwrap_or_default())
        } else {
            Err(self)
        }
    }

    /// Puts `chunk` behind the others. One without capacity is left out. If it has bytes, the room
    /// before them can no longer be written.
    pub fn append(&mut self, chunk: impl Into<IoBufMut>) {
        let chunk = chunk.into();
        if chunk.capacity() == 0 {
            return;
        }
        if !chunk.is_empty() {
            self.drop_empty_front();
            self.tail = self.chunks.count();
            self.len += chunk.len();
        }
        self.chunks.push_back(chunk);
        self.skip_full();
    }

    /// Drops every chunk if none has bytes: bytes are coming behind them.
    fn drop_empty_front(&mut self) {
        if self.len == 0 {
            self.chunks = ChunkList::new();
        }
    }

    /// Goes on to the next chunk while the one to be written is full (I5).
    fn skip_full(&mut self) {
        while self.tail + 1 < self.chunks.count()
            && self
                .chunks
                .get(self.tail)
                .is_some_and(|chunk| chunk.len() == chunk.capacity())
        {
            self.tail += 1;
        }
    }

    /// Leaves the first `count` bytes out. Chunks that are used up go; the last ones keep the room
    /// behind them if no bytes follow.
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
            let here = left.min(front.len());
            front.advance(here);
            left -= here;
            let keeps_room = self.len == 0 && front.capacity() > 0;
            if left == 0 && (!front.is_empty() || keeps_room) {
                break;
            }
            self.chunks.pop_front();
            self.tail = self.tail.saturating_sub(1);
        }
        self.debug_assert_invariants();
    }

    /// Splits the first `at` bytes off and gives them; the rest stays.
    ///
    /// Chunks move as they are, with the room behind their bytes. Of a chunk that is cut, the bytes
    /// before the cut are copied to the global heap, for a buffer has one owner, and the room stays.
    ///
    /// # Panics
    ///
    /// If `at` is above the length, and as [`IoBufMut::with_capacity`].
    #[must_use = "use `advance` if the first bytes are not wanted"]
    pub fn split_to(&mut self, at: usize) -> Self {
        if at > self.len {
            split_beyond(at, self.len);
        }
        let (whole, rest) = self.position(at);
        let mut front = self.chunks.split_to(whole);
        if let Some(cut) = self.chunks.get_mut(0).filter(|_| rest > 0) {
            front.push_back(IoBufMut::from(&cut[..rest]));
            cut.advance(rest);
        }
        self.len -= at;
        self.tail = self.tail.saturating_sub(whole);
        self.skip_empty_front();
        let tail = front.count().saturating_sub(1);
        Self {
            chunks: front,
            len: at,
            tail,
        }
    }

    /// How many chunks end at the byte `at` or before it, and how many bytes of the next one lie before
    /// it. Chunks without bytes that follow `at` do not count.
    fn position(&self, at: usize) -> (usize, usize) {
        let mut left = at;
        let mut whole = 0;
        for chunk in self.chunks.iter() {
            if left == 0 || left < chunk.len() {
                break;
            }
            left -= chunk.len();
            whole += 1;
        }
        (whole, left)
    }

    /// Drops chunks without bytes from the front while bytes follow (I3).
    fn skip_empty_front(&mut self) {
        while self.len > 0 && self.chunks.get(0).is_some_and(|front| front.is_empty()) {
            self.chunks.pop_front();
            self.tail = self.tail.saturating_sub(1);
        }
    }

    /// Puts `bytes` behind those that are there, over as many chunks as it takes.
    ///
    /// # Errors
    ///
    /// [`CapacityError`] if they do not all fit; nothing is written then.
    pub fn try_put_slice(&mut self, bytes: &[u8]) -> Result<(), CapacityError> {
        let available = self.spare_bytes();
        if bytes.len() > available {
            return Err(CapacityError {
                requested: bytes.len(),
                available,
            });
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(chunk) = self.chunks.get_mut(self.tail) else {
                break;
            };
            let (now, later) = rest.split_at(rest.len().min(chunk.capacity() - chunk.len()));
            chunk.try_put_slice(now)?;
            self.len += now.len();
            rest = later;
            self.skip_full();
        }
        Ok(())
    }

    /// Writes `bytes` over those that can be read.
    ///
    /// # Panics
    ///
    /// If there are not exactly as many.
    pub fn copy_from_slice(&mut self, bytes: &[u8]) {
        assert!(
            bytes.len() == self.len,
            "copy of {} bytes over {}",
            bytes.len(),
            self.len
        );
        let mut rest = bytes;
        for chunk in self.chunks.iter_mut() {
            let (now, later) = rest.split_at(chunk.len());
            chunk.copy_from_slice(now);
            rest = later;
        }
    }

    /// The room that can be written, chunk by chunk: what a vectored read into uninitialised memory
    /// is given. What it wrote counts once [`advance_mut`](IoBufsMut::advance_mut) says so.
    pub fn spare_chunks_mut(&mut self) -> impl Iterator<Item = &mut [MaybeUninit<u8>]> {
        self.chunks
            .iter_mut()
            .skip(self.tail)
            .map(IoBufMut::spare_capacity_mut)
            .filter(|room| !room.is_empty())
    }

    /// The room where the next byte goes; empty if there is none.
    #[cfg(feature = "bytes")]
    pub(crate) fn spare_front_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        self.chunks
            .get_mut(self.tail)
            .map_or(&mut [], IoBufMut::spare_capacity_mut)
    }

    /// Says that the next `count` bytes of the room are initialised: they can be read from now on.
    ///
    /// # Panics
    ///
    /// If there is not so much room.
    ///
    /// # Safety
    ///
    /// The first `count` bytes of [`spare_chunks_mut`](IoBufsMut::spare_chunks_mut) are initialised.
    pub unsafe fn advance_mut(&mut self, count: usize) {
        let available = self.spare_bytes();
        assert!(
            count <= available,
            "{count} bytes written where there was room for {available}"
        );
        let mut left = count;
        while left > 0 {
            let Some(chunk) = self.chunks.get_mut(self.tail) else {
                break;
            };
            let len = chunk.len();
            let now = left.min(chunk.capacity() - len);
            // SAFETY: the caller has initialised these bytes: they are the next of the room.
            unsafe { chunk.set_len(len + now) };
            self.len += now;
            left -= now;
            self.skip_full();
        }
    }

    /// Reads once from `reader` into all of the room, with a vectored read, and gives the number of
    /// bytes read: 0 at the end of the input, or if there is no room.
    ///
    /// The room is zeroed first, since any `Read` may look at what it is given. A call to the system
    /// that only writes can have [`spare_chunks_mut`](IoBufsMut::spare_chunks_mut) as it is.
    ///
    /// # Errors
    ///
    /// The reader's; nothing was read then.
    ///
    /// # Panics
    ///
    /// If the reader says that it read more than it was given room for.
    pub fn read_vectored_from<R: Read + ?Sized>(&mut self, reader: &mut R) -> io::Result<usize> {
        let mut slices: [IoSliceMut<'_>; SLICES_MAX] =
            core::array::from_fn(|_| IoSliceMut::new(&mut []));
        let mut filled = 0;
        let mut shown = 0;
        for (slice, room) in iter::zip(&mut slices, self.spare_chunks_mut()) {
            filled += 1;
            shown += room.len();
            *slice = IoSliceMut::new(zeroed(room));
        }
        let read = reader.read_vectored(&mut slices[..filled])?;
        assert!(
            read <= shown,
            "the reader says that it read {read} bytes into {shown}"
        );
        // SAFETY: the `shown` bytes are the next of the room, and have been zeroed at least.
        unsafe { self.advance_mut(read) };
        Ok(read)
    }

    /// Fills `slices` with the readable chunks from the front, for a vectored write. Gives the number
    /// of slices that were filled.
    pub fn io_slices<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        let readable = self.chunks.iter().filter(|chunk| !chunk.is_empty());
        iter::zip(slices, readable)
            .map(|(slice, chunk)| *slice = IoSlice::new(chunk))
            .count()
    }

    /// Lets the bytes be shared, each chunk by [`IoBufMut::freeze`]. Chunks without bytes give their
    /// storage back.
    #[must_use = "dropping the answer drops the bytes"]
    pub fn freeze(self) -> IoBufs {
        self.into_iter().collect()
    }

    /// The bytes in one buffer. One chunk is given as it is, with its room; of more, the bytes are
    /// copied to the global heap.
    ///
    /// # Panics
    ///
    /// As [`IoBufMut::with_capacity`].
    #[must_use]
    pub fn coalesce(self) -> IoBufMut {
        match self.try_into_single() {
            Ok(single) => single,
            Err(rope) => {
                let mut whole = IoBufMut::with_capacity(rope.len);
                rope.copy_into(&mut whole);
                whole
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

    /// Panics if an invariant does not hold. Does nothing in release builds.
    pub fn debug_assert_invariants(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let sum = self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
        assert_eq!(self.len, sum, "I1");
        let mut behind = self.chunks.iter().skip(self.tail + 1);
        assert!(behind.all(|chunk| chunk.is_empty()), "I2");
        assert!(self.tail < self.chunks.count().max(1), "I2");
        let first = self.chunks.get(0);
        assert!(
            self.len == 0 || first.is_some_and(|chunk| !chunk.is_empty()),
            "I3"
        );
        assert!(self.chunks.iter().all(|chunk| chunk.capacity() > 0), "I4");
        let full = |chunk: &IoBufMut| chunk.len() == chunk.capacity();
        let last = self.tail + 1 >= self.chunks.count();
        assert!(last || !self.chunks.get(self.tail).is_some_and(full), "I5");
    }
}

/// The room, zeroed.
fn zeroed(room: &mut [MaybeUninit<u8>]) -> &mut [u8] {
    room.fill(MaybeUninit::new(0));
    let bytes = ptr::from_mut(room) as *mut [u8];
    // SAFETY: the same bytes, exclusively borrowed as long, and initialised by now.
    unsafe { &mut *bytes }
}

impl Default for IoBufsMut {
    fn default() -> Self {
        Self::new()
    }
}

/// Prints the numbers of bytes and of chunks, no contents.
impl fmt::Debug for IoBufsMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBufsMut")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .field("chunks", &self.chunk_count())
            .finish()
    }
}

impl<V: Into<IoBufMut>> Extend<V> for IoBufsMut {
    fn extend<I: IntoIterator<Item = V>>(&mut self, chunks: I) {
        for chunk in chunks {
            self.append(chunk);
        }
    }
}

impl<V: Into<IoBufMut>> FromIterator<V> for IoBufsMut {
    fn from_iter<I: IntoIterator<Item = V>>(chunks: I) -> Self {
        let mut rope = Self::new();
        rope.extend(chunks);
        rope
    }
}

/// The chunks of an [`IoBufsMut`] from the front, each as it is.
#[derive(Debug)]
pub struct IntoIter {
    chunks: ChunkList<IoBufMut>,
}

impl Iterator for IntoIter {
    type Item = IoBufMut;

    fn next(&mut self) -> Option<IoBufMut> {
        self.chunks.pop_front()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.chunks.count();
        (count, Some(count))
    }
}

impl ExactSizeIterator for IntoIter {}

impl IntoIterator for IoBufsMut {
    type Item = IoBufMut;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter {
            chunks: self.chunks,
        }
    }
}
