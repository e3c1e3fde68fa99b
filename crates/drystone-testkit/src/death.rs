//! Death tests: a body that must end its process, run in a process of its own.
//!
//! [`expect`] starts the current test binary again with the same test named, and an environment
//! variable that says to run the body. The parent sees how the child ended and what it wrote to
//! standard error. Works under any runner that runs tests of a binary by their exact names.
//!
//! Under Miri there are no processes to start: a test that uses this says so with
//! `#[cfg(not(miri))]`.

use std::env;
use std::fmt;
use std::process::{Command, ExitStatus};

/// Names the body that a child runs.
const VARIABLE: &str = "DRYSTONE_DEATH_TEST";

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `abort`: SIGABRT on Unix.
    Abort,
    /// An access to memory that may not be accessed: SIGSEGV (or SIGBUS) on Unix.
    Fault,
    /// An exit with this code.
    Exit(i32),
}

/// What a body must do.
#[derive(Clone, Copy, Debug)]
pub struct Expect<'a> {
    /// How the process ends.
    pub end: End,
    /// A whole line of standard error, up to an address at its end, which is left out: the line
    /// `drystone: double free at 0x7f12` is expected as `drystone: double free`. Empty: nothing is
    /// expected of standard error.
    pub line: &'a str,
}

/// What the child did instead.
#[derive(Debug)]
pub struct Survived {
    what: String,
    stderr: String,
}

impl fmt::Display for Survived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; it wrote:\n{}", self.what, self.stderr)
    }
}

/// Runs `body` in a process of its own, which must end as `expected`.
///
/// `test` is the exact name of the calling test, as the runner lists it: `module::name`.
///
/// # Panics
///
/// If the body ends in another way, or another test has to be named.
#[track_caller]
pub fn expect(test: &str, expected: Expect<'_>, body: impl FnOnce()) {
    if let Err(survived) = try_expect(test, expected, body) {
        panic!("{test}: {survived}");
    }
}

/// As [`expect`], giving back how it was not met.
///
/// # Errors
///
/// [`Survived`] if the body ended in another way.
///
/// # Panics
///
/// If this binary cannot be started again.
pub fn try_expect(test: &str, expected: Expect<'_>, body: impl FnOnce()) -> Result<(), Survived> {
    if env::var(VARIABLE).is_ok_and(|named| named == test) {
        body();
        // Unambiguous, whatever the harness would make of a body that returns.
        std::process::exit(SURVIVED);
    }
    let binary = env::current_exe().expect("the path of this test binary");
    let output = Command::new(binary)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, test)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("this test binary can be started again");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let what = if output.status.code() == Some(SURVIVED) {
        "the body did not die".to_owned()
    } else if !ended(output.status, expected.end) {
        format!(
            "expected {:?}, and it ended with {}",
            expected.end, output.status
        )
    } else if !says(&stderr, expected.line) {
        format!("expected the line {:?}", expected.line)
    } else {
        return Ok(());
    };
    Err(Survived { what, stderr })
}

/// The exit code of a child whose body returned.
const SURVIVED: i32 = 86;

#[cfg(unix)]
fn ended(status: ExitStatus, end: End) -> bool {
    use std::os::unix::process::ExitStatusExt;
    // The numbers of SIGABRT, SIGSEGV and SIGBUS (10 on the BSDs) on every Unix that Rust knows.
    match end {
        End::Abort => status.signal() == Some(6),
        End::Fault => matches!(status.signal(), Some(11 | 7 | 10)),
        End::Exit(code) => status.code() == Some(code),
    }
}

#[cfg(windows)]
fn ended(status: ExitStatus, end: End) -> bool {
    // `abort` fails fast with STATUS_STACK_BUFFER_OVERRUN; an access violation has its own code.
    match end {
        End::Abort => status.code() == Some(0xC000_0409_u32.cast_signed()),
        End::Fault => status.code() == Some(0xC000_0005_u32.cast_signed()),
        End::Exit(code) => status.code() == Some(code),
    }
}

#[cfg(not(any(unix, windows)))]
fn ended(status: ExitStatus, end: End) -> bool {
    match end {
        End::Abort | End::Fault => status.code().is_none(),
        End::Exit(code) => status.code() == Some(code),
    }
}

/// Whether a line of `stderr` is `expected`, but for an address at its end.
fn says(stderr: &str, expected: &str) -> bool {
    let matches = |line: &str| {
        let before_address = line
            .rsplit_once(" at 0x")
            .filter(|(_, hex)| !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        before_address.map_or(line, |(words, _)| words) == expected
    };
    expected.is_empty() || stderr.lines().any(matches)
}
