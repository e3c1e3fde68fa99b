//! The barrier of Windows.

use drystone_core::OsError;
use windows_sys::Win32::System::Threading::FlushProcessWriteBuffers;

#[expect(clippy::unnecessary_wraps, reason = "the same shape as elsewhere")]
pub(super) fn register() -> Result<(), OsError> {
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the same shape as elsewhere")]
pub(super) fn issue() -> Result<(), OsError> {
    // SAFETY: the call has no requirements, and cannot fail.
    unsafe { FlushProcessWriteBuffers() };
    Ok(())
}
