//! Operations of a file as the records of a trace: in their order, without what is behind a gap, and
//! with objects for addresses.

use std::collections::{BTreeMap, HashMap};

use super::header::Stage;
use super::operation::{Kind, Operation};
use super::read::Contents;
use crate::error::{Fault, Place, TraceError};
use crate::event::{Event, EventKind};
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
    /// With the threads as the file numbers them.
    events: Vec<(u32, Event)>,
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
            events: Vec::new(),
        }
    }

    /// Two threads may read the clock in another order than they take their numbers; the trace's
    /// times do not fall.
    fn push(&mut self, record: Record, tick: u64) {
        self.records.push(record);
        self.pass(tick);
        if let Some(times) = &mut self.times_ns {
            times.push(self.latest_ns);
        }
    }

    fn push_event(&mut self, thread: u32, kind: EventKind, tick: u64) {
        self.pass(tick);
        let event = Event {
            position: self.records.len() as u64,
            thread: None,
            time_ns: self.times_ns.as_ref().map_or(0, |_| self.latest_ns),
            kind,
        };
        self.events.push((thread, event));
    }

    /// Goes on to `tick`.
    fn pass(&mut self, tick: u64) {
        let since = tick.saturating_sub(self.origin);
        let ns = u128::from(since) * NANOSECONDS / u128::from(self.ticks_per_second);
        self.latest_ns = self.latest_ns.max(u64::try_from(ns).unwrap_or(u64::MAX));
    }

    /// `thread` gives the number of a thread of the file, if it has records.
    fn finish(
        self,
        recording: Recording,
        thread: impl Fn(u32) -> Option<u16>,
    ) -> Result<Trace, TraceError> {
        let count =
            |of: fn(&Record) -> u64| self.records.iter().map(of).max().map_or(0, |max| max + 1);
        let threads = count(|record| u64::from(record.thread)) as u32;
        let objects = count(|record| u64::from(record.object));
        let trace = Trace::from_records(threads, objects, self.records)?;
        let events = self.events.into_iter().map(|(number, event)| Event {
            thread: thread(number).filter(|number| u32::from(*number) < threads),
            ..event
        });
        Ok(trace.recorded(self.times_ns, events.collect(), recording))
    }
}

