//! The recording of this process: who is recorded, in what order, and where it goes.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use drystone_sync::CachePadded;
#[cfg(all(unix, not(miri)))]
use drystone_sync::atomic::AtomicBool;
use drystone_sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::clock::Clock;
use super::error::RecordError;
use super::guarded::{Guarded, Held};
use super::lane::Lane;
use super::output::{self, Recorded};
#[cfg(all(unix, not(miri)))]
use super::place::Place;
use super::window::{WINDOW_BYTES, Window};
use super::{resident, thread_word};
use crate::dst::{Coder, HEADER_BYTES_MAX, Header, Kind, Operation, Output, Stage, What};

/// The one recording of the process: its allocators share the address space.
pub(super) static TAPE: Tape = Tape::new();

/// Threads that write side by side. More take turns.
const LANE_COUNT: usize = 64;

static LANES: [CachePadded<Guarded<Lane>>; LANE_COUNT] =
    [const { CachePadded::new(Guarded::new(Lane::new())) }; LANE_COUNT];

/// A sample of memory is taken that often at most, in so many parts of a second.
const SAMPLES_PER_SECOND: u64 = 10;
/// And takes one part in so many of the time.
const SAMPLE_SHARE: u64 = 100;

// In this order, for `Tape::is_still`.
/// The environment has not been asked yet.
const UNASKED: u8 = 0;
/// A recording begins or ends.
const BUSY: u8 = 1;
const ON: u8 = 2;
const OFF: u8 = 3;
/// This is a child of a process that records, or was about to.
const CHILD: u8 = 4;

pub(super) struct Tape {
    state: AtomicU8,
    /// The process that records; its children do not.
    process: AtomicU32,
    #[cfg(all(unix, not(miri)))]
    told_of_forks: AtomicBool,
    threads: AtomicU32,
    order: CachePadded<AtomicU64>,
    /// Operations that could not be written, and that no gap tells yet.
    lost: AtomicU64,
    /// The tick from which on there may be another sample.
    sample_from: AtomicU64,
    ticks_per_second: AtomicU64,
    clock: OnceLock<Clock>,
    output: Guarded<output::Output>,
    /// Where the recordings of children go, if they are to be recorded.
    #[cfg(all(unix, not(miri)))]
    children: Guarded<Option<Place>>,
}

/// The calling thread is inside the recorder, and what it allocates is not recorded.
pub(super) struct Inside {
    thread: u32,
    /// Whether the thread is new.
    pub(super) is_new: bool,
    /// Whether it is recorded before there is a file.
    early: bool,
}

impl Inside {
    /// `None` if it is inside already.
    #[inline]
    fn enter(early: bool) -> Option<Self> {
        let number = thread_word::enter()?;
        let inside = Self {
            thread: number,
            is_new: false,
            early,
        };
        Some(if number == 0 {
            inside.numbered()
        } else {
            inside
        })
    }

    /// The thread is seen for the first time.
    #[cold]
    fn numbered(self) -> Self {
        // Relaxed: only that no two threads get one number.
        let thread = TAPE.threads.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        thread_word::set_number(thread);
        let inside = Self {
            thread,
            is_new: true,
            early: self.early,
        };
        core::mem::forget(self);
        TAPE.event(&inside, What::ThreadStart);
        inside
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        thread_word::leave();
    }
}

impl Tape {
    const fn new() -> Self {
        Self {
            state: AtomicU8::new(UNASKED),
            process: AtomicU32::new(0),
            #[cfg(all(unix, not(miri)))]
            told_of_forks: AtomicBool::new(false),
            threads: AtomicU32::new(0),
            order: CachePadded::new(AtomicU64::new(0)),
            lost: AtomicU64::new(0),
            sample_from: AtomicU64::new(0),
            ticks_per_second: AtomicU64::new(1),
            clock: OnceLock::new(),
            output: Guarded::new(output::Output::closed()),
            #[cfg(all(unix, not(miri)))]
            children: Guarded::new(None),
        }
    }

    /// Whether there is surely nothing to record.
    #[inline]
    pub(super) fn is_still(&self) -> bool {
        // Relaxed: as in `enter`.
        self.state.load(Ordering::Relaxed) >= OFF
    }

