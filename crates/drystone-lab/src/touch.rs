//! Which bytes of a block a replay writes.

/// Which bytes of a block are written when it is handed out.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Touch {
    /// No byte: resident memory is not what a program would see.
    None,
    /// The first and the last byte.
    Ends,
    /// One byte in each page.
    Page,
    /// Every byte.
    All,
}

impl Touch {
    /// As the command line spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Ends => "ends",
            Self::Page => "page",
            Self::All => "all",
        }
    }

    /// Writes the bytes of `block` from `from` on that this choice names.
    ///
    /// # Safety
    /// `block` is valid for writes of `size` bytes and this thread's alone; `from < size`.
    #[inline]
    pub(crate) unsafe fn write(self, block: *mut u8, from: usize, size: usize, page_bytes: usize) {
        let write = |offset: usize| {
            // SAFETY: the callers below pass offsets below `size`.
            let byte = unsafe { block.add(offset) };
            // SAFETY: within the block, which is valid for writes and this thread's alone.
            unsafe { byte.write_volatile(0xA5) };
        };
        match self {
            Self::None => {}
            Self::Ends => {
                write(from);
                write(size - 1);
            }
            Self::Page => {
                let mut offset = from;
                while offset < size {
                    write(offset);
                    offset += page_bytes;
                }
            }
            Self::All => {
                // SAFETY: `from` is within the block.
                let start = unsafe { block.add(from) };
                // SAFETY: the rest of the block is valid for writes and this thread's alone.
                unsafe { start.write_bytes(0xA5, size - from) };
                std::hint::black_box(start);
            }
        }
    }
}
