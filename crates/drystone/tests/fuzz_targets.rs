//! The fuzz targets as property tests, and the replay of the committed seeds.

use std::fs;
use std::path::Path;

use drystone_testkit::Random;
use drystone_testkit::targets::{
    target_bump, target_class_table, target_exploit, target_extendable_slab, target_generational,
    target_growable_bump, target_layout_arith, target_owner_remote, target_pool_views,
    target_shared_bump, target_slab, target_slab_cache, target_slots, target_stack,
};
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 2000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..if cfg!(miri) { 80 } else { 1600 })
}

/// For targets whose threads take turns, which is slow.
fn few_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..if cfg!(miri) { 60 } else { 300 })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bump(data in any_bytes()) {
        target_bump(&data);
    }

    #[test]
    fn slab(data in any_bytes()) {
        target_slab(&data);
    }

    #[test]
    fn owner_remote(data in few_bytes()) {
        target_owner_remote(&data);
    }

    // Miri takes minutes for blocks that are filled as a whole.
    #[cfg(not(miri))]
    #[test]
    fn arena(data in few_bytes()) {
        drystone_testkit::targets::target_arena(&data);
    }

    #[test]
    fn slots(data in any_bytes()) {
        target_slots(&data);
    }

    #[test]
    fn slab_cache(data in any_bytes()) {
        target_slab_cache(&data);
    }

    #[test]
    fn exploit(data in any_bytes()) {
        target_exploit(&data);
    }

    #[test]
    fn extendable_slab(data in few_bytes()) {
        target_extendable_slab(&data);
    }

    #[test]
    fn generational(data in any_bytes()) {
        target_generational(&data);
    }

    #[test]
    fn stack(data in any_bytes()) {
        target_stack(&data);
    }

    #[test]
    fn shared_bump(data in any_bytes()) {
        target_shared_bump(&data);
    }

    #[test]
    fn growable_bump(data in any_bytes()) {
        target_growable_bump(&data);
    }

    #[test]
    fn pool_views(data in any_bytes()) {
        target_pool_views(&data);
    }

    #[test]
    fn class_table(data in numbers()) {
        target_class_table(&data);
    }

    #[test]
    fn layout_arith(data in numbers()) {
        target_layout_arith(&data);
    }
}

/// Numbers of every magnitude, next to powers of two more often than not.
fn numbers() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        any::<u64>(),
        (0..64u32, 0..5u64)
            .prop_map(|(log2, near)| (1u64 << log2).wrapping_add(near).wrapping_sub(2)),
        (0..64u32).prop_map(|log2| 1 << log2),
        Just(isize::MAX as u64),
        0..200_000u64,
    ];
    proptest::collection::vec(number, 0..24).prop_map(|numbers| {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    })
}

/// Runs `target` on every committed seed. A packaged crate has no seeds beside it.
fn replay(name: &str, target: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    if !seeds.exists() {
        println!("no seeds: {} does not exist", seeds.display());
        return;
    }
    let mut replayed = 0;
    for entry in fs::read_dir(seeds.join(name)).expect("a directory of seeds for each target") {
        let path = entry.expect("a readable directory").path();
        target(&fs::read(&path).expect("a readable seed"));
        replayed += 1;
    }
    assert!(replayed > 0, "no seeds for {name}");
}

// Miri runs isolated from the file system.
#[cfg(not(miri))]
#[test]
fn seeds_of_bump() {
    replay("bump", target_bump);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_arena() {
    replay("arena", drystone_testkit::targets::target_arena);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_slab() {
    replay("slab", target_slab);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_exploit() {
    replay("exploit", target_exploit);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_extendable_slab() {
    replay("extendable_slab", target_extendable_slab);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_generational() {
    replay("generational", target_generational);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_stack() {
    replay("stack", target_stack);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_shared_bump() {
    replay("shared_bump", target_shared_bump);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_growable_bump() {
    replay("growable_bump", target_growable_bump);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_slots() {
    replay("slots", target_slots);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_slab_cache() {
    replay("slab_cache", target_slab_cache);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_pool_views() {
    replay("pool_views", target_pool_views);
}

/// Ten million operations on views, each followed by a comparison with the model. Some thousand pages
/// of a thousand, so that a failure names one of them.
#[cfg(not(miri))]
#[test]
#[ignore = "long: cargo test --release -p drystone --all-features --test fuzz_targets -- --ignored"]
fn ten_million_operations_on_views() {
    const PAGES: u64 = 10_000;
    const OPERATIONS: usize = 1000;
    for seed in 0..PAGES {
        let mut random = Random::new(seed);
        let page: Vec<u8> = (0..OPERATIONS)
            .flat_map(|_| random.word().to_le_bytes().into_iter().take(4))
            .collect();
        let outcome = std::panic::catch_unwind(|| target_pool_views(&page));
        assert!(outcome.is_ok(), "page {seed}");
    }
}

#[cfg(not(miri))]
#[test]
fn seeds_of_class_table() {
    replay("class_table", target_class_table);
}

#[cfg(not(miri))]
#[test]
fn seeds_of_layout_arith() {
    replay("layout_arith", target_layout_arith);
}

// Miri runs isolated from the file system.
#[cfg(not(miri))]
#[test]
fn seeds_of_owner_remote() {
    replay("owner_remote", target_owner_remote);
}

#[test]
fn no_bytes_at_all() {
    target_bump(&[]);
    target_slab(&[]);
    target_owner_remote(&[]);
    target_slots(&[]);
    target_slab_cache(&[]);
    target_extendable_slab(&[]);
    target_generational(&[]);
    target_stack(&[]);
    target_shared_bump(&[]);
    target_growable_bump(&[]);
    target_pool_views(&[]);
    target_exploit(&[]);
    target_class_table(&[]);
    target_layout_arith(&[]);
}
