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
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) wall: Duration,
    /// User and system time of all its processes.
    pub(crate) cpu: Duration,
    /// The largest resident memory of any of its processes.
    pub(crate) peak_kib: u64,
}

/// The longest that a script may take.
const LIMIT_SECONDS: &str = "300";

/// Runs the script in the folder.
pub(crate) fn run(script: &str, dir: &Path, env: &[(&str, &str)]) -> Result<Run, Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("{}: {error}", dir.display()));
    let (out, err) = (dir.join(".stdout"), dir.join(".stderr"));
    let mut command = Command::new("timeout");
    command
        .args([LIMIT_SECONDS, "sh", "-c", script])
        .current_dir(dir)
        .env("LC_ALL", "C")
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(File::create(&out).map_err(failed)?)
        .stderr(File::create(&err).map_err(failed)?);
    let start = Instant::now();
    let child = command.spawn().map_err(failed)?;
    let usage = imp::wait(&child).map_err(failed)?;
    Ok(Run {
        status: usage.status,
        wall: start.elapsed(),
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
