//! A trace under construction, valid at every length.

use crate::record::{Op, Record};
use crate::trace::Trace;

/// The largest alignment that `malloc` gives unasked on 64-bit machines, as a logarithm.
const NATURAL_ALIGN_LOG2_MAX: u32 = 4;

/// Writes valid records until there are as many as wanted; what comes then is dropped, so that a
/// scenario need not look at the length inside its loops. Threads are numbered by their first
/// record and objects by their allocation, whatever the scenario calls them.
pub(crate) struct Script {
    records: Vec<Record>,
    wanted: usize,
    /// Trace index of each of the scenario's threads, once it has a record.
    threads: Vec<Option<u16>>,
    threads_seen: u16,
    /// Size and alignment of each object as it is or was last.
    objects: Vec<(u64, u8)>,
}

/// An object of a [`Script`]: what an allocation returns and a free consumes.
pub(crate) struct Object(u32);

impl Script {
    pub(crate) fn new(wanted: usize) -> Script {
        assert!(
            u32::try_from(wanted).is_ok(),
            "a synthetic trace has fewer than 2^32 records"
        );
        Script {
            records: Vec::with_capacity(wanted),
            wanted,
            threads: Vec::new(),
            threads_seen: 0,
            objects: Vec::new(),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.records.len() == self.wanted
    }

    pub(crate) fn wanted(&self) -> usize {
        self.wanted
    }

    /// Allocates at the alignment that Rust's types of that size have at most: the largest power
    /// of two that divides the size, up to 16.
    pub(crate) fn allocate(&mut self, thread: u16, size: u64) -> Object {
        self.allocate_as(thread, Op::Allocate, size, natural_align_log2(size))
    }

    pub(crate) fn allocate_as(&mut self, thread: u16, op: Op, size: u64, align_log2: u8) -> Object {
        let object = Object(self.objects.len() as u32);
        if self.push(thread, op, &object, size, align_log2) {
            self.objects.push((size, align_log2));
        }
        object
    }

    pub(crate) fn reallocate(&mut self, thread: u16, object: &Object, size: u64) {
        if self.is_full() {
            return;
        }
        let (last_size, align_log2) = &mut self.objects[object.0 as usize];
        *last_size = size;
        let align_log2 = *align_log2;
        self.push(thread, Op::Reallocate, object, size, align_log2);
    }

    pub(crate) fn free(&mut self, thread: u16, object: Object) {
        if self.is_full() {
            return;
        }
        let (size, _) = self.objects[object.0 as usize];
        self.push(thread, Op::Free, &object, size, 0);
    }

    pub(crate) fn into_trace(self) -> Trace {
        let Script {
            records,
            threads_seen,
            objects,
            ..
        } = self;
        Trace::from_records(threads_seen.into(), objects.len() as u64, records)
            .expect("a script writes valid records only")
    }

    fn push(&mut self, thread: u16, op: Op, object: &Object, size: u64, align_log2: u8) -> bool {
        if self.is_full() {
            return false;
        }
        let thread = self.number(thread);
        self.records.push(Record {
            object: object.0,
            thread,
            op,
            align_log2,
            size,
        });
        true
    }

    fn number(&mut self, thread: u16) -> u16 {
        let slot = usize::from(thread);
        if slot >= self.threads.len() {
            self.threads.resize(slot + 1, None);
        }
        let next = self.threads_seen;
        let number = *self.threads[slot].get_or_insert(next);
        self.threads_seen += u16::from(number == next);
        number
    }
}

fn natural_align_log2(size: u64) -> u8 {
    size.trailing_zeros().min(NATURAL_ALIGN_LOG2_MAX) as u8
}
