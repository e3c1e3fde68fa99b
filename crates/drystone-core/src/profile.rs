//! [`Fast`]: the profile without state bits.

/// The profile of an allocator that keeps no state bits: misuse is the caller's breach.
///
/// Debug builds find what they can. [`Checked`](crate::Checked) is the profile that finds misuse in
/// every build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fast;
