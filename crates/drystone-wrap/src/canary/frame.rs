//! [`Frame`]: where the parts of a guarded block lie. Arithmetic only.
#![forbid(unsafe_code)]

use drystone_core::{AllocError, NonZeroLayout};

/// The bytes in front of a block: two words.
pub(super) const HEADER_BYTES: usize = 2 * WORD_BYTES;

/// The bytes of a word.
pub(super) const WORD_BYTES: usize = size_of::<u64>();

/// What a header needs.
const HEADER_ALIGN: usize = WORD_BYTES;

/// The block that the inner allocator is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Size and alignment of the whole.
    pub(super) layout: NonZeroLayout,
    /// From the start of the whole to the caller's block: a multiple of its alignment, and at least
    /// the header.
    pub(super) prefix: usize,
}

impl Frame {
    /// Around a block of `layout`.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if the whole is no possible layout, or the size does not fit an [`Extent`].
    #[inline]
    pub(super) fn around(layout: NonZeroLayout) -> Result<Self, AllocError> {
        let size = layout.size().get();
        if size as u64 > Extent::SIZE_MAX {
            return Err(AllocError);
        }
        let prefix = layout.align().get().max(HEADER_BYTES);
        let bytes = prefix.checked_add(size).ok_or(AllocError)?;
        let bytes = bytes.checked_add(WORD_BYTES).ok_or(AllocError)?;
        let align = layout.align().get().max(HEADER_ALIGN);
        let layout = NonZeroLayout::from_size_align(bytes, align).map_err(|_| AllocError)?;
        Ok(Self { layout, prefix })
    }

    /// How many bytes of a whole of `len` bytes lie behind the block and its word.
    #[inline]
    pub(super) fn slack(self, len: usize) -> usize {
        len.saturating_sub(self.layout.size().get())
            .min(Extent::SLACK_MAX)
    }

    /// Whether a block can change from this frame to the other without moving.
    #[inline]
    pub(super) fn agrees_with(self, other: Self) -> bool {
        self.prefix == other.prefix && self.layout.align() == other.layout.align()
    }
}

/// The second word of a header: what was asked for, and how much more there is.
///
/// ```text
///  bit 63   58 57      48 47                    0
///    ┌────────┬──────────┬───────────────────────┐
///    │ log2 of│ bytes of │ bytes asked for       │
///    │ align  │ slack    │                       │
///    └────────┴──────────┴───────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent(pub(super) u64);

impl Extent {
    const SLACK_SHIFT: u32 = 48;
    const ALIGN_SHIFT: u32 = 58;
    /// The largest size in bytes.
    const SIZE_MAX: u64 = (1 << Self::SLACK_SHIFT) - 1;
    /// As many bytes of slack are watched.
    pub(super) const SLACK_MAX: usize = (1 << (Self::ALIGN_SHIFT - Self::SLACK_SHIFT)) - 1;

    /// In front of a block that was freed. No live block has such an alignment.
    pub(super) const FREED: Self = Self(u64::from_le_bytes(*b"\0freed!\xff"));

    /// A block of `layout`, whose size a [`Frame`] accepted, with at most [`SLACK_MAX`] of slack.
    ///
    /// [`SLACK_MAX`]: Self::SLACK_MAX
    #[inline]
    pub(super) fn new(layout: NonZeroLayout, slack: usize) -> Self {
        debug_assert!(slack <= Self::SLACK_MAX);
        let log2 = u64::from(layout.align().get().trailing_zeros());
        let size = layout.size().get() as u64;
        Self(log2 << Self::ALIGN_SHIFT | (slack as u64) << Self::SLACK_SHIFT | size)
    }

    /// The bytes of slack.
    #[inline]
    pub(super) fn slack(self) -> usize {
        (self.0 >> Self::SLACK_SHIFT) as usize & Self::SLACK_MAX
    }

    /// The bytes behind the block that are watched: the word and the slack.
    #[inline]
    pub(super) fn tail_bytes(self) -> usize {
        WORD_BYTES + self.slack()
    }

    /// What was asked for; `None` for a word that no layout gave.
    pub(super) fn layout(self) -> Option<NonZeroLayout> {
        let size = usize::try_from(self.0 & Self::SIZE_MAX).ok()?;
        let align = 1_usize.checked_shl((self.0 >> Self::ALIGN_SHIFT) as u32)?;
        NonZeroLayout::from_size_align(size, align).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> NonZeroLayout {
        NonZeroLayout::from_size_align(size, align).expect("valid")
    }

    #[test]
    fn a_frame_holds_header_block_and_word() {
        for align in (0..16).map(|log2| 1 << log2) {
            for size in [1, 7, 8, 15, 16, 17, 1000] {
                let asked = layout(size, align);
                let frame = Frame::around(asked).expect("small");
                assert!(frame.prefix >= HEADER_BYTES && frame.prefix.is_multiple_of(align));
                assert!(frame.layout.align().get() >= align.max(8));
                assert_eq!(frame.layout.size().get(), frame.prefix + size + WORD_BYTES);
                for slack in [0, 1, 63, Extent::SLACK_MAX] {
                    let extent = Extent::new(asked, slack);
                    assert_eq!((extent.layout(), extent.slack()), (Some(asked), slack));
                }
            }
        }
    }

    #[test]
    fn a_freed_block_is_none() {
        assert_eq!(Extent::FREED.layout(), None);
        assert_eq!(Extent::FREED.0 >> Extent::ALIGN_SHIFT, 63);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for size in [
            isize::MAX as usize,
            isize::MAX as usize - 7,
            isize::MAX as usize - 23,
        ] {
            assert_eq!(Frame::around(layout(size, 1)), Err(AllocError));
        }
        let align = 1 << (usize::BITS - 2);
        assert_eq!(Frame::around(layout(align, align)), Err(AllocError));
    }
}
