//! [`On`] and [`Off`]: wrappers that can be switched off by type.
//!
//! A wrapper with such a parameter, at [`Off`], is its inner allocator and nothing more: no field,
//! no instruction. The choice is made where the type is named, and the code that uses it stays.

use crate::statistics::{Counters, Record};

/// [`On`] or [`Off`]. Sealed: there is no third.
pub trait Switch: Copy + Default + Choose {}

/// What each wrapper keeps when it is on, and when it is off. Out of reach for other crates.
pub trait Choose {
    /// The state of `Statistics`.
    type Counters: Record;
}

/// The wrapper does its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct On;

/// The wrapper is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Off;

impl Switch for On {}
impl Choose for On {
    type Counters = Counters;
}

impl Switch for Off {}
impl Choose for Off {
    type Counters = ();
}
