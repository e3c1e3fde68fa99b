//! The recording of this process: who is recorded, in what order, and where it goes.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use drystone_core::NonZeroLayout;
use drystone_sync::CachePadded;
#[cfg(all(unix, not(miri)))]
use drystone_sync::atomic::AtomicBool;
use drystone_sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::clock::Clock;
use super::error::RecordError;
use super::guarded::{Guarded, Held};
use super::lane::Lane;
use super::output::{Output, Recorded};
use crate::dst::{HEADER_BYTES_MAX, Header, Kind, Operation, Stage};

/// The one recording of the process: its allocators share the address space.
pub(super) static TAPE: Tape = Tape::new();

/// Threads that write side by side. More take turns.
const LANE_COUNT: usize = 64;

/// Beside the tape and not in it, because they are all zeros and the tape is not: so they take no place
/// in the program's file.
static LANES: [Guarded<Lane>; LANE_COUNT] = [const { Guarded::new(Lane::new()) }; LANE_COUNT];

// In this order, for `Tape::is_still`.
/// The environment has not been asked yet.
const UNASKED: u8 = 0;
/// A recording begins or ends.
const BUSY: u8 = 1;
const ON: u8 = 2;
const OFF: u8 = 3;
/// This is a child of a process that records, or was about to.
const CHILD: u8 = 4;

