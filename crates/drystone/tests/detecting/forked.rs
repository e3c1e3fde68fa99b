//! A body in a child of a fork: how it ended, and what it said.
//!
//! Faster than a program started anew, by a factor of ten. The child has the calling thread alone, so
//! another thread's lock stays held in it: who forks lets no other thread print or allocate much meanwhile.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The exit code of a child whose body returned.
const SURVIVED: i32 = 86;
/// The exit code of a child whose body panicked.
const PANICKED: i32 = 87;

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// `abort`, after this on standard error.
    Aborted(String),
    /// An access that the processor or the system refused.
    Faulted,
    /// The body returned: nothing was found.
    Survived,
    /// Anything else, as the system tells it, after this on standard error.
    Otherwise(i32, String),
}

fn pipe() -> io::Result<[OwnedFd; 2]> {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptors are new, and nobody else's.
    Ok(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

/// What the child does.
fn child(stderr: &OwnedFd, body: impl FnOnce()) -> ! {
    use std::os::fd::AsRawFd;

    // SAFETY: both descriptors are open.
    unsafe { libc::dup2(stderr.as_raw_fd(), libc::STDERR_FILENO) };
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // Many deaths would leave many files.
    // SAFETY: the limit is a valid value.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    let code = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => SURVIVED,
        Err(_) => PANICKED,
    };
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) };
}

/// Runs `body` in a child.
pub(crate) fn run(body: impl FnOnce()) -> Ending {
    let [reader, writer] = pipe().expect("two descriptors");
    // SAFETY: the child calls the body, which uses allocators of its own over the C library's, which
    // survives a fork, and ends without the parent's exit handlers.
    let process = unsafe { libc::fork() };
    assert!(process >= 0, "{}", io::Error::last_os_error());
    if process == 0 {
        child(&writer, body);
    }
    drop(writer);
    let mut said = String::new();
    let read = File::from(reader).read_to_string(&mut said);
    let mut status = 0;
    // SAFETY: the child is this process's; the pointer is to a live number.
    let waited = unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert_eq!(waited, process);
    read.expect("text");
    let signal = libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status));
    match signal {
        Some(libc::SIGABRT) => Ending::Aborted(said),
        Some(libc::SIGSEGV | libc::SIGBUS) => Ending::Faulted,
        None if libc::WEXITSTATUS(status) == SURVIVED => Ending::Survived,
        _ => Ending::Otherwise(status, said),
    }
}
