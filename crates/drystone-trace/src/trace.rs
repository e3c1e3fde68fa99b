//! A validated trace, and its ways in and out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::dump;
use crate::error::{Fault, Place, TraceError};
use crate::record::Record;
use crate::satrace::{self, Header, RECORD_BYTES};
use crate::validate::validate;
use crate::zstd_frames::{self, Frames};

/// The operations of one run of a program, in the order in which they happened.
///
/// Every value satisfies T1 to T5 of the [crate] docs. Two traces are equal when their counts and
/// records are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    threads: u32,
    objects: u64,
    records: Vec<Record>,
}

impl Trace {
    /// Reads the file at `path`, or standard input if `path` is `-`. Whether it is raw or
    /// compressed is told by its first bytes, not by its name.
    ///
    /// # Errors
    ///
    /// [`Unreadable`](crate::TraceErrorKind::Unreadable) if the file cannot be opened or read,
    /// else [`Invalid`](crate::TraceErrorKind::Invalid); both name the file.
    pub fn read(path: &Path) -> Result<Trace, TraceError> {
        if path == Path::new("-") {
            let name = Path::new("standard input");
            return Trace::from_reader(&mut io::stdin().lock()).map_err(|e| e.in_file(name));
        }
        read_file(path).map_err(|error| error.in_file(path))
    }

    /// Reads a trace in either form that stands in memory whole.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::TraceErrorKind::Invalid) if `bytes` are not a trace, or
    /// [`Unreadable`](crate::TraceErrorKind::Unreadable) if the records do not fit in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Trace, TraceError> {
        let mut source = bytes;
        read_stream(&mut source, bytes.len() as u64)
    }

    /// Reads a trace in either form from `source`, to its end.
    ///
    /// # Errors
    ///
    /// [`Unreadable`](crate::TraceErrorKind::Unreadable) if `source` fails or the records do not
    /// fit in memory, else [`Invalid`](crate::TraceErrorKind::Invalid).
    pub fn from_reader(source: &mut impl Read) -> Result<Trace, TraceError> {
        read_stream(source, 0)
    }

    /// A trace of `records`, which name threads below `threads` and objects below `objects`.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::TraceErrorKind::Invalid), with the place that the fault would have in the
    /// raw form.
    pub fn from_records(
        threads: u32,
        objects: u64,
        records: Vec<Record>,
    ) -> Result<Trace, TraceError> {
        let header = Header {
            threads,
            records: records.len() as u64,
            objects,
        };
        validate(header, &records, None)?;
        Ok(Trace {
            threads,
            objects,
            records,
        })
    }

    /// The trace in the raw form: 32 bytes and 16 bytes a record.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            threads: self.threads,
            records: self.records.len() as u64,
            objects: self.objects,
        };
        let header = header.to_bytes();
        let mut bytes =
            Vec::with_capacity(header.len() + self.records.len() * RECORD_BYTES as usize);
        bytes.extend_from_slice(&header);
        for record in &self.records {
            bytes.extend_from_slice(&satrace::encode(record));
        }
        bytes
    }

    /// How many threads there are; each has at least one record.
    pub fn threads(&self) -> u32 {
        self.threads
    }

    /// How many object ids there are; each is allocated at least once.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// The operations in the order in which they happened.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Writes the trace as text, one operation a line, in a form that stays the same between
    /// releases:
    ///
    /// ```text
    /// satrace-dump 1
    /// threads 1
    /// objects 1
    /// records 3
    /// # thread operation object size align
    /// 0 allocate 0 100 16
    /// 0 reallocate 0 200 16
    /// 0 free 0 200
    /// ```
    ///
    /// Sizes and alignments are in bytes; the operations are `allocate`, `allocate-zeroed`, `free`
    /// and `reallocate`.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_dump(&self, out: &mut impl io::Write) -> io::Result<()> {
        dump::write(self, out)
    }

    /// Reads what [`write_dump`](Trace::write_dump) writes. Fields may be separated by any white
    /// space; blank lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::TraceErrorKind::Invalid), with the line.
    pub fn parse_dump(text: &str) -> Result<Trace, TraceError> {
        dump::parse(text)
    }
}

fn read_file(path: &Path) -> Result<Trace, TraceError> {
    let unreadable = |error| TraceError::new(Place::Whole, Fault::Io(error));
    // Asked before opening, because opening a directory fails on some systems with an error that
    // does not say so.
    let metadata = path.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(TraceError::new(Place::Whole, Fault::Directory));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let bytes = if metadata.is_file() {
        metadata.len()
    } else {
        0
    };
    read_stream(&mut file, bytes)
}

/// Reads a trace in either form. `source_bytes` is the length of `source`, 0 where it is unknown.
fn read_stream(source: &mut impl Read, source_bytes: u64) -> Result<Trace, TraceError> {
    let mut first = [0; 4];
    let got = satrace::fill(source, &mut first)
        .map_err(|error| TraceError::new(Place::Header { byte: 0 }, Fault::Io(error)))?;
    let first = &first[..got];
    let mut source = first.chain(source);
    let contents = if zstd_frames::is_zstd(first) {
        satrace::read(&mut Frames::new(source), 0)
    } else {
        satrace::read(&mut source, source_bytes)
    }?;
    let Header {
        threads, objects, ..
    } = contents.header;
    validate(
        contents.header,
        &contents.records,
        contents.unknown_operation,
    )?;
    Ok(Trace {
        threads,
        objects,
        records: contents.records,
    })
}
