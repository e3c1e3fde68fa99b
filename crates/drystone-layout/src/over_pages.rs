//! [`OverPages`]: layouts over pages of the operating system can tell it about them.

use drystone_core::{FreelistProtection, OsBacked, OverPages};

#[cfg(target_has_atomic = "ptr")]
use crate::SharedBumpArena;
use crate::{BumpArena, SizeClassed, Slab, StackAlloc};

macro_rules! over_pages {
    ($( [$($generics:tt)*] $layout:ty; )+) => { $(
        // SAFETY: every block is cut out of the backing, which the layout owns and lends to nobody
        // as a range; live blocks are left alone; `backing` only borrows a field.
        unsafe impl<$($generics)*> OverPages for $layout {
            type Pages = B;

            #[inline]
            fn pages(&self) -> &B {
                self.backing()
            }
        }
    )+ };
}

over_pages! {
    [B: OsBacked] BumpArena<B>;
    [B: OsBacked] StackAlloc<B>;
    [T, B: OsBacked, M: FreelistProtection] Slab<T, B, M>;
    [B: OsBacked, const CLASSES: usize] SizeClassed<B, CLASSES>;
}

#[cfg(target_has_atomic = "ptr")]
over_pages! { [B: OsBacked] SharedBumpArena<B>; }
