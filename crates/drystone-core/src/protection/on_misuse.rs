//! [`OnMisuse`]: a protection that tells a policy.

use super::{FreeLink, FreelistProtection};
use crate::{Misuse, MisusePolicy};

/// The protection `M`, and the policy `P` that hears of every misuse that `M` lets a slab find.
///
/// ```
/// use drystone_core::{AbortOnMisuse, Checked, OnMisuse};
///
/// // A slab with this protection ends the process at the first double free.
/// let protection = OnMisuse::new(Checked, AbortOnMisuse);
/// # let _ = protection;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OnMisuse<M, P> {
    protection: M,
    policy: P,
}

impl<M, P> OnMisuse<M, P> {
    /// `protection`, with `policy` told.
    #[inline]
    #[must_use]
    pub const fn new(protection: M, policy: P) -> Self {
        Self { protection, policy }
    }

    /// The policy.
    #[inline]
    #[must_use]
    pub const fn policy(&self) -> &P {
        &self.policy
    }
}

impl<M: FreelistProtection, P: MisusePolicy> FreelistProtection for OnMisuse<M, P> {
    const TAGGED: bool = M::TAGGED;
    const OCCUPANCY: bool = M::OCCUPANCY;
    const EPOCHS: bool = M::EPOCHS;

    #[inline]
    fn tag(&self, link: FreeLink) -> u32 {
        self.protection.tag(link)
    }

    #[inline]
    fn verify(&self, link: FreeLink, tag: u32) -> bool {
        self.protection.verify(link, tag)
    }

    fn on_misuse(&self, misuse: Misuse, address: usize) {
        self.protection.on_misuse(misuse, address);
        self.policy.on_misuse(misuse, address);
    }
}
