//! The barrier of Linux and Android: `membarrier`, private and expedited.

use drystone_core::OsError;

use super::unix::checked;

const CALL: &str = "membarrier";

pub(super) fn register() -> Result<(), OsError> {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

pub(super) fn issue() -> Result<(), OsError> {
    match membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) {
        // Not registered: a child whose kernel forgot at the fork. Linux copies the registration.
        Err(error) if error.code() == Some(libc::EPERM) => {
            register()?;
            membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
        }
        answered => answered,
    }
}

fn membarrier(command: libc::c_int) -> Result<(), OsError> {
    const NO_FLAGS: libc::c_uint = 0;
    const NO_CPU: libc::c_int = 0;
    // SAFETY: the call takes numbers, and touches no memory of the process.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, command, NO_FLAGS, NO_CPU) };
    checked(CALL, if answer == 0 { 0 } else { -1 })
}