/// The trace of a file that names objects.
pub(super) fn ids(mut contents: Contents) -> Result<Trace, TraceError> {
    in_order(&mut contents)?;
    let mut records = Records::new(&contents);
    for (number, (thread, operation)) in (0..).zip(&contents.operations) {
        let op = match operation.kind {
            Kind::Event => {
                let event = event(&mut contents.events, operation);
                records.push_event(*thread, event, operation.tick);
                continue;
            }
            Kind::Allocate => Op::Allocate,
            Kind::AllocateZeroed => Op::AllocateZeroed,
            Kind::Free => Op::Free,
            Kind::Reallocate => Op::Reallocate,
            Kind::ResizeBegin | Kind::ResizeEnd | Kind::ResizeFailed => {
                return Err(fault(number, "half a resize in a trace that names objects"));
            }
            Kind::Ended => {
                return Err(fault(
                    number,
                    "a range of addresses in a trace that names objects",
                ));
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
    let recording = Recording {
        complete: contents.complete,
        unmatched: 0,
    };
    records.finish(recording, |thread| u16::try_from(thread).ok())
}

/// The event that an operation names, each once.
fn event(events: &mut [EventKind], operation: &Operation) -> EventKind {
    core::mem::replace(&mut events[operation.name as usize], EventKind::Fork)
}

/// A live block: its object, and the size that it was asked for with.
type Live = (u32, u64);

/// What lies where, while the operations are walked.
#[derive(Default)]
struct Heap {
    live: BTreeMap<u64, Live>,
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
        if operation.kind == Kind::Event {
            let event = event(&mut contents.events, operation);
            records.push_event(*thread, event, operation.tick);
            continue;
        }
        let mut made = |record| records.push(record, operation.tick);
        let step = heap.step(*thread, operation, &mut made);
        step.map_err(|what| fault(number, what))?;
    }
    let recording = Recording {
        complete: contents.complete,
        unmatched: heap.unmatched,
    };
    records.finish(recording, |thread| heap.threads.get(&thread).copied())
}

impl Heap {
    /// Gives the records that `operation` makes: the end of a block that lay where it puts one, and its own.
    fn step(
        &mut self,
        thread: u32,
        operation: &Operation,
        made: &mut impl FnMut(Record),
    ) -> Result<(), &'static str> {
        let &Operation {
            name: address,
            size,
            kind,
            align_log2,
            ..
        } = operation;
        let resized = match kind {
            Kind::Allocate | Kind::AllocateZeroed => None,
            Kind::Free => {
                let Some((object, size)) = self.live.remove(&address) else {
                    self.unmatched += 1;
                    return Ok(());
                };
                made(self.record(thread, Op::Free, object, size, 0)?);
                return Ok(());
            }
            Kind::Ended => return self.end(thread, address, size, made),
            Kind::ResizeBegin => {
                let block = self.live.remove(&address);
                if self.resizing.insert(thread, (address, block)).is_some() {
                    return Err("a thread begins a resize inside another");
                }
                return Ok(());
            }
            Kind::ResizeFailed => {
                match self.resizing.remove(&thread) {
                    Some((old, Some(block))) => self.place(thread, old, block, made)?,
                    Some((_, None)) => {}
                    // It began before the recording.
                    None => self.unmatched += 1,
                }
                return Ok(());
            }
            Kind::ResizeEnd => {
                // Without a block, it or the beginning of its resize is older than the recording.
                let block = self.resizing.remove(&thread).and_then(|(_, block)| block);
                self.unmatched += u64::from(block.is_none());
                block
            }
            Kind::Reallocate => return Err("a whole resize in a trace that names addresses"),
            // Taken by the caller.
            Kind::Event => return Ok(()),
        };
        let (op, object) = match (resized, kind) {
            (Some((object, _)), _) => (Op::Reallocate, object),
            (None, Kind::AllocateZeroed) => (Op::AllocateZeroed, self.new_object()?),
            (None, _) => (Op::Allocate, self.new_object()?),
        };
        self.place(thread, address, (object, size), made)?;
        made(self.record(thread, op, object, size, align_log2)?);
        Ok(())
    }

    /// Ends the blocks that start in `bytes` bytes from `address`, in the order of their addresses.
    fn end(
        &mut self,
        thread: u32,
        address: u64,
        bytes: u64,
        made: &mut impl FnMut(Record),
    ) -> Result<(), &'static str> {
        let end = address
            .checked_add(bytes)
            .ok_or("a range beyond the address space")?;
        while let Some((&start, &(object, size))) = self.live.range(address..end).next() {
            self.live.remove(&start);
            made(self.record(thread, Op::Free, object, size, 0)?);
        }
        Ok(())
    }

    fn new_object(&mut self) -> Result<u32, &'static str> {
        let object = self.objects;
        self.objects = object.checked_add(1).ok_or("more than 2^32 - 1 objects")?;
        Ok(object)
    }

    /// Puts `block` at `address`, and gives the end of what was live there. That is no damage: blocks end
    /// without a free when their allocator is dropped, and of two nested allocators that are both
    /// recorded, a block of the inner one starts where the outer one's first block does.
    fn place(
        &mut self,
        thread: u32,
        address: u64,
        block: Live,
        made: &mut impl FnMut(Record),
    ) -> Result<(), &'static str> {
        if let Some((object, size)) = self.live.insert(address, block) {
            self.unmatched += 1;
            made(self.record(thread, Op::Free, object, size, 0)?);
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::super::header::Header;
    use super::*;

    /// The trace of operations at addresses: thread, kind, address, size.
    fn resolved(rows: &[(u32, Kind, u64, u64)]) -> Trace {
        let operations = (0..).zip(rows).map(|(order, &(thread, kind, name, size))| {
            let operation = Operation {
                order,
                tick: order,
                name,
                size,
                kind,
                align_log2: 3,
            };
            (thread, operation)
        });
        let contents = Contents {
            header: Header {
                stage: Stage::Addresses,
                ticks_per_second: Some(NANOSECONDS as u64),
            },
            operations: operations.collect(),
            events: Vec::new(),
            complete: true,
        };
        addresses(contents).expect("a valid recording")
    }

    fn rows(trace: &Trace) -> Vec<(Op, u32, u64)> {
        let rows = trace.records().iter();
        rows.map(|record| (record.op, record.object, record.size))
            .collect()
    }

    #[test]
    fn a_block_where_another_is_live_ends_that_one() {
        let trace = resolved(&[
            (1, Kind::Allocate, 0x1000, 4096),
            (1, Kind::AllocateZeroed, 0x1000, 64),
            (1, Kind::Free, 0x1000, 64),
            (1, Kind::Free, 0x1000, 4096),
        ]);
        let expected = [
            (Op::Allocate, 0, 4096),
            (Op::Free, 0, 4096),
            (Op::AllocateZeroed, 1, 64),
            (Op::Free, 1, 64),
        ];
        assert_eq!(rows(&trace), expected);
        assert_eq!(trace.times_ns(), Some(&[0, 1, 1, 2][..]));
        assert_eq!(trace.recording().unmatched, 2);
    }

    #[test]
    fn a_resize_to_where_another_block_is_live_ends_that_one() {
        let trace = resolved(&[
            (1, Kind::Allocate, 0x1000, 8),
            (1, Kind::Allocate, 0x2000, 16),
            (1, Kind::ResizeBegin, 0x1000, 0),
            (2, Kind::Allocate, 0x1000, 24),
            (1, Kind::ResizeEnd, 0x2000, 32),
            (2, Kind::ResizeBegin, 0x1000, 0),
            (1, Kind::Allocate, 0x1000, 40),
            (2, Kind::ResizeFailed, 0x1000, 0),
        ]);
        let expected = [
            (Op::Allocate, 0, 8),
            (Op::Allocate, 1, 16),
            (Op::Allocate, 2, 24),
            (Op::Free, 1, 16),
            (Op::Reallocate, 0, 32),
            (Op::Allocate, 3, 40),
            (Op::Free, 3, 40),
        ];
        assert_eq!(rows(&trace), expected);
        assert_eq!(trace.recording().unmatched, 2);
    }

    #[test]
    fn a_range_that_ends_takes_the_blocks_that_start_in_it() {
        let trace = resolved(&[
            (1, Kind::Allocate, 0x1000, 8),
            (1, Kind::Allocate, 0x1ff8, 16),
            (2, Kind::Allocate, 0x2000, 24),
            (1, Kind::Allocate, 0x0ff0, 32),
            (2, Kind::Ended, 0x1000, 0x1000),
            (1, Kind::Allocate, 0x1000, 40),
            (1, Kind::Free, 0x2000, 24),
        ]);
        let expected = [
            (Op::Allocate, 0, 8),
            (Op::Allocate, 1, 16),
            (Op::Allocate, 2, 24),
            (Op::Allocate, 3, 32),
            (Op::Free, 0, 8),
            (Op::Free, 1, 16),
            (Op::Allocate, 4, 40),
            (Op::Free, 2, 24),
        ];
        assert_eq!(rows(&trace), expected);
        assert_eq!(trace.recording().unmatched, 0);
    }

    #[test]
    fn the_end_of_a_resize_without_its_beginning_is_unmatched() {
        let trace = resolved(&[
            (1, Kind::ResizeFailed, 0x1000, 0),
            (1, Kind::ResizeEnd, 0x2000, 32),
            (1, Kind::Free, 0x2000, 32),
        ]);
        assert_eq!(rows(&trace), [(Op::Allocate, 0, 32), (Op::Free, 0, 32)]);
        assert_eq!(trace.recording().unmatched, 2);
    }
}
