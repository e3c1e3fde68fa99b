//! A thread-cached general-purpose allocator.
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;

mod bin;
mod core_state;
mod geometry;
mod heap;
mod page;
mod remote_cache;
mod reservation;
mod segment;
mod segment_map;
mod source;
mod global;
mod profile;
mod thread;

pub use global::GlobalArena;
pub use profile::{Fast, Profile};
