//! What looks at a replay while it runs: nothing, a clock, the memory map, or a verifier.
//!
//! # What
//! The replay loop is generic over [`Watch`]; each watcher is its own compiled loop, so a timed
//! pass carries no trace of the others.
//!
//! # Threads
//! Every thread of a replay has a watcher of its own; what they share is behind a reference.

pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod verify;

use core::alloc::Layout;

use crate::program::Step;

/// A wrong byte, and the record at which it was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Fault {
    pub(crate) record: u32,
    pub(crate) what: String,
}

/// Hooks around the calls of one thread. Every default does nothing.
pub(crate) trait Watch: Send {
    /// Whether blocks are touched as the options say. A watcher that writes them itself says no.
    const TOUCHES: bool = true;

    /// Before the target is called.
    #[inline]
    fn before(&mut self) {}

    /// After the target was called.
    #[inline]
    fn after(&mut self) {}

    /// A block was handed out. It has not been touched.
    ///
    /// # Safety
    /// `block` is live, of `layout`, and this thread's alone.
    #[inline]
    unsafe fn allocated(
        &mut self,
        _step: &Step,
        _block: *mut u8,
        _layout: Layout,
        _zeroed: bool,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// A block is about to be freed, or resized.
    ///
    /// # Safety
    /// As for [`allocated`](Self::allocated).
    #[inline]
    unsafe fn leaving(
        &mut self,
        _step: &Step,
        _block: *mut u8,
        _layout: Layout,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// A block was resized, from `old` to `layout`; the start of its contents moved with it.
    ///
    /// # Safety
    /// As for [`allocated`](Self::allocated).
    #[inline]
    unsafe fn resized(
        &mut self,
        _step: &Step,
        _block: *mut u8,
        _old: Layout,
        _layout: Layout,
    ) -> Result<(), Fault> {
        Ok(())
    }

    /// The step is over; its object is `live_delta_bytes` larger.
    #[inline]
    fn finished(&mut self, _step: &Step, _live_delta_bytes: i64) {}

    /// The step asked for a block and was refused.
    #[inline]
    fn refused(&mut self, _step: &Step) {}
}

/// Looks at nothing: for throughput.
#[derive(Debug, Default, Clone)]
pub(crate) struct Plain;

impl Watch for Plain {}
