//! Makes chosen calls to the operating system fail, so that a test can walk through every one of
//! them.
//!
//! # What
//!
//! A script is set for the calling thread and holds until its guard is dropped. A call that the
//! script picks is not made; its caller gets the error that the system gives when it has no
//! memory.
//!
//! # Memory picture
//!
//! One script in a thread-local cell without a destructor.
//!
//! # Invariants
//!
//! - I1: a thread has at most one guard, and a script exactly while it has one.
//!
//! # Threads
//!
//! A script sees only the calls of its own thread, so tests can run side by side.
//!
//! # Cost
//!
//! Only with the feature `testing`: a thread-local read before each call to the system.

use core::cell::Cell;
use core::marker::PhantomData;

pub use crate::os::OsCall;

/// Which calls fail.
#[derive(Clone, Copy, Debug)]
enum Pick {
    /// The call of this number, counted from 1.
    Nth(u64),
    /// The call of this number and all later ones.
    From(u64),
    /// Each call with this probability, by a generator that is never 0.
    Percent { percent: u32, generator: u64 },
}

#[derive(Clone, Copy, Debug)]
struct Script {
    pick: Pick,
    only: Option<OsCall>,
    calls: u64,
    faults: u64,
}

std::thread_local! {
    static SCRIPT: Cell<Option<Script>> = const { Cell::new(None) };
}

/// A script for the calls of this thread, ended by dropping it.
///
/// ```
/// use drystone_backing::MmapBacked;
/// use drystone_backing::fault_os::FaultOs;
///
/// let faults = FaultOs::fail_nth(1);
/// assert!(MmapBacked::new(4096).is_err());
/// assert!(MmapBacked::new(4096).is_ok());
/// assert_eq!((faults.calls(), faults.faults()), (2, 1));
/// ```
#[derive(Debug)]
#[must_use = "dropping the guard ends the script"]
pub struct FaultOs {
    not_send: PhantomData<*const ()>,
}

impl FaultOs {
    /// The `n`-th call from now fails, counted from 1.
    ///
    /// # Panics
    ///
    /// If this thread has a script already.
    pub fn fail_nth(n: u64) -> Self {
        Self::start(Pick::Nth(n))
    }

    /// The `n`-th call from now and all later ones fail, counted from 1.
    ///
    /// # Panics
    ///
    /// As [`fail_nth`](FaultOs::fail_nth).
    pub fn fail_from(n: u64) -> Self {
        Self::start(Pick::From(n))
    }

    /// Each call fails with a probability of `percent` per cent. The same `seed` picks the same
    /// calls.
    ///
    /// # Panics
    ///
    /// As [`fail_nth`](FaultOs::fail_nth).
    pub fn fail_at_random(seed: u64, percent: u32) -> Self {
        Self::start(Pick::Percent {
            percent,
            generator: seed | 1 << 63,
        })
    }

    /// Restricts the script to calls of one kind; others are neither counted nor made to fail.
    pub fn only(self, call: OsCall) -> Self {
        update(|script| script.only = Some(call));
        self
    }

    /// How many calls the script has counted.
    #[must_use]
    pub fn calls(&self) -> u64 {
        SCRIPT.get().map_or(0, |script| script.calls)
    }

    /// How many of them it made fail.
    #[must_use]
    pub fn faults(&self) -> u64 {
        SCRIPT.get().map_or(0, |script| script.faults)
    }

    fn start(pick: Pick) -> Self {
        let script = Script {
            pick,
            only: None,
            calls: 0,
            faults: 0,
        };
        assert!(
            SCRIPT.get().is_none(),
            "this thread has a fault script already"
        );
        SCRIPT.set(Some(script));
        Self {
            not_send: PhantomData,
        }
    }
}

impl Drop for FaultOs {
    fn drop(&mut self) {
        SCRIPT.set(None);
    }
}

/// Counts `call` and says whether the script picks it.
pub(crate) fn should_fail(call: OsCall) -> bool {
    update(|script| {
        if script.only.is_some_and(|only| only != call) {
            return false;
        }
        script.calls += 1;
        let picked = match &mut script.pick {
            Pick::Nth(n) => script.calls == *n,
            Pick::From(n) => script.calls >= *n,
            Pick::Percent { percent, generator } => next(generator) % 100 < u64::from(*percent),
        };
        script.faults += u64::from(picked);
        picked
    })
}

/// Changes the script of this thread, if it has one.
fn update<R: Default>(change: impl FnOnce(&mut Script) -> R) -> R {
    SCRIPT.get().map_or_else(R::default, |mut script| {
        let answer = change(&mut script);
        SCRIPT.set(Some(script));
        answer
    })
}

/// The next number of the generator: xorshift64 (Marsaglia 2003).
fn next(generator: &mut u64) -> u64 {
    *generator ^= *generator << 13;
    *generator ^= *generator >> 7;
    *generator ^= *generator << 17;
    // The upper half: the low bits repeat sooner.
    *generator >> 32
}
