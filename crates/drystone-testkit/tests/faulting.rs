//! The fail-the-nth harness: it reaches every call, and finds what a failure leaves behind.

use std::cell::Cell;
use std::ptr::NonNull;

use drystone_core::{AllocError, Allocator, Inspect, NonZeroLayout};
use drystone_testkit::FirstFit;
use drystone_testkit::conformance::Caps;
use drystone_testkit::faulting::{Fail, Faulting, fail_each, unchanged_by_failure};

drystone_testkit::conformance_suite!(
    unarmed,
    || Faulting::new(FirstFit::new(16 << 10)),
    Caps::new(512, 64, 16).reuses_memory().bounded();
    owns, reset, stable_address, inspect, sends
);

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

fn make() -> FirstFit {
    FirstFit::new(4096)
}

/// Frees a live block.
fn free<A: Allocator>(allocator: &A, block: NonNull<[u8]>, size: usize) {
    // SAFETY: the scenarios below pass live blocks of this allocator, and do not use them again.
    unsafe { allocator.deallocate(block.cast(), layout(size)) };
}

/// Three requests, each undone if a later one fails.
fn tidy<A: Allocator + Inspect>(allocator: &A) -> Result<(), AllocError> {
    let one = unchanged_by_failure(allocator, |a| a.allocate(layout(8)))?;
    let two = unchanged_by_failure(allocator, |a| a.allocate_zeroed(layout(16)))
        .inspect_err(|_| free(allocator, one, 8))?;
    let grown = unchanged_by_failure(allocator, |a| {
        // SAFETY: the block is live and was asked for with this layout.
        unsafe { a.grow(two.cast(), layout(16), layout(64)) }
    });
    free(allocator, one, 8);
    match grown {
        Ok(block) => free(allocator, block, 64),
        Err(_) => free(allocator, two, 16),
    }
    grown.map(drop)
}

#[test]
fn every_call_is_reached_alone_and_with_all_that_follow() {
    assert_eq!(fail_each(make, tidy), 3 + 3);
}

#[test]
fn a_scenario_may_survive_failures() {
    let attempts = Cell::new(0);
    let hit = fail_each(make, |allocator| {
        for _ in 0..4 {
            attempts.set(attempts.get() + 1);
            if let Ok(block) = allocator.allocate(layout(8)) {
                free(allocator, block, 8);
            }
        }
        Ok::<(), AllocError>(())
    });
    assert_eq!(hit, 4 + 4);
    assert_eq!(attempts.get(), (8 + 2) * 4 * 2);
}

#[test]
#[should_panic(expected = "Once(2): blocks left outstanding")]
fn a_leak_on_failure_is_found() {
    fail_each(make, |allocator| {
        let one = allocator.allocate(layout(8))?;
        let two = allocator.allocate(layout(8))?;
        free(allocator, one, 8);
        free(allocator, two, 8);
        Ok::<(), AllocError>(())
    });
}

#[test]
#[should_panic(expected = "Once(1): still fails after healing")]
fn a_failure_that_lasts_is_found() {
    let broken = Cell::new(false);
    fail_each(make, |allocator| {
        if broken.get() {
            return Err(AllocError);
        }
        let block = allocator
            .allocate(layout(8))
            .inspect_err(|_| broken.set(true))?;
        free(allocator, block, 8);
        Ok(())
    });
}

#[test]
#[should_panic(expected = "failed although no call was refused")]
fn a_failure_of_its_own_is_found() {
    fail_each(make, |_| Err(AllocError));
}

#[test]
#[should_panic(expected = "a refused request changed the bookkeeping")]
fn a_change_by_a_refused_request_is_found() {
    let allocator = make();
    let _ = unchanged_by_failure(&allocator, |a| {
        a.allocate(layout(8)).and(Err::<(), _>(AllocError))
    });
}

#[test]
fn arming_counts_from_one() {
    let allocator = Faulting::new(make());
    let refused = |fail| {
        allocator.arm(fail);
        let refused: Vec<bool> = (0..5)
            .map(|_| match allocator.allocate(layout(8)) {
                Ok(block) => {
                    free(&allocator, block, 8);
                    false
                }
                Err(_) => true,
            })
            .collect();
        assert_eq!(allocator.calls(), 5);
        assert_eq!(
            allocator.refused(),
            refused.iter().filter(|&&is| is).count()
        );
        refused
    };
    assert_eq!(refused(Fail::Never), [false; 5]);
    assert_eq!(refused(Fail::Once(1)), [true, false, false, false, false]);
    assert_eq!(refused(Fail::Once(3)), [false, false, true, false, false]);
    assert_eq!(refused(Fail::From(3)), [false, false, true, true, true]);
}
