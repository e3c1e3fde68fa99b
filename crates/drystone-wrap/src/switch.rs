//! [`On`] and [`Off`]: wrappers that can be switched off by type.
//!
//! A wrapper with such a parameter, at [`Off`], is its inner allocator and nothing more: no field,
//! no instruction. The choice is made where the type is named, and the code that uses it stays.

#[cfg(target_has_atomic = "32")]
use crate::statistics::{Counters, Record};

/// [`On`] or [`Off`]. Sealed: there is no third.
pub trait Switch: Copy + Default + Choose {}

/// What each wrapper keeps when it is on, and when it is off. Out of reach for other crates.
pub trait Choose {
    /// The state of `Statistics`.
    #[cfg(target_has_atomic = "32")]
    type Counters: Record;

    /// The state of any other wrapper: `T`, or nothing.
    type Keep<T>: Keep<T>;
}

/// State that a wrapper has when it is on.
#[allow(
    unreachable_pub,
    reason = "public in the bounds of a sealed trait, which older compilers do not see"
)]
pub trait Keep<T> {
    /// Keeps `state`, or drops it.
    fn keep(state: T) -> Self;

    /// Keeps what `make` makes, or does not call it.
    fn keep_made(make: impl FnOnce() -> T) -> Self;

    /// What is kept. The answer is a constant of the type.
    fn get(&self) -> Option<&T>;
}

/// The state of a wrapper that is on.
#[derive(Debug)]
pub struct Kept<T>(pub(crate) T);

impl<T> Keep<T> for Kept<T> {
    #[inline]
    fn keep(state: T) -> Self {
        Self(state)
    }

    #[inline]
    fn keep_made(make: impl FnOnce() -> T) -> Self {
        Self(make())
    }

    #[inline]
    fn get(&self) -> Option<&T> {
        Some(&self.0)
    }
}

/// The state of a wrapper that is off.
#[derive(Debug)]
pub struct Nothing;

impl<T> Keep<T> for Nothing {
    #[inline]
    fn keep(_state: T) -> Self {
        Self
    }

    #[inline]
    fn keep_made(_make: impl FnOnce() -> T) -> Self {
        Self
    }

    #[inline]
    fn get(&self) -> Option<&T> {
        None
    }
}

/// The wrapper does its work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct On;

/// The wrapper is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Off;

impl Switch for On {}
impl Choose for On {
    #[cfg(target_has_atomic = "32")]
    type Counters = Counters;
    type Keep<T> = Kept<T>;
}

impl Switch for Off {}
impl Choose for Off {
    #[cfg(target_has_atomic = "32")]
    type Counters = ();
    type Keep<T> = Nothing;
}
