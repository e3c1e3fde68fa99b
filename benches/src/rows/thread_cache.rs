//! The rows that the crate published whose thread-cached arena was the reference: each thread
//! brings its cache.
//!
//! They keep its workloads and not its harness: every contestant is called without a virtual call,
//! with the alignment that its user asks for, which is 8. The sizes of the mixed row are between
//! the published bounds.

mod caches;

use std::hint::black_box;
use std::ptr::NonNull;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use drystone_core::{Checked, Fast};

use self::caches::{Bare, Caches, Ours};
use crate::harness::own_time;
use crate::rivals::{Heap, Rivals, Visitor};
use crate::{Arm, Kind, Row};

/// Builds the row of this name with these rivals; `None` if there is none.
pub(crate) fn build<R: Rivals>(id: &str) -> Option<Row> {
    let row = match id {
        "thread-cache-32" => single::<R>("thread-cache-32", &[32]),
        "thread-cache-64" => single::<R>("thread-cache-64", &[64]),
        "thread-cache-65" => single::<R>("thread-cache-65", &[65]),
        "thread-cache-4096" => single::<R>("thread-cache-4096", &[4096]),
        "thread-cache-70000" => single::<R>("thread-cache-70000", &[70_000]),
        "thread-cache-embedding" => row::<R>(
            "thread-cache-embedding",
            "eight",
            "8 blocks of 6144 B taken, then given back in reverse",
            Reversed(&[6144; 8]),
        ),
        "thread-cache-mixed" => row::<R>(
            "thread-cache-mixed",
            "eight",
            "a block of each of 8 sizes, 32 to 70 000 B, taken and given back",
            Pairs(&[32, 64, 256, 1024, 4096, 6144, 16_384, 70_000]),
        ),
        "thread-cache-20m" => single::<R>("thread-cache-20m", &[20 << 20]),
        "thread-cache-20m-4x" => row::<R>(
            "thread-cache-20m-4x",
            "pair",
            "4 threads, each taking a block of 20 MiB and giving it back",
            Crowd,
        ),
        "thread-cache-handoff" => row::<R>(
            "thread-cache-handoff",
            "block",
            "blocks of 256 B handed to another thread one by one, given back there",
            HandOff { pairs: 1 },
        ),
        "thread-cache-handoff-4x" => row::<R>(
            "thread-cache-handoff-4x",
            "block",
            "the same by 4 pairs of threads at once",
            HandOff { pairs: 4 },
        ),
        _ => return None,
    };
    Some(row)
}

fn single<R: Rivals>(id: &'static str, sizes: &'static [usize]) -> Row {
    row::<R>(id, "pair", "a block taken and given back", Pairs(sizes))
}

/// A workload over any contestant.
trait Workload: Copy {
    fn prepare<C: Caches>(self, caches: C) -> Box<dyn FnMut(u64)>;
}

fn row<R: Rivals>(
    id: &'static str,
    unit: &'static str,
    about: &'static str,
    workload: impl Workload,
) -> Row {
    let mut arms = vec![
        Arm {
            name: "drystone Arena<Fast>",
            kind: Kind::Ours,
            run: workload.prepare(Ours::<Fast>::new()),
        },
        Arm {
            name: "drystone Arena<Fast> again",
            kind: Kind::Control,
            run: workload.prepare(Ours::<Fast>::new()),
        },
        Arm {
            name: "drystone Arena",
            kind: Kind::Ours,
            run: workload.prepare(Ours::<Checked>::new()),
        },
        #[cfg(feature = "reference")]
        Arm {
            name: "orthotope",
            kind: Kind::Rival,
            run: workload.prepare(caches::Reference::new()),
        },
    ];
    R::visit(&mut Contestants {
        workload,
        arms: &mut arms,
    });
    Row {
        id,
        unit,
        about,
        arms,
    }
}

struct Contestants<'a, W> {
    workload: W,
    arms: &'a mut Vec<Arm>,
}

impl<W: Workload> Visitor for Contestants<'_, W> {
    fn heap<A: Heap>(&mut self, name: &'static str, heap: A) {
        self.arms.push(Arm {
            name,
            kind: Kind::Rival,
            run: self.workload.prepare(Bare(heap)),
        });
    }
}

