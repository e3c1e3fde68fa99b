//! Ropes: chunks in a row that behave as one.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_pool::{CapacityError, IoBuf, IoBufMut, IoBufs, IoBufsMut};

/// "0123…" in `chunks` chunks of 3 bytes.
fn rope(chunks: usize) -> IoBufs {
    let text: Vec<u8> = (0..chunks * 3).map(digit).collect();
    text.chunks(3).map(IoBuf::copy_from_slice).collect()
}

fn digit(number: usize) -> u8 {
    b'0' + u8::try_from(number % 10).expect("a digit")
}

fn digits(range: std::ops::Range<usize>) -> Vec<u8> {
    range.map(digit).collect()
}

#[test]
fn a_rope_is_its_chunks_without_empty_ones() {
    for chunks in 0..8 {
        let mut one = rope(chunks);
        one.debug_assert_invariants();
        assert_eq!((one.len(), one.chunk_count()), (chunks * 3, chunks));
        one.append(IoBuf::new());
        one.prepend(IoBuf::new());
        assert_eq!(one.chunk_count(), chunks);
        one.prepend(&b"front"[..]);
        one.append("back");
        one.debug_assert_invariants();
        assert_eq!(one.chunk_count(), chunks + 2);
        assert_eq!(one.chunk_at(0).unwrap(), b"front");
        assert_eq!(one.chunk_at(chunks + 1).unwrap(), b"back");
        assert!(one.chunk_at(chunks + 2).is_none());
        let collected: Vec<IoBuf> = one.clone().into_iter().collect();
        assert_eq!(collected.concat(), one.coalesce());
    }
}

#[test]
fn ropes_split_everywhere() {
    for chunks in 0..8 {
        for at in 0..=chunks * 3 {
            let mut back = rope(chunks);
            let starts: Vec<_> = back.chunks().map(IoBuf::as_ptr).collect();
            let front = back.split_to(at);
            front.debug_assert_invariants();
            back.debug_assert_invariants();
            assert_eq!(front, digits(0..at));
            assert_eq!(back, digits(at..chunks * 3));
            let cut = usize::from(at % 3 != 0);
            assert_eq!(front.chunk_count() + back.chunk_count(), chunks + cut);
            for (chunk, start) in front.chunks().zip(starts) {
                assert_eq!(chunk.as_ptr(), start, "no byte has moved");
            }
        }
    }
    let mut short = rope(2);
    let refused = catch_unwind(AssertUnwindSafe(|| short.split_to(7)));
    assert!(refused.is_err());
    assert_eq!(short, digits(0..6));
}

#[test]
fn ropes_are_consumed_from_the_front() {
    for chunks in 0..6 {
        for at in 0..=chunks * 3 {
            let mut rest = rope(chunks);
            rest.advance(at);
            rest.debug_assert_invariants();
            assert_eq!(rest, digits(at..chunks * 3));
            assert_eq!(rest.chunk_count(), chunks - at / 3);
        }
    }
    assert!(catch_unwind(|| rope(1).advance(4)).is_err());
}

#[test]
fn single_chunks_are_given_as_they_are() {
    let one = rope(1);
    assert!(one.is_single());
    let start = one.as_single().unwrap().as_ptr();
    assert_eq!(one.clone().coalesce().as_ptr(), start);
    assert_eq!(one.try_into_single().unwrap().as_ptr(), start);
    assert!(IoBufs::new().as_single().is_none());
    assert!(IoBufs::new().try_into_single().unwrap().is_empty());
    assert!(IoBufs::default().coalesce().is_empty());
    let two = rope(2).try_into_single().unwrap_err();
    assert!(!two.is_single() && two.as_single().is_none());
    assert_eq!(two.coalesce(), digits(0..6));
}

#[test]
fn ropes_are_equal_however_they_are_cut() {
    let whole = rope(4);
    let mut other = IoBufs::from(IoBuf::from(digits(0..5)));
    other.append(digits(5..12));
    assert_eq!(whole, other);
    assert_eq!(whole, IoBuf::from(digits(0..12)));
    assert_eq!(whole, IoBufMut::from(digits(0..12)));
    assert_eq!(whole, IoBufsMut::from(digits(0..12)));
    assert_eq!(IoBufsMut::from(digits(0..12)), whole);
    assert_eq!(whole, &digits(0..12)[..]);
    assert_eq!(rope(1), b"012");
    assert_eq!(rope(1), *b"012");
    assert_ne!(rope(1), b"01");
    assert_ne!(rope(1), b"013");
    assert_ne!(whole, rope(3));
    assert_eq!(IoBufs::new(), b"");
}

