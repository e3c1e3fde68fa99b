//! Random programs on an extendable slab beside a model of what is live, with sources that fail,
//! trims, resets and a second thread.
#![cfg(feature = "std")]

mod counting;

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;

use drystone_core::{
    Allocator, Checked, Deallocator, FreelistProtection, Inspect, NoProtection, Owns, Reset,
};
use drystone_layout::ExtendableSlab;
use proptest::collection::vec;
use proptest::prelude::*;

use counting::{Block, Counting, Log, Sent, block};

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate(u8),
    Free(u8),
    /// The oldest, or the newest.
    FreeMany(u8, bool),
    AllocateThere(u8),
    FreeThere(u8),
    /// The second thread ends, and another one takes its place.
    NextThread,
    Trim,
    Reset,
    /// The source has this many segments from now on.
    Limit(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..40u8).prop_map(Step::Allocate),
        8 => any::<u8>().prop_map(Step::Free),
        3 => (1..60u8, any::<bool>()).prop_map(|(n, oldest)| Step::FreeMany(n, oldest)),
        3 => (1..20u8).prop_map(Step::AllocateThere),
        3 => (1..20u8).prop_map(Step::FreeThere),
        1 => Just(Step::NextThread),
        2 => Just(Step::Trim),
        1 => Just(Step::Reset),
        2 => (0..20u8).prop_map(Step::Limit),
    ];
    vec(step, 1..if cfg!(miri) { 12 } else { 120 })
}

type Slab<M> = ExtendableSlab<Block, M, Counting>;

/// A thread that does what it is told.
struct Worker {
    tell: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn new() -> Self {
        let (tell, hear) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let thread = thread::spawn(move || hear.into_iter().for_each(|work| work()));
        Self {
            tell: Some(tell),
            thread: Some(thread),
        }
    }

    fn run<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        let (answer, hear) = mpsc::channel();
        let work = Box::new(move || answer.send(work()).expect("the test listens"));
        let tell = self.tell.as_ref().expect("not ended");
        tell.send(work).expect("the thread lives");
        hear.recv().expect("the thread answers")
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.tell = None;
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the thread does not panic");
    }
}

/// The slab, and what is live in it.
struct Model<M: FreelistProtection + 'static> {
    slab: Arc<Slab<M>>,
    log: Arc<Log>,
    capacity: usize,
    live: BTreeMap<usize, (NonNull<u8>, u64)>,
    stamp: u64,
    worker: Option<Worker>,
    /// Whether the worker may keep free slots that this thread cannot get at.
    used_there: bool,
}

