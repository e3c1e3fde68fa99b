//! Two plain allocators that are right by inspection: what the kit is tested on, and what other
//! allocators can be compared with.

mod first_fit;
mod heap;

pub use first_fit::FirstFit;
pub use heap::Heap;
