//! [`CriticalSectionLock`]: the lock of programs without an operating system.
//!
//! # What
//!
//! Enters the program's critical section, by the crate `critical-section`: on one core that masks
//! interrupts, on several it takes whatever lock the program's implementation has. What it buys: no
//! compare-and-swap, so it works on every processor; and an interrupt handler may use what it guards, where
//! with a spin lock it would wait for ever for the code that it interrupted. What it costs: while one
//! such lock is held, all others are, and interrupts wait.
//!
//! # Memory picture
//!
//! ```text
//! each lock     all locks together
//! +------+      +-------+---------+
//! | held |      | depth | restore |      what the section gives back when it is left
//! +------+      +-------+---------+
//! ```
//!
//! # Invariants
//!
//! - I1: the fields are touched only inside the critical section.
//! - I2: `depth` locks are held. Where that is not 0, one `acquire` is open, made by the first of them,
//!   and `restore` is what it must be left with. So the section is entered and left in order, in
//!   whatever order the locks are given back.
//! - I3: `held` from the return of a `lock` to the matching `unlock`.
//!
//! # Threads
//!
//! Any thread or handler that the program's critical section excludes. `lock` taken again by its
//! holder waits for ever. A lock that is taken inside `critical_section::with` is given back inside it.
//!
//! # Cost
//!
//! Entering and leaving the section, two instructions each on a processor with one core, and four words
//! read and written.

use core::cell::Cell;

use critical_section::RestoreState;

use crate::RawLock;

/// What the locks that are held have in common.
struct Section {
    depth: Cell<usize>,
    restore: Cell<RestoreState>,
}

// SAFETY: by I1 the cells are touched by one thread or handler at a time, ordered by the section.
unsafe impl Sync for Section {}

static SECTION: Section = Section {
    depth: Cell::new(0),
    restore: Cell::new(RestoreState::invalid()),
};

impl Section {
    /// Enters the section for one more lock.
    #[inline]
    fn enter(&self) {
        // SAFETY: left below if another lock has it open, else by the `leave` of the last lock; a lock
        // stays on its thread.
        let restore = unsafe { critical_section::acquire() };
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        if depth == 0 {
            self.restore.set(restore);
        } else {
            // SAFETY: the state is that of the `acquire` above, with none in between; by I2 this thread
            // is still inside the one that is open.
            unsafe { critical_section::release(restore) };
        }
    }

    /// Leaves the section for one lock.
    ///
    /// # Safety
    ///
    /// This thread entered it once more than it left it.
    #[inline]
    unsafe fn leave(&self) {
        let depth = self.depth.get() - 1;
        self.depth.set(depth);
        if depth == 0 {
            let restore = self.restore.get();
            // SAFETY: by I2 the state is that of the one open `acquire`, which was on this thread.
            unsafe { critical_section::release(restore) };
        }
    }
}

/// The program's critical section, as a lock.
///
/// The program brings the implementation, as for every use of the crate `critical-section`.
///
/// ```
/// # #[cfg(not(loom))] {
/// use drystone_sync::{CriticalSectionLock, RawGuard};
///
/// static LOCK: CriticalSectionLock = CriticalSectionLock::new();
/// drop(RawGuard::lock(&LOCK));
/// # }
/// ```
#[derive(Debug)]
pub struct CriticalSectionLock {
    held: Cell<bool>,
}

// SAFETY: by I1 the cells are touched by one thread or handler at a time, ordered by the section.
unsafe impl Sync for CriticalSectionLock {}

impl CriticalSectionLock {
    /// An unlocked lock.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            held: Cell::new(false),
        }
    }
}

impl Default for CriticalSectionLock {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: exclusion by the critical section against others, and by `held` against the holder itself,
// which the section lets in again; order by the section; `new` is not held, and the cells move with the
// value; leaving the section is the last thing that `unlock` does; nothing unwinds.
unsafe impl RawLock for CriticalSectionLock {
    #[cfg(not(loom))]
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use makes a new lock, which is what it is for"
    )]
    const INIT: Self = Self::new();

    #[cfg(loom)]
    fn new() -> Self {
        Self::new()
    }

    #[inline]
    fn lock(&self) {
        SECTION.enter();
        while self.held.get() {
            // The holder itself: nobody else is let in. It waits for ever, as with every lock.
            crate::hint::spin_loop();
        }
        self.held.set(true);
    }

    #[inline]
    unsafe fn unlock(&self) {
        debug_assert!(self.held.get(), "not locked");
        self.held.set(false);
        // SAFETY: the caller's `lock` entered.
        unsafe { SECTION.leave() };
    }
}

// SAFETY: it waits for the critical section, in which nobody allocates but through such locks.
unsafe impl drystone_core::NoHeap for CriticalSectionLock {}
