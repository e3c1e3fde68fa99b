//! The ring of a slab with remotes: its limits, its thresholds, and how they adapt.
#![cfg(feature = "std")]

mod ranges;
mod remote_common;

use std::ptr::NonNull;

use drystone_core::HeapSegment;
use drystone_layout::{
    ADAPTIVE_COOLDOWN_TICKS, ADAPTIVE_LEVELS, BatchPolicy, Intrusive, Ring, SlabRemote,
};
use remote_common::{Owner, Word, free, ring, take, take_all, try_free, with};

#[test]
fn a_ring_without_room_refuses_and_loses_nothing() {
    for policy in [
        BatchPolicy::Fixed(0),
        BatchPolicy::Fixed(9),
        BatchPolicy::Adaptive,
    ] {
        let owner = ring(4, policy, 0);
        let remote = owner.remote();
        let blocks = take_all(&owner);
        for &block in &blocks {
            assert_eq!(try_free(&remote, block), Err(block));
            free(&remote, block);
        }
        assert_eq!(take_all(&owner).len(), 4);
    }
}

#[test]
fn a_full_ring_refuses_and_its_overflow_comes_home_too() {
    for queue_capacity in [1, 2, 3] {
        let owner = ring(8, BatchPolicy::Fixed(usize::MAX), queue_capacity);
        let remote = owner.remote();
        let blocks = take_all(&owner);
        for (n, &block) in blocks.iter().enumerate() {
            let taken = try_free(&remote, block);
            assert_eq!(taken.is_ok(), n < queue_capacity);
            if taken.is_err() {
                free(&remote, block);
            }
        }
        assert_eq!(owner.drain(), 8);
        assert_eq!(try_free(&remote, take(&owner)), Ok(()));
    }
}

/// A queue longer than the slab can fill takes no memory for the rest, and refuses nothing.
#[test]
fn a_ring_longer_than_the_slab() {
    let owner = ring(4, BatchPolicy::default(), usize::MAX);
    let remote = owner.remote();
    for block in take_all(&owner) {
        assert_eq!(try_free(&remote, block), Ok(()));
    }
    assert_eq!(take_all(&owner).len(), 4);
}

#[test]
fn a_fixed_threshold_is_exact() {
    let owner = ring(16, BatchPolicy::Fixed(3), 8);
    let remote = owner.remote();
    let blocks: Vec<_> = (0..8).map(|_| take(&owner)).collect();
    free(&remote, blocks[0]);
    free(&remote, blocks[1]);
    let fresh = take(&owner);
    assert!(!blocks.contains(&fresh), "two are below the threshold");
    free(&remote, blocks[2]);
    assert_eq!(take(&owner), blocks[2], "three are not");
    assert_eq!((take(&owner), take(&owner)), (blocks[1], blocks[0]));
    // A free of the owner is a tick as well.
    for &block in &blocks[3..6] {
        free(&remote, block);
    }
    free(&owner, fresh);
    assert_eq!(take(&owner), fresh);
    assert_eq!(take(&owner), blocks[5]);
}

#[test]
fn a_threshold_above_the_capacity_means_the_capacity() {
    for policy in [BatchPolicy::Fixed(64), BatchPolicy::Adaptive] {
        let owner = ring(64, policy, 4);
        let remote = owner.remote();
        let blocks: Vec<_> = (0..8).map(|_| take(&owner)).collect();
        for &block in &blocks[..4] {
            assert_eq!(try_free(&remote, block), Ok(()));
        }
        assert_eq!(try_free(&remote, blocks[4]), Err(blocks[4]));
        let next = take(&owner);
        assert!(blocks[..4].contains(&next), "a full ring is emptied");
        assert_eq!(try_free(&remote, blocks[4]), Ok(()));
    }
}

/// An adaptive owner over a ring of 16, which has made its first tick, and 13 of its blocks: more
/// than three quarters of the ring, and fewer than every threshold but the lowest.
fn adaptive() -> (Owner<Ring>, SlabRemote<Word, HeapSegment>, Vec<NonNull<u8>>) {
    let owner = ring(4096, BatchPolicy::Adaptive, 16);
    let remote = owner.remote();
    assert_eq!(threshold(&owner), 64);
    let blocks = (0..13).map(|_| take(&owner)).collect();
    assert_eq!(threshold(&owner), 128, "less than a quarter waited");
    (owner, remote, blocks)
}

fn threshold(owner: &Owner<Ring>) -> usize {
    owner.adaptive_threshold_snapshot().expect("adaptive")
}

fn tick(owner: &Owner<Ring>, times: u32) {
    for _ in 0..times {
        take(owner);
    }
}

#[test]
fn adaptive_stays_at_the_last_level() {
    let (owner, ..) = adaptive();
    for _ in 0..3 * ADAPTIVE_COOLDOWN_TICKS {
        tick(&owner, 1);
        assert_eq!(threshold(&owner), 128);
    }
}

#[test]
fn adaptive_falls_a_level_after_each_cooldown_and_climbs_again() {
    let (owner, remote, blocks) = adaptive();
    for &block in &blocks {
        assert_eq!(try_free(&remote, block), Ok(()));
    }
    // Twelve of the ticks of the first cooldown are gone.
    tick(&owner, ADAPTIVE_COOLDOWN_TICKS - 12);
    for &level in ADAPTIVE_LEVELS.iter().rev().skip(1) {
        let fresh = take(&owner);
        assert_eq!(threshold(&owner), level);
        assert_eq!(blocks.contains(&fresh), level == 8, "drained at the lowest");
        if level > 8 {
            tick(&owner, ADAPTIVE_COOLDOWN_TICKS);
            assert_eq!(threshold(&owner), level, "cooling down");
        }
    }
    // All 13 wait again at the first tick after the cooldown: there is no lower level.
    tick(&owner, ADAPTIVE_COOLDOWN_TICKS);
    for &block in &blocks {
        assert_eq!(try_free(&remote, block), Ok(()));
    }
    tick(&owner, 1);
    assert_eq!(threshold(&owner), 8);
    // And now nothing waits.
    for &level in &ADAPTIVE_LEVELS[1..] {
        tick(&owner, ADAPTIVE_COOLDOWN_TICKS);
        tick(&owner, 1);
        assert_eq!(threshold(&owner), level);
    }
}

/// A quarter and three quarters, exactly, change nothing.
#[test]
fn adaptive_stays_between_a_quarter_and_three_quarters() {
    for waiting in [4, 12] {
        let (owner, remote, blocks) = adaptive();
        for &block in &blocks[..waiting] {
            assert_eq!(try_free(&remote, block), Ok(()));
        }
        for _ in 0..3 * ADAPTIVE_COOLDOWN_TICKS {
            tick(&owner, 1);
            assert_eq!(threshold(&owner), 128);
        }
    }
}

#[test]
fn other_policies_have_no_threshold_to_adapt() {
    assert_eq!(
        ring(1, BatchPolicy::Fixed(8), 8).adaptive_threshold_snapshot(),
        None
    );
    assert_eq!(with(1, Intrusive).adaptive_threshold_snapshot(), None);
    assert_eq!(BatchPolicy::default(), BatchPolicy::Fixed(64));
}
