//! What the environment asks: a recording to the file that `DRYSTONE_TRACE` names.
//!
//! Asked inside the allocator, so nothing here allocates: the variable is read where it lies, and the
//! file is opened by its C name.

use core::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;

const VARIABLE: &CStr = c"DRYSTONE_TRACE";

/// The file to record to, empty; `None` if none is asked for.
pub(super) fn file() -> Option<io::Result<File>> {
    // SAFETY: the name is a C string. Reading the environment while another thread changes it is a
    // breach that only a program that changes it under threads commits.
    let path = unsafe { libc::getenv(VARIABLE.as_ptr()) };
    if path.is_null() {
        return None;
    }
    // SAFETY: a value of the environment is a C string, and stays while nobody changes it.
    let path = unsafe { CStr::from_ptr(path) };
    (!path.is_empty()).then(|| create(path))
}

fn create(path: &CStr) -> io::Result<File> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: the path is a C string; the mode goes with `O_CREAT`.
    let descriptor = unsafe { libc::open(path.as_ptr(), flags, 0o644) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // A program that this one starts inherits the variable, and must leave the file alone.
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(descriptor, libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: the descriptor is open, and not used again.
        unsafe { libc::close(descriptor) };
        return Err(error);
    }
    // SAFETY: the descriptor is open, and nobody else closes it.
    let file = unsafe { File::from_raw_fd(descriptor) };
    file.set_len(0)?;
    Ok(file)
}

/// Has `end` called when the program ends in order. It stays without if the system has no room for it.
pub(super) fn at_exit(end: extern "C" fn()) {
    // SAFETY: the function lives as long as the program.
    let _ = unsafe { libc::atexit(end) };
}
