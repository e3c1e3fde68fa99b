//! [`AbortOnMisuse`]: the policy that ends the process.

use crate::{Misuse, MisusePolicy};

/// Ends the process at the first misuse, after one line that names it:
/// `drystone: double free at 0x7f0c2a3b4010`.
///
/// With the feature `std` the line goes to standard error, put together in a fixed buffer: no
/// allocation and no formatting, so it works with a damaged heap. Without it the line is a panic
/// inside [`abort_on_unwind`](crate::abort_on_unwind): the panic handler sees it, and if that
/// returns by unwinding the process ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AbortOnMisuse;

impl MisusePolicy for AbortOnMisuse {
    #[cold]
    fn on_misuse(&self, misuse: Misuse, address: usize) {
        imp::abort(misuse, address);
    }
}

/// Ends the process after one line, `drystone: ` and `what`, as [`AbortOnMisuse`] does: for what the
/// workspace's own allocators cannot go on after. What is behind the 85th byte is left out.
#[doc(hidden)]
#[cold]
pub fn abort_after(what: &'static str) -> ! {
    imp::abort_after(what)
}

#[cfg(feature = "std")]
mod imp {
    use std::io::{self, Write};
    use std::process;

    use crate::Misuse;

    pub(super) fn abort(misuse: Misuse, address: usize) -> ! {
        let mut line = Line::new();
        line.push(b"drystone: ");
        line.push(misuse.name().as_bytes());
        line.push(b" at 0x");
        line.push_hex(address);
        line.end();
    }

    pub(super) fn abort_after(what: &'static str) -> ! {
        let mut line = Line::new();
        line.push(b"drystone: ");
        line.push(&what.as_bytes()[..what.len().min(85)]);
        line.end();
    }

    /// One line of text in a fixed buffer. What does not fit is left out.
    struct Line {
        buffer: [u8; 96],
        len: usize,
    }

    impl Line {
        const fn new() -> Self {
            Self {
                buffer: [0; 96],
                len: 0,
            }
        }

        fn push(&mut self, words: &[u8]) {
            for (to, from) in self.buffer[self.len..].iter_mut().zip(words) {
                *to = *from;
                self.len += 1;
            }
        }

        /// Hexadecimal digits without leading zeros.
        fn push_hex(&mut self, value: usize) {
            let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
            for digit in (0..digits).rev() {
                self.push(&[b"0123456789abcdef"[(value >> (digit * 4)) & 15]]);
            }
        }

        /// Ends the process after this line.
        fn end(mut self) -> ! {
            self.push(b"\n");
            // A closed standard error changes nothing about what follows.
            let _ = io::stderr().write_all(self.bytes());
            process::abort();
        }

        fn bytes(&self) -> &[u8] {
            &self.buffer[..self.len]
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::format;

        #[test]
        fn a_line_is_what_formatting_would_give() {
            for value in [0, 1, 15, 16, 0xDEAD_BEEF, usize::MAX] {
                let mut line = Line::new();
                line.push(b"at 0x");
                line.push_hex(value);
                assert_eq!(line.bytes(), format!("at {value:#x}").as_bytes());
            }
        }

        #[test]
        fn a_line_ends_at_its_buffer() {
            let mut line = Line::new();
            for _ in 0..20 {
                line.push(b"0123456789");
            }
            assert_eq!(line.bytes().len(), 96);
        }
    }
}

#[cfg(not(feature = "std"))]
mod imp {
    use crate::{Misuse, abort_on_unwind};

    pub(super) fn abort(misuse: Misuse, address: usize) -> ! {
        abort_on_unwind(|| panic!("drystone: {misuse} at {address:#x}"))
    }

    pub(super) fn abort_after(what: &'static str) -> ! {
        abort_on_unwind(|| panic!("drystone: {what}"))
    }
}