/// A block of each size in turn; one unit is all of them.
#[derive(Clone, Copy)]
struct Pairs(&'static [usize]);

impl Workload for Pairs {
    fn prepare<C: Caches>(self, caches: C) -> Box<dyn FnMut(u64)> {
        let mut cache = caches.cache();
        Box::new(move |units| {
            for _ in 0..units {
                for &size in self.0 {
                    let block = black_box(caches.take(&mut cache, size));
                    caches.give(&mut cache, block, size);
                }
            }
        })
    }
}

/// A block of each size, then all given back, the last first.
#[derive(Clone, Copy)]
struct Reversed(&'static [usize; 8]);

impl Workload for Reversed {
    fn prepare<C: Caches>(self, caches: C) -> Box<dyn FnMut(u64)> {
        let mut cache = caches.cache();
        Box::new(move |units| {
            for _ in 0..units {
                let blocks = black_box(self.0.map(|size| caches.take(&mut cache, size)));
                for (&block, &size) in blocks.iter().zip(self.0).rev() {
                    caches.give(&mut cache, block, size);
                }
            }
        })
    }
}

/// Threads at one arena with blocks of 20 MiB.
#[derive(Clone, Copy)]
struct Crowd;

const THREADS: u64 = 4;

impl Workload for Crowd {
    fn prepare<C: Caches>(self, caches: C) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            let each = units.div_ceil(THREADS);
            let barrier = Arc::new(Barrier::new(THREADS as usize));
            let threads = (0..THREADS)
                .map(|_| {
                    let both = (caches.clone(), Arc::clone(&barrier));
                    thread::spawn(move || {
                        from_the_barrier(both, each, |caches, cache| {
                            let block = black_box(caches.take(cache, 20 << 20));
                            caches.give(cache, block, 20 << 20);
                        })
                    })
                })
                .collect();
            let elapsed = from_first_to_last(threads);
            own_time(elapsed.mul_f64(units as f64 / (each * THREADS) as f64));
        })
    }
}

/// A thread that says when it began and when it was done.
type Watched = JoinHandle<(Instant, Instant)>;

/// The time from when the first began until the last was done.
fn from_first_to_last(threads: Vec<Watched>) -> Duration {
    let times: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().expect("it only passes blocks around"))
        .collect();
    let begun = times.iter().map(|&(begun, _)| begun).min();
    let done = times.iter().map(|&(_, done)| done).max();
    done.zip(begun)
        .map_or(Duration::ZERO, |(done, begun)| done - begun)
}

/// Blocks handed over one at a time, the sender waiting for the receiver.
#[derive(Clone, Copy)]
struct HandOff {
    pairs: u64,
}

/// A block on its way to another thread.
struct Parcel(NonNull<u8>);

// SAFETY: the block is the receiver's alone, and may be freed on any thread.
unsafe impl Send for Parcel {}

const PARCEL_BYTES: usize = 256;

impl Workload for HandOff {
    fn prepare<C: Caches>(self, caches: C) -> Box<dyn FnMut(u64)> {
        Box::new(move |units| {
            let each = units.div_ceil(self.pairs);
            let barrier = Arc::new(Barrier::new(2 * self.pairs as usize));
            let mut threads = Vec::new();
            for _ in 0..self.pairs {
                let (sender, receiver) = sync_channel(0);
                let both = (caches.clone(), Arc::clone(&barrier));
                threads.push(thread::spawn(move || send(both, &sender, each)));
                let both = (caches.clone(), Arc::clone(&barrier));
                threads.push(thread::spawn(move || receive(both, &receiver, each)));
            }
            let elapsed = from_first_to_last(threads);
            own_time(elapsed.mul_f64(units as f64 / (each * self.pairs) as f64));
        })
    }
}

fn send<C: Caches>(
    both: (C, Arc<Barrier>),
    sender: &SyncSender<Parcel>,
    count: u64,
) -> (Instant, Instant) {
    from_the_barrier(both, count, |caches, cache| {
        let block = Parcel(caches.take(cache, PARCEL_BYTES));
        sender.send(block).expect("the receiver waits");
    })
}

fn receive<C: Caches>(
    both: (C, Arc<Barrier>),
    receiver: &Receiver<Parcel>,
    count: u64,
) -> (Instant, Instant) {
    from_the_barrier(both, count, |caches, cache| {
        let Parcel(block) = receiver.recv().expect("the sender sends as many");
        caches.give(cache, block, PARCEL_BYTES);
    })
}

/// Does it so many times with a cache of this thread's, once all threads are there, and says from when to
/// when.
fn from_the_barrier<C: Caches>(
    (caches, barrier): (C, Arc<Barrier>),
    count: u64,
    mut each: impl FnMut(&C, &mut C::Cache),
) -> (Instant, Instant) {
    let mut cache = caches.cache();
    barrier.wait();
    let start = Instant::now();
    for _ in 0..count {
        each(&caches, &mut cache);
    }
    (start, Instant::now())
}
