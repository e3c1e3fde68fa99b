//! [`Checked`]: state kept out of band, and every free checked against it.

use super::{FreeLink, FreelistProtection};

/// Every free is checked against a record that lies outside the slots.
///
/// With certainty, in release builds too, a slab refuses, counts and reports
///
/// - a foreign, interior or misaligned pointer, one never handed out, and a layout that fits no
///   slot;
/// - a double free of a slot that was not handed out again since;
/// - a link that leads to anything but a free slot. No damaged, forged or outdated link ever
///   makes it hand out a live block.
///
/// A link that was changed so that it leads to another free slot is noticed when the list runs out
/// before its slots do. To notice it at once takes a tag: `SipHashMac`, with the feature `siphash`.
///
/// Costs one byte a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Checked;

impl FreelistProtection for Checked {
    const TAGGED: bool = false;
    const OCCUPANCY: bool = true;

    #[inline]
    fn tag(&self, _link: FreeLink) -> u32 {
        0
    }
}
