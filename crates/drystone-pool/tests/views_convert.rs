//! Conversions keep the bytes where they are, which their addresses show.
#![cfg(feature = "bytes")]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use drystone_pool::{IoBuf, IoBufMut, IoBufs, IoBufsMut};

const TEXT: &[u8] = b"0123456789";

fn vec_with_room() -> Vec<u8> {
    let mut vec = Vec::with_capacity(64);
    vec.extend_from_slice(TEXT);
    vec
}

fn native() -> IoBuf {
    IoBuf::copy_from_slice(TEXT)
}

#[test]
fn vectors_are_adopted_with_their_room() {
    let vec = vec_with_room();
    let (start, capacity) = (vec.as_ptr(), vec.capacity());
    let mut buf = IoBufMut::from(vec);
    assert_eq!((buf.as_ptr(), buf.capacity()), (start, capacity));
    buf.put_bytes(b'x', capacity - 10);
    assert_eq!((&buf[..10], buf.len()), (TEXT, capacity));

    let vec = vec_with_room();
    let start = vec.as_ptr();
    let view = IoBuf::from(vec);
    assert_eq!(view.as_ptr(), start);
    assert_eq!(view.try_into_mut().unwrap().capacity(), capacity);
}

#[test]
fn empty_vectors() {
    assert_eq!(IoBufMut::from(Vec::new()).capacity(), 0);
    let room = IoBufMut::from(Vec::with_capacity(10));
    assert_eq!((room.len(), room.capacity()), (0, 10));
    assert_eq!(IoBuf::from(Vec::with_capacity(10)).storage_bytes(), 0);
}

#[test]
fn slices_and_arrays_are_copied() {
    for buf in [
        IoBufMut::from(TEXT),
        IoBufMut::from(b"0123456789"),
        IoBufMut::from(*b"0123456789"),
    ] {
        assert_eq!((buf.capacity(), &buf[..]), (10, TEXT));
    }
    let view = IoBuf::from(*b"0123456789");
    assert_eq!(view, TEXT);
    assert!(view.try_into_mut().is_ok());
}

#[test]
fn static_bytes_stay_where_they_are() {
    assert_eq!(IoBuf::from(TEXT).as_ptr(), TEXT.as_ptr());
    let array: &'static [u8; 3] = b"abc";
    assert_eq!(IoBuf::from(array).as_ptr(), array.as_ptr());
    let text = "abc";
    assert_eq!(IoBuf::from(text).as_ptr(), text.as_ptr());
    let bytes = Bytes::from(IoBuf::from(TEXT).slice(2..4));
    assert_eq!(bytes.as_ptr(), TEXT[2..].as_ptr());
}

#[test]
fn bytes_in_and_out() {
    let bytes = Bytes::from(vec_with_room());
    let view = IoBuf::from(bytes.clone());
    assert_eq!(view.as_ptr(), bytes.as_ptr());
    let part = Bytes::from(view.slice(2..5));
    assert_eq!(
        (&part[..], part.as_ptr()),
        (&TEXT[2..5], bytes[2..].as_ptr())
    );
    let view = view
        .try_into_mut()
        .expect_err("shared bytes are not written");
    drop((part, bytes));
    let view = view
        .try_into_mut()
        .expect_err("nor are bytes that were shared");
    let bytes = Bytes::from(view);
    assert!(bytes.is_unique(), "the view was the last other handle");

    assert_eq!(IoBuf::from(Bytes::new()).storage_bytes(), 0);
}

#[test]
fn native_views_as_bytes() {
    let view = native();
    let start = view.as_ptr();
    let bytes = Bytes::from(view.clone());
    assert_eq!(bytes.as_ptr(), start);
    let view = view
        .try_into_mut()
        .expect_err("the bytes share the storage");
    drop(bytes);
    let buf = view.try_into_mut().expect("and let it go");
    let bytes = Bytes::from(buf);
    assert_eq!(bytes.as_ptr(), start);
    assert!(Bytes::from(IoBuf::new()).is_empty());
}

#[test]
fn bytes_mut_are_adopted_with_their_room() {
    let mut bytes = BytesMut::with_capacity(64);
    bytes.put_slice(TEXT);
    let (start, capacity) = (bytes.as_ptr(), bytes.capacity());
    let mut buf = IoBufMut::from(bytes);
    assert_eq!((buf.as_ptr(), buf.capacity()), (start, capacity));
    buf.put_bytes(b'x', capacity - 10);
    assert_eq!((&buf[..10], buf.len()), (TEXT, capacity));

    assert_eq!(IoBufMut::from(BytesMut::new()).capacity(), 0);
    let mut bytes = BytesMut::from(TEXT);
    bytes.clear();
    assert!(IoBufMut::from(bytes).capacity() >= 10);
    let bytes = BytesMut::from(TEXT);
    let start = bytes.as_ptr();
    assert_eq!(IoBuf::from(bytes).as_ptr(), start);
}

