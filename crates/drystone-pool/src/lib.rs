//! Buffers for network and storage I/O: pooled, aligned, under a budget, shared without copying.

mod adopted;
mod alignment;
mod asymmetric;
#[cfg(feature = "bytes")]
mod buf_impls;
#[cfg(feature = "bytes")]
mod buf_impls_ropes;
mod cache_ring;
mod capacity_error;
mod chunk_list;
mod compare;
mod compare_ropes;
mod convert;
#[cfg(feature = "bytes")]
mod convert_bytes;
mod convert_ropes;
mod heap_buffer;
mod io_buf;
mod io_buf_mut;
pub mod io_bufs;
pub mod io_bufs_mut;
mod local;
mod owner;
mod record;
mod shared_list;
mod slot;

pub use alignment::Alignment;
pub use capacity_error::CapacityError;
pub use io_buf::IoBuf;
pub use io_buf_mut::IoBufMut;
pub use io_bufs::IoBufs;
pub use io_bufs_mut::IoBufsMut;
