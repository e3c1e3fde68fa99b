//! What requests get: sizes, errors, fallbacks, zeroes.

use drystone_pool::{BorrowPolicy, BufferPool, BufferPoolConfig, FallbackPolicy, PoolError};

/// Powers of two from 64 to 1024 bytes, `max` of each.
fn small(max: u32) -> BufferPoolConfig {
    BufferPoolConfig::for_network()
        .with_min_size(64)
        .with_max_size(1024)
        .with_max_per_class(max)
}

fn pool(config: BufferPoolConfig) -> BufferPool {
    BufferPool::new(config).expect("valid")
}

#[test]
fn a_buffer_is_empty_and_has_room() {
    let pool = pool(small(4));
    for capacity in [1, 63, 64, 65, 100, 128, 1000, 1024] {
        let buf = pool.try_alloc(capacity).expect("free");
        assert_eq!(buf.len(), 0);
        assert_eq!(buf.capacity(), capacity.next_power_of_two().max(64));
        assert!(buf.is_pooled());
    }
}

#[test]
fn nothing_asked_is_nothing_taken() {
    let pool = pool(small(1));
    let buf = pool.try_alloc(0).expect("always");
    assert_eq!((buf.capacity(), buf.is_pooled()), (0, false));
    let _all: Vec<_> = [64, 128, 256, 512, 1024]
        .into_iter()
        .map(|size| pool.try_alloc(size).expect("one of each"))
        .collect();
    assert!(pool.try_alloc(0).is_ok());
}

#[test]
fn too_large_and_used_up_are_told_apart() {
    let pool = pool(small(2));
    assert_eq!(pool.try_alloc(1025).unwrap_err(), PoolError::Oversized);
    assert_eq!(
        pool.try_alloc(usize::MAX).unwrap_err(),
        PoolError::Oversized
    );
    let _held = [
        pool.try_alloc(64).expect("free"),
        pool.try_alloc(64).expect("free"),
    ];
    for _ in 0..3 {
        assert_eq!(pool.try_alloc(64).unwrap_err(), PoolError::Exhausted);
        assert_eq!(pool.try_alloc_zeroed(64).unwrap_err(), PoolError::Exhausted);
    }
    // Another class is not concerned.
    assert!(pool.try_alloc(128).is_ok());
    assert_eq!(
        PoolError::Oversized.to_string(),
        "requested capacity exceeds maximum buffer size"
    );
    assert_eq!(
        PoolError::Exhausted.to_string(),
        "pool exhausted for required size class"
    );
}

#[test]
fn a_buffer_that_came_back_goes_out_again() {
    let pool = pool(small(1));
    let mut buf = pool.try_alloc(64).expect("free");
    let first = buf.as_mut_ptr();
    assert!(pool.try_alloc(64).is_err());
    drop(buf);
    for _ in 0..100 {
        let mut buf = pool.try_alloc(64).expect("came back");
        assert_eq!(buf.as_mut_ptr(), first);
    }
}

#[test]
fn a_buffer_returns_with_its_last_view() {
    let pool = pool(small(1));
    let mut buf = pool.try_alloc(64).expect("free");
    buf.try_put_slice(b"0123456789").expect("room");
    let whole = buf.freeze();
    let part = whole.slice(2..5);
    drop(whole);
    assert!(pool.try_alloc(64).is_err());
    assert_eq!(&part[..], b"234");
    // An empty view keeps nothing.
    let empty = part.slice(1..1);
    drop(part);
    assert!(pool.try_alloc(64).is_ok());
    drop(empty);
}

#[test]
fn a_request_may_borrow_from_above() {
    let pool = pool(small(1).with_borrow(BorrowPolicy::NextClass));
    let _own = pool.try_alloc(64).expect("free");
    let borrowed = pool.try_alloc(64).expect("the next class");
    assert_eq!(borrowed.capacity(), 128);
    assert_eq!(pool.try_alloc(64).unwrap_err(), PoolError::Exhausted);
    let two = pool.config().clone().with_borrow(BorrowPolicy::UpTo(2));
    let pool = BufferPool::new(two).expect("valid");
    let sizes: Vec<_> = (0..3)
        .map(|_| pool.try_alloc(1).expect("three classes"))
        .collect();
    assert_eq!(
        sizes.iter().map(|b| b.capacity()).collect::<Vec<_>>(),
        [64, 128, 256]
    );
    assert!(pool.try_alloc(1).is_err());
    // At the top there is nothing above.
    let _top = pool.try_alloc(1024).expect("free");
    assert!(pool.try_alloc(1024).is_err());
}

