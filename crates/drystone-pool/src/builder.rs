//! [`IoBufsBuilder`]: a rope of fields that are written and payloads that are not copied.

use core::fmt;

use crate::{BufferPool, CapacityError, IoBuf, IoBufMut, IoBufs};

/// Puts a message together: small fields are written into one buffer, payloads are taken as they
/// are, and [`finish`](IoBufsBuilder::finish) gives both in the order in which they came.
///
/// ```
/// use drystone_pool::{IoBuf, IoBufsBuilder};
///
/// let mut message = IoBufsBuilder::new(8);
/// message.try_put_slice(&7u32.to_be_bytes())?;
/// message.push(IoBuf::from_static(b"payload"));
/// message.try_put_slice(b"\r\n")?;
/// let message = message.finish();
/// assert_eq!(message, b"\0\0\0\x07payload\r\n");
/// assert_eq!(message.chunk_count(), 3);
/// # Ok::<(), drystone_pool::CapacityError>(())
/// ```
#[derive(Default)]
pub struct IoBufsBuilder {
    written: IoBufMut,
    /// Payloads, and how many bytes were written before each; in rising order.
    pushed: Vec<(usize, IoBuf)>,
}

impl IoBufsBuilder {
    /// A builder whose written parts may have `capacity` bytes together, from the global heap.
    ///
    /// # Panics
    ///
    /// As [`IoBufMut::with_capacity`].
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self::over(IoBufMut::with_capacity(capacity))
    }

    /// As [`new`](IoBufsBuilder::new), from `pool`.
    ///
    /// # Panics
    ///
    /// As [`BufferPool::alloc`].
    #[must_use]
    pub fn with_pool(pool: &BufferPool, capacity: usize) -> Self {
        Self::over(pool.alloc(capacity))
    }

    /// A builder that writes behind the bytes of `buf`.
    #[must_use]
    pub fn over(buf: IoBufMut) -> Self {
        Self {
            written: buf,
            pushed: Vec::new(),
        }
    }

    /// Writes `bytes` next.
    ///
    /// # Errors
    ///
    /// [`CapacityError`] if the written parts would exceed the capacity; nothing is written then.
    pub fn try_put_slice(&mut self, bytes: &[u8]) -> Result<(), CapacityError> {
        self.written.try_put_slice(bytes)
    }

    /// Takes `payload` next, as it is. An empty one is left out.
    pub fn push(&mut self, payload: impl Into<IoBuf>) {
        let payload = payload.into();
        if !payload.is_empty() {
            self.pushed.push((self.written.len(), payload));
        }
    }

    /// The bytes so far; `usize::MAX` if there are more.
    #[must_use]
    pub fn len(&self) -> usize {
        let pushed = self.pushed.iter().map(|(_, payload)| payload.len());
        pushed.fold(self.written.len(), usize::saturating_add)
    }

    /// Whether there are no bytes so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All parts in their order. The written ones share one buffer.
    ///
    /// # Panics
    ///
    /// If they have more than `usize::MAX` bytes together.
    #[must_use]
    pub fn finish(self) -> IoBufs {
        let mut written = self.written.freeze();
        let mut rope = IoBufs::new();
        let mut taken = 0;
        for (before, payload) in self.pushed {
            rope.append(written.split_to(before - taken));
            rope.append(payload);
            taken = before;
        }
        rope.append(written);
        rope
    }
}

/// Prints numbers of bytes and parts, no contents.
impl fmt::Debug for IoBufsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoBufsBuilder")
            .field("written", &self.written.len())
            .field("capacity", &self.written.capacity())
            .field("pushed", &self.pushed.len())
            .finish()
    }
}

/// Writes next.
#[cfg(feature = "bytes")]
// SAFETY: the written parts' buffer, as it is.
unsafe impl bytes::BufMut for IoBufsBuilder {
    fn remaining_mut(&self) -> usize {
        self.written.remaining_mut()
    }

    unsafe fn advance_mut(&mut self, count: usize) {
        // SAFETY: the caller's requirements are the same.
        unsafe { self.written.advance_mut(count) };
    }

    fn chunk_mut(&mut self) -> &mut bytes::buf::UninitSlice {
        self.written.chunk_mut()
    }

    fn put_slice(&mut self, from: &[u8]) {
        self.written.put_slice(from);
    }
}
