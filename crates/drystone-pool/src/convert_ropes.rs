//! Ropes from views and from whatever becomes a view. No payload is copied.

use crate::{IoBuf, IoBufMut, IoBufs, IoBufsMut};

/// A rope of one chunk.
macro_rules! single_chunk {
    ($rope:ty, $($(#[$attr:meta])* $chunk:ty),+ $(,)?) => {$(
        $(#[$attr])*
        impl From<$chunk> for $rope {
            fn from(chunk: $chunk) -> Self {
                let mut rope = Self::new();
                rope.append(chunk);
                rope
            }
        }
    )+};
}

/// A rope of the chunks in their order.
macro_rules! several_chunks {
    ($rope:ty, $chunk:ty) => {
        impl From<Vec<$chunk>> for $rope {
            fn from(chunks: Vec<$chunk>) -> Self {
                chunks.into_iter().collect()
            }
        }

        impl<const N: usize> From<[$chunk; N]> for $rope {
            fn from(chunks: [$chunk; N]) -> Self {
                chunks.into_iter().collect()
            }
        }
    };
}

single_chunk!(
    IoBufs,
    IoBuf,
    IoBufMut,
    Vec<u8>,
    &'static [u8],
    &'static str,
    #[cfg(feature = "bytes")]
    bytes::Bytes,
    #[cfg(feature = "bytes")]
    bytes::BytesMut,
);
single_chunk!(
    IoBufsMut,
    IoBufMut,
    Vec<u8>,
    #[cfg(feature = "bytes")]
    bytes::BytesMut,
);
several_chunks!(IoBufs, IoBuf);
several_chunks!(IoBufsMut, IoBufMut);

impl<const N: usize> From<&'static [u8; N]> for IoBufs {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(&bytes[..])
    }
}

/// [`IoBufsMut::freeze`].
impl From<IoBufsMut> for IoBufs {
    fn from(rope: IoBufsMut) -> Self {
        rope.freeze()
    }
}
