//! [`Output`]: the file that a recording goes to.

use std::fs::File;
use std::io::{self, Write};

use crate::dst::Footer;

/// An open recording.
pub(super) struct Output {
    file: Option<File>,
    chunks: u64,
    operations: u64,
    /// The length of the file as far as it is whole.
    bytes: u64,
    error: Option<io::Error>,
}

/// What a recording holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Operations in the file. A reallocation counts as two.
    pub operations: u64,
    /// The length of the file.
    pub bytes: u64,
}

impl Output {
    pub(super) const fn closed() -> Self {
        Self {
            file: None,
            chunks: 0,
            operations: 0,
            bytes: 0,
            error: None,
        }
    }

    /// Starts a recording with `header` in `file`, which is empty.
    pub(super) fn open(file: File, header: &[u8]) -> io::Result<Self> {
        let mut output = Self::closed();
        output.file = Some(file);
        output.write(header)?;
        Ok(output)
    }

    pub(super) fn recorded(&self) -> Recorded {
        Recorded {
            operations: self.operations,
            bytes: self.bytes,
        }
    }

    /// Whether there was a file to write to.
    pub(super) fn was_open(&self) -> bool {
        self.bytes > 0
    }

    /// What ended the recording before its time. Told once.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// Appends a chunk. `false` if that failed, which ends the recording: the file is cut back to what
    /// is whole in it, and the error kept for who asks.
    pub(super) fn chunk(&mut self, operations: u32, chunk: &[u8]) -> bool {
        match self.write(chunk) {
            Ok(()) => {
                self.chunks += 1;
                self.operations += u64::from(operations);
                true
            }
            Err(error) => {
                self.error = Some(error);
                self.file = None;
                false
            }
        }
    }

    /// Writes the end and closes the file.
    pub(super) fn close(&mut self) -> io::Result<()> {
        let footer = Footer {
            chunks: self.chunks,
            operations: self.operations,
        };
        let written = self.write(&footer.to_bytes());
        self.file = None;
        written
    }

    /// Keeps the error of a file that could not be opened, for who asks.
    #[cfg(all(unix, not(miri)))]
    pub(super) fn fail(&mut self, error: io::Error) {
        self.error = Some(error);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        if let Err(error) = file.write_all(bytes) {
            // A part of the chunk may be there. A reader would take it for a file that was cut off,
            // so nothing is lost if this fails too.
            let _ = file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
