//! Buffers of a pool on one thread: the pair, many at a time, shared views, and the exhausted answer.

use std::hint::black_box;
use std::mem::MaybeUninit;

use bytes::{BufMut, Bytes, BytesMut};
use crossbeam_queue::ArrayQueue;
use drystone_pool::{BufferPool, BufferPoolConfig};

use super::pool_buffers::{
    self as buffers, Buffers, Called, General, Inlined, Queue, Stack, touch,
};
use crate::{Arm, Kind, Row};

/// Buffers that the out-and-back row has out at a time.
const OUT: usize = 256;

pub(crate) fn pair_1k() -> Row {
    pair::<1024>("pool-1k", "a buffer of 1 KiB taken and given back")
}

pub(crate) fn pair_4k() -> Row {
    pair::<4096>("pool-4k", "a buffer of 4 KiB taken and given back")
}

pub(crate) fn pair_64k() -> Row {
    pair::<{ 64 << 10 }>("pool-64k", "a buffer of 64 KiB taken and given back")
}

/// A buffer taken, touched at both ends, given back.
fn pair<const N: usize>(id: &'static str, about: &'static str) -> Row {
    struct Pairs<const N: usize>;
    impl<const N: usize> Workload for Pairs<N> {
        fn prepare<B: Buffers>(&self, buffers: B) -> Box<dyn FnMut(u64)> {
            Box::new(move |units| {
                for _ in 0..units {
                    let mut buffer = black_box(buffers).take();
                    touch::<N>(black_box(B::first_byte(&mut buffer)));
                    drop(buffer);
                }
            })
        }
    }
    Row {
        id,
        unit: "pair",
        about,
        arms: contestants::<N>(&Pairs::<N>),
    }
}

/// 256 buffers of 4 KiB taken, then given back in the same order.
pub(crate) fn out_and_back() -> Row {
    const N: usize = 4096;
    struct OutAndBack;
    impl Workload for OutAndBack {
        fn prepare<B: Buffers>(&self, buffers: B) -> Box<dyn FnMut(u64)> {
            let mut out: Box<[MaybeUninit<B::Buffer>]> =
                (0..OUT).map(|_| MaybeUninit::uninit()).collect();
            Box::new(move |units| {
                for _ in 0..units.div_ceil(OUT as u64) {
                    for place in &mut out {
                        black_box(buffers).take_to(place);
                        // SAFETY: just written.
                        let buffer = unsafe { place.assume_init_mut() };
                        touch::<N>(black_box(B::first_byte(buffer)));
                    }
                    for place in black_box(&mut out) {
                        // SAFETY: written above, and dropped once.
                        unsafe { place.assume_init_drop() };
                    }
                }
            })
        }
    }
    Row {
        id: "pool-256",
        unit: "buffer",
        about: "256 buffers of 4 KiB taken, then given back in the same order",
        arms: contestants::<N>(&OutAndBack),
    }
}

/// A workload over any contestant.
pub(crate) trait Workload {
    fn prepare<B: Buffers>(&self, buffers: B) -> Box<dyn FnMut(u64)>;
}

/// Every contestant, prepared for a workload on one thread.
fn contestants<const N: usize>(workload: &impl Workload) -> Vec<Arm> {
    let mut arms = shared_contestants::<N>(workload);
    let stack = workload.prepare(Stack::<N>::new(OUT));
    arms.insert(0, Arm::new("thread-local stack", Kind::Limit, stack));
    arms
}

