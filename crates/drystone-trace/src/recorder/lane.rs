//! [`Lane`]: the chunk that a thread is filling.

use crate::dst::{
    CHUNK_HEADER_BYTES, CHUNK_TAIL_BYTES, ChunkHeader, Coder, OPERATION_BYTES_MAX, Operation,
    Output, Packing,
};

/// A chunk with all around it.
const LANE_BYTES: usize = 16 << 10;

/// Room for one chunk, as it will stand in the file.
pub(super) struct Lane {
    // I1: the operations are `bytes[CHUNK_HEADER_BYTES..len]`, and there are `operations` of them.
    // I2: `len + CHUNK_TAIL_BYTES <= LANE_BYTES`.
    // A lane that was never begun has `len` 0 instead, and `operations` 0.
    header: ChunkHeader,
    coder: Coder,
    len: usize,
    bytes: [u8; LANE_BYTES],
}

impl Lane {
    /// A lane to be [begun](Self::begin) before anything is put in. It is all zeros, so that the lanes
    /// of a static take no place in the program's file.
    pub(super) const fn new() -> Self {
        Self {
            header: ChunkHeader {
                thread: 0,
                operations: 0,
                length: 0,
                stored: 0,
                packing: Packing::Plain,
                first_order: 0,
                first_tick: 0,
            },
            coder: Coder::new(0, 0, false),
            len: 0,
            bytes: [0; LANE_BYTES],
        }
    }

    pub(super) fn operations(&self) -> u32 {
        self.header.operations
    }

    /// Whether another operation of `thread` can be put in.
    #[inline]
    pub(super) fn takes(&self, thread: u32) -> bool {
        self.header.thread == thread
            && self.len + OPERATION_BYTES_MAX + CHUNK_TAIL_BYTES <= LANE_BYTES
    }

    /// Empties the lane, for operations of `thread` from this one on.
    pub(super) fn begin(&mut self, thread: u32, first_order: u64, first_tick: u64) {
        self.header = ChunkHeader {
            thread,
            operations: 0,
            length: 0,
            stored: 0,
            packing: Packing::Plain,
            first_order,
            first_tick,
        };
        self.coder = Coder::new(first_order, first_tick, true);
        self.len = CHUNK_HEADER_BYTES;
    }

    /// Puts in an operation of the lane's thread, which there is room for.
    #[inline]
    pub(super) fn push(&mut self, operation: &Operation) {
        let mut out = Output::new(&mut self.bytes[self.len..]);
        self.coder.encode(operation, &mut out);
        self.len += out.len();
        self.header.operations += 1;
        debug_assert!(self.len + CHUNK_TAIL_BYTES <= LANE_BYTES, "I2");
    }

    /// The chunk as it stands in a file.
    pub(super) fn chunk(&mut self) -> &[u8] {
        self.header.length = (self.len - CHUNK_HEADER_BYTES) as u32;
        self.header.stored = self.header.length;
        self.bytes[..CHUNK_HEADER_BYTES].copy_from_slice(&self.header.to_bytes());
        let checksum = crc32fast::hash(&self.bytes[..self.len]);
        let end = self.len + CHUNK_TAIL_BYTES;
        self.bytes[self.len..end].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes[..end]
    }
}
