//! General allocators by their `GlobalAlloc` methods, each through its best call: what the arena is
//! compared with.
//!
//! A program names the rivals that it was linked with by a type, [`Linked`] or one of its own, so
//! that every call stays a static one. Two versions of mimalloc export the same C symbols and so
//! need a program each; `benches/apart` has the other one.

mod called;
#[cfg(feature = "rivals")]
mod linked;
mod mimalloc;
#[cfg(feature = "rivals")]
mod rpmalloc;

use std::alloc::{GlobalAlloc, System};

use drystone_arena::{GlobalArena, Profile};

pub(crate) use called::Called;

/// A general allocator.
pub trait Heap: GlobalAlloc + Copy + Send + Sync + 'static {
    /// Whether its code is compiled into the caller. What is written in C is always called.
    const INLINED: bool;

    /// Gives memory that nothing uses back to the system, by the allocator's own call for that, as
    /// far as it has one.
    fn collect(self);
}

/// What is done with every rival.
pub trait Visitor {
    /// Does it with this one.
    fn heap<A: Heap>(&mut self, name: &'static str, heap: A);
}

/// The rivals that a program was linked with.
pub trait Rivals {
    /// Shows each of them to `visitor`.
    fn visit(visitor: &mut impl Visitor);
}

/// The rivals that this package links, as its features say, and the system's allocator.
pub struct Linked;

impl Rivals for Linked {
    fn visit(visitor: &mut impl Visitor) {
        #[cfg(feature = "mimalloc")]
        visitor.heap("mimalloc 2", Mimalloc2);
        #[cfg(feature = "rivals")]
        linked::visit(visitor);
        visitor.heap("the system's", System);
    }
}

#[cfg(feature = "mimalloc")]
crate::mimalloc_heap!(
    /// mimalloc 2.
    pub(crate) Mimalloc2,
    libmimalloc_sys
);

impl<P: Profile> Heap for GlobalArena<P>
where
    Self: GlobalAlloc + Copy,
{
    const INLINED: bool = true;

    fn collect(self) {
        self.trim();
    }
}

impl Heap for System {
    const INLINED: bool = false;

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn collect(self) {
        // SAFETY: it may be called at any time; 0 bytes stay at the top.
        unsafe { libc::malloc_trim(0) };
    }

    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    fn collect(self) {}
}
