//! The bridge to the allocator traits of others: [`StdCompat`] lends a drystone allocator to their
//! collections, `Foreign02`, `Foreign04` and `ForeignStd` lend their allocators to drystone.
//!
//! # What
//!
//! There are three such traits, each in a feature of its own: those of `allocator-api2` 0.2 and 0.4,
//! and the standard library's. They ask and promise nearly the same, so that an adapter is its inner
//! allocator, seen through another trait. Three things differ, and are handled here: their
//! layouts may be zero-sized; their allocators may be moved at any time while blocks live, so only
//! a `StableAddress` one is lent; and they may unwind.
//!
//! # Memory picture
//!
//! ```text
//! +-------+
//! | inner |      a block of no bytes: no memory, a pointer whose address is its alignment
//! +-------+
//! ```
//!
//! # Invariants
//!
//! - I1: the inner allocator never hears of a zero-sized block.
//!
//! # Threads
//!
//! As the inner allocator.
//!
//! # Cost
//!
//! One comparison of the size with 0, which folds away where the size is known.

#[cfg(any(
    feature = "allocator-api2-02",
    feature = "allocator-api2-04",
    std_allocator
))]
mod foreign;
mod std_compat;
#[cfg(any(
    feature = "allocator-api2-02",
    feature = "allocator-api2-04",
    std_allocator
))]
mod zero_sized;

#[cfg(feature = "allocator-api2-02")]
pub use foreign::Foreign02;
#[cfg(feature = "allocator-api2-04")]
pub use foreign::Foreign04;
#[cfg(std_allocator)]
pub use foreign::ForeignStd;
pub use std_compat::StdCompat;
#[cfg(feature = "allocator-api2-02")]
pub use std_compat::StdCompat02;

/// What the feature `nightly` adds by name with this compiler: for crates that re-export it and do not
/// ask the compiler themselves.
#[doc(hidden)]
pub mod standard {
    #[cfg(std_allocator)]
    pub use super::ForeignStd;
}