thread_local! {
    /// The number of this thread, from 1; 0 until it is first recorded.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// Whether this thread is inside the recorder.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

pub(super) struct Tape {
    state: AtomicU8,
    /// The process that records; its children do not.
    process: AtomicU32,
    #[cfg(all(unix, not(miri)))]
    told_of_forks: AtomicBool,
    threads: AtomicU32,
    order: CachePadded<AtomicU64>,
    clock: OnceLock<Clock>,
    output: Guarded<Output>,
}

/// The calling thread is inside the recorder, and what it allocates is not recorded.
pub(super) struct Inside(());

impl Inside {
    /// `None` if it is inside already.
    #[inline]
    fn enter() -> Option<Self> {
        INSIDE.with(|inside| (!inside.replace(true)).then_some(Self(())))
    }
}

impl Drop for Inside {
    #[inline]
    fn drop(&mut self) {
        INSIDE.with(|inside| inside.set(false));
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
            clock: OnceLock::new(),
            output: Guarded::new(Output::closed()),
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
            ON => Inside::enter(),
            UNASKED => self.ask(),
            _ => None,
        }
    }

    /// Starts the recording that the environment asks for.
    #[cold]
    fn ask(&self) -> Option<Inside> {
        let inside = Inside::enter()?;
        if !self.change(UNASKED, BUSY) {
            return None;
        }
        #[cfg(all(unix, not(miri)))]
        if let Some(file) = super::environment::file() {
            match file.and_then(|file| self.open(file)) {
                Ok(output) => {
                    super::environment::at_exit(end_in_order);
                    self.roll(output);
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
        let _inside = Inside::enter().ok_or(RecordError::Busy)?;
        if !self.change(OFF, BUSY) && !self.change(UNASKED, BUSY) {
            return Err(RecordError::Busy);
        }
        match File::create(path).and_then(|file| self.open(file)) {
            Ok(output) => {
                self.roll(output);
                Ok(())
            }
            Err(error) => {
                self.state.store(OFF, Ordering::Release);
                Err(RecordError::Create(error))
            }
        }
    }

    /// Starts a recording in `file`, which is empty.
    fn open(&self, file: File) -> io::Result<Output> {
        #[cfg(all(unix, not(miri)))]
        if !self.told_of_forks.swap(true, Ordering::Relaxed) {
            super::fork::at_fork(in_child);
        }
        let clock = self.clock.get_or_init(Clock::set);
        let header = Header {
            stage: Stage::Addresses,
            ticks_per_second: Some(clock.ticks_per_second),
        };
        let source = Some(clock.source.name());
        Output::open(
            file,
            header.write("wrapper", source, &mut [0; HEADER_BYTES_MAX]),
        )
    }

    /// Records to `output` from here on. The state is `BUSY` by this thread.
    fn roll(&self, output: Output) {
        for lane in &LANES {
            lane.hold().begin(0, 0, 0);
        }
        *self.output.hold() = output;
        self.order.store(0, Ordering::Relaxed);
        self.process.store(std::process::id(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `write`, for all of the above.
        self.state.store(ON, Ordering::Release);
    }

    /// Ends the recording.
    pub(super) fn finish(&self) -> Result<Recorded, RecordError> {
        let _inside = Inside::enter().ok_or(RecordError::Busy)?;
        if self.is_child() {
            return Err(RecordError::NotRecording);
        }
        if !self.change(ON, BUSY) {
            let mut output = self.output.hold();
            return Err(match output.take_error() {
                Some(error) if output.was_open() => self.lost(error, &output),
                Some(error) => RecordError::Create(error),
                None => RecordError::NotRecording,
            });
        }
        for lane in &LANES {
            let mut lane = lane.hold();
            if !self.flush(&mut lane) {
                break;
            }
            lane.begin(0, 0, 0);
        }
        let mut output = self.output.hold();
        let closed = match output.take_error() {
            Some(error) => Err(error),
            None => output.close(),
        };
        self.state.store(OFF, Ordering::Release);
        match closed {
            Ok(()) => Ok(output.recorded()),
            Err(error) => Err(self.lost(error, &output)),
        }
    }

    fn lost(&self, error: io::Error, output: &Output) -> RecordError {
        let operations = output.recorded().operations;
        let numbered = self.order.load(Ordering::Relaxed);
        RecordError::Write {
            error,
            operations,
            lost: numbered - operations.min(numbered),
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
    pub(super) fn write(&self, _: &Inside, kind: Kind, address: usize, layout: NonZeroLayout) {
        let thread = self.number();
        let mut lane = Self::lane(thread);
        // Acquire: pairs with the Release in `roll`.
        if self.state.load(Ordering::Acquire) != ON {
            return;
        }
        // Relaxed: what happens before another operation has the smaller number, since both change
        // the one counter.
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        let operation = Operation {
            order,
            tick: self.now(),
            name: address as u64,
            size: layout.size().get() as u64,
            kind,
            align_log2: layout.align().trailing_zeros() as u8,
        };
        if !lane.takes(thread) {
            if !self.flush(&mut lane) {
                return;
            }
            lane.begin(thread, order, operation.tick);
        }
        lane.push(&operation);
    }

    #[inline]
    fn number(&self) -> u32 {
        NUMBER.with(|number| {
            if number.get() == 0 {
                // Relaxed: only that no two threads get one number.
                number.set(self.threads.fetch_add(1, Ordering::Relaxed).wrapping_add(1));
            }
            number.get()
        })
    }

    /// A lane that nobody has: the thread's own, or after a fork, or with many threads, another one.
    #[inline]
    fn lane(thread: u32) -> Held<'static, Lane> {
        let first = thread as usize % LANE_COUNT;
        let mut backoff = drystone_sync::Backoff::new();
        loop {
            for step in 0..LANE_COUNT {
                if let Some(lane) = LANES[(first + step) % LANE_COUNT].try_hold() {
                    return lane;
                }
            }
            backoff.wait();
        }
    }

    #[inline]
    fn now(&self) -> u64 {
        self.clock.get().map_or(0, Clock::now)
    }

    /// Writes out what is in `lane`. `false` if that ends the recording.
    #[cold]
    fn flush(&self, lane: &mut Lane) -> bool {
        if lane.operations() == 0 {
            return true;
        }
        if self.is_child() {
            // The lock of the output may be held by a thread that is not in this process.
            self.state.store(CHILD, Ordering::Release);
            return false;
        }
        let operations = lane.operations();
        let written = self.output.hold().chunk(operations, lane.chunk());
        if !written {
            self.change(ON, OFF);
        }
        written
    }
}

/// Ends the recording in a child, which has the locks of other threads as they were. A recording that is
/// over leaves the child free to make its own.
#[cfg(all(unix, not(miri)))]
unsafe extern "C" fn in_child() {
    let state = TAPE.state.load(Ordering::Relaxed);
    if state == ON || state == BUSY {
        TAPE.state.store(CHILD, Ordering::Relaxed);
    }
}

/// Ends the recording that the environment asked for, and says what went wrong with it.
#[cfg(all(unix, not(miri)))]
extern "C" fn end_in_order() {
    match TAPE.finish() {
        Ok(_) | Err(RecordError::NotRecording) => {}
        Err(error) => {
            let _inside = Inside::enter();
            eprintln!("DRYSTONE_TRACE: {error}");
        }
    }
}

#[cfg(all(test, unix, not(miri)))]
mod tests {
    use super::*;

    /// At the time of the fork every lane is taken by another thread, or so it looks: nobody gives them
    /// back in the child.
    #[test]
    fn a_child_waits_for_no_lane_of_its_parents_threads() {
        let path = std::env::temp_dir().join(format!("drystone-busy-{}.dst", std::process::id()));
        TAPE.start(&path).expect("a new file");
        let held: Vec<_> = LANES.iter().map(Guarded::hold).collect();
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
        assert_eq!(TAPE.finish().expect("a whole file").operations, 0);
        std::fs::remove_file(&path).expect("the file is there");
    }
}
