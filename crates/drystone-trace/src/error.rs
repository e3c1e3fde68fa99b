//! What can be wrong with a trace, and where.

use core::fmt;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use crate::satrace::{HEADER_BYTES, MAGIC, RECORD_BYTES, VERSION};

/// Whether the input was read and is wrong, or could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TraceErrorKind {
    /// The input was read and is not a valid trace.
    Invalid,
    /// The input could not be opened or read, or does not fit in memory.
    Unreadable,
}

/// What is wrong, without the place.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The operating system refused to open or read the input.
    Io(io::Error),
    /// The path names a directory.
    Directory,
    /// The records do not fit in memory.
    OutOfMemory {
        /// How many records were asked for.
        records: u64,
    },
    /// The input has no bytes at all.
    Empty,
    /// The input starts with neither magic.
    BadMagic {
        /// The first bytes, as many as there are, up to 8.
        found: [u8; 8],
        /// How many of them were there.
        len: u8,
    },
    /// The version in the header is not 1.
    UnknownVersion {
        /// The version found.
        found: u32,
    },
    /// The input ends inside the header.
    TruncatedHeader {
        /// Bytes that are there.
        bytes: u64,
    },
    /// The input ends before the last record that the header announces.
    Truncated {
        /// Records announced.
        records: u64,
        /// Bytes that are there, header included.
        bytes: u64,
    },
    /// The input goes on after the last record that the header announces.
    TrailingBytes {
        /// Records announced.
        records: u64,
    },
    /// The zstd data is damaged, cut, or needs a dictionary or a window above 128 MiB.
    Compression(Box<dyn Error + Send + Sync>),
    /// The header announces more threads than records, or more than a thread index can name.
    ThreadCountTooLarge {
        /// Threads announced.
        threads: u32,
        /// Records announced.
        records: u64,
    },
    /// The header announces more objects than records, so some are never allocated.
    ObjectCountTooLarge {
        /// Objects announced.
        objects: u64,
        /// Records announced.
        records: u64,
    },
    /// A thread that the header announces has no record.
    ThreadUnused {
        /// Threads announced.
        threads: u32,
        /// The lowest index without a record.
        thread: u32,
    },
    /// An object that the header announces is never allocated.
    ObjectUnused {
        /// Objects announced.
        objects: u64,
        /// The lowest id without an allocation.
        object: u64,
    },
    /// The operation byte is above 3.
    UnknownOperation {
        /// The byte found.
        found: u8,
    },
    /// A thread index at or above the header's thread count.
    ThreadOutOfRange {
        /// The index found.
        thread: u16,
        /// Threads announced.
        threads: u32,
    },
    /// An object id at or above the header's object count.
    ObjectOutOfRange {
        /// The id found.
        object: u32,
        /// Objects announced.
        objects: u64,
    },
    /// An allocation of an object that is live.
    AllocationOfLive {
        /// The object.
        object: u32,
    },
    /// A free of an object that is not live.
    FreeOfDead {
        /// The object.
        object: u32,
    },
    /// A reallocation of an object that is not live.
    ReallocationOfDead {
        /// The object.
        object: u32,
    },
    /// Size and alignment make no `Layout` on this machine.
    ImpossibleLayout {
        /// Size in bytes.
        size: u64,
        /// Binary logarithm of the alignment.
        align_log2: u8,
    },
    /// A free whose alignment byte is not 0.
    AlignmentOnFree {
        /// The byte found.
        align_log2: u8,
    },
    /// A free whose size is not the size that the block had last.
    FreeSize {
        /// The object.
        object: u32,
        /// The size that the free states, in bytes.
        stated: u64,
        /// The size that the block has, in bytes.
        actual: u64,
    },
    /// A line of a dump is not what stands there in the dump form.
    DumpSyntax {
        /// What was expected.
        expected: &'static str,
    },
    /// A `.dst` file is not what its form says.
    DamagedRecording {
        /// What was found.
        what: &'static str,
    },
    /// The packed chunks of a `.dst` file unpack to more than they may: an honest file is written longer
    /// instead.
    ExpandsTooFar {
        /// The chunk that goes beyond it, counted from 0 in the order of the file.
        chunk: u64,
        /// Bytes to which all of them up to this one unpack.
        bytes: u64,
        /// Bytes to which all of them may.
        bytes_max: u64,
    },
    /// A dump has fewer or more operations than its header announces.
    DumpCount {
        /// Operations announced.
        announced: u64,
        /// Operations found.
        found: u64,
    },
}

