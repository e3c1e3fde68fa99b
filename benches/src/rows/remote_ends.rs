//! The contestants of the owner/remote rows: an end that allocates, and an end that frees on
//! another thread.

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::NonNull;

use drystone_backing::MmapBacked;
use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_layout::{Intrusive, RemoteBatch, RemoteQueue, Ring, SlabOwner, SlabRemote};

use crate::blocks::Object;

/// The end that allocates.
pub(crate) trait Owner: 'static {
    /// The end that frees, on another thread.
    type Freer: Freer;

    /// Takes a block and writes its first and last byte.
    fn take(&mut self) -> NonNull<u8>;

    /// The other end.
    fn freer(&mut self) -> Self::Freer;

    /// Takes home what was freed, where there is a call for it.
    fn drain(&mut self) {}
}

/// The end that frees.
pub(crate) trait Freer: Send + 'static {
    /// Gives a block back.
    fn give(&mut self, block: NonNull<u8>);
}

const OBJECT: NonZeroLayout = match NonZeroLayout::for_type::<Object>() {
    Some(layout) => layout,
    None => panic!("the object has a size"),
};

/// Writes the first and the last byte, as every contestant must.
#[inline(always)]
fn touch(block: NonNull<u8>) {
    // SAFETY: every caller passes a live block of 64 bytes.
    unsafe { block.write(1) };
    // SAFETY: as above; 63 is inside the block.
    let last = unsafe { block.add(63) };
    // SAFETY: as above.
    unsafe { last.write(2) };
}

/// How the frees of a drystone slab go home.
pub(crate) trait Way<Q: RemoteQueue>: 'static {
    type Freer: Deallocator + Send + 'static;

    fn freer(owner: &Slab<Q>) -> Self::Freer;
}

pub(crate) type Slab<Q> = SlabOwner<Object, MmapBacked, Q>;
pub(crate) type Remote<Q> = SlabRemote<Object, MmapBacked, Q>;
type Batch<Q> = RemoteBatch<Object, MmapBacked, Q>;

/// A handle on a thread of its own.
pub(crate) struct Own;

impl<Q: RemoteQueue + 'static> Way<Q> for Own
where
    Remote<Q>: Send,
{
    type Freer = Remote<Q>;

    fn freer(owner: &Slab<Q>) -> Remote<Q> {
        owner.remote()
    }
}

/// A handle that another thread has claimed: its frees go through the list, one by one.
pub(crate) struct Claimed;

impl Way<Intrusive> for Claimed {
    type Freer = Remote<Intrusive>;

    fn freer(owner: &Slab<Intrusive>) -> Remote<Intrusive> {
        let mut remote = owner.remote();
        remote.claim();
        remote
    }
}

/// A batch.
pub(crate) struct Batched;

impl Way<Intrusive> for Batched {
    type Freer = Batch<Intrusive>;

    fn freer(owner: &Slab<Intrusive>) -> Batch<Intrusive> {
        owner.remote().batch()
    }
}

/// A drystone slab whose frees go home one way.
pub(crate) struct Drystone<Q: RemoteQueue, W> {
    owner: Slab<Q>,
    way: std::marker::PhantomData<W>,
}

impl<Q: RemoteQueue, W> Drystone<Q, W> {
    pub(crate) fn new(capacity: usize, queue: Q) -> Self {
        let memory = MmapBacked::new(capacity * size_of::<Object>()).expect("memory to map");
        let owner = SlabOwner::with_queue(capacity, memory, queue).expect("room for the slots");
        let way = std::marker::PhantomData;
        Self { owner, way }
    }
}

impl<Q: RemoteQueue, W> Drystone<Q, W> {
    /// The owner, and a handle that does nothing.
    pub(crate) fn idle(self) -> (Slab<Q>, Remote<Q>) {
        let remote = self.owner.remote();
        (self.owner, remote)
    }
}

impl<Q: RemoteQueue + 'static, W: Way<Q>> Owner for Drystone<Q, W> {
    type Freer = Through<W::Freer>;

    #[inline(always)]
    fn take(&mut self) -> NonNull<u8> {
        let block = std::hint::black_box(&self.owner).allocate(OBJECT);
        let block = block.expect("the row stays below the capacity").cast();
        touch(block);
        block
    }

    fn freer(&mut self) -> Self::Freer {
        Through(W::freer(&self.owner))
    }

    fn drain(&mut self) {
        self.owner.drain();
    }
}

/// Frees through a drystone handle.
pub(crate) struct Through<D>(D);

