//! A file as the operations that are in it.

use std::io::Read;

use super::chunk::{
    CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNK_TAIL_BYTES, ChunkHeader, FOOTER_BYTES, FOOTER_MAGIC,
    Footer,
};
use super::header::{FIXED_BYTES, Header, JSON_BYTES_MAX, MAGIC, Stage, VERSION};
use super::operation::{Coder, Input, Operation};
use super::resolve;
use crate::error::{Fault, Place, TraceError};
use crate::satrace::fill;
use crate::trace::Trace;
use crate::zstd_frames::fault_of;

/// What a file holds.
pub(super) struct Contents {
    pub(super) header: Header,
    /// With their threads, in the order of the file.
    pub(super) operations: Vec<(u32, Operation)>,
    /// Whether the file has its end.
    pub(super) complete: bool,
}

/// Reads a trace to the end of `source`.
pub(crate) fn read(source: &mut impl Read) -> Result<Trace, TraceError> {
    let contents = Reader { source, at: 0 }.contents()?;
    match contents.header.stage {
        Stage::Addresses => resolve::addresses(contents),
        Stage::Ids => resolve::ids(contents),
    }
}

struct Reader<'s, S> {
    source: &'s mut S,
    /// Bytes read so far.
    at: u64,
}

/// What stands where a chunk may.
enum Part {
    Chunk,
    Footer(Footer),
    /// The file was cut off here, or inside what stands here.
    Cut,
}

impl<S: Read> Reader<'_, S> {
    fn contents(mut self) -> Result<Contents, TraceError> {
        let header = self.header()?;
        let mut operations = Vec::new();
        let mut chunks = 0;
        loop {
            match self.part(header, &mut operations)? {
                Part::Chunk => chunks += 1,
                Part::Cut => return Ok(contents(header, operations, false)),
                Part::Footer(footer) => {
                    let found = Footer {
                        chunks,
                        operations: operations.len() as u64,
                    };
                    if footer != found {
                        return Err(self.damaged("the file's end counts other chunks"));
                    }
                    if self.bytes(&mut [0])? != 0 {
                        return Err(self.damaged("bytes behind the end of the trace"));
                    }
                    return Ok(contents(header, operations, true));
                }
            }
        }
    }

    fn header(&mut self) -> Result<Header, TraceError> {
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

    /// Reads a chunk into `operations`, or the end of the file.
    fn part(
        &mut self,
        header: Header,
        operations: &mut Vec<(u32, Operation)>,
    ) -> Result<Part, TraceError> {
        let mut magic = [0; 4];
        if self.bytes(&mut magic)? < magic.len() {
            return Ok(Part::Cut);
        }
        match magic {
            CHUNK_MAGIC => self.chunk(header, operations),
            FOOTER_MAGIC => self.footer(),
            _ => Err(self.damaged("neither a chunk nor the end of the trace")),
        }
    }

    fn footer(&mut self) -> Result<Part, TraceError> {
        let mut bytes = [0; FOOTER_BYTES];
        bytes[..4].copy_from_slice(&FOOTER_MAGIC);
        if self.bytes(&mut bytes[4..])? < FOOTER_BYTES - 4 {
            return Ok(Part::Cut);
        }
        match Footer::from_bytes(&bytes) {
            Some(footer) => Ok(Part::Footer(footer)),
            None => Err(self.damaged("the checksum of the file's end does not fit")),
        }
    }

    fn chunk(
        &mut self,
        header: Header,
        operations: &mut Vec<(u32, Operation)>,
    ) -> Result<Part, TraceError> {
        let mut bytes = [0; CHUNK_HEADER_BYTES];
        bytes[..4].copy_from_slice(&CHUNK_MAGIC);
        if self.bytes(&mut bytes[4..])? < CHUNK_HEADER_BYTES - 4 {
            return Ok(Part::Cut);
        }
        let chunk = ChunkHeader::from_bytes(&bytes).map_err(|what| self.damaged(what))?;
        let stored = chunk.stored as usize;
        let mut rest = vec![0; stored + CHUNK_TAIL_BYTES];
        if self.bytes(&mut rest)? < rest.len() {
            return Ok(Part::Cut);
        }
        let (stored, checksum) = rest.split_at(stored);
        let mut hash = crc32fast::Hasher::new();
        hash.update(&bytes);
        hash.update(stored);
        if hash.finalize().to_le_bytes() != checksum {
            return Err(self.damaged("a chunk's checksum does not fit"));
        }
        let body = chunk.unpacked(stored).map_err(|what| self.damaged(what))?;
        self.decode(chunk, &body, header, operations)?;
        Ok(Part::Chunk)
    }

    fn decode(
        &mut self,
        chunk: ChunkHeader,
        body: &[u8],
        header: Header,
        operations: &mut Vec<(u32, Operation)>,
    ) -> Result<(), TraceError> {
        let timed = header.ticks_per_second.is_some();
        let mut coder = Coder::new(chunk.first_order, chunk.first_tick, timed);
        let mut input = Input::new(body);
        let before = operations.len();
        while !input.is_empty() {
            let operation = coder
                .decode(&mut input)
                .map_err(|what| self.damaged(what))?;
            operations.try_reserve(1).map_err(|_| {
                let records = operations.len() as u64;
                TraceError::new(
                    Place::Byte { byte: self.at },
                    Fault::OutOfMemory { records },
                )
            })?;
            operations.push((chunk.thread, operation));
        }
        if operations.len() - before != chunk.operations as usize {
            return Err(self.damaged("a chunk holds another number of operations than it says"));
        }
        Ok(())
    }

    /// Fills `buffer` as far as the source goes.
    fn bytes(&mut self, buffer: &mut [u8]) -> Result<usize, TraceError> {
        match fill(self.source, buffer) {
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

    fn damaged(&self, what: &'static str) -> TraceError {
        TraceError::new(
            Place::Byte { byte: self.at },
            Fault::DamagedRecording { what },
        )
    }
}

fn contents(header: Header, operations: Vec<(u32, Operation)>, complete: bool) -> Contents {
    Contents {
        header,
        operations,
        complete,
    }
}