impl<M: FreelistProtection + Send + Sync + 'static> Model<M> {
    fn new(capacity: usize, factory: impl Fn() -> M + Send + Sync + 'static) -> Self {
        let source = Counting::new(usize::MAX);
        let log = source.0.clone();
        Self {
            slab: Arc::new(ExtendableSlab::with_source(capacity, factory, source)),
            log,
            capacity,
            live: BTreeMap::new(),
            stamp: 0,
            worker: Some(Worker::new()),
            used_there: false,
        }
    }

    fn worker(&self) -> &Worker {
        self.worker.as_ref().expect("there is always one")
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Allocate(count) => {
                for _ in 0..count {
                    let taken = self.slab.allocate(block());
                    self.took(taken.ok().map(NonNull::cast), !self.used_there);
                }
            }
            Step::Free(pick) => {
                if let Some(ptr) = self.pick(pick.into()) {
                    // SAFETY: a live block.
                    unsafe { self.slab.deallocate(ptr, block()) };
                }
            }
            Step::FreeMany(count, oldest) => {
                for _ in 0..count {
                    let at = if oldest {
                        0
                    } else {
                        self.live.len().saturating_sub(1)
                    };
                    if let Some(ptr) = self.pick(at) {
                        // SAFETY: a live block.
                        unsafe { self.slab.deallocate(ptr, block()) };
                    }
                }
            }
            Step::AllocateThere(count) => {
                self.used_there = true;
                let slab = self.slab.clone();
                let taken = self.worker().run(move || {
                    let take = |_| slab.allocate(block()).ok().map(NonNull::cast);
                    Sent((0..count).filter_map(take).collect())
                });
                taken
                    .0
                    .into_iter()
                    .for_each(|ptr| self.took(Some(ptr), false));
            }
            Step::FreeThere(count) => {
                let picked = (0..count).filter_map(|n| self.pick(usize::from(n) * 7));
                let picked = Sent(picked.collect());
                let slab = self.slab.clone();
                self.worker().run(move || {
                    let picked = picked;
                    for ptr in picked.0 {
                        // SAFETY: live blocks.
                        unsafe { slab.deallocate(ptr, block()) };
                    }
                });
            }
            Step::NextThread => {
                self.worker = None;
                self.worker = Some(Worker::new());
                self.used_there = false;
            }
            Step::Trim => self.trim(),
            Step::Reset => {
                // The worker's handle on the slab goes when its last work is dropped.
                self.worker = None;
                let slab = Arc::get_mut(&mut self.slab).expect("nobody else has the slab");
                slab.reset();
                self.live.clear();
                self.worker = Some(Worker::new());
                self.used_there = false;
            }
            Step::Limit(limit) => self.log.limit.store(limit.into(), Ordering::Relaxed),
        }
        self.check();
    }

    /// A block was handed out, or refused. A refusal that shows `everything` says that no slot of
    /// any segment is free.
    fn took(&mut self, ptr: Option<NonNull<u8>>, everything: bool) {
        let Some(ptr) = ptr else {
            let refused = self.log.refused.load(Ordering::Relaxed);
            assert!(refused > 0, "refused, and the source was not asked");
            if everything {
                assert_eq!(
                    self.live.len(),
                    self.slab.segment_count() * self.capacity,
                    "refused while slots are free"
                );
            }
            return;
        };
        self.stamp += 1;
        // SAFETY: live, 24 bytes long and aligned for words.
        unsafe { ptr.cast::<Block>().write([self.stamp; 3]) };
        let before = self.live.insert(ptr.addr().get(), (ptr, self.stamp));
        assert!(before.is_none(), "a live block was handed out");
    }

    /// Takes a block out of the model, after a look at its stamp.
    fn pick(&mut self, at: usize) -> Option<NonNull<u8>> {
        let len = self.live.len();
        let key = *self.live.keys().nth(at.checked_rem(len)?)?;
        let (ptr, stamp) = self.live.remove(&key)?;
        // SAFETY: live, and written when it was taken.
        let found = unsafe { ptr.cast::<Block>().read() };
        assert_eq!(found, [stamp; 3], "a live block was overwritten");
        Some(ptr)
    }

    fn trim(&mut self) {
        let before = self.slab.segment_count();
        let bytes = self.slab.trim();
        let given = before - self.slab.segment_count();
        assert_eq!(bytes, given * self.slab.segment_bytes());
        if !self.used_there {
            let in_use = self.segments_in_use();
            assert_eq!(self.slab.segment_count(), in_use, "a free segment was kept");
        }
    }

    /// How many segments the live blocks lie in.
    fn segments_in_use(&self) -> usize {
        let align = self.slab.segment_bytes().next_power_of_two();
        let mut bases: Vec<_> = self.live.keys().map(|addr| addr / align).collect();
        bases.dedup();
        bases.len()
    }

    fn check(&self) {
        let report = self.slab.verify_all().expect("every invariant holds");
        if !self.used_there {
            assert_eq!(report.live_blocks, self.live.len());
        }
        assert_eq!(self.slab.segment_count(), self.log.out());
        assert_eq!(self.slab.corruption_events(), 0);
        for (ptr, _) in self.live.values().take(5) {
            assert!(self.slab.owns(*ptr));
            assert!(self.slab.validate(*ptr).is_ok());
        }
    }

    /// Everything is freed: nothing of it is lost.
    fn finish(mut self) {
        self.worker = None;
        self.used_there = false;
        while let Some(ptr) = self.pick(0) {
            // SAFETY: a live block.
            unsafe { self.slab.deallocate(ptr, block()) };
        }
        self.check();
        self.trim();
        assert_eq!((self.slab.segment_count(), self.log.out()), (0, 0));
    }
}

fn run<M: FreelistProtection + Send + Sync + 'static>(
    capacity: usize,
    steps: &[Step],
    factory: impl Fn() -> M + Send + Sync + 'static,
) {
    let mut model = Model::new(capacity, factory);
    steps.iter().for_each(|&step| model.step(step));
    model.finish();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 3 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn without_protection(steps in steps(), capacity in prop_oneof![1..10usize, 60..140usize]) {
        run(capacity, &steps, || NoProtection);
    }

    #[test]
    fn checked(steps in steps(), capacity in prop_oneof![1..10usize, 60..140usize]) {
        run(capacity, &steps, || Checked);
    }
}
