//! Where freed blocks wait before they may be used again.
//!
//! # Invariants
//!
//! - Q1: a queue has blocks of sizes from one power of two to the next, the oldest first; at most
//!   [`ENTRIES`] and [`BYTES_MAX`] bytes of them when no thread is in a call.
//! - Q2: a block in a queue is live in the arena and nobody's in the program.
//!
//! # Threads
//!
//! A queue has a lock, which is held for some tens of instructions.

use core::ptr::NonNull;

use super::locked::Locked;

/// The blocks of one queue.
pub(super) const ENTRIES: usize = 1024;

/// The bytes of one queue.
pub(super) const BYTES_MAX: usize = 512 << 10;

/// The largest block that waits: larger ones cannot be accessed once the arena has them.
pub(super) const BLOCK_MAX: usize = 128 << 10;

const QUEUES: usize = (BLOCK_MAX.ilog2() + 1) as usize;

static ALL: [Locked<Queue>; QUEUES] = [const { Locked::new(Queue::new()) }; QUEUES];

#[derive(Clone, Copy)]
struct Entry {
    block: *mut u8,
    bytes: usize,
}

struct Queue {
    entries: [Entry; ENTRIES],
    first: usize,
    len: usize,
    bytes: usize,
}

// SAFETY: its blocks are nobody's (Q2).
unsafe impl Send for Queue {}

impl Queue {
    const fn new() -> Self {
        let none = Entry {
            block: core::ptr::null_mut(),
            bytes: 0,
        };
        Self {
            entries: [none; ENTRIES],
            first: 0,
            len: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, block: NonNull<[u8]>) {
        let entry = Entry {
            block: block.cast().as_ptr(),
            bytes: block.len(),
        };
        self.entries[(self.first + self.len) % ENTRIES] = entry;
        self.len += 1;
        self.bytes += entry.bytes;
    }

    /// Puts a block in. The oldest one if it has to leave for that, and whether there is another.
    fn exchange(&mut self, block: NonNull<[u8]>) -> (Option<NonNull<[u8]>>, bool) {
        if self.len < ENTRIES {
            self.push(block);
            return self.pop_over();
        }
        let oldest = self.pop();
        self.push(block);
        (oldest, self.bytes > BYTES_MAX)
    }

    /// The oldest block if there are too many bytes, and whether there still are.
    fn pop_over(&mut self) -> (Option<NonNull<[u8]>>, bool) {
        if self.bytes <= BYTES_MAX {
            return (None, false);
        }
        (self.pop(), self.bytes > BYTES_MAX)
    }

    fn pop(&mut self) -> Option<NonNull<[u8]>> {
        if self.len == 0 {
            return None;
        }
        let entry = self.entries[self.first];
        self.first = (self.first + 1) % ENTRIES;
        self.len -= 1;
        self.bytes -= entry.bytes;
        Some(NonNull::slice_from_raw_parts(
            NonNull::new(entry.block)?,
            entry.bytes,
        ))
    }
}

/// Puts a block of at most [`BLOCK_MAX`] bytes at the end of its queue, and gives each that has to
/// leave for it to a function.
pub(super) fn exchange(block: NonNull<[u8]>, mut left: impl FnMut(NonNull<[u8]>)) {
    let Some(queue) = ALL.get(block.len().ilog2() as usize) else {
        return left(block);
    };
    let (mut oldest, mut is_over) = queue.with(|queue| queue.exchange(block));
    while let Some(block) = oldest {
        left(block);
        if !is_over {
            return;
        }
        (oldest, is_over) = queue.with(Queue::pop_over);
    }
}

/// Gives every block that waits to a function. Whether there was one.
pub(super) fn flush(mut left: impl FnMut(NonNull<[u8]>)) -> bool {
    let mut any = false;
    for queue in &ALL {
        while let Some(block) = queue.with(Queue::pop) {
            any = true;
            left(block);
        }
    }
    any
}

/// Gives every block that waits to a function, which only looks at it; those of queues that are in use
/// are left out.
pub(super) fn inspect(look: impl Fn(NonNull<[u8]>)) {
    for queue in &ALL {
        queue.with_if_free(|queue| {
            for index in 0..queue.len {
                let entry = queue.entries[(queue.first + index) % ENTRIES];
                if let Some(block) = NonNull::new(entry.block) {
                    look(NonNull::slice_from_raw_parts(block, entry.bytes));
                }
            }
        });
    }
}

/// How many blocks wait, and their bytes; without queues that are in use.
pub(super) fn load() -> (usize, usize) {
    ALL.iter().fold((0, 0), |(blocks, bytes), queue| {
        let more = queue.with_if_free(|queue| (queue.len, queue.bytes));
        let (more_blocks, more_bytes) = more.unwrap_or_default();
        (blocks + more_blocks, bytes + more_bytes)
    })
}

pub(super) fn hold_all() {
    ALL.iter().for_each(Locked::hold);
}

/// # Safety
///
/// As [`Locked::release`], after [`hold_all`].
pub(super) unsafe fn release_all() {
    for queue in &ALL {
        // SAFETY: the caller's promise.
        unsafe { queue.release() };
    }
}
