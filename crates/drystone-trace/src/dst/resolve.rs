//! Operations of a file as the records of a trace: in their order, without what is behind a gap, and
//! with objects for addresses.

use std::collections::HashMap;

use super::header::Stage;
use super::operation::{Kind, Operation};
use super::read::Contents;
use crate::error::{Fault, Place, TraceError};
use crate::record::{Op, Record};
use crate::trace::{Recording, Trace};

const NANOSECONDS: u128 = 1_000_000_000;

/// The operations of `contents` in their order, up to the first number that is missing.
fn in_order(contents: &mut Contents) -> Result<(), TraceError> {
    let operations = &mut contents.operations;
    operations.sort_unstable_by_key(|(_, operation)| operation.order);
    let mut expected = 0_u64;
    for (_, operation) in operations.iter() {
        if operation.order < expected {
            return Err(fault(expected, "two operations have one order number"));
        }
        if operation.order > expected {
            break;
        }
        expected += 1;
    }
    contents.complete &= expected == operations.len() as u64;
    operations.truncate(expected as usize);
    Ok(())
}

fn fault(record: u64, what: &'static str) -> TraceError {
    TraceError::new(Place::of_record(record), Fault::DamagedRecording { what })
}

/// Records and times as they are made.
struct Records {
    records: Vec<Record>,
    times_ns: Option<Vec<u64>>,
    ticks_per_second: u64,
    /// The tick that is time 0: a recorder's clock starts before its recording does.
    origin: u64,
    latest_ns: u64,
}

impl Records {
    fn new(contents: &Contents) -> Self {
        Self {
            records: Vec::with_capacity(contents.operations.len()),
            times_ns: contents.header.ticks_per_second.map(|_| Vec::new()),
            ticks_per_second: contents.header.ticks_per_second.unwrap_or(1),
            origin: match (contents.header.stage, contents.operations.first()) {
                (Stage::Addresses, Some((_, first))) => first.tick,
                _ => 0,
            },
            latest_ns: 0,
        }
    }

    /// Two threads may read the clock in another order than they take their numbers; the trace's
    /// times do not fall.
    fn push(&mut self, record: Record, tick: u64) {
        self.records.push(record);
        let since = tick.saturating_sub(self.origin);
        let ns = u128::from(since) * NANOSECONDS / u128::from(self.ticks_per_second);
        self.latest_ns = self.latest_ns.max(u64::try_from(ns).unwrap_or(u64::MAX));
        if let Some(times) = &mut self.times_ns {
            times.push(self.latest_ns);
        }
    }

    fn finish(self, recording: Recording) -> Result<Trace, TraceError> {
        let count =
            |of: fn(&Record) -> u64| self.records.iter().map(of).max().map_or(0, |max| max + 1);
        let threads = count(|record| u64::from(record.thread)) as u32;
        let objects = count(|record| u64::from(record.object));
        let trace = Trace::from_records(threads, objects, self.records)?;
        Ok(trace.recorded(self.times_ns, recording))
    }
}

/// The trace of a file that names objects.
pub(super) fn ids(mut contents: Contents) -> Result<Trace, TraceError> {
    in_order(&mut contents)?;
    let mut records = Records::new(&contents);
    for (number, (thread, operation)) in (0..).zip(&contents.operations) {
        let op = match operation.kind {
            Kind::Allocate => Op::Allocate,
            Kind::AllocateZeroed => Op::AllocateZeroed,
            Kind::Free => Op::Free,
            Kind::Reallocate => Op::Reallocate,
            Kind::ResizeBegin | Kind::ResizeEnd | Kind::ResizeFailed => {
                return Err(fault(number, "half a resize in a trace that names objects"));
            }
        };
        let record = Record {
            object: u32::try_from(operation.name)
                .map_err(|_| fault(number, "an object number of more than 32 bits"))?,
            thread: u16::try_from(*thread)
                .map_err(|_| fault(number, "a thread number of more than 16 bits"))?,
            op,
            align_log2: operation.align_log2,
            size: operation.size,
        };
        records.push(record, operation.tick);
    }
    records.finish(Recording {
        complete: contents.complete,
        unmatched: 0,
    })
}

