//! The profiles, and the process-wide arena of each.

use drystone_backing::at_fork;
use drystone_core::{Checked, Fast, Hardened};
use drystone_sync::atomic::{AtomicBool, Ordering};

use crate::config::ArenaConfig;
use crate::core_state::Core;
use crate::level::Level;
use crate::source::Source;
use crate::thread::ThreadHeap;

/// A profile of an arena: which misuse it finds, and at what cost.
///
/// [`Fast`], [`Checked`] and [`Hardened`].
pub trait Profile: parts::Parts + 'static {}

pub(crate) mod parts {
    use super::{Core, Level, ThreadHeap};

    /// What a profile is inside.
    pub trait Parts {
        const LEVEL: Level;
        /// Blocks have state bits.
        const CHECKED: bool = Self::LEVEL.is_checked();
        /// Free blocks are filled, and guards follow runs.
        const HARDENED: bool = Self::LEVEL.is_hardened();

        /// The process-wide arena.
        fn core() -> &'static Core;

        /// What the calling thread has of it.
        fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R;

        /// Makes sure that the thread's part is given up when the thread ends, and that the core
        /// is whole in a child process.
        fn register();
    }
}

macro_rules! process_arena {
    ($profile:ty, $module:ident, $symbol:literal, $level:expr) => {
        mod $module {
            use super::*;

            pub(super) static CORE: Core = Core::new(Source::Os, $level, ArenaConfig::new());

            thread_slot!($symbol);

            fn end() {
                with_thread(|thread| thread.end(&CORE));
            }

            pub(super) fn register() {
                static AT_FORK: AtomicBool = AtomicBool::new(false);
                if !AT_FORK.swap(true, Ordering::Relaxed) {
                    // Without memory for it, a child of a process with threads may wait for ever
                    // for a thread that it does not have; the next heap asks again.
                    let refused = at_fork(before_fork, after_fork, after_fork).is_err();
                    AT_FORK.store(!refused, Ordering::Relaxed);
                }
                at_thread_end();
            }

            extern "C" fn before_fork() {
                CORE.lock_for_fork();
            }

            extern "C" fn after_fork() {
                // SAFETY: the system calls the two in turn.
                unsafe { CORE.unlock_after_fork() };
            }
        }

        impl Profile for $profile {}

        impl parts::Parts for $profile {
            const LEVEL: Level = $level;

            #[inline(always)]
            fn core() -> &'static Core {
                &$module::CORE
            }

            #[inline(always)]
            fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R {
                $module::with_thread(f)
            }

            fn register() {
                $module::register();
            }
        }
    };
}

process_arena!(Fast, fast, "drystone_arena_thread_fast", Level::Fast);
process_arena!(
    Checked,
    checked,
    "drystone_arena_thread_checked",
    Level::Checked
);
process_arena!(
    Hardened,
    hardened,
    "drystone_arena_thread_hardened",
    Level::Hardened
);
