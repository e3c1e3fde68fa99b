//! A validated trace, and its ways in and out.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::dst;
use crate::dump;
use crate::error::{Fault, Place, TraceError};
use crate::event::{Event, EventKind};
use crate::record::Record;
use crate::satrace::{self, Header, RECORD_BYTES};
use crate::validate::validate;
use crate::zstd_frames::{self, Frames};

/// The operations of one run of a program, in the order in which they happened.
///
/// Every value satisfies T1 to T7 of the [crate] docs. Two traces are equal when their counts,
/// records, times and events are.
#[derive(Clone, Debug)]
pub struct Trace {
    threads: u32,
    objects: u64,
    records: Vec<Record>,
    times_ns: Option<Vec<u64>>,
    events: Vec<Event>,
    recording: Recording,
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        let facts = |trace: &Self| (trace.threads, trace.objects);
        facts(self) == facts(other)
            && self.records == other.records
            && self.times_ns == other.times_ns
            && self.events == other.events
    }
}

impl Eq for Trace {}

/// How much of a run a trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Whether the trace goes on to where the recording ended. A file that was cut off, or that lost
    /// operations, is a trace up to there.
    pub complete: bool,
    /// Frees and reallocations of blocks that are older than the recording, and blocks whose end was
    /// not recorded. Such a free is not in the trace; such a reallocation is there as an allocation;
    /// such a block is freed when another one lies where it lay.
    pub unmatched: u64,
}

impl Recording {
    /// Of forms that say nothing of it.
    pub(crate) const WHOLE: Self = Self {
        complete: true,
        unmatched: 0,
    };
}

impl Trace {
    /// Reads the file at `path`, or standard input if `path` is `-`. Which form it has
    /// is told by its first bytes, not by its name.
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

    /// Reads a trace in any form that stands in memory whole.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::TraceErrorKind::Invalid) if `bytes` are not a trace, or
    /// [`Unreadable`](crate::TraceErrorKind::Unreadable) if the records do not fit in memory.
    pub fn from_bytes(bytes: &[u8]) -> Result<Trace, TraceError> {
        let mut source = bytes;
        read_stream(&mut source, bytes.len() as u64)
    }

    /// Reads a trace in any form from `source`, to its end.
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
            times_ns: None,
            events: Vec::new(),
            recording: Recording::WHOLE,
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

    /// The trace in the `.dst` form, times included.
    pub fn to_dst(&self) -> Vec<u8> {
        dst::write(self)
    }

    /// The trace with a time for each record, in nanoseconds since the start of the recording. `None`
    /// if there is not one for each, or they fall. An event has the time of the record before it.
    pub fn with_times_ns(mut self, times_ns: Vec<u64>) -> Option<Trace> {
        let fits = times_ns.len() == self.records.len() && times_ns.is_sorted();
        for event in &mut self.events {
            let before = (event.position as usize).checked_sub(1);
            event.time_ns = before.map_or(0, |at| times_ns.get(at).copied().unwrap_or(0));
        }
        fits.then_some(Trace {
            times_ns: Some(times_ns),
            ..self
        })
    }

    /// With what a `.dst` file says beside the records. The times and the events fit.
    pub(crate) fn recorded(
        self,
        times_ns: Option<Vec<u64>>,
        events: Vec<Event>,
        recording: Recording,
    ) -> Trace {
        debug_assert!(events.is_sorted_by_key(|event| event.position), "T7");
        Trace {
            times_ns,
            events,
            recording,
            ..self
        }
    }

    /// When each operation happened, in nanoseconds since the start of the recording; `None` if the form
    /// has no times.
    pub fn times_ns(&self) -> Option<&[u64]> {
        self.times_ns.as_deref()
    }

    /// What happened beside the operations, in its order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Operations that the recorder says it could not write.
    pub fn lost(&self) -> u64 {
        let lost = self.events.iter().map(|event| match event.kind {
            EventKind::Gap { lost } => lost,
            _ => 0,
        });
        lost.fold(0, u64::saturating_add)
    }

    /// How much of the run this is.
    pub fn recording(&self) -> Recording {
        self.recording
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
    /// Where the trace has times, a line `timed 1` follows the counts, and each operation ends with its
    /// time in nanoseconds. Where it has events, a line `events N` follows, and each stands on a line at its
    /// place: `0 thread-start`, `0 thread-exit`, `0 fork`, `0 mark =name`, `0 sample 4096 4096 0`, `0 gap 5`, with
    /// `-` for a thread without records. In names white space, `%` and control characters are written as `%` and
    /// two digits for each byte. Sizes and alignments are in bytes; the operations are `allocate`, `allocate-zeroed`, `free`
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

/// Reads a trace in any form. `source_bytes` is the length of `source`, 0 where it is unknown.
fn read_stream(source: &mut impl Read, source_bytes: u64) -> Result<Trace, TraceError> {
    let mut first = [0; 4];
    let got = satrace::fill(source, &mut first)
        .map_err(|error| TraceError::new(Place::Header { byte: 0 }, Fault::Io(error)))?;
    let first = &first[..got];
    let mut source = first.chain(source);
    if *first == dst::MAGIC[..4] {
        return dst::read(&mut source);
    }
    let contents = if zstd_frames::is_zstd(first) {
        let mut frames = Frames::new(source);
        let mut inside = [0; 4];
        let got = satrace::fill(&mut frames, &mut inside)
            .map_err(|error| TraceError::new(Place::of_byte(0), zstd_frames::fault_of(error)))?;
        let mut frames = inside[..got].chain(frames);
        if inside == dst::MAGIC[..4] {
            return dst::read(&mut frames);
        }
        satrace::read(&mut frames, 0)
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
        times_ns: None,
        events: Vec::new(),
        recording: Recording::WHOLE,
    })
}
