//! A clock in milliseconds, for decisions that may be late.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Milliseconds since the first call in this process.
pub(crate) fn now_millis() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    millis(START.get_or_init(Instant::now).elapsed())
}

/// A duration in milliseconds, rounded down; `u64::MAX` for any that is longer.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
