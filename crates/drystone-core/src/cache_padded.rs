//! [`CachePadded`]: a value on cache lines of its own.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// Defines [`CachePadded`] and [`CACHE_LINE`] for one alignment.
///
/// The values are those that concurrent Rust code has settled on: 128 where the prefetcher takes
/// lines in pairs (x86-64) or where lines are that long (aarch64 big cores, powerpc64), 32 and 16
/// on small cores, 256 on s390x.
macro_rules! padded {
    ($align:literal, $($cfg:tt)*) => {
        /// A value aligned and padded to [`CACHE_LINE`] bytes, so that writes to it do not disturb
        /// readers of its neighbours.
        #[cfg($($cfg)*)]
        #[repr(align($align))]
        #[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
        pub struct CachePadded<T>(T);

        /// The distance in bytes at which two values never share a line on this architecture.
        #[cfg($($cfg)*)]
        pub const CACHE_LINE: usize = $align;
    };
}

padded!(
    128,
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "powerpc64"
    )
);
padded!(
    32,
    any(
        target_arch = "arm",
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "sparc",
        target_arch = "hexagon"
    )
);
padded!(16, target_arch = "m68k");
padded!(256, target_arch = "s390x");
padded!(
    64,
    not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "powerpc64",
        target_arch = "arm",
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "sparc",
        target_arch = "hexagon",
        target_arch = "m68k",
        target_arch = "s390x"
    ))
);

impl<T> CachePadded<T> {
    /// `value` on lines of its own.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value.
    #[inline]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for CachePadded<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for CachePadded<T> {
    #[inline]
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for CachePadded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_a_line_apart() {
        let pair = [CachePadded::new(1u8), CachePadded::new(2u8)];
        let distance = (&raw const pair[1]).addr() - (&raw const pair[0]).addr();
        assert_eq!(distance, CACHE_LINE);
        assert_eq!(align_of::<CachePadded<u8>>(), CACHE_LINE);
    }
}
