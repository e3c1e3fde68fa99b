//! [`at_fork`]: what a process does around `fork`.

use drystone_core::OsError;

/// Has `prepare` called before each `fork` of the process, in the thread that forks, and `parent`
/// and `child` after it, each in its process. For taking locks that the child must find free.
///
/// Where processes do not fork, and under Miri, there is nothing to do.
///
/// # Errors
///
/// [`OsError::Call`] if the system has no memory for it.
pub fn at_fork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> Result<(), OsError> {
    cfg_if::cfg_if! {
        if #[cfg(all(unix, not(miri)))] {
            // SAFETY: the functions are of the type that is called, and live as long as the process.
            let code = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
            match code {
                0 => Ok(()),
                code => Err(OsError::Call { call: "pthread_atfork", code }),
            }
        } else {
            let _nothing_to_do = (prepare, parent, child);
            Ok(())
        }
    }
}
