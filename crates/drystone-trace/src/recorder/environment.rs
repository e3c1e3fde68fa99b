//! What the environment asks: a recording to the file that `DRYSTONE_TRACE` names.
//!
//! Asked inside the allocator, so nothing here allocates: the variable is read where it lies, and the
//! file is opened by its C name.

use core::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd};

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

/// Descriptors that a recording uses begin here, so that the program's own have the numbers that they have
/// without it.
const DESCRIPTOR_MIN: libc::c_int = 512;

/// Makes a file at `path`, or empties the one that is there.
///
/// # Errors
///
/// The system's, and [`Unsupported`](io::ErrorKind::Unsupported) for what is no regular file.
pub(super) fn create(path: &CStr) -> io::Result<File> {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC;
    // SAFETY: the path is a C string; the mode goes with `O_CREAT`.
    let descriptor = unsafe { libc::open(path.as_ptr(), flags, 0o644) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and nobody else closes it.
    let file = out_of_the_way(unsafe { File::from_raw_fd(descriptor) });
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // A program that this one starts inherits the variable, and must leave the file alone.
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        return Err(io::Error::last_os_error());
    }
    file.set_len(0)?;
    Ok(file)
}

/// The same file with a high descriptor, if the process may have one.
fn out_of_the_way(file: File) -> File {
    // SAFETY: the descriptor is open.
    let high = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, DESCRIPTOR_MIN) };
    if high < 0 {
        return file;
    }
    // SAFETY: the descriptor is open, and nobody else closes it.
    unsafe { File::from_raw_fd(high) }
}

/// Has `end` called when the program ends in order. It stays without if the system has no room for it.
pub(super) fn at_exit(end: extern "C" fn()) {
    // SAFETY: the function lives as long as the program.
    let _ = unsafe { libc::atexit(end) };
}

/// The directory that the process is in; empty if it has no name that fits.
pub(super) fn directory(bytes: &mut [u8]) -> &[u8] {
    // SAFETY: the bytes can be written.
    let found = unsafe { libc::getcwd(bytes.as_mut_ptr().cast(), bytes.len()) };
    if found.is_null() {
        return &[];
    }
    CStr::from_bytes_until_nul(bytes).map_or(&[], CStr::to_bytes)
}
