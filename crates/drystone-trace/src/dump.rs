//! The text form of a trace: see [`Trace::write_dump`].

use core::str::SplitWhitespace;
use std::io::{self, BufWriter, Write};

use crate::error::{Fault, Place, TraceError};
use crate::event::{Event, EventKind, Sample, mark_name};
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
    }
    if !trace.events().is_empty() {
        writeln!(out, "events {}", trace.events().len())?;
    }
    if times.is_some() {
        writeln!(out, "# thread operation object size align nanoseconds")?;
    } else {
        writeln!(out, "# thread operation object size align")?;
    }
    let mut events = trace.events().iter().peekable();
    for (number, record) in trace.records().iter().enumerate() {
        while let Some(event) = events.next_if(|event| event.position <= number as u64) {
            write_event(event, times.is_some(), &mut out)?;
        }
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
    for event in events {
        write_event(event, times.is_some(), &mut out)?;
    }
    out.flush()
}

fn write_event(event: &Event, timed: bool, out: &mut impl Write) -> io::Result<()> {
    match event.thread {
        Some(thread) => write!(out, "{thread} ")?,
        None => write!(out, "- ")?,
    }
    match &event.kind {
        EventKind::ThreadStart => write!(out, "thread-start")?,
        EventKind::ThreadExit => write!(out, "thread-exit")?,
        EventKind::Fork => write!(out, "fork")?,
        EventKind::Mark(name) => write!(out, "mark ={}", escaped(name))?,
        EventKind::Sample(sample) => write!(
            out,
            "sample {} {} {}",
            sample.rss_bytes, sample.pss_bytes, sample.lazy_free_bytes
        )?,
        EventKind::Gap { lost } => write!(out, "gap {lost}")?,
    }
    if timed {
        write!(out, " {}", event.time_ns)?;
    }
    writeln!(out)
}

/// A name as one field.
fn escaped(name: &str) -> String {
    let mut field = String::new();
    for character in name.chars() {
        if character == '%' || character.is_whitespace() || character.is_control() {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                field += &format!("%{byte:02x}");
            }
        } else {
            field.push(character);
        }
    }
    field
}

/// The name that a field stands for; `None` if there is none.
fn unescaped(field: &str) -> Option<String> {
    let mut parts = field.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)?);
        bytes.extend(rest.bytes());
    }
    let name = String::from_utf8(bytes).ok()?;
    (mark_name(&name) == name).then_some(name)
}

pub(crate) fn parse(text: &str) -> Result<Trace, TraceError> {
    let mut lines = Lines::new(text);
    lines.header(TITLE, "the title line \"satrace-dump 1\"", |version| {
        version == VERSION
    })?;
    let threads = lines.header("threads", "\"threads N\", N below 2^32", |n| n >> 32 == 0)? as u32;
    let objects = lines.header("objects", "\"objects N\"", |_| true)?;
    let announced = lines.header("records", "\"records N\"", |_| true)?;
    let timed = lines.optional("timed", |n| n == 1).is_some();
    let announced_events = lines.optional("events", |n| n > 0).unwrap_or(0);
    let mut times = timed.then(Vec::new);
    let first = lines.clone();
    let mut records = Vec::new();
    let mut events = Vec::new();
    let mut latest_ns = 0;
    while let Some(fields) = lines.next() {
        let parsed = if is_event(fields.clone()) {
            let position = records.len() as u64;
            parse_event(fields, position, timed).and_then(|event: Event| {
                latest_ns = later(latest_ns, timed.then_some(event.time_ns))?;
                if event
                    .thread
                    .is_some_and(|number| u32::from(number) >= threads)
                {
                    return Err("the index of a thread that has records, or -");
                }
                events.push(event);
                Ok(())
            })
        } else {
            parse_record(fields, timed).and_then(|(record, time)| {
                latest_ns = later(latest_ns, time)?;
                times
                    .as_mut()
                    .into_iter()
                    .for_each(|times| times.push(latest_ns));
                records.push(record);
                Ok(())
            })
        };
        parsed.map_err(|expected| {
            let place = Place::Line {
                line: lines.line,
                record: Some(records.len() as u64),
            };
            TraceError::new(place, Fault::DumpSyntax { expected })
        })?;
    }
    lines.counted(announced_events, events.len() as u64)?;
    lines.counted(announced, records.len() as u64)?;
    let trace = Trace::from_records(threads, objects, records);
    let trace = trace.map_err(|error| first.locate(error))?;
    Ok(trace.recorded(times, events, Recording::WHOLE))
}

