//! Text on standard error without an allocation, a lock or a buffer of anybody's.

use core::ffi::c_int;
use core::fmt;

use crate::errno;

const BYTES_MAX: usize = 1024;

/// Text in a fixed buffer. What does not fit is left out.
pub(crate) struct Text {
    buffer: [u8; BYTES_MAX],
    len: usize,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self {
            buffer: [0; BYTES_MAX],
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, words: &[u8]) {
        for (to, from) in self.buffer[self.len..].iter_mut().zip(words) {
            *to = *from;
            self.len += 1;
        }
    }

    /// Writes the text as a whole. Nothing follows from a closed standard error.
    pub(crate) fn to_standard_error(&self) {
        errno::kept(|| write_all(libc::STDERR_FILENO, &self.buffer[..self.len]));
    }
}

impl fmt::Write for Text {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        self.push(words.as_bytes());
        Ok(())
    }
}

fn write_all(file: c_int, mut words: &[u8]) {
    while !words.is_empty() {
        // SAFETY: the bytes are valid for reading.
        let written = unsafe { libc::write(file, words.as_ptr().cast(), words.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(written) => words = words.get(written..).unwrap_or_default(),
            Err(_) if errno::get() == libc::EINTR => {}
            Err(_) => return,
        }
    }
}

/// A line, put together as `write!` does it.
macro_rules! line {
    ($($part:tt)+) => {{
        let mut text = crate::output::Text::new();
        // Text never fails: what does not fit is left out.
        let _ = core::fmt::Write::write_fmt(&mut text, format_args!($($part)+));
        text.push(b"\n");
        text.to_standard_error();
    }};
}

pub(crate) use line;
