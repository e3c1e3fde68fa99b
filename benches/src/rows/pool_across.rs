//! Buffers of a pool between two threads.
//!
//! The figures depend on how far the two cores are from each other: read them beside
//! `limit-ping-pong`, and compare only within a row.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use drystone_core::CachePadded;

use super::pool::{Workload, shared_contestants};
use super::pool_buffers::{self as buffers, Buffers, Called, Queue, touch};
use super::remote::{PIECE, TRIES, Worker, in_pieces, wait_until, watched};
use crate::harness::own_time;
use crate::{Arm, Kind, Row};

/// Buffers in one hand-over.
const BATCH: usize = 64;

/// Buffers on their way to the other core at most.
const IN_FLIGHT: usize = 256;

/// Buffers in a piece that is timed: few enough to pass in some 15 microseconds, between two moments at
/// which a shared core is taken away.
const SHORT: usize = 2 << 10;

/// Pieces for each time that the other thread is woken.
const PIECES: usize = 8;

/// Buffers that the hand-over alone sends around: about as many as pass through a pool of ours.
const AROUND: usize = 600;

pub(crate) fn pipe_4k() -> Row {
    pipe::<4096>(
        "pool-pipe-4k",
        "buffers of 4 KiB taken here, handed over in batches of 64, given back on another core",
    )
}

pub(crate) fn pipe_64k() -> Row {
    pipe::<{ 64 << 10 }>(
        "pool-pipe-64k",
        "buffers of 64 KiB taken here, handed over in batches of 64, given back on another core",
    )
}

fn pipe<const N: usize>(id: &'static str, about: &'static str) -> Row {
    struct Across<const N: usize>;
    impl<const N: usize> Workload for Across<N> {
        fn prepare<B: Buffers>(&self, buffers: B) -> Box<dyn FnMut(u64)> {
            let consumer = Consumer::<B::Buffer>::new();
            Box::new(move |units| {
                in_short_pieces(units, || {
                    consumer.short_pieces(|place| {
                        black_box(buffers).take_to(place);
                        // SAFETY: just written.
                        let buffer = unsafe { place.assume_init_mut() };
                        touch::<N>(black_box(B::first_byte(buffer)));
                    })
                });
            })
        }
    }
    let mut arms = vec![Arm::new("hand-over alone", Kind::Limit, hand_over::<N>())];
    arms.extend(shared_contestants::<N>(&Across::<N>));
    Row {
        id,
        unit: "buffer",
        about,
        arms,
    }
}

/// The hand-over of handles of three words, whose bytes are touched, and which nobody takes or gives back.
fn hand_over<const N: usize>() -> impl FnMut(u64) {
    let consumer = Consumer::<[usize; 3]>::new();
    let mut bytes: Vec<Box<[u8]>> = (0..AROUND).map(|_| vec![0; N].into()).collect();
    let mut next = 0;
    move |units| {
        in_short_pieces(units, || {
            consumer.short_pieces(|place| {
                next = (next + 1) % AROUND;
                let first = black_box(bytes[next].as_mut_ptr());
                place.write([first.addr(), N, 0]);
                touch::<N>(first);
            })
        });
    }
}

/// Says what `units` take by the median of short pieces, of those in which neither thread lost its core;
/// of all if there are none. `pieces` does some.
fn in_short_pieces(units: u64, mut pieces: impl FnMut() -> Vec<(Duration, bool)>) {
    let wanted = units.div_ceil(SHORT as u64) as usize;
    let (mut quiet, mut all) = (Vec::new(), Vec::new());
    while quiet.len() < wanted && all.len() < wanted * TRIES {
        for (elapsed, in_peace) in pieces() {
            all.push(elapsed);
            quiet.extend(in_peace.then_some(elapsed));
        }
    }
    let figures = if quiet.is_empty() {
        &mut all
    } else {
        &mut quiet
    };
    figures.sort_unstable();
    let median = figures[figures.len() / 2];
    own_time(median.mul_f64(units as f64 / SHORT as f64));
}

/// A ring of values from one thread to another, a batch at a time.
struct Pipe<T> {
    sent: CachePadded<AtomicUsize>,
    received: CachePadded<AtomicUsize>,
    values: Box<[UnsafeCell<MaybeUninit<T>>]>,
}

// SAFETY: a place is the sender's or the receiver's, as the two counts say.
unsafe impl<T: Send> Sync for Pipe<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Pipe<T> {}

impl<T> Pipe<T> {
    fn new() -> Self {
        Self {
            sent: CachePadded::new(AtomicUsize::new(0)),
            received: CachePadded::new(AtomicUsize::new(0)),
            values: (0..IN_FLIGHT)
                .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
                .collect(),
        }
    }

    /// Sends a batch; `fill` writes each value to its place.
    #[inline(always)]
    fn send(&self, mut fill: impl FnMut(&mut MaybeUninit<T>)) {
        let sent = self.sent.load(Ordering::Relaxed);
        wait_until(|| sent - self.received.load(Ordering::Acquire) <= IN_FLIGHT - BATCH);
        for n in sent..sent + BATCH {
            let place = self.values[n % IN_FLIGHT].get();
            // SAFETY: received before, hence the sender's.
            fill(unsafe { &mut *place });
        }
        self.sent.store(sent + BATCH, Ordering::Release);
    }

