//! The `.dst` form: what `Recorder` writes, and what carries times.
//!
//! # What
//!
//! Operations in chunks of one thread each, as a program leaves them behind, chunk by chunk. A file
//! that a crash cut off is a trace up to there.
//!
//! # Memory picture
//!
//! Little-endian. A number is LEB128, a signed one in zigzag.
//!
//! ```text
//! header    | DRYTRACE | version | length | JSON      | CRC-32 |
//!           | 8 bytes  | u32 = 1 |  u32   | as long   |  u32   |
//!
//! chunk     | CHNK | packing | thread | operations | length | stored | first order | first tick |
//!           | 4 B  |   u32   |  u32   |    u32     |  u32   |  u32   |     u64     |    u64     |
//!           | operations | CRC-32 |
//!           | as stored  |  u32   |
//!
//! index     | INDX | chunks | byte | thread | operations | first order | first tick | .. | CRC-32 |
//!           | 4 B  |  u64   | u64  |  u32   |    u32     |     u64     |    u64     |    |  u32   |
//!                           '-- 32 bytes a chunk, in the order of the file --'
//! end       | DFIN | byte of the index | chunks | operations | CRC-32 |
//!           | 4 B  |        u64        |  u64   |    u64     |  u32   |
//!
//! operation | kind, alignment | order - last | tick - last | name - last | size   |
//!           | u8              | number       | number      | signed      | number |
//!                               where timed ──^  not on a begin of a resize ──^
//! ```
//!
//! With packing 0 the operations stand as they are, and take as many bytes as their length; with 1 they
//! are one LZ4 block of so many bytes as are stored. What a recorder writes is never packed. With 2 the
//! chunk was never closed, because its program was killed: the first bytes, as many as its length says, are whole
//! operations, the rest of what is stored is room for more, the number of operations is 0, and there is no checksum.
//!
//! Zero bytes may stand between two parts: room that nobody used. A file ends with its last 32 bytes, which
//! name the index; so a reader can go to any chunk without the ones before. Older files end with
//! `DEND | chunks | operations | CRC-32` and have no index; they are read as well.
//!
//! A checksum covers everything from the magic of its part on. In the byte of an operation the low
//! three bits are the kind, the others the binary logarithm of the alignment, 31 for one that does
//! not fit and follows as a byte. In the first operation of a chunk *last* is the chunk's first order
//! and tick, and name 0.
//!
//! What an operation names depends on the header's `stage`: `ids` names objects, as `.satrace` does;
//! `addresses` names blocks by where they lie, which is what a recorder knows, and the reader turns
//! into objects. There a resize is two operations, because another thread may be given the old
//! address before the resize is over. A reset ends the blocks of ranges of addresses.
//!
//! The kind 7, the end of a range of addresses, has no alignment. With a number there it is an event, and what
//! follows order and tick is:
//!
//! ```text
//! 1 thread start   2 thread exit   5 fork     nothing
//! 3 mark                                      | length | name, UTF-8 |
//! 4 sample                                    | resident | proportional | lazily free | in bytes
//! 6 gap                                       | operations that were lost |
//! ```
//!
//! # Invariants
//!
//! - D1: order numbers are given once each, from 0 on without gaps. What stands behind a gap is not
//!   part of the trace: the operations before it are, whatever happened to the others.
//! - D2: in a chunk, orders rise and ticks do not fall.
//!
//! # Threads
//!
//! Plain data.
//!
//! # Cost
//!
//! Five to eight bytes an operation. Reading takes 48 bytes for each, and for addresses a table of
//! what is live.

mod chunk;
mod header;
mod index;
mod list;
mod operation;
mod read;
mod resolve;
mod write;

pub(crate) use chunk::{CHUNK_HEADER_BYTES, CHUNK_TAIL_BYTES, ChunkHeader, PART_ALIGN, Packing};
pub(crate) use header::{HEADER_BYTES_MAX, Header, MAGIC, Stage};
pub use index::ChunkEntry;
pub(crate) use index::{End, index_header};
pub use list::Chunks;
pub(crate) use operation::{
    Coder, Kind, MARK_BYTES_MAX, OPERATION_BYTES_MAX, Operation, Output, What,
};
pub(crate) use read::read;
pub(crate) use write::write;

/// Packed chunks of one file unpack to at most so many bytes together. The writer packs no more, so that a
/// longer trace is a longer file.
const PACKED_BYTES_MAX: u64 = 256 << 20;
