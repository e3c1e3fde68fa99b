//! Configurations: presets, derived values, and what each broken limit says.

use drystone_backing::page_size;
use drystone_pool::{BufferPool, BufferPoolConfig, ConfigError};

#[test]
fn presets_are_what_they_say() {
    let network = BufferPoolConfig::for_network();
    assert_eq!(
        (network.min_size(), network.max_size()),
        (1 << 10, 128 << 10)
    );
    assert_eq!(network.max_per_class(), 4096);
    assert_eq!(network.class_sizes().len(), 8);
    assert!(!network.prefill());
    network.validate().expect("valid");
    let storage = BufferPoolConfig::for_storage();
    assert_eq!(
        (storage.min_size(), storage.max_size()),
        (page_size(), 8 << 20)
    );
    assert_eq!(
        (storage.max_per_class(), storage.alignment()),
        (64, page_size())
    );
    storage.validate().expect("valid");
}

#[test]
fn derived_caches_share_half_a_class() {
    let base = BufferPoolConfig::for_network()
        .with_min_size(64)
        .with_max_size(64);
    let capacity = |max, threads| {
        let config = base
            .clone()
            .with_max_per_class(max)
            .with_parallelism(threads);
        config.thread_cache_capacity(64)
    };
    assert_eq!(capacity(64, 8), 4);
    assert_eq!(capacity(4096, 8), 256);
    assert_eq!(capacity(4096, 1), 512);
    assert_eq!(capacity(8, 8), 0);
    // At most what 8 MiB hold, but 8 of those at least.
    let large = BufferPoolConfig::for_network().with_parallelism(1);
    assert_eq!(large.thread_cache_capacity(128 << 10), 63);
    let storage = BufferPoolConfig::for_storage().with_parallelism(1);
    assert_eq!(storage.thread_cache_capacity(8 << 20), 8);
}

#[test]
fn explicit_caches_are_exact() {
    let base = BufferPoolConfig::for_network();
    assert_eq!(
        base.clone()
            .with_thread_cache_capacity(7)
            .thread_cache_capacity(1024),
        7
    );
    assert_eq!(
        base.clone()
            .with_thread_cache_disabled()
            .thread_cache_capacity(1024),
        0
    );
    // A class with a limit of its own caches at most that.
    let own = base
        .with_classes([(100, 3), (200, 10)])
        .with_thread_cache_capacity(7);
    own.validate().expect("valid");
    assert_eq!(
        (
            own.thread_cache_capacity(100),
            own.thread_cache_capacity(200)
        ),
        (3, 7)
    );
}

#[test]
fn the_alignment_of_a_preset_gives_way_to_small_classes() {
    let config = BufferPoolConfig::for_network().with_min_size(16);
    assert_eq!(config.alignment(), 16);
    config.validate().expect("valid");
    let odd = BufferPoolConfig::for_storage().with_classes([100]);
    assert_eq!(odd.alignment(), 64);
}

#[test]
fn tables_take_sizes_and_pairs() {
    let base = BufferPoolConfig::for_network();
    assert_eq!(
        base.clone().with_classes([300, 100, 200]).class_sizes(),
        [100, 200, 300]
    );
    assert_eq!(
        base.clone().with_classes(vec![(4096, 2)]).class_sizes(),
        [4096]
    );
    assert_eq!(
        base.clone().with_classes([1, 2, 3].iter()).class_sizes(),
        [1, 2, 3]
    );
    // Powers of two again.
    assert_eq!(
        base.with_classes([100]).with_max_size(2048).class_sizes(),
        [1024, 2048]
    );
}

/// The error of a configuration, in its own words, and by parts.
#[track_caller]
fn refused(config: BufferPoolConfig, field: &str, value: usize, limit: Option<usize>) {
    let error = config.validate().expect_err("not valid");
    assert_eq!(
        (error.field(), error.value(), error.limit()),
        (field, value, limit),
        "{error}"
    );
    let text = error.to_string();
    assert!(text.contains(field) || field == "classes", "{text}");
    assert!(text.contains(&value.to_string()), "{text}");
    if let Some(limit) = limit {
        assert!(text.contains(&limit.to_string()), "{text}");
    }
    assert_eq!(BufferPool::new(config).expect_err("not valid"), error);
}

#[test]
fn every_limit_names_field_value_and_limit() {
    let base = BufferPoolConfig::for_network;
    refused(base().with_min_size(3000), "min_size", 3000, None);
    refused(base().with_max_size(5000), "max_size", 5000, None);
    refused(base().with_min_size(0), "min_size", 0, None);
    refused(base().with_alignment(48), "alignment", 48, None);
    refused(base().with_alignment(0), "alignment", 0, None);
    refused(base().with_alignment(2048), "min_size", 1024, Some(2048));
    refused(base().with_max_size(512), "max_size", 512, Some(1024));
    refused(
        base().with_pool_min_size(1025),
        "pool_min_size",
        1025,
        Some(1024),
    );
    refused(base().with_max_per_class(0), "max_per_class", 0, Some(1));
    refused(
        base().with_max_per_class(u32::MAX),
        "max_per_class",
        u32::MAX as usize,
        Some(1 << 31),
    );
    refused(base().with_parallelism(0), "parallelism", 0, Some(1));
    refused(
        base().with_thread_cache_capacity(4097),
        "thread_cache_capacity",
        4097,
        Some(4096),
    );
    refused(
        base()
            .with_max_per_class(1 << 31)
            .with_thread_cache_capacity(1 << 20),
        "thread_cache_capacity",
        1 << 20,
        Some(1 << 16),
    );
    refused(
        base()
            .with_alignment(4096)
            .with_min_size(4096)
            .with_budget_bytes(1000),
        "budget_bytes",
        1000,
        Some(128 << 10),
    );
    refused(
        base().with_classes(Vec::<usize>::new()),
        "classes",
        0,
        Some(1),
    );
    refused(base().with_classes(1..=65), "classes", 65, Some(64));
    refused(base().with_classes([0, 1]), "classes.size", 0, Some(1));
    refused(base().with_classes([7, 8, 7]), "classes", 7, None);
    refused(base().with_classes([(7, 0)]), "classes.limit", 0, Some(1));
    refused(
        base().with_max_size(1 << (usize::BITS - 1)),
        "max_size",
        1 << (usize::BITS - 1),
        Some(1 << (usize::BITS - 4)),
    );
}

#[test]
fn the_largest_allowed_values_are_allowed() {
    let base = BufferPoolConfig::for_network;
    for config in [
        base().with_pool_min_size(1024),
        base().with_max_size(1024),
        base().with_alignment(1024),
        base().with_thread_cache_capacity(4096),
        base().with_classes(1..=64),
        base().with_max_size(1 << (usize::BITS - 4)),
    ] {
        config.validate().expect("valid");
    }
}

#[test]
fn an_error_is_an_error() {
    let error = BufferPoolConfig::for_network()
        .with_min_size(3)
        .validate()
        .expect_err("not valid");
    let error: Box<dyn std::error::Error> = Box::new(error);
    assert_eq!(
        error.to_string(),
        "min_size is 3, which is not a power of two"
    );
    assert_eq!(
        ConfigError::NeedsOwnSource {
            field: "huge_page_advice"
        }
        .to_string(),
        "huge_page_advice needs the pool's own source of memory, and another was given"
    );
}
