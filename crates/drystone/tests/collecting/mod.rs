//! What the tests of collections share: random operations, the stacks they run on, and the
//! collections' models.
#![allow(dead_code, unused_macros, reason = "each test program uses a part")]

#[macro_use]
pub(crate) mod models;
#[macro_use]
pub(crate) mod stacks;
pub(crate) mod values;

#[cfg(not(miri))]
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};

/// How many operations each collection does on each stack. Under Miri that makes a thousand in all.
fn operations() -> usize {
    const VARIABLE: &str = "DRYSTONE_COLLECTION_OPERATIONS";
    match std::env::var(VARIABLE) {
        Ok(number) => number.parse().expect("a number of operations"),
        Err(_) if cfg!(miri) => 12,
        Err(_) => 50_000,
    }
}

/// The longest run of operations on one collection.
const RUN: usize = 1000;

/// The largest number of elements.
pub(crate) const LEN_MAX: usize = 200;

/// One operation. What it does is up to the collection's model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) kind: u8,
    /// Which element, key or position.
    pub(crate) at: u16,
    pub(crate) value: u32,
}

impl Step {
    /// An index below `len`, or `None` if that is 0.
    pub(crate) fn index(self, len: usize) -> Option<usize> {
        usize::from(self.at).checked_rem(len)
    }

    /// A position from 0 to `len`.
    pub(crate) fn position(self, len: usize) -> usize {
        usize::from(self.at) % (len + 1)
    }

    /// Few enough keys that they meet again.
    pub(crate) fn key(self) -> u16 {
        self.at % 256
    }
}

/// The second half of `steps`, for the collections that come after the first.
pub(crate) fn tail(steps: &[Step]) -> &[Step] {
    let kept = if cfg!(miri) { 2 } else { steps.len() / 2 };
    &steps[steps.len().saturating_sub(kept)..]
}

/// Does random operations, as many as asked for in all, in runs of their own.
#[cfg(not(miri))]
pub(crate) fn run(model: impl FnMut(&[Step])) {
    let step = (any::<u8>(), any::<u16>(), any::<u32>()).prop_map(|(kind, at, value)| Step {
        kind,
        at,
        value,
    });
    let cases = operations().div_ceil(RUN);
    let config = ProptestConfig {
        cases: u32::try_from(cases).expect("fewer cases"),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let model = std::cell::RefCell::new(model);
    let outcome = TestRunner::new(config).run(&vec(step, RUN..=RUN), |steps| {
        (*model.borrow_mut())(&steps);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// The same in one run, without the machinery that finds the smallest failure: under Miri it takes
/// longer than the operations.
#[cfg(miri)]
pub(crate) fn run(mut model: impl FnMut(&[Step])) {
    let mut state = 0_u64;
    let steps: Vec<_> = (0..operations().min(RUN))
        .map(|_| {
            state = state
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            Step {
                kind: (state >> 56) as u8,
                at: (state >> 40) as u16,
                value: (state >> 8) as u32,
            }
        })
        .collect();
    model(&steps);
}
