//! One view: what its methods do, at the limits too.

use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, BuildHasherDefault};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use drystone_pool::{
    AllocAsync, BufferPool, BufferPoolConfig, CapacityError, IoBuf, IoBufMut, PoolError,
    RegisteredRegion,
};

/// The message that `f` panics with.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let payload = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("nothing panicked"),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => (*payload.downcast::<&str>().expect("a message")).to_owned(),
    }
}

fn filled(bytes: &[u8], capacity: usize) -> IoBufMut {
    let mut buf = IoBufMut::with_capacity(capacity);
    buf.try_put_slice(bytes).expect("room for the bytes");
    buf
}

#[test]
fn a_capacity_is_exact() {
    for capacity in [0, 1, 7, 8, 4095, 4096, 100_001] {
        let buf = IoBufMut::with_capacity(capacity);
        assert_eq!((buf.len(), buf.capacity()), (0, capacity));
        assert!(buf.is_empty() && !buf.is_pooled());
    }
}

#[test]
fn an_alignment_is_kept() {
    for align in [1, 2, 64, 512, 4096, 65536] {
        let mut buf = IoBufMut::with_alignment(10, align);
        assert_eq!(buf.as_mut_ptr().addr() % align, 0);
        assert!(buf.is_aligned(align) && buf.is_aligned(NonZeroUsize::new(align).unwrap()));
        buf.try_put_slice(b"0123456789").unwrap();
        let mut view = buf.freeze();
        assert!(view.is_aligned(align));
        view.advance(1);
        assert_eq!(view.is_aligned(align), align == 1);
    }
}

#[test]
fn zeroed_buffers_are_full_of_zeros() {
    for len in [0, 1, 5000] {
        let buf = IoBufMut::zeroed(len);
        assert_eq!((buf.len(), buf.capacity()), (len, len));
        assert!(buf.iter().all(|&byte| byte == 0));
        let buf = IoBufMut::zeroed_with_alignment(len, 4096);
        assert_eq!((buf.len(), buf.capacity()), (len, len));
        assert!(buf.iter().all(|&byte| byte == 0));
        assert!(len == 0 || buf.is_aligned(4096));
    }
}

#[test]
fn layouts_that_cannot_be_are_refused() {
    let message = panic_of(|| IoBufMut::with_capacity(usize::MAX));
    assert!(message.contains(&usize::MAX.to_string()), "{message}");
    assert!(message.contains("at a multiple of 1 "), "{message}");
    let message = panic_of(|| IoBufMut::with_alignment(1, 3));
    assert!(message.contains("power of two, not 3"), "{message}");
    assert!(panic_of(|| IoBufMut::zeroed_with_alignment(0, 0)).contains("not 0"));
    assert!(panic_of(|| IoBufMut::new().is_aligned(12)).contains("not 12"));

    assert!(IoBufMut::try_with_capacity(isize::MAX as usize).is_err());
    assert!(IoBufMut::try_with_capacity(usize::MAX).is_err());
    assert!(IoBufMut::try_with_alignment(1, 3).is_err());
    assert!(IoBufMut::try_with_alignment(1, 0).is_err());
    assert!(IoBufMut::try_with_alignment(1, usize::MAX / 2 + 1).is_err());
    assert_eq!(IoBufMut::try_with_alignment(9, 64).unwrap().capacity(), 9);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut buf = filled(b"abc", 5);
    let refused = buf.try_put_slice(b"def");
    let error = CapacityError {
        requested: 3,
        available: 2,
    };
    assert_eq!(refused, Err(error));
    assert_eq!(buf, b"abc");
    assert_eq!(error.to_string(), "3 bytes do not fit: there is room for 2");
    buf.try_put_slice(b"de").unwrap();
    buf.try_put_slice(b"").unwrap();
    assert_eq!(buf, b"abcde");
    assert!(buf.spare_capacity_mut().is_empty());
}

#[test]
fn the_spare_room_lies_behind_the_bytes() {
    let mut buf = filled(b"ab", 6);
    let room = buf.spare_capacity_mut();
    assert_eq!(room.len(), 4);
    room[0].write(b'c');
    room[1].write(b'd');
    // SAFETY: the four bytes are written.
    unsafe { buf.set_len(4) };
    assert_eq!(buf, b"abcd");
}

#[test]
fn lengths_change_and_capacities_do_not() {
    let mut buf = filled(b"abcdef", 8);
    buf.truncate(7);
    assert_eq!(buf, b"abcdef");
    buf.truncate(2);
    assert_eq!((&buf[..], buf.capacity()), (&b"ab"[..], 8));
    // SAFETY: the bytes were written before.
    unsafe { buf.set_len(6) };
    assert_eq!(buf, b"abcdef");
    buf.clear();
    assert_eq!((buf.len(), buf.capacity()), (0, 8));
}

#[test]
fn a_length_beyond_the_capacity_panics() {
    let mut buf = filled(b"ab", 4);
    // SAFETY: the call panics.
    let message = panic_of(|| unsafe { buf.set_len(5) });
    assert!(message.contains('5') && message.contains('4'), "{message}");
    assert_eq!(buf, b"ab");
}

