//! A trace as a file that names objects.

use super::PACKED_BYTES_MAX;
use super::chunk::{ChunkHeader, Packing};
use super::header::{HEADER_BYTES_MAX, Header, Stage};
use super::index::{ChunkEntry, End, index_header};
use super::operation::{Coder, Kind, OPERATION_BYTES_MAX, Operation, Output, What};
use crate::event::Event;
use crate::record::Op;
use crate::trace::Trace;

/// The operations of one chunk take about so many bytes.
const CHUNK_BYTES: usize = 1 << 16;

/// The chunk that a thread is filling.
struct Open {
    header: ChunkHeader,
    coder: Coder,
    bytes: Vec<u8>,
}

impl Open {
    fn new(thread: u32, first_order: u64, first_tick: u64, timed: bool) -> Self {
        Self {
            header: ChunkHeader {
                thread,
                operations: 0,
                length: 0,
                stored: 0,
                packing: Packing::Plain,
                first_order,
                first_tick,
            },
            coder: Coder::new(first_order, first_tick, timed),
            bytes: Vec::new(),
        }
    }

    /// Appends what `encode` puts into the room that it is given.
    fn push(&mut self, encode: impl FnOnce(&mut Coder, &mut Output<'_>)) {
        let mut room = [0; OPERATION_BYTES_MAX];
        let mut out = Output::new(&mut room);
        encode(&mut self.coder, &mut out);
        let len = out.len();
        self.bytes.extend_from_slice(&room[..len]);
        self.header.operations += 1;
    }
}

/// A file in the making.
struct File {
    bytes: Vec<u8>,
    entries: Vec<ChunkEntry>,
    /// The bytes of operations in packed chunks.
    packed_bytes: u64,
    /// For each thread of the trace, and one for those without records.
    open: Vec<Option<Open>>,
    timed: bool,
    /// Of the next operation.
    order: u64,
}

impl File {
    /// Appends an operation of a thread.
    fn push(
        &mut self,
        thread: Option<u16>,
        tick: u64,
        encode: impl FnOnce(u64, &mut Coder, &mut Output<'_>),
    ) {
        let place = thread.map_or(self.open.len() - 1, usize::from);
        let number = thread.map_or(NOBODY, u32::from);
        let order = self.order;
        self.order += 1;
        let timed = self.timed;
        let chunk = self.open[place].get_or_insert_with(|| Open::new(number, order, tick, timed));
        chunk.push(|coder, out| encode(order, coder, out));
        if chunk.bytes.len() >= CHUNK_BYTES
            && let Some(full) = self.open[place].take()
        {
            self.close(full);
        }
    }

    /// Appends the chunk, packed if that makes it shorter.
    fn close(&mut self, mut chunk: Open) {
        chunk.header.length = chunk.bytes.len() as u32;
        let packed_bytes = self.packed_bytes + chunk.bytes.len() as u64;
        let packed = lz4_flex::block::compress(&chunk.bytes);
        let (packing, stored) =
            if packed.len() < chunk.bytes.len() && packed_bytes <= PACKED_BYTES_MAX {
                self.packed_bytes = packed_bytes;
                (Packing::Lz4, packed)
            } else {
                (Packing::Plain, chunk.bytes)
            };
        chunk.header.packing = packing;
        chunk.header.stored = stored.len() as u32;
        let start = self.bytes.len();
        self.entries
            .push(ChunkEntry::of(start as u64, &chunk.header));
        self.bytes.extend(chunk.header.to_bytes());
        self.bytes.extend(stored);
        self.seal(start);
    }

    /// Appends the checksum of what stands from `start` on.
    fn seal(&mut self, start: usize) {
        let checksum = crc32fast::hash(&self.bytes[start..]);
        self.bytes.extend(checksum.to_le_bytes());
    }

    /// The bytes of the file, with its end.
    fn finish(mut self) -> Vec<u8> {
        for chunk in core::mem::take(&mut self.open).into_iter().flatten() {
            self.close(chunk);
        }
        let start = self.bytes.len();
        let chunks = self.entries.len() as u64;
        self.bytes.extend(index_header(chunks));
        for entry in &self.entries {
            self.bytes.extend(entry.to_bytes());
        }
        self.seal(start);
        let end = End {
            index_byte: start as u64,
            chunks,
            operations: self.order,
        };
        self.bytes.extend(end.to_bytes());
        self.bytes
    }
}

/// The number of threads without records.
const NOBODY: u32 = u32::MAX;

/// The bytes of `trace`.
pub(crate) fn write(trace: &Trace) -> Vec<u8> {
    let times = trace.times_ns();
    let header = Header {
        stage: Stage::Ids,
        ticks_per_second: times.map(|_| 1_000_000_000),
    };
    let header = header
        .write("import", None, &mut [0; HEADER_BYTES_MAX])
        .to_vec();
    let mut file = File {
        bytes: header,
        entries: Vec::new(),
        packed_bytes: 0,
        open: (0..=trace.threads()).map(|_| None).collect(),
        timed: times.is_some(),
        order: 0,
    };
    let mut events = trace.events().iter().peekable();
    for (number, record) in (0_u64..).zip(trace.records()) {
        while let Some(event) = events.next_if(|event| event.position <= number) {
            push_event(&mut file, event);
        }
        let tick = times.map_or(0, |times| times[number as usize]);
        file.push(Some(record.thread), tick, |order, coder, out| {
            let operation = Operation {
                order,
                tick,
                name: record.object.into(),
                size: record.size,
                kind: match record.op {
                    Op::Allocate => Kind::Allocate,
                    Op::AllocateZeroed => Kind::AllocateZeroed,
                    Op::Free => Kind::Free,
                    Op::Reallocate => Kind::Reallocate,
                },
                align_log2: record.align_log2,
            };
            coder.encode(&operation, out);
        });
    }
    events.for_each(|event| push_event(&mut file, event));
    file.finish()
}

fn push_event(file: &mut File, event: &Event) {
    let tick = if file.timed { event.time_ns } else { 0 };
    file.push(event.thread, tick, |order, coder, out| {
        coder.encode_event(order, tick, What::from(&event.kind), out);
    });
}

#[cfg(test)]
mod tests {
    use super::super::read::read_within;
    use crate::error::Fault;
    use crate::synth::Scenario;

    #[test]
    fn packed_chunks_that_hold_too_much_are_refused_with_figures() {
        let records = if cfg!(miri) { 4_000 } else { 40_000 };
        let trace = Scenario::LarsonLike.generate(1, records);
        let file = trace.to_dst();
        let all = read_within(&mut &file[..], 1 << 20).expect("as much as there is");
        assert_eq!(all, trace);
        let error = read_within(&mut &file[..], 5_000).expect_err("more than is let");
        let Fault::ExpandsTooFar {
            chunk,
            bytes,
            bytes_max,
        } = *error.fault()
        else {
            panic!("{error}");
        };
        assert_eq!((chunk, bytes_max), (0, 5_000));
        assert!(bytes > 5_000);
        let text = error.to_string();
        assert!(text.contains("chunk 0") && text.contains("5000"), "{text}");
    }
}
