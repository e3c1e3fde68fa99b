//! Ropes are equal to whatever shows the same bytes, however they are cut.

use crate::{IoBuf, IoBufMut, IoBufs, IoBufsMut};

/// Whether two rows of chunks are the same bytes.
fn same_bytes<'b>(
    mut left: impl Iterator<Item = &'b [u8]>,
    mut right: impl Iterator<Item = &'b [u8]>,
) -> bool {
    let (mut a, mut b): (&[u8], &[u8]) = (&[], &[]);
    loop {
        a = if a.is_empty() {
            next_bytes(&mut left)
        } else {
            a
        };
        b = if b.is_empty() {
            next_bytes(&mut right)
        } else {
            b
        };
        let both = a.len().min(b.len());
        if both == 0 {
            return a.is_empty() && b.is_empty();
        }
        if a[..both] != b[..both] {
            return false;
        }
        (a, b) = (&a[both..], &b[both..]);
    }
}

/// The next chunk that is not empty, or an empty one at the end.
fn next_bytes<'b>(chunks: &mut impl Iterator<Item = &'b [u8]>) -> &'b [u8] {
    chunks.find(|chunk| !chunk.is_empty()).unwrap_or(&[])
}

/// What shows bytes in one or more chunks.
trait Chunked {
    fn total(&self) -> usize;
    fn pieces(&self) -> impl Iterator<Item = &[u8]>;
}

impl Chunked for [u8] {
    fn total(&self) -> usize {
        self.len()
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        core::iter::once(self)
    }
}

impl Chunked for IoBufs {
    fn total(&self) -> usize {
        self.len()
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks().map(|chunk| &chunk[..])
    }
}

impl Chunked for IoBufsMut {
    fn total(&self) -> usize {
        self.len()
    }

    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks().map(|chunk| &chunk[..])
    }
}

fn equal(left: &(impl Chunked + ?Sized), right: &(impl Chunked + ?Sized)) -> bool {
    left.total() == right.total() && same_bytes(left.pieces(), right.pieces())
}

macro_rules! equal_to_flat {
    ($rope:ty, $flat:ty $(, $n:ident)?) => {
        impl $(<const $n: usize>)? PartialEq<$flat> for $rope {
            fn eq(&self, other: &$flat) -> bool {
                equal(self, &other[..])
            }
        }
    };
}

macro_rules! like_bytes {
    ($rope:ty) => {
        impl Eq for $rope {}

        impl PartialEq<IoBufs> for $rope {
            fn eq(&self, other: &IoBufs) -> bool {
                equal(self, other)
            }
        }

        impl PartialEq<IoBufsMut> for $rope {
            fn eq(&self, other: &IoBufsMut) -> bool {
                equal(self, other)
            }
        }

        equal_to_flat!($rope, [u8]);
        equal_to_flat!($rope, &[u8]);
        equal_to_flat!($rope, [u8; N], N);
        equal_to_flat!($rope, &[u8; N], N);
        equal_to_flat!($rope, Vec<u8>);
        equal_to_flat!($rope, IoBuf);
        equal_to_flat!($rope, IoBufMut);
    };
}

like_bytes!(IoBufs);
like_bytes!(IoBufsMut);
