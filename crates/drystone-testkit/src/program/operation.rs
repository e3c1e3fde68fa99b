//! [`Operation`] and [`Program`]: what is to be done to an allocator, decoded from any bytes.

use core::fmt;

use drystone_core::NonZeroLayout;

/// The most operations of one program: what follows in the bytes is left out.
const OPERATIONS_MAX: usize = 1024;

/// Bytes that one operation is decoded from.
const BYTES_EACH: usize = 4;

/// What layouts a program asks for: most within these limits, a few far beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest size in bytes that the allocator serves, or that a test can afford.
    pub max_size: usize,
    /// The largest alignment in bytes, a power of two.
    pub max_align: usize,
}

/// Which live block an operation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The one allocated last.
    Newest,
    /// The one allocated first.
    Oldest,
    /// This one, counted from the oldest and around.
    Index(usize),
}

/// One thing to do. Operations on a block do nothing while none is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Allocates a block and stamps it.
    Allocate {
        /// Its layout.
        layout: NonZeroLayout,
        /// Whether it is to be zero.
        zeroed: bool,
    },
    /// Grows or shrinks a block to a layout: by `grow` or `grow_zeroed` if that is no smaller, by
    /// `shrink` if it is smaller.
    Resize {
        /// Which block.
        pick: Pick,
        /// Its new layout.
        layout: NonZeroLayout,
        /// Whether what it gains is to be zero.
        zeroed: bool,
    },
    /// Frees a block, described by the size asked for or by the size returned.
    Free {
        /// Which block.
        pick: Pick,
        /// By the size returned.
        returned_size: bool,
    },
    /// Frees every block: with `reset` where the allocator has it, else one by one.
    Reset,
    /// Compares every live block with its stamp.
    Check,
}

/// A list of operations. The same bytes and limits give the same program everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// In order.
    pub operations: Vec<Operation>,
}

impl Program {
    /// Decodes a program: every string of bytes is one.
    #[must_use]
    pub fn decode(data: &[u8], limits: Limits) -> Self {
        let operations = data
            .chunks(BYTES_EACH)
            .take(OPERATIONS_MAX)
            .map(|chunk| {
                let mut bytes = [0; BYTES_EACH];
                bytes[..chunk.len()].copy_from_slice(chunk);
                operation(bytes, limits)
            })
            .collect();
        Self { operations }
    }
}

fn operation([kind, size, align, choice]: [u8; BYTES_EACH], limits: Limits) -> Operation {
    let layout = layout(size, align, choice, limits);
    let zeroed = choice & 1 == 1;
    // Half of all operations allocate, so that programs of random bytes get somewhere.
    match kind % 32 {
        0..16 => Operation::Allocate { layout, zeroed },
        16..21 => Operation::Resize {
            pick: pick(kind / 32, choice),
            layout,
            zeroed,
        },
        21..30 => Operation::Free {
            pick: pick(kind / 32, choice),
            returned_size: zeroed,
        },
        30 => Operation::Check,
        _ if choice % 4 == 0 => Operation::Reset,
        _ => Operation::Check,
    }
}

fn pick(order: u8, choice: u8) -> Pick {
    match order % 3 {
        0 => Pick::Newest,
        1 => Pick::Oldest,
        _ => Pick::Index(usize::from(choice)),
    }
}

/// A layout whose size lies on or beside an edge for most bytes.
fn layout(size: u8, align: u8, choice: u8, limits: Limits) -> NonZeroLayout {
    let small = usize::from(size % 64) + 1;
    let near = |edge: usize| (edge + usize::from(choice % 5)).saturating_sub(2).max(1);
    let size = match size / 64 {
        0 | 1 => small.min(limits.max_size),
        2 => near(1 << (size % 16)).min(limits.max_size),
        _ => match size % 16 {
            0 => near(limits.max_size),
            1 => isize::MAX as usize - usize::from(choice),
            2 => (isize::MAX as usize) / 2 + usize::from(choice),
            fraction => (limits.max_size / usize::from(fraction)).max(1),
        },
    };
    let log2 = match align % 8 {
        0..6 => u32::from(align / 8) % 5,
        6 => u32::from(align / 8),
        _ => limits.max_align.trailing_zeros(),
    };
    let align = 1usize << log2.min(usize::BITS - 2);
    let align = if size <= limits.max_size {
        align.min(limits.max_align)
    } else {
        align
    };
    NonZeroLayout::from_size_align(size, align)
        .or_else(|_| NonZeroLayout::from_size_align(size, 1))
        .expect("1 to isize::MAX bytes")
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (step, operation) in self.operations.iter().enumerate() {
            writeln!(f, "{step:>4}  {operation}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest"),
            Self::Oldest => f.write_str("oldest"),
            Self::Index(index) => write!(f, "#{index}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zeros = |zeroed: bool| if zeroed { " zeroed" } else { "" };
        match *self {
            Self::Allocate { layout, zeroed } => write!(
                f,
                "allocate {} align {}{}",
                layout.size(),
                layout.align(),
                zeros(zeroed)
            ),
            Self::Resize {
                pick,
                layout,
                zeroed,
            } => write!(
                f,
                "resize {pick} to {} align {}{}",
                layout.size(),
                layout.align(),
                zeros(zeroed)
            ),
            Self::Free {
                pick,
                returned_size,
            } => {
                let by = if returned_size {
                    " by its returned size"
                } else {
                    ""
                };
                write!(f, "free {pick}{by}")
            }
            Self::Reset => f.write_str("reset"),
            Self::Check => f.write_str("check"),
        }
    }
}