#[test]
fn advancing_takes_from_the_front_and_from_the_capacity() {
    let mut buf = filled(b"abcdef", 8);
    let start = buf.as_ptr();
    buf.advance(2);
    assert_eq!((&buf[..], buf.capacity()), (&b"cdef"[..], 6));
    assert_eq!(buf.as_ptr().addr(), start.addr() + 2);
    let message = panic_of(|| buf.advance(5));
    assert!(message.contains("5") && message.contains("4"), "{message}");
    buf.advance(4);
    assert_eq!((buf.len(), buf.capacity()), (0, 2));
    buf.try_put_slice(b"gh").unwrap();
    assert_eq!(buf.freeze(), b"gh");
}

#[test]
fn writing_in_place() {
    let mut buf = filled(b"abc", 3);
    buf[1] = b'X';
    buf.as_mut()[2] = b'Y';
    assert_eq!(buf, b"aXY");
}

#[test]
fn freezing_moves_nothing() {
    let buf = filled(b"abcdef", 64);
    let start = buf.as_ptr();
    let view = buf.freeze();
    assert_eq!((view.as_ptr(), &view[..]), (start, &b"abcdef"[..]));
    let again = view.try_into_mut().expect("the only handle");
    assert_eq!((again.as_ptr(), again.capacity()), (start, 64));
    assert_eq!(again, b"abcdef");
}

#[test]
fn an_empty_view_keeps_nothing() {
    assert_eq!(IoBufMut::with_capacity(100).freeze().storage_bytes(), 0);
    let view = filled(b"abc", 100).freeze();
    assert_eq!(view.storage_bytes(), 100);
    assert_eq!(view.slice(1..1).storage_bytes(), 0);
    assert_eq!(view.slice(3..).storage_bytes(), 0);
    let mut rest = view.clone();
    rest.advance(3);
    assert_eq!(rest.storage_bytes(), 0);
    let mut none = view.clone();
    none.truncate(0);
    assert_eq!(none.storage_bytes(), 0);
    drop((rest, none));
    assert!(view.try_into_mut().is_ok(), "nobody else has a handle");
}

#[test]
fn slices_are_what_slices_of_bytes_are() {
    let view = filled(b"0123456789", 16).freeze();
    assert_eq!(view.slice(..), b"0123456789");
    assert_eq!(view.slice(2..5), b"234");
    assert_eq!(view.slice(2..=5), b"2345");
    assert_eq!(view.slice(..=0), b"0");
    assert_eq!(view.slice(7..), b"789");
    assert_eq!(
        view.slice((std::ops::Bound::Excluded(7), std::ops::Bound::Unbounded)),
        b"89"
    );
    assert_eq!(view.slice(2..5).slice(1..2), b"3");
    assert_eq!(view.slice(2..).as_ptr().addr(), view.as_ptr().addr() + 2);
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "is refused")]
fn slices_out_of_range_panic() {
    let view = filled(b"0123", 16).freeze();
    let message = panic_of(|| view.slice(3..2));
    assert!(message.contains('3') && message.contains('2'), "{message}");
    let message = panic_of(|| view.slice(1..5));
    assert!(message.contains('5') && message.contains('4'), "{message}");
    assert!(panic_of(|| view.slice(5..)).contains("starts at 5"));
    assert!(panic_of(|| view.slice(..=usize::MAX)).contains("usize::MAX"));
    let after_the_last = (
        std::ops::Bound::Excluded(usize::MAX),
        std::ops::Bound::Unbounded,
    );
    assert!(panic_of(|| view.slice(after_the_last)).contains("usize::MAX"));
    assert_eq!(view, b"0123");
}

#[test]
fn splitting() {
    let mut view = filled(b"0123456789", 16).freeze();
    let front = view.split_to(4);
    assert_eq!((&front[..], &view[..]), (&b"0123"[..], &b"456789"[..]));
    let back = view.split_off(2);
    assert_eq!((&view[..], &back[..]), (&b"45"[..], &b"6789"[..]));
    assert_eq!(view.split_to(0).storage_bytes(), 0);
    assert_eq!(view.split_off(2).storage_bytes(), 0);
    assert_eq!(view, b"45");

    let start = view.as_ptr();
    let all = view.split_to(2);
    assert_eq!((all.as_ptr(), view.storage_bytes()), (start, 0));
    let mut again = all;
    let all = again.split_off(0);
    assert_eq!((all.as_ptr(), again.storage_bytes()), (start, 0));

    let message = panic_of(|| again.split_to(1));
    assert!(message.contains('1') && message.contains('0'), "{message}");
    assert!(panic_of(|| again.split_off(1)).contains("split at 1"));
}

