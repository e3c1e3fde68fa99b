//! A trace made ready for replay: one flat array of steps for each thread, in a mapping.
//!
//! # What
//! [`Plan`] is built once by the parent from a trace; its bytes go into a shared file. Every child
//! maps that file as a [`Program`] and replays it without decoding anything.
//!
//! # Memory picture
//! ```text
//!  file: | header 16 x u64 | per thread: first step, count, first record u64 |
//!        | starts: record u32, thread u32 | steps: 24 B each, thread after thread |
//!        | if paced, when each step is due: u64 nanoseconds, in the same order |
//! ```
//!
//! # Invariants
//! For every step of a [`Program`], checked when it is mapped:
//! I1: `slot` is below the number of slots, `op` is one of the five.
//! I2: `size` is not 0 and forms a valid layout with `1 << align_log2`.
//! By construction of a [`Plan`]:
//! I3: a slot that a thread takes for a new object was last used by that same thread, so sharing
//! slots adds no dependency between threads.
//! I4: `waits` is set exactly where another thread made the slot's previous operation, and
//! `publishes` on that previous operation.
//!
//! # Threads
//! Read only.
//!
//! # Cost
//! 24 B a record, touched once when mapped.

use core::alloc::Layout;
use std::fs::File;
use std::time::Duration;

use drystone_trace::{Op, Record, Trace};
use memmap2::Mmap;

use crate::error::Failure;
use crate::target::Workload;

const MAGIC: u64 = u64::from_le_bytes(*b"DRYPROG1");
const HEADER_WORDS: usize = 16;

/// What a step does.
pub(crate) mod op {
    pub(crate) const ALLOCATE: u8 = 0;
    pub(crate) const ALLOCATE_ZEROED: u8 = 1;
    pub(crate) const FREE: u8 = 2;
    pub(crate) const REALLOCATE: u8 = 3;
    /// A reallocation that changes the alignment: allocate, copy, free.
    pub(crate) const MOVE: u8 = 4;
}

/// What goes with a step.
pub(crate) mod flag {
    /// Another thread made the previous operation on this slot: wait for its turn.
    pub(crate) const WAITS: u8 = 1;
    /// Another thread makes the next operation on this slot: tell it.
    pub(crate) const PUBLISHES: u8 = 2;
    /// The record after this one is the first of a thread: start it.
    pub(crate) const STARTS: u8 = 4;
}

/// One operation of one thread.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// New size in bytes; of the block as last known on a free.
    pub(crate) size: u64,
    pub(crate) slot: u32,
    /// Number of this operation among those of its slot.
    pub(crate) turn: u32,
    /// Number of the record in the trace, from 0.
    pub(crate) record: u32,
    pub(crate) op: u8,
    pub(crate) align_log2: u8,
    pub(crate) flags: u8,
    pub(crate) unused: u8,
}

const STEP_BYTES: usize = size_of::<Step>();
const _: () = assert!(STEP_BYTES == 24);
const DUE_BYTES: usize = size_of::<u64>();

impl Step {
    /// The layout that this step asks for.
    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        // SAFETY: I2, checked when the program was mapped, says that this layout is valid.
        unsafe { Layout::from_size_align_unchecked(self.size as usize, 1 << self.align_log2) }
    }

    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// How recorded threads map to replaying ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// One thread each.
    Keep,
    /// Folded to this many, by number modulo.
    Fold(u16),
}

/// How recorded alignments map to replayed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// As recorded.
    Recorded,
    /// 16 becomes what a Rust type of that size would ask for.
    Rust,
}

/// A trace decoded for replay, in the parent.
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) slots: usize,
    pub(crate) records: usize,
    /// Record at which the sum of live sizes peaks.
    pub(crate) peak_record: u32,
    /// Records between two samples of the live curve and of memory.
    pub(crate) sample_every: u32,
    /// Live bytes, as recorded, after every `sample_every`-th record.
    pub(crate) live_curve: Vec<u64>,
    threads: Vec<Vec<Step>>,
    /// When each record is due, in nanoseconds; empty unless paced.
    due_ns: Vec<u64>,
}

/// Samples on the x axis of memory plots, at most.
const SAMPLES: usize = 256;

/// Steps of each replaying thread.
fn steps_of(records: &[Record], thread_count: usize) -> Vec<usize> {
    let mut counts = vec![0; thread_count];
    for record in records {
        counts[usize::from(record.thread) % thread_count] += 1;
    }
    counts
}

