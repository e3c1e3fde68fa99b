//! Running other programs, each printed before it runs.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::failure::Failure;

/// A program with its arguments and environment. Standard input is empty, so that nothing waits
/// for a person.
#[derive(Clone)]
pub(crate) struct Cmd {
    words: Vec<String>,
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
}

/// What a program that ran to its end left behind.
pub(crate) struct Captured {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Cmd {
    pub(crate) fn new(program: &str) -> Self {
        Self {
            words: vec![program.to_owned()],
            env: Vec::new(),
            dir: None,
        }
    }

    /// Cargo of the toolchain in use.
    pub(crate) fn cargo(subcommand: &str) -> Self {
        Self::new("cargo").arg(subcommand)
    }

    /// Cargo of a named toolchain, through rustup.
    pub(crate) fn cargo_of(toolchain: &str, subcommand: &str) -> Self {
        Self::new("cargo")
            .arg(format!("+{toolchain}"))
            .arg(subcommand)
    }

    pub(crate) fn arg(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    pub(crate) fn args<I: IntoIterator<Item: Into<String>>>(mut self, words: I) -> Self {
        self.words.extend(words.into_iter().map(Into::into));
        self
    }

    /// Adds `-p NAME` for every name.
    pub(crate) fn packages<I: IntoIterator<Item: Into<String>>>(mut self, names: I) -> Self {
        for name in names {
            self = self.arg("-p").arg(name);
        }
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn target_dir(self, dir: &Path) -> Self {
        self.env("CARGO_TARGET_DIR", dir.display().to_string())
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// The command as one would type it.
    pub(crate) fn line(&self) -> String {
        let env = self
            .env
            .iter()
            .map(|(key, value)| format!("{key}={}", quoted(value)));
        let words = self.words.iter().map(|word| quoted(word));
        env.chain(words).collect::<Vec<_>>().join(" ")
    }

    /// Prints the command and runs it with this program's output.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        println!("$ {}", self.line());
        let status = self
            .command()
            .status()
            .map_err(|error| self.not_started(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.ended_badly())
        }
    }

    /// Prints the command, runs it, passes its standard output on and returns it.
    pub(crate) fn run_and_read(&self) -> Result<String, Failure> {
        println!("$ {}", self.line());
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| self.not_started(&error))?;
        let mut read = String::new();
        let stdout = child.stdout.take().expect("stdout was piped");
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            read.push_str(&line);
            read.push('\n');
        }
        let status = child.wait().map_err(|error| self.not_started(&error))?;
        if status.success() {
            Ok(read)
        } else {
            Err(self.ended_badly())
        }
    }

    /// Runs the command silently.
    pub(crate) fn capture(&self) -> Result<Captured, Failure> {
        let output = self
            .command()
            .output()
            .map_err(|error| self.not_started(&error))?;
        Ok(Captured {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Whether the command starts and succeeds, silently.
    pub(crate) fn succeeds(&self) -> bool {
        self.capture().is_ok_and(|output| output.success)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command
            .args(self.words[1..].iter().map(OsStr::new))
            .stdin(Stdio::null());
        command.envs(self.env.iter().map(|(key, value)| (key, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command
    }

    fn not_started(&self, error: &std::io::Error) -> Failure {
        Failure::unavailable(format!("`{}` does not start: {error}", self.words[0]))
    }

    fn ended_badly(&self) -> Failure {
        Failure::failed(format!("failed: {}", self.line()))
    }
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '*', '$', '"']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}

/// Runs `jobs` on two workers and prints each one's output when it ends, so that lines of two
/// jobs never mix. Cargo's own lock orders the builds; the runs overlap. Returns how many tests
/// passed.
pub(crate) fn run_in_pairs(jobs: &[Cmd]) -> Result<usize, Failure> {
    let waiting = Mutex::new(jobs.iter());
    let passed = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no worker panics").next();
                    let Some(job) = next else { break };
                    match run_and_print_at_end(job) {
                        Ok(tests) => {
                            passed.fetch_add(tests, Ordering::Relaxed);
                        }
                        Err(failure) => failures.lock().expect("no worker panics").push(failure),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("no worker panics");
    match failures.len() {
        0 => Ok(passed.into_inner()),
        _ => Err(Failure::failed(
            failures
                .iter()
                .map(Failure::to_string)
                .collect::<Vec<_>>()
                .join("\n"),
        )),
    }
}

fn run_and_print_at_end(job: &Cmd) -> Result<usize, Failure> {
    let begun = Instant::now();
    let output = job.capture()?;
    let seconds = begun.elapsed().as_secs();
    let Captured {
        success,
        stdout,
        stderr,
    } = output;
    println!("$ {}\n{stderr}{stdout}took {seconds} s\n", job.line());
    if success {
        Ok(tests_passed(&stdout))
    } else {
        Err(job.ended_badly())
    }
}

/// The sum of the `N passed` figures in the output of test runs.
pub(crate) fn tests_passed(output: &str) -> usize {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|rest| rest.split_once(" passed"))
        .filter_map(|(count, _)| count.parse::<usize>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_command_as_one_would_type_it() {
        let command = Cmd::cargo_of("nightly", "test")
            .packages(["a"])
            .env("RUSTFLAGS", "-A b");
        assert_eq!(command.line(), "RUSTFLAGS='-A b' cargo +nightly test -p a");
    }

    #[test]
    fn sums_the_tests_that_passed() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored\n\
                      test result: FAILED. 9 passed; 1 failed\ntest result: ok. 3 passed; 0 failed";
        assert_eq!(tests_passed(output), 5);
        assert_eq!(tests_passed(""), 0);
    }

    #[test]
    fn a_program_that_is_not_there_is_unavailable() {
        let outcome = Cmd::new("no-such-program-anywhere").run();
        assert!(matches!(outcome, Err(Failure::Unavailable(_))));
    }
}
