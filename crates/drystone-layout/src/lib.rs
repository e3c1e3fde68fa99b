//! How a range of bytes is cut into blocks.
//!
//! # What
//!
//! A layout takes a backing by value, any [`FixedRange`](drystone_core::FixedRange), and hands out blocks of it.
//! Layouts that keep state on the heap come with the feature `alloc`; the others need nothing but their range.
//!
//! # Memory picture
//!
//! ```text
//!  base                                                     base + size
//!  |  record of a protection  | block | free | block | ...  |  never used  |
//!                                        └▶ link to the next free        ▲ cursor
//! ```
//!
//! # Invariants
//!
//! Each module numbers its own and executes them in `debug_assert_invariants`. Of them all: blocks that are live lie
//! in the range and are disjoint; every byte of the range is a block's, free, bookkeeping or never used. Bookkeeping
//! is offsets from the base where the range may move with its owner, so that a move leaves it right.
//!
//! # Threads
//!
//! Each module states which threads may use it and what can block. Without a word of threads in its name a layout is
//! one thread's at a time.
//!
//! # Cost
//!
//! Allocating and freeing take constant time; each module counts its loads and stores. `docs/BENCHMARKS.md` has
//! figures.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod alloc_value_error;
#[cfg(feature = "alloc")]
pub mod arena_pool;
pub mod bump;
mod error;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub mod extendable_slab;
pub mod generational_slab;
pub mod growable_bump;
mod no_heap;
mod over_pages;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub mod remote_slab;
#[cfg(target_has_atomic = "ptr")]
pub mod shared_bump;
pub mod size_classed;
pub mod slab;
pub mod slab_cache;
pub mod slots;
pub mod stack_alloc;

pub use alloc_value_error::AllocValueError;
#[cfg(feature = "alloc")]
pub use arena_pool::{ArenaPool, PooledArena};
pub use bump::{BumpArena, Scope};
pub use error::SetupError;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use extendable_slab::ExtendableSlab;
pub use generational_slab::{GenerationalSlab, Handle};
pub use growable_bump::GrowableBump;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use remote_slab::{
    ADAPTIVE_COOLDOWN_TICKS, ADAPTIVE_LEVELS, BatchPolicy, Intrusive, RemoteBatch, RemoteBox,
    RemoteQueue, Ring, SlabOwner, SlabRemote,
};
#[cfg(target_has_atomic = "ptr")]
pub use shared_bump::SharedBumpArena;
pub use size_classed::SizeClassed;
pub use slab::Slab;
pub use slab_cache::{DefaultLock, ProviderFrom, SlabBox, SlabCache, SlabProvider};
pub use slots::{SlabError, Slots, SlotsState};
pub use stack_alloc::StackAlloc;
