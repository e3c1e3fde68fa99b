//! One operation as bytes, and the differences to the one before.

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
}

impl Kind {
    const ALL: [Self; 8] = [
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
    /// An object, or the address of a block.
    pub(crate) name: u64,
    pub(crate) size: u64,
    pub(crate) kind: Kind,
    pub(crate) align_log2: u8,
}

/// The largest operation: two bytes and four numbers of ten.
pub(crate) const OPERATION_BYTES_MAX: usize = 2 + 4 * 10;

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

    /// Appends `operation`, whose order and tick are not below the last ones.
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

    /// The next operation of `input`, or what is wrong with it.
    pub(crate) fn decode(&mut self, input: &mut Input<'_>) -> Result<Operation, &'static str> {
        const CUT: &str = "a chunk ends inside an operation";
        let first = input.byte().ok_or(CUT)?;
        let kind = usize::from(first & ((1 << KIND_BITS) - 1));
        let kind = Kind::ALL[kind];
        let mut align_log2 = first >> KIND_BITS;
        if align_log2 == ALIGN_FOLLOWS {
            align_log2 = input.byte().ok_or(CUT)?;
        }
        let order = input.number()?.checked_add(self.order);
        let order = order.ok_or("an order number that does not fit")?;
        let tick = if self.timed { input.number()? } else { 0 };
        let tick = tick
            .checked_add(self.tick)
            .ok_or("a time that does not fit")?;
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
            assert_eq!(coder.decode(&mut input).as_ref(), Ok(operation));
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