#[test]
fn vectored_writes_see_every_chunk() {
    for chunks in 0..7 {
        let whole = rope(chunks);
        for room in 0..8 {
            let mut slices = vec![IoSlice::new(b"untouched"); room];
            let filled = whole.io_slices(&mut slices);
            assert_eq!(filled, room.min(chunks));
            let mut sink = Vec::new();
            let written = sink.write_vectored(&slices[..filled]).unwrap();
            assert_eq!(sink, digits(0..written));
            assert!(
                slices[filled..]
                    .iter()
                    .all(|slice| **slice == *b"untouched")
            );
        }
    }
}

#[test]
fn debugging_shows_lengths_only() {
    assert_eq!(format!("{:?}", rope(2)), "IoBufs { len: 6, chunks: 2 }");
    let rope = IoBufsMut::from([IoBufMut::from(b"ab"), IoBufMut::with_capacity(5)]);
    let shown = "IoBufsMut { len: 2, capacity: 7, chunks: 2 }";
    assert_eq!(format!("{rope:?}"), shown);
}

/// `chunks` empty buffers of 4 bytes.
fn rooms(chunks: usize) -> IoBufsMut {
    (0..chunks).map(|_| IoBufMut::with_capacity(4)).collect()
}

#[test]
fn bytes_are_put_over_the_chunks_in_order() {
    for chunks in 0..7 {
        for count in 0..=chunks * 4 {
            let mut rope = rooms(chunks);
            rope.try_put_slice(&digits(0..count)).unwrap();
            rope.debug_assert_invariants();
            assert_eq!(rope, digits(0..count));
            assert_eq!(
                (rope.capacity(), rope.spare_bytes()),
                (chunks * 4, chunks * 4 - count)
            );
            let filled: Vec<_> = rope.chunks().map(|chunk| chunk.len()).collect();
            assert!(filled.iter().take(count / 4).all(|&len| len == 4));
            let frozen = rope.freeze();
            frozen.debug_assert_invariants();
            assert_eq!(frozen, digits(0..count));
        }
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut rope = rooms(3);
    let refused = rope.try_put_slice(&[1; 13]);
    let error = CapacityError {
        requested: 13,
        available: 12,
    };
    assert_eq!((refused, rope.len()), (Err(error), 0));
    rope.try_put_slice(&[1; 12]).unwrap();
    assert_eq!(rope.try_put_slice(&[1]).unwrap_err().available, 0);
    assert_eq!(
        IoBufsMut::new().try_put_slice(&[1]).unwrap_err().available,
        0
    );
}

#[test]
fn writable_room_survives_reading() {
    let mut rope = rooms(3);
    rope.try_put_slice(&digits(0..6)).unwrap();
    rope.advance(5);
    assert_eq!(
        (rope.len(), rope.spare_bytes(), rope.chunk_count()),
        (1, 6, 2)
    );
    rope.advance(1);
    rope.debug_assert_invariants();
    assert_eq!((rope.len(), rope.spare_bytes()), (0, 6));
    rope.try_put_slice(&digits(0..6)).unwrap();
    assert_eq!(rope, digits(0..6));
    rope.advance(6);
    rope.debug_assert_invariants();
    assert_eq!((rope.capacity(), rope.chunk_count()), (0, 0));
    assert!(catch_unwind(AssertUnwindSafe(|| rope.advance(1))).is_err());
}

#[test]
fn room_before_bytes_is_not_written() {
    let half = || {
        let mut buf = IoBufMut::with_capacity(4);
        buf.try_put_slice(b"ab").unwrap();
        buf
    };
    let mut rope = IoBufsMut::from([IoBufMut::with_capacity(9), half(), half()]);
    rope.debug_assert_invariants();
    assert_eq!((rope.len(), rope.capacity(), rope.chunk_count()), (4, 6, 2));
    rope.append(IoBufMut::with_capacity(1));
    rope.append(IoBufMut::new());
    rope.try_put_slice(b"cde").unwrap();
    assert_eq!(rope, b"ababcde");
    rope.advance(3);
    rope.debug_assert_invariants();
    assert_eq!(rope, b"bcde");
    rope.advance(4);
    assert_eq!(rope.capacity(), 0);

    // A gap in the middle is passed over by reading.
    let mut rope = IoBufsMut::from([half(), half()]);
    rope.append(half());
    rope.advance(6);
    rope.debug_assert_invariants();
    assert_eq!((rope.capacity(), rope.chunk_count()), (2, 1));
}

#[test]
fn bytes_are_overwritten_in_place() {
    let mut rope = rooms(3);
    rope.try_put_slice(&digits(0..10)).unwrap();
    rope.copy_from_slice(b"abcdefghij");
    assert_eq!(rope, b"abcdefghij");
    for wrong in [9, 11] {
        let refused = catch_unwind(AssertUnwindSafe(|| rope.copy_from_slice(&vec![0; wrong])));
        assert!(refused.is_err());
    }
    assert_eq!(rope.coalesce(), b"abcdefghij");
}

#[test]
fn the_room_is_shown_chunk_by_chunk() {
    let mut rope = rooms(4);
    rope.try_put_slice(&digits(0..5)).unwrap();
    let mut next = 5;
    for room in rope.spare_chunks_mut() {
        for byte in room {
            byte.write(digit(next));
            next += 1;
        }
    }
    assert_eq!(next, 16);
    // SAFETY: all of the room is written.
    unsafe { rope.advance_mut(9) };
    rope.debug_assert_invariants();
    assert_eq!(rope, digits(0..14));
}

#[test]
fn mutable_singles() {
    let rope = rooms(1);
    assert!(rope.is_single());
    let start = rope.as_single().unwrap().as_ptr();
    let one = rope.coalesce();
    assert_eq!((one.as_ptr(), one.capacity()), (start, 4));
    let two = rooms(2).try_into_single().unwrap_err();
    assert!(two.as_single().is_none() && two.chunk_at(1).is_some());
    assert_eq!(two.into_iter().len(), 2);
    assert_eq!(
        IoBufsMut::default().try_into_single().unwrap().capacity(),
        0
    );
}

#[test]
fn a_single_is_written_over() {
    let mut rope = IoBufsMut::from(digits(0..3));
    rope.as_single_mut().unwrap()[1] = b'x';
    assert_eq!(rope, b"0x2");
    assert!(IoBufsMut::new().as_single_mut().is_none());
    assert!(rooms(2).as_single_mut().is_none());
}

/// A rope that shows `digits(0..9)`: a gap behind "34", a gap that is a chunk before "5678", and a
/// chunk of room.
fn gaps() -> IoBufsMut {
    let mut rope = IoBufsMut::from(digits(0..3));
    rope.append(IoBufMut::with_capacity(4));
    rope.try_put_slice(b"34").unwrap();
    rope.append(IoBufMut::with_capacity(4));
    rope.append(digits(5..9));
    rope.append(IoBufMut::with_capacity(4));
    assert_eq!((rope.chunk_count(), rope.spare_bytes()), (5, 4));
    rope
}

#[test]
fn buffers_split_everywhere() {
    for at in 0..=9 {
        let mut back = gaps();
        let starts: Vec<_> = back.chunks().map(|chunk| chunk.as_ptr()).collect();
        let mut front = back.split_to(at);
        front.debug_assert_invariants();
        back.debug_assert_invariants();
        assert_eq!(front, digits(0..at));
        assert_eq!(back, digits(at..9));
        assert_eq!(back.spare_bytes(), 4, "room stays behind the last byte");
        let moved = match at {
            0..3 => 0,
            3..5 => 1,
            5..9 => 2,
            _ => 4,
        };
        for (chunk, start) in front.chunks().zip(&starts[..moved]) {
            assert_eq!(chunk.as_ptr(), *start, "no byte of a whole chunk has moved");
        }
        back.try_put_slice(b"9012").unwrap();
        back.debug_assert_invariants();
        assert_eq!(back, digits(at..13));
        let room = front.spare_bytes();
        assert_eq!(room, if at == 5 { 2 } else { 0 }, "the gap behind \"34\"");
        front.try_put_slice(&b"xy"[..room]).unwrap();
        front.debug_assert_invariants();
    }
    let refused = catch_unwind(|| gaps().split_to(10));
    assert!(refused.is_err());
    let mut many = rooms(9);
    many.try_put_slice(&digits(0..20)).unwrap();
    assert_eq!(many.split_to(14), digits(0..14));
    many.debug_assert_invariants();
    many.try_put_slice(&digits(20..36)).unwrap();
    assert_eq!(many, digits(14..36));
}

/// Reads at most `limit` bytes at a time; says what it was given.
struct Input {
    limit: usize,
    next: usize,
    slices: usize,
}

impl Read for Input {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(to)])
    }

    fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.slices = slices.len();
        let mut read = 0;
        for byte in slices.iter_mut().flat_map(|slice| slice.iter_mut()) {
            if read == self.limit {
                break;
            }
            assert_eq!(*byte, 0, "the room is zeroed");
            *byte = digit(self.next);
            self.next += 1;
            read += 1;
        }
        Ok(read)
    }
}

