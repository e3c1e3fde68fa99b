//! One operation as bytes, and the differences to the one before.

use crate::event::{EventKind, Sample};

/// An event to be written: as [`EventKind`], with a name of somebody else's.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What<'a> {
    ThreadStart,
    ThreadExit,
    Mark(&'a str),
    Sample(Sample),
    Fork,
    Gap { lost: u64 },
}

impl What<'_> {
    fn code(self) -> u8 {
        match self {
            Self::ThreadStart => 1,
            Self::ThreadExit => 2,
            Self::Mark(_) => 3,
            Self::Sample(_) => 4,
            Self::Fork => 5,
            Self::Gap { .. } => 6,
        }
    }
}

impl<'a> From<&'a EventKind> for What<'a> {
    fn from(event: &'a EventKind) -> Self {
        match event {
            EventKind::ThreadStart => Self::ThreadStart,
            EventKind::ThreadExit => Self::ThreadExit,
            EventKind::Mark(name) => Self::Mark(name),
            EventKind::Sample(sample) => Self::Sample(*sample),
            EventKind::Fork => Self::Fork,
            EventKind::Gap { lost } => Self::Gap { lost: *lost },
        }
    }
}

/// What an operation did. The discriminant is what stands in the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Allocate = 0,
    AllocateZeroed = 1,
    Free = 2,
    /// A whole resize; where objects are named.
    Reallocate = 3,
    /// A resize begins: the block at the address is no longer there to be freed by others.
    ResizeBegin = 4,
    /// The resize that this thread began is over; the block is at the address.
    ResizeEnd = 5,
    /// The resize that this thread began failed; the block is where it was.
    ResizeFailed = 6,
    /// Every block that starts in so many bytes from the address has ended: at a reset.
    Ended = 7,
    /// Nothing that happened to a block. In the form it is `Ended` with a code for an alignment.
    Event = 8,
}

impl Kind {
    /// Those that the form has a number for.
    const CODED: [Self; 8] = [
        Self::Allocate,
        Self::AllocateZeroed,
        Self::Free,
        Self::Reallocate,
        Self::ResizeBegin,
        Self::ResizeEnd,
        Self::ResizeFailed,
        Self::Ended,
    ];

    /// Whether a size belongs to it.
    fn has_size(self) -> bool {
        !matches!(self, Self::ResizeBegin | Self::ResizeFailed)
    }
}

/// One operation of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) order: u64,
    pub(crate) tick: u64,
    /// An object, or the address of a block. Of an event, its place among the events of the file.
    pub(crate) name: u64,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    pub(crate) align_log2: u8,
}

/// The name of a mark takes at most so many bytes.
pub(crate) const MARK_BYTES_MAX: usize = 200;
/// The largest operation: a byte, and order, tick and length before the name of a mark.
pub(crate) const OPERATION_BYTES_MAX: usize = 1 + 3 * 10 + MARK_BYTES_MAX;

// Any other is two bytes, and at most five numbers of ten.
const _: () = assert!(2 + 5 * 10 <= OPERATION_BYTES_MAX);

const KIND_BITS: u32 = 3;
/// The alignment follows as a byte of its own.
const ALIGN_FOLLOWS: u8 = 31;

/// The differences: what the operation before had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coder {
    order: u64,
    tick: u64,
    name: u64,
    timed: bool,
}

impl Coder {
    /// At the start of a chunk.
    pub(crate) const fn new(first_order: u64, first_tick: u64, timed: bool) -> Self {
        Self {
            order: first_order,
            tick: first_tick,
            name: 0,
            timed,
        }
    }

    /// Appends `operation`, which is no event, and whose order and tick are not below the last ones.
    #[inline]
    pub(crate) fn encode(&mut self, operation: &Operation, out: &mut Output<'_>) {
        let align = operation.align_log2;
        let short = align.min(ALIGN_FOLLOWS);
        out.byte(operation.kind as u8 | (short << KIND_BITS));
        if short == ALIGN_FOLLOWS {
            out.byte(align);
        }
        out.number(operation.order.wrapping_sub(self.order));
        if self.timed {
            out.number(operation.tick.wrapping_sub(self.tick));
        }
        out.number(zigzag(operation.name.wrapping_sub(self.name)));
        if operation.kind.has_size() {
            out.number(operation.size);
        }
        self.follow(operation);
    }

    /// Appends an event. Its order and tick are not below the last ones; a mark has a name of at most
    /// [`MARK_BYTES_MAX`] bytes.
    pub(crate) fn encode_event(
        &mut self,
        order: u64,
        tick: u64,
        event: What<'_>,
        out: &mut Output<'_>,
    ) {
        out.byte(Kind::Ended as u8 | (event.code() << KIND_BITS));
        out.number(order.wrapping_sub(self.order));
        if self.timed {
            out.number(tick.wrapping_sub(self.tick));
        }
        match event {
            What::ThreadStart | What::ThreadExit | What::Fork => {}
            What::Mark(name) => {
                out.number(name.len() as u64);
                name.bytes().for_each(|byte| out.byte(byte));
            }
            What::Sample(sample) => {
                out.number(sample.rss_bytes);
                out.number(sample.pss_bytes);
                out.number(sample.lazy_free_bytes);
            }
            What::Gap { lost } => out.number(lost),
        }
        (self.order, self.tick) = (order, tick);
    }

