//! Buffers for network and storage I/O: pooled, aligned, under a budget, shared without copying.

mod adopted;
mod alignment;
mod alloc_async;
mod asymmetric;
mod batch;
mod budget;
#[cfg(feature = "bytes")]
mod buf_impls;
#[cfg(feature = "bytes")]
mod buf_impls_ropes;
mod builder;
mod cache_list;
mod cache_ring;
mod capacity_error;
mod chain;
mod chunk_list;
mod class;
mod class_cache;
mod class_table;
mod compare;
mod compare_ropes;
mod config;
mod config_error;
mod convert;
#[cfg(feature = "bytes")]
mod convert_bytes;
mod convert_ropes;
mod core;
mod counters;
mod dio_align;
mod fallback;
mod flags;
mod give_back;
mod growth;
mod hand_over;
mod heap_buffer;
mod home;
mod io_buf;
mod io_buf_mut;
pub mod io_bufs;
pub mod io_bufs_mut;
mod leak_report;
mod local;
mod lock;
#[cfg(feature = "metrics")]
mod metrics_export;
mod obtain;
mod origin;
mod owner;
mod policy;
mod pool;
mod pool_error;
mod prefill;
#[cfg(feature = "prometheus")]
mod prometheus_export;
mod record;
mod region;
mod regions;
mod registered_region;
mod shared_list;
mod slot;
mod source;
mod starving;
mod stats;
mod thread_cache;
mod trim;
mod waiters;
mod with_pool;

pub use alignment::Alignment;
pub use alloc_async::AllocAsync;
pub use builder::IoBufsBuilder;
pub use capacity_error::CapacityError;
pub use config::{BufferClass, BufferPoolConfig};
pub use config_error::ConfigError;
pub use dio_align::{DioAlign, DioSource};
pub use io_buf::IoBuf;
pub use io_buf_mut::IoBufMut;
pub use io_bufs::IoBufs;
pub use io_bufs_mut::IoBufsMut;
pub use leak_report::{LeakPlace, LeakReport};
pub use policy::{BorrowPolicy, FallbackPolicy, ReturnPolicy};
pub use pool::BufferPool;
pub use pool_error::PoolError;
#[cfg(feature = "prometheus")]
pub use prometheus_export::PoolCollector;
pub use registered_region::{PooledView, RegisteredRegion};
pub use stats::{ClassStats, PoolStats};
pub use thread_cache::BufferPoolThreadCache;
