//! [`ProcessBarrier`]: a memory barrier on every thread of the process, paid for by the caller
//! alone.

use drystone_core::OsError;

use super::barrier_imp;
use super::call::{OsCall, injected_fault};

/// The right to run a memory barrier on every thread of the process.
///
/// After [`issue`](ProcessBarrier::issue) returned, every other thread of the process has passed a
/// point, between the call and its return, at which all its earlier accesses to memory were
/// complete and none of its later ones had begun. So a protocol in which two threads each need a
/// fence between a store and a load can do without the one on the frequent side: a compiler fence
/// is left there, and the rare side calls this instead of its own.
///
/// Linux 4.14 and later (`membarrier`, private and expedited) and Windows
/// (`FlushProcessWriteBuffers`) have it; a sandbox may refuse it.
///
/// A child made by `fork` keeps the right; where the kernel did not carry the registration over,
/// the first call in the child registers again.
#[derive(Clone, Copy, Debug)]
pub struct ProcessBarrier {
    _registered: (),
}

impl ProcessBarrier {
    /// Registers the process with the system, as often as wanted.
    ///
    /// # Errors
    ///
    /// [`OsError::Unsupported`] where the system has no such barrier, under Miri and under loom;
    /// [`OsError::Call`] if it refuses.
    pub fn register() -> Result<Self, OsError> {
        injected_fault(OsCall::Barrier)?;
        barrier_imp::register()?;
        Ok(Self { _registered: () })
    }

    /// Runs the barrier. A system call that interrupts the processors on which threads of the
    /// process run: from a quarter of a microsecond to a few.
    ///
    /// # Errors
    ///
    /// [`OsError::Call`] if the system refuses although the process is registered, as a sandbox
    /// that was entered meanwhile may make it. Nothing is ordered then.
    pub fn issue(self) -> Result<(), OsError> {
        injected_fault(OsCall::Barrier)?;
        barrier_imp::issue()
    }
}
