//! Views compare, hash and order as the bytes they show.

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::hash::{Hash, Hasher};

use crate::{IoBuf, IoBufMut};

/// What each view has for being bytes.
macro_rules! like_bytes {
    ($view:ty) => {
        impl AsRef<[u8]> for $view {
            #[inline]
            fn as_ref(&self) -> &[u8] {
                self
            }
        }

        impl Borrow<[u8]> for $view {
            #[inline]
            fn borrow(&self) -> &[u8] {
                self
            }
        }

        impl Eq for $view {}

        impl PartialEq for $view {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self[..] == other[..]
            }
        }

        impl PartialOrd for $view {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $view {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                self[..].cmp(&other[..])
            }
        }

        impl Hash for $view {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self[..].hash(state);
            }
        }

        equal_as_bytes!($view, [u8]);
        equal_as_bytes!($view, &[u8]);
        equal_as_bytes!($view, Vec<u8>);
        equal_as_bytes!($view, [u8; N], N);
        equal_as_bytes!($view, &[u8; N], N);
    };
}

/// Equality of a view and another type of bytes, both ways.
macro_rules! equal_as_bytes {
    ($view:ty, $other:ty $(, $n:ident)?) => {
        impl $(<const $n: usize>)? PartialEq<$other> for $view {
            #[inline]
            fn eq(&self, other: &$other) -> bool {
                self[..] == other[..]
            }
        }

        impl $(<const $n: usize>)? PartialEq<$view> for $other {
            #[inline]
            fn eq(&self, other: &$view) -> bool {
                self[..] == other[..]
            }
        }
    };
}

like_bytes!(IoBuf);
like_bytes!(IoBufMut);
equal_as_bytes!(IoBuf, IoBufMut);

#[cfg(feature = "bytes")]
mod with_bytes {
    use bytes::{Bytes, BytesMut};

    use crate::{IoBuf, IoBufMut};

    equal_as_bytes!(IoBuf, Bytes);
    equal_as_bytes!(IoBuf, BytesMut);
    equal_as_bytes!(IoBufMut, Bytes);
    equal_as_bytes!(IoBufMut, BytesMut);
}

impl AsMut<[u8]> for IoBufMut {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}