/// A live block: its object, and the size that it was asked for with.
type Live = (u32, u64);

/// What lies where, while the operations are walked.
#[derive(Default)]
struct Heap {
    live: HashMap<u64, Live>,
    /// The resize that each thread has begun: where the block was, and what it was.
    resizing: HashMap<u32, (u64, Option<Live>)>,
    threads: HashMap<u32, u16>,
    objects: u32,
    unmatched: u64,
}

/// The trace of a file that names addresses.
pub(super) fn addresses(mut contents: Contents) -> Result<Trace, TraceError> {
    in_order(&mut contents)?;
    let mut records = Records::new(&contents);
    let mut heap = Heap::default();
    for (number, (thread, operation)) in (0..).zip(&contents.operations) {
        let made = heap.step(*thread, operation);
        let made = made.map_err(|what| fault(number, what))?;
        if let Some(record) = made {
            records.push(record, operation.tick);
        }
    }
    records.finish(Recording {
        complete: contents.complete,
        unmatched: heap.unmatched,
    })
}

impl Heap {
    /// The record that `operation` is, if it is one by itself.
    fn step(&mut self, thread: u32, operation: &Operation) -> Result<Option<Record>, &'static str> {
        let &Operation {
            name: address,
            size,
            kind,
            align_log2,
            ..
        } = operation;
        let (op, object) = match kind {
            Kind::Allocate => (Op::Allocate, self.place_new(address, size)?),
            Kind::AllocateZeroed => (Op::AllocateZeroed, self.place_new(address, size)?),
            Kind::Free => {
                let Some((object, size)) = self.live.remove(&address) else {
                    self.unmatched += 1;
                    return Ok(None);
                };
                return self.record(thread, Op::Free, object, size, 0).map(Some);
            }
            Kind::ResizeBegin => {
                let block = self.live.remove(&address);
                if self.resizing.insert(thread, (address, block)).is_some() {
                    return Err("a thread begins a resize inside another");
                }
                return Ok(None);
            }
            Kind::ResizeFailed => {
                if let (old, Some(block)) = self.end_resize(thread)? {
                    self.place(old, block)?;
                }
                return Ok(None);
            }
            Kind::ResizeEnd => match self.end_resize(thread)? {
                (_, Some((object, _))) => {
                    self.place(address, (object, size))?;
                    (Op::Reallocate, object)
                }
                // The block is older than the recording.
                (_, None) => {
                    self.unmatched += 1;
                    (Op::Allocate, self.place_new(address, size)?)
                }
            },
            Kind::Reallocate => return Err("a whole resize in a trace that names addresses"),
        };
        self.record(thread, op, object, size, align_log2).map(Some)
    }

    fn end_resize(&mut self, thread: u32) -> Result<(u64, Option<Live>), &'static str> {
        self.resizing
            .remove(&thread)
            .ok_or("a resize ends that did not begin")
    }

    fn place_new(&mut self, address: u64, size: u64) -> Result<u32, &'static str> {
        let object = self.objects;
        self.objects = object.checked_add(1).ok_or("more than 2^32 - 1 objects")?;
        self.place(address, (object, size))?;
        Ok(object)
    }

    fn place(&mut self, address: u64, block: Live) -> Result<(), &'static str> {
        match self.live.insert(address, block) {
            None => Ok(()),
            Some(_) => Err("a block lies where another one is live"),
        }
    }

    /// Threads are numbered by their first record.
    fn record(
        &mut self,
        thread: u32,
        op: Op,
        object: u32,
        size: u64,
        align_log2: u8,
    ) -> Result<Record, &'static str> {
        let next = self.threads.len();
        let thread = match self.threads.get(&thread) {
            Some(number) => *number,
            None => {
                let number = u16::try_from(next).map_err(|_| "more than 65536 threads")?;
                self.threads.insert(thread, number);
                number
            }
        };
        Ok(Record {
            object,
            thread,
            op,
            align_log2,
            size,
        })
    }
}
