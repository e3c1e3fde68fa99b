//! 64-byte objects allocated on one core and freed on another.
//!
//! The figures of two threads depend on how far the two cores are from each other: read them beside
//! `limit-ping-pong`, and compare only within a row.

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
use std::alloc::GlobalAlloc;
use std::hint::{black_box, spin_loop};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use drystone_core::CachePadded;
use drystone_layout::Slab;

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
use super::remote_ends::General;
use super::remote_ends::{self as ends, Freer, Owner};
use crate::blocks::Object;
use crate::harness::{Random, own_time};
use crate::limits::pin_to;
use crate::{Arm, Kind, Row};

/// Objects in one hand-over.
const BATCH: usize = 64;

/// Objects on their way to the other core at most.
const IN_FLIGHT: usize = 1024;

/// Objects of each contestant.
const OBJECTS: usize = 4096;

/// Objects that live in the scattered row.
const LIVE: usize = 4096;

/// Allocated, handed over in batches of 64, freed on the other core.
pub(crate) fn end_to_end() -> Row {
    let mut arms = vec![Arm::new("hand-over alone", Kind::Limit, tokens())];
    arms.extend(contestants(OBJECTS, EndToEnd { live: BATCH }));
    Row {
        id: "remote-pipe",
        unit: "object",
        about: "64-byte objects allocated here, handed over in batches of 64, freed on another core",
        arms,
    }
}

/// The same with 4096 objects alive, freed in an order unlike that of their addresses.
pub(crate) fn scattered() -> Row {
    Row {
        id: "remote-scattered",
        unit: "object",
        about: "4096 live; a random one handed over in batches of 64 and replaced",
        arms: contestants(2 * LIVE, EndToEnd { live: LIVE }),
    }
}

/// The free on the other core alone.
pub(crate) fn free_alone() -> Row {
    Row {
        id: "remote-free",
        unit: "free",
        about: "4096 objects of one core freed on another: the frees alone",
        arms: contestants(OBJECTS, Parts { drain: false }),
    }
}

/// Taking home alone.
pub(crate) fn drain_alone() -> Row {
    Row {
        id: "remote-drain",
        unit: "object",
        about: "4096 objects freed on another core taken home: a drain alone",
        arms: drainers(Parts { drain: true }),
    }
}

/// The owner's own pair, with a remote that does nothing.
pub(crate) fn idle_remote() -> Row {
    fn pair<A: drystone_core::Allocator + 'static>(
        (allocator, kept): (A, impl Sized + 'static),
    ) -> Box<dyn FnMut(u64)> {
        use crate::blocks::{Blocks, Drystone};
        let mut blocks = Box::new(CachePadded::new(Drystone(allocator)));
        Box::new(move |units| {
            let _kept = &kept;
            let blocks = &mut **blocks;
            for _ in 0..units {
                let token = black_box(black_box(&mut *blocks).take());
                black_box(&mut *blocks).give(token);
            }
        })
    }
    fn slab() -> (Slab<Object, drystone_backing::MmapBacked>, ()) {
        let memory = drystone_backing::MmapBacked::new(OBJECTS * size_of::<Object>());
        let memory = memory.expect("memory to map");
        (Slab::new(OBJECTS, memory).expect("room for the slots"), ())
    }
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add("Slab", Kind::Limit, pair(slab()));
    add(
        "SlabOwner, Intrusive",
        Kind::Ours,
        pair(ends::lanes(OBJECTS).idle()),
    );
    add(
        "SlabOwner, Intrusive again",
        Kind::Control,
        pair(ends::lanes(OBJECTS).idle()),
    );
    add(
        "SlabOwner, Ring",
        Kind::Ours,
        pair(ends::ring(OBJECTS).idle()),
    );
    Row {
        id: "remote-idle",
        unit: "pair",
        about: "one object taken and given back by the owner while a remote handle exists",
        arms,
    }
}

