//! [`fmt::Write`] and [`io::Write`] for buffers: formatted text goes straight into a slot.

use core::fmt;
use std::io;

use crate::IoBufMut;

/// Puts the text behind the bytes. A piece that does not fit is an error, and not written.
///
/// ```
/// use core::fmt::Write;
/// use drystone_pool::IoBufMut;
///
/// let mut head = IoBufMut::with_capacity(20);
/// write!(head, "HTTP/1.1 {} OK\r\n", 200)?;
/// assert_eq!(head, b"HTTP/1.1 200 OK\r\n");
/// assert!(write!(head, "too much text").is_err());
/// # Ok::<(), core::fmt::Error>(())
/// ```
impl fmt::Write for IoBufMut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.try_put_slice(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Puts as many of the bytes behind those that are there as there is room for: none is written of any
/// once the buffer is full, as with a slice.
impl io::Write for IoBufMut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.capacity() - self.len());
        self.try_put_slice(&bytes[..count])?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
