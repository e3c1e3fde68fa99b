//! A trace as a file that names objects.

use super::chunk::{ChunkHeader, Footer, Packing};
use super::header::{HEADER_BYTES_MAX, Header, Stage};
use super::operation::{Coder, Kind, OPERATION_BYTES_MAX, Operation, Output};
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
    fn new(thread: u16, first_order: u64, first_tick: u64, timed: bool) -> Self {
        Self {
            header: ChunkHeader {
                thread: thread.into(),
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

    fn push(&mut self, operation: &Operation) {
        let mut room = [0; OPERATION_BYTES_MAX];
        let mut out = Output::new(&mut room);
        self.coder.encode(operation, &mut out);
        let len = out.len();
        self.bytes.extend_from_slice(&room[..len]);
        self.header.operations += 1;
    }

    /// Appends the chunk, packed if that makes it shorter.
    fn close(mut self, file: &mut Vec<u8>) {
        let packed = lz4_flex::block::compress(&self.bytes);
        let is_shorter = packed.len() < self.bytes.len();
        self.header.length = self.bytes.len() as u32;
        let (packing, stored) = if is_shorter {
            (Packing::Lz4, packed)
        } else {
            (Packing::Plain, self.bytes)
        };
        self.header.packing = packing;
        self.header.stored = stored.len() as u32;
        let start = file.len();
        file.extend(self.header.to_bytes());
        file.extend(stored);
        let checksum = crc32fast::hash(&file[start..]);
        file.extend(checksum.to_le_bytes());
    }
}

/// The bytes of `trace`.
pub(crate) fn write(trace: &Trace) -> Vec<u8> {
    let times = trace.times_ns();
    let header = Header {
        stage: Stage::Ids,
        ticks_per_second: times.map(|_| 1_000_000_000),
    };
    let mut file = header
        .write("import", None, &mut [0; HEADER_BYTES_MAX])
        .to_vec();
    let mut open: Vec<Option<Open>> = (0..trace.threads()).map(|_| None).collect();
    let mut chunks = 0;
    for (order, record) in (0_u64..).zip(trace.records()) {
        let tick = times.map_or(0, |times| times[order as usize]);
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
        let place = &mut open[usize::from(record.thread)];
        let chunk =
            place.get_or_insert_with(|| Open::new(record.thread, order, tick, times.is_some()));
        chunk.push(&operation);
        if chunk.bytes.len() >= CHUNK_BYTES
            && let Some(full) = place.take()
        {
            full.close(&mut file);
            chunks += 1;
        }
    }
    for chunk in open.into_iter().flatten() {
        chunk.close(&mut file);
        chunks += 1;
    }
    let footer = Footer {
        chunks,
        operations: trace.records().len() as u64,
    };
    file.extend(footer.to_bytes());
    file
}
