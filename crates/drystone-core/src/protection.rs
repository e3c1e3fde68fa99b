//! [`FreelistProtection`]: how a slab guards the links of its free list.

/// A link of a free list: the free slot that holds it, and the free slot that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FreeLink {
    /// The index of the slot that holds the link.
    pub slot: u32,
    /// The index of the next free slot; `None` at the end of the list.
    pub next: Option<u32>,
}

/// Guards the links that a slab keeps inside its free slots.
///
/// A safe trait: slabs check every link against their own bounds as well, so a policy that lies
/// costs detection, never a block outside the slab.
pub trait FreelistProtection {
    /// Whether each link carries a tag. `false` removes the tag's bytes and every check at
    /// compile time; [`tag`](FreelistProtection::tag) is then never called.
    const TAGGED: bool;

    /// The tag to store beside `link`.
    fn tag(&self, link: FreeLink) -> u32;

    /// Whether `tag` was made for `link`.
    #[inline]
    fn verify(&self, link: FreeLink, tag: u32) -> bool {
        self.tag(link) == tag
    }
}

/// Links are stored as they are: no tag, no check, no cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NoProtection;

impl FreelistProtection for NoProtection {
    const TAGGED: bool = false;

    #[inline]
    fn tag(&self, _link: FreeLink) -> u32 {
        0
    }
}
