//! [`RecordError`]: why a recording did not begin, or what became of it.

use core::fmt;
use std::error::Error;
use std::io;

/// Why a recording did not begin, or why it is not whole.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecordError {
    /// There is a recording already, or one begins or ends on another thread.
    Busy,
    /// There is no recording.
    NotRecording,
    /// The file could not be made.
    Create(io::Error),
    /// The file could not be written: the disk is full. It holds what was written before.
    Write {
        /// What the system said.
        error: io::Error,
        /// Operations that are in the file.
        operations: u64,
        /// Operations that are not, up to where the recording ended.
        lost: u64,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("a recording is going on"),
            Self::NotRecording => f.write_str("there is no recording"),
            Self::Create(error) if error.kind() == io::ErrorKind::Unsupported => {
                f.write_str("cannot make the file: it would be no regular file")
            }
            Self::Create(error) => write!(f, "cannot make the file: {error}"),
            Self::Write {
                error,
                operations,
                lost,
            } => write!(
                f,
                "cannot write the file: {error}; {operations} operations are in it, {lost} are lost"
            ),
        }
    }
}

impl Error for RecordError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Create(error) | Self::Write { error, .. } => Some(error),
            Self::Busy | Self::NotRecording => None,
        }
    }
}
