//! A thread-cached general-purpose allocator.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod arena;
mod bin;
mod block_bits;
mod cache;
mod check;
mod clock;
mod config;
mod core_state;
mod error;
mod geometry;
mod global;
mod heap;
mod in_cell;
mod misuse;
mod ops;
mod page;
mod profile;
mod reciprocal;
mod remote_cache;
mod reservation;
mod segment;
mod segment_map;
mod source;
mod thread;

pub use arena::{Arena, ArenaStats, CachedArena};
pub use cache::{ThreadCache, ThreadCacheStats};
pub use config::ArenaConfig;
pub use drystone_core::{Checked, Fast};
pub use error::{ArenaError, FreeError};
pub use global::GlobalArena;
pub use profile::Profile;
