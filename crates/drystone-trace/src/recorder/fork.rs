//! What a fork does to a recording: it goes on in the parent, and there is none in the child.
//!
//! The child has the forking thread alone, and the locks of all the others as they were. So it is told at
//! once, before it could come to one of them.

/// Has `in_child` called in each child, from its only thread. Without room for that in the system, a child
/// finds out by the number of its process when it would write.
pub(super) fn at_fork(in_child: unsafe extern "C" fn()) {
    // SAFETY: the function lives as long as the program, and may be called in a child: it stores a word.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}
