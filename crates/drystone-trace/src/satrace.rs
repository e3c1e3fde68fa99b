//! The raw `.satrace` form: header and records as bytes, read from a stream.

use std::io::{self, Read};

use crate::error::{Fault, Place, TraceError};
use crate::record::{Op, Record};
use crate::zstd_frames;

pub(crate) const MAGIC: [u8; 8] = *b"SATRACE1";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: u64 = 32;
pub(crate) const RECORD_BYTES: u64 = 16;

const VERSION_AT: usize = 8;
const THREADS_AT: usize = 12;
const RECORDS_AT: usize = 16;
const OBJECTS_AT: usize = 24;
const HEADER_LEN: usize = HEADER_BYTES as usize;
const RECORD_LEN: usize = RECORD_BYTES as usize;

/// Records decoded between two reads of the source.
const CHUNK_RECORDS: usize = 4096;

/// The numbers of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) threads: u32,
    pub(crate) records: u64,
    pub(crate) objects: u64,
}

impl Header {
    /// Where the thread count stands.
    pub(crate) const THREADS: Place = Place::Header {
        byte: THREADS_AT as u64,
    };
    /// Where the object count stands.
    pub(crate) const OBJECTS: Place = Place::Header {
        byte: OBJECTS_AT as u64,
    };

    /// The 32 bytes of a header.
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..VERSION_AT].copy_from_slice(&MAGIC);
        bytes[VERSION_AT..THREADS_AT].copy_from_slice(&VERSION.to_le_bytes());
        bytes[THREADS_AT..RECORDS_AT].copy_from_slice(&self.threads.to_le_bytes());
        bytes[RECORDS_AT..OBJECTS_AT].copy_from_slice(&self.records.to_le_bytes());
        bytes[OBJECTS_AT..].copy_from_slice(&self.objects.to_le_bytes());
        bytes
    }
}

/// What a stream held: as many records as the header announces, unless one of them has an unknown
/// operation; then the records before it.
pub(crate) struct Contents {
    pub(crate) header: Header,
    pub(crate) records: Vec<Record>,
    pub(crate) unknown_operation: Option<u8>,
}

/// Reads one trace to the end of `source`. Length faults win over faults inside records, so the
/// raw and the compressed form of the same bytes give the same error. `source_bytes` is the length
/// of `source` where it is known beforehand; it only saves growing the record table.
pub(crate) fn read(source: &mut impl Read, source_bytes: u64) -> Result<Contents, TraceError> {
    let header = read_header(source)?;
    let backed = source_bytes / RECORD_BYTES;
    let mut contents = Contents {
        header,
        records: Vec::new(),
        unknown_operation: None,
    };
    contents.reserve(header.records.min(backed))?;
    contents.read_records(source)?;
    let end = HEADER_BYTES + RECORD_BYTES * header.records;
    let mut behind = [0];
    if fill(source, &mut behind).map_err(|error| failed(error, end))? != 0 {
        let fault = Fault::TrailingBytes {
            records: header.records,
        };
        return Err(TraceError::new(Place::Behind { byte: end }, fault));
    }
    contents.records.shrink_to_fit();
    Ok(contents)
}

impl Contents {
    fn read_records(&mut self, source: &mut impl Read) -> Result<(), TraceError> {
        let mut byte = HEADER_BYTES;
        let mut left = self.header.records;
        let mut chunk = vec![0; left.min(CHUNK_RECORDS as u64) as usize * RECORD_LEN];
        while left > 0 {
            let records = left.min(CHUNK_RECORDS as u64);
            let wanted = records as usize * RECORD_LEN;
            let got = fill(source, &mut chunk[..wanted]).map_err(|error| failed(error, byte))?;
            byte += got as u64;
            if got < wanted {
                let fault = Fault::Truncated {
                    records: self.header.records,
                    bytes: byte,
                };
                return Err(TraceError::new(Place::of_byte(byte), fault));
            }
            self.push_all(&chunk[..wanted])?;
            left -= records;
        }
        Ok(())
    }

    fn push_all(&mut self, chunk: &[u8]) -> Result<(), TraceError> {
        if self.unknown_operation.is_some() {
            return Ok(());
        }
        self.reserve((chunk.len() / RECORD_LEN) as u64)?;
        for bytes in chunk.chunks_exact(RECORD_LEN) {
            match decode(bytes) {
                Ok(record) => self.records.push(record),
                Err(operation) => {
                    self.unknown_operation = Some(operation);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Makes room for `more` records that the source is known to hold.
    fn reserve(&mut self, more: u64) -> Result<(), TraceError> {
        let reserved = usize::try_from(more)
            .ok()
            .and_then(|n| self.records.try_reserve(n).ok());
        reserved.ok_or_else(|| {
            let fault = Fault::OutOfMemory {
                records: self.header.records,
            };
            TraceError::new(Place::of_record(self.records.len() as u64), fault)
        })
    }
}

fn read_header(source: &mut impl Read) -> Result<Header, TraceError> {
    let mut bytes = [0; HEADER_LEN];
    let got = fill(source, &mut bytes).map_err(|error| failed(error, 0))?;
    let at = |byte: usize, fault| Err(TraceError::new(Place::Header { byte: byte as u64 }, fault));
    let magic = got.min(MAGIC.len());
    if got == 0 {
        return at(0, Fault::Empty);
    }
    if bytes[..magic] != MAGIC[..magic] {
        return at(
            0,
            Fault::BadMagic {
                found: array(&bytes, 0),
                len: magic as u8,
            },
        );
    }
    let version = u32::from_le_bytes(array(&bytes, VERSION_AT));
    if got >= THREADS_AT && version != VERSION {
        return at(VERSION_AT, Fault::UnknownVersion { found: version });
    }
    if got < HEADER_LEN {
        return at(got, Fault::TruncatedHeader { bytes: got as u64 });
    }
    Ok(Header {
        threads: u32::from_le_bytes(array(&bytes, THREADS_AT)),
        records: u64::from_le_bytes(array(&bytes, RECORDS_AT)),
        objects: u64::from_le_bytes(array(&bytes, OBJECTS_AT)),
    })
}

/// The 16 bytes of `record`.
pub(crate) fn encode(record: &Record) -> [u8; RECORD_LEN] {
    let mut bytes = [0; RECORD_LEN];
    bytes[..4].copy_from_slice(&record.object.to_le_bytes());
    bytes[4..6].copy_from_slice(&record.thread.to_le_bytes());
    bytes[6] = record.op as u8;
    bytes[7] = record.align_log2;
    bytes[8..].copy_from_slice(&record.size.to_le_bytes());
    bytes
}

/// The record in `bytes`, or its operation byte if that is unknown.
fn decode(bytes: &[u8]) -> Result<Record, u8> {
    let Some(op) = Op::from_byte(bytes[6]) else {
        return Err(bytes[6]);
    };
    Ok(Record {
        object: u32::from_le_bytes(array(bytes, 0)),
        thread: u16::from_le_bytes(array(bytes, 4)),
        op,
        align_log2: bytes[7],
        size: u64::from_le_bytes(array(bytes, 8)),
    })
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// Reads until `buffer` is full or `source` ends; the number of bytes read.
pub(crate) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match source.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// The error for a read that failed in the chunk that starts at `byte`.
fn failed(error: io::Error, byte: u64) -> TraceError {
    TraceError::new(Place::of_byte(byte), zstd_frames::fault_of(error))
}