/// A workload over any contestant.
trait Workload: Copy + 'static {
    fn prepare<O: Owner>(self, owner: O) -> Box<dyn FnMut(u64)>;
}

/// Every contestant, prepared for `workload`.
fn contestants<W: Workload>(capacity: usize, workload: W) -> Vec<Arm> {
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add(
        "Intrusive, lane",
        Kind::Ours,
        workload.prepare(ends::lanes(capacity)),
    );
    add(
        "Intrusive, lane again",
        Kind::Control,
        workload.prepare(ends::lanes(capacity)),
    );
    add(
        "Intrusive, list",
        Kind::Ours,
        workload.prepare(ends::list(capacity)),
    );
    add(
        "Intrusive, batch",
        Kind::Ours,
        workload.prepare(ends::batches(capacity)),
    );
    add("Ring", Kind::Ours, workload.prepare(ends::ring(capacity)));
    #[cfg(feature = "mimalloc")]
    add(
        "mimalloc 2",
        Kind::Rival,
        general(workload, crate::blocks::MimallocTuned),
    );
    #[cfg(feature = "rivals")]
    add(
        "snmalloc",
        Kind::Rival,
        general(workload, snmalloc_rs::SnMalloc),
    );
    #[cfg(feature = "rivals")]
    add("jemalloc", Kind::Rival, general(workload, ends::Jemalloc));
    #[cfg(feature = "reference")]
    add(
        "forge-alloc SlabOwner",
        Kind::Rival,
        workload.prepare(ends::reference::Reference::new(capacity)),
    );
    arms
}

/// Every contestant that has a call to take blocks home.
fn drainers<W: Workload>(workload: W) -> Vec<Arm> {
    let mut arms = Vec::new();
    let mut add = |name, kind, run| arms.push(Arm { name, kind, run });
    add(
        "Intrusive, lane",
        Kind::Ours,
        workload.prepare(ends::lanes(OBJECTS)),
    );
    add(
        "Intrusive, lane again",
        Kind::Control,
        workload.prepare(ends::lanes(OBJECTS)),
    );
    add(
        "Intrusive, list",
        Kind::Ours,
        workload.prepare(ends::list(OBJECTS)),
    );
    add(
        "Intrusive, batch",
        Kind::Ours,
        workload.prepare(ends::batches(OBJECTS)),
    );
    add("Ring", Kind::Ours, workload.prepare(ends::ring(OBJECTS)));
    #[cfg(feature = "reference")]
    add(
        "forge-alloc SlabOwner",
        Kind::Rival,
        workload.prepare(ends::reference::Reference::new(OBJECTS)),
    );
    arms
}

#[cfg(any(feature = "mimalloc", feature = "rivals"))]
fn general<W: Workload, G>(workload: W, allocator: G) -> Box<dyn FnMut(u64)>
where
    G: GlobalAlloc + Copy + Send + 'static,
{
    workload.prepare(General(allocator))
}

/// Objects in a piece of work that is timed in one go.
pub(super) const PIECE: usize = 16 << 10;

/// How often a piece is repeated that was disturbed.
pub(super) const TRIES: usize = 40;

/// Blocks handed to another core, a batch at a time.
struct HandOver {
    sent: CachePadded<AtomicUsize>,
    received: CachePadded<AtomicUsize>,
    blocks: Box<[AtomicPtr<u8>]>,
}

impl HandOver {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            sent: CachePadded::new(AtomicUsize::new(0)),
            received: CachePadded::new(AtomicUsize::new(0)),
            blocks: (0..IN_FLIGHT)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
        })
    }

    /// Sends a batch, whose blocks `next` gives.
    #[inline(always)]
    fn send(&self, mut next: impl FnMut() -> *mut u8) {
        let sent = self.sent.load(Ordering::Relaxed);
        wait_until(|| sent - self.received.load(Ordering::Acquire) <= IN_FLIGHT - BATCH);
        for n in sent..sent + BATCH {
            self.blocks[n % IN_FLIGHT].store(next(), Ordering::Relaxed);
        }
        self.sent.store(sent + BATCH, Ordering::Release);
    }

    /// Receives a batch.
    #[inline(always)]
    fn receive(&self, mut with: impl FnMut(*mut u8)) {
        let received = self.received.load(Ordering::Relaxed);
        wait_until(|| self.sent.load(Ordering::Acquire) != received);
        for n in received..received + BATCH {
            with(self.blocks[n % IN_FLIGHT].load(Ordering::Relaxed));
        }
        self.received.store(received + BATCH, Ordering::Release);
    }
}

