//! A thread-local that a shared library reaches without a call.
//!
//! # What
//!
//! In a shared library the compiler reaches a thread-local by a call of the loader
//! (`__tls_get_addr`), which may itself allocate when a thread comes there for the first time. Here
//! the slot is a symbol of the library's own block of thread-locals, and its distance from the thread
//! pointer is read from where the loader has put it: the access model *initial-exec*. The static linker
//! turns that into a constant when the code becomes part of a program.
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
#[cfg(target_arch = "x86_64")]
macro_rules! slot_address {
    ($symbol:literal) => {{
        let slot: *const ThreadHeap;
        // SAFETY: reads two words that stay as they are as long as the thread runs: the distance of
        // the symbol, from the table that the loader has filled, and the thread pointer.
        unsafe {
            core::arch::asm!(
                concat!("mov {slot}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                "add {slot}, qword ptr fs:[0]",
                slot = out(reg) slot,
                options(pure, nomem, nostack),
            );
        }
        slot
    }};
}

#[cfg(target_arch = "aarch64")]
macro_rules! slot_address {
    ($symbol:literal) => {{
        let slot: *const ThreadHeap;
        // SAFETY: reads a word that stays as it is as long as the thread runs, the distance of the
        // symbol from the table that the loader has filled, and the thread pointer.
        unsafe {
            core::arch::asm!(
                concat!("adrp {slot}, :gottprel:", $symbol),
                concat!("ldr {slot}, [{slot}, #:gottprel_lo12:", $symbol, "]"),
                "mrs {pointer}, tpidr_el0",
                "add {slot}, {slot}, {pointer}",
                slot = out(reg) slot,
                pointer = out(reg) _,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        slot
    }};
}

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
            let slot = slot_address!($symbol);
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
