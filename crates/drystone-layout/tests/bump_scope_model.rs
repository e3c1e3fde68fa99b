//! Scopes in every order: all short sequences, and long random ones.

mod bump_scopes;
mod ranges;

use bump_scopes::{Machine, Step};
use proptest::prelude::*;

/// Three scopes opened in any shape, one size, newest blocks only.
fn any_order() -> Vec<Step> {
    let mut steps = Vec::new();
    for scope in 0..3 {
        steps.extend([
            Step::Open { parent: scope },
            Step::Take {
                scope,
                size: 8,
                align: 1,
            },
            Step::Free { scope, age: 0 },
            Step::Resize {
                scope,
                age: 0,
                size: 12,
                align: 1,
            },
            Step::Drop { scope },
            Step::Forget { scope },
        ]);
    }
    steps
}

/// Five scopes, each inside the one before, all of which allocate.
fn nested() -> Vec<Step> {
    let mut steps = Vec::new();
    for scope in 0..5 {
        steps.extend([
            Step::Open { parent: scope },
            Step::Take {
                scope,
                size: 8,
                align: 1,
            },
            Step::Drop { scope },
        ]);
    }
    steps
}

/// Runs every sequence of `depth` more steps after `prefix`, with at most `scopes` openings;
/// returns how many there were.
fn explore(prefix: &mut Vec<Step>, depth: usize, steps: &[Step], scopes: usize) -> usize {
    let mut count = 0;
    for &step in steps {
        // Scopes keep their numbers after they end, so the openings are counted.
        let opened = prefix
            .iter()
            .filter(|step| matches!(step, Step::Open { .. }))
            .count();
        if matches!(step, Step::Open { .. }) && opened == scopes {
            continue;
        }
        let mut machine = Machine::new(256, scopes);
        for &step in &*prefix {
            assert!(machine.step(step));
        }
        if !machine.step(step) {
            continue;
        }
        drop(machine);
        count += 1;
        if depth > 1 {
            prefix.push(step);
            count += explore(prefix, depth - 1, steps, scopes);
            prefix.pop();
        }
    }
    count
}

#[test]
fn no_short_sequence_of_three_scopes_harms_a_live_block() {
    let depth = if cfg!(miri) { 4 } else { 9 };
    // With no scope open every `Open` is the same step, so the first is given.
    let mut prefix = vec![Step::Open { parent: 0 }];
    let count = explore(&mut prefix, depth - 1, &any_order(), 3);
    assert!(count > if cfg!(miri) { 100 } else { 100_000 }, "{count}");
}

#[test]
fn no_short_sequence_of_five_nested_scopes_harms_a_live_block() {
    let depth = if cfg!(miri) { 2 } else { 6 };
    let mut prefix: Vec<_> = [0, 0, 1, 2].map(|parent| Step::Open { parent }).into();
    let count = explore(&mut prefix, depth, &nested(), 5);
    assert!(count > if cfg!(miri) { 10 } else { 10_000 }, "{count}");
}

/// The length of random sequences. Miri reads every byte of every block slowly.
const STEPS_MAX: usize = if cfg!(miri) { 40 } else { 200 };

fn any_step() -> impl Strategy<Value = Step> {
    let scope = 0..12usize;
    let size = prop_oneof![1..40usize, Just(4096), 1..600usize];
    let align = (0..7u32).prop_map(|bit| 1usize << bit);
    prop_oneof![
        2 => scope.clone().prop_map(|parent| Step::Open { parent }),
        6 => (scope.clone(), size.clone(), align.clone())
            .prop_map(|(scope, size, align)| Step::Take { scope, size, align }),
        2 => (scope.clone(), 0..3usize).prop_map(|(scope, age)| Step::Free { scope, age }),
        3 => (scope.clone(), 0..3usize, size, align).prop_map(|(scope, age, size, align)| {
            Step::Resize { scope, age, size, align }
        }),
        2 => scope.clone().prop_map(|scope| Step::Drop { scope }),
        1 => scope.prop_map(|scope| Step::Forget { scope }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 2000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_long_sequence_harms_a_live_block(steps in proptest::collection::vec(any_step(), 1..STEPS_MAX)) {
        let mut machine = Machine::new(16 << 10, 6);
        for step in steps {
            machine.step(step);
        }
    }
}