/// Spins, and gives the core away now and then: the other end may need it.
#[inline(always)]
pub(super) fn wait_until(condition: impl Fn() -> bool) {
    let mut turns = 0_u32;
    while !condition() {
        spin_loop();
        turns += 1;
        if turns.is_multiple_of(1 << 14) {
            thread::yield_now();
        }
    }
}

/// How often the calling thread lost its core so far.
#[cfg(target_os = "linux")]
fn switches() -> i64 {
    // SAFETY: an all-zero record is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the record is writable.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    usage.ru_nivcsw + usage.ru_nvcsw
}

#[cfg(not(target_os = "linux"))]
fn switches() -> i64 {
    0
}

/// How long `work` took, and whether the thread kept its core meanwhile.
pub(super) fn watched(work: impl FnOnce()) -> (Duration, bool) {
    let before = switches();
    let start = Instant::now();
    work();
    let elapsed = start.elapsed();
    (elapsed, switches() == before)
}

/// Does `units` of work in pieces and says how long they took; `piece` says how long one took and
/// whether it was left in peace. A piece that was not is done again.
pub(super) fn in_pieces(
    units: u64,
    piece_units: usize,
    mut piece: impl FnMut() -> (Duration, bool),
) {
    let pieces = units.div_ceil(piece_units as u64);
    let mut total = Duration::ZERO;
    for _ in 0..pieces {
        let mut tries = 0;
        total += loop {
            let (elapsed, in_peace) = piece();
            tries += 1;
            if in_peace || tries == TRIES {
                break elapsed;
            }
        };
    }
    own_time(total.mul_f64(units as f64 / (pieces * piece_units as u64) as f64));
}

/// A thread on the other core that does one task at a time and answers it.
pub(super) struct Worker<T, A> {
    tasks: Option<Sender<T>>,
    answers: Receiver<A>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static, A: Send + 'static> Worker<T, A> {
    pub(super) fn new(mut work: impl FnMut(T) -> A + Send + 'static) -> Self {
        pin_to(0);
        let (tasks, queue) = mpsc::channel::<T>();
        let (answer, answers) = mpsc::channel();
        let thread = thread::spawn(move || {
            pin_to(1);
            for task in queue {
                answer.send(work(task)).expect("the owner waits");
            }
        });
        Self {
            tasks: Some(tasks),
            answers,
            thread: Some(thread),
        }
    }

    pub(super) fn give(&self, task: T) {
        let tasks = self.tasks.as_ref().expect("the worker lives");
        tasks.send(task).expect("the worker waits for tasks");
    }

    pub(super) fn answer(&self) -> A {
        self.answers.recv().expect("the worker answers every task")
    }
}

impl<T, A> Drop for Worker<T, A> {
    fn drop(&mut self) {
        self.tasks = None;
        let thread = self.thread.take().expect("dropped once");
        thread.join().expect("the worker only frees");
    }
}

/// The other end of a hand-over: receives pieces. Meets the sender first, so that its waking up is
/// not timed.
struct Receiving {
    pipe: Arc<HandOver>,
    met: Arc<AtomicUsize>,
    worker: Worker<(), bool>,
}

