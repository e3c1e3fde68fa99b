//! A file as the operations that are in it.

use std::io::{BufReader, Read};

use super::chunk::{CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_TAIL_BYTES, ChunkHeader, Packing};
use super::header::{FIXED_BYTES, Header, JSON_BYTES_MAX, MAGIC, Stage, VERSION};
use super::index::{
    ChunkEntry, END_BYTES, ENTRY_BYTES, End, INDEX_HEADER_BYTES, INDEX_MAGIC, OLD_END_BYTES,
    OLD_END_MAGIC, index_header, old_end,
};
use super::operation::{Coder, Input, Operation};
use super::{PACKED_BYTES_MAX, resolve};
use crate::error::{Fault, Place, TraceError};
use crate::event::EventKind;
use crate::satrace::fill;
use crate::trace::Trace;
use crate::zstd_frames::fault_of;

/// What a file holds.
pub(super) struct Contents {
    pub(super) header: Header,
    /// With their threads, in the order of the file.
    pub(super) operations: Vec<(u32, Operation)>,
    /// What the operations that are events name.
    pub(super) events: Vec<EventKind>,
    /// Whether the file has its end.
    pub(super) complete: bool,
}

/// Reads a trace to the end of `source`.
pub(crate) fn read(source: &mut impl Read) -> Result<Trace, TraceError> {
    read_within(source, PACKED_BYTES_MAX)
}

/// The same; packed chunks may hold so many bytes together.
pub(super) fn read_within(source: &mut impl Read, packed_max: u64) -> Result<Trace, TraceError> {
    let contents = Reader::new(source, packed_max).contents()?;
    match contents.header.stage {
        Stage::Addresses => resolve::addresses(contents),
        Stage::Ids => resolve::ids(contents),
    }
}

pub(super) struct Reader<S> {
    source: S,
    /// Bytes read so far.
    at: u64,
    entries: Vec<ChunkEntry>,
    operations: Vec<(u32, Operation)>,
    events: Vec<EventKind>,
    /// Whether a chunk was never closed.
    has_open: bool,
    /// The bytes of operations that packed chunks held so far, and may hold.
    packed_bytes: u64,
    packed_max: u64,
}

/// What stands where a chunk may.
enum Part {
    Chunk,
    /// The end of the file.
    End,
    /// The file was cut off here, or inside what stands here.
    Cut,
}

impl<S: Read> Reader<BufReader<S>> {
    fn new(source: S, packed_max: u64) -> Self {
        Reader::at_start(BufReader::new(source), packed_max)
    }
}

impl<S: Read> Reader<S> {
    pub(super) fn at_start(source: S, packed_max: u64) -> Self {
        Self {
            source,
            at: 0,
            entries: Vec::new(),
            operations: Vec::new(),
            events: Vec::new(),
            has_open: false,
            packed_bytes: 0,
            packed_max,
        }
    }

    fn contents(mut self) -> Result<Contents, TraceError> {
        let header = self.header()?;
        let complete = loop {
            match self.part(header)? {
                Part::Chunk => {}
                Part::Cut => break false,
                Part::End => break true,
            }
        };
        if complete && self.has_open {
            return Err(self.damaged("a chunk that was not closed in a file that was finished"));
        }
        if complete && self.bytes(&mut [0])? != 0 {
            return Err(self.damaged("bytes behind the end of the trace"));
        }
        Ok(Contents {
            header,
            operations: self.operations,
            events: self.events,
            complete,
        })
    }

