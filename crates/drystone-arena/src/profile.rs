//! The profiles, and the process-wide arena of each.

use core::cell::Cell;

use drystone_backing::at_fork;
use drystone_core::{Checked, Fast};
use drystone_sync::atomic::{AtomicBool, Ordering};

use crate::block_bits::BITS_SLICES;
use crate::config::ArenaConfig;
use crate::core_state::Core;
use crate::source::Source;
use crate::thread::ThreadHeap;

/// A profile of an arena: which misuse it finds, and at what cost.
///
/// [`Fast`] and [`Checked`].
pub trait Profile: parts::Parts + 'static {}

pub(crate) mod parts {
    use super::{BITS_SLICES, Core, ThreadHeap};

    /// What a profile is inside.
    pub trait Parts {
        /// Blocks have state bits.
        const CHECKED: bool;
        /// Slices at the start of a segment that are not for blocks.
        const HEADER_SLICES: usize = if Self::CHECKED { 1 + BITS_SLICES } else { 1 };

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
    ($profile:ty, $module:ident, checked: $checked:expr) => {
        mod $module {
            use super::*;

            pub(super) static CORE: Core = Core::new(
                Source::Os,
                <$profile as parts::Parts>::HEADER_SLICES,
                ArenaConfig::new(),
            );

            std::thread_local! {
                pub(super) static THREAD: ThreadHeap = const { ThreadHeap::new() };
                static END: End = const { End(Cell::new(false)) };
            }

            /// Its destructor runs when the thread ends; that of `THREAD` would make each use of
            /// that ask whether it has run.
            struct End(Cell<bool>);

            impl Drop for End {
                fn drop(&mut self) {
                    THREAD.with(|thread| thread.end(&CORE));
                }
            }

            pub(super) fn register() {
                static AT_FORK: AtomicBool = AtomicBool::new(false);
                if !AT_FORK.swap(true, Ordering::Relaxed) {
                    // Without memory for it, a child of a process with threads may wait for ever
                    // for a thread that it does not have; the next heap asks again.
                    let refused = at_fork(before_fork, after_fork, after_fork).is_err();
                    AT_FORK.store(!refused, Ordering::Relaxed);
                }
                let _ = END.try_with(|end| end.0.set(true));
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
            const CHECKED: bool = $checked;

            #[inline(always)]
            fn core() -> &'static Core {
                &$module::CORE
            }

            #[inline(always)]
            fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R {
                $module::THREAD.with(f)
            }

            fn register() {
                $module::register();
            }
        }
    };
}

process_arena!(Fast, fast, checked: false);
process_arena!(Checked, checked, checked: true);