#[test]
fn part_of_shared_bytes_mut_is_written_alone() {
    let mut bytes = BytesMut::from(TEXT);
    let back = bytes.split_off(5);
    let mut front = IoBufMut::from(bytes);
    let mut back = IoBufMut::from(back);
    assert_eq!(front.capacity(), 5);
    front.fill(b'f');
    back.fill(b'b');
    assert_eq!((&front[..], &back[..5]), (&b"fffff"[..], &b"bbbbb"[..]));
}

#[test]
fn bytes_become_buffers() {
    let bytes = Bytes::from(vec_with_room());
    let start = bytes.as_ptr();
    assert_eq!(IoBufMut::from(bytes).as_ptr(), start, "the only handle");

    let bytes = Bytes::from(vec_with_room());
    let copy = IoBufMut::from(bytes.clone());
    assert_ne!(copy.as_ptr(), bytes.as_ptr());
    assert_eq!((&copy[..], copy.capacity()), (TEXT, 10));
    assert_eq!(IoBufMut::from(Bytes::from_static(TEXT)), TEXT);
}

#[test]
fn views_become_buffers() {
    let view = native();
    let start = view.as_ptr();
    let other = view.clone();
    let copy = IoBufMut::from(other);
    assert_ne!(copy.as_ptr(), start);
    assert_eq!(copy, TEXT);
    assert_eq!(IoBufMut::from(view).as_ptr(), start);
    assert_eq!(Vec::from(native()), TEXT);
    assert_eq!(Vec::from(IoBufMut::from(TEXT)), TEXT);
}

#[test]
fn part_of_a_view_as_bytes() {
    let mut view = native();
    let start = view.as_ptr();
    assert!(view.copy_to_bytes(0).is_empty());
    let front = view.copy_to_bytes(4);
    assert_eq!((front.as_ptr(), &front[..]), (start, &TEXT[..4]));
    let back = view.copy_to_bytes(6);
    assert_eq!(back.as_ptr().addr(), start.addr() + 4);
    assert_eq!(view.storage_bytes(), 0, "all of it has moved out");

    let bytes = Bytes::from(vec_with_room());
    let mut view = IoBuf::from(bytes.clone());
    let front = view.copy_to_bytes(3);
    assert_eq!(front.as_ptr(), bytes.as_ptr());
    assert_eq!(view, &TEXT[3..]);

    let mut fixed = IoBuf::from_static(TEXT);
    assert_eq!(fixed.copy_to_bytes(3).as_ptr(), TEXT.as_ptr());
}

#[test]
fn part_of_a_buffer_as_bytes_is_copied() {
    let mut buf = IoBufMut::with_capacity(20);
    buf.put_slice(TEXT);
    let start = buf.as_ptr();
    let front = buf.copy_to_bytes(4);
    assert_ne!(front.as_ptr(), start);
    assert_eq!(
        (&front[..], &buf[..], buf.capacity()),
        (&TEXT[..4], &TEXT[4..], 16)
    );
    let all = buf.copy_to_bytes(6);
    assert_eq!((all.as_ptr().addr(), buf.capacity()), (start.addr() + 4, 0));
    let mut empty = IoBufMut::with_capacity(20);
    assert!(empty.copy_to_bytes(0).is_empty());
    assert_eq!(empty.capacity(), 20, "nothing was taken");
}

#[test]
fn ropes_from_everything() {
    assert_eq!(IoBufs::from(native()), TEXT);
    assert_eq!(IoBufs::from(IoBufMut::from(TEXT)), TEXT);
    assert_eq!(IoBufs::from(vec_with_room()), TEXT);
    assert_eq!(IoBufs::from(TEXT), TEXT);
    assert_eq!(IoBufs::from(b"0123456789"), TEXT);
    assert_eq!(IoBufs::from("0123456789"), TEXT);
    assert_eq!(IoBufs::from(Bytes::from_static(TEXT)), TEXT);
    assert_eq!(IoBufs::from(BytesMut::from(TEXT)), TEXT);
    assert_eq!(IoBufs::from(vec![native(), native()]).len(), 20);
    assert_eq!(IoBufs::from([native(), IoBuf::new()]).chunk_count(), 1);
    assert_eq!(IoBufsMut::from(IoBufMut::from(TEXT)), TEXT);
    assert_eq!(IoBufsMut::from(vec_with_room()), TEXT);
    assert_eq!(IoBufsMut::from(BytesMut::from(TEXT)), TEXT);
    assert_eq!(IoBufsMut::from([IoBufMut::from(TEXT)]), TEXT);
    assert_eq!(
        IoBufs::from(IoBufsMut::from(vec![IoBufMut::from(TEXT)])),
        TEXT
    );
}
