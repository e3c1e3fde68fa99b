//! Views that are copied into a buffer of a pool where copying is needed.

use crate::{BufferPool, IoBuf, IoBufMut, IoBufs, IoBufsMut};

impl IoBuf {
    /// The buffer for writing: this view's own, if [`try_into_mut`](IoBuf::try_into_mut) gives it, else
    /// a copy in a buffer of `pool`.
    ///
    /// # Panics
    ///
    /// As [`BufferPool::alloc`].
    #[must_use]
    pub fn into_mut_with_pool(self, pool: &BufferPool) -> IoBufMut {
        self.try_into_mut().unwrap_or_else(|shared| {
            let mut copy = pool.alloc(shared.len());
            let put = copy.try_put_slice(&shared);
            debug_assert!(put.is_ok(), "a buffer has the capacity asked for");
            copy
        })
    }
}

impl IoBufs {
    /// As [`coalesce`](IoBufs::coalesce), copying into a buffer of `pool`.
    ///
    /// # Panics
    ///
    /// As [`BufferPool::alloc`], if there is more than one chunk.
    #[must_use]
    pub fn coalesce_with_pool(self, pool: &BufferPool) -> IoBuf {
        match self.try_into_single() {
            Ok(single) => single,
            Err(rope) => {
                let mut whole = pool.alloc(rope.len());
                rope.copy_into(&mut whole);
                whole.freeze()
            }
        }
    }
}

impl IoBufsMut {
    /// As [`coalesce`](IoBufsMut::coalesce), copying into a buffer of `pool`.
    ///
    /// # Panics
    ///
    /// As [`BufferPool::alloc`], if there is more than one chunk.
    #[must_use]
    pub fn coalesce_with_pool(self, pool: &BufferPool) -> IoBufMut {
        self.coalesce_with_pool_extra(pool, 0)
    }

    /// The bytes in one buffer with room for `extra` more. One chunk that has the room is given as it
    /// is; otherwise the bytes are copied into a buffer of `pool`.
    ///
    /// # Panics
    ///
    /// As [`BufferPool::alloc`], if it must be copied, and if the sum of bytes and `extra` exceeds
    /// `usize::MAX`.
    #[must_use]
    pub fn coalesce_with_pool_extra(self, pool: &BufferPool, extra: usize) -> IoBufMut {
        let rope = match self.try_into_single() {
            Ok(single) if single.capacity() - single.len() >= extra => return single,
            Ok(single) => Self::from(single),
            Err(rope) => rope,
        };
        let Some(capacity) = rope.len().checked_add(extra) else {
            panic!(
                "{} bytes and room for {extra} exceed usize::MAX",
                rope.len()
            );
        };
        let mut whole = pool.alloc(capacity);
        rope.copy_into(&mut whole);
        whole
    }
}
