//! Scopes: what comes back, what stays, and how exactly.

mod ranges;

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::slice;

use drystone_core::{
    AllocatedRegion, Allocator, Deallocator, HeapSegment, Inspect, NonZeroLayout, Owns, Reset,
    StableAddress,
};
use drystone_layout::{BumpArena, Scope};
use ranges::{Inline, heap, layout};

fn arena(bytes: usize) -> BumpArena<HeapSegment> {
    BumpArena::new(heap(bytes, 64))
}

#[test]
fn the_end_of_a_scope_gives_its_memory_back() {
    let mut arena = arena(1024);
    arena.alloc([1u8; 10]);
    for _ in 0..100 {
        let scope = arena.scope();
        scope.alloc([2u8; 900]);
        scope.debug_assert_invariants();
        drop(scope);
        assert_eq!(arena.allocated_bytes(), 10);
    }
    arena.debug_assert_invariants();
}

#[test]
fn a_scope_before_the_first_allocation_rewinds_to_the_start() {
    let mut arena = arena(64);
    drop(arena.scope());
    assert_eq!(arena.allocated_bytes(), 0);
    arena.scope().alloc(1u8);
    assert_eq!(arena.allocated_bytes(), 0);
    arena.alloc([0u8; 64]);
    arena.debug_assert_invariants();
}

#[test]
fn outer_values_live_on_while_and_after_inner_scopes_are_open() {
    let mut arena = arena(1024);
    let outer = arena.scope();
    let before = outer.alloc(1u64);
    let during = {
        let inner = outer.scope();
        let scratch = inner.alloc_slice_fill_with(10, |at| at as u64);
        *before += scratch.iter().sum::<u64>();
        let during = outer.alloc(*before);
        inner.alloc(99u64);
        during
    };
    let after = outer.alloc([7u64; 8]);
    assert_eq!((*before, *during, after[7]), (46, 46, 7));
}

#[test]
fn scopes_nest_deeply_and_come_back_level_by_level() {
    fn descend(scope: &Scope<'_, HeapSegment>, depth: u32) -> u64 {
        let left = scope.remaining_bytes();
        let inner = scope.scope();
        let value = inner.alloc(u64::from(depth));
        let sum = if depth == 0 {
            0
        } else {
            descend(&inner, depth - 1)
        };
        let total = *value + sum;
        drop(inner);
        assert_eq!(scope.remaining_bytes(), left);
        total
    }
    let mut arena = arena(1024);
    assert_eq!(descend(&arena.scope(), 50), 50 * 51 / 2);
    assert_eq!(arena.allocated_bytes(), 0);
}

/// A function that computes in a scope of its own and leaves its result in its caller's.
fn result_in_parent<'a>(parent: &'a Scope<'_, HeapSegment>, depth: u32) -> &'a mut u64 {
    let own = parent.scope();
    own.alloc([0u8; 40]);
    let below = if depth == 0 {
        0
    } else {
        *result_in_parent(&own, depth - 1)
    };
    parent.alloc(below + 1)
}

#[test]
fn results_left_in_the_parent_do_not_keep_the_grandparents_memory() {
    let mut arena = arena(4096);
    let outermost = arena.scope();
    let start = outermost.remaining_bytes();
    for _ in 0..100 {
        let work = outermost.scope();
        assert_eq!(*result_in_parent(&work, 5), 6);
        drop(work);
        assert_eq!(outermost.remaining_bytes(), start);
    }
}

#[test]
fn a_block_of_an_older_scope_keeps_what_is_below_it_and_no_more() {
    let mut arena = arena(1024);
    let outer = arena.scope();
    let start = outer.remaining_bytes();
    let inner = outer.scope();
    inner.alloc([0u8; 100]);
    let kept = outer.alloc(3u8);
    inner.alloc([0u8; 200]);
    drop(inner);
    assert_eq!(start - outer.remaining_bytes(), 101);
    assert_eq!(*kept, 3);
}

#[test]
fn a_pin_of_the_oldest_scope_survives_every_scope_above_it() {
    let mut arena = arena(1024);
    let first = arena.scope();
    let second = first.scope();
    let third = second.scope();
    let fourth = third.scope();
    let kept = first.alloc(11u64);
    drop(fourth);
    drop(third);
    drop(second);
    first.alloc_slice_copy(&[0u64; 20]);
    assert_eq!(*kept, 11);
}

