//! Compositions that may not exist, pinned by the compiler's error codes.
//!
//! A collection that owns an arena whose bytes move with it:
//! ```compile_fail,E0277
//! # use drystone::{BumpArena, InlineBacked, StdCompat};
//! let arena = BumpArena::new(InlineBacked::<256>::new());
//! let vec = allocator_api2_02::vec::Vec::<u32, _>::new_in(StdCompat::new(arena));
//! ```
//!
//! The same behind a fallback, where a moved block would go to the wrong heap:
//! ```compile_fail,E0277
//! # use drystone::{BumpArena, InlineBacked, StdCompat, System, WithFallback};
//! let both = WithFallback::new(BumpArena::new(InlineBacked::<256>::new()), System);
//! StdCompat::new(both);
//! ```
//!
//! An arena that is reset while a collection has its blocks:
//! ```compile_fail,E0502
//! # use drystone::{BumpArena, InlineBacked, Reset, StdCompat02};
//! let mut arena = BumpArena::new(InlineBacked::<256>::new());
//! let mut vec = allocator_api2_02::vec::Vec::new_in(StdCompat02::new(&arena));
//! arena.reset();
//! vec.push(1);
//! ```
//!
//! An arena that moves while a collection has its blocks:
//! ```compile_fail,E0505
//! # use drystone::{BumpArena, InlineBacked, StdCompat02};
//! let arena = BumpArena::new(InlineBacked::<256>::new());
//! let mut vec = allocator_api2_02::vec::Vec::new_in(StdCompat02::new(&arena));
//! let moved = arena;
//! vec.push(1);
//! ```
//!
//! A collection that leaves its arena behind:
//! ```compile_fail,E0597
//! # use drystone::{BumpArena, InlineBacked, StdCompat02};
//! let boxed = {
//!     let arena = BumpArena::new(InlineBacked::<256>::new());
//!     allocator_api2_02::boxed::Box::new_in(1, StdCompat02::new(&arena))
//! };
//! assert_eq!(*boxed, 1);
//! ```
//!
//! A collection on another thread than its arena, which is of one thread:
//! ```compile_fail,E0277
//! # use drystone::{BumpArena, InlineBacked, StdCompat02};
//! fn send<T: Send>() {}
//! type Arena = BumpArena<InlineBacked<256>>;
//! send::<allocator_api2_02::vec::Vec<u8, StdCompat02<&'static Arena>>>();
//! ```
//!
//! A global allocator of one thread:
//! ```compile_fail,E0277
//! # use drystone::{BumpArena, Global, InlineBacked};
//! Global::new(BumpArena::new(InlineBacked::<256>::new()));
//! ```
//!
//! One whose range is a block of the heap that it would serve:
//! ```compile_fail,E0277
//! # use drystone::{Global, HeapBacked, SharedBumpArena};
//! Global::new(SharedBumpArena::new(HeapBacked::new(4096).unwrap()));
//! ```
//!
//! One that takes its segments from the heap that it would serve:
//! ```compile_fail,E0277
//! # use drystone::{Global, GrowableBump, HeapSource, Locked};
//! Global::new(Locked::new(GrowableBump::new(HeapSource)));
//! ```
//!
//! One that keeps its tables there:
//! ```compile_fail,E0277
//! # use drystone::{ExtendableSlab, Global};
//! Global::new(ExtendableSlab::<u64>::new(64));
//! ```
//!
//! One whose fallback is somebody else's allocator, which may be the heap:
//! ```compile_fail,E0277
//! # use drystone::{Foreign02, Global, InlineBacked, SharedBumpArena, WithFallback};
//! let foreign = Foreign02::new(allocator_api2_02::alloc::Global);
//! Global::new(WithFallback::new(SharedBumpArena::new(InlineBacked::<256>::new()), foreign));
//! ```
//!
//! One whose waiters are queued on the heap:
//! ```compile_fail,E0277
//! # use drystone::{BumpArena, Global, InlineBacked, Locked, ParkingLotLock};
//! let arena = BumpArena::new(InlineBacked::<256>::new());
//! Global::new(Locked::with_lock(arena, ParkingLotLock::new()));
//! ```
//!
//! Each of the last six with a part that keeps the promise:
//! ```
//! # use drystone::{BumpArena, Global, GrowableBump, InlineBacked, Locked, MmapSource};
//! # use drystone::{SharedBumpArena, System, WithFallback};
//! Global::new(Locked::new(BumpArena::new(InlineBacked::<256>::new())));
//! Global::new(SharedBumpArena::new(InlineBacked::<256>::new()));
//! Global::new(Locked::new(GrowableBump::new(MmapSource)));
//! Global::new(WithFallback::new(SharedBumpArena::new(InlineBacked::<256>::new()), System));
//! ```
