//! The frame around the operations of one thread.

use std::borrow::Cow;

use super::header::Header;
use super::operation::{Coder, Input, OPERATION_BYTES_MAX};

/// Before the operations of a chunk.
pub(crate) const CHUNK_HEADER_BYTES: usize = 40;
/// Behind them: the checksum.
pub(crate) const CHUNK_TAIL_BYTES: usize = 4;
/// The operations of one chunk take at most so many bytes, packed or not.
pub(super) const CHUNK_BYTES_MAX: u32 = 1 << 20;
pub(super) const CHUNK_MAGIC: [u8; 4] = *b"CHNK";

/// A part of a file begins at a multiple of so many bytes where it does not follow the one before at once.
pub(crate) const PART_ALIGN: u64 = 8;

const _: () = assert!(OPERATION_BYTES_MAX < CHUNK_BYTES_MAX as usize);

/// How the operations of a chunk stand in a file. The discriminant is what stands in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Packing {
    Plain = 0,
    /// As one LZ4 block.
    Lz4 = 1,
    /// As they are, and nobody has closed the chunk: `length` bytes of the `stored` ones are whole
    /// operations, their number is not known, and there is no checksum.
    Open = 2,
}

impl Packing {
    fn from_word(word: u32) -> Option<Self> {
        [Self::Plain, Self::Lz4, Self::Open]
            .into_iter()
            .find(|packing| *packing as u32 == word)
    }
}

/// What stands before the operations of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkHeader {
    pub(crate) thread: u32,
    pub(crate) operations: u32,
    /// The bytes of its operations.
    pub(crate) length: u32,
    /// The bytes that these take in the file.
    pub(crate) stored: u32,
    pub(crate) packing: Packing,
    pub(crate) first_order: u64,
    pub(crate) first_tick: u64,
}

impl ChunkHeader {
    pub(crate) fn to_bytes(self) -> [u8; CHUNK_HEADER_BYTES] {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..4].copy_from_slice(&CHUNK_MAGIC);
        bytes[4..8].copy_from_slice(&(self.packing as u32).to_le_bytes());
        bytes[8..12].copy_from_slice(&self.thread.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.operations.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.stored.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_order.to_le_bytes());
        bytes[32..].copy_from_slice(&self.first_tick.to_le_bytes());
        bytes
    }

    /// That of a chunk of `body`, which counts the operations in it as far as they can be read.
    pub(crate) fn of(
        thread: u32,
        first_order: u64,
        first_tick: u64,
        body: &[u8],
        header: Header,
    ) -> Self {
        let timed = header.ticks_per_second.is_some();
        let mut coder = Coder::new(first_order, first_tick, timed);
        let mut input = Input::new(body);
        let mut operations = 0;
        let mut events = Vec::new();
        while !input.is_empty() && coder.decode(&mut input, &mut events).is_ok() {
            operations += 1;
        }
        Self {
            thread,
            operations,
            length: body.len() as u32,
            stored: body.len() as u32,
            packing: Packing::Plain,
            first_order,
            first_tick,
        }
    }

    /// The header that `bytes` are, if they are one.
    pub(crate) fn at_start_of(bytes: &[u8; CHUNK_HEADER_BYTES]) -> Option<Self> {
        let header = bytes
            .starts_with(&CHUNK_MAGIC)
            .then(|| Self::from_bytes(bytes));
        header?.ok()
    }

    /// `bytes` start with the magic. What is wrong with the rest, as far as it can be told from here.
    pub(super) fn from_bytes(bytes: &[u8; CHUNK_HEADER_BYTES]) -> Result<Self, &'static str> {
        let packing = Packing::from_word(u32_at(bytes, 4));
        let header = Self {
            packing: packing.ok_or("a chunk is packed in an unknown way")?,
            thread: u32_at(bytes, 8),
            operations: u32_at(bytes, 12),
            length: u32_at(bytes, 16),
            stored: u32_at(bytes, 20),
            first_order: u64_at(bytes, 24),
            first_tick: u64_at(bytes, 32),
        };
        if header.length.max(header.stored) > CHUNK_BYTES_MAX {
            return Err("a chunk is longer than a chunk is");
        }
        if header.packing == Packing::Plain && header.length != header.stored {
            return Err("a chunk that is not packed has two lengths");
        }
        if header.packing == Packing::Open && header.length > header.stored {
            return Err("an open chunk is longer than its room");
        }
        Ok(header)
    }

    /// The operations that `stored` holds.
    pub(super) fn unpacked<'b>(&self, stored: &'b [u8]) -> Result<Cow<'b, [u8]>, &'static str> {
        const DAMAGED: &str = "a packed chunk cannot be unpacked";
        match self.packing {
            Packing::Plain => Ok(Cow::Borrowed(stored)),
            Packing::Open => Ok(Cow::Borrowed(&stored[..self.length as usize])),
            Packing::Lz4 => {
                let mut body = vec![0; self.length as usize];
                let length = lz4_flex::block::decompress_into(stored, &mut body);
                let is_whole = length.is_ok_and(|length| length == body.len());
                is_whole.then_some(Cow::Owned(body)).ok_or(DAMAGED)
            }
        }
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}
