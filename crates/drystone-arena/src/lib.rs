//! A thread-cached general-purpose allocator.
//!
//! # What
//!
//! | type | what it is |
//! |---|---|
//! | [`GlobalArena`] | the arena of the process: `#[global_allocator]`, or an `Allocator` value |
//! | [`Arena`], [`ThreadCache`] | an arena of one's own, whose threads bring their caches |
//! | [`CachedArena`] | both as one `Allocator`, for wrappers and collections |
//! | [`ArenaConfig`] | what an arena may take, and what it keeps |
//!
//! [`allocate`], [`deallocate`] and [`deallocate_with_size`] are the process-wide arena of the profile
//! [`Checked`] as functions, for callers without layouts.
//! # Memory picture
//!
//! ```text
//!  thread ─▶ bins, one a class ─▶ heap: pages of one class ─▶ segments ─▶ the source
//!               ▲ own frees           ▲ frees of other threads, in chains
//! ```
//!
//! # Invariants
//!
//! Each module numbers its own and executes them. Of them all:
//!
//! - Every block lies in one page of one class, or is a large one; page and class are found from its address.
//! - A block is in exactly one place: with its user, in a bin, in its page, on its way home, or with a level of
//!   large ones.
//! - A page belongs to one heap; only that heap's thread takes blocks from it.
//!
//! # Threads
//!
//! [`GlobalArena`] and [`Arena`] are `Sync`. A [`ThreadCache`] is one thread's at a time. A block may be freed by
//! any thread. What a thread that ends leaves is taken over by others.
//!
//! # Cost
//!
//! A request that a bin serves touches the bin and the block, without an atomic read-modify-write. `docs/BENCHMARKS.md`
//! has figures; `docs/design/arena.md` the picture of it all, the invariants and the reasons.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

// Memory that begins as zero bytes has no place for the atomics of the model checker, so under it
// there is only what threads do to each other.
#[cfg_attr(loom, expect(dead_code, reason = "the models need sizes only"))]
mod geometry;
#[cfg_attr(loom, expect(dead_code, reason = "the models need what threads share"))]
mod inbox;
#[cfg_attr(loom, expect(dead_code, reason = "the models need what threads share"))]
mod orphans;
#[cfg_attr(loom, expect(dead_code, reason = "the models need no classes"))]
mod page_use;

cfg_if::cfg_if! {
    if #[cfg(not(loom))] {
        #[macro_use]
        mod thread_slot;

        mod arena;
        mod bin;
        mod block_bits;
        mod block_list;
        mod cache;
        mod check;
        mod config;
        mod core_state;
        mod error;
        mod fill;
        mod global;
        mod heap;
mod home_bits;
        mod level;
        mod misuse;
        mod ops;
        mod page;
        mod per_class;
        mod process;
        mod profile;
        mod promises;
        mod published;
        mod random;
        mod reciprocal;
        mod remote_cache;
        mod reservation;
        mod segment;
        mod segment_map;
        mod sizeless;
        mod source;
        mod stash;
        mod stats;
        mod thread;

        pub use arena::{Arena, CachedArena};
        pub use cache::{ThreadCache, ThreadCacheStats};
        pub use config::ArenaConfig;
        pub use drystone_core::{Checked, Fast, Hardened};
        pub use error::{ArenaError, FreeError};
        pub use global::GlobalArena;
        pub use process::{allocate, deallocate, deallocate_with_size, global_stats, trim};
        pub use profile::Profile;
        pub use stats::ArenaStats;
    }
}