impl<D: Deallocator + Send + 'static> Freer for Through<D> {
    #[inline(always)]
    fn give(&mut self, block: NonNull<u8>) {
        // SAFETY: the block is live, was allocated with this layout, and is given once.
        unsafe { std::hint::black_box(&self.0).deallocate(block, OBJECT) };
    }
}

/// The slab with lanes.
pub(crate) fn lanes(capacity: usize) -> Drystone<Intrusive, Own> {
    Drystone::new(capacity, Intrusive)
}

/// The slab with lanes, freed to through the list.
pub(crate) fn list(capacity: usize) -> Drystone<Intrusive, Claimed> {
    Drystone::new(capacity, Intrusive)
}

/// The slab with lanes, freed to in batches.
pub(crate) fn batches(capacity: usize) -> Drystone<Intrusive, Batched> {
    Drystone::new(capacity, Intrusive)
}

/// The slab with a ring.
pub(crate) fn ring(capacity: usize) -> Drystone<Ring, Own> {
    Drystone::new(capacity, Ring)
}

/// A general-purpose allocator through its `GlobalAlloc` methods, called as statics.
#[cfg(any(feature = "mimalloc", feature = "rivals"))]
#[derive(Clone, Copy)]
pub(crate) struct General<G>(pub(crate) G);

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
const OBJECT_LAYOUT: Layout = Layout::new::<Object>();

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
impl<G: GlobalAlloc + Copy + Send + 'static> Owner for General<G> {
    type Freer = Self;

    #[inline(always)]
    fn take(&mut self) -> NonNull<u8> {
        // SAFETY: the layout is not zero-sized.
        let block = unsafe { self.0.alloc(OBJECT_LAYOUT) };
        let block = NonNull::new(block).expect("64 bytes can be had");
        touch(block);
        block
    }

    fn freer(&mut self) -> Self {
        *self
    }
}

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
impl<G: GlobalAlloc + Copy + Send + 'static> Freer for General<G> {
    #[inline(always)]
    fn give(&mut self, block: NonNull<u8>) {
        // SAFETY: the block is live, has this layout, and is given once.
        unsafe { self.0.dealloc(block.as_ptr(), OBJECT_LAYOUT) };
    }
}

/// The reference's owner/remote slab, with its default batches.
#[cfg(feature = "reference")]
pub(crate) mod reference {
    use std::ptr::NonNull;

    use forge_alloc::{
        Allocator, BatchPolicy, Deallocator, MmapBacked, NonZeroLayout, SlabOwner, SlabRemote,
    };

    use super::{Freer, Object, Owner, touch};

    pub(crate) struct Reference(SlabOwner<Object, MmapBacked>);

    impl Reference {
        pub(crate) fn new(capacity: usize) -> Self {
            let memory = MmapBacked::new(capacity * size_of::<Object>() + 4096);
            let memory = memory.expect("memory to map");
            // With its default queue of 1024 entries a remote that finds it full spins until the
            // owner calls, and an owner that waits for the remote never does: the row would hang.
            let policy = BatchPolicy::Fixed(64);
            let owner = SlabOwner::with_batch_policy(capacity, memory, policy, capacity);
            Self(owner.expect("room for the slots"))
        }
    }

    fn layout() -> NonZeroLayout {
        NonZeroLayout::for_type::<Object>().expect("the object has a size")
    }

    impl Owner for Reference {
        type Freer = Through;

        #[inline(always)]
        fn take(&mut self) -> NonNull<u8> {
            let block = std::hint::black_box(&self.0).allocate(layout());
            let block = block.expect("the row stays below the capacity").cast();
            touch(block);
            block
        }

        fn freer(&mut self) -> Through {
            Through(self.0.remote())
        }

        fn drain(&mut self) {
            self.0.drain();
        }
    }

    pub(crate) struct Through(SlabRemote<Object, MmapBacked>);

    impl Freer for Through {
        #[inline(always)]
        fn give(&mut self, block: NonNull<u8>) {
            // SAFETY: the block is live, was allocated with this layout, and is given once.
            unsafe { std::hint::black_box(&self.0).deallocate(block, layout()) };
        }
    }
}

/// jemalloc by value.
#[cfg(feature = "rivals")]
#[derive(Clone, Copy)]
pub(crate) struct Jemalloc;

#[cfg(feature = "rivals")]
// SAFETY: passes every call on.
unsafe impl GlobalAlloc for Jemalloc {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { tikv_jemallocator::Jemalloc.alloc(layout) }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { tikv_jemallocator::Jemalloc.dealloc(ptr, layout) };
    }
}
