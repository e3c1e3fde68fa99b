//! Origin return and the leak report.

mod pool_kit;

use std::sync::mpsc;
use std::thread;

use drystone_pool::{BufferPool, IoBufMut, ReturnPolicy};
use pool_kit::{CountingSource, small};

#[test]
fn buffers_go_back_to_the_thread_they_came_from() {
    let pool = BufferPool::new(small(64).with_return(ReturnPolicy::Origin)).expect("valid");
    let mut bufs: Vec<_> = (0..8).map(|_| pool.try_alloc(64).expect("room")).collect();
    let mut addresses: Vec<_> = bufs.iter_mut().map(|buf| buf.as_mut_ptr().addr()).collect();
    let created = pool.stats().classes[0].created;
    let shared = pool.clone();
    let idle = pool_kit::Idle::start(1, move |_| drop(shared.try_alloc(128).expect("room")));
    thread::spawn(move || drop(bufs)).join().expect("ends");
    // Neither that thread's cache nor the shared list has them: this thread finds its own again.
    let mut again: Vec<_> = (0..created)
        .map(|_| pool.try_alloc(64).expect("room"))
        .collect();
    assert_eq!(pool.stats().classes[0].created, created);
    let mut seen: Vec<_> = again
        .iter_mut()
        .map(|buf| buf.as_mut_ptr().addr())
        .collect();
    seen.sort_unstable();
    addresses.sort_unstable();
    assert!(
        addresses
            .iter()
            .all(|address| seen.binary_search(address).is_ok())
    );
    drop(idle);
}

#[test]
fn what_is_on_its_way_home_can_be_had_by_others() {
    let config = small(8).with_return(ReturnPolicy::Origin);
    let pool = BufferPool::new(config).expect("valid");
    let (send, receive) = mpsc::channel::<Vec<IoBufMut>>();
    let shared = pool.clone();
    let idle = pool_kit::Idle::start(1, move |_| {
        let all = (0..8)
            .map(|_| shared.try_alloc(64).expect("room"))
            .collect();
        send.send(all).expect("the test listens");
    });
    // Sent to the idle thread, which does not come for them.
    drop(receive.recv().expect("sent"));
    let all: Vec<_> = (0..8).map(|_| pool.try_alloc(64).expect("found")).collect();
    assert!(pool.try_alloc(64).is_err());
    drop(all);
    drop(idle);
}

#[test]
fn threads_and_pools_end_with_buffers_on_their_way() {
    let source = CountingSource::default();
    let config = small(8).with_return(ReturnPolicy::Origin);
    let pool = BufferPool::with_source(config, source.clone()).expect("valid");
    let shared = pool.clone();
    let bufs: Vec<_> = thread::spawn(move || {
        (0..8)
            .map(|_| shared.try_alloc(64).expect("room"))
            .collect()
    })
    .join()
    .expect("ends");
    let mut bufs: Vec<IoBufMut> = bufs;
    // Their thread is gone: they stay here.
    drop(bufs.split_off(4));
    assert!(pool.try_alloc(64).is_ok());
    drop(pool);
    assert_eq!(source.live(), 1);
    drop(bufs);
    assert_eq!(source.live(), 0);
}

#[test]
fn a_pipeline_with_origin_return_loses_nothing() {
    const BUFFERS: usize = if cfg!(miri) { 60 } else { 50_000 };
    let pool = BufferPool::new(small(64).with_return(ReturnPolicy::Origin)).expect("valid");
    let (send, receive) = mpsc::sync_channel::<IoBufMut>(16);
    thread::scope(|scope| {
        let consumer = scope.spawn(move || receive.into_iter().for_each(drop));
        for _ in 0..BUFFERS {
            let buf = loop {
                match pool.try_alloc(64) {
                    Ok(buf) => break buf,
                    Err(_) => thread::yield_now(),
                }
            };
            send.send(buf).expect("the other end is there");
        }
        drop(send);
        consumer.join().expect("ends");
    });
    pool.flush_idle();
    let class = pool.stats().classes[0];
    assert_eq!((class.in_use, class.free), (0, class.created));
}

#[test]
fn zeroes_and_origin_go_together() {
    let config = small(4)
        .with_return(ReturnPolicy::Origin)
        .with_zero_on_free(true);
    let pool = BufferPool::new(config).expect("valid");
    let mut buf = pool.try_alloc(64).expect("room");
    buf.try_put_slice(&[9; 64]).expect("room");
    thread::spawn(move || drop(buf)).join().expect("ends");
    for _ in 0..4 {
        // SAFETY: the pool has set every byte that was written to zero; untouched memory of the
        // pool's own source is zero.
        let buf = unsafe { pool.alloc_len(64) };
        assert_eq!(&buf[..], &[0; 64]);
    }
}

#[test]
fn the_leak_report_tells_who_holds_what() {
    let pool = BufferPool::new(small(16).with_leak_report(1)).expect("valid");
    let here: Vec<_> = (0..3).map(|_| pool.try_alloc(64).expect("room")).collect();
    let there = pool.alloc(1000);
    let report = pool.leak_report();
    assert_eq!(report.places.len(), 2);
    let (large, small) = (&report.places[0], &report.places[1]);
    assert_eq!((large.buffers, large.bytes), (1, 1024));
    assert_eq!((small.buffers, small.bytes), (3, 192));
    assert!(large.location.file().ends_with("pool_policies.rs"));
    assert_eq!(large.location.line(), small.location.line() + 1);
    assert!(report.to_string().contains("pool_policies.rs"));
    drop(here);
    assert_eq!(pool.leak_report().places.len(), 1);
    // A view of the buffer is still the buffer.
    let mut there = there;
    there.try_put_slice(b"bytes").expect("room");
    let part = there.freeze().slice(1..2);
    assert_eq!(pool.leak_report().places.len(), 1);
    drop(part);
    assert!(pool.leak_report().places.is_empty());
}

#[test]
fn the_leak_report_takes_samples() {
    let pool = BufferPool::new(small(16).with_leak_report(4)).expect("valid");
    let held: Vec<_> = (0..8).map(|_| pool.try_alloc(64).expect("room")).collect();
    let report = pool.leak_report();
    assert_eq!((report.every, report.places[0].buffers), (4, 2));
    drop(held);
    assert!(pool.leak_report().places.is_empty());
}

#[test]
fn a_pool_that_does_not_note_reports_nothing() {
    let pool = BufferPool::new(small(4)).expect("valid");
    let _held = pool.try_alloc(64).expect("room");
    assert_eq!(pool.leak_report().every, 0);
    assert!(pool.leak_report().places.is_empty());
}
