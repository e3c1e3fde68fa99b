//! The contracts that every drystone allocator keeps, and the vocabulary they share.
//!
//! # What
//!
//! This crate holds no allocator. It holds what allocators promise each other: one trait for
//! each promise, and no impl where the promise is not kept. A type that can be reset implements
//! [`Reset`]; one that cannot does not have the method at all.
//!
//! | promise | trait |
//! |---|---|
//! | takes blocks back | [`Deallocator`] |
//! | hands out blocks | [`Allocator`] |
//! | is one exclusive range of bytes | [`FixedRange`] |
//! | its addresses survive a move of the value | [`StableAddress`] |
//! | knows its own blocks | [`Owns`] |
//! | frees every block at once | [`Reset`] |
//! | lets wrappers reach the bytes of its blocks | [`Contents`] |
//! | can talk to the operating system about its pages | [`OsBacked`]; [`OverPages`] for an allocator |
//! | supplies ranges on demand | [`SegmentSource`] |
//! | lets its bookkeeping be examined | [`Inspect`] |
//! | is cloned into an equivalent one | [`AllocatorClone`] |
//! | has blocks that outlive it | [`StaticAllocator`] |
//! | never touches the global heap | [`NoHeap`]; [`GlobalSafe`] for what may serve it |
//!
//! And it holds the adapters to what others call an allocator: [`Global`], [`StdCompat`] and, by
//! feature, `Foreign02`, `Foreign04` and `ForeignStd`.
//!
//! The words *block*, *fits*, *live*, *owner*, *moved* and *equivalent* are defined once, in
//! `docs/CONTRACT.md`; every safety section here uses them in that sense.
//!
//! # Memory picture
//!
//! ```text
//!  FixedRange     |----------- one range, one owner ------------|
//!  Allocator           |-- block --|     |-- block --|             disjoint while live
//!  Layout              |-- size -->|     requested <= returned <= usable
//! ```
//!
//! # Invariants
//!
//! The traits number theirs: L1 to L7 of a range, the laws of an allocator. What a trait asks of its implementors
//! unsafe code relies on, so those traits are `unsafe`. Nothing here keeps memory of its own.
//!
//! # Threads
//!
//! A trait that may be called by several threads says so by `Sync` of the type; [`GlobalSafe`] asks for it. Nothing
//! here blocks.
//!
//! # Cost
//!
//! Traits are resolved at compile time; forwarding adds no instruction. [`SizeClass::from_layout`] is about ten
//! instructions, and a constant for a constant layout.
//!
//! # Features
//!
//! None by default: no_std, no `alloc`, no atomics, no dependency. `alloc` adds [`HeapSource`]
//! and forwarding for `Box`, `Rc` and `Arc`; `std` adds the operating system's words to
//! [`OsError`], and a line on standard error to [`AbortOnMisuse`]; `serde` makes [`Stats`]
//! serialisable; `siphash` adds `SipHashMac`; `allocator-api2-02`, `allocator-api2-04` and `nightly`
//! add the adapters of one foreign trait each.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(std_allocator_gated, feature(allocator_api))]
#![cfg_attr(std_allocator_markers, feature(allocator_ext))]

#[cfg(feature = "alloc")]
extern crate alloc as alloc_crate;
#[cfg(feature = "std")]
extern crate std;

mod abort;
mod alloc;
mod allocated_region;
pub mod arith;
mod bridge;
mod cache_padded;
mod contents;
mod error;
mod fault;
mod forward;
mod global;
#[cfg(feature = "alloc")]
mod heap;
mod inspect;
mod late;
mod no_heap;
mod nonzero_layout;
mod os;
mod over_pages;
#[cfg(doctest)]
mod pins;
mod profile;
mod promise;
mod protection;
mod range;
mod region;
mod size_class;
mod source;
mod stats;
mod unwind;

pub use abort::AbortOnMisuse;
#[doc(hidden)]
pub use abort::abort_after;
pub use alloc::{Allocator, Deallocator};
pub use allocated_region::AllocatedRegion;
#[cfg(feature = "allocator-api2-04")]
pub use bridge::Foreign04;
#[cfg(std_allocator)]
pub use bridge::ForeignStd;
pub use bridge::StdCompat;
#[doc(hidden)]
pub use bridge::standard;
#[cfg(feature = "allocator-api2-02")]
pub use bridge::{Foreign02, StdCompat02};
pub use cache_padded::{CACHE_LINE, CachePadded};
pub use contents::Contents;
pub use error::{AllocError, LayoutError};
pub use fault::AllocFaultPolicy;
pub use global::{Global, GlobalSafe};
#[cfg(feature = "alloc")]
pub use heap::{HeapSegment, HeapSource};
pub use inspect::{BlockInfo, Corruption, Inspect, Misuse, MisusePolicy, Report};
pub use late::Late;
pub use no_heap::NoHeap;
pub use nonzero_layout::NonZeroLayout;
pub use os::{Advice, OsBacked, OsError, Protection};
pub use over_pages::OverPages;
pub use profile::{Fast, Hardened};
pub use promise::{AllocatorClone, Owns, Reset, StableAddress, StaticAllocator};
#[cfg(feature = "siphash")]
pub use protection::SipHashMac;
pub use protection::{Checked, FreeLink, FreelistProtection, NoProtection, OnMisuse};
pub use range::FixedRange;
pub use region::Region;
pub use size_class::SizeClass;
pub use source::{SegmentSource, SourceFrom};
pub use stats::Stats;
pub use unwind::abort_on_unwind;
