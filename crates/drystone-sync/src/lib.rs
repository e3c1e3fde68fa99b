//! The atomics seam of the workspace, and the locks built on it.
//!
//! # What
//!
//! Every atomic of a drystone crate comes from here. In a normal build the modules [`atomic`],
//! [`cell`] and [`hint`] are those of `core`; under `--cfg loom` they are loom's, so that the
//! production types themselves, not copies of them, run under the model checker.
//!
//! | module or type | what it is |
//! |---|---|
//! | [`atomic`] | the atomic types |
//! | [`cell::UnsafeCell`] | a cell reached through closures, which loom can watch |
//! | [`hint::spin_loop`] | one turn of a wait loop |
//! | `thread::yield_now` | gives the processor away; needs `std` or loom |
//! | [`Backoff`] | a wait loop: spins with doubling length, then yields |
//! | [`RawLock`] | what a lock is to an allocator; [`RawGuard`] unlocks on drop |
//! | [`struct@NoLock`] | the lock of a single thread |
//! | [`SpinLock`] | one word, waits by [`Backoff`]; absent where the target has no compare-and-swap |
//! | [`RemoteList`] | many threads put chains of blocks on it, one takes all; absent where the target has no compare-and-swap |
//! | [`thread_mark`] | tells the calling thread from every other; needs `std` |
//! | [`thread_slot`] | a small number for each living thread; needs `std` |
//! | [`CachePadded`] | a value on cache lines of its own |
//! | `initial_exec_address!` | where a thread-local lies that a shared library reaches without a call; x86-64 and AArch64 |
//!
//! # Memory picture
//!
//! ```text
//!  SpinLock      one word: free or held
//!  RemoteList    one pointer ─▶ newest ─▶ ... ─▶ oldest, links in the blocks themselves
//!  CachePadded   |<------- lines that no neighbour writes ------->|
//! ```
//!
//! # Invariants
//!
//! A lock is held by one owner, who alone unlocks it. What is put on a list is taken once. A slot number or a mark
//! belongs to one living thread.
//!
//! # Threads
//!
//! Everything is for several of them. Only locks wait, by [`Backoff`]; list, marks and slots never do.
//!
//! # Cost
//!
//! Taking a free lock is one compare-and-swap and giving it back one store; a chain is put on a list by one
//! compare-and-swap and all are taken by one exchange.
//!
//! # Features
//!
//! None by default: no_std, no `alloc`. `std` lets waiters yield to the operating system;
//! `critical-section` adds `CriticalSectionLock`, for programs without one.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "std", loom, test))]
extern crate std;

pub mod atomic;
mod backoff;
pub mod cell;
#[cfg(feature = "critical-section")]
mod critical_section_lock;
mod guard;
pub mod hint;
mod initial_exec;
mod no_heap;
mod no_lock;
mod raw_lock;
#[cfg(target_has_atomic = "ptr")]
mod remote_list;
#[cfg(target_has_atomic = "32")]
mod spin_lock;
#[cfg(any(feature = "std", loom))]
pub mod thread;
mod thread_mark;
mod thread_slot;

pub use backoff::Backoff;
#[cfg(feature = "critical-section")]
pub use critical_section_lock::CriticalSectionLock;
pub use drystone_core::{CACHE_LINE, CachePadded};
pub use guard::RawGuard;
pub use no_lock::NoLock;
pub use raw_lock::RawLock;
#[cfg(target_has_atomic = "ptr")]
pub use remote_list::{Closed, RemoteList};
#[cfg(target_has_atomic = "32")]
pub use spin_lock::SpinLock;
pub use thread_mark::thread_mark;
pub use thread_slot::{THREAD_SLOTS_MAX, ThreadSlot, thread_slot};