impl Fault {
    fn kind(&self) -> TraceErrorKind {
        match self {
            Fault::Io(_) | Fault::Directory | Fault::OutOfMemory { .. } => {
                TraceErrorKind::Unreadable
            }
            _ => TraceErrorKind::Invalid,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Io(error) => write!(f, "cannot read: {error}"),
            Fault::Directory => f.write_str("is a directory"),
            Fault::OutOfMemory { records } => write!(f, "no memory for {records} records"),
            Fault::Empty => f.write_str("empty: a trace has a header of 32 bytes"),
            Fault::BadMagic { found, len } => bad_magic(f, &found[..usize::from(*len)]),
            Fault::UnknownVersion { found } => {
                write!(
                    f,
                    "unknown version {found}: this reader knows version {VERSION}"
                )
            }
            Fault::TruncatedHeader { bytes } => {
                write!(
                    f,
                    "truncated: {bytes} of the {HEADER_BYTES} bytes of the header"
                )
            }
            Fault::Truncated { records, bytes } => truncated(f, *records, *bytes),
            Fault::TrailingBytes { records } => {
                write!(
                    f,
                    "trailing bytes after the {records} records that the header announces"
                )
            }
            Fault::Compression(error) => write!(f, "damaged compression: {error}"),
            Fault::ThreadCountTooLarge { threads, records } => {
                write!(f, "{threads} threads announced for {records} records")
            }
            Fault::ObjectCountTooLarge { objects, records } => {
                write!(f, "{objects} objects announced for {records} records")
            }
            Fault::ThreadUnused { threads, thread } => {
                write!(
                    f,
                    "{threads} threads announced, but thread {thread} has no record"
                )
            }
            Fault::ObjectUnused { objects, object } => {
                write!(
                    f,
                    "{objects} objects announced, but object {object} is never allocated"
                )
            }
            Fault::UnknownOperation { found } => {
                write!(f, "unknown operation {found}: 0 to 3 are known")
            }
            Fault::ThreadOutOfRange { thread, threads } => {
                write!(
                    f,
                    "thread {thread} is out of range: the header announces {threads}"
                )
            }
            Fault::ObjectOutOfRange { object, objects } => {
                write!(
                    f,
                    "object {object} is out of range: the header announces {objects}"
                )
            }
            Fault::AllocationOfLive { object } => {
                write!(f, "allocation of object {object}, which is live")
            }
            Fault::FreeOfDead { object } => {
                write!(f, "free of object {object}, which is not live")
            }
            Fault::ReallocationOfDead { object } => {
                write!(f, "reallocation of object {object}, which is not live")
            }
            Fault::ImpossibleLayout { size, align_log2 } => {
                write!(
                    f,
                    "impossible layout: {size} bytes aligned to 2^{align_log2}"
                )
            }
            Fault::AlignmentOnFree { align_log2 } => {
                write!(f, "free with alignment byte {align_log2}, which must be 0")
            }
            Fault::FreeSize {
                object,
                stated,
                actual,
            } => {
                write!(
                    f,
                    "free of object {object} states {stated} bytes, but it has {actual}"
                )
            }
            Fault::DamagedRecording { what } => write!(f, "damaged recording: {what}"),
            Fault::ExpandsTooFar {
                chunk,
                bytes,
                bytes_max,
            } => write!(
                f,
                "packed chunks up to chunk {chunk} hold {bytes} bytes, and may hold {bytes_max}"
            ),
            Fault::DumpSyntax { expected } => write!(f, "expected {expected}"),
            Fault::DumpCount { announced, found } => {
                write!(f, "{announced} records announced, {found} found")
            }
        }
    }
}

fn bad_magic(f: &mut fmt::Formatter<'_>, found: &[u8]) -> fmt::Result {
    let known = core::str::from_utf8(&MAGIC).unwrap_or_default();
    write!(
        f,
        "bad magic \"{}\": neither {known}, DRYTRACE nor zstd",
        found.escape_ascii()
    )
}

