//! [`OsCall`]: the kinds of call, and the place where a test makes one fail.

use drystone_core::OsError;

/// A kind of call to the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    expect(unreachable_pub, reason = "public with the feature `testing`")
)]
pub enum OsCall {
    /// Mapping pages.
    Map,
    /// Giving pages their memory at once.
    Populate,
    /// Changing who may touch pages.
    Protect,
    /// Giving memory back.
    Release,
    /// Moving pages from one mapping to another.
    Move,
    /// Saying how pages will be used.
    Advise,
    /// Binding pages to a NUMA node.
    BindNode,
    /// Keeping pages in memory.
    Lock,
    /// Registering for the process-wide barrier, or running it.
    Barrier,
}

/// The error that a test has asked for instead of this call, if any.
#[cfg(feature = "testing")]
pub(super) fn injected_fault(call: OsCall) -> Result<(), OsError> {
    if crate::fault_os::should_fail(call) {
        Err(OsError::Call {
            call: "injected fault",
            code: super::imp::OUT_OF_MEMORY,
        })
    } else {
        Ok(())
    }
}

/// Without the feature `testing` no call is made to fail.
#[cfg(not(feature = "testing"))]
#[inline]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same shape as with the feature `testing`"
)]
pub(super) fn injected_fault(_: OsCall) -> Result<(), OsError> {
    Ok(())
}
