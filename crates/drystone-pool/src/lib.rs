//! Buffers for network and storage I/O: pooled, aligned, under a budget, shared without copying.
//!
//! # What
//!
//! ```
//! use drystone_pool::{BufferPool, BufferPoolConfig, PoolError};
//!
//! // At most 64 MiB, whatever its users do.
//! let pool = BufferPool::new(BufferPoolConfig::for_network().with_budget_bytes(64 << 20))?;
//!
//! let mut buf = pool.try_alloc(1500)?; // one owner, nothing in it yet
//! buf.try_put_slice(b"content-length: 4\r\n\r\nbody")?;
//!
//! let mut message = buf.freeze(); // many may read it; nothing is copied
//! let header = message.split_to(21);
//! std::thread::spawn(move || assert_eq!(message, b"body")).join().unwrap();
//!
//! drop(pool); // views outlive it
//! assert_eq!(&header[..15], b"content-length:");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When to use it
//!
//! Where buffers come and go with every read and write, and one of these matters: a ceiling that
//! holds, callers that wait for memory instead of failing, buffers at multiples of a page or of a disk's
//! block, few ranges of memory to register with the kernel, figures of what is in use and where. Who
//! needs none of them is served well by a general allocator: the views work over its memory too
//! ([`IoBufMut::with_capacity`], `From<Vec<u8>>`).
//!
//! # Buffers
//!
//! | | owners | reads | writes |
//! |---|---|---|---|
//! | [`IoBufMut`] | one | yes | up to a capacity that is fixed |
//! | [`IoBuf`] | many | yes, also parts | once it is the only one: [`try_into_mut`](IoBuf::try_into_mut) |
//! | [`IoBufs`] | many | several as one, with vectored output | no |
//! | [`IoBufsMut`] | one | several as one | several as one, with vectored input |
//!
//! [`IoBufsBuilder`] puts an [`IoBufs`] together from written fields and payloads.
//!
//! # Pools
//!
//! [`BufferPoolConfig::for_network`] has classes of 1 KiB to 128 KiB,
//! [`for_storage`](BufferPoolConfig::for_storage) of a page to 8 MiB, at multiples of a page. A request is
//! served from the smallest class that is large enough. [`try_alloc`](BufferPool::try_alloc) answers at
//! once, [`alloc`](BufferPool::alloc) goes to the heap where the pool has none,
//! [`alloc_async`](BufferPool::alloc_async) waits its turn under any runtime. Every thread caches free
//! buffers; what idle threads cache is found before a request is refused.
//! [`BufferPool::stats`] says what is where, [`BufferPool::trim`] gives free memory back.
//!
//! # Errors and panics
//!
//! [`PoolError`] tells what can never be served from what cannot be served now, [`ConfigError`] names
//! field, value and limit, [`CapacityError`] both numbers of bytes. All of them become an
//! [`io::Error`](std::io::Error). The calls that panic say when, and have one beside them that does not:
//! `alloc` has `try_alloc`, `with_capacity` has `try_with_capacity`, `put_slice` has `try_put_slice`.
//! Ranges and counts beyond the length panic, as those of slices do. A waker that panics ends the
//! process, for it is called where a buffer is given back.
//!
//! # Memory picture
//!
//! ```text
//!  IoBufMut ─┐                    thread's ring of free slots ◀─▶ shared list ─▶ pages
//!  IoBuf ────┼─▶ slot: head, bytes       one of each a class
//!  IoBuf ────┘   count of views
//! ```
//!
//! # Invariants
//!
//! - A slot has one owner: a view or several that count each other, a thread's ring, the shared list, or none yet.
//! - Slots in use, free and not made yet are as many as the class has; bytes of slots never exceed the budget.
//! - Bytes that were not written cannot be read, and bytes that are shared cannot be written.
//!
//! # Threads
//!
//! Pools, views and ropes are `Send` and `Sync`. A buffer may be dropped on any thread, also after its
//! pool, and while the thread's locals are being destroyed. No call but `alloc_async(..).await` waits
//! for a buffer; locks are held for a bounded number of steps.
//!
//! # Cost
//!
//! A buffer that the thread's ring has takes no lock and no atomic exchange; a clone or a freeze is one atomic
//! addition or none. `docs/BENCHMARKS.md` has figures, `docs/design/buffer-pool.md` the reasons.
//!
//! # Limits
//!
//! 64 classes; below 2³² buffers of a class, and of its table at most what there is memory for; buffers of
//! up to 2⁶⁰ bytes (2²⁸ where pointers have 32 bits).
//! A buffer never grows. A view keeps the whole buffer that it is part of: see
//! [`IoBuf::storage_bytes`] and [`IoBuf::compact`]. The standard library and atomics of 64 bits are
//! needed.
//!
//! # Features
//!
//! | feature | what one gains |
//! |---|---|
//! | `bytes` (default) | `bytes::Buf` and `BufMut`, conversion from and into `Bytes`, tokio's `read_buf` and `write_all_buf` |
//! | `tokio` | `AsyncRead` and `AsyncBufRead` for [`IoBuf`] and [`IoBufs`], `AsyncWrite` for [`IoBufMut`] |
//! | `io-uring` | on Linux, `FixedBuffers`: the pool's memory as fixed buffers of an io_uring; elsewhere nothing |
//! | `serde` | configurations' policies and statistics can be serialised |
//! | `metrics` | `PoolStats::record_metrics` |
//! | `prometheus` | `PoolCollector` |
//!
//! The examples are an echo server, a file server, a copy with direct I/O ([`DioAlign`]) and one with
//! registered buffers of io_uring ([`RegisteredRegion`]).

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
mod event;
mod fallback;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
mod fixed_buffers;
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
mod io_error;
mod leak_report;
mod local;
mod lock;
mod magazines;
#[cfg(feature = "metrics")]
mod metrics_export;
#[cfg(all(test, loom))]
mod models;
mod nodes;
mod obtain;
mod origin;
mod owner;
mod policy;
mod pool;
mod pool_error;
mod prefetch;
mod prefill;
#[cfg(feature = "prometheus")]
mod prometheus_export;
mod read;
mod record;
mod region;
mod regions;
mod registered_region;
mod shared_list;
mod slot;
mod source;
mod spares;
mod starving;
mod stats;
mod thread_cache;
#[cfg(all(feature = "tokio", not(loom)))]
mod tokio_impls;
mod trim;
mod unwind;
mod waiters;
mod with_pool;
mod write;

pub use alignment::Alignment;
pub use alloc_async::AllocAsync;
pub use builder::IoBufsBuilder;
pub use capacity_error::CapacityError;
pub use config::{BufferClass, BufferPoolConfig};
pub use config_error::ConfigError;
pub use dio_align::{DioAlign, DioSource};
#[cfg(all(feature = "io-uring", target_os = "linux"))]
pub use fixed_buffers::{FixedBuffers, RingFile};
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
