//! Views as readers and writers: of the standard library, and of tokio.
#![cfg(not(loom))]

use std::io::{self, BufRead, Read};

use drystone_pool::{BufferPool, BufferPoolConfig, IoBuf, IoBufs};

fn pool() -> BufferPool {
    let config = BufferPoolConfig::for_network().with_max_per_class(4);
    BufferPool::new(config).expect("memory for a test")
}

/// A rope with a chunk for each of the texts.
fn rope(texts: &[&str]) -> IoBufs {
    let pool = pool();
    let mut rope = IoBufs::new();
    for text in texts {
        let mut buf = pool.try_alloc(64).expect("a buffer");
        buf.try_put_slice(text.as_bytes()).expect("room");
        rope.append(buf.freeze());
    }
    rope
}

#[test]
fn a_view_is_read_from_the_front() -> io::Result<()> {
    let mut view = IoBuf::from_static(b"head\nbody");
    let shared = view.clone();
    let mut line = String::new();
    assert_eq!(view.read_line(&mut line)?, 5);
    let mut two = [0; 2];
    assert_eq!(view.read(&mut two)?, 2);
    assert_eq!((line.as_str(), &two), ("head\n", b"bo"));
    let mut rest = vec![b'>'];
    assert_eq!(view.read_to_end(&mut rest)?, 2);
    assert_eq!(rest, b">dy");
    assert_eq!(view.read(&mut two)?, 0);
    assert_eq!(shared, b"head\nbody");
    Ok(())
}

#[test]
fn a_rope_is_read_across_its_chunks() -> io::Result<()> {
    let mut rope = rope(&["ab", "cdef", "gh\ni"]);
    let mut five = [0; 5];
    assert_eq!(rope.read(&mut five)?, 5);
    assert_eq!((&five, rope.chunk_count()), (b"abcde", 2));
    assert_eq!(rope.fill_buf()?, b"f");
    let mut line = Vec::new();
    assert_eq!(rope.read_until(b'\n', &mut line)?, 4);
    assert_eq!(line, b"fgh\n");
    assert_eq!(rope.read_to_end(&mut line)?, 1);
    assert_eq!((line.as_slice(), rope.chunk_count()), (&b"fgh\ni"[..], 0));
    assert!(rope.fill_buf()?.is_empty());
    Ok(())
}

#[cfg(feature = "tokio")]
mod with_tokio {
    use std::future::Future;
    use std::io::{self, IoSlice};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use drystone_pool::{IoBuf, IoBufMut};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_buf};

    use super::{pool, rope};

    /// The outcome of a future that never has to wait.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("bytes in memory were waited for"),
        }
    }

    #[test]
    fn a_view_is_read_from_the_front() -> io::Result<()> {
        let mut view = IoBuf::from_static(b"\x01\x02line\nrest");
        assert_eq!(now(view.read_u16())?, 0x0102);
        let mut line = String::new();
        assert_eq!(now(view.read_line(&mut line))?, 5);
        assert_eq!((line.as_str(), &view[..]), ("line\n", &b"rest"[..]));
        let mut five = [0; 5];
        let error = now(view.read_exact(&mut five)).expect_err("four bytes are left");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        Ok(())
    }

    #[test]
    fn a_rope_is_read_across_its_chunks() -> io::Result<()> {
        let mut rope = rope(&["ab", "cdef", "gh\ni"]);
        let mut five = [0; 5];
        assert_eq!(now(rope.read(&mut five))?, 5);
        assert_eq!((&five, rope.chunk_count()), (b"abcde", 2));
        let mut line = Vec::new();
        assert_eq!(now(rope.read_until(b'\n', &mut line))?, 4);
        assert_eq!((line.as_slice(), rope.len()), (&b"fgh\n"[..], 1));
        Ok(())
    }

    #[test]
    fn a_rope_is_copied_into_a_buffer_of_a_pool() -> io::Result<()> {
        let mut rope = rope(&["one ", "two ", "three"]);
        let mut buf = pool().try_alloc(64)?;
        // The copy may hand the task over between two chunks.
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        assert_eq!(runtime.block_on(copy_buf(&mut rope, &mut buf))?, 13);
        assert_eq!(buf, b"one two three");
        Ok(())
    }

    /// `read_buf` reads into the room of a pooled buffer, behind what it has.
    #[test]
    fn a_pooled_buffer_is_read_into() -> io::Result<()> {
        let mut buf = pool().try_alloc(64)?;
        buf.try_put_slice(b"get ").expect("room");
        let first = buf.as_ptr();
        let mut from = &b"bytes"[..];
        assert_eq!(now(from.read_buf(&mut buf))?, 5);
        assert_eq!(now(from.read_buf(&mut buf))?, 0);
        assert_eq!((&buf[..], buf.as_ptr()), (&b"get bytes"[..], first));
        assert!(buf.is_pooled());
        Ok(())
    }

    #[test]
    fn a_full_buffer_takes_what_fits_and_then_nothing() -> io::Result<()> {
        let mut buf = IoBufMut::with_capacity(6);
        assert_eq!(now(buf.write(b"four"))?, 4);
        assert_eq!(now(buf.write(b"four"))?, 2);
        assert_eq!(now(buf.write(b"four"))?, 0);
        let error = now(buf.write_all(b"x")).expect_err("the buffer is full");
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
        now(buf.flush())?;
        now(buf.shutdown())?;
        assert_eq!(buf, b"fourfo");
        Ok(())
    }

    #[test]
    fn vectored_writes_go_on_behind_each_other() -> io::Result<()> {
        let slices = [&b"ab"[..], b"", b"cde", b"f"].map(IoSlice::new);
        for (capacity, expected) in [(8, &b"abcdef"[..]), (6, b"abcdef"), (4, b"abcd"), (0, b"")] {
            let mut buf = IoBufMut::with_capacity(capacity);
            assert!(buf.is_write_vectored());
            let mut context = Context::from_waker(Waker::noop());
            let written = Pin::new(&mut buf).poll_write_vectored(&mut context, &slices);
            let Poll::Ready(written) = written else {
                panic!("a buffer was waited for");
            };
            assert_eq!((written?, &buf[..]), (expected.len(), expected));
        }
        Ok(())
    }
}
