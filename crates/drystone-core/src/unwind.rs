//! [`abort_on_unwind`]: keeps the panics of user code out of allocators.

/// Runs `f`, and ends the process if it panics.
///
/// An allocator that asks a safe trait (a policy, a protection) runs it in here: allocators do not
/// unwind, and no caller of theirs is prepared for it. The panic's own message comes first, then
/// one that says that it could not leave the allocator.
///
/// ```
/// assert_eq!(drystone_core::abort_on_unwind(|| 6 * 7), 42);
/// ```
#[inline]
pub fn abort_on_unwind<R>(f: impl FnOnce() -> R) -> R {
    // A panic that would leave an `extern "C"` function aborts. The function is called from Rust
    // only, so that its types have no C form does not matter.
    #[allow(improper_ctypes_definitions, reason = "called from Rust only")]
    #[inline]
    extern "C" fn run<R, F: FnOnce() -> R>(f: F) -> R {
        f()
    }
    run(f)
}
