//! [`Spares`]: empty magazines that one thread keeps.
//!
//! # What
//!
//! A refill leaves an empty magazine, and a spill needs one. A thread that does both passes them to itself; of
//! two threads, one that takes and one that gives, the first returns a whole chain of them by one exchange,
//! and the second takes one off by another.
//!
//! # Memory picture
//!
//! ```text
//!  first ──> magazine ──> magazine ──> 0        linked by the word that has a full one's length
//! ```
//!
//! # Threads
//!
//! The owner's alone; atomic only because it lies beside what others read.

use drystone_sync::atomic::{AtomicU32, Ordering};

/// The most spares of a thread, and the magazines of a chain on the shared list.
pub(crate) const SPARES_MAX: u32 = if cfg!(loom) { 1 } else { 8 };

/// A chain of empty magazines, by their nodes.
#[derive(Debug)]
pub(crate) struct Spares {
    first: AtomicU32,
    len: AtomicU32,
}

impl Spares {
    pub(crate) fn new() -> Self {
        Self {
            first: AtomicU32::new(0),
            len: AtomicU32::new(0),
        }
    }

    /// The first node, 0 for none.
    pub(crate) fn first(&self) -> u32 {
        self.first.load(Ordering::Relaxed)
    }

    /// Whether there are as many as a chain has.
    pub(crate) fn is_full(&self) -> bool {
        self.len.load(Ordering::Relaxed) >= SPARES_MAX
    }

    /// Now the chain begins with `node`, 0 for none, and has `len` nodes; or about as many, which nobody
    /// relies on.
    pub(crate) fn set(&self, node: u32, len: u32) {
        self.first.store(node, Ordering::Relaxed);
        self.len
            .store(if node == 0 { 0 } else { len }, Ordering::Relaxed);
    }

    /// Now the chain begins with `node`, one more.
    pub(crate) fn set_longer(&self, node: u32) {
        self.set(node, self.len.load(Ordering::Relaxed) + 1);
    }

    /// Now the chain begins with `node`, one less.
    pub(crate) fn set_shorter(&self, node: u32) {
        self.set(node, self.len.load(Ordering::Relaxed).saturating_sub(1));
    }
}