/// Makes room for `more` elements, or says that the system refused it.
fn reserve<T>(elements: &mut Vec<T>, more: usize) -> Result<(), Failure> {
    elements.try_reserve(more).map_err(|_| {
        Failure::out_of_memory(format!(
            "{more} more elements of {} bytes for the replay do not fit in memory",
            size_of::<T>()
        ))
    })
}

struct Planner {
    threads: Vec<Vec<Step>>,
    /// Slot, current size and alignment by object.
    objects: Vec<(u32, u64, u8)>,
    /// Freed slots by the thread that freed last.
    pools: Vec<Vec<u32>>,
    /// Next turn, last thread and last step by slot.
    slots: Vec<SlotHistory>,
}

#[derive(Clone, Copy)]
struct SlotHistory {
    turns: u32,
    thread: u32,
    step: u32,
}

impl Plan {
    pub(crate) fn new(trace: &Trace, threads: Threads, align: Align) -> Result<Self, Failure> {
        let records = trace.records();
        if u32::try_from(records.len()).is_err() {
            return Err(Failure::limit(
                format!("the trace has {} records", records.len()),
                "a replay takes at most 4 294 967 295; cut the trace",
            ));
        }
        let thread_count = match threads {
            Threads::Keep => trace.threads() as usize,
            Threads::Fold(n) => usize::from(n).min(trace.threads() as usize),
        }
        .max(1);
        let object_count = records
            .iter()
            .map(|r| r.object as usize + 1)
            .max()
            .unwrap_or(0);
        let mut objects = Vec::new();
        reserve(&mut objects, object_count)?;
        objects.resize(object_count, (u32::MAX, 0, 0));
        let mut threads = vec![Vec::new(); thread_count];
        for (steps, count) in threads.iter_mut().zip(steps_of(records, thread_count)) {
            reserve(steps, count)?;
        }
        let mut planner = Planner {
            threads,
            objects,
            pools: vec![Vec::new(); thread_count],
            slots: Vec::new(),
        };
        let mut load = Load::new(records.len());
        for (number, record) in records.iter().enumerate() {
            let thread = usize::from(record.thread) % thread_count;
            planner.push(number as u32, thread, record, align, &mut load)?;
        }
        planner.mark_starts();
        Ok(Self {
            workload: load.workload,
            slots: planner.slots.len(),
            records: records.len(),
            peak_record: load.peak_record,
            sample_every: load.sample_every,
            live_curve: load.curve,
            threads: planner.threads,
            due_ns: Vec::new(),
        })
    }

    /// The plan, with a time for each record.
    pub(crate) fn paced(self, due_ns: Vec<u64>) -> Self {
        debug_assert_eq!(due_ns.len(), self.records);
        Self { due_ns, ..self }
    }

    /// How long a paced pass takes at least.
    pub(crate) fn duration(&self) -> Duration {
        Duration::from_nanos(self.due_ns.last().copied().unwrap_or(0))
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// The file form, as a child maps it.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Failure> {
        let starts = self.starts();
        let steps: usize = self.threads.iter().map(Vec::len).sum();
        let w = &self.workload;
        let header: [u64; HEADER_WORDS] = [
            MAGIC,
            self.threads.len() as u64,
            starts.len() as u64,
            self.slots as u64,
            steps as u64,
            u64::from(self.peak_record),
            u64::from(self.sample_every),
            w.peak_live_bytes,
            w.peak_live_blocks,
            w.requested_bytes,
            w.largest_bytes,
            w.largest_align as u64,
            u64::from(!self.due_ns.is_empty()),
            0,
            0,
            0,
        ];
        let header_bytes = HEADER_WORDS * 8 + self.threads.len() * 24 + starts.len() * 8;
        let mut bytes = Vec::new();
        let due_bytes = self.due_ns.len() * DUE_BYTES;
        reserve(&mut bytes, steps * STEP_BYTES + header_bytes + due_bytes)?;
        bytes.extend(header.iter().flat_map(|word| word.to_ne_bytes()));
        let mut first = 0u64;
        for thread in &self.threads {
            let first_record = thread
                .first()
                .map_or(u64::from(u32::MAX), |s| u64::from(s.record));
            for word in [first, thread.len() as u64, first_record] {
                bytes.extend(word.to_ne_bytes());
            }
            first += thread.len() as u64;
        }
        for (record, thread) in starts {
            bytes.extend(record.to_ne_bytes());
            bytes.extend(thread.to_ne_bytes());
        }
        for step in self.threads.iter().flatten() {
            bytes.extend(step.size.to_ne_bytes());
            bytes.extend(step.slot.to_ne_bytes());
            bytes.extend(step.turn.to_ne_bytes());
            bytes.extend(step.record.to_ne_bytes());
            bytes.extend([step.op, step.align_log2, step.flags, step.unused]);
        }
        if !self.due_ns.is_empty() {
            for step in self.threads.iter().flatten() {
                bytes.extend(self.due_ns[step.record as usize].to_ne_bytes());
            }
        }
        Ok(bytes)
    }

