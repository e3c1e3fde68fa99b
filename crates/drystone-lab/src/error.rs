//! What can go wrong, as one line and a hint, and the exit code that goes with it.

use std::fmt;
use std::process::ExitCode;

use drystone_trace::{TraceError, TraceErrorKind};

use crate::text::printable;

/// The reason of an exit code other than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A gate found a regression, or a verification failed.
    Gate,
    /// The command line makes no sense.
    Usage,
    /// Opened, but not valid.
    Invalid,
    /// Cannot be opened, read or written, or the system refused.
    Unreadable,
    /// A target under test crashed, hung or ran out of memory.
    Target,
}

impl Reason {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Gate => 1,
            Self::Usage => 2,
            Self::Invalid => 3,
            Self::Unreadable => 4,
            Self::Target => 5,
        }
    }
}

/// A failure of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Failure {
    pub(crate) fn new(reason: Reason, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason,
            // One line whatever a file name holds.
            message: printable(&message.into()),
            hint: printable(&hint.into()),
        }
    }

    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Reason::Usage, message, hint)
    }

    /// A file or a system call that failed.
    pub(crate) fn io(what: &str, doing: &str, error: &std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check the permissions",
            std::io::ErrorKind::IsADirectory => "give a file, not a directory",
            _ => "see the reason above; it is the operating system's",
        };
        Self::new(
            Reason::Unreadable,
            format!("{what}: {doing}: {error}"),
            hint,
        )
    }

    /// A valid trace that is beyond what can be replayed.
    pub(crate) fn limit(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, message, hint)
    }

    /// Memory for something of this machine's own was refused.
    pub(crate) fn out_of_memory(what: impl Into<String>) -> Self {
        Self::new(
            Reason::Unreadable,
            what,
            "the system refused the memory; give it more, or cut the trace",
        )
    }

    /// A contradiction between two parts of this program.
    pub(crate) fn internal(message: &str) -> Self {
        Self::new(
            Reason::Unreadable,
            message,
            "this is a defect of drystone; please report it",
        )
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.reason.code())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhint: {}", self.message, self.hint)
    }
}

impl From<TraceError> for Failure {
    fn from(error: TraceError) -> Self {
        let (reason, hint) = match error.kind() {
            TraceErrorKind::Invalid => (
                Reason::Invalid,
                "the file is damaged or of another form; record it again or fetch it again",
            ),
            TraceErrorKind::Unreadable => {
                (Reason::Unreadable, "check the path and the permissions")
            }
        };
        Self::new(reason, error.to_string(), hint)
    }
}
