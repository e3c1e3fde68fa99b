//! What the tests of the pool share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use drystone_core::{
    AllocError, FixedRange, HeapSegment, NonZeroLayout, SegmentSource, StableAddress,
};
use drystone_pool::BufferPoolConfig;

/// Powers of two from 64 to 1024 bytes, `max` of each.
pub(crate) fn small(max: u32) -> BufferPoolConfig {
    BufferPoolConfig::for_network()
        .with_min_size(64)
        .with_max_size(1024)
        .with_max_per_class(max)
}

/// Segments of the heap, counted; refuses when told.
#[derive(Clone, Debug, Default)]
pub(crate) struct CountingSource {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    live: AtomicUsize,
    asked: AtomicUsize,
    /// Requests from the first to before the second are refused.
    refused: [AtomicUsize; 2],
    largest: AtomicUsize,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            live: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            refused: [const { AtomicUsize::new(usize::MAX) }; 2],
            largest: AtomicUsize::new(usize::MAX),
        }
    }
}

impl CountingSource {
    /// The segments that live.
    pub(crate) fn live(&self) -> usize {
        self.shared.live.load(Ordering::SeqCst)
    }

    /// Refuses the request of this number, counted from 0.
    pub(crate) fn refuse_once(&self, number: usize) {
        self.shared.refused[0].store(number, Ordering::SeqCst);
        self.shared.refused[1].store(number + 1, Ordering::SeqCst);
    }

    /// Refuses this request and all that follow.
    pub(crate) fn refuse_from(&self, number: usize) {
        self.shared.refused[0].store(number, Ordering::SeqCst);
        self.shared.refused[1].store(usize::MAX, Ordering::SeqCst);
    }

    /// Refuses requests for more bytes.
    pub(crate) fn refuse_above(&self, bytes: usize) {
        self.shared.largest.store(bytes, Ordering::SeqCst);
    }
}

/// A segment that is counted while it lives.
#[derive(Debug)]
pub(crate) struct CountedSegment {
    segment: HeapSegment,
    shared: Arc<Shared>,
}

impl Drop for CountedSegment {
    fn drop(&mut self) {
        self.shared.live.fetch_sub(1, Ordering::SeqCst);
    }
}

// SAFETY: every answer is that of the segment inside.
unsafe impl FixedRange for CountedSegment {
    fn base(&self) -> core::ptr::NonNull<u8> {
        self.segment.base()
    }

    fn size(&self) -> usize {
        self.segment.size()
    }

    fn base_align(&self) -> usize {
        self.segment.base_align()
    }

    fn commits_on_demand(&self) -> bool {
        false
    }

    fn align_offset(&self, offset: usize, align: usize) -> Option<usize> {
        self.segment.align_offset(offset, align)
    }
}

// SAFETY: as the segment inside.
unsafe impl StableAddress for CountedSegment {}

// SAFETY: segments of the heap, which has the promises.
unsafe impl SegmentSource for CountingSource {
    type Segment = CountedSegment;

    fn segment(&self, layout: NonZeroLayout) -> Result<CountedSegment, AllocError> {
        let number = self.shared.asked.fetch_add(1, Ordering::SeqCst);
        let [from, to] = &self.shared.refused;
        let refused = (from.load(Ordering::SeqCst)..to.load(Ordering::SeqCst)).contains(&number);
        let large = layout.size().get() > self.shared.largest.load(Ordering::SeqCst);
        if refused || large {
            return Err(AllocError);
        }
        let segment = HeapSegment::new(layout)?;
        self.shared.live.fetch_add(1, Ordering::SeqCst);
        Ok(CountedSegment {
            segment,
            shared: Arc::clone(&self.shared),
        })
    }
}

/// Threads that did something and then do nothing until the value is dropped.
pub(crate) struct Idle {
    go_on: Vec<mpsc::Sender<()>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Idle {
    /// Starts `count` threads that each run `f`, and waits until all have. What `f` returns lives as
    /// long as its thread.
    pub(crate) fn start<R>(count: u32, f: impl Fn(u32) -> R + Send + Sync + 'static) -> Self {
        let f = Arc::new(f);
        let (say, hear) = mpsc::channel();
        let mut idle = Self {
            go_on: Vec::new(),
            threads: Vec::new(),
        };
        for number in 0..count {
            let (f, say) = (Arc::clone(&f), say.clone());
            let (go_on, wait) = mpsc::channel::<()>();
            idle.go_on.push(go_on);
            let body = move || {
                let kept = f(number);
                drop(f);
                say.send(()).expect("the test listens");
                let _ = wait.recv();
                drop(kept);
            };
            idle.threads.push(thread::spawn(body));
        }
        for _ in 0..count {
            hear.recv().expect("each thread gets there");
        }
        idle
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.go_on.clear();
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking());
        }
    }
}
