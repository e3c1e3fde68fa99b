//! How the program is started, and what is waited for.

use std::ffi::OsString;
use std::path::Path;

use crate::cli::RecordArgs;
use crate::error::Failure;

/// The word by which this program starts itself to become the one that is recorded.
pub(crate) const LAUNCH_COMMAND: &str = "record-launch";

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
        use std::process::{Command, Stdio};

        /// Runs the program to its end. Its exit code, or 128 and the number of a signal.
        pub(super) fn wait(
            library: &Path,
            output: &Path,
            args: &RecordArgs,
        ) -> Result<i32, Failure> {
            let this = std::env::current_exe()
                .map_err(|error| Failure::io("this program", "cannot find it", &error))?;
            let output = std::path::absolute(output)
                .map_err(|error| Failure::io("the output", "cannot find it", &error))?;
            let mut command = Command::new(this);
            command.arg(LAUNCH_COMMAND).arg(library).arg(output);
            command.arg(if args.follow { "follow" } else { "alone" });
            command.args(&args.command);
            if args.json {
                command.stdout(std::io::stderr());
            }
            command.stdin(Stdio::inherit());
            let mut child = command
                .spawn()
                .map_err(|error| Failure::io("the program", "cannot start it", &error))?;
            // What the keyboard sends goes to the program as well, which decides.
            // SAFETY: no handler of this process is replaced.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
            // SAFETY: as above.
            unsafe { libc::signal(libc::SIGQUIT, libc::SIG_IGN) };
            let status = child
                .wait()
                .map_err(|error| Failure::io("the program", "cannot wait for it", &error))?;
            let signalled = || 128 + status.signal().unwrap_or(0);
            Ok(status.code().unwrap_or_else(signalled))
        }

        /// Becomes the program that `arguments` name. Comes back only if that fails.
        pub(crate) fn launch(mut arguments: impl Iterator<Item = OsString>) -> Failure {
            let mut next = || arguments.next().unwrap_or_default();
            let (library, output, mode, program) = (next(), next(), next(), next());
            let mut preload = library;
            if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|list| !list.is_empty()) {
                preload.push(":");
                preload.push(others);
            }
            let mut command = Command::new(&program);
            command.args(arguments);
            command.env("LD_PRELOAD", preload);
            command.env("DRYSTONE_TRACE", output);
            if mode != "follow" {
                // This process, which becomes the program.
                command.env("DRYSTONE_TRACE_PROCESS", std::process::id().to_string());
            }
            let error = command.exec();
            Failure::io(&program.to_string_lossy(), "cannot run it", &error)
        }
    } else {
        use crate::error::Reason;

        fn unable() -> Failure {
            Failure::new(
                Reason::Unreadable,
                "programs can be recorded on Linux only",
                "a Rust program is recorded anywhere with `drystone_trace::Recorder`",
            )
        }

        pub(super) fn wait(_: &Path, _: &Path, _: &RecordArgs) -> Result<i32, Failure> {
            Err(unable())
        }

        pub(crate) fn launch(_: impl Iterator<Item = OsString>) -> Failure {
            unable()
        }
    }
}
