//! Views of pooled slots: a slot is out for exactly as long as a view of it lives.

use drystone_pool::{
    BufferPool, BufferPoolConfig, IoBuf, IoBufMut, IoBufs, IoBufsBuilder, IoBufsMut, PoolError,
};

/// A pool of one class, with `buffers` of 1 KiB.
fn pool(buffers: u32) -> BufferPool {
    let config = BufferPoolConfig::for_network()
        .with_min_size(1024)
        .with_max_size(1024)
        .with_max_per_class(buffers);
    BufferPool::new(config).expect("memory for a test")
}

fn filled(pool: &BufferPool, bytes: &[u8]) -> IoBufMut {
    let mut buf = pool.try_alloc(1024).expect("a free buffer");
    buf.try_put_slice(bytes).expect("room for the bytes");
    buf
}

/// Whether the only buffer of the pool is free.
fn is_free(pool: &BufferPool) -> bool {
    match pool.try_alloc(1024) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error, PoolError::Exhausted);
            false
        }
    }
}

#[test]
fn a_slot_is_out_while_a_view_lives() {
    let pool = pool(1);
    let buf = filled(&pool, b"0123456789");
    assert!(buf.is_pooled() && !is_free(&pool));
    let view = buf.freeze();
    assert!(view.is_pooled() && view.storage_bytes() == 1024);
    let part = view.slice(2..4);
    drop(view);
    assert!(part.is_pooled() && !is_free(&pool));
    assert!(!part.slice(1..1).is_pooled());
    drop(part);
    assert!(is_free(&pool));
}

#[test]
fn what_keeps_nothing_gives_the_slot_back() {
    let pool = pool(1);
    assert!(!filled(&pool, b"").freeze().is_pooled());
    assert!(is_free(&pool));
    let mut view = filled(&pool, b"abc").freeze();
    view.advance(3);
    assert!(is_free(&pool));
    let mut view = filled(&pool, b"abc").freeze();
    view.truncate(0);
    assert!(is_free(&pool));
    let view = filled(&pool, b"abc").freeze().compact();
    assert!(is_free(&pool) && !view.is_pooled());
    assert_eq!((&view[..], view.storage_bytes()), (&b"abc"[..], 3));
}

#[test]
fn a_recovered_slot_is_pooled() {
    let pool = pool(1);
    let view = filled(&pool, b"0123456789").freeze();
    let part = view.slice(4..);
    drop(view);
    let buf = part.try_into_mut().expect("the only view");
    assert_eq!((&buf[..], buf.capacity()), (&b"456789"[..], 1020));
    assert!(buf.is_pooled() && !is_free(&pool));
    drop(buf);
    assert!(is_free(&pool));
}

#[test]
fn a_slot_comes_back_ready_to_be_shared() {
    let pool = pool(1);
    for round in 0..3 {
        let view = filled(&pool, b"shared").freeze();
        let views: Vec<_> = (0..round).map(|at| view.slice(at..)).collect();
        drop(view);
        drop(views);
    }
    let view = filled(&pool, b"unique").freeze();
    assert!(view.try_into_mut().is_ok());
}

#[test]
fn views_outlive_their_pool() {
    let pool = pool(2);
    let view = filled(&pool, b"view").freeze();
    let buf = filled(&pool, b"buf");
    drop(pool);
    assert_eq!((&view[..], &buf[..]), (&b"view"[..], &b"buf"[..]));
    let part = view.slice(1..);
    drop(view);
    drop(buf);
    assert_eq!(part.try_into_mut().expect("the only view"), b"iew");
}

#[test]
fn copies_go_into_the_pool_where_copies_are_needed() {
    let pool = pool(4);
    let view = filled(&pool, b"abc").freeze();
    let start = view.as_ptr();
    let copy = view.clone().into_mut_with_pool(&pool);
    assert!(copy.is_pooled() && copy.as_ptr() != start && copy == b"abc");
    drop(copy);
    assert_eq!(view.into_mut_with_pool(&pool).as_ptr(), start);

    let fixed = IoBuf::from_static(b"static").into_mut_with_pool(&pool);
    assert!(fixed.is_pooled() && fixed == b"static");
    let rope = IoBufs::from([IoBuf::from_static(b"ab"), IoBuf::from_static(b"cd")]);
    let whole = rope.coalesce_with_pool(&pool);
    assert!(whole.is_pooled() && whole == b"abcd");
    let single = IoBufs::from("single").coalesce_with_pool(&pool);
    assert!(!single.is_pooled());
    assert!(IoBufs::new().coalesce_with_pool(&pool).is_empty());
}