#[test]
fn siblings_dropped_out_of_order_harm_nothing() {
    let mut arena = arena(1024);
    let outer = arena.scope();
    let first = outer.scope();
    let second = outer.scope();
    let of_second = second.alloc(2u64);
    first.alloc(1u64);
    drop(first);
    let of_outer = outer.alloc(3u64);
    let third = outer.scope();
    third.alloc([0u64; 4]);
    assert_eq!((*of_second, *of_outer), (2, 3));
    drop(second);
    drop(third);
    outer.alloc([9u64; 4]);
    assert_eq!(*of_outer, 3);
    drop(outer);
    assert_eq!(
        arena.allocated_bytes(),
        0,
        "the outermost scope frees what was retained"
    );
}

#[test]
fn a_forgotten_inner_scope_is_freed_by_the_outermost() {
    let mut arena = arena(1024);
    let outer = arena.scope();
    let inner = outer.scope();
    inner.alloc([1u8; 100]);
    mem::forget(inner);
    let kept = outer.alloc(5u8);
    {
        let another = outer.scope();
        another.alloc([2u8; 100]);
    }
    outer.alloc([6u8; 100]);
    assert_eq!(*kept, 5);
    drop(outer);
    assert_eq!(arena.allocated_bytes(), 0);
}

#[test]
fn a_forgotten_outermost_scope_leaves_its_memory_in_use_until_a_reset() {
    let mut arena = arena(1024);
    let scope = arena.scope();
    scope.alloc([1u8; 100]);
    mem::forget(scope);
    assert_eq!(arena.allocated_bytes(), 100);
    let kept = arena.allocate(layout(8, 8)).expect("room");
    // SAFETY: the block is new and writable.
    unsafe { kept.cast::<u64>().write(8) };
    let used = arena.allocated_bytes();
    {
        let scope = arena.scope();
        scope.alloc([2u8; 100]);
        scope.scope().alloc(1u64);
    }
    assert_eq!(arena.allocated_bytes(), used);
    {
        let scope = arena.scope();
        let inner = scope.scope();
        inner.alloc([3u8; 100]);
        mem::forget(inner);
    }
    assert_eq!(
        arena.allocated_bytes(),
        used,
        "the next outermost scope is outermost again"
    );
    // SAFETY: blocks of the arena itself outlive its scopes.
    assert_eq!(unsafe { kept.cast::<u64>().read() }, 8);
    arena.debug_assert_invariants();
    arena.reset();
    assert_eq!(arena.allocated_bytes(), 0);
}

#[test]
fn a_panic_rewinds_every_scope_it_leaves() {
    let mut arena = arena(1024);
    arena.alloc(1u8);
    let before = arena.allocated_bytes();
    let call = || {
        let outer = arena.scope();
        outer.alloc([0u8; 100]);
        let inner = outer.scope();
        inner.alloc([0u8; 100]);
        outer.alloc_with(|| -> u64 { panic!("on purpose") });
    };
    catch_unwind(AssertUnwindSafe(call)).expect_err("panics");
    assert_eq!(arena.allocated_bytes(), before);
    arena.debug_assert_invariants();
}

#[test]
fn a_closure_may_end_an_inner_scope_below_its_room() {
    let mut arena = arena(1024);
    let outer = arena.scope();
    let inner = outer.scope();
    inner.alloc([0u8; 50]);
    let made = outer.alloc_with(move || {
        drop(inner);
        [4u64; 4]
    });
    outer.alloc([0u8; 200]);
    assert_eq!(made, &[4; 4]);
}

#[test]
fn giving_back_below_an_inner_mark_harms_nothing() {
    let mut arena = arena(256);
    let outer = arena.scope();
    let size = layout(64, 8);
    let block = outer.allocate(size).expect("room").cast();
    let inner = outer.scope();
    // SAFETY: the block is live with this layout.
    unsafe { outer.deallocate(block, size) };
    let low = inner.alloc([1u64; 4]);
    let kept = outer.alloc([2u64; 2]);
    inner.alloc([3u64; 2]);
    assert_eq!(low, &[1; 4]);
    drop(inner);
    outer.alloc([5u64; 8]);
    assert_eq!(kept, &[2; 2]);
}

