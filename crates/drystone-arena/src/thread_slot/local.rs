//! A thread-local of the standard library.

macro_rules! thread_slot {
    ($symbol:literal) => {
        std::thread_local! {
            static THREAD: ThreadHeap = const { ThreadHeap::new() };
        }

        #[inline(always)]
        pub(super) fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R {
            THREAD.with(f)
        }

        /// Has [`end`] called when the calling thread ends.
        fn at_thread_end() {
            std::thread_local! {
                static END: End = const { End(core::cell::Cell::new(false)) };
            }

            /// Its destructor runs when the thread ends; that of the slot would make each use of
            /// that ask whether it has run.
            struct End(core::cell::Cell<bool>);

            impl Drop for End {
                fn drop(&mut self) {
                    end();
                }
            }

            let _ = END.try_with(|end| end.0.set(true));
        }
    };
}