    /// `(record whose execution starts it, thread)` for all threads but the first to go.
    fn starts(&self) -> Vec<(u32, u32)> {
        let mut starts: Vec<(u32, u32)> = (0u32..)
            .zip(&self.threads)
            .filter_map(|(thread, steps)| {
                let first = steps.first()?.record;
                Some((first.checked_sub(1)?, thread))
            })
            .collect();
        starts.sort_unstable();
        starts
    }
}

impl Planner {
    fn push(
        &mut self,
        number: u32,
        thread: usize,
        record: &Record,
        align: Align,
        load: &mut Load,
    ) -> Result<(), Failure> {
        let size = record.size.max(1);
        let object = record.object as usize;
        let (slot, step_op, align_log2) = match record.op {
            Op::Allocate | Op::AllocateZeroed => {
                let align_log2 = replayed_align(record, size, align);
                let slot = self.take_slot(thread)?;
                load.change(0, size, align_log2, 1);
                self.objects[object] = (slot, size, align_log2);
                let zeroed = record.op == Op::AllocateZeroed;
                let op = if zeroed {
                    op::ALLOCATE_ZEROED
                } else {
                    op::ALLOCATE
                };
                (slot, op, align_log2)
            }
            Op::Reallocate => {
                let (slot, old_size, old_align) = self.objects[object];
                let align_log2 = match align {
                    Align::Recorded => record.align_log2,
                    // A Rust type keeps its alignment for life.
                    Align::Rust if record.align_log2 == 4 => old_align,
                    Align::Rust => record.align_log2,
                };
                load.change(old_size, size, align_log2, 0);
                self.objects[object] = (slot, size, align_log2);
                let op = if align_log2 == old_align {
                    op::REALLOCATE
                } else {
                    op::MOVE
                };
                (slot, op, align_log2)
            }
            Op::Free => {
                let (slot, old_size, old_align) = self.objects[object];
                load.free(old_size);
                reserve(&mut self.pools[thread], 1)?;
                self.pools[thread].push(slot);
                (slot, op::FREE, old_align)
            }
        };
        load.sample(number);
        if step_op != op::FREE && layout_of(size, align_log2).is_none() {
            return Err(Failure::limit(
                format!(
                    "record {number}: {size} bytes aligned to 2^{align_log2} form no layout here"
                ),
                "replay it on a machine with wider addresses",
            ));
        }
        self.append(
            thread,
            Step {
                size: if step_op == op::FREE { 1 } else { size },
                slot,
                turn: 0,
                record: number,
                op: step_op,
                align_log2: if step_op == op::FREE { 0 } else { align_log2 },
                flags: 0,
                unused: 0,
            },
        );
        Ok(())
    }

    fn take_slot(&mut self, thread: usize) -> Result<u32, Failure> {
        if let Some(slot) = self.pools[thread].pop() {
            return Ok(slot);
        }
        reserve(&mut self.slots, 1)?;
        self.slots.push(SlotHistory {
            turns: 0,
            thread: thread as u32,
            step: u32::MAX,
        });
        Ok((self.slots.len() - 1) as u32)
    }

    fn append(&mut self, thread: usize, mut step: Step) {
        let history = &mut self.slots[step.slot as usize];
        step.turn = history.turns;
        if history.thread as usize != thread {
            step.flags |= flag::WAITS;
            self.threads[history.thread as usize][history.step as usize].flags |= flag::PUBLISHES;
        }
        // Turns may wrap: only equality counts, and 2^32 hand-offs never stand open at once.
        history.turns = history.turns.wrapping_add(1);
        history.thread = thread as u32;
        history.step = self.threads[thread].len() as u32;
        self.threads[thread].push(step);
    }

