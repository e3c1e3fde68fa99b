//! [`Buf`] and [`BufMut`] for the two views.
//!
//! `Buf` is a safe trait and may lie about what remains: `put` believes the chunks it is given, one
//! at a time, and its own arithmetic.

use core::mem::{self, MaybeUninit};

use bytes::buf::UninitSlice;
use bytes::{Buf, BufMut, Bytes, TryGetError};

use crate::io_buf_mut::advance_beyond;
use crate::{CapacityError, IoBuf, IoBufMut};

impl Buf for IoBuf {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        Self::advance(self, count);
    }

    fn try_copy_to_slice(&mut self, to: &mut [u8]) -> Result<(), TryGetError> {
        to.copy_from_slice(readable(self, to.len())?);
        Self::advance(self, to.len());
        Ok(())
    }

    /// Copies no payload. All of the view moves into the answer; part of it shares the storage.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.take_bytes(count)
    }
}

impl Buf for IoBufMut {
    #[inline]
    fn remaining(&self) -> usize {
        self.len()
    }

    #[inline]
    fn chunk(&self) -> &[u8] {
        self
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        Self::advance(self, count);
    }

    fn try_copy_to_slice(&mut self, to: &mut [u8]) -> Result<(), TryGetError> {
        to.copy_from_slice(readable(self, to.len())?);
        Self::advance(self, to.len());
        Ok(())
    }

    /// All of the bytes take the storage with them: the buffer has no capacity afterwards. Part of
    /// them is copied, for the rest is still to be written. No bytes leave the buffer as it is.
    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        if count == 0 {
            return Bytes::new();
        }
        if count == self.len() {
            return mem::take(self).into();
        }
        let front = match readable(self, count) {
            Ok(bytes) => Bytes::copy_from_slice(bytes),
            Err(_) => advance_beyond(count, self.len()),
        };
        Self::advance(self, count);
        front
    }
}

/// The first `count` bytes, or by how much they are too few.
fn readable(bytes: &[u8], count: usize) -> Result<&[u8], TryGetError> {
    bytes.get(..count).ok_or(TryGetError {
        requested: count,
        available: bytes.len(),
    })
}

// SAFETY: `advance_mut` counts only bytes that fit, and `chunk_mut` gives the room behind those that
// are counted.
unsafe impl BufMut for IoBufMut {
    /// The room that is really there: nothing grows.
    #[inline]
    fn remaining_mut(&self) -> usize {
        self.capacity() - self.len()
    }

    #[inline]
    unsafe fn advance_mut(&mut self, count: usize) {
        let len = self.len();
        if count > self.capacity() - len {
            advance_mut_beyond(count, self.capacity() - len);
        }
        // SAFETY: the caller has initialised `count` bytes behind the first `len`.
        unsafe { self.set_len(len + count) };
    }

    #[inline]
    fn chunk_mut(&mut self) -> &mut UninitSlice {
        UninitSlice::uninit(self.spare_capacity_mut())
    }

    #[inline]
    fn put_slice(&mut self, from: &[u8]) {
        if let Err(error) = self.try_put_slice(from) {
            put_beyond(error);
        }
    }

    fn put_bytes(&mut self, byte: u8, count: usize) {
        let len = self.len();
        let available = self.capacity() - len;
        let Some(room) = self.spare_capacity_mut().get_mut(..count) else {
            put_beyond(CapacityError {
                requested: count,
                available,
            });
        };
        room.fill(MaybeUninit::new(byte));
        // SAFETY: the `count` bytes behind the first `len` have just been written.
        unsafe { self.set_len(len + count) };
    }

    fn put<T: Buf>(&mut self, from: T)
    where
        Self: Sized,
    {
        put_all(self, from);
    }
}

/// Puts all of `from` into a buffer that does not grow. If it has more than it said, what fitted
/// before stays.
///
/// # Panics
///
/// If it does not fit, or `from` says that bytes remain and shows none.
pub(crate) fn put_all<T: Buf>(to: &mut impl BufMut, mut from: T) {
    let (requested, available) = (from.remaining(), to.remaining_mut());
    if requested > available {
        put_beyond(CapacityError {
            requested,
            available,
        });
    }
    loop {
        let remaining = from.remaining();
        if remaining == 0 {
            return;
        }
        let chunk = from.chunk();
        assert!(
            !chunk.is_empty(),
            "{remaining} bytes remain and none is shown"
        );
        let count = chunk.len().min(remaining);
        to.put_slice(&chunk[..count]);
        from.advance(count);
    }
}

#[cold]
pub(crate) fn put_beyond(error: CapacityError) -> ! {
    panic!("{error}")
}

#[cold]
fn advance_mut_beyond(count: usize, available: usize) -> ! {
    panic!("{count} bytes written where there was room for {available}")
}
