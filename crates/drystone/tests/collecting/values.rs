//! What the collections hold: values without bytes, small, large, over-aligned, and with memory of
//! their own, so that a lost or doubled drop shows.

use std::fmt::Debug;
use std::hash::Hash;

pub(crate) trait Value: Clone + Debug + Ord + Hash {
    fn of(number: u32) -> Self;
}

impl Value for () {
    fn of(_: u32) -> Self {}
}

impl Value for u8 {
    fn of(number: u32) -> Self {
        number.to_le_bytes()[0]
    }
}

impl Value for u64 {
    fn of(number: u32) -> Self {
        u64::from(number) << 16
    }
}

impl Value for String {
    fn of(number: u32) -> Self {
        format!("{number:x}")
    }
}

/// Over-aligned, except under Miri: its symbolic check knows the alignment that a segment was asked
/// for, and not that of an address in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(miri), repr(align(64)))]
pub(crate) struct Wide(u32);

impl Value for Wide {
    fn of(number: u32) -> Self {
        Self(number)
    }
}

/// Larger than any slot of the slabs.
impl Value for [u64; 40] {
    fn of(number: u32) -> Self {
        [u64::from(number); 40]
    }
}