#[test]
fn alloc_falls_back_to_untracked_memory() {
    let pool = pool(small(1).with_alignment(64));
    let _one = pool.alloc(64);
    let more = pool.alloc(64);
    assert_eq!((more.capacity(), more.is_pooled()), (64, false));
    assert!(more.is_aligned(64usize));
    let large = pool.alloc(5000);
    assert_eq!((large.capacity(), large.is_pooled()), (5000, false));
    let zero = pool.alloc_zeroed(3000);
    assert_eq!(zero.len(), 3000);
    assert!(zero.iter().all(|&byte| byte == 0));
}

#[test]
#[should_panic(expected = "no memory for a request of 64 bytes")]
fn alloc_panics_where_fallbacks_are_refused() {
    let pool = pool(small(1).with_fallback(FallbackPolicy::Refused));
    let _one = pool.alloc(64);
    let _two = pool.alloc(64);
}

#[test]
fn requests_below_the_pools_least_size_are_untracked() {
    let pool = pool(small(1).with_pool_min_size(32).with_alignment(16));
    for capacity in [1, 16, 31] {
        let buf = pool.try_alloc(capacity).expect("untracked");
        assert_eq!((buf.capacity(), buf.is_pooled()), (capacity, false));
        assert!(buf.is_aligned(16usize));
    }
    assert!(pool.try_alloc(32).expect("free").is_pooled());
}

#[test]
fn zeroed_buffers_are_zero_after_dirty_ones() {
    let pool = pool(small(1));
    let mut buf = pool.try_alloc(100).expect("free");
    buf.try_put_slice(&[0xAB; 128]).expect("room");
    drop(buf);
    let buf = pool.try_alloc_zeroed(100).expect("free");
    assert_eq!(&buf[..], &[0; 100]);
    assert_eq!(buf.len(), 100);
}

#[test]
fn alloc_len_has_the_length_asked_for() {
    let pool = pool(small(1));
    // SAFETY: written below before it is read.
    let mut buf = unsafe { pool.alloc_len(100) };
    assert_eq!((buf.len(), buf.capacity()), (100, 128));
    buf.fill(7);
    assert!(buf.iter().all(|&byte| byte == 7));
}

#[test]
fn zero_on_free_leaves_nothing() {
    let pool = pool(small(1).with_zero_on_free(true));
    let mut buf = pool.try_alloc(64).expect("free");
    buf.try_put_slice(&[0xAB; 64]).expect("room");
    drop(buf);
    // SAFETY: the pool has set every byte to zero; none is uninitialised.
    let buf = unsafe { pool.alloc_len(64) };
    assert_eq!(&buf[..], &[0; 64]);
}

#[test]
fn buffers_are_aligned() {
    for align in [1, 64, 256, 4096] {
        let pool = pool(
            BufferPoolConfig::for_network()
                .with_min_size(4096)
                .with_max_size(8192)
                .with_max_per_class(3)
                .with_alignment(align),
        );
        let bufs: Vec<_> = [4096, 4096, 4096, 8192, 8192, 8192]
            .into_iter()
            .map(|size| pool.try_alloc(size).expect("free"))
            .collect();
        assert!(bufs.iter().all(|buf| buf.is_aligned(align)), "{align}");
    }
}

#[test]
fn own_classes_hold_exactly_what_they_say() {
    let config = BufferPoolConfig::for_storage()
        .with_classes([(4096, 2), (4096 + 12, 1), (100, 3)])
        .with_alignment(512);
    let pool = pool(config);
    assert_eq!(pool.config().class_sizes(), [100, 4096, 4108]);
    let page = pool.try_alloc(4097).expect("free");
    assert_eq!(page.capacity(), 4108);
    assert!(page.is_aligned(512usize));
    assert!(pool.try_alloc(4108).is_err());
    let small: Vec<_> = (0..3)
        .map(|_| pool.try_alloc(100).expect("three"))
        .collect();
    assert!(small.iter().all(|buf| buf.is_aligned(512usize)));
    assert!(pool.try_alloc(1).is_err());
}
