//! The atomic types: `core`'s, or loom's under `--cfg loom`.
//!
//! A loom atomic cannot be made in a `const`; types that need a `const` constructor give it in
//! normal builds and a plain one under loom.

#[cfg(not(loom))]
pub use core::sync::atomic::*;
#[cfg(loom)]
pub use loom::sync::atomic::*;

/// `core`'s also under loom, which does not reorder what one thread does.
#[cfg(loom)]
pub use core::sync::atomic::compiler_fence;
