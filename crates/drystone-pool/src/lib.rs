//! Buffers for network and storage I/O: pooled, aligned, under a budget, shared without copying.

mod adopted;
mod alignment;
#[cfg(feature = "bytes")]
mod buf_impls;
mod capacity_error;
mod compare;
mod convert;
#[cfg(feature = "bytes")]
mod convert_bytes;
mod heap_buffer;
mod io_buf;
mod io_buf_mut;
mod owner;
mod record;
mod slot;

pub use alignment::Alignment;
pub use capacity_error::CapacityError;
pub use io_buf::IoBuf;
pub use io_buf_mut::IoBufMut;
