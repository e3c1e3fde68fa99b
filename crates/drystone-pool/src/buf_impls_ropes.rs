//! [`Buf`] for the ropes, and [`BufMut`] for the one that can be written.

use std::io::IoSlice;

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::buf_impls::{put_all, put_beyond};
use crate::io_buf_mut::advance_beyond;
use crate::{IoBufs, IoBufsMut};

impl Buf for IoBufs {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.chunk_at(0).map_or(&[], |front| front)
    }

    fn chunks_vectored<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        self.io_slices(slices)
    }

    fn advance(&mut self, count: usize) {
        Self::advance(self, count);
    }

    /// Copies no payload if the first chunk has the bytes; copies them once if they are spread.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.take_from_front(count)
            .unwrap_or_else(|| gather(self, count))
    }
}

impl Buf for IoBufsMut {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.chunk_at(0).map_or(&[], |front| front)
    }

    fn chunks_vectored<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        self.io_slices(slices)
    }

    fn advance(&mut self, count: usize) {
        Self::advance(self, count);
    }

    /// Copies the bytes.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        gather(self, count)
    }
}

/// The first `count` bytes, copied.
///
/// # Panics
///
/// If there are not so many.
fn gather(from: &mut impl Buf, count: usize) -> Bytes {
    if count > from.remaining() {
        advance_beyond(count, from.remaining());
    }
    let mut whole = BytesMut::with_capacity(count);
    whole.put(from.take(count));
    whole.freeze()
}

// SAFETY: `advance_mut` counts only bytes that fit, and `chunk_mut` gives the room behind those that
// are counted.
unsafe impl BufMut for IoBufsMut {
    /// The room that is really there: nothing grows.
    fn remaining_mut(&self) -> usize {
        self.spare_bytes()
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        // SAFETY: the caller has initialised the bytes, which `chunk_mut` showed.
        unsafe { Self::advance_mut(self, count) };
    }

    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::uninit(self.spare_front_mut())
    }

    fn put_slice(&mut self, from: &[u8]) {
        if let Err(error) = self.try_put_slice(from) {
            put_beyond(error);
        }
    }

    fn put<T: Buf>(&mut self, from: T)
    where
        Self: Sized,
    {
        put_all(self, from);
    }
}