#[test]
fn vectored_reads_fill_the_room() {
    let mut rope = rooms(5);
    let mut input = Input {
        limit: 7,
        next: 0,
        slices: 0,
    };
    let reads: Vec<_> = (0..4)
        .map(|_| {
            let read = rope.read_vectored_from(&mut input).unwrap();
            rope.debug_assert_invariants();
            (read, input.slices)
        })
        .collect();
    assert_eq!(reads, [(7, 5), (7, 4), (6, 2), (0, 0)]);
    assert_eq!(rope, digits(0..20));
}

#[test]
fn more_chunks_than_slices_wait_for_the_next_read() {
    let mut rope = rooms(100);
    let mut input = Input {
        limit: usize::MAX,
        next: 0,
        slices: 0,
    };
    assert_eq!(rope.read_vectored_from(&mut input).unwrap(), 256);
    assert_eq!(input.slices, 64);
    assert_eq!(rope.read_vectored_from(&mut input).unwrap(), 144);
    assert_eq!(rope, digits(0..400));
}

/// Says that it read more than there is room for, or fails.
struct Broken(Option<usize>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.ok_or_else(|| io::Error::other("the cable is out"))
    }
}

#[test]
fn readers_that_lie_or_fail() {
    // `Read::read_vectored` gives the first slice to `read`: the others show room all the same.
    for (chunks, said) in [(2, 9), (80, 257), (1, usize::MAX)] {
        let mut rope = rooms(chunks);
        let lie = catch_unwind(AssertUnwindSafe(|| {
            rope.read_vectored_from(&mut Broken(Some(said)))
        }));
        assert!(lie.is_err() && rope.is_empty());
    }
    let mut rope = rooms(2);
    assert!(rope.read_vectored_from(&mut Broken(None)).is_err());
    assert!(rope.is_empty());
    assert_eq!(rope.spare_bytes(), 8);
}

