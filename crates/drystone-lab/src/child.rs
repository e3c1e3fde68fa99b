//! One contestant, one program, one kind of pass, in a process of its own.
//!
//! # What
//! The parent starts its own executable again with a [`Job`] as its only argument; the child
//! answers with one JSON [`Answer`] on its standard output. A child that ends otherwise is an
//! [`End`], a result like any other.
//!
//! # Threads
//! The parent reads both pipes on threads of their own and waits for the end of output with a
//! limit; nobody polls.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::job::{Answer, Job};

/// First argument of a child; the second is the job.
pub(crate) const CHILD_COMMAND: &str = "replay-child";

/// Why a child gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum End {
    /// Ended by a signal.
    Crashed { signal: i32, detail: String },
    /// Ended by itself without an answer.
    Exited { code: i32, detail: String },
    /// Ended by the operating system, as it does when memory runs out.
    Killed { detail: String },
    /// Took longer than it may.
    TimedOut { limit_s: u64 },
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Crashed { signal, detail } => {
                write!(f, "crashed: {}{}", signal_name(*signal), with(detail))
            }
            Self::Exited { code, detail } => write!(f, "ended with code {code}{}", with(detail)),
            Self::Killed { detail } => {
                write!(
                    f,
                    "killed by the system, out of memory as a rule{}",
                    with(detail)
                )
            }
            Self::TimedOut { limit_s } => write!(f, "no end within {limit_s} s"),
        }
    }
}

fn with(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(" ({detail})")
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        8 => "SIGFPE",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return format!("signal {signal}"),
    };
    format!("{name} (signal {signal})")
}

/// Runs `job` in a child; `Err` in the outer result only if no child could be started.
pub(crate) fn run(job: &Job, limit: Duration) -> Result<Result<Answer, End>, Failure> {
    let executable: PathBuf = std::env::current_exe()
        .map_err(|e| Failure::io("drystone", "cannot find its own executable", &e))?;
    let text =
        serde_json::to_string(job).map_err(|_| Failure::internal("a job has no text form"))?;
    let mut child = Command::new(executable)
        .args([CHILD_COMMAND, &text])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| Failure::io("drystone", "cannot start a child process", &e))?;
    let output = child.stdout.take().map(|pipe| read_all(pipe, usize::MAX));
    let complaints = child.stderr.take().map(|pipe| read_all(pipe, 4096));
    let (Some(output), Some(complaints)) = (output, complaints) else {
        return Err(Failure::internal("a child has no pipes"));
    };
    let deadline = Instant::now() + limit;
    match output.recv_timeout(limit) {
        Ok(bytes) => {
            // A child whose output has ended may still hang in its exit handlers.
            let late = complaints.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            if late == Err(RecvTimeoutError::Timeout) {
                return Ok(Err(stop(&mut child, limit)));
            }
            let status = child
                .wait()
                .map_err(|e| Failure::io("drystone", "cannot wait for a child process", &e))?;
            Ok(judge(status, &bytes, &late.unwrap_or_default()))
        }
        Err(_) => Ok(Err(stop(&mut child, limit))),
    }
}

fn stop(child: &mut Child, limit: Duration) -> End {
    // Either call fails only if the child is gone already.
    let _ = child.kill();
    let _ = child.wait();
    End::TimedOut {
        limit_s: limit.as_secs(),
    }
}

/// Sends what a pipe yielded when it ends; keeps the first `limit` bytes.
fn read_all(mut pipe: impl Read + Send + 'static, limit: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut chunk = [0u8; 8192];
        while let Ok(length @ 1..) = pipe.read(&mut chunk) {
            let room = limit - kept.len().min(limit);
            kept.extend_from_slice(&chunk[..length.min(room)]);
        }
        // The receiver is gone if the child was stopped for its time.
        let _ = sender.send(kept);
    });
    receiver
}

fn judge(status: ExitStatus, output: &[u8], complaints: &[u8]) -> Result<Answer, End> {
    if status.success()
        && let Ok(answer) = serde_json::from_slice(output)
    {
        return Ok(answer);
    }
    let complaints = String::from_utf8_lossy(complaints);
    let detail = complaints
        .lines()
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    Err(match signal_of(status) {
        Some(9) => End::Killed { detail },
        Some(signal) => End::Crashed { signal, detail },
        None => End::Exited {
            code: status.code().unwrap_or(-1),
            detail,
        },
    })
}

#[cfg(unix)]
fn signal_of(status: ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: ExitStatus) -> Option<i32> {
    None
}

/// The child's side: writes its answer.
pub(crate) fn reply(answer: &Answer) -> std::io::Result<()> {
    let text = serde_json::to_vec(answer)?;
    let mut output = std::io::stdout().lock();
    output.write_all(&text)?;
    output.flush()
}
