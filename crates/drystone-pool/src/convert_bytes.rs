//! Views from `Bytes` and `BytesMut`, and into `Bytes`. No payload is copied but where it says so.

use core::ptr::NonNull;
use core::slice;

use bytes::{Bytes, BytesMut};

use crate::adopted;
use crate::owner::SharedOwner;
use crate::record::Kind;
use crate::{IoBuf, IoBufMut};

/// Shares the bytes, which are then never written. Allocates a small record, unless there are none.
impl From<Bytes> for IoBuf {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::new();
        }
        let (base, len) = (NonNull::from(&bytes[..]).cast(), bytes.len());
        let record = adopted::adopt(bytes, base, len, Kind::Foreign);
        // SAFETY: a new record.
        let owner = unsafe { SharedOwner::new(record) };
        // SAFETY: `Bytes` keeps its bytes, initialised and unwritten, where they are for as long as
        // the record has it; there is at least one.
        unsafe { Self::from_parts(base, len, owner) }
    }
}

/// Takes the memory over, as the other way with vectors.
impl From<BytesMut> for IoBuf {
    fn from(bytes: BytesMut) -> Self {
        IoBufMut::from(bytes).freeze()
    }
}

/// Takes the memory over: the bytes and the room behind them. Allocates a small record, unless there
/// is neither.
impl From<BytesMut> for IoBufMut {
    fn from(mut bytes: BytesMut) -> Self {
        let (len, capacity) = (bytes.len(), bytes.capacity());
        if capacity == 0 {
            return Self::new();
        }
        // The only way to a pointer for all of the capacity is the room behind no bytes.
        bytes.clear();
        let base = NonNull::from(bytes.spare_capacity_mut()).cast();
        let record = adopted::adopt(bytes, base, capacity, Kind::Adopted);
        // SAFETY: a new record; the capacity of a `BytesMut` is its alone even where the allocation
        // is shared, and nobody touches it until it is dropped.
        let mut buf = unsafe { Self::from_record(record) };
        // SAFETY: the bytes before they were cleared, which leaves them as they are.
        unsafe { buf.set_len(len) };
        buf
    }
}

/// The bytes' memory if nobody else has it and it came from a vector; else a copy on the global heap.
impl From<Bytes> for IoBufMut {
    fn from(bytes: Bytes) -> Self {
        match bytes.try_into_mut() {
            Ok(unique) => Self::from(unique),
            Err(shared) => Self::from(&shared[..]),
        }
    }
}

impl IoBuf {
    /// The `Bytes` that are the storage, if they are.
    fn foreign(&self) -> Option<&Bytes> {
        let record = self.owner().record()?;
        if self.owner().kind() != Some(Kind::Foreign) {
            return None;
        }
        // SAFETY: by its kind the record was adopted with `Bytes`; this view's handle keeps it.
        Some(unsafe { adopted::value(record) })
    }

    /// The bytes of a view without an owner.
    fn as_static(&self) -> Option<&'static [u8]> {
        if self.owner().record().is_some() {
            return None;
        }
        // SAFETY: without an owner the bytes live for ever, initialised and unwritten (I1, I2).
        Some(unsafe { slice::from_raw_parts(self.as_ptr(), self.len()) })
    }

    /// The first `count` bytes as `Bytes`, taken out of the view. No payload is copied.
    ///
    /// # Panics
    ///
    /// If `count` is above the length.
    pub(crate) fn take_bytes(&mut self, count: usize) -> Bytes {
        match self.foreign() {
            Some(bytes) if count <= self.len() => {
                let front = bytes.slice_ref(&self[..count]);
                self.advance(count);
                front
            }
            _ => self.split_to(count).into(),
        }
    }
}

/// The view as `Bytes`, which keep its storage as the view did. At most one small allocation; none
/// for static views, for empty ones, and for those that were `Bytes` before.
impl From<IoBuf> for Bytes {
    fn from(view: IoBuf) -> Self {
        if view.is_empty() {
            Self::new()
        } else if let Some(bytes) = view.as_static() {
            Self::from_static(bytes)
        } else if let Some(bytes) = view.foreign() {
            bytes.slice_ref(&view)
        } else {
            Self::from_owner(view)
        }
    }
}

/// [`IoBufMut::freeze`], as `Bytes`.
impl From<IoBufMut> for Bytes {
    fn from(buf: IoBufMut) -> Self {
        buf.freeze().into()
    }
}
