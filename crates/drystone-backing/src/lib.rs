//! Where the bytes of an allocator come from.
//!
//! # What
//!
//! A backing is one range of bytes and its owner: a [`FixedRange`](drystone_core::FixedRange). It
//! hands nothing out; a block layout takes it by value and cuts it.
//!
//! | backing | where the bytes are | stable address | feature |
//! |---|---|---|---|
//! | [`InlineBacked`] | in the value itself | no | |
//! | [`StaticBacked`] | in a buffer lent by the caller | yes | |
//! | `HeapBacked` | one block of the global heap | yes | `alloc` |
//! | `MmapBacked` | pages of the operating system | yes | `mmap` |
//! | `HugePageBacked` | huge pages, or none at all | yes | `mmap` |
//! | `LockedMmapBacked` | pages that stay in memory, wiped at the end | yes | `mmap` |
//! | `GuardedMmapBacked` | pages between two that fault | yes | `mmap` |
//!
//! Layouts that grow take a source instead: `HeapSource` or `MmapSource`. `System` is the
//! platform's allocator as a value, for what no range can serve. `ProcessBarrier` is no memory but
//! the other thing that pools ask of the system: a memory barrier on every thread.
//!
//! # Memory picture
//!
//! ```text
//!  base()                                             base() + size()
//!  |<------- committed -------->|<-- commit() first -->|
//!  +----------------------------+----------------------+
//!  | bytes of the owner alone, never read or written here
//! ```
//!
//! # Invariants
//!
//! Those of [`FixedRange`](drystone_core::FixedRange), L1 to L7: one range, exclusive to its owner, of one size and
//! base alignment for life, valid for reads and writes where it was committed.
//!
//! # Threads
//!
//! A backing goes where its owner goes. Nothing waits but for the operating system.
//!
//! # Cost
//!
//! `base` and `size` are loads of a field or constants. Mapping, locking, protecting, advising and releasing are one
//! system call each, a mapping between guards a few.
//!
//! # Features
//!
//! `std` is on by default. Without features the crate is no_std without `alloc`, and has the
//! first two backings. `testing` adds `fault_os`, which makes chosen calls to the operating
//! system fail.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "std")]
extern crate std;

#[cfg(feature = "alloc")]
mod error;
#[cfg(feature = "testing")]
pub mod fault_os;
#[cfg(feature = "mmap")]
mod guarded_mmap;
#[cfg(feature = "alloc")]
mod heap;
#[cfg(feature = "mmap")]
mod huge_page;
mod inline;
#[cfg(feature = "mmap")]
mod locked_mmap;
#[cfg(feature = "mmap")]
mod mmap;
#[cfg(feature = "mmap")]
mod mmap_flags;
#[cfg(feature = "mmap")]
mod mmap_source;
mod no_heap;
#[cfg(feature = "mmap")]
mod os;
#[cfg(feature = "mmap")]
mod page_range;
mod static_buffer;
#[cfg(feature = "std")]
mod system;

#[cfg(feature = "alloc")]
pub use drystone_core::{HeapSegment, HeapSource};
#[cfg(feature = "alloc")]
pub use error::BackingError;
#[cfg(feature = "mmap")]
pub use guarded_mmap::GuardedMmapBacked;
#[cfg(feature = "alloc")]
pub use heap::HeapBacked;
#[cfg(feature = "mmap")]
pub use huge_page::HugePageBacked;
pub use inline::InlineBacked;
#[cfg(feature = "mmap")]
pub use locked_mmap::LockedMmapBacked;
#[cfg(feature = "mmap")]
pub use mmap::MmapBacked;
#[cfg(feature = "mmap")]
pub use mmap_flags::MmapFlags;
#[cfg(feature = "mmap")]
pub use mmap_source::{FlaggedMmapSource, MmapSource};
#[cfg(all(feature = "mmap", not(loom)))]
pub use os::ThreadEnd;
#[cfg(feature = "mmap")]
pub use os::{ProcessBarrier, at_fork, page_size};
pub use static_buffer::StaticBacked;
#[cfg(feature = "std")]
pub use system::System;