/// Those whose buffers may go back on another thread.
pub(crate) fn shared_contestants<const N: usize>(workload: &impl Workload) -> Vec<Arm> {
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add(
        "drystone BufferPool",
        Kind::Ours,
        workload.prepare(Called::<N>(buffers::pool())),
    );
    add(
        "drystone BufferPool again",
        Kind::Control,
        workload.prepare(Called::<N>(buffers::pool())),
    );
    add(
        "drystone BufferPool, inlined",
        Kind::Ours,
        workload.prepare(Inlined::<N>(buffers::pool())),
    );
    add(
        "drystone BufferPool, caches off",
        Kind::Ours,
        workload.prepare(Called::<N>(buffers::pool_without_caches())),
    );
    add(
        "crossbeam ArrayQueue",
        Kind::Rival,
        workload.prepare(Queue::<N>::new(buffers::READY)),
    );
    add(
        "system malloc",
        Kind::Rival,
        workload.prepare(General::<_, N>(std::alloc::System)),
    );
    #[cfg(feature = "mimalloc")]
    add(
        "mimalloc 2",
        Kind::Rival,
        workload.prepare(General::<_, N>(crate::blocks::MimallocTuned)),
    );
    #[cfg(feature = "rivals")]
    {
        use super::pool_buffers::object_pool::ObjectPool;
        add(
            "opool",
            Kind::Rival,
            workload.prepare(ObjectPool::<N>::new(buffers::READY)),
        );
        add(
            "snmalloc",
            Kind::Rival,
            workload.prepare(General::<_, N>(snmalloc_rs::SnMalloc)),
        );
        add(
            "jemalloc",
            Kind::Rival,
            workload.prepare(General::<_, N>(super::remote_ends::Jemalloc)),
        );
    }
    arms
}

/// A buffer of 1 KiB taken, filled with a few bytes, frozen, cloned, both views dropped.
pub(crate) fn freeze() -> Row {
    fn pooled(pool: &'static BufferPool) -> impl FnMut(u64) {
        move |units| {
            for _ in 0..units {
                let mut buffer = black_box(pool).try_alloc(1024).expect("one is out");
                buffer.put_u64(black_box(7));
                let view = black_box(buffer.freeze());
                let second = black_box(view.clone());
                drop(view);
                drop(second);
            }
        }
    }
    fn bytes(units: u64) {
        for _ in 0..units {
            let mut buffer = BytesMut::with_capacity(1024);
            buffer.put_u64(black_box(7));
            let view = black_box(buffer.freeze());
            let second = black_box(view.clone());
            drop(view);
            drop(second);
        }
    }
    fn shared_bytes() -> impl FnMut(u64) {
        let kept = Bytes::from(vec![7_u8; 1024]);
        let _shared = kept.clone();
        move |units| {
            for _ in 0..units {
                let view = black_box(black_box(&kept).clone());
                let second = black_box(view.clone());
                drop(view);
                drop(second);
            }
        }
    }
    Row {
        id: "pool-freeze",
        unit: "buffer",
        about: "a buffer of 1 KiB taken, frozen, cloned, both views dropped",
        arms: vec![
            Arm::new(
                "bytes: shared already, cloned twice",
                Kind::Rival,
                shared_bytes(),
            ),
            Arm::new("drystone BufferPool", Kind::Ours, pooled(buffers::pool())),
            Arm::new(
                "drystone BufferPool again",
                Kind::Control,
                pooled(buffers::pool()),
            ),
            Arm::new("bytes over system malloc", Kind::Rival, bytes),
        ],
    }
}

/// The answer of a pool all of whose buffers are out.
pub(crate) fn exhausted() -> Row {
    fn held(buffers: u32) -> impl FnMut(u64) {
        const SIZE: usize = 64;
        let config = BufferPoolConfig::for_network()
            .with_pool_min_size(SIZE)
            .with_min_size(SIZE)
            .with_max_size(SIZE)
            .with_max_per_class(buffers);
        let pool = BufferPool::new(config).expect("valid");
        let out: Vec<_> = std::iter::from_fn(|| pool.try_alloc(SIZE).ok()).collect();
        assert_eq!(out.len(), buffers as usize);
        move |units| {
            let _out = &out;
            for _ in 0..units {
                black_box(black_box(&pool).try_alloc(SIZE).is_err());
            }
        }
    }
    fn queue(units: u64) {
        let queue = ArrayQueue::<Box<[u8]>>::new(64);
        for _ in 0..units {
            black_box(black_box(&queue).pop().is_none());
        }
    }
    Row {
        id: "pool-exhausted",
        unit: "answer",
        about: "a request to a pool all of whose buffers are out",
        arms: vec![
            Arm::new("drystone BufferPool, 64 buffers", Kind::Ours, held(64)),
            Arm::new("drystone BufferPool, 64 again", Kind::Control, held(64)),
            Arm::new(
                "drystone BufferPool, 1 Mi buffers",
                Kind::Ours,
                held(1 << 20),
            ),
            Arm::new("crossbeam ArrayQueue, empty", Kind::Rival, queue),
        ],
    }
}
