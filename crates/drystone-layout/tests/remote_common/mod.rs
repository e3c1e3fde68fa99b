//! What the tests of slabs with remotes have in common.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses some of these"
)]

use std::ptr::NonNull;

use drystone_core::{Allocator, Deallocator, FixedRange, HeapSegment, NonZeroLayout};
use drystone_layout::{BatchPolicy, RemoteQueue, Ring, SlabOwner, SlabRemote};

use crate::ranges::{heap, layout};

pub type Word = u64;
pub type Owner<Q> = SlabOwner<Word, HeapSegment, Q>;

pub fn word() -> NonZeroLayout {
    layout(8, 8)
}

pub fn ring(capacity: usize, policy: BatchPolicy, queue_capacity: usize) -> Owner<Ring> {
    SlabOwner::with_batch_policy(capacity, heap(capacity * 8, 8), policy, queue_capacity)
        .expect("it fits")
}

pub fn with<Q: RemoteQueue>(capacity: usize, queue: Q) -> Owner<Q> {
    SlabOwner::with_queue(capacity, heap(capacity * 8, 8), queue).expect("it fits")
}

pub fn take<T, B: FixedRange, Q: RemoteQueue>(owner: &SlabOwner<T, B, Q>) -> NonNull<u8> {
    let layout = NonZeroLayout::for_type::<T>().expect("not zero-sized");
    owner.allocate(layout).expect("room").cast()
}

/// All blocks that are left.
pub fn take_all<Q: RemoteQueue>(owner: &Owner<Q>) -> Vec<NonNull<u8>> {
    core::iter::from_fn(|| owner.allocate(word()).ok().map(NonNull::cast)).collect()
}

pub fn free<D: Deallocator>(to: &D, block: NonNull<u8>) {
    // SAFETY: every caller passes a live block of the slab, once.
    unsafe { to.deallocate(block, word()) };
}

pub fn try_free<Q: RemoteQueue>(
    to: &SlabRemote<Word, HeapSegment, Q>,
    block: NonNull<u8>,
) -> Result<(), NonNull<u8>> {
    // SAFETY: every caller passes a live block of the slab, once.
    unsafe { to.try_deallocate(block, word()) }
}
