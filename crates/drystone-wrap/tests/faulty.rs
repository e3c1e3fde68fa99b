//! `Faulty` and its policies.

mod common;

use common::{Blocks, SLOT, Slots, layout};
use drystone_core::{AllocError, AllocFaultPolicy, Allocator, Owns, Reset};
use drystone_wrap::{
    AlwaysFail, FailAfter, FailEveryNth, FailOnSize, Faulty, NeverFail, PoisonOnFree,
};

/// The answers of a policy to `n` requests.
fn answers(policy: &impl AllocFaultPolicy, n: usize) -> Vec<bool> {
    (0..n).map(|_| policy.should_fail(layout(8, 8))).collect()
}

#[test]
fn each_policy_refuses_what_it_says() {
    assert_eq!(answers(&NeverFail, 3), [false; 3]);
    assert_eq!(answers(&AlwaysFail, 3), [true; 3]);
    assert_eq!(answers(&FailAfter::new(2), 4), [false, false, true, true]);
    assert_eq!(answers(&FailAfter::new(0), 2), [true; 2]);
    assert_eq!(answers(&FailEveryNth::new(1), 3), [true; 3]);
    assert_eq!(
        answers(&FailEveryNth::new(3), 7),
        [false, false, true, false, false, true, false]
    );
    let large = FailOnSize { min_fail_bytes: 9 };
    assert!(!large.should_fail(layout(8, 64)));
    assert!(large.should_fail(layout(9, 1)));
    assert!(FailOnSize { min_fail_bytes: 0 }.should_fail(layout(1, 1)));
}

#[test]
#[should_panic(expected = "no zeroth request")]
fn every_zeroth_is_refused() {
    let _ = FailEveryNth::new(0);
}

#[test]
fn the_passes_left_can_be_read() {
    let policy = FailAfter::new(3);
    for left in [2, 1, 0, 0, 0] {
        policy.should_fail(layout(1, 1));
        assert_eq!(policy.remaining(), left);
    }
}

#[test]
fn constants_can_hold_policies() {
    static FAULTS: FailEveryNth = FailEveryNth::new(2);
    assert_eq!(answers(&FAULTS, 2), [false, true]);
}

#[test]
fn a_growth_through_a_wrapper_that_would_rather_stay_is_one_request() {
    let memory = PoisonOnFree::new(Faulty::new(Slots::new(8), FailAfter::new(9)));
    let block = memory.take(8, 8).expect("first");
    let grown = memory.grow_to(block, 16).expect("second");
    assert_eq!(memory.inner().policy().remaining(), 7);
    memory.give(grown);
}

#[test]
fn every_request_that_may_need_memory_is_asked_about() {
    let faulty = Faulty::new(Slots::new(8), FailAfter::new(5));
    let block = faulty.take(8, 8).expect("first");
    let zeroed = faulty.take_zeroed(8, 8).expect("second");
    let block = faulty.grow_to(block, 16).expect("third");
    let block = faulty.grow_zeroed_to(block, 24).expect("fourth");
    let block = faulty.shrink_to(block, 8, 8).expect("fifth");
    assert_eq!(faulty.policy().remaining(), 0);
    block.fill(1);
    let live = faulty.inner().live();
    assert_eq!(faulty.take(8, 8), Err(AllocError));
    assert_eq!(faulty.take_zeroed(8, 8), Err(AllocError));
    assert_eq!(faulty.grow_to(block, 9), Err(AllocError));
    assert_eq!(faulty.grow_zeroed_to(block, 9), Err(AllocError));
    assert_eq!(faulty.shrink_to(block, 7, 8), Err(AllocError));
    assert_eq!(
        faulty.inner().live(),
        live,
        "the inner allocator was not asked"
    );
    block.check(1, 8);
    faulty.give(block);
    faulty.give(zeroed);
    assert_eq!(faulty.inner().live(), 0, "frees are never refused");
}

#[test]
fn resizes_are_judged_by_the_new_size() {
    let policy = FailOnSize {
        min_fail_bytes: SLOT,
    };
    let faulty = Faulty::new(Slots::new(1), policy);
    let block = faulty.take(SLOT - 1, 8).expect("below the limit");
    assert_eq!(faulty.grow_to(block, SLOT), Err(AllocError));
    let block = faulty.shrink_to(block, 1, 8).expect("below the limit");
    faulty.give(block);
}

#[test]
fn every_nth_of_the_requests_of_a_sequence_fails() {
    for n in 1..20 {
        let faulty = Faulty::new(Slots::new(64), FailEveryNth::new(n));
        for request in 1..=60 {
            let taken = faulty.take(8, 8);
            assert_eq!(taken.is_err(), request % n == 0, "request {request}, n {n}");
        }
    }
}

#[test]
fn a_policy_can_be_lent() {
    let policy = FailAfter::new(1);
    let faulty = Faulty::new(Slots::new(2), &policy);
    let block = faulty.take(1, 1).expect("first");
    assert_eq!(policy.remaining(), 0);
    faulty.give(block);
}

#[test]
fn the_rest_is_the_inner_allocators() {
    let mut faulty = Faulty::new(Slots::new(2), AlwaysFail);
    let block = faulty.inner().take(8, 8).expect("not through the wrapper");
    assert!(faulty.owns(block.ptr));
    assert_eq!(faulty.usable(block), Some(SLOT));
    assert_eq!(faulty.capacity_bytes(), Some(2 * SLOT));
    faulty.inner().set_corruption(5);
    assert_eq!(faulty.corruption_events(), 5);
    faulty.reset();
    // SAFETY: the reset ended every block.
    assert_eq!(unsafe { faulty.into_inner() }.live(), 0);
}
