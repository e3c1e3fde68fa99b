//! One run of a script: what it printed, how long it took, how much memory it had.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// What a run left behind.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    /// It was ended, for it took longer than it might.
    pub(crate) is_over_time: bool,
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) wall: Duration,
    /// User and system time of all its processes.
    pub(crate) cpu: Duration,
    /// The largest resident memory of any of its processes.
    pub(crate) peak_kib: u64,
}

/// The longest that a script may take on the system's allocator.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);

/// The longest that a script may take that took so long on the system's allocator. A page for each block
/// makes a program forty times as slow.
pub(crate) fn limit_beside(system: Duration) -> Duration {
    LIMIT + 100 * system
}

/// Runs the script in the folder, for `limit` at most.
pub(crate) fn run(
    script: &str,
    dir: &Path,
    env: &[(&str, &str)],
    limit: Duration,
) -> Result<Run, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", dir.display()));
    let (out, err) = (dir.join(".stdout"), dir.join(".stderr"));
    let mut command = Command::new("timeout");
    command
        .args([&limit.as_secs().to_string(), "sh", "-c", script])
        .current_dir(dir)
        .env("LC_ALL", "C")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(File::create(&out).map_err(failed)?)
        .stderr(File::create(&err).map_err(failed)?);
    let start = Instant::now();
    let child = command.spawn().map_err(failed)?;
    let usage = imp::wait(&child).map_err(failed)?;
    let wall = start.elapsed();
    Ok(Run {
        status: usage.status,
        is_over_time: usage.status != 0 && wall >= limit,
        wall,
        cpu: usage.cpu,
        peak_kib: usage.peak_kib,
        out: std::fs::read(out).map_err(failed)?,
        err: std::fs::read(err).map_err(failed)?,
    })
}

/// What the system says of a process that ended.
struct Usage {
    status: i32,
    cpu: Duration,
    peak_kib: u64,
}

#[cfg(unix)]
mod imp {
    use std::io;
    use std::process::Child;
    use std::time::Duration;

    use super::Usage;

    /// Waits for a process and those that it waited for.
    pub(super) fn wait(child: &Child) -> io::Result<Usage> {
        let mut status = 0;
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        let process = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
        // SAFETY: a child of this process, and valid places.
        let waited = unsafe { libc::wait4(process, &raw mut status, 0, usage.as_mut_ptr()) };
        if waited != process {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: zero bytes are a valid value, and the call above has filled it.
        let usage = unsafe { usage.assume_init() };
        Ok(Usage {
            status,
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            peak_kib: usage.ru_maxrss.unsigned_abs(),
        })
    }

    fn duration(time: libc::timeval) -> Duration {
        let micros = u64::try_from(time.tv_usec).unwrap_or_default();
        Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(micros)
    }
}

#[cfg(not(unix))]
mod imp {
    use std::io;
    use std::process::Child;

    use super::Usage;

    pub(super) fn wait(_: &Child) -> io::Result<Usage> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_takes_too_long_is_ended_and_says_so() {
        let dir = std::env::temp_dir().join(format!("drystone-limit-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a folder");
        let limit = Duration::from_secs(1);
        let over = run("while :; do :; done", &dir, &[], limit).expect("it ran");
        let failed = run("exit 3", &dir, &[], limit).expect("it ran");
        std::fs::remove_dir_all(&dir).expect("the folder is there");
        assert!(over.is_over_time && over.status != 0);
        assert!(!failed.is_over_time && failed.status != 0);
    }
}
