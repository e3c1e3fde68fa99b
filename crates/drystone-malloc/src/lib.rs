//! The C malloc family on the drystone arena.
//!
//! # What
//!
//! `libdrystone_malloc.so` replaces the allocator of a program that nobody rebuilds:
//!
//! ```text
//!  LD_PRELOAD=target/release/libdrystone_malloc.so program
//! ```
//!
//! `libdrystone_malloc.a` does the same for what is linked with it. Rust programs want
//! [`GlobalArena`](drystone_arena::GlobalArena) instead.
//!
//! The library is for Linux. On other systems it is empty: it exports nothing, and a program that is
//! given it keeps its own allocator.
//!
//! # Memory picture
//!
//! ```text
//!  program ── malloc, free, … ──> judged arguments ──> the process-wide arena
//!                                    request             heap
//! ```
//!
//! # Invariants
//!
//! - F1: every block is aligned to 16, has at least the bytes that were asked for, and a block of no
//!   bytes is as much a block as others.
//! - F2: `free` leaves `errno` as it is; whatever refuses memory sets it to `ENOMEM`, but for
//!   `posix_memalign`, which never touches it.
//! - F3: nothing here unwinds, allocates, waits for the loader or needs a constructor to have run; but the
//!   hardened builds ask the loader once for what they hand on to, and their `operator new` throws.
//! - F4: no function calls another by its public name, which may be somebody else's.
//!
//! # Threads
//!
//! As [`GlobalArena`](drystone_arena::GlobalArena). Not from a signal handler that may have
//! interrupted a call of the family in the same thread.
//!
//! # Cost
//!
//! That of the arena, and of finding a block's class by its address. `docs/design/malloc.md` has figures.
#![cfg_attr(docsrs, feature(doc_cfg))]

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        mod errno;
        mod family;
        mod heap;
        mod hooks;
        mod info;
        mod misuse;
        mod output;
        #[cfg(feature = "record")]
        mod record;
        mod request;
        mod settings;
        #[cfg(feature = "hardened")]
        mod copies;
        #[cfg(feature = "hardened")]
        mod kind;
        #[cfg(feature = "hardened")]
        mod operators;

        #[cfg(feature = "hardened")]
        pub use copies::*;
        pub use family::*;
        pub use info::*;
    }
}