    /// The next operation of `input`, or what is wrong with it. An event goes to the end of `events`.
    pub(crate) fn decode(
        &mut self,
        input: &mut Input<'_>,
        events: &mut Vec<EventKind>,
    ) -> Result<Operation, &'static str> {
        const CUT: &str = "a chunk ends inside an operation";
        let first = input.byte().ok_or(CUT)?;
        let kind = usize::from(first & ((1 << KIND_BITS) - 1));
        let kind = Kind::CODED[kind];
        let mut align_log2 = first >> KIND_BITS;
        if kind == Kind::Ended && align_log2 != 0 {
            return self.decode_event(align_log2, input, events);
        }
        if align_log2 == ALIGN_FOLLOWS {
            align_log2 = input.byte().ok_or(CUT)?;
        }
        let (order, tick) = self.decode_place(input)?;
        let name = self.name.wrapping_add(unzigzag(input.number()?));
        let size = if kind.has_size() { input.number()? } else { 0 };
        let operation = Operation {
            order,
            tick,
            name,
            size,
            kind,
            align_log2,
        };
        self.follow(&operation);
        Ok(operation)
    }

    /// The order and the tick that come next.
    fn decode_place(&self, input: &mut Input<'_>) -> Result<(u64, u64), &'static str> {
        let order = input.number()?.checked_add(self.order);
        let order = order.ok_or("an order number that does not fit")?;
        let tick = if self.timed { input.number()? } else { 0 };
        let tick = tick.checked_add(self.tick);
        Ok((order, tick.ok_or("a time that does not fit")?))
    }

    fn decode_event(
        &mut self,
        code: u8,
        input: &mut Input<'_>,
        events: &mut Vec<EventKind>,
    ) -> Result<Operation, &'static str> {
        let (order, tick) = self.decode_place(input)?;
        let event = match code {
            1 => EventKind::ThreadStart,
            2 => EventKind::ThreadExit,
            3 => EventKind::Mark(input.name()?),
            4 => EventKind::Sample(Sample {
                rss_bytes: input.number()?,
                pss_bytes: input.number()?,
                lazy_free_bytes: input.number()?,
            }),
            5 => EventKind::Fork,
            6 => EventKind::Gap {
                lost: input.number()?,
            },
            _ => return Err("an event of an unknown kind"),
        };
        let name = events.len() as u64;
        events.push(event);
        (self.order, self.tick) = (order, tick);
        Ok(Operation {
            order,
            tick,
            name,
            size: 0,
            kind: Kind::Event,
            align_log2: 0,
        })
    }

    #[inline]
    fn follow(&mut self, operation: &Operation) {
        self.order = operation.order;
        self.tick = operation.tick;
        self.name = operation.name;
    }
}

/// Small differences of either sign as small numbers.
fn zigzag(difference: u64) -> u64 {
    let sign = (difference.cast_signed() >> 63).cast_unsigned();
    (difference << 1) ^ sign
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

/// Bytes written one after the other into a buffer that has room for them.
pub(crate) struct Output<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Output<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn byte(&mut self, byte: u8) {
        debug_assert!(self.len < self.bytes.len(), "the buffer has room");
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.byte(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.byte(number.to_le_bytes()[0]);
    }
}

/// Bytes read one after the other.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The name of a mark, with its length before it.
    fn name(&mut self) -> Result<String, &'static str> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > MARK_BYTES_MAX {
            return Err("a mark with a name that is too long");
        }
        let cut = "a chunk ends inside the name of a mark";
        let (name, rest) = self.bytes.split_at_checked(length).ok_or(cut)?;
        let name = core::str::from_utf8(name).map_err(|_| "a mark with a name that is no text")?;
        if name.chars().any(char::is_control) {
            return Err("a mark with a name that has control characters");
        }
        self.bytes = rest;
        Ok(name.to_owned())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*first)
    }

    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte().ok_or("a chunk ends inside a number")?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number of more than 64 bits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(operations: &[Operation], timed: bool) {
        let mut bytes = vec![0; operations.len() * OPERATION_BYTES_MAX];
        let mut out = Output::new(&mut bytes);
        let mut coder = Coder::new(operations[0].order, operations[0].tick, timed);
        for operation in operations {
            let before = out.len();
            coder.encode(operation, &mut out);
            assert!(out.len() - before <= OPERATION_BYTES_MAX);
        }
        let len = out.len();
        let mut input = Input::new(&bytes[..len]);
        let mut coder = Coder::new(operations[0].order, operations[0].tick, timed);
        for operation in operations {
            assert_eq!(
                coder.decode(&mut input, &mut Vec::new()).as_ref(),
                Ok(operation)
            );
        }
        assert!(input.is_empty());
    }

    #[test]
    fn extremes_come_back() {
        let operation = |order, tick, name, size, kind, align_log2| Operation {
            order,
            tick,
            name,
            size,
            kind,
            align_log2,
        };
        round_trip(
            &[
                operation(7, 9, u64::MAX, u64::MAX, Kind::Allocate, 62),
                operation(8, 9, 0, 0, Kind::Free, 31),
                operation(u64::MAX, u64::MAX, 1 << 63, 1, Kind::ResizeEnd, 30),
            ],
            true,
        );
        round_trip(&[operation(0, 0, 5, 0, Kind::ResizeBegin, 0)], false);
    }

    #[test]
    fn small_differences_are_small() {
        for (difference, number) in [(0, 0), (1, 2), (u64::MAX, 1), (2, 4), (u64::MAX - 1, 3)] {
            assert_eq!(zigzag(difference), number);
            assert_eq!(unzigzag(number), difference);
        }
    }

    #[test]
    fn a_number_is_refused_where_it_ends_early_or_late() {
        assert!(Input::new(&[0x80]).number().is_err());
        assert!(Input::new(&[0xff; 11]).number().is_err());
        let mut largest = [0xff; 10];
        largest[9] = 1;
        assert_eq!(Input::new(&largest).number(), Ok(u64::MAX));
        largest[9] = 2;
        assert!(Input::new(&largest).number().is_err());
    }
}