    /// Whether the calling thread's operations are recorded, from here until the value is dropped.
    #[inline]
    pub(super) fn enter(&self) -> Option<Inside> {
        // Relaxed: that a thread sees the end late or the start early does no harm; the numbers
        // are taken under the lane's lock, where the state is looked at again.
        match self.state.load(Ordering::Relaxed) {
            ON => Inside::enter(false),
            UNASKED => self.ask(),
            _ => None,
        }
    }

    /// As [`enter`](Self::enter), for who says later what the environment asks: until then operations are
    /// kept. What a thread does that is inside already, in a handler of a signal, is lost and counted.
    #[cfg(all(unix, not(miri)))]
    #[inline]
    pub(super) fn enter_early(&self) -> Option<Inside> {
        match self.state.load(Ordering::Relaxed) {
            ON | UNASKED => {
                let inside = Inside::enter(true);
                if inside.is_none() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
                inside
            }
            _ => None,
        }
    }

    /// Starts the recording that the environment asks for.
    #[cold]
    fn ask(&self) -> Option<Inside> {
        if !self.change(UNASKED, BUSY) {
            return None;
        }
        let Some(inside) = Inside::enter(false) else {
            self.change(BUSY, UNASKED);
            return None;
        };
        #[cfg(all(unix, not(miri)))]
        if let Some(file) = super::environment::file() {
            match file.and_then(|file| self.open(file, "wrapper", &[])) {
                Ok(output) => {
                    super::environment::at_exit(end_in_order);
                    self.roll(output, 0);
                    self.tell_new(&inside);
                    return Some(inside);
                }
                Err(error) => self.output.hold().fail(error),
            }
            super::environment::at_exit(end_in_order);
        }
        self.state.store(OFF, Ordering::Release);
        drop(inside);
        None
    }