    #[inline(always)]
    fn receive(&self) {
        let received = self.received.load(Ordering::Relaxed);
        wait_until(|| self.sent.load(Ordering::Acquire) != received);
        for n in received..received + BATCH {
            let place = self.values[n % IN_FLIGHT].get();
            // SAFETY: sent and not yet received, hence the receiver's.
            let value = unsafe { &mut *black_box(place) };
            // SAFETY: written by the sender, and dropped once.
            unsafe { value.assume_init_drop() };
        }
        self.received.store(received + BATCH, Ordering::Release);
    }
}

/// Pieces to receive, and how many batches each has.
struct Task {
    pieces: usize,
    batches: usize,
}

/// A thread that drops what it receives. It meets the sender first, so that its waking up is not
/// timed.
pub(super) struct Consumer<T: Send + 'static> {
    pipe: Arc<Pipe<T>>,
    met: Arc<AtomicUsize>,
    worker: Worker<Task, Vec<bool>>,
}

impl<T: Send + 'static> Consumer<T> {
    pub(super) fn new() -> Self {
        let (pipe, met) = (Arc::new(Pipe::new()), Arc::new(AtomicUsize::new(0)));
        let (its_pipe, its_met) = (Arc::clone(&pipe), Arc::clone(&met));
        let worker = Worker::new(move |task: Task| {
            let mut in_peace = Vec::with_capacity(task.pieces);
            for _ in 0..task.pieces {
                its_met.fetch_add(1, Ordering::AcqRel);
                in_peace.push(watched(|| (0..task.batches).for_each(|_| its_pipe.receive())).1);
            }
            in_peace
        });
        Self { pipe, met, worker }
    }

    /// Sends a piece; `fill` writes each value to its place.
    #[inline(always)]
    pub(super) fn piece(&self, fill: impl FnMut(&mut MaybeUninit<T>)) -> (Duration, bool) {
        self.pieces(1, PIECE / BATCH, fill)[0]
    }

    /// Sends [`PIECES`] short pieces.
    #[inline(always)]
    fn short_pieces(&self, fill: impl FnMut(&mut MaybeUninit<T>)) -> Vec<(Duration, bool)> {
        self.pieces(PIECES, SHORT / BATCH, fill)
    }

    #[inline(always)]
    fn pieces(
        &self,
        pieces: usize,
        batches: usize,
        mut fill: impl FnMut(&mut MaybeUninit<T>),
    ) -> Vec<(Duration, bool)> {
        let met = self.met.load(Ordering::Acquire);
        self.worker.give(Task { pieces, batches });
        let sent = (1..=pieces).map(|piece| {
            wait_until(|| self.met.load(Ordering::Acquire) == met + piece);
            watched(|| {
                for _ in 0..batches {
                    self.pipe.send(&mut fill);
                }
                let sent = self.pipe.sent.load(Ordering::Relaxed);
                wait_until(|| self.pipe.received.load(Ordering::Acquire) == sent);
            })
        });
        let mut sent: Vec<_> = sent.collect();
        for (here, there) in sent.iter_mut().zip(self.worker.answer()) {
            here.1 &= there;
        }
        sent
    }
}

/// Two threads at one pool without thread caches, each taking and giving back.
pub(crate) fn two_threads() -> Row {
    const N: usize = 4096;
    let pool = || both::<_, N>(Called::<N>(buffers::pool_without_caches()));
    let arms = vec![
        Arm::new("drystone BufferPool, caches off", Kind::Ours, pool()),
        Arm::new(
            "drystone BufferPool, caches off again",
            Kind::Control,
            pool(),
        ),
        Arm::new(
            "drystone BufferPool, caches on",
            Kind::Ours,
            both::<_, N>(Called::<N>(buffers::pool())),
        ),
        Arm::new(
            "crossbeam ArrayQueue",
            Kind::Rival,
            both::<_, N>(Queue::<N>::new(buffers::READY)),
        ),
        #[cfg(feature = "rivals")]
        Arm::new(
            "opool",
            Kind::Rival,
            both::<_, N>(buffers::object_pool::ObjectPool::<N>::new(buffers::READY)),
        ),
    ];
    Row {
        id: "pool-two",
        unit: "pair of either",
        about: "two threads, each taking a buffer of 4 KiB and giving it back, without thread caches",
        arms,
    }
}

/// Two threads that take and give back at the same time.
fn both<B: Buffers, const N: usize>(buffers: B) -> impl FnMut(u64) {
    fn pairs<B: Buffers, const N: usize>(buffers: B) {
        for _ in 0..PIECE {
            let mut buffer = black_box(buffers).take();
            touch::<N>(black_box(B::first_byte(&mut buffer)));
            drop(buffer);
        }
    }
    let (met, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (its_met, its_done) = (Arc::clone(&met), Arc::clone(&done));
    let worker = Worker::new(move |()| {
        its_met.fetch_add(1, Ordering::AcqRel);
        let in_peace = watched(|| pairs::<B, N>(buffers)).1;
        its_done.fetch_add(1, Ordering::AcqRel);
        in_peace
    });
    move |units| {
        in_pieces(units, 2 * PIECE, || {
            let (meetings, ends) = (met.load(Ordering::Acquire), done.load(Ordering::Acquire));
            worker.give(());
            wait_until(|| met.load(Ordering::Acquire) != meetings);
            let (elapsed, here) = watched(|| {
                pairs::<B, N>(buffers);
                wait_until(|| done.load(Ordering::Acquire) != ends);
            });
            (elapsed, worker.answer() && here)
        });
    }
}