/// The time of a line, which is not before the one above.
fn later(latest_ns: u64, time: Option<u64>) -> Result<u64, &'static str> {
    match time {
        None => Ok(latest_ns),
        Some(time) if time >= latest_ns => Ok(time),
        Some(_) => Err(TIME),
    }
}

const TIME: &str = "a time in nanoseconds, not before the one above";

/// The time at the end of a line, and nothing behind it.
fn parse_end(mut fields: SplitWhitespace<'_>, timed: bool) -> Result<Option<u64>, &'static str> {
    let time = match timed {
        true => Some(number(&mut fields).ok_or(TIME)?),
        false => None,
    };
    match fields.next() {
        Some(_) => Err("the end of the line"),
        None => Ok(time),
    }
}

const EVENTS: [&str; 6] = [
    "thread-start",
    "thread-exit",
    "mark",
    "sample",
    "fork",
    "gap",
];

fn is_event(mut fields: SplitWhitespace<'_>) -> bool {
    fields.nth(1).is_some_and(|word| EVENTS.contains(&word))
}

/// The event of a line.
fn parse_event(
    mut fields: SplitWhitespace<'_>,
    position: u64,
    timed: bool,
) -> Result<Event, &'static str> {
    let mut ahead = fields.clone();
    let thread = if ahead.next() == Some("-") {
        fields = ahead;
        None
    } else {
        Some(number(&mut fields).ok_or("a thread index below 65536, or -")?)
    };
    let kind = match fields.next() {
        Some("thread-start") => EventKind::ThreadStart,
        Some("thread-exit") => EventKind::ThreadExit,
        Some("fork") => EventKind::Fork,
        Some("mark") => {
            let name = fields.next().and_then(|field| field.strip_prefix('='));
            let name = name.and_then(unescaped);
            EventKind::Mark(name.ok_or("= and the name of a mark, of at most 200 bytes")?)
        }
        Some("sample") => {
            let mut bytes = || number(&mut fields).ok_or("three numbers of bytes");
            EventKind::Sample(Sample {
                rss_bytes: bytes()?,
                pss_bytes: bytes()?,
                lazy_free_bytes: bytes()?,
            })
        }
        Some("gap") => EventKind::Gap {
            lost: number(&mut fields).ok_or("a number of operations")?,
        },
        _ => return Err("an event"),
    };
    let time_ns = parse_end(fields, timed)?.unwrap_or(0);
    Ok(Event {
        position,
        thread,
        time_ns,
        kind,
    })
}

/// The record of a line, and its time, where there are times.
fn parse_record(
    mut fields: SplitWhitespace<'_>,
    timed: bool,
) -> Result<(Record, Option<u64>), &'static str> {
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
    let time = parse_end(fields, timed)?;
    let record = Record {
        object,
        thread,
        op,
        align_log2: align.trailing_zeros() as u8,
        size,
    };
    Ok((record, time))
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

    /// Passes over a line of the header that may be there, and gives its number.
    fn optional(&mut self, key: &str, accept: impl Fn(u64) -> bool) -> Option<u64> {
        let mut ahead = self.clone();
        let value = ahead.header(key, "", accept).ok()?;
        *self = ahead;
        Some(value)
    }

    /// At the end: whether there were as many lines as announced.
    fn counted(&self, announced: u64, found: u64) -> Result<(), TraceError> {
        let place = Place::Line {
            line: self.line,
            record: None,
        };
        if announced == found {
            return Ok(());
        }
        Err(TraceError::new(
            place,
            Fault::DumpCount { announced, found },
        ))
    }

    /// Gives an error of the records its line. `self` stands before the first of them. An error of
    /// the counts goes to the last line of the header.
    fn locate(mut self, error: TraceError) -> TraceError {
        let record = error.record();
        if let Some(record) = record {
            let mut left = record + 1;
            while left > 0
                && let Some(fields) = self.next()
            {
                left -= u64::from(!is_event(fields));
            }
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
