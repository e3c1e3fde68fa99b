//! Page faults and context switches of this process, as the kernel counts them.

use serde::{Deserialize, Serialize};

/// Counts since the process began, or between two moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resources {
    /// Page faults served without reading from a disk.
    pub(crate) minor_faults: u64,
    /// Page faults that read.
    pub(crate) major_faults: u64,
    /// Times that the processor was taken away.
    pub(crate) involuntary_switches: u64,
}

impl Resources {
    /// Counts until now; all zero where the system does not count.
    #[cfg(unix)]
    pub(crate) fn now() -> Self {
        let mut usage = core::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the pointer is valid for writes of a `rusage`.
        if unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) } != 0 {
            return Self::default();
        }
        // SAFETY: all-zero bytes are a valid `rusage`, and the call above filled it.
        let usage = unsafe { usage.assume_init() };
        let count = |n: libc::c_long| u64::try_from(n).unwrap_or(0);
        Self {
            minor_faults: count(usage.ru_minflt),
            major_faults: count(usage.ru_majflt),
            involuntary_switches: count(usage.ru_nivcsw),
        }
    }

    /// Counts until now; all zero where the system does not count.
    #[cfg(not(unix))]
    pub(crate) fn now() -> Self {
        Self::default()
    }

    /// Counts between `earlier` and this moment.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            minor_faults: self.minor_faults.saturating_sub(earlier.minor_faults),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(earlier.involuntary_switches),
        }
    }
}
