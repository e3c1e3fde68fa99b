//! The process-wide arenas, one for each profile.

use core::cell::Cell;

use drystone_core::{Checked, Fast};

use crate::block_bits::BITS_SLICES;
use crate::config::ArenaConfig;
use crate::core_state::Core;
use crate::source::Source;
use crate::thread::ThreadHeap;

/// A profile of an arena: which misuse it finds, and at what cost.
///
/// [`Fast`] and [`Checked`].
pub trait Profile: Sealed + 'static {
    #[doc(hidden)]
    const CHECKED: bool;
    #[doc(hidden)]
    const HEADER_SLICES: usize = if Self::CHECKED { 1 + BITS_SLICES } else { 1 };
    #[doc(hidden)]
    fn core() -> &'static Core;
    #[doc(hidden)]
    fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R;
    #[doc(hidden)]
    fn register();
}

macro_rules! process_arena {
    ($profile:ty, $module:ident, checked: $checked:expr) => {
        mod $module {
            use super::*;

            pub(super) static CORE: Core = Core::new(
                Source::Os,
                <$profile as Profile>::HEADER_SLICES,
                ArenaConfig::new(),
            );

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

        impl Sealed for $profile {}

        impl Profile for $profile {
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

use sealed::Sealed;

mod sealed {
    pub trait Sealed {}
}