    /// Starts a recording to a new file at `path`.
    pub(super) fn start(&self, path: &Path) -> Result<(), RecordError> {
        if !self.change(OFF, BUSY) && !self.change(UNASKED, BUSY) {
            return Err(RecordError::Busy);
        }
        let Some(inside) = Inside::enter(false) else {
            self.state.store(OFF, Ordering::Release);
            return Err(RecordError::Busy);
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(path);
        match file.and_then(|file| self.open(file, "wrapper", &[])) {
            Ok(output) => {
                self.roll(output, 0);
                self.tell_new(&inside);
                Ok(())
            }
            Err(error) => {
                self.state.store(OFF, Ordering::Release);
                Err(RecordError::Create(error))
            }
        }
    }

    /// Starts the recording that was waited for, at `place`, with what there is of it already.
    #[cfg(all(unix, not(miri)))]
    pub(super) fn start_at(&self, place: &Place) -> Result<(), RecordError> {
        if !self.change(UNASKED, BUSY) {
            return Err(RecordError::Busy);
        }
        let inside = Inside::enter(true);
        let mut early = LANES[0].hold().leave();
        let kept: &[u8] = match &mut early {
            Some((used, window)) => &window.rest(0)[..*used],
            None => &[],
        };
        let file = place.create();
        match file.and_then(|file| self.open(file, "preload", kept)) {
            Ok(output) => {
                if place.is_for_children() {
                    *self.children.hold() = Some(place.clone());
                }
                // Relaxed: nobody changes it while the state is `BUSY`.
                self.roll(output, self.order.load(Ordering::Relaxed));
                inside.iter().for_each(|inside| self.tell_new(inside));
                Ok(())
            }
            Err(error) => {
                self.state.store(OFF, Ordering::Release);
                Err(RecordError::Create(error))
            }
        }
    }

    /// Nothing is to be recorded, and nothing waited for any more.
    #[cfg(all(unix, not(miri)))]
    pub(super) fn decline(&self) {
        self.change(UNASKED, OFF);
    }

    /// Starts a recording in `file`, which is empty, with chunks that there are already.
    fn open(&self, file: File, recorder: &str, early: &[u8]) -> io::Result<output::Output> {
        #[cfg(all(unix, not(miri)))]
        if !self.told_of_forks.swap(true, Ordering::Relaxed) {
            super::fork::at_fork(before_fork, in_child);
        }
        let clock = self.clock.get_or_init(Clock::set);
        let ticks_per_second = clock.ticks_per_second();
        self.ticks_per_second
            .store(ticks_per_second, Ordering::Relaxed);
        let header = Header {
            stage: Stage::Addresses,
            ticks_per_second: Some(ticks_per_second),
        };
        let source = Some(clock.source.name());
        let mut bytes = [0; HEADER_BYTES_MAX];
        output::Output::open(file, header.write(recorder, source, &mut bytes), early)
    }

    /// Records to `output` from here on; it has `order` operations. The state is `BUSY` by this thread.
    fn roll(&self, output: output::Output, order: u64) {
        for lane in &LANES {
            // What a recording left that was never ended.
            drop(lane.hold().leave());
        }
        *self.output.hold() = output;
        self.order.store(order, Ordering::Relaxed);
        self.sample_from.store(0, Ordering::Relaxed);
        self.process.store(std::process::id(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `put`, for all of the above.
        self.state.store(ON, Ordering::Release);
    }

    /// Ends the recording.
    pub(super) fn finish(&self) -> Result<Recorded, RecordError> {
        if self.is_child() {
            return Err(RecordError::NotRecording);
        }
        let inside = Inside::enter(false).ok_or(RecordError::Busy)?;
        self.tell_lost(&inside);
        if !self.change(ON, BUSY) {
            return Err(self.ended_early());
        }
        let end = Self::leave_lanes();
        let mut output = self.output.hold();
        let closed = match output.take_error() {
            Some(error) => Err(error),
            None => {
                let end = end.filter(|(_, window_end)| *window_end == output.recorded().bytes);
                let end = end.map_or(output.recorded().bytes, |(used, _)| used);
                output.close(end)
            }
        };
        self.state.store(OFF, Ordering::Release);
        match closed {
            Ok(()) => Ok(output.recorded()),
            Err(error) => Err(self.lost(error, &output)),
        }
    }

    /// Closes every chunk and gives the windows back. Of the last one in the file where what is used of it ends,
    /// and where it does.
    fn leave_lanes() -> Option<(u64, u64)> {
        let mut last = None;
        for lane in &LANES {
            if let Some((used, window)) = lane.hold().leave() {
                let at = window.file_at();
                last = last.max(Some((at, at + used as u64)));
            }
        }
        last.map(|(at, used)| (used, at + WINDOW_BYTES as u64))
    }

    /// Why there is no recording to end.
    fn ended_early(&self) -> RecordError {
        let mut output = self.output.hold();
        match output.take_error() {
            Some(error) if output.was_open() => {
                Self::leave_lanes();
                // The figure is for the message; the file is as it is.
                let _ = output.count();
                self.lost(error, &output)
            }
            Some(error) => RecordError::Create(error),
            None => RecordError::NotRecording,
        }
    }

    fn lost(&self, error: io::Error, output: &output::Output) -> RecordError {
        let operations = output.recorded().operations;
        let numbered = self.order.load(Ordering::Relaxed);
        let untold = self.lost.swap(0, Ordering::Relaxed);
        RecordError::Write {
            error,
            operations,
            lost: numbered - operations.min(numbered) + untold,
        }
    }

    /// Whether this process is a child of the one that records.
    fn is_child(&self) -> bool {
        if self.state.load(Ordering::Relaxed) == CHILD {
            return true;
        }
        let recording = self.process.load(Ordering::Relaxed);
        recording != 0 && recording != std::process::id()
    }

    /// Changes the state, if it is `from`.
    fn change(&self, from: u8, to: u8) -> bool {
        // AcqRel: who changes the state next sees what was done before.
        self.state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Records one operation of the calling thread. Frees come before the block is given back,
    /// allocations after it was had: so of two operations on one address the first has the smaller
    /// number, on whatever threads they are.
    #[inline]
    pub(super) fn write(
        &self,
        inside: &Inside,
        kind: Kind,
        address: usize,
        size: usize,
        align_log2: u8,
    ) {
        self.put(inside, |order, tick, coder, out| {
            let operation = Operation {
                order,
                tick,
                name: address as u64,
                size: size as u64,
                kind,
                align_log2,
            };
            coder.encode(&operation, out);
        });
    }

    /// Records that something happened beside the operations.
    pub(super) fn event(&self, inside: &Inside, event: What<'_>) {
        self.put(inside, |order, tick, coder, out| {
            coder.encode_event(order, tick, event, out);
        });
    }

    #[inline]
    fn put(&self, inside: &Inside, encode: impl FnOnce(u64, u64, &mut Coder, &mut Output<'_>)) {
        // Acquire: pairs with the Release in `roll`. It is looked at again under the lock.
        let is_early = inside.early && self.state.load(Ordering::Acquire) == UNASKED;
        let thread = inside.thread;
        let mut lane = Self::lane(if is_early { 0 } else { thread }, is_early);
        let is_on = self.state.load(Ordering::Acquire) == if is_early { UNASKED } else { ON };
        if !is_on || (!lane.takes(thread) && !self.make_room(&mut lane, thread, is_early)) {
            return;
        }
        self.push(&mut lane, thread, encode);
    }

    /// Puts an operation into a lane that has room for it.
    #[inline]
    fn push(
        &self,
        lane: &mut Lane,
        thread: u32,
        encode: impl FnOnce(u64, u64, &mut Coder, &mut Output<'_>),
    ) {
        // Relaxed: what happens before another operation has the smaller number, since both change
        // the one counter.
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        let tick = self.now();
        if !lane.is_open() {
            lane.begin(thread, order, tick);
        }
        lane.push(|coder, out| encode(order, tick, coder, out));
    }

    /// A lane that nobody has: the thread's own, or after a fork, or with many threads, another one.
    /// `only` that one where it has what must not be spread.
    #[inline]
    fn lane(thread: u32, only: bool) -> Held<'static, Lane> {
        let first = thread as usize % LANE_COUNT;
        let count = if only { 1 } else { LANE_COUNT };
        let mut backoff = drystone_sync::Backoff::new();
        loop {
            for step in 0..count {
                if let Some(lane) = LANES[(first + step) % LANE_COUNT].try_hold() {
                    return lane;
                }
            }
            backoff.wait();
        }
    }

    #[inline]
    fn now(&self) -> u64 {
        self.clock.get_or_init(Clock::set).now()
    }

    /// Has `lane` take an operation of `thread`. `false` if that cannot be; the operation is counted as lost
    /// then. Where there is no room in the file, the recording ends.
    #[cold]
    fn make_room(&self, lane: &mut Lane, thread: u32, is_early: bool) -> bool {
        lane.close();
        if lane.has_room() {
            return true;
        }
        if is_early {
            let window = Window::early();
            self.lost
                .fetch_add(u64::from(window.is_none()), Ordering::Relaxed);
            return window.map(|window| lane.move_to(window)).is_some();
        }
        if self.is_child() {
            // It was made without the handlers of a fork. The lock of the output may be held by a thread that
            // is not in this process; and the state may be shared with one that records.
            return false;
        }
        let window = self.output.hold().window();
        let Some(window) = window else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.change(ON, OFF);
            return false;
        };
        lane.move_to(window);
        self.tell_memory(lane, thread);
        true
    }

    /// Puts a sample of the process's memory into `lane`, if it is time for one.
    fn tell_memory(&self, lane: &mut Lane, thread: u32) {
        let before = self.now();
        if before < self.sample_from.load(Ordering::Relaxed) {
            return;
        }
        // Only one thread takes it; the others see this, or take one more.
        self.sample_from.store(u64::MAX, Ordering::Relaxed);
        let sample = resident::sample();
        if let Some(sample) = sample {
            self.push(lane, thread, |order, tick, coder, out| {
                coder.encode_event(order, tick, What::Sample(sample), out);
            });
        }
        let after = self.now();
        let ticks_per_second = self.ticks_per_second.load(Ordering::Relaxed);
        let took = after.saturating_sub(before).saturating_mul(SAMPLE_SHARE);
        let wait = took.max(ticks_per_second / SAMPLES_PER_SECOND);
        self.sample_from
            .store(after.saturating_add(wait), Ordering::Relaxed);
    }

    /// Writes down that a thread was seen first, if that was before there was a recording.
    fn tell_new(&self, inside: &Inside) {
        if inside.is_new {
            self.event(inside, What::ThreadStart);
        }
    }

    /// Writes down how many operations were lost, if any were.
    fn tell_lost(&self, inside: &Inside) {
        if self.state.load(Ordering::Relaxed) == ON {
            let lost = self.lost.swap(0, Ordering::Relaxed);
            if lost > 0 {
                self.event(inside, What::Gap { lost });
            }
        }
    }
}

/// Writes down that the process forks.
#[cfg(all(unix, not(miri)))]
unsafe extern "C" fn before_fork() {
    if TAPE.state.load(Ordering::Relaxed) == ON
        && !TAPE.is_child()
        && let Some(inside) = Inside::enter(true)
    {
        TAPE.event(&inside, What::Fork);
    }
}

/// Ends the recording in a child, which has the locks of other threads as they were, or starts one of its
/// own. A recording that is over leaves the child free to make its own.
#[cfg(all(unix, not(miri)))]
unsafe extern "C" fn in_child() {
    let state = TAPE.state.load(Ordering::Relaxed);
    if state != ON && state != BUSY {
        return;
    }
    TAPE.state.store(CHILD, Ordering::Relaxed);
    // Where a thread that is not here holds the place, it is about to be set.
    let place = TAPE.children.try_hold().and_then(|place| place.clone());
    let Some(place) = place.filter(|_| state == ON) else {
        // The lock on the file goes with the parent, however long the child lives.
        if let Some(mut output) = TAPE.output.try_hold() {
            *output = output::Output::closed();
        }
        return;
    };
    for lane in &LANES {
        // SAFETY: a child has one thread, which is here and has no lane.
        unsafe { lane.renew(Lane::new()) };
    }
    // SAFETY: as above.
    unsafe { TAPE.output.renew(output::Output::closed()) };
    TAPE.lost.store(0, Ordering::Relaxed);
    let inside = Inside::enter(true);
    let file = place.create();
    match file.and_then(|file| TAPE.open(file, "preload", &[])) {
        Ok(output) => {
            TAPE.roll(output, 0);
            if let Some(inside) = &inside {
                TAPE.event(inside, What::Fork);
            }
        }
        Err(error) => {
            TAPE.output.hold().fail(error);
            TAPE.process.store(std::process::id(), Ordering::Relaxed);
            TAPE.state.store(OFF, Ordering::Relaxed);
        }
    }
}

/// Ends the recording that the environment asked for, and says what went wrong with it.
#[cfg(all(unix, not(miri)))]
extern "C" fn end_in_order() {
    match TAPE.finish() {
        Ok(_) | Err(RecordError::NotRecording) => {}
        Err(error) => {
            let _inside = Inside::enter(false);
            eprintln!("DRYSTONE_TRACE: {error}");
        }
    }
}

#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;

    /// At the time of the fork every lane but one is taken by another thread, or so it looks: nobody gives them
    /// back in the child.
    #[test]
    fn a_child_waits_for_no_lane_of_its_parents_threads() {
        let path = std::env::temp_dir().join(format!("drystone-busy-{}.dst", std::process::id()));
        TAPE.start(&path).expect("a new file");
        let held: Vec<_> = LANES[1..].iter().map(|lane| lane.hold()).collect();
        // So that the fork itself needs no window.
        crate::mark("before");
        let output = TAPE.output.hold();
        // SAFETY: the child stores words, asks for signals, and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // A child that waits is ended by the alarm.
            // SAFETY: no handler is installed.
            unsafe { libc::alarm(20) };
            let recorded = TAPE.enter().is_some();
            let ended = TAPE.finish().is_ok();
            let started = TAPE.start(&path).is_ok();
            let code = i32::from(recorded || ended || started);
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) };
        }
        drop((held, output));
        let mut status = -1;
        // SAFETY: the child is ours; the pointer is to a live number.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child neither records nor waits");
        assert!(TAPE.enter().is_some(), "the parent records on");
        let recorded = TAPE.finish().expect("a whole file");
        let trace = crate::Trace::read(&path).expect("a trace");
        assert_eq!(recorded.operations, trace.events().len() as u64);
        let forks = trace
            .events()
            .iter()
            .filter(|event| event.kind == crate::EventKind::Fork);
        assert_eq!(forks.count(), 1);
        std::fs::remove_file(&path).expect("the file is there");
    }
}
