//! `Buf` is a safe trait: whatever it says, no byte is written outside a buffer.
#![cfg(feature = "bytes")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Buf, BufMut, Bytes};
use drystone_pool::{IoBufMut, IoBufsMut};

/// Says that `remaining` bytes remain and shows others.
struct Liar {
    remaining: usize,
    shown: &'static [u8],
    /// Whether advancing changes what it says.
    learns: bool,
}

impl Buf for Liar {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.shown
    }

    fn advance(&mut self, count: usize) {
        if self.learns {
            self.remaining = self.remaining.saturating_sub(count);
        }
    }
}

/// Puts what a liar has into each kind of target with 8 bytes of room behind 2, and gives what is
/// there afterwards and whether that panicked.
fn put(remaining: usize, shown: &'static [u8], learns: bool) -> [(Vec<u8>, bool); 2] {
    let liar = || Liar {
        remaining,
        shown,
        learns,
    };
    let mut one = IoBufMut::with_capacity(10);
    one.put_slice(b"ab");
    let first = catch_unwind(AssertUnwindSafe(|| one.put(liar()))).is_err();
    let mut rope = IoBufsMut::from([IoBufMut::from(b"ab"), IoBufMut::with_capacity(3)]);
    rope.append(IoBufMut::with_capacity(5));
    let second = catch_unwind(AssertUnwindSafe(|| rope.put(liar()))).is_err();
    rope.debug_assert_invariants();
    let rope = rope.coalesce();
    [(one.to_vec(), first), (rope.to_vec(), second)]
}

#[test]
fn more_than_it_said() {
    // The chunk is longer than what remains: what remains counts.
    for (bytes, panicked) in put(3, b"0123456789abcdef", true) {
        assert_eq!((&bytes[..], panicked), (&b"ab012"[..], false));
    }
}

#[test]
fn less_than_it_said() {
    // It says that there are more than there is room for, before anything is written.
    for (bytes, panicked) in put(9, b"01", true) {
        assert_eq!((&bytes[..], panicked), (&b"ab"[..], true));
    }
}

#[test]
fn without_end() {
    // It never runs out: the room does.
    for (bytes, panicked) in put(5, b"0123", false) {
        assert_eq!((&bytes[..], panicked), (&b"ab01230123"[..], true));
    }
}

#[test]
fn without_bytes() {
    // It has something and shows nothing: no endless loop.
    for (bytes, panicked) in put(5, b"", false) {
        assert_eq!((&bytes[..], panicked), (&b"ab"[..], true));
    }
}

#[test]
fn advancing_beyond_what_was_written_is_refused() {
    let mut buf = IoBufMut::with_capacity(4);
    // SAFETY: the call panics.
    let refused = catch_unwind(AssertUnwindSafe(|| unsafe { buf.advance_mut(5) }));
    assert!(refused.is_err() && buf.is_empty());
    let mut rope = IoBufsMut::from([IoBufMut::with_capacity(4), IoBufMut::with_capacity(4)]);
    // SAFETY: the call panics.
    let refused = catch_unwind(AssertUnwindSafe(|| unsafe {
        BufMut::advance_mut(&mut rope, 9);
    }));
    assert!(refused.is_err() && rope.is_empty());
}

#[test]
fn writes_that_do_not_fit_panic_and_leave_the_bytes() {
    let mut buf = IoBufMut::from(b"abc");
    assert_eq!(buf.remaining_mut(), 0);
    for write in [
        |buf: &mut IoBufMut| buf.put_slice(b"x"),
        |buf: &mut IoBufMut| buf.put_bytes(b'x', 1),
        |buf: &mut IoBufMut| buf.put_u8(1),
        |buf: &mut IoBufMut| buf.put(Bytes::from_static(b"x")),
    ] {
        assert!(catch_unwind(AssertUnwindSafe(|| write(&mut buf))).is_err());
        assert_eq!(buf, b"abc");
    }
    buf.put_slice(b"");
    buf.put_bytes(b'x', 0);
    assert!(catch_unwind(AssertUnwindSafe(|| buf.put_bytes(b'x', usize::MAX))).is_err());
}

#[test]
fn reads_that_are_too_long_say_by_how_much() {
    let mut buf = IoBufMut::from(b"abc");
    let mut view = IoBufMut::from(b"abc").freeze();
    let mut to = [0; 4];
    for error in [
        buf.try_copy_to_slice(&mut to).unwrap_err(),
        view.try_copy_to_slice(&mut to).unwrap_err(),
    ] {
        assert_eq!((error.requested, error.available), (4, 3));
    }
    assert!(buf == b"abc" && view == b"abc" && to == [0; 4]);
    assert!(catch_unwind(AssertUnwindSafe(|| view.copy_to_bytes(4))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| buf.copy_to_bytes(4))).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| Buf::advance(&mut view, 4))).is_err());
    view.copy_to_slice(&mut to[..3]);
    assert_eq!((&to, view.remaining()), (b"abc\0", 0));
}
