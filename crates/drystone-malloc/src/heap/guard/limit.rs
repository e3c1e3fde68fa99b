//! How much of what the system has the guarded blocks may take.

use core::mem::MaybeUninit;

use crate::errno;

/// What Linux allows a process unless it is told otherwise.
const MAPPINGS_USUAL: usize = 65_530;

/// How many blocks may be guarded at a time. Each takes two of the mappings that a process may have; a
/// quarter of them is left to the program.
pub(super) fn guarded_blocks() -> usize {
    errno::kept(mappings_max).unwrap_or(MAPPINGS_USUAL) / 8 * 3
}

/// The setting `vm.max_map_count`.
fn mappings_max() -> Option<usize> {
    let path = c"/proc/sys/vm/max_map_count";
    // SAFETY: a path that ends with a zero byte.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return None;
    }
    let mut digits = [0_u8; 20];
    // SAFETY: the buffer has the bytes.
    let read = unsafe { libc::read(file, digits.as_mut_ptr().cast(), digits.len()) };
    // SAFETY: the file is open, and not used afterwards.
    unsafe { libc::close(file) };
    let digits = digits.get(..usize::try_from(read).ok()?)?;
    core::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// The address space that the process may have.
pub(super) fn address_bytes() -> usize {
    let mut limit = MaybeUninit::<libc::rlimit>::zeroed();
    // SAFETY: a valid place for the answer.
    let answer = unsafe { libc::getrlimit(libc::RLIMIT_AS, limit.as_mut_ptr()) };
    // SAFETY: zero bytes are a value of it, and what was written is one.
    let limit = unsafe { limit.assume_init() };
    match usize::try_from(limit.rlim_cur) {
        Ok(bytes) if answer == 0 => bytes,
        _ => usize::MAX,
    }
}