#[cfg(feature = "bytes")]
mod as_buf {
    use bytes::{Buf, BufMut, Bytes};

    use super::*;

    #[test]
    fn a_rope_reads_as_the_chain_of_its_chunks() {
        let mut rope = rope(5);
        let mut chain = Bytes::from(digits(0..4)).chain(Bytes::from(digits(4..15)));
        for width in [1, 2, 4, 8] {
            assert_eq!(rope.remaining(), chain.remaining());
            match width {
                1 => assert_eq!(rope.get_u8(), chain.get_u8()),
                2 => assert_eq!(rope.get_u16(), chain.get_u16()),
                4 => assert_eq!(rope.get_u32_le(), chain.get_u32_le()),
                _ => assert_eq!(rope.get_u64(), chain.get_u64()),
            }
            rope.debug_assert_invariants();
        }
        assert!(!rope.has_remaining());
        assert!(rope.chunk().is_empty());
        assert!(rope.try_get_u8().is_err());
    }

    #[test]
    fn part_of_a_rope_as_bytes() {
        let mut rope = rope(5);
        let start = rope.chunk_at(0).unwrap().as_ptr();
        assert!(rope.copy_to_bytes(0).is_empty());
        assert_eq!(rope.copy_to_bytes(2).as_ptr(), start, "of the first chunk");
        assert_eq!(rope.copy_to_bytes(1)[..], *b"2");
        rope.debug_assert_invariants();
        assert_eq!(rope.copy_to_bytes(5)[..], *b"34567", "copied together");
        rope.debug_assert_invariants();
        assert!(catch_unwind(AssertUnwindSafe(|| rope.copy_to_bytes(8))).is_err());
        assert_eq!(rope.copy_to_bytes(7)[..], *b"8901234");
    }

    #[test]
    fn buffers_in_a_row_are_written_as_one() {
        let mut rope = rooms(3);
        rope.put_u16(0x3031);
        rope.put_u32(0x3233_3435);
        rope.put(Bytes::from(digits(6..11)));
        assert_eq!((rope.remaining(), rope.remaining_mut()), (11, 1));
        assert!(catch_unwind(AssertUnwindSafe(|| rope.put_u16(0))).is_err());
        assert_eq!(rope, digits(0..11));
        rope.put_bytes(b'1', 1);
        assert!(rope.chunk_mut().len() == 0);
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(rope.chunks_vectored(&mut slices), 3);
        assert_eq!(rope.get_u64(), 0x3031_3233_3435_3637);
        assert_eq!(rope.copy_to_bytes(4)[..], *b"8901");
        rope.debug_assert_invariants();
    }
}
