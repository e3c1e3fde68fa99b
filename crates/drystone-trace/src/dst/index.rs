//! The end of a file that was finished: where its chunks are.

use super::chunk::{ChunkHeader, u32_at, u64_at};

pub(super) const INDEX_MAGIC: [u8; 4] = *b"INDX";
pub(super) const END_MAGIC: [u8; 4] = *b"DFIN";
/// Before the entries: the magic, and how many there are.
pub(super) const INDEX_HEADER_BYTES: usize = 12;
pub(super) const ENTRY_BYTES: usize = 32;
pub(super) const END_BYTES: usize = 32;

/// The end of files before there was an index: magic, chunks, operations, checksum.
pub(super) const OLD_END_MAGIC: [u8; 4] = *b"DEND";
pub(super) const OLD_END_BYTES: usize = 24;

/// Where a chunk is, and what it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// The byte of the file where it begins.
    pub byte: u64,
    /// The recorder's number of its thread.
    pub thread: u32,
    /// How many operations it holds.
    pub operations: u32,
    /// The order number of the first one.
    pub first_order: u64,
    /// Its tick, of the clock that the header of the file names.
    pub first_tick: u64,
}

impl ChunkEntry {
    pub(crate) fn of(byte: u64, header: &ChunkHeader) -> Self {
        Self {
            byte,
            thread: header.thread,
            operations: header.operations,
            first_order: header.first_order,
            first_tick: header.first_tick,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..8].copy_from_slice(&self.byte.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.thread.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.operations.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_order.to_le_bytes());
        bytes[24..].copy_from_slice(&self.first_tick.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        Self {
            byte: u64_at(bytes, 0),
            thread: u32_at(bytes, 8),
            operations: u32_at(bytes, 12),
            first_order: u64_at(bytes, 16),
            first_tick: u64_at(bytes, 24),
        }
    }
}

/// What stands before the entries.
pub(crate) fn index_header(chunks: u64) -> [u8; INDEX_HEADER_BYTES] {
    let mut bytes = [0; INDEX_HEADER_BYTES];
    bytes[..4].copy_from_slice(&INDEX_MAGIC);
    bytes[4..].copy_from_slice(&chunks.to_le_bytes());
    bytes
}

/// The last bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The byte where the index begins.
    pub(crate) index_byte: u64,
    pub(crate) chunks: u64,
    pub(crate) operations: u64,
}

impl End {
    pub(crate) fn to_bytes(self) -> [u8; END_BYTES] {
        let mut bytes = [0; END_BYTES];
        bytes[..4].copy_from_slice(&END_MAGIC);
        bytes[4..12].copy_from_slice(&self.index_byte.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.chunks.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.operations.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None` if the checksum is wrong, or the magic.
    pub(super) fn from_bytes(bytes: &[u8; END_BYTES]) -> Option<Self> {
        let end = Self {
            index_byte: u64_at(bytes, 4),
            chunks: u64_at(bytes, 12),
            operations: u64_at(bytes, 20),
        };
        (end.to_bytes() == *bytes).then_some(end)
    }
}

/// Chunks and operations that the end of an older file counts; `None` if its checksum is wrong.
pub(super) fn old_end(bytes: &[u8; OLD_END_BYTES]) -> Option<(u64, u64)> {
    let checksum = crc32fast::hash(&bytes[..20]).to_le_bytes();
    (bytes[20..] == checksum).then(|| (u64_at(bytes, 4), u64_at(bytes, 12)))
}
