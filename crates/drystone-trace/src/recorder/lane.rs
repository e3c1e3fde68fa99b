//! [`Lane`]: the chunk that a thread is filling.

use core::sync::atomic::{Ordering, compiler_fence};

use super::window::Window;
use crate::dst::{
    CHUNK_HEADER_BYTES, CHUNK_TAIL_BYTES, ChunkHeader, Coder, OPERATION_BYTES_MAX, Output,
    PART_ALIGN, Packing,
};

// Where the header of a chunk has what changes while it is filled.
const PACKING_AT: usize = 4;
const THREAD_AT: usize = 8;
const OPERATIONS_AT: usize = 12;
const LENGTH_AT: usize = 16;
const STORED_AT: usize = 20;
const FIRST_ORDER_AT: usize = 24;
const FIRST_TICK_AT: usize = 32;

/// What a chunk takes beside its operations, and the largest of these.
const ROOM_BYTES: usize = OPERATION_BYTES_MAX + CHUNK_TAIL_BYTES;

/// A chunk in the making, in a window of the file.
pub(super) struct Lane {
    // I1: while `len` is not 0, `window[start..start + len]` is an open chunk of `operations` operations of
    // `thread`, and `length` in its header says how much of it is whole.
    // I2: the bytes of the window behind it, and from `start` on if `len` is 0, are zero.
    window: Option<Window>,
    start: usize,
    len: usize,
    thread: u32,
    operations: u32,
    first: (u64, u64),
    coder: Coder,
}

impl Lane {
    /// A lane that has no window.
    pub(super) const fn new() -> Self {
        Self {
            window: None,
            start: 0,
            len: 0,
            thread: 0,
            operations: 0,
            first: (0, 0),
            coder: Coder::new(0, 0, true),
        }
    }

    /// Whether another operation of `thread` can be put into the chunk.
    #[inline]
    pub(super) fn takes(&self, thread: u32) -> bool {
        let end = self.start + self.len + ROOM_BYTES;
        self.len > 0
            && self.thread == thread
            && self
                .window
                .as_ref()
                .is_some_and(|window| end <= window.bytes())
    }

    /// Whether a chunk is begun.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.len > 0
    }

    /// Whether the window has room for another chunk. No chunk is begun.
    pub(super) fn has_room(&self) -> bool {
        debug_assert!(!self.is_open(), "closed");
        let end = self.start + CHUNK_HEADER_BYTES + ROOM_BYTES;
        self.window
            .as_ref()
            .is_some_and(|window| end <= window.bytes())
    }

    /// Goes on in another window, which is all zeros. No chunk is begun.
    pub(super) fn move_to(&mut self, window: Window) {
        debug_assert!(!self.is_open(), "closed");
        self.window = Some(window);
        self.start = 0;
    }

    /// Begins a chunk, for operations of `thread` from this one on. There is room.
    ///
    /// After each store the file can be read: an open chunk that has room for nothing, then for
    /// operations, then with some.
    pub(super) fn begin(&mut self, thread: u32, first_order: u64, first_tick: u64) {
        debug_assert!(self.has_room(), "room");
        let Some(window) = &mut self.window else {
            return;
        };
        let start = self.start;
        let header = ChunkHeader {
            thread,
            operations: 0,
            length: 0,
            stored: 0,
            packing: Packing::Open,
            first_order,
            first_tick,
        };
        let mut word = [0; 8];
        word.copy_from_slice(&header.to_bytes()[..8]);
        window.put_u64(start, u64::from_le_bytes(word));
        window.put_u32(start + THREAD_AT, thread);
        window.put_u64(start + FIRST_ORDER_AT, first_order);
        window.put_u64(start + FIRST_TICK_AT, first_tick);
        let room = window.bytes() - start - CHUNK_HEADER_BYTES - CHUNK_TAIL_BYTES;
        window.put_u32(start + STORED_AT, room as u32);
        // The operations, which are not atomic, stay behind.
        compiler_fence(Ordering::SeqCst);
        self.len = CHUNK_HEADER_BYTES;
        self.thread = thread;
        self.operations = 0;
        self.first = (first_order, first_tick);
        self.coder = Coder::new(first_order, first_tick, true);
    }

    /// Puts in what `encode` writes: an operation of the lane's thread. The lane takes it.
    #[inline]
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Coder, &mut Output<'_>)) {
        let Some(window) = &mut self.window else {
            return;
        };
        let mut out = Output::new(window.rest(self.start + self.len));
        encode(&mut self.coder, &mut out);
        self.len += out.len();
        self.operations += 1;
        let length = (self.len - CHUNK_HEADER_BYTES) as u32;
        window.put_u32(self.start + LENGTH_AT, length);
    }

    /// Ends the chunk, if one is begun: the file has it as a recorder leaves it.
    pub(super) fn close(&mut self) {
        let Some(window) = self.window.as_mut().filter(|_| self.len > 0) else {
            return;
        };
        let start = self.start;
        let length = (self.len - CHUNK_HEADER_BYTES) as u32;
        let header = ChunkHeader {
            thread: self.thread,
            operations: self.operations,
            length,
            stored: length,
            packing: Packing::Plain,
            first_order: self.first.0,
            first_tick: self.first.1,
        };
        let rest = window.rest(start);
        let mut hash = crc32fast::Hasher::new();
        hash.update(&header.to_bytes());
        hash.update(&rest[CHUNK_HEADER_BYTES..self.len]);
        let end = self.len + CHUNK_TAIL_BYTES;
        rest[self.len..end].copy_from_slice(&hash.finalize().to_le_bytes());
        // It ends behind its checksum, first as an open chunk.
        window.put_u32(start + STORED_AT, length);
        window.put_u32(start + OPERATIONS_AT, self.operations);
        window.put_u32(start + PACKING_AT, Packing::Plain as u32);
        self.start = (start + end).next_multiple_of(PART_ALIGN as usize);
        self.len = 0;
    }

    /// Ends the chunk and gives up the window. Where what is in it ends, from the start of the window, and
    /// the window.
    pub(super) fn leave(&mut self) -> Option<(usize, Window)> {
        self.close();
        let used = core::mem::take(&mut self.start);
        self.window.take().map(|window| (used, window))
    }
}
