//! Views of one storage on several threads. Short, for runs under many schedules.

use drystone_pool::{BufferPool, BufferPoolConfig, IoBuf, IoBufMut};

fn shared(mut buf: IoBufMut, bytes: &[u8]) -> IoBuf {
    buf.try_put_slice(bytes).expect("room for the bytes");
    buf.freeze()
}

/// Three buffers of 1 KiB.
fn small_pool() -> BufferPool {
    let config = BufferPoolConfig::for_network()
        .with_min_size(1024)
        .with_max_size(1024)
        .with_max_per_class(3);
    BufferPool::new(config).expect("memory for a test")
}

#[test]
fn views_cross_threads() {
    let rounds = if cfg!(miri) { 5 } else { 2000 };
    let view = shared(IoBufMut::with_capacity(400), &[9; 300]);
    std::thread::scope(|scope| {
        for first in 0..3 {
            let view = view.clone();
            scope.spawn(move || {
                for round in 0..rounds {
                    let part = view.slice(first..=first + round % 200);
                    assert!(part.iter().all(|&byte| byte == 9));
                    assert!(part.try_into_mut().is_err());
                }
            });
        }
    });
    assert_eq!(view.try_into_mut().unwrap().capacity(), 400);
}

#[test]
fn views_go_home_from_other_threads() {
    let pool = small_pool();
    let rounds = if cfg!(miri) { 3 } else { 200 };
    for round in 0..rounds {
        let view = shared(pool.try_alloc(1024).expect("a free buffer"), &[7; 1000]);
        let parts = [view.slice(..500), view.slice(500..), view];
        let threads = parts
            .map(|part| std::thread::spawn(move || assert!(part.iter().all(|&byte| byte == 7))));
        for thread in threads {
            thread.join().expect("no panic");
        }
        let all: Vec<_> = (0..3).map(|_| pool.try_alloc(1024)).collect();
        assert!(all.iter().all(Result::is_ok), "round {round}: {all:?}");
    }
}

#[test]
fn whoever_is_last_may_write() {
    let rounds = if cfg!(miri) { 3 } else { 2000 };
    for _ in 0..rounds {
        let view = shared(IoBufMut::with_capacity(8), b"12345678");
        let other = view.clone();
        let write = |view: IoBuf| match view.try_into_mut() {
            Ok(mut buf) => {
                buf.fill(0);
                true
            }
            Err(view) => {
                assert_eq!(view, b"12345678");
                false
            }
        };
        let thread = std::thread::spawn(move || write(other));
        let here = write(view);
        let there = thread.join().expect("no panic");
        assert!(!(here && there), "both had the only view");
    }
}
