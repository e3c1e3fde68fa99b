//! A file for the children of this process: anonymous where the system has such files.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file that exists as long as this value, and the path by which a child opens it.
pub(crate) struct SharedFile {
    /// Held open: an anonymous file lives as long as it is.
    _file: File,
    path: PathBuf,
    named: bool,
}

impl SharedFile {
    /// A file of these contents.
    pub(crate) fn new(contents: &[u8]) -> io::Result<Self> {
        let (mut file, path, named) = imp::create()?;
        file.write_all(contents)?;
        Ok(Self {
            _file: file,
            path,
            named,
        })
    }

    /// Where a child of this process finds it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SharedFile {
    fn drop(&mut self) {
        if self.named {
            // A leftover in the directory of temporary files harms nobody.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use super::{File, PathBuf, io};
    use std::os::fd::{AsRawFd, FromRawFd};

    /// A memory file; without close-on-exec, so that children inherit the descriptor.
    pub(super) fn create() -> io::Result<(File, PathBuf, bool)> {
        // SAFETY: the name is a C string; no other requirement.
        let fd = unsafe { libc::memfd_create(c"drystone-program".as_ptr(), 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is open, fresh and owned by nobody else.
        let file = unsafe { File::from_raw_fd(fd) };
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok((file, path, false))
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::{File, PathBuf, io};
    use std::sync::atomic::{AtomicU32, Ordering};

    static COUNT: AtomicU32 = AtomicU32::new(0);

    pub(super) fn create() -> io::Result<(File, PathBuf, bool)> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("drystone-{}-{number}.program", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok((file, path, true))
    }
}
