//! [`SlabOwner`] and [`SlabRemote`]: one thread allocates, any thread frees.
//!
//! # What
//!
//! A slab whose blocks may be freed away from their owner. The owner allocates and frees like a
//! [`Slab`](crate::Slab), without an atomic operation. Other threads free through a handle; the
//! blocks wait on their way home until the owner runs out of its own, or its policy says so. No
//! block is lost, whichever end is dropped first.
//!
//! # Memory picture
//!
//! ```text
//!    SlabOwner: free list, cursor, window
//!        │
//!        ▼
//!       ┌──────────────── one heap block ────────────────┐
//!       │ place │ list, handles │ queue │ the range B      │
//!       └────────────────────────────────────────────────┘
//!            ▲         ▲            ▲
//!            SlabRemote, RemoteBatch, RemoteBox
//! ```
//!
//! The parts lie on cache lines of their own, which is checked at compile time.
//!
//! # Invariants
//!
//! - I1: a block is in exactly one of: its user's hands, a batch, the queue, the list, the owner's
//!   window, the owner's free list.
//! - I2: `free + window + handed out == carved slots`, where what waits in the queue, the list and
//!   batches counts as handed out.
//! - I3: the heap block, and the range in it, live until the last of owner, handles, batches and
//!   boxes is dropped, and do not move.
//!
//! The parts add their own: S1 to S4 of the heap block, R1 and R2 of [`Ring`], W1, W2, L1 to L3, T1
//! and T2 of [`Intrusive`] and its lanes.
//!
//! # Threads
//!
//! A [`SlabOwner`] is on one thread at a time; a [`RemoteBatch`] too; a [`SlabRemote`] is on any
//! number. All are `Send` where the range is, because the last one drops the range. A remote free
//! takes a place in a queue, or it is a compare-and-swap that fails only when another succeeds.
//! With [`Intrusive`] nobody waits for anybody; with [`Ring`] an owner that takes blocks home may
//! wait for a remote that is between the two steps of a push. A thread that dies leaves what it freed to the owner, except for what it kept
//! in a batch that is not dropped. An owner that is dropped leaves its blocks to their users until
//! the last handle goes.
//!
//! # Cost
//!
//! The owner's allocate and free are a slab's; with [`Ring`] each also compares the two ends of the
//! queue. A remote free is a compare-and-swap; with [`Intrusive`], on the thread that uses its
//! handle, it is two plain stores.

mod batch;
mod boxed;
mod boxing;
mod contents;
mod intrusive;
mod lane;
mod lanes;
#[cfg(all(test, loom))]
mod models;
mod owner;
mod queue;
mod remote;
mod ring;
mod shared;

pub use batch::RemoteBatch;
pub use boxed::RemoteBox;
pub use intrusive::Intrusive;
pub use owner::SlabOwner;
pub use queue::RemoteQueue;
pub use remote::SlabRemote;
pub use ring::{ADAPTIVE_COOLDOWN_TICKS, ADAPTIVE_LEVELS, BatchPolicy, Ring};
