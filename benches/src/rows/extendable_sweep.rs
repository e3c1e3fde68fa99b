//! Containers that grow, over their number of segments, while they grow, and between two threads.
//!
//! Here a round is a pass over the whole live set, and taking and giving are timed apart; the
//! harness of the rows times pairs, and needs runs that are much longer than a pass.

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use drystone_backing::MmapBacked;
use drystone_core::{NoProtection, SourceFrom};
use drystone_layout::{ExtendableSlab, SharedBumpArena};

#[cfg(any(feature = "rivals", feature = "reference"))]
use super::extendable;
use crate::blocks::{Blocks, Drystone, Keyed, Object, touch};
use crate::harness::Random;

/// Segments of one capacity, and how many of them the live set fills.
const SIZES: [(usize, usize); 11] = [
    (64, 10),
    (64, 100),
    (64, 1000),
    (64, 10_000),
    (1024, 10),
    (1024, 100),
    (1024, 1000),
    (1024, 10_000),
    (65_536, 10),
    (65_536, 100),
    (65_536, 1000),
];

/// The most objects that the rivals are run with: beyond, they take minutes.
const RIVAL_OBJECTS_MAX: usize = 700_000;

/// The most segments that the reference is run with: a free walks all of them.
#[cfg(feature = "reference")]
const REFERENCE_SEGMENTS_MAX: usize = 100;

/// One pass over a live set: giving all in an order, then taking all in that order.
trait Pass {
    fn give_all(&mut self, order: &[u32]);
    fn take_all(&mut self, order: &[u32]);
}

/// A container with its live set.
struct Filled<B: Blocks> {
    blocks: B,
    live: Vec<B::Token>,
}

impl<B: Blocks> Filled<B> {
    fn new(mut blocks: B, objects: usize) -> Self {
        let live = (0..objects).map(|_| blocks.take()).collect();
        Self { blocks, live }
    }
}

impl<B: Blocks> Pass for Filled<B> {
    fn give_all(&mut self, order: &[u32]) {
        for &index in order {
            let token = black_box(self.live[index as usize]);
            black_box(&mut self.blocks).give(token);
        }
    }

    fn take_all(&mut self, order: &[u32]) {
        for &index in order {
            self.live[index as usize] = black_box(black_box(&mut self.blocks).take());
        }
    }
}

/// The walk that is left when the container costs nothing: the same table of objects is read, the
/// same objects are written, and the table is written.
struct Walk {
    objects: Vec<Object>,
    live: Vec<*mut u8>,
}

impl Walk {
    fn new(objects: usize) -> Self {
        let mut objects = vec![Object::filled(1); objects];
        let first = objects.as_mut_ptr();
        let live = (0..objects.len())
            // SAFETY: the index is below the length.
            .map(|index| unsafe { first.add(index) }.cast())
            .collect();
        Self { objects, live }
    }
}

impl Pass for Walk {
    fn give_all(&mut self, order: &[u32]) {
        black_box(&mut self.objects);
        for &index in order {
            black_box(self.live[index as usize]);
        }
    }

    fn take_all(&mut self, order: &[u32]) {
        for &index in order {
            let object = black_box(self.live[index as usize]);
            touch(object);
            self.live[index as usize] = object;
        }
    }
}

/// What one arm took, in nanoseconds for one object, round by round.
struct Timed {
    arm: &'static str,
    give: Vec<f64>,
    take: Vec<f64>,
}

/// The CSV of every size and order whose name, such as `fifo-64x10`, begins with `only`.
#[must_use]
pub fn sweep(only: &str) -> String {
    let mut csv = String::from(
        "order,capacity,segments,objects,arm,rounds,give_median_ns,give_p10_ns,take_median_ns,\
         take_p10_ns\n",
    );
    for (capacity, segments) in SIZES {
        for order in ["fifo", "random"] {
            if !format!("{order}-{capacity}x{segments}").starts_with(only) {
                continue;
            }
            for timed in sweep_one(capacity, segments, order) {
                let [give, give_low] = summary(&timed.give);
                let [take, take_low] = summary(&timed.take);
                let line = format!(
                    "{order},{capacity},{segments},{},{},{},{give:.3},{give_low:.3},{take:.3},\
                     {take_low:.3}",
                    capacity * segments,
                    timed.arm,
                    timed.give.len(),
                );
                eprintln!("{line}");
                let _ = writeln!(csv, "{line}");
            }
        }
    }
    csv
}

