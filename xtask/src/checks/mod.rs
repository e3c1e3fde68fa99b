//! The checks behind the commands, one file each.

pub(crate) mod bench;
pub(crate) mod bench_arena;
pub(crate) mod c_header;
pub(crate) mod features;
pub(crate) mod fuzz;
pub(crate) mod loom;
pub(crate) mod miri;
pub(crate) mod msrv;
pub(crate) mod outside;
pub(crate) mod package;
pub(crate) mod sanitizers;
pub(crate) mod targets;
pub(crate) mod unsafe_budget;