    pub(super) fn header(&mut self) -> Result<Header, TraceError> {
        let mut fixed = [0; FIXED_BYTES];
        let got = self.bytes(&mut fixed)?;
        let (magic, rest) = fixed.split_at(MAGIC.len());
        if magic != MAGIC {
            let mut found = [0; 8];
            found.copy_from_slice(magic);
            let len = got.min(MAGIC.len()) as u8;
            return Err(TraceError::new(
                Place::Byte { byte: 0 },
                Fault::BadMagic { found, len },
            ));
        }
        let word =
            |at: usize| u32::from_le_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]);
        let (version, length) = (word(0), word(4));
        if got >= MAGIC.len() + 4 && version != VERSION {
            let place = Place::Byte {
                byte: MAGIC.len() as u64,
            };
            return Err(TraceError::new(
                place,
                Fault::UnknownVersion { found: version },
            ));
        }
        if got < FIXED_BYTES {
            return Err(self.damaged("the file ends inside its header"));
        }
        if length > JSON_BYTES_MAX {
            return Err(self.damaged("the header is longer than a header is"));
        }
        let mut json = vec![0; length as usize + 4];
        if self.bytes(&mut json)? < json.len() {
            return Err(self.damaged("the file ends inside its header"));
        }
        let (json, checksum) = json.split_at(length as usize);
        let mut hash = crc32fast::Hasher::new();
        hash.update(&fixed);
        hash.update(json);
        if hash.finalize().to_le_bytes() != checksum {
            return Err(self.damaged("the header's checksum does not fit"));
        }
        Header::from_json(json).map_err(|what| self.damaged(what))
    }

    /// Reads what stands next. Zero bytes before it are room that a recorder did not use.
    fn part(&mut self, header: Header) -> Result<Part, TraceError> {
        let mut magic = [0; 4];
        while magic[0] == 0 {
            if self.bytes(&mut magic[..1])? == 0 {
                return Ok(Part::Cut);
            }
        }
        let start = self.at - 1;
        if self.bytes(&mut magic[1..])? < 3 {
            return Ok(Part::Cut);
        }
        match magic {
            CHUNK_MAGIC => self.chunk(start, header),
            INDEX_MAGIC => self.index(start),
            OLD_END_MAGIC => self.old_end(),
            _ => Err(self.damaged("neither a chunk nor the end of the trace")),
        }
    }

    /// The entries are those of the chunks that came before, each in its place.
    fn index(&mut self, start: u64) -> Result<Part, TraceError> {
        let mut header = [0; INDEX_HEADER_BYTES];
        header[..4].copy_from_slice(&INDEX_MAGIC);
        if self.bytes(&mut header[4..])? < INDEX_HEADER_BYTES - 4 {
            return Ok(Part::Cut);
        }
        let lies = "the index does not agree with the chunks";
        if header != index_header(self.entries.len() as u64) {
            return Err(self.damaged(lies));
        }
        let mut hash = crc32fast::Hasher::new();
        hash.update(&header);
        for number in 0..self.entries.len() {
            let mut entry = [0; ENTRY_BYTES];
            if self.bytes(&mut entry)? < ENTRY_BYTES {
                return Ok(Part::Cut);
            }
            hash.update(&entry);
            if ChunkEntry::from_bytes(&entry) != self.entries[number] {
                return Err(self.damaged(lies));
            }
        }
        let mut checksum = [0; 4];
        if self.bytes(&mut checksum)? < checksum.len() {
            return Ok(Part::Cut);
        }
        if hash.finalize().to_le_bytes() != checksum {
            return Err(self.damaged("the checksum of the index does not fit"));
        }
        self.index_end(start)
    }

    /// Behind an index stands the end of the file, which names it.
    fn index_end(&mut self, start: u64) -> Result<Part, TraceError> {
        let mut bytes = [0; END_BYTES];
        if self.bytes(&mut bytes)? < END_BYTES {
            return Ok(Part::Cut);
        }
        let end = End::from_bytes(&bytes)
            .ok_or_else(|| self.damaged("the checksum of the file's end does not fit"))?;
        let found = End {
            index_byte: start,
            chunks: self.entries.len() as u64,
            operations: self.operations.len() as u64,
        };
        if end != found {
            return Err(self.damaged("the file's end counts other chunks"));
        }
        Ok(Part::End)
    }

    /// The end of a file without an index.
    fn old_end(&mut self) -> Result<Part, TraceError> {
        let mut bytes = [0; OLD_END_BYTES];
        bytes[..4].copy_from_slice(&OLD_END_MAGIC);
        if self.bytes(&mut bytes[4..])? < OLD_END_BYTES - 4 {
            return Ok(Part::Cut);
        }
        let counts = old_end(&bytes)
            .ok_or_else(|| self.damaged("the checksum of the file's end does not fit"))?;
        if counts != (self.entries.len() as u64, self.operations.len() as u64) {
            return Err(self.damaged("the file's end counts other chunks"));
        }
        Ok(Part::End)
    }

    fn chunk(&mut self, start: u64, header: Header) -> Result<Part, TraceError> {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..4].copy_from_slice(&CHUNK_MAGIC);
        if self.bytes(&mut bytes[4..])? < CHUNK_HEADER_BYTES - 4 {
            return Ok(Part::Cut);
        }
        let chunk = ChunkHeader::from_bytes(&bytes).map_err(|what| self.damaged(what))?;
        let stored = chunk.stored as usize;
        let mut rest = vec![0; stored + CHUNK_TAIL_BYTES];
        let got = self.bytes(&mut rest)?;
        let is_open = chunk.packing == Packing::Open;
        self.has_open |= is_open;
        if got < rest.len() && !(is_open && got >= chunk.length as usize) {
            return Ok(Part::Cut);
        }
        let (stored, checksum) = rest.split_at(stored);
        let mut hash = crc32fast::Hasher::new();
        hash.update(&bytes);
        hash.update(stored);
        if !is_open && hash.finalize().to_le_bytes() != checksum {
            return Err(self.damaged("a chunk's checksum does not fit"));
        }
        self.count_packed(&chunk)?;
        let body = chunk.unpacked(stored).map_err(|what| self.damaged(what))?;
        self.decode(&chunk, &body, header)?;
        self.entries.push(ChunkEntry::of(start, &chunk));
        Ok(Part::Chunk)
    }

    /// Refuses a chunk that would unpack to more than all of them may.
    fn count_packed(&mut self, chunk: &ChunkHeader) -> Result<(), TraceError> {
        if chunk.packing != Packing::Lz4 {
            return Ok(());
        }
        self.packed_bytes += u64::from(chunk.length);
        if self.packed_bytes > self.packed_max {
            let fault = Fault::ExpandsTooFar {
                chunk: self.entries.len() as u64,
                bytes: self.packed_bytes,
                bytes_max: self.packed_max,
            };
            return Err(TraceError::new(Place::Byte { byte: self.at }, fault));
        }
        Ok(())
    }

    fn decode(
        &mut self,
        chunk: &ChunkHeader,
        body: &[u8],
        header: Header,
    ) -> Result<(), TraceError> {
        let timed = header.ticks_per_second.is_some();
        let mut coder = Coder::new(chunk.first_order, chunk.first_tick, timed);
        let mut input = Input::new(body);
        let before = self.operations.len();
        while !input.is_empty() {
            let operation = coder
                .decode(&mut input, &mut self.events)
                .map_err(|what| self.damaged(what))?;
            let records = self.operations.len() as u64;
            self.operations.try_reserve(1).map_err(|_| {
                let place = Place::Byte { byte: self.at };
                TraceError::new(place, Fault::OutOfMemory { records })
            })?;
            self.operations.push((chunk.thread, operation));
        }
        let found = self.operations.len() - before;
        if chunk.packing != Packing::Open && found != chunk.operations as usize {
            return Err(self.damaged("a chunk holds another number of operations than it says"));
        }
        Ok(())
    }

    /// Fills `buffer` as far as the source goes.
    fn bytes(&mut self, buffer: &mut [u8]) -> Result<usize, TraceError> {
        match fill(&mut self.source, buffer) {
            Ok(got) => {
                self.at += got as u64;
                Ok(got)
            }
            Err(error) => {
                let place = Place::Byte { byte: self.at };
                Err(TraceError::new(place, fault_of(error)))
            }
        }
    }

    pub(super) fn damaged(&self, what: &'static str) -> TraceError {
        TraceError::new(
            Place::Byte { byte: self.at },
            Fault::DamagedRecording { what },
        )
    }
}
