//! Linux: `statx`.

use core::mem::MaybeUninit;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The alignment of memory and of offsets, 0 where the file has no direct I/O; `None` if the kernel
/// does not say.
pub(super) fn ask(file: &File) -> io::Result<Option<(usize, usize)>> {
    let mut answer = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the descriptor is open, the path is an empty string, which the flag says to take as the
    // descriptor itself, and the answer has room for a `statx`.
    let status = unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            libc::STATX_DIOALIGN,
            answer.as_mut_ptr(),
        )
    };
    if status != 0 {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            // An old kernel, or a filter that does not let the call through.
            Some(libc::ENOSYS | libc::EPERM | libc::EINVAL) => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: numbers only, which were zero before the call filled them in.
    let answer = unsafe { answer.assume_init() };
    if answer.stx_mask & libc::STATX_DIOALIGN == 0 {
        return Ok(None);
    }
    let bytes = |bytes: u32| usize::try_from(bytes).unwrap_or(0);
    Ok(Some((
        bytes(answer.stx_dio_mem_align),
        bytes(answer.stx_dio_offset_align),
    )))
}
