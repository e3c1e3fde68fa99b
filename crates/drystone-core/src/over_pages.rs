//! [`OverPages`]: an allocator that can tell the operating system about its pages.

use crate::{Allocator, OsBacked};

/// An allocator all of whose blocks lie in one range of operating-system pages that it owns.
///
/// What advises the system about an allocator's memory, binds it to a node, or protects pages inside
/// blocks, asks for this promise. A layout over an [`OsBacked`] backing keeps it. References and
/// shared handles do not: a page that one of them left inaccessible would outlive it, and fault
/// under whoever uses the allocator next.
///
/// # Safety
///
/// The implementor promises that
///
/// - every block lies inside `pages()`, which answers the same range at every call;
/// - the range belongs to this value: nothing but this value, and what is reached through it, ever
///   accesses the pages, before they are unmapped;
/// - the allocator itself does not access the bytes of a live block;
/// - `pages` may be called from any thread, and by several at once, even where the type is neither
///   `Send` nor `Sync`.
pub unsafe trait OverPages: Allocator {
    /// What the range is.
    type Pages: OsBacked;

    /// The range. Not a range to be cut: a reference is no `FixedRange`.
    fn pages(&self) -> &Self::Pages;
}
