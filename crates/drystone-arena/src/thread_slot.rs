//! `thread_slot!`: where a thread keeps its [`ThreadHeap`](crate::thread::ThreadHeap).
//!
//! A macro, because each process-wide arena has a slot of its own. It defines `with_thread`.

cfg_if::cfg_if! {
    if #[cfg(all(
        feature = "initial-exec",
        target_os = "linux",
        any(all(target_arch = "x86_64", target_pointer_width = "64"), target_arch = "aarch64"),
        not(miri),
    ))] {
        #[macro_use]
        mod initial_exec;
    } else {
        #[macro_use]
        mod local;
    }
}
