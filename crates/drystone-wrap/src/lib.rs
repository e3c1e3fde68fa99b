//! One behaviour over any allocator.
//!
//! # What
//!
//! A wrapper owns its inner allocator, is an allocator itself, and adds one thing. Wrappers stack
//! by type: `Statistics<Locked<Slab<..>>>` is a slab, behind a lock, counted. Nothing is between
//! them at run time.
//!
//! | wrapper | what it adds |
//! |---|---|
//! | [`WithFallback<P, S>`](WithFallback) | what the primary cannot serve, the secondary does |
//! | [`Segregate<SMALL, LARGE>`](Segregate) | small blocks from one allocator, large ones from another |
//! | [`Budget<A>`](Budget) | a hard limit on the bytes that are out |
//! | [`Watermark<A, H>`](Watermark) | tells a handler when memory runs low |
//! | [`Tagged<A>`](Tagged) | counts under a label whose memory it is |
//! | [`PoisonOnFree<A>`](PoisonOnFree) | freed bytes carry a pattern |
//! | `ZeroizeOnFree<A>` | freed bytes are zero, for sure |
//! | [`Quarantine<A, N>`](Quarantine) | freed blocks rest, and writes to them are found |
//! | [`Canary<A>`](Canary) | writes beside a block are found |
//! | [`GuardPages<A>`](GuardPages) | an access beside a block faults |
//! | [`CacheJitter<A>`](CacheJitter) | large blocks start in different sets of a cache |
//! | [`NumaLocal<A>`](NumaLocal) | memory of one node |
//! | [`HugePageAdvised<A>`](HugePageAdvised) | memory that should be huge pages |
//! | [`Locked<A, L>`](Locked) | any thread may call; one at a time is inside |
//! | [`Statistics<A>`](Statistics) | counts of blocks and bytes, and their peak |
//! | [`Faulty<A, P>`](Faulty) | refuses the requests that a policy names |
//!
//! [`AllocatorExt`] has a method for each: `arena.poison_on_free().quarantine::<64>().statistics()`.
//!
//! Which promises of the inner allocator a wrapper keeps is part of its contract: the table in
//! `docs/COMPOSING.md` says so, and a test compares the table with the types.
//!
//! # Memory picture
//!
//! ```text
//!  Statistics { counts, Canary { key, Slab { list, range } } }      one value, one type
//!
//!  Canary's block:  | front words | what the caller asked for | back word | slack |
//!  Slab's block:    |<---------------------- slot ----------------------------->|
//! ```
//!
//! Most wrappers hand the inner block on as it is; `Canary`, `GuardPages` and `CacheJitter` put something beside it.
//!
//! # Invariants
//!
//! Each module numbers its own. Of them all: a live block of the wrapper is one of the inner allocator's, given back
//! once, with a layout that fits it there; a request that fails changes nothing; a wrapper that is switched off is
//! the inner allocator.
//!
//! # Threads
//!
//! A wrapper is `Sync` if its inner allocator is and its own state allows it: `Locked` makes it so, `Quarantine` keeps
//! it from being so. Only `Locked` waits.
//!
//! # Cost
//!
//! What each adds to a pair is counted in `docs/BENCHMARKS.md`: nothing where it is off or only passes on.
//!
//! # Features
//!
//! None by default: no_std, no `alloc`. `std` gives [`Statistics`] its path without atomic
//! operations; `parking_lot` adds a lock whose waiters sleep; `critical-section` adds
//! `CriticalSectionLock`, without compare-and-swap; `zeroize` adds `ZeroizeOnFree`.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "std", loom, test))]
extern crate std;

#[macro_use]
mod macros;

#[cfg(target_has_atomic = "ptr")]
mod budget;
#[cfg(target_has_atomic = "ptr")]
mod cache_jitter;
#[cfg(target_has_atomic = "ptr")]
mod canary;
mod ext;
mod fallback;
mod faults;
mod faulty;
#[cfg(target_has_atomic = "ptr")]
mod guard_pages;
mod huge_page_advised;
mod locked;
mod no_heap;
mod numa_local;
#[cfg(all(test, loom))]
mod one_block;
#[cfg(feature = "parking_lot")]
mod parking_lot_lock;
mod poison;
mod quarantine;
mod relocate;
mod resize;
mod scrub;
mod segregate;
#[cfg(target_has_atomic = "32")]
mod sizes;
#[cfg(target_has_atomic = "32")]
mod statistics;
mod switch;
#[cfg(target_has_atomic = "32")]
mod tagged;
#[cfg(target_has_atomic = "ptr")]
mod watermark;
#[cfg(feature = "zeroize")]
mod zeroize;

#[cfg(target_has_atomic = "ptr")]
pub use budget::Budget;
#[cfg(target_has_atomic = "ptr")]
pub use cache_jitter::CacheJitter;
#[cfg(target_has_atomic = "ptr")]
pub use canary::Canary;
#[cfg(feature = "critical-section")]
pub use drystone_sync::CriticalSectionLock;
#[cfg(target_has_atomic = "32")]
pub use drystone_sync::SpinLock;
pub use drystone_sync::{NoLock, RawLock};
pub use ext::AllocatorExt;
pub use fallback::WithFallback;
pub use faults::{AlwaysFail, FailOnSize, NeverFail};
#[cfg(target_has_atomic = "ptr")]
pub use faults::{FailAfter, FailEveryNth};
pub use faulty::Faulty;
#[cfg(target_has_atomic = "ptr")]
pub use guard_pages::{GuardPages, Placement};
pub use huge_page_advised::HugePageAdvised;
pub use locked::Locked;
pub use numa_local::NumaLocal;
#[cfg(feature = "parking_lot")]
pub use parking_lot_lock::ParkingLotLock;
pub use poison::{Poison, PoisonOnFree};
pub use quarantine::Quarantine;
pub use scrub::{Scrub, ScrubOnFree};
pub use segregate::Segregate;
#[cfg(target_has_atomic = "32")]
pub use statistics::Statistics;
pub use switch::{Off, On, Switch};
#[cfg(target_has_atomic = "32")]
pub use tagged::{Tag, TagRef, Tagged};
#[cfg(target_has_atomic = "ptr")]
pub use watermark::{Watermark, WatermarkHandler};
#[cfg(feature = "zeroize")]
pub use zeroize::{ZeroizeOnFree, Zeros};
