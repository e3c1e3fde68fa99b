//! [`RemoteQueue`]: how a block that is freed away from its owner finds its way home.

use super::{Intrusive, Ring};

/// The way home of remote frees: [`Ring`] or [`Intrusive`].
///
/// Sealed: unsafe code rests on each slot index coming out as often as it was put in.
pub trait RemoteQueue: route::Route {}

impl RemoteQueue for Ring {}
impl RemoteQueue for Intrusive {}

pub(super) mod route {
    /// What the slab asks of a queue. The blocks are named by slot indices.
    ///
    /// Whoever sends an index gives its block up; whoever gets it out has the block. Sending
    /// happens before getting.
    pub trait Route: Sized {
        /// Whether the queue itself can be full. What an unbounded one does not take goes to the
        /// list as a matter of course.
        const BOUNDED: bool;

        /// Whether the owner looks for blocks that came home before it uses slots never used.
        const REUSES_FIRST: bool;

        /// What all handles share.
        type Shared: Send + Sync;
        /// What belongs to the owner.
        type Owner;
        /// What belongs to one remote handle.
        type Port: Send + Sync;

        /// What all share and what the owner has, for a slab of `capacity` blocks.
        fn sides(self, capacity: usize) -> (Self::Shared, Self::Owner);

        /// The part of a new handle.
        fn open(shared: &Self::Shared) -> Self::Port;

        /// Ends a handle's part. Called once, while the handle is being dropped.
        fn close(shared: &Self::Shared, port: &mut Self::Port);

        /// Makes the calling thread the one whose frees are the cheapest.
        fn claim(port: &mut Self::Port);

        /// Sends a block home, through a handle's part if there is one; `false` if there is no
        /// room.
        fn send(shared: &Self::Shared, port: Option<&Self::Port>, index: u32) -> bool;

        /// Called at each allocation and free of the owner: whether it is time to collect.
        fn is_due(shared: &Self::Shared, owner: &Self::Owner) -> bool;

        /// A block that waits, without looking far.
        fn next(owner: &Self::Owner) -> Option<u32>;

        /// Looks for blocks that wait. Those that [`next`](Self::next) will not give are put.
        fn refill(shared: &Self::Shared, owner: &Self::Owner, put: impl FnMut(u32));

        /// Puts every block that waits.
        fn collect(shared: &Self::Shared, owner: &Self::Owner, put: impl FnMut(u32));

        /// Shows the blocks that [`next`](Self::next) will give.
        fn held(owner: &Self::Owner, show: impl FnMut(u32));

        /// The threshold of an adaptive policy.
        fn adaptive_threshold(owner: &Self::Owner) -> Option<usize>;
    }
}
