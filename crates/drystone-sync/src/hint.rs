//! [`spin_loop`]: `core`'s, or loom's under `--cfg loom`, where it also lets other threads run.

#[cfg(not(loom))]
pub use core::hint::spin_loop;
#[cfg(loom)]
pub use loom::hint::spin_loop;
