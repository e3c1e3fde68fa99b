//! [`yield_now`]: gives the processor to another thread.

#[cfg(loom)]
pub use loom::thread::yield_now;
#[cfg(not(loom))]
pub use std::thread::yield_now;
