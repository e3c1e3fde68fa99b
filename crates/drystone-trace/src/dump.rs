//! The text form of a trace: see [`Trace::write_dump`].

use core::str::SplitWhitespace;
use std::io::{self, BufWriter, Write};

use crate::error::{Fault, Place, TraceError};
use crate::record::{Op, Record};
use crate::trace::{Recording, Trace};

const TITLE: &str = "satrace-dump";
const VERSION: u64 = 1;

fn name(op: Op) -> &'static str {
    match op {
        Op::Allocate => "allocate",
        Op::AllocateZeroed => "allocate-zeroed",
        Op::Free => "free",
        Op::Reallocate => "reallocate",
    }
}

pub(crate) fn write(trace: &Trace, out: &mut impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    writeln!(out, "{TITLE} {VERSION}")?;
    writeln!(out, "threads {}", trace.threads())?;
    writeln!(out, "objects {}", trace.objects())?;
    writeln!(out, "records {}", trace.records().len())?;
    let times = trace.times_ns();
    if times.is_some() {
        writeln!(out, "timed 1")?;
        writeln!(out, "# thread operation object size align nanoseconds")?;
    } else {
        writeln!(out, "# thread operation object size align")?;
    }
    for (number, record) in trace.records().iter().enumerate() {
        let Record {
            object,
            thread,
            op,
            align_log2,
            size,
        } = *record;
        write!(out, "{thread} {} {object} {size}", name(op))?;
        if op != Op::Free {
            write!(out, " {}", 1_u64 << align_log2)?;
        }
        match times {
            Some(times) => writeln!(out, " {}", times[number])?,
            None => writeln!(out)?,
        }
    }
    out.flush()
}

pub(crate) fn parse(text: &str) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(text);
    lines.header(TITLE, "the title line \"satrace-dump 1\"", |version| {
        version == VERSION
    })?;
    let threads = lines.header("threads", "\"threads N\", N below 2^32", |n| n >> 32 == 0)? as u32;
    let objects = lines.header("objects", "\"objects N\"", |_| true)?;
    let announced = lines.header("records", "\"records N\"", |_| true)?;
    let mut times = lines.timed().then(Vec::new);
    let first = lines.clone();
    let mut records = Vec::new();
    while let Some(fields) = lines.next() {
        let record = parse_record(fields, times.as_mut()).map_err(|expected| {
            let place = Place::Line {
                line: lines.line,
                record: Some(records.len() as u64),
            };
            TraceError::new(place, Fault::DumpSyntax { expected })
        })?;
        records.push(record);
    }
    let found = records.len() as u64;
    if found != announced {
        let place = Place::Line {
            line: lines.line,
            record: None,
        };
        return Err(TraceError::new(
            place,
            Fault::DumpCount { announced, found },
        ));
    }
    let trace = Trace::from_records(threads, objects, records);
    let trace = trace.map_err(|error| first.locate(error))?;
    Ok(match times {
        Some(times) => trace.recorded(Some(times), Recording::WHOLE),
        None => trace,
    })
}

/// The record of a line; its time, where there are times, goes to the end of `times`.
fn parse_record(
    mut fields: SplitWhitespace<'_>,
    times: Option<&mut Vec<u64>>,
) -> Result<Record, &'static str> {
    let thread = number(&mut fields).ok_or("a thread index below 65536")?;
    let op = fields
        .next()
        .and_then(|word| Op::ALL.into_iter().find(|&op| name(op) == word));
    let op = op.ok_or("allocate, allocate-zeroed, free or reallocate")?;
    let object = number(&mut fields).ok_or("an object id below 2^32")?;
    let size = number(&mut fields).ok_or("a size in bytes")?;
    let align = match op {
        Op::Free => 1,
        _ => number(&mut fields)
            .filter(|n: &u64| n.is_power_of_two())
            .ok_or("a power of two")?,
    };
    if let Some(times) = times {
        let latest = times.last().copied().unwrap_or(0);
        let time = number(&mut fields).filter(|time| *time >= latest);
        times.push(time.ok_or("a time in nanoseconds, not before the one above")?);
    }
    if fields.next().is_some() {
        return Err("the end of the line");
    }
    Ok(Record {
        object,
        thread,
        op,
        align_log2: align.trailing_zeros() as u8,
        size,
    })
}

/// The next field, plain decimal digits, if it is a number that fits.
fn number<N: core::str::FromStr>(fields: &mut SplitWhitespace<'_>) -> Option<N> {
    let field = fields.next()?;
    if field.starts_with('+') {
        None
    } else {
        field.parse().ok()
    }
}

/// The lines that say something, with the number of the last one given.
#[derive(Clone)]
struct Lines<'a> {
    lines: core::str::Lines<'a>,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        Lines {
            lines: text.lines(),
            line: 0,
        }
    }

    fn header(
        &mut self,
        key: &str,
        expected: &'static str,
        accept: impl Fn(u64) -> bool,
    ) -> Result<u64, TraceError> {
        let value = self.next().and_then(|mut fields| {
            let value = (fields.next()? == key).then(|| number(&mut fields))??;
            (fields.next().is_none() && accept(value)).then_some(value)
        });
        value.ok_or_else(|| {
            let place = Place::Line {
                line: self.line.max(1),
                record: None,
            };
            TraceError::new(place, Fault::DumpSyntax { expected })
        })
    }

    /// Passes over a line that says that each record has a time, and says whether it was there.
    fn timed(&mut self) -> bool {
        let mut ahead = self.clone();
        let is_there = ahead.header("timed", "\"timed 1\"", |n| n == 1).is_ok();
        if is_there {
            *self = ahead;
        }
        is_there
    }

    /// Gives an error of the records its line. `self` stands before the first of them. An error of
    /// the counts goes to the last line of the header.
    fn locate(mut self, error: TraceError) -> TraceError {
        let record = error.record();
        if let Some(record) = record {
            self.nth(record as usize);
        }
        error.at(Place::Line {
            line: self.line,
            record,
        })
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = SplitWhitespace<'a>;

    fn next(&mut self) -> Option<SplitWhitespace<'a>> {
        loop {
            let line = self.lines.next()?;
            self.line += 1;
            let text = line.trim_start();
            if !text.is_empty() && !text.starts_with('#') {
                return Some(text.split_whitespace());
            }
        }
    }
}