fn sweep_one(capacity: usize, segments: usize, order: &str) -> Vec<Timed> {
    let objects = capacity * segments;
    let mut random = Random::new(7);
    let mut indices: Vec<u32> = (0..objects as u32).collect();
    if order == "random" {
        random.shuffle(&mut indices);
    }
    let mut arms: Vec<(&'static str, Box<dyn Pass>)> = vec![
        ("bare walk", Box::new(Walk::new(objects))),
        (
            "drystone ExtendableSlab",
            Box::new(Filled::new(
                Drystone(ExtendableSlab::<Object>::new(capacity)),
                objects,
            )),
        ),
    ];
    if objects <= RIVAL_OBJECTS_MAX {
        let keyed = Keyed(slab::Slab::new());
        arms.push(("slab", Box::new(Filled::new(keyed, objects))));
        #[cfg(feature = "rivals")]
        {
            let sharded = extendable::Sharded::new();
            arms.push(("sharded-slab", Box::new(Filled::new(sharded, objects))));
        }
        #[cfg(feature = "reference")]
        if segments <= REFERENCE_SEGMENTS_MAX {
            let reference = extendable::reference::Reference::new(capacity);
            arms.push(("forge-alloc", Box::new(Filled::new(reference, objects))));
        }
    }
    let rounds = (20_000_000 / objects).clamp(5, 200);
    let mut timed: Vec<Timed> = arms
        .iter()
        .map(|(arm, _)| Timed {
            arm,
            give: Vec::new(),
            take: Vec::new(),
        })
        .collect();
    let mut turns: Vec<usize> = (0..arms.len()).collect();
    for round in 0..=rounds {
        random.shuffle(&mut turns);
        for &turn in &turns {
            let (give, take) = time_pass(&mut *arms[turn].1, &indices);
            // The first round warms up.
            if round > 0 {
                timed[turn].give.push(give);
                timed[turn].take.push(take);
            }
        }
    }
    timed
}

/// Nanoseconds for one object given, and for one taken.
fn time_pass(pass: &mut dyn Pass, order: &[u32]) -> (f64, f64) {
    let each = |elapsed: Duration| elapsed.as_nanos() as f64 / order.len() as f64;
    let start = Instant::now();
    pass.give_all(order);
    let given = start.elapsed();
    let start = Instant::now();
    pass.take_all(order);
    (each(given), each(start.elapsed()))
}

/// The median and the 10th percentile.
fn summary(values: &[f64]) -> [f64; 2] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    [0.5, 0.1].map(|share| sorted[((sorted.len() - 1) as f64 * share) as usize])
}

/// The CSV of growing from nothing to `objects`: each insertion timed in groups of `GROUP`, so that
/// reading the clock does not hide the container.
#[must_use]
pub fn grow(objects: usize) -> String {
    let mut csv = String::from(
        "arm,objects,mean_ns,mean_processor_ns,p50_ns,p99_9_ns,max_us,bytes_an_object\n",
    );
    let mut add = |line: String| {
        eprintln!("{line}");
        let _ = writeln!(csv, "{line}");
    };
    for capacity in [64, 1024, 65_536] {
        let name = format!("drystone ExtendableSlab of {capacity}");
        let slab = ExtendableSlab::<Object>::new(capacity);
        add(grow_one(&name, Drystone(slab), objects));
    }
    for capacity in [64, 1024] {
        let name = format!("drystone ExtendableSlab of {capacity} over a mapping");
        // Room for the objects, a last segment that is not full, and the way to the first one's
        // alignment.
        let bytes = (objects + 2 * capacity) * size_of::<Object>();
        let mapping = MmapBacked::new(bytes).expect("address space is plenty");
        let arena = SharedBumpArena::new(mapping);
        let source = SourceFrom::new(&arena);
        let slab = ExtendableSlab::<Object, _, _>::with_source(capacity, || NoProtection, source);
        add(grow_one(&name, Drystone(slab), objects));
    }
    add(grow_one("slab", Keyed(slab::Slab::new()), objects));
    #[cfg(feature = "rivals")]
    add(grow_one(
        "sharded-slab",
        extendable::Sharded::new(),
        objects,
    ));
    #[cfg(feature = "reference")]
    for capacity in [1024, 65_536] {
        let name = format!("forge-alloc of {capacity}");
        let slab = extendable::reference::Reference::new(capacity);
        add(grow_one(&name, slab, objects));
    }
    csv
}

/// Insertions that are timed together.
const GROUP: usize = 16;