#[test]
fn the_only_view_gets_its_tail_back() {
    let view = filled(b"0123456789", 32).freeze();
    let part = view.slice(4..6);
    let view = view.try_into_mut().expect_err("two handles").slice(..);
    drop(view);
    let part = part.try_into_mut().expect("the only handle");
    assert_eq!((&part[..], part.capacity()), (&b"45"[..], 28));
    assert_eq!(part.freeze().try_into_mut().unwrap().capacity(), 28);
}

#[test]
fn views_that_cannot_be_written_stay_what_they_are() {
    let view = IoBuf::from_static(b"static").try_into_mut().unwrap_err();
    assert_eq!(view, b"static");
    let empty = IoBuf::new().try_into_mut().expect("nothing to share");
    assert_eq!((empty.len(), empty.capacity()), (0, 0));
    let empty = IoBuf::from_static(b"").try_into_mut().unwrap();
    assert_eq!(empty.capacity(), 0);
}

#[test]
fn compacting_lets_the_large_buffer_go() {
    let large = filled(&[7; 5000], 8192).freeze();
    let small = large.slice(100..110);
    assert_eq!(small.storage_bytes(), 8192);
    let compact = small.compact();
    assert_eq!((compact.storage_bytes(), &compact[..]), (10, &[7; 10][..]));
    assert!(
        large.try_into_mut().is_ok(),
        "the view was the other handle"
    );

    let start = compact.as_ptr();
    assert_eq!(compact.compact().as_ptr(), start, "nothing to gain");
    let fixed = IoBuf::from_static(b"for ever");
    let start = fixed.as_ptr();
    assert_eq!(fixed.compact().as_ptr(), start);
}

#[test]
fn views_compare_as_bytes() {
    let view = IoBuf::copy_from_slice(b"abc");
    let buf = IoBufMut::from(b"abc");
    assert_eq!(view, buf);
    assert_eq!(buf, view);
    assert_eq!(view, *b"abc");
    assert_eq!(view, b"abc");
    assert_eq!(view, b"abc"[..]);
    assert_eq!(view, &b"abc"[..]);
    assert_eq!(view, b"abc".to_vec());
    assert_eq!(b"abc", view);
    assert_eq!(*b"abc", buf);
    assert_ne!(view, b"abd");
    assert_ne!(view, b"ab");
    assert!(view < IoBuf::from_static(b"abd"));

    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    assert_eq!(hasher.hash_one(&view), hasher.hash_one(&b"abc"[..]));
    let map = std::collections::HashMap::from([(view, 1)]);
    assert_eq!(map.get(&b"abc"[..]), Some(&1));
}

#[test]
fn debugging_shows_lengths_only() {
    let buf = filled(b"secret", 9);
    assert_eq!(format!("{buf:?}"), "IoBufMut { len: 6, capacity: 9 }");
    assert_eq!(format!("{:?}", buf.freeze()), "IoBuf { len: 6 }");
}

#[test]
fn sizes_and_auto_traits() {
    fn sent<T: Send + Sync + Unpin + 'static>() -> usize {
        size_of::<T>()
    }
    let word = size_of::<usize>();
    assert_eq!(sent::<IoBuf>(), 3 * word);
    assert_eq!(sent::<Option<IoBuf>>(), 3 * word);
    assert_eq!(sent::<IoBufMut>(), 3 * word);
    assert_eq!(sent::<Option<IoBufMut>>(), 3 * word);
}

#[test]
fn text_is_written_as_far_as_there_is_room() {
    use std::io::Write;

    let mut buf = IoBufMut::with_capacity(6);
    assert_eq!(buf.write(b"four").unwrap(), 4);
    assert_eq!(buf.write(b"more").unwrap(), 2);
    assert_eq!(buf.write(b"more").unwrap(), 0);
    buf.flush().unwrap();
    assert_eq!(buf, b"fourmo");
    let full = buf.write_all(b"x").unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::WriteZero);
}

#[test]
fn errors_are_errors_of_io_too() {
    use std::io::{Error, ErrorKind};

    let kind = |error: Error| error.kind();
    let full = IoBufMut::new().try_put_slice(b"x").unwrap_err();
    assert_eq!(kind(full.into()), ErrorKind::WriteZero);
    assert_eq!(kind(PoolError::Oversized.into()), ErrorKind::InvalidInput);
    assert_eq!(kind(PoolError::Exhausted.into()), ErrorKind::OutOfMemory);
    let wrong = BufferPoolConfig::for_network().with_min_size(3000);
    let wrong = Error::from(wrong.validate().unwrap_err());
    assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        wrong.to_string(),
        "min_size is 3000, which is not a power of two"
    );
}

#[test]
fn panics_may_be_caught_around_pools_and_views() {
    use std::panic::{RefUnwindSafe, UnwindSafe};

    fn caught<T: UnwindSafe + RefUnwindSafe>() {}
    caught::<BufferPool>();
    caught::<AllocAsync>();
    caught::<RegisteredRegion>();
    #[cfg(not(loom))]
    {
        caught::<IoBuf>();
        caught::<IoBufMut>();
        caught::<drystone_pool::IoBufs>();
        caught::<drystone_pool::IoBufsMut>();
    }
}
