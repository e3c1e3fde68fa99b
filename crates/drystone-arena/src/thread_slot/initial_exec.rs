//! A thread-local that a shared library reaches without a call.
//!
//! # What
//!
//! The slot is a symbol of the library's own block of thread-locals, and is found by its distance from the
//! thread pointer: [`drystone_sync::initial_exec_address!`].
//!
//! # Memory picture
//!
//! ```text
//!  thread pointer ──(distance, fixed when the library is loaded)──> slot: heap | over
//! ```
//!
//! # Threads
//!
//! The end of a thread is a destructor of a key of the system's, which runs after the destructors of
//! thread-locals. In the thread that ends the process none runs: what is freed by functions that the
//! process calls at its exit goes the short way.
//!
//! # Limits
//!
//! A library that is loaded by `dlopen` gets such thread-locals from a reserve that the loader keeps
//! for that; a slot takes 16 bytes of it.

/// Defines the slot and how it is reached.
macro_rules! thread_slot {
    ($symbol:literal) => {
        // What `ThreadHeap::new` is: the heap that stands for none, and not over.
        core::arch::global_asm!(
            concat!(".pushsection .tdata.", $symbol, ",\"awT\",@progbits"),
            ".p2align 3",
            concat!(".globl ", $symbol),
            concat!(".hidden ", $symbol),
            concat!(".type ", $symbol, ", @object"),
            concat!(".size ", $symbol, ", {size}"),
            concat!($symbol, ":"),
            ".8byte {no_heap}",
            ".8byte 0",
            ".popsection",
            size = const size_of::<ThreadHeap>(),
            no_heap = sym crate::heap::NO_HEAP,
        );

        const _: () = assert!(size_of_val(&ThreadHeap::new()) == 16);

        #[inline(always)]
        pub(super) fn with_thread<R>(f: impl FnOnce(&ThreadHeap) -> R) -> R {
            let slot = drystone_sync::initial_exec_address!($symbol).cast::<ThreadHeap>();
            // SAFETY: the slot of the calling thread is there while the thread runs, begins as a
            // `ThreadHeap`, and is changed through its cells only.
            f(unsafe { &*slot })
        }

        /// Has [`end`] called when the calling thread ends.
        fn at_thread_end() {
            static END: drystone_backing::ThreadEnd = drystone_backing::ThreadEnd::new(call_end);

            extern "C" fn call_end() {
                end();
            }

            // Without a key the thread's heap stays with nobody: its memory is not used again, and
            // nothing else goes wrong. There are a thousand keys, and this is among the first.
            let _ = END.ask();
        }
    };
}
