//! [`FreelistProtection`]: how a slab guards its free list and notices misuse.

mod checked;
mod on_misuse;
#[cfg(feature = "siphash")]
mod siphash;

pub use checked::Checked;
pub use on_misuse::OnMisuse;
#[cfg(feature = "siphash")]
pub use siphash::SipHashMac;

use crate::Misuse;

/// A link of a free list: the free slot that holds it, and the free slot that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FreeLink {
    /// The index of the slot that holds the link.
    pub slot: u32,
    /// The index of the next free slot; `None` at the end of the list.
    pub next: Option<u32>,
    /// How often the slot has been put on the list, modulo 2³². Always 0 without
    /// [`EPOCHS`](FreelistProtection::EPOCHS).
    pub epoch: u32,
}

/// Guards the free list that a slab keeps inside its free slots.
///
/// Three constants choose what the slab does; what is not chosen costs nothing.
///
/// | constant | the slab keeps | so that |
/// |---|---|---|
/// | [`TAGGED`](Self::TAGGED) | a tag beside each link, in the free slot | a link that was written over is noticed |
/// | [`OCCUPANCY`](Self::OCCUPANCY) | which slots are live, outside the slots | a wrong free is noticed, and no link hands out a live block |
/// | [`EPOCHS`](Self::EPOCHS) | how often each slot was freed, outside the slots | a tag made for an earlier link of the slot does not verify |
///
/// A safe trait: slabs check every link against their own bounds as well, so a protection that
/// lies costs detection, never a block outside the slab. The slab runs each method inside
/// [`abort_on_unwind`](crate::abort_on_unwind), with its list out of reach: what a call back frees
/// is lost to the slab until it finds it again or is reset.
///
/// ```
/// use drystone_core::{FreeLink, FreelistProtection};
///
/// /// Notices single flipped bits; no defence against anybody who tries.
/// struct Parity;
///
/// impl FreelistProtection for Parity {
///     const TAGGED: bool = true;
///
///     fn tag(&self, link: FreeLink) -> u32 {
///         (link.slot ^ link.next.unwrap_or(u32::MAX)).count_ones()
///     }
/// }
/// ```
pub trait FreelistProtection {
    /// Whether each link carries a tag. `false` removes the tag's bytes and the check;
    /// [`tag`](FreelistProtection::tag) is then never called.
    const TAGGED: bool;

    /// Whether the slab keeps, outside the slots, which of them are live: one byte for each.
    const OCCUPANCY: bool = false;

    /// Whether the slab counts, outside the slots, how often each was freed: four bytes for each.
    /// The count enters the tag, so it has a meaning with [`TAGGED`](Self::TAGGED) only.
    const EPOCHS: bool = false;

    /// The tag to store beside `link`.
    fn tag(&self, link: FreeLink) -> u32;

    /// Whether `tag` was made for `link`.
    #[inline]
    fn verify(&self, link: FreeLink, tag: u32) -> bool {
        self.tag(link) == tag
    }

    /// Called once for each misuse or damage that the slab found, after it was counted and before
    /// the slab goes on. `address` is the address passed in, or that of the damaged slot. Does
    /// nothing unless overridden; [`OnMisuse`] adds a policy to any protection.
    #[inline]
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        let _ = (misuse, address);
    }
}

/// Links are stored as they are: no tag, no check, no cost.
///
/// A block that is handed out again then begins with what its link was, one word long: the address
/// of another free slot, or its offset from the start of a range that may move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoProtection;

impl FreelistProtection for NoProtection {
    const TAGGED: bool = false;

    #[inline]
    fn tag(&self, _link: FreeLink) -> u32 {
        0
    }
}