fn truncated(f: &mut fmt::Formatter<'_>, records: u64, bytes: u64) -> fmt::Result {
    let whole = u128::from(HEADER_BYTES) + u128::from(RECORD_BYTES) * u128::from(records);
    write!(
        f,
        "truncated: {bytes} of the {whole} bytes that {records} records take"
    )
}

/// Where in the trace the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// No place inside: the input could not be opened.
    Whole,
    /// A byte of the header.
    Header { byte: u64 },
    /// A byte of a form that is not the raw one.
    Byte { byte: u64 },
    /// A byte of a record.
    Record { record: u64, byte: u64 },
    /// A byte behind the last record.
    Behind { byte: u64 },
    /// A line of a dump, counted from 1, and its record where it has one.
    Line { line: u64, record: Option<u64> },
}

impl Place {
    /// The place of `byte`, counted in the raw form.
    pub(crate) fn of_byte(byte: u64) -> Place {
        match byte.checked_sub(HEADER_BYTES) {
            None => Place::Header { byte },
            Some(behind) => Place::Record {
                record: behind / RECORD_BYTES,
                byte,
            },
        }
    }

    /// The first byte of `record`.
    pub(crate) fn of_record(record: u64) -> Place {
        Place::Record {
            record,
            byte: HEADER_BYTES + RECORD_BYTES * record,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Whole => Ok(()),
            Place::Header { byte } => write!(f, "header (byte {byte}): "),
            Place::Record { record, byte } => write!(f, "record {record} (byte {byte}): "),
            Place::Behind { byte } | Place::Byte { byte } => write!(f, "byte {byte}: "),
            Place::Line {
                line,
                record: Some(record),
            } => {
                write!(f, "record {record} (line {line}): ")
            }
            Place::Line { line, record: None } => write!(f, "line {line}: "),
        }
    }
}

/// Why a trace was not accepted: one line that says where and what.
///
/// Record numbers count from 0. Byte offsets are those of the raw form, also for a compressed trace and
/// for the records of a `.dst` file; faults of that form itself have the byte of the file. [`Trace::read`](crate::Trace::read) puts the file's name in front.
///
/// ```
/// # use drystone_trace::Trace;
/// let error = Trace::from_bytes(b"SATRACE1\x02\0\0\0").unwrap_err();
/// assert_eq!(error.to_string(), "header (byte 8): unknown version 2: this reader knows version 1");
/// ```
#[derive(Debug)]
pub struct TraceError {
    file: Option<PathBuf>,
    place: Place,
    fault: Fault,
}

impl TraceError {
    pub(crate) fn new(place: Place, fault: Fault) -> TraceError {
        TraceError {
            file: None,
            place,
            fault,
        }
    }

    pub(crate) fn in_file(self, file: &Path) -> TraceError {
        TraceError {
            file: Some(file.to_path_buf()),
            ..self
        }
    }

    pub(crate) fn at(self, place: Place) -> TraceError {
        TraceError { place, ..self }
    }

    /// Whether the input is wrong or could not be read.
    pub fn kind(&self) -> TraceErrorKind {
        self.fault.kind()
    }

    /// What is wrong.
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The file that [`Trace::read`](crate::Trace::read) was given.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The record, counted from 0, if the fault is in one.
    pub fn record(&self) -> Option<u64> {
        match self.place {
            Place::Record { record, .. } => Some(record),
            Place::Line { record, .. } => record,
            _ => None,
        }
    }

    /// The byte offset in the raw form, if the fault has one.
    pub fn byte(&self) -> Option<u64> {
        match self.place {
            Place::Header { byte }
            | Place::Byte { byte }
            | Place::Record { byte, .. }
            | Place::Behind { byte } => Some(byte),
            Place::Whole | Place::Line { .. } => None,
        }
    }

    /// The line of a dump, counted from 1, if the fault is in one.
    pub fn line(&self) -> Option<u64> {
        match self.place {
            Place::Line { line, .. } => Some(line),
            _ => None,
        }
    }
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        write!(f, "{}{}", self.place, self.fault)
    }
}

impl Error for TraceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.fault {
            Fault::Io(error) => Some(error),
            Fault::Compression(error) => Some(&**error),
            _ => None,
        }
    }
}
