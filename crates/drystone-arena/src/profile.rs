//! The process-wide arenas, one for each profile.

use core::cell::Cell;

use crate::core_state::Core;
use crate::source::Source;
use crate::thread::ThreadHeap;

/// No checks but in debug builds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fast;

/// A profile of an arena: which misuse it finds, and at what cost.
pub trait Profile: 'static {
    #[doc(hidden)]
    fn core() -> &'static Core;
    #[doc(hidden)]
    fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R;
    #[doc(hidden)]
    fn register();
}

macro_rules! process_arena {
    ($profile:ty, $module:ident, $header_slices:expr) => {
        mod $module {
            use super::*;

            pub(super) static CORE: Core = Core::new(Source::Os, $header_slices, usize::MAX);

            std::thread_local! {
                pub(super) static THREAD: ThreadHeap = const { ThreadHeap::new() };
                static END: End = const { End(Cell::new(false)) };
            }

            struct End(Cell<bool>);

            impl Drop for End {
                fn drop(&mut self) {
                    THREAD.with(|thread| thread.end(&CORE));
                }
            }

            pub(super) fn register() {
                let _ = END.try_with(|end| end.0.set(true));
            }
        }

        impl Profile for $profile {
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

process_arena!(Fast, fast, 1);
