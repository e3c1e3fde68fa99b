//! The checks that make records a trace.

use crate::error::{Fault, Place, TraceError};
use crate::record::{Op, Record};
use crate::satrace::Header;

/// An object that no record has allocated yet. Live objects stand as their size, which the layout
/// check keeps below both marks.
const NEVER: u64 = u64::MAX;
/// An object that was freed.
const DEAD: u64 = u64::MAX - 1;

/// Checks that `header` and `records` are a trace. If `unknown_operation` is given, it stands
/// behind the last of `records` and is reported unless one of them is at fault.
pub(crate) fn validate(
    header: Header,
    records: &[Record],
    unknown_operation: Option<u8>,
) -> Result<(), TraceError> {
    let mut validator = Validator::new(header)?;
    let mut number = 0;
    for record in records {
        validator
            .step(record)
            .map_err(|fault| TraceError::new(Place::of_record(number), fault))?;
        number += 1;
    }
    match unknown_operation {
        Some(found) => Err(TraceError::new(
            Place::of_record(number),
            Fault::UnknownOperation { found },
        )),
        None => validator.finish(),
    }
}

struct Validator {
    header: Header,
    /// Size of each live object in bytes, or [`NEVER`], or [`DEAD`].
    objects: Vec<u64>,
    /// Whether each thread has a record.
    threads: Vec<bool>,
}

impl Validator {
    /// The tables are as long as the header's counts, which the record count bounds here; the
    /// caller has that many records in memory.
    fn new(header: Header) -> Result<Validator, TraceError> {
        let Header {
            threads,
            records,
            objects,
        } = header;
        if u64::from(threads) > records.min(1 << u16::BITS) {
            let fault = Fault::ThreadCountTooLarge { threads, records };
            return Err(TraceError::new(Header::THREADS, fault));
        }
        if objects > records.min(1 << u32::BITS) {
            let fault = Fault::ObjectCountTooLarge { objects, records };
            return Err(TraceError::new(Header::OBJECTS, fault));
        }
        Ok(Validator {
            header,
            objects: vec![NEVER; objects as usize],
            threads: vec![false; threads as usize],
        })
    }

    fn step(&mut self, record: &Record) -> Result<(), Fault> {
        let Record {
            object,
            thread,
            op,
            align_log2,
            size,
        } = *record;
        let Some(thread_seen) = self.threads.get_mut(usize::from(thread)) else {
            return Err(Fault::ThreadOutOfRange {
                thread,
                threads: self.header.threads,
            });
        };
        let Some(state) = self.objects.get_mut(object as usize) else {
            return Err(Fault::ObjectOutOfRange {
                object,
                objects: self.header.objects,
            });
        };
        *thread_seen = true;
        if op == Op::Free {
            if align_log2 != 0 {
                return Err(Fault::AlignmentOnFree { align_log2 });
            }
        } else if record.layout().is_none() {
            return Err(Fault::ImpossibleLayout { size, align_log2 });
        }
        let live = *state < DEAD;
        match op {
            Op::Allocate | Op::AllocateZeroed if live => Err(Fault::AllocationOfLive { object }),
            Op::Free if !live => Err(Fault::FreeOfDead { object }),
            Op::Reallocate if !live => Err(Fault::ReallocationOfDead { object }),
            Op::Free if *state != size => Err(Fault::FreeSize {
                object,
                stated: size,
                actual: *state,
            }),
            Op::Free => {
                *state = DEAD;
                Ok(())
            }
            _ => {
                *state = size;
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(), TraceError> {
        if let Some(thread) = self.threads.iter().position(|seen| !seen) {
            let fault = Fault::ThreadUnused {
                threads: self.header.threads,
                thread: thread as u32,
            };
            return Err(TraceError::new(Header::THREADS, fault));
        }
        if let Some(object) = self.objects.iter().position(|&state| state == NEVER) {
            let fault = Fault::ObjectUnused {
                objects: self.header.objects,
                object: object as u64,
            };
            return Err(TraceError::new(Header::OBJECTS, fault));
        }
        Ok(())
    }
}
