//! Why a command ended without success.

use std::fmt;
use std::process::ExitCode;

/// The three ways in which a command ends without success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was checked does not hold.
    Failed(String),
    /// Nothing was checked, because a tool cannot be had on this machine.
    Unavailable(String),
    /// The command line makes no sense.
    Usage(String),
}

impl Failure {
    pub(crate) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable(reason.into())
    }

    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    /// 2 for a command line that makes no sense, 1 otherwise.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Failed(_) | Self::Unavailable(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) | Self::Usage(reason) => f.write_str(reason),
            Self::Unavailable(reason) => write!(f, "not run: {reason}"),
        }
    }
}