#[test]
fn the_end_of_a_scope_never_moves_the_cursor_up() {
    let mut arena = arena(256);
    let outer = arena.scope();
    let size = layout(64, 8);
    let block = outer.allocate(size).expect("room").cast();
    let inner = outer.scope();
    // SAFETY: the block is live with this layout.
    unsafe { outer.deallocate(block, size) };
    drop(inner);
    assert_eq!(outer.remaining_bytes(), 256);
}

#[test]
fn growth_in_place_through_an_outer_scope_is_kept() {
    let mut arena = arena(512);
    let outer = arena.scope();
    let (small, large) = (layout(8, 8), layout(128, 8));
    let block = outer.allocate(small).expect("room").cast::<u8>();
    let inner = outer.scope();
    // SAFETY: the block is live with this layout, and grows.
    let grown = unsafe { outer.grow(block, small, large) }.expect("room");
    assert_eq!(grown.cast(), block);
    // SAFETY: the block is live and 128 bytes long.
    unsafe { grown.as_ptr().cast::<u8>().write_bytes(7, 128) };
    drop(inner);
    outer.alloc([0u8; 128]);
    // SAFETY: every byte was written.
    let held = unsafe { slice::from_raw_parts(block.as_ptr(), 128) };
    assert_eq!(held, [7; 128]);
}

#[test]
fn shrinking_in_place_through_an_outer_scope_keeps_no_memory_of_the_inner() {
    let mut arena = arena(512);
    let outer = arena.scope();
    let start = outer.remaining_bytes();
    let (large, small) = (layout(64, 8), layout(8, 8));
    let block = outer.allocate(large).expect("room").cast::<u8>();
    let inner = outer.scope();
    inner.alloc([0u8; 100]);
    // SAFETY: the block is live with this layout, and shrinks.
    unsafe { outer.shrink(block, large, small) }.expect("in place");
    drop(inner);
    assert_eq!(start - outer.remaining_bytes(), 64);
}

#[test]
fn a_scope_is_an_allocator_that_knows_its_range_and_stays_in_place() {
    fn checks<A: Allocator + Owns + StableAddress>(scope: A, layout: NonZeroLayout) -> A {
        let block = scope.allocate(layout).expect("room");
        assert!(scope.owns(block.cast()));
        assert!(!scope.owns(NonNull::from(&layout).cast()));
        // SAFETY: the block is live with this layout.
        assert_eq!(unsafe { scope.usable_size(block.cast(), layout) }, Some(24));
        scope
    }
    let mut arena = BumpArena::new(Inline::<512>::new());
    let outer = arena.scope();
    assert_eq!(outer.capacity_bytes(), Some(512));
    let outer = checks(outer, layout(24, 8));
    checks(&outer, layout(24, 8));
    let region = AllocatedRegion::new(&outer, layout(64, 16)).expect("room");
    let nested = BumpArena::new(region);
    nested.alloc([0u64; 8]);
    assert!(nested.try_alloc(1u8).is_err());
}

#[test]
fn a_collection_can_own_its_scope() {
    let mut arena = arena(1024);
    let outer = arena.scope();
    let left = outer.remaining_bytes();
    let region = AllocatedRegion::new(outer.scope(), layout(100, 1)).expect("room");
    let kept = outer.alloc(1u8);
    drop(region);
    assert_eq!(left - outer.remaining_bytes(), 101);
    assert_eq!(*kept, 1);
}

#[test]
fn an_exhausted_scope_leaves_its_parent_usable() {
    let mut arena = arena(100);
    let outer = arena.scope();
    let inner = outer.scope();
    while inner.try_alloc(1u8).is_ok() {}
    assert!(outer.try_alloc(1u8).is_err());
    drop(inner);
    assert!(outer.try_alloc([0u8; 100]).is_ok());
}

#[test]
fn reset_forgets_scopes_and_frees_all() {
    let mut arena = arena(100);
    let digest = {
        arena.alloc(1u8);
        arena.reset();
        arena.state_digest()
    };
    mem::forget(arena.scope());
    arena.reset();
    assert_eq!(arena.allocated_bytes(), 0);
    assert_ne!(arena.state_digest(), digest, "serials are not reused");
    let scope = arena.scope();
    let value = scope.alloc(2u8);
    scope.scope().alloc(3u8);
    assert_eq!(*value, 2);
}
