//! tokio's [`AsyncRead`], [`AsyncBufRead`] and [`AsyncWrite`] for the views.
//!
//! The bytes are in memory, so every call is ready at once and no waker is kept. What is read comes
//! from the front, what is written goes behind the bytes that are there: the same bytes as with
//! [`io::Read`] and [`io::Write`].

use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, BufRead, IoSlice, Write};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::{IoBuf, IoBufMut, IoBufs};

/// Takes bytes from the front, as from a slice. The buffer stays out of its pool until the view is
/// dropped, also when all bytes are taken.
///
/// ```
/// use drystone_pool::IoBuf;
/// use tokio::io::AsyncReadExt;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let mut message = IoBuf::from_static(b"\x00\x04body");
/// let len = message.read_u16().await?;
/// assert_eq!((len, &message[..]), (4, &b"body"[..]));
/// # std::io::Result::Ok(()) })
/// # .map_err(Into::<Box<dyn std::error::Error>>::into)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl AsyncRead for IoBuf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let count = to.remaining().min(self.len());
        to.put_slice(&self[..count]);
        self.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for IoBuf {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(self.get_mut().fill_buf())
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().advance(count);
    }
}

/// Takes bytes from the front, from as many chunks as it needs. A chunk is dropped as soon as its
/// last byte is taken.
impl AsyncRead for IoBufs {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(front) = self.chunk_at(0).filter(|_| to.remaining() > 0) {
            let count = to.remaining().min(front.len());
            to.put_slice(&front[..count]);
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes at hand are those of the first chunk.
impl AsyncBufRead for IoBufs {
    fn poll_fill_buf(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Poll::Ready(self.get_mut().fill_buf())
    }

    fn consume(self: Pin<&mut Self>, count: usize) {
        self.get_mut().advance(count);
    }
}

/// Puts as many of the bytes behind those that are there as there is room for: none is written of any
/// once the buffer is full, as with a slice.
///
/// ```
/// use drystone_pool::{BufferPool, BufferPoolConfig};
/// use tokio::io::AsyncReadExt;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let pool = BufferPool::new(BufferPoolConfig::for_network())?;
/// let mut source = &b"a long stream of bytes"[..];
/// let mut buf = pool.try_alloc(1024)?;
/// tokio::io::copy(&mut (&mut source).take(6), &mut buf).await?;
/// assert_eq!(buf, b"a long");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl AsyncWrite for IoBufMut {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.get_mut().write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let buf = self.get_mut();
        let before = buf.len();
        for slice in slices {
            if buf.write(slice)? < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(buf.len() - before))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
