//! [`Clock`]: what time it is, in a few nanoseconds.
//!
//! The processor's time stamp counter where it runs at one rate whatever the processor does, else the
//! system's monotonic clock, which takes twice as long or more.

use std::time::Instant;

/// A clock that was set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    epoch: Instant,
    pub(super) source: Source,
}

/// Where ticks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nanoseconds of the system's clock since it was set.
    Monotonic,
    /// The time stamp counter.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    Counter,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Monotonic => "monotonic",
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Counter => "tsc",
        }
    }
}

impl Clock {
    /// Sets a clock.
    pub(super) fn set() -> Self {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if counter::is_invariant() {
            return Self {
                epoch: Instant::now(),
                source: Source::Counter,
            };
        }
        Self {
            epoch: Instant::now(),
            source: Source::Monotonic,
        }
    }

    /// Its rate. Where that has to be measured, it takes a millisecond.
    pub(super) fn ticks_per_second(&self) -> u64 {
        match self.source {
            Source::Monotonic => 1_000_000_000,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Source::Counter => counter::rate(),
        }
    }

    #[inline]
    pub(super) fn now(&self) -> u64 {
        match self.source {
            Source::Monotonic => self.epoch.elapsed().as_nanos() as u64,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Source::Counter => counter::read(),
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod counter {
    use core::arch::x86_64::{__cpuid, _rdtsc};
    use std::time::{Duration, Instant};

    /// Long enough that a reading that comes late by 100 ns is wrong by a ten-thousandth.
    const MEASURED: Duration = Duration::from_millis(1);

    #[inline]
    pub(super) fn read() -> u64 {
        // SAFETY: every x86-64 processor has the counter; a process that forbids itself to read it
        // has asked for the fault.
        unsafe { _rdtsc() }
    }

    #[allow(unused_unsafe, reason = "newer compilers have it safe")]
    fn extended(leaf: u32) -> core::arch::x86_64::CpuidResult {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { __cpuid(leaf) }
    }

    /// Whether the counter runs at one rate in every state of the processor, by its own word.
    pub(super) fn is_invariant() -> bool {
        const ADVANCED_POWER: u32 = 0x8000_0007;
        extended(0x8000_0000).eax >= ADVANCED_POWER && extended(ADVANCED_POWER).edx & 1 << 8 != 0
    }

    /// The counter and the clock at one time, as near as a few tries bring them: a thread may be
    /// stopped between the two.
    fn both() -> (u64, Instant) {
        let mut best = (u64::MAX, 0, Instant::now());
        for _ in 0..8 {
            let before = read();
            let clock = Instant::now();
            let took = read().wrapping_sub(before);
            if took < best.0 {
                best = (took, before.wrapping_add(took / 2), clock);
            }
        }
        (best.1, best.2)
    }

    /// Ticks in a second.
    pub(super) fn rate() -> u64 {
        let (ticks_before, before) = both();
        while before.elapsed() < MEASURED {
            core::hint::spin_loop();
        }
        let (ticks_after, after) = both();
        let ticks = u128::from(ticks_after.wrapping_sub(ticks_before));
        let elapsed_ns = after.duration_since(before).as_nanos().max(1);
        ((ticks * 1_000_000_000 / elapsed_ns) as u64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ticks_are_as_long_as_said() {
        let clock = Clock::set();
        let (ticks_before, before) = (clock.now(), Instant::now());
        while before.elapsed() < Duration::from_millis(20) {}
        let (ticks, elapsed) = (clock.now() - ticks_before, before.elapsed());
        let said = ticks as f64 / clock.ticks_per_second() as f64;
        let ratio = said / elapsed.as_secs_f64();
        // A machine that stops the thread between two readings makes them differ.
        assert!((0.5..2.0).contains(&ratio), "{ratio}: {clock:?}");
    }
}
