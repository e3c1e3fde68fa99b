//! The fuzz targets (feature `targets`): functions of any bytes that panic on a fault.
//!
//! The fuzzers of the `fuzz` workspace, the property tests and the replay of the committed seeds
//! call the same functions.

mod arena;
mod arithmetic;
mod bump;
mod exploit;
mod extendable_slab;
mod generational;
mod owner_remote;
mod pool_views;
mod shared_bump;
mod slab;
mod slab_cache;
mod slots;
mod stack;

pub use arena::target_arena;
pub use arithmetic::{target_class_table, target_layout_arith};
pub use bump::target_bump;
pub use exploit::target_exploit;
pub use extendable_slab::target_extendable_slab;
pub use generational::target_generational;
pub use owner_remote::target_owner_remote;
pub use pool_views::target_pool_views;
pub use shared_bump::{target_growable_bump, target_shared_bump};
pub use slab::target_slab;
pub use slab_cache::target_slab_cache;
pub use slots::target_slots;
pub use stack::target_stack;

/// Splits the first byte off, which chooses the variant; 0 of no bytes.
fn choose(data: &[u8]) -> (u8, &[u8]) {
    data.split_first()
        .map_or((0, data), |(&first, rest)| (first, rest))
}