impl Receiving {
    fn new(mut with: impl FnMut(*mut u8) + Send + 'static) -> Self {
        let (pipe, met) = (HandOver::new(), Arc::new(AtomicUsize::new(0)));
        let (its_pipe, its_met) = (Arc::clone(&pipe), Arc::clone(&met));
        let worker = Worker::new(move |()| {
            its_met.fetch_add(1, Ordering::AcqRel);
            let received = || {
                for _ in 0..PIECE / BATCH {
                    its_pipe.receive(&mut with);
                }
            };
            watched(received).1
        });
        Self { pipe, met, worker }
    }

    /// Sends a piece, whose blocks `next` gives.
    #[inline(always)]
    fn piece(&self, mut next: impl FnMut() -> *mut u8) -> (Duration, bool) {
        let pieces = self.met.load(Ordering::Acquire);
        self.worker.give(());
        wait_until(|| self.met.load(Ordering::Acquire) != pieces);
        let (elapsed, here) = watched(|| {
            for _ in 0..PIECE / BATCH {
                self.pipe.send(&mut next);
            }
            let sent = self.pipe.sent.load(Ordering::Relaxed);
            wait_until(|| self.pipe.received.load(Ordering::Acquire) == sent);
        });
        let there = self.worker.answer();
        (elapsed, here && there)
    }
}

/// The hand-over without an allocator.
fn tokens() -> impl FnMut(u64) {
    let receiving = Receiving::new(|token| {
        black_box(token);
    });
    let mut token = ptr::null_mut::<u8>();
    move |units| {
        in_pieces(units, PIECE, || {
            receiving.piece(|| {
                token = black_box(token.wrapping_add(64));
                token
            })
        });
    }
}

/// Objects allocated here and freed there, the one after `live` others.
#[derive(Clone, Copy)]
struct EndToEnd {
    live: usize,
}

impl Workload for EndToEnd {
    fn prepare<O: Owner>(self, mut owner: O) -> Box<dyn FnMut(u64)> {
        let mut freer = owner.freer();
        let receiving = Receiving::new(move |block| {
            freer.give(NonNull::new(black_box(block)).expect("a block was sent"));
        });
        if self.live <= BATCH {
            return Box::new(move |units| {
                in_pieces(units, PIECE, || {
                    receiving.piece(|| black_box(owner.take()).as_ptr())
                });
            });
        }
        let mut order: Vec<usize> = (0..self.live).collect();
        Random::new(11).shuffle(&mut order);
        let mut live: Vec<NonNull<u8>> = (0..self.live).map(|_| owner.take()).collect();
        let mut turn = 0;
        Box::new(move |units| {
            in_pieces(units, PIECE, || {
                receiving.piece(|| {
                    let victim = order[turn];
                    turn = (turn + 1) % order.len();
                    std::mem::replace(&mut live[victim], black_box(owner.take())).as_ptr()
                })
            });
        })
    }
}

/// The frees of a whole slab on the other core, or their way home, timed alone.
#[derive(Clone, Copy)]
struct Parts {
    drain: bool,
}

/// Blocks to free.
struct Chunk(Vec<NonNull<u8>>);

// SAFETY: the blocks may be freed on any thread.
unsafe impl Send for Chunk {}

impl Workload for Parts {
    fn prepare<O: Owner>(self, mut owner: O) -> Box<dyn FnMut(u64)> {
        let mut freer = owner.freer();
        let worker = Worker::new(move |chunk: Chunk| {
            let freed = watched(|| {
                for &block in &chunk.0 {
                    freer.give(black_box(block));
                }
            });
            (chunk, freed)
        });
        let mut blocks = Vec::with_capacity(OBJECTS);
        Box::new(move |units| {
            in_pieces(units, OBJECTS, || {
                blocks.clear();
                blocks.extend((0..OBJECTS).map(|_| owner.take()));
                worker.give(Chunk(std::mem::take(&mut blocks)));
                let (Chunk(back), freed) = worker.answer();
                blocks = back;
                let drained = watched(|| owner.drain());
                if self.drain { drained } else { freed }
            });
        })
    }
}
