//! [`Protocol`]: where the fence between the owner of a cache and its thieves stands.
//!
//! # What
//!
//! Owner and thief each store one word and then load the other's; one of the two must see the
//! other's store. That takes a fence between store and load on both sides, or a compiler fence on
//! the owner's and a barrier on every thread of the process on the thief's. The second form makes
//! the owner's side, which runs at every call, free of fences.
//!
//! # Memory picture
//!
//! Nothing but the answer of the system, asked once for the process.
//!
//! # Invariants
//!
//! - I1: every use in the process has the same protocol.
//!
//! # Threads
//!
//! Any thread may call. The barrier is a system call and waits for the processors to answer.
//!
//! # Cost
//!
//! Light: nothing, or a fence of some twenty cycles. Heavy: a quarter of a microsecond to a few, or
//! the same fence.

use drystone_backing::ProcessBarrier;
use drystone_core::OsError;
use drystone_sync::atomic::{Ordering, compiler_fence, fence};

/// Which side pays for the order of a store and a load.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    /// Both: a sequentially consistent fence on each side.
    Fenced,
    /// The rare side: a barrier on every thread of the process.
    Barrier(ProcessBarrier),
}

impl Protocol {
    /// The protocol of this process, decided by the first call.
    pub(crate) fn of_process() -> Self {
        imp::of_process()
    }

    /// Whether the light side runs without a fence.
    #[inline]
    pub(crate) fn is_asymmetric(self) -> bool {
        matches!(self, Self::Barrier(_))
    }

    /// Stands between the store and the load of the frequent side.
    ///
    /// After a `light` either the loads that follow see the stores before the other side's
    /// [`heavy`](Protocol::heavy), or the loads after that see the stores before this.
    #[inline]
    pub(crate) fn light(self) {
        match self {
            // SeqCst: pairs with the fence in `heavy`; see the module's description.
            Self::Fenced => fence(Ordering::SeqCst),
            Self::Barrier(_) => light_asymmetric(),
        }
    }

    /// Stands between the store and the load of the rare side.
    ///
    /// # Errors
    ///
    /// The system refused its barrier. Nothing is ordered: the caller does as if it had never
    /// begun.
    #[cold]
    pub(crate) fn heavy(self) -> Result<(), OsError> {
        match self {
            // SeqCst: pairs with the fence in `light`.
            Self::Fenced => {
                fence(Ordering::SeqCst);
                Ok(())
            }
            Self::Barrier(barrier) => barrier.issue(),
        }
    }
}

/// [`light`](Protocol::light) where it is known that the protocol is asymmetric: no instruction.
#[inline(always)]
pub(crate) fn light_asymmetric() {
    // SeqCst: keeps the compiler from moving the load before the store; the barrier of the rare
    // side keeps the processor from it.
    compiler_fence(Ordering::SeqCst);
}

/// The checkers know fences, or what stands in for them, and no system calls.
#[cfg(any(loom, miri, drystone_tsan))]
mod imp {
    use super::Protocol;

    pub(super) fn of_process() -> Protocol {
        Protocol::Fenced
    }
}

#[cfg(not(any(loom, miri, drystone_tsan)))]
mod imp {
    use std::sync::OnceLock;

    use drystone_backing::ProcessBarrier;

    use super::Protocol;

    pub(super) fn of_process() -> Protocol {
        static DECIDED: OnceLock<Protocol> = OnceLock::new();
        *DECIDED.get_or_init(|| match ProcessBarrier::register() {
            Ok(barrier) => Protocol::Barrier(barrier),
            // Not a fault: most systems have no such barrier, and the fences serve as well.
            Err(_) => Protocol::Fenced,
        })
    }
}
