//! One operation of a trace.

use core::alloc::Layout;

/// Largest alignment exponent that fits the address space, one more than any `Layout` can have.
const ALIGN_LOG2_END: u8 = usize::BITS as u8;

/// What an operation did. The discriminant is the byte that stands in the raw form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// A new block with undefined contents.
    Allocate = 0,
    /// A new block of zero bytes.
    AllocateZeroed = 1,
    /// The end of a block.
    Free = 2,
    /// A block that changed its size, its alignment or its address and kept its object id.
    Reallocate = 3,
}

impl Op {
    /// Every operation, in the order of its byte.
    pub const ALL: [Op; 4] = [Op::Allocate, Op::AllocateZeroed, Op::Free, Op::Reallocate];

    /// The operation that `byte` stands for in the raw form; `None` above 3.
    #[inline]
    pub fn from_byte(byte: u8) -> Option<Op> {
        Op::ALL.get(usize::from(byte)).copied()
    }

    /// Whether the operation starts the life of an object.
    #[inline]
    pub fn allocates(self) -> bool {
        matches!(self, Op::Allocate | Op::AllocateZeroed)
    }
}

/// One operation on one object, 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// Object id, dense from 0. An object keeps its id through every reallocation.
    pub object: u32,
    /// Index of the calling thread, dense from 0.
    pub thread: u16,
    /// What was done.
    pub op: Op,
    /// Binary logarithm of the alignment in bytes; 0 on a free.
    pub align_log2: u8,
    /// Size in bytes: of the new block, or on a free of the block as it was last.
    pub size: u64,
}

const _: () = assert!(size_of::<Record>() == 16);

impl Record {
    /// The layout to ask an allocator for: the recorded size, 0 counting as 1, and the recorded
    /// alignment. `None` if this machine has no such `Layout` (the alignment does not fit `usize`,
    /// or the size rounded up to it is above `isize::MAX`), which an allocation or reallocation of
    /// a [`Trace`](crate::Trace) never is. A free carries no alignment: there, this is the size at
    /// alignment 1.
    #[inline]
    pub fn layout(&self) -> Option<Layout> {
        if self.align_log2 >= ALIGN_LOG2_END {
            return None;
        }
        let size = usize::try_from(self.size.max(1)).ok()?;
        Layout::from_size_align(size, 1 << self.align_log2).ok()
    }
}
