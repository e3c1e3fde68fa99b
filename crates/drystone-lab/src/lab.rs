//! The set of contestants, and the program around it.

use std::io::Write;
use std::process::ExitCode;

use crate::child::CHILD_COMMAND;
use crate::commands::record::{self, LAUNCH_COMMAND};
use crate::error::Failure;
use crate::job::{Answer, Job};
use crate::target::{Description, ReplayTarget, Role, Workload};
use crate::{child, cli, job, targets};

/// Name of the contestant that is no allocator.
pub(crate) const HARNESS: &str = "null";

type Run = Box<dyn Fn(&Job) -> Answer>;

/// One contestant.
pub(crate) struct Contestant {
    pub(crate) description: Description,
    run: Run,
}

/// The program `drystone` with a set of contestants.
///
/// A crate of its own plugs in an allocator with a main function like this one; `--with mine`
/// names it, and the default run includes it:
///
/// ```no_run
/// use drystone_lab::{Description, FromGlobal, Lab};
///
/// fn main() -> std::process::ExitCode {
///     Lab::new()
///         .target(Description::new("mine", "my allocator"), |_| Ok(FromGlobal(std::alloc::System)))
///         .run()
/// }
/// ```
///
/// [`run`](Self::run) must be the first thing that the main function does: the program starts
/// itself again for every measurement.
pub struct Lab {
    contestants: Vec<Contestant>,
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    /// With every contestant that this build of the lab has.
    pub fn new() -> Self {
        targets::add_all(Self {
            contestants: Vec::new(),
        })
    }

    /// Adds a contestant. `make` is called once in each process that measures it and says why if
    /// it cannot be made. A name that is taken replaces the earlier contestant.
    #[must_use]
    pub fn target<T: ReplayTarget + 'static>(
        mut self,
        description: Description,
        make: impl Fn(&Workload) -> Result<T, String> + 'static,
    ) -> Self {
        self.contestants
            .retain(|known| known.description.name != description.name);
        let run: Run = Box::new(move |work| job::run(work, &make));
        self.contestants.push(Contestant { description, run });
        self
    }

    /// Runs the program on this process's arguments.
    pub fn run(self) -> ExitCode {
        let mut arguments = std::env::args_os().skip(1);
        let first = arguments.next();
        if first.as_ref().is_some_and(|first| first == CHILD_COMMAND) {
            return self.run_child(arguments.next());
        }
        let ran = if first.is_some_and(|first| first == LAUNCH_COMMAND) {
            Err(record::launch(arguments))
        } else {
            cli::run(&self)
        };
        match ran {
            Ok(code) => code,
            Err(failure) => {
                // Where nobody can be told, the exit code still tells.
                let _ = writeln!(std::io::stderr(), "{failure}");
                failure.exit_code()
            }
        }
    }

    fn run_child(&self, text: Option<std::ffi::OsString>) -> ExitCode {
        let answer = text
            .and_then(|text| serde_json::from_str::<Job>(text.to_str()?).ok())
            .and_then(|job| Some((self.find(&job.target)?.run)(&job)))
            .unwrap_or_else(|| Answer::Unable("the job makes no sense".to_owned()));
        match child::reply(&answer) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => Failure::io("answer", "cannot write it", &error).exit_code(),
        }
    }

    /// All contestants.
    pub(crate) fn contestants(&self) -> &[Contestant] {
        &self.contestants
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Contestant> {
        self.contestants.iter().find(|c| c.description.name == name)
    }

    /// The contestants that `with` names, or all but the harness and those that have to be named.
    pub(crate) fn choose(&self, with: &[String]) -> Result<Vec<&Contestant>, Failure> {
        if with.is_empty() {
            let all = self.contestants.iter();
            return Ok(all
                .filter(|c| c.description.role != Role::Harness && !c.description.when_named)
                .collect());
        }
        with.iter()
            .map(|name| {
                self.find(name).ok_or_else(|| {
                    let reason = targets::not_included().into_iter().find(|(n, _)| n == name);
                    Failure::usage(
                        match reason {
                            Some((_, reason)) => format!("--with: {name} is not in it: {reason}"),
                            None => format!("--with: there is no target {name:?}"),
                        },
                        "`--with list` prints the targets of this build",
                    )
                })
            })
            .collect()
    }
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Ceiling => "ceiling",
            Self::Harness => "harness",
        }
    }
}
