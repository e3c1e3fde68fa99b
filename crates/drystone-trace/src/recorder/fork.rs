//! What a fork does to a recording: it goes on in the parent, and in the child there is none, or another.
//!
//! The child has the forking thread alone, and the locks of all the others as they were. So it is told at
//! once, before it could come to one of them.

/// Has `before` called in each thread that forks, and `in_child` in each child, from its only thread. Without
/// room for that in the system, a child finds out by the number of its process when it would write.
pub(super) fn at_fork(before: unsafe extern "C" fn(), in_child: unsafe extern "C" fn()) {
    // SAFETY: the functions live as long as the program, and may be called around a fork: they wait for
    // nothing that another thread has.
    let _ = unsafe { libc::pthread_atfork(Some(before), None, Some(in_child)) };
}
