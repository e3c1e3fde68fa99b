//! No barrier: the system has none that a process can ask for, or is imitated.

use drystone_core::OsError;

pub(super) fn register() -> Result<(), OsError> {
    Err(OsError::Unsupported {
        what: "process-wide memory barrier",
    })
}

pub(super) fn issue() -> Result<(), OsError> {
    register()
}