fn grow_one<B: Blocks>(name: &str, mut blocks: B, objects: usize) -> String {
    let mut times = Vec::with_capacity(objects / GROUP);
    let before = resident_bytes();
    let busy = processor_time();
    let start = Instant::now();
    let mut last = start;
    for _ in 0..objects / GROUP {
        for _ in 0..GROUP {
            black_box(black_box(&mut blocks).take());
        }
        let now = Instant::now();
        times.push((now - last).as_nanos() as u64);
        last = now;
    }
    let each = |elapsed: Duration| elapsed.as_nanos() as f64 / objects as f64;
    let busy = each(processor_time() - busy);
    let mean = each(last - start);
    let bytes = resident_bytes().saturating_sub(before) as f64 / objects as f64;
    // What the times themselves take was touched meanwhile.
    let bytes = bytes - size_of::<u64>() as f64 / GROUP as f64;
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    drop(blocks);
    format!(
        "{name},{objects},{mean:.2},{busy:.2},{:.2},{:.2},{:.0},{bytes:.1}",
        at(0.5) as f64 / GROUP as f64,
        at(0.999) as f64 / GROUP as f64,
        at(1.0) as f64 / 1000.0,
    )
}

/// The resident memory of the process; 0 where the system does not say.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|field| field.parse().ok());
    pages.unwrap_or(0) * 4096
}

/// The CSV of hot pairs on one container, by one thread and by two at once. Times are those that
/// each thread had the processor, so that other work on the machine does not count.
#[cfg(target_os = "linux")]
#[must_use]
pub fn two_threads() -> String {
    let mut csv = String::from("arm,threads,rounds,pair_median_ns,pair_p10_ns\n");
    let mut add = |arm: &str, pairs: &(dyn Fn(u64) + Sync)| {
        for threads in [1, 2] {
            let rounds: Vec<f64> = (0..60).map(|_| each_thread(threads, pairs)).collect();
            let [median, low] = summary(&rounds);
            let line = format!("{arm},{threads},{},{median:.3},{low:.3}", rounds.len());
            eprintln!("{line}");
            let _ = writeln!(csv, "{line}");
        }
    };
    use drystone_core::{Allocator as _, Deallocator as _, NonZeroLayout};
    let layout = NonZeroLayout::for_type::<Object>().expect("the object has a size");
    let ours = ExtendableSlab::<Object>::new(1024);
    add("drystone ExtendableSlab", &|pairs| {
        for _ in 0..pairs {
            let block = black_box(&ours).allocate(layout).expect("memory").cast();
            touch(block.as_ptr());
            // SAFETY: the block is live and has this layout.
            unsafe { black_box(&ours).deallocate(black_box(block), layout) };
        }
    });
    let mutex = std::sync::Mutex::new(Keyed(slab::Slab::new()));
    add("Mutex<slab>", &|pairs| {
        for _ in 0..pairs {
            let token = black_box(&mutex).lock().expect("no panic inside").take();
            let token = black_box(token);
            black_box(&mutex)
                .lock()
                .expect("no panic inside")
                .give(token);
        }
    });
    #[cfg(feature = "rivals")]
    {
        let sharded = extendable::Sharded::new().0;
        add("sharded-slab", &|pairs| {
            for _ in 0..pairs {
                let key = black_box(&sharded).insert(Object::filled(1));
                black_box(&sharded).remove(black_box(key).expect("room"));
            }
        });
    }
    #[cfg(feature = "reference")]
    {
        use forge_alloc::{Allocator as _, Deallocator as _};
        let slab = extendable::reference::Reference::new(1024).0;
        let layout = forge_alloc::NonZeroLayout::for_type::<Object>().expect("has a size");
        add("forge-alloc ExtendableSlab", &|pairs| {
            for _ in 0..pairs {
                let block = black_box(&slab).allocate(layout).expect("memory").cast();
                touch(std::ptr::NonNull::as_ptr(block));
                // SAFETY: the block is live and has this layout.
                unsafe { black_box(&slab).deallocate(black_box(block), layout) };
            }
        });
    }
    csv
}

/// Nanoseconds of processor time for one pair: the mean of the threads.
#[cfg(target_os = "linux")]
fn each_thread(threads: usize, pairs: &(dyn Fn(u64) + Sync)) -> f64 {
    const PAIRS: u64 = 400_000;
    let start = Barrier::new(threads);
    let times: Vec<f64> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|core| {
                let start = &start;
                scope.spawn(move || {
                    crate::limits::pin_to(core);
                    pairs(1000);
                    start.wait();
                    let before = thread_time();
                    pairs(PAIRS);
                    (thread_time() - before).as_nanos() as f64 / PAIRS as f64
                })
            })
            .collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, f64>| worker.join();
        workers
            .into_iter()
            .map(|worker| join(worker).expect("no panic"))
            .collect()
    });
    times.iter().sum::<f64>() / threads as f64
}

/// How long the calling thread has had a processor; 0 where the system does not say.
fn processor_time() -> Duration {
    #[cfg(target_os = "linux")]
    return thread_time();
    #[cfg(not(target_os = "linux"))]
    Duration::ZERO
}

/// How long the calling thread has had a processor.
#[cfg(target_os = "linux")]
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is that of a value that may be written.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "the clock of a thread can be read");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