    /// Flags the record that stands before the first record of each thread.
    fn mark_starts(&mut self) {
        let firsts: Vec<u32> = self
            .threads
            .iter()
            .filter_map(|t| t.first()?.record.checked_sub(1))
            .collect();
        for before in firsts {
            for thread in &mut self.threads {
                if let Ok(at) = thread.binary_search_by_key(&before, |step| step.record) {
                    thread[at].flags |= flag::STARTS;
                }
            }
        }
    }
}

fn replayed_align(record: &Record, size: u64, align: Align) -> u8 {
    match align {
        Align::Rust if record.align_log2 == 4 => size.trailing_zeros().min(4) as u8,
        _ => record.align_log2,
    }
}

fn layout_of(size: u64, align_log2: u8) -> Option<Layout> {
    let align = 1usize.checked_shl(u32::from(align_log2))?;
    Layout::from_size_align(usize::try_from(size).ok()?, align).ok()
}

/// Running totals while decoding.
struct Load {
    workload: Workload,
    live_bytes: u64,
    live_blocks: u64,
    peak_record: u32,
    peak_is_new: bool,
    sample_every: u32,
    curve: Vec<u64>,
}

impl Load {
    fn new(records: usize) -> Self {
        Self {
            workload: Workload {
                peak_live_bytes: 0,
                peak_live_blocks: 0,
                requested_bytes: 0,
                largest_bytes: 0,
                largest_align: 1,
            },
            live_bytes: 0,
            live_blocks: 0,
            peak_record: 0,
            peak_is_new: false,
            sample_every: u32::try_from(records / SAMPLES).unwrap_or(u32::MAX).max(1),
            curve: Vec::with_capacity(SAMPLES + 2),
        }
    }

    fn change(&mut self, old: u64, new: u64, align_log2: u8, blocks: u64) {
        let align = 1usize
            .checked_shl(u32::from(align_log2))
            .unwrap_or(usize::MAX);
        self.live_bytes = self.live_bytes.saturating_sub(old).saturating_add(new);
        self.live_blocks += blocks;
        let w = &mut self.workload;
        self.peak_is_new = self.live_bytes > w.peak_live_bytes;
        w.peak_live_bytes = w.peak_live_bytes.max(self.live_bytes);
        w.peak_live_blocks = w.peak_live_blocks.max(self.live_blocks);
        w.requested_bytes = w
            .requested_bytes
            .saturating_add(new)
            .saturating_add(align as u64);
        w.largest_bytes = w.largest_bytes.max(new);
        w.largest_align = w.largest_align.max(align);
    }

    fn free(&mut self, size: u64) {
        self.live_bytes = self.live_bytes.saturating_sub(size);
        self.live_blocks = self.live_blocks.saturating_sub(1);
        self.peak_is_new = false;
    }

    fn sample(&mut self, record: u32) {
        if self.peak_is_new {
            self.peak_record = record;
        }
        if record.is_multiple_of(self.sample_every) {
            self.curve.push(self.live_bytes);
        }
    }
}

/// A mapped program.
pub(crate) struct Program {
    mapping: Mmap,
    threads: Vec<ThreadSteps>,
    starts: Vec<(u32, u32)>,
    steps_at: usize,
    due_ns: Vec<u64>,
    pub(crate) slots: usize,
    pub(crate) records: u32,
    pub(crate) peak_record: u32,
    pub(crate) sample_every: u32,
    pub(crate) workload: Workload,
}

struct ThreadSteps {
    first: usize,
    count: usize,
    first_record: u32,
}

impl Program {
    /// Maps and checks a program; every page of it has been read afterwards.
    pub(crate) fn map(file: &File) -> Result<Self, Failure> {
        // SAFETY: the file was written by this same program, is private to it, and is not
        // changed or cut while its children run.
        let mapping =
            unsafe { Mmap::map(file) }.map_err(|e| Failure::io("program", "cannot map it", &e))?;
        Self::parse(mapping).ok_or_else(|| Failure::internal("the program file is not consistent"))
    }

