//! [`AllocFaultPolicy`]: which requests a fault injector refuses.

use crate::NonZeroLayout;
#[cfg(feature = "alloc")]
use crate::alloc_crate::boxed::Box;

/// Decides which requests fail.
///
/// A safe trait: a policy can refuse a request, never change a block.
pub trait AllocFaultPolicy {
    /// Whether the request that is about to be made shall fail. Called once for each request.
    fn should_fail(&self, layout: NonZeroLayout) -> bool;
}

impl<P: AllocFaultPolicy + ?Sized> AllocFaultPolicy for &P {
    #[inline]
    fn should_fail(&self, layout: NonZeroLayout) -> bool {
        (**self).should_fail(layout)
    }
}

#[cfg(feature = "alloc")]
impl<P: AllocFaultPolicy + ?Sized> AllocFaultPolicy for Box<P> {
    #[inline]
    fn should_fail(&self, layout: NonZeroLayout) -> bool {
        (**self).should_fail(layout)
    }
}