#[test]
fn room_is_found_or_made() {
    let pool = pool(3);
    let mut one = IoBufMut::with_capacity(10);
    one.try_put_slice(b"abcdef").unwrap();
    let one = IoBufsMut::from(one).coalesce_with_pool_extra(&pool, 4);
    assert!(!one.is_pooled(), "it has the room");
    let one = IoBufsMut::from(one).coalesce_with_pool_extra(&pool, 5);
    assert!(one.is_pooled() && one == b"abcdef" && one.capacity() >= 11);
    let two = IoBufsMut::from([one, IoBufMut::from(b"gh")]).coalesce_with_pool(&pool);
    assert!(two.is_pooled() && two == b"abcdefgh");
}

#[test]
fn a_message_of_fields_and_payloads() {
    let pool = pool(2);
    let payload = filled(&pool, b"payload").freeze();
    let start = payload.as_ptr();
    let mut message = IoBufsBuilder::with_pool(&pool, 16);
    assert!(message.is_empty());
    message.push(IoBuf::new());
    message.try_put_slice(b"head").unwrap();
    message.push(payload.slice(..3));
    message.push(payload);
    message.try_put_slice(b"ta").unwrap();
    message.try_put_slice(b"il").unwrap();
    assert_eq!(message.len(), 18);
    let shown = "IoBufsBuilder { written: 8, capacity: 1024, pushed: 2 }";
    assert_eq!(format!("{message:?}"), shown);
    assert!(message.try_put_slice(&[0; 1017]).is_err());
    let message = message.finish();
    message.debug_assert_invariants();
    assert_eq!(message, b"headpaypayloadtail");
    let kept: Vec<_> = message.chunks().map(IoBuf::as_ptr).collect();
    assert_eq!(kept.len(), 4);
    assert_eq!(
        (kept[1], kept[2]),
        (start, start),
        "payloads are not copied"
    );
    assert_eq!(kept[3].addr(), kept[0].addr() + 4, "fields share a buffer");
    drop(message);
    assert!(pool.try_alloc(1).is_ok() && pool.try_alloc(1).is_ok());

    assert!(IoBufsBuilder::new(0).finish().is_empty());
    let mut only = IoBufsBuilder::over(IoBufMut::from(b"before"));
    only.push("after");
    assert_eq!(only.finish(), b"beforeafter");
}

#[cfg(feature = "bytes")]
mod as_bytes {
    use bytes::{Buf, BufMut, Bytes};

    use super::*;

    #[test]
    fn bytes_keep_the_slot() {
        let pool = pool(1);
        let buf = filled(&pool, b"0123456789");
        let start = buf.as_ptr();
        let bytes = Bytes::from(buf);
        assert_eq!(bytes.as_ptr(), start);
        let part = bytes.slice(3..5);
        drop(bytes);
        assert!(!is_free(&pool));
        let view = IoBuf::from(part);
        assert!(!view.is_pooled(), "somebody else's bytes by now");
        drop(view);
        assert!(is_free(&pool));
    }

    #[test]
    fn parts_taken_as_bytes_keep_it_too() {
        let pool = pool(1);
        let mut view = filled(&pool, b"0123456789").freeze();
        assert!(view.copy_to_bytes(0).is_empty());
        let front = view.copy_to_bytes(4);
        drop(view);
        assert!(!is_free(&pool));
        drop(front);
        assert!(is_free(&pool));

        let mut buf = filled(&pool, b"0123456789");
        let front = buf.copy_to_bytes(4);
        drop(buf);
        assert!(is_free(&pool), "part of a buffer is copied");
        drop(front);
        let mut buf = filled(&pool, b"0123456789");
        let all = buf.copy_to_bytes(10);
        assert!(!buf.is_pooled() && !is_free(&pool), "all of it moves");
        drop(all);
        assert!(is_free(&pool));
    }

    #[test]
    fn a_builder_is_written_like_a_buffer() {
        let pool = pool(1);
        let mut message = IoBufsBuilder::with_pool(&pool, 8);
        message.put_u16(7);
        message.push("x");
        message.put(Bytes::from_static(b"yz"));
        message.put_slice(b"!");
        assert_eq!(message.finish(), b"\0\x07xyz!");
    }
}
