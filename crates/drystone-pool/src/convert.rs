//! Views from vectors, slices and arrays, and back.

use core::ptr::NonNull;

use crate::adopted;
use crate::record::Kind;
use crate::{IoBuf, IoBufMut};

/// Takes the vector's memory over, all of its capacity. Allocates a small record, unless the vector
/// has no memory.
impl From<Vec<u8>> for IoBufMut {
    fn from(mut vec: Vec<u8>) -> Self {
        let (len, capacity) = (vec.len(), vec.capacity());
        let Some(base) = NonNull::new(vec.as_mut_ptr()).filter(|_| capacity > 0) else {
            return Self::new();
        };
        let record = adopted::adopt(vec, base, capacity, Kind::Adopted);
        // SAFETY: a new record; the bytes are those of a vector that nobody touches until it is
        // dropped.
        let mut buf = unsafe { Self::from_record(record) };
        // SAFETY: a vector's bytes are initialised up to its length.
        unsafe { buf.set_len(len) };
        buf
    }
}

/// Takes the vector's memory over: [`IoBuf::try_into_mut`] finds all of its capacity. Allocates a
/// small record, unless the vector is empty.
impl From<Vec<u8>> for IoBuf {
    fn from(vec: Vec<u8>) -> Self {
        IoBufMut::from(vec).freeze()
    }
}

/// Copies to the global heap.
impl From<&[u8]> for IoBufMut {
    fn from(bytes: &[u8]) -> Self {
        let mut buf = Self::with_capacity(bytes.len());
        let put = buf.try_put_slice(bytes);
        debug_assert!(put.is_ok());
        buf
    }
}

/// Copies to the global heap.
impl<const N: usize> From<[u8; N]> for IoBufMut {
    fn from(bytes: [u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

/// Copies to the global heap.
impl<const N: usize> From<&[u8; N]> for IoBufMut {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

/// The view's storage if it is the only handle of it and may be written; else a copy on the global
/// heap.
impl From<IoBuf> for IoBufMut {
    fn from(view: IoBuf) -> Self {
        view.try_into_mut()
            .unwrap_or_else(|shared| Self::from(&shared[..]))
    }
}

/// [`IoBufMut::freeze`].
impl From<IoBufMut> for IoBuf {
    fn from(buf: IoBufMut) -> Self {
        buf.freeze()
    }
}

/// [`IoBuf::from_static`]: nothing is copied.
impl From<&'static [u8]> for IoBuf {
    fn from(bytes: &'static [u8]) -> Self {
        Self::from_static(bytes)
    }
}

/// [`IoBuf::from_static`]: nothing is copied.
impl<const N: usize> From<&'static [u8; N]> for IoBuf {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from_static(bytes)
    }
}

/// [`IoBuf::from_static`]: nothing is copied.
impl From<&'static str> for IoBuf {
    fn from(text: &'static str) -> Self {
        Self::from_static(text.as_bytes())
    }
}

/// Copies to the global heap.
impl<const N: usize> From<[u8; N]> for IoBuf {
    fn from(bytes: [u8; N]) -> Self {
        Self::copy_from_slice(&bytes)
    }
}

/// Copies.
impl From<IoBuf> for Vec<u8> {
    fn from(view: IoBuf) -> Self {
        view.to_vec()
    }
}

/// Copies.
impl From<IoBufMut> for Vec<u8> {
    fn from(buf: IoBufMut) -> Self {
        buf.to_vec()
    }
}
