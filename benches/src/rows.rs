//! The rows: which workload, which contestants.

mod arena;
mod bump;
mod extendable;
pub mod extendable_sweep;
mod generational;
mod growable_bump;
mod limit;
mod pool;
mod pool_across;
mod pool_buffers;
mod remote;
mod remote_ends;
mod shared_bump;
mod slab;
mod slab_cache;
mod slab_protection;
mod stack;
mod thread_cache;
mod wrap_content;
mod wrap_policy;

pub(crate) use arena::{large_churn, touched_20m};

use crate::Row;
use crate::rivals::{Linked, Rivals};

/// The names of all rows, in the order in which they are shown.
pub const IDS: [&str; 78] = [
    "limit-add",
    "limit-tls",
    "limit-atomic",
    "limit-ping-pong",
    "limit-clock",
    "slab-hot",
    "slab-fifo",
    "slab-churn",
    "slab-cache-hot",
    "slab-cache-fifo",
    "slab-cache-churn",
    "slab-protection-hot",
    "slab-protection-fifo",
    "slab-protection-churn",
    "extendable-hot",
    "bump-16",
    "handle-get-64",
    "handle-get-8",
    "handle-churn",
    "shared-bump-1",
    "shared-bump-2",
    "growable-bump-16",
    "growable-bump-new",
    "stack-pair",
    "stack-64",
    "pool-1k",
    "pool-4k",
    "pool-64k",
    "pool-256",
    "pool-pipe-4k",
    "pool-pipe-64k",
    "pool-freeze",
    "pool-exhausted",
    "pool-two",
    "remote-pipe",
    "remote-scattered",
    "remote-free",
    "remote-drain",
    "remote-idle",
    "arena-hot-64",
    "arena-hot-1k",
    "arena-hot-16k",
    "arena-called-64",
    "arena-called-1k",
    "arena-called-16k",
    "arena-batch",
    "arena-churn-5k",
    "arena-churn-200k",
    "arena-pipe",
    "arena-larson",
    "arena-large",
    "arena-20m",
    "arena-doubling",
    "arena-calloc-64",
    "arena-calloc-4k",
    "arena-calloc-1m",
    "arena-calloc-20m",
    "arena-calloc-fresh-64",
    "arena-calloc-fresh-4k",
    "arena-calloc-fresh-1m",
    "arena-calloc-fresh-20m",
    "thread-cache-32",
    "thread-cache-64",
    "thread-cache-65",
    "thread-cache-4096",
    "thread-cache-70000",
    "thread-cache-embedding",
    "thread-cache-mixed",
    "thread-cache-20m",
    "thread-cache-20m-4x",
    "thread-cache-handoff",
    "thread-cache-handoff-4x",
    "wrap-content-hot",
    "wrap-content-churn",
    "wrap-wipe-4k",
    "wrap-wipe-64k",
    "wrap-wipe-4m",
    "wrap-policy",
];

/// Builds the row of this name; `None` if there is none.
#[must_use]
pub fn build(id: &str) -> Option<Row> {
    match id {
        "slab-hot" => Some(slab::hot_pair()),
        "slab-fifo" => Some(slab::fill_and_free_in_order()),
        "slab-churn" => Some(slab::churn_at_half_full()),
        "slab-cache-hot" => Some(slab_cache::hot_pair()),
        "slab-cache-fifo" => Some(slab_cache::fill_and_drop_in_order()),
        "slab-cache-churn" => Some(slab_cache::churn_at_half_full()),
        "slab-protection-hot" => Some(slab_protection::hot_pair()),
        "slab-protection-fifo" => Some(slab_protection::fill_and_free_in_order()),
        "slab-protection-churn" => Some(slab_protection::churn_at_half_full()),
        "extendable-hot" => Some(extendable::hot_pair()),
        "bump-16" => Some(bump::sixteen_bytes()),
        "handle-get-64" => Some(generational::get_64_bytes()),
        "handle-get-8" => Some(generational::get_8_bytes()),
        "handle-churn" => Some(generational::churn()),
        "shared-bump-1" => Some(shared_bump::alone()),
        "shared-bump-2" => Some(shared_bump::two_threads()),
        "growable-bump-16" => Some(growable_bump::steady()),
        "growable-bump-new" => Some(growable_bump::from_nothing()),
        "stack-pair" => Some(stack::pair()),
        "stack-64" => Some(stack::deep()),
        "pool-1k" => Some(pool::pair_1k()),
        "pool-4k" => Some(pool::pair_4k()),
        "pool-64k" => Some(pool::pair_64k()),
        "pool-256" => Some(pool::out_and_back()),
        "pool-pipe-4k" => Some(pool_across::pipe_4k()),
        "pool-pipe-64k" => Some(pool_across::pipe_64k()),
        "pool-freeze" => Some(pool::freeze()),
        "pool-exhausted" => Some(pool::exhausted()),
        "pool-two" => Some(pool_across::two_threads()),
        "remote-pipe" => Some(remote::end_to_end()),
        "remote-scattered" => Some(remote::scattered()),
        "remote-free" => Some(remote::free_alone()),
        "remote-drain" => Some(remote::drain_alone()),
        "remote-idle" => Some(remote::idle_remote()),
        "wrap-policy" => Some(wrap_policy::hot_pair()),
        "wrap-content-hot" => Some(wrap_content::hot_pair()),
        "wrap-content-churn" => Some(wrap_content::churn_at_half_full()),
        "wrap-wipe-4k" => Some(wrap_content::wipe_4k()),
        "wrap-wipe-64k" => Some(wrap_content::wipe_64k()),
        "wrap-wipe-4m" => Some(wrap_content::wipe_4m()),
        _ => limit::build(id).or_else(|| build_with::<Linked>(id)),
    }
}

/// Builds the row of this name with the rivals of another program; `None` if there is none that
/// takes them.
#[must_use]
pub fn build_with<R: Rivals>(id: &str) -> Option<Row> {
    arena::build::<R>(id).or_else(|| thread_cache::build::<R>(id))
}

/// Whether the rivals of other programs take part in the row of this name.
#[must_use]
pub fn takes_rivals(id: &str) -> bool {
    id.starts_with("arena-") || id.starts_with("thread-cache-")
}
