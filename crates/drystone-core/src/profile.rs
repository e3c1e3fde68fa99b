//! [`Fast`] and [`Hardened`]: the profiles beside [`Checked`](crate::Checked).

/// The profile of an allocator that keeps no state bits: misuse is the caller's breach.
///
/// Debug builds find what they can. [`Checked`](crate::Checked) is the profile that finds misuse in
/// every build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fast;

/// The profile of an allocator that finds what [`Checked`](crate::Checked) finds, fills what is free
/// and looks at the fill before it hands the memory out again, gives slots in an order that nobody can
/// foretell, and keeps inaccessible memory between its spans.
///
/// The arena has it. For other allocators the wrappers do the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hardened;
