//! [`Chunks`]: where the chunks of a file are, without reading them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::chunk::{CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_TAIL_BYTES, ChunkHeader};
use super::index::{
    ChunkEntry, END_BYTES, ENTRY_BYTES, End, INDEX_HEADER_BYTES, INDEX_MAGIC, OLD_END_MAGIC,
    index_header,
};
use super::read::Reader;
use crate::error::{Fault, Place, TraceError};

/// The chunks of a `.dst` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// In the order of the file.
    pub entries: Vec<ChunkEntry>,
    /// Whether the file's own index told. A file that was cut off, and an older one, has none: there the
    /// chunks were walked from one to the next, and one that was never closed says that it has 0 operations.
    pub indexed: bool,
}

impl Chunks {
    /// The chunks of the file at `path`, which is not compressed.
    ///
    /// # Errors
    ///
    /// As [`Trace::read`](crate::Trace::read). What is in the chunks is not looked at.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path).map_err(|error| io(0, error).in_file(path))?;
        Self::of(BufReader::new(file)).map_err(|error| error.in_file(path))
    }

    fn of(mut source: impl BufRead + Seek) -> Result<Self, TraceError> {
        let mut reader = Reader::at_start(&mut source, 0);
        reader.header()?;
        let first = source.stream_position().map_err(|e| io(0, e))?;
        let length = source.seek(SeekFrom::End(0)).map_err(|e| io(0, e))?;
        match indexed(&mut source, first, length)? {
            Some(entries) => Ok(Self {
                entries,
                indexed: true,
            }),
            None => Ok(Self {
                entries: walked(&mut source, first, length)?,
                indexed: false,
            }),
        }
    }
}

fn io(byte: u64, error: std::io::Error) -> TraceError {
    TraceError::new(Place::Byte { byte }, Fault::Io(error))
}

fn damaged(byte: u64, what: &'static str) -> TraceError {
    TraceError::new(Place::Byte { byte }, Fault::DamagedRecording { what })
}

fn read_at<const N: usize>(
    source: &mut (impl Read + Seek),
    byte: u64,
) -> Result<[u8; N], TraceError> {
    let mut bytes = [0; N];
    source
        .seek(SeekFrom::Start(byte))
        .and_then(|_| source.read_exact(&mut bytes))
        .map_err(|error| io(byte, error))?;
    Ok(bytes)
}

/// The entries of the index; `None` if the file has no end that names one.
fn indexed(
    source: &mut (impl Read + Seek),
    first: u64,
    length: u64,
) -> Result<Option<Vec<ChunkEntry>>, TraceError> {
    let Some(end_byte) = length
        .checked_sub(END_BYTES as u64)
        .filter(|at| *at >= first)
    else {
        return Ok(None);
    };
    let Some(end) = End::from_bytes(&read_at(source, end_byte)?) else {
        return Ok(None);
    };
    let wrong = || damaged(end_byte, "the end names an index that is not there");
    // Header, entries and checksum fill the place from where the index begins to the end.
    let entries_bytes = end.chunks.checked_mul(ENTRY_BYTES as u64);
    let index_bytes = entries_bytes
        .and_then(|bytes| bytes.checked_add((INDEX_HEADER_BYTES + 4) as u64))
        .ok_or_else(wrong)?;
    if end.index_byte < first || end.index_byte.checked_add(index_bytes) != Some(end_byte) {
        return Err(wrong());
    }
    let header: [u8; INDEX_HEADER_BYTES] = read_at(source, end.index_byte)?;
    if header != index_header(end.chunks) {
        return Err(wrong());
    }
    let mut hash = crc32fast::Hasher::new();
    hash.update(&header);
    // As many as the file's length backs.
    let mut entries = Vec::with_capacity(end.chunks as usize);
    for _ in 0..end.chunks {
        let mut bytes = [0; ENTRY_BYTES];
        source
            .read_exact(&mut bytes)
            .map_err(|error| io(end.index_byte, error))?;
        hash.update(&bytes);
        entries.push(ChunkEntry::from_bytes(&bytes));
    }
    let mut checksum = [0; 4];
    source
        .read_exact(&mut checksum)
        .map_err(|error| io(end.index_byte, error))?;
    if hash.finalize().to_le_bytes() != checksum {
        let what = "the checksum of the index does not fit";
        return Err(damaged(end.index_byte, what));
    }
    for entry in &entries {
        if !is_there(source, entry, end.index_byte)? {
            let what = "the index does not agree with the chunks";
            return Err(damaged(entry.byte, what));
        }
    }
    Ok(Some(entries))
}

/// Whether the chunk of an entry begins where that says, as it says.
fn is_there(
    source: &mut (impl Read + Seek),
    entry: &ChunkEntry,
    index_byte: u64,
) -> Result<bool, TraceError> {
    let end = entry.byte.checked_add(CHUNK_HEADER_BYTES as u64);
    if end.is_none_or(|end| end > index_byte) {
        return Ok(false);
    }
    let bytes: [u8; CHUNK_HEADER_BYTES] = read_at(source, entry.byte)?;
    let chunk = ChunkHeader::at_start_of(&bytes);
    Ok(chunk.is_some_and(|chunk| ChunkEntry::of(entry.byte, &chunk) == *entry))
}

/// From chunk to chunk, up to where the file ends or was cut off.
fn walked(
    source: &mut (impl BufRead + Seek),
    first: u64,
    length: u64,
) -> Result<Vec<ChunkEntry>, TraceError> {
    let mut entries = Vec::new();
    let mut at = first;
    loop {
        source
            .seek(SeekFrom::Start(at))
            .map_err(|error| io(at, error))?;
        at += zeros(source).map_err(|error| io(at, error))?;
        if at + CHUNK_HEADER_BYTES as u64 > length {
            return Ok(entries);
        }
        let bytes: [u8; CHUNK_HEADER_BYTES] = read_at(source, at)?;
        if bytes.starts_with(&OLD_END_MAGIC) || bytes.starts_with(&INDEX_MAGIC) {
            return Ok(entries);
        }
        if !bytes.starts_with(&CHUNK_MAGIC) {
            return Err(damaged(at, "neither a chunk nor the end of the trace"));
        }
        let chunk = ChunkHeader::from_bytes(&bytes).map_err(|what| damaged(at, what))?;
        entries.push(ChunkEntry::of(at, &chunk));
        at += CHUNK_HEADER_BYTES as u64 + u64::from(chunk.stored) + CHUNK_TAIL_BYTES as u64;
    }
}

/// How many zero bytes come next.
fn zeros(source: &mut impl BufRead) -> std::io::Result<u64> {
    let mut count = 0;
    loop {
        let bytes = source.fill_buf()?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_end = zeros < bytes.len() || bytes.is_empty();
        source.consume(zeros);
        count += zeros as u64;
        if is_end {
            return Ok(count);
        }
    }
}