    fn parse(mapping: Mmap) -> Option<Self> {
        let mut words = mapping.chunks_exact(8).map(|c| {
            // `chunks_exact` yields eight bytes each.
            c.try_into().map_or(0, u64::from_ne_bytes)
        });
        let header: Vec<u64> = words.by_ref().take(HEADER_WORDS).collect();
        if header.len() < HEADER_WORDS || header[0] != MAGIC {
            return None;
        }
        let size = |at: usize| usize::try_from(header[at]).ok();
        let (thread_count, start_count, slots, steps) = (size(1)?, size(2)?, size(3)?, size(4)?);
        let steps_at = thread_count
            .checked_mul(24)?
            .checked_add(start_count.checked_mul(8)?)?
            .checked_add(HEADER_WORDS * 8)?;
        let due_at = steps_at.checked_add(steps.checked_mul(STEP_BYTES)?)?;
        let due_count = if header[12] == 0 { 0 } else { steps };
        if mapping.len() != due_at.checked_add(due_count.checked_mul(DUE_BYTES)?)? || slots > steps
        {
            return None;
        }
        let mut threads = Vec::with_capacity(thread_count);
        for _ in 0..thread_count {
            let first = usize::try_from(words.next()?).ok()?;
            let count = usize::try_from(words.next()?).ok()?;
            let first_record = u32::try_from(words.next()?).ok()?;
            if first.checked_add(count)? > steps {
                return None;
            }
            threads.push(ThreadSteps {
                first,
                count,
                first_record,
            });
        }
        let mut starts = Vec::with_capacity(start_count);
        for _ in 0..start_count {
            let word = words.next()?.to_ne_bytes();
            let [a, b, c, d, e, f, g, h] = word;
            starts.push((
                u32::from_ne_bytes([a, b, c, d]),
                u32::from_ne_bytes([e, f, g, h]),
            ));
        }
        drop(words);
        let due_ns = mapping[due_at..]
            .chunks_exact(DUE_BYTES)
            .map(|word| word.try_into().map_or(0, u64::from_ne_bytes))
            .collect();
        let workload = Workload {
            peak_live_bytes: header[7],
            peak_live_blocks: header[8],
            requested_bytes: header[9],
            largest_bytes: header[10],
            largest_align: size(11)?,
        };
        let program = Self {
            threads,
            starts,
            steps_at,
            due_ns,
            slots,
            records: u32::try_from(steps).ok()?,
            peak_record: u32::try_from(header[5]).ok()?,
            sample_every: u32::try_from(header[6]).ok()?.max(1),
            workload,
            mapping,
        };
        let sound = (0..thread_count).flat_map(|t| program.steps(t)).all(|s| {
            (s.slot as usize) < slots
                && s.op <= op::MOVE
                && s.size > 0
                && layout_of(s.size, s.align_log2).is_some()
        });
        sound.then_some(program)
    }

    pub(crate) fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// First record of a thread; `u32::MAX` if it has none.
    pub(crate) fn first_record(&self, thread: usize) -> u32 {
        self.threads[thread].first_record
    }

    /// The steps of one thread, in order.
    pub(crate) fn steps(&self, thread: usize) -> &[Step] {
        let ThreadSteps { first, count, .. } = self.threads[thread];
        let bytes = &self.mapping[self.steps_at + first * STEP_BYTES..][..count * STEP_BYTES];
        debug_assert!(bytes.as_ptr().cast::<Step>().is_aligned());
        // SAFETY: the slice holds `count` steps; the mapping is page-aligned and all parts before
        // the steps are multiples of eight bytes, so it is aligned; any bytes make a `Step`; the
        // mapping is read-only and lives as long as `self`.
        unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast::<Step>(), count) }
    }

    /// When each step of one thread is due, in nanoseconds; `None` if the program is not paced.
    pub(crate) fn due_ns(&self, thread: usize) -> Option<&[u64]> {
        let ThreadSteps { first, count, .. } = self.threads[thread];
        self.due_ns
            .get(first..first + count)
            .filter(|due| due.len() == count && !self.due_ns.is_empty())
    }

    /// Threads that start after `record` was executed.
    pub(crate) fn started_by(&self, record: u32) -> impl Iterator<Item = usize> + '_ {
        let from = self.starts.partition_point(|&(at, _)| at < record);
        self.starts[from..]
            .iter()
            .take_while(move |s| s.0 == record)
            .map(|s| s.1 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    #[test]
    fn memory_that_is_refused_is_an_error_and_no_abort() {
        let mut steps: Vec<Step> = Vec::new();
        let failure = reserve(&mut steps, usize::MAX / STEP_BYTES).unwrap_err();
        assert_eq!(failure.reason, Reason::Unreadable);
        assert!(reserve(&mut steps, 1).is_ok());
    }
}
