//! Developer commands of the drystone workspace.
//!
//! `cargo xtask help` lists them. Every list of crates is read from `cargo metadata` and from the
//! keys below `[package.metadata.drystone]` (see [`workspace::Keys`]), so a new crate joins the
//! checks by what its manifest says.

mod args;
mod checks;
mod ci;
mod exec;
mod failure;
mod gates;
mod real_programs;
mod security_suite;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use args::Args;
use failure::Failure;

/// One command of `cargo xtask`.
struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(Args) -> Result<(), Failure>,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "ci",
        usage: "[GATE...] [--skip GATE]... [--strict] [--list]",
        about: "the gates every change passes; --strict: a gate that cannot run fails",
        run: ci::ci,
    },
    Command {
        name: "ci-full",
        usage: "[GATE...] [--skip GATE]... [--strict] [--list]",
        about: "the larger matrix: more Miri, sanitizers, loom with three threads, longer fuzzing",
        run: ci::ci_full,
    },
    Command {
        name: "tidy",
        usage: "",
        about: "the project's own rules about its sources",
        run: tidy::command,
    },
    Command {
        name: "features",
        usage: "[-p CRATE]...",
        about: "each published crate with no, each, each pair and all of its features",
        run: checks::features::command,
    },
    Command {
        name: "bare-metal",
        usage: "",
        about: "the no_std crates without features, for targets that have no operating system",
        run: checks::targets::bare_metal_command,
    },
    Command {
        name: "targets",
        usage: "",
        about: "the library crates with default features and the program, for other operating systems",
        run: checks::targets::other_targets_command,
    },
    Command {
        name: "msrv",
        usage: "",
        about: "the published crates with the oldest compiler that their manifests promise",
        run: checks::msrv::command,
    },
    Command {
        name: "miri",
        usage: "[--tree] [--many-seeds] [--target TRIPLE] [-p CRATE]... [-- TEST-FILTER]",
        about: "tests under Miri; --many-seeds: test programs with threads, under many schedules",
        run: checks::miri::command,
    },
    Command {
        name: "loom",
        usage: "[--threads 2|3] [-p CRATE]...",
        about: "the loom models: two threads without bound, three with three preemptions",
        run: checks::loom::command,
    },
    Command {
        name: "tsan",
        usage: "[-p CRATE]...",
        about: "tests under ThreadSanitizer, with a standard library built for it",
        run: checks::sanitizers::tsan_command,
    },
    Command {
        name: "asan",
        usage: "[-p CRATE]...",
        about: "tests under AddressSanitizer",
        run: checks::sanitizers::asan_command,
    },
    Command {
        name: "fuzz",
        usage: "[TARGET] [--seconds N] [--direct] [--list]",
        about: "the fuzz targets from their committed seeds; --direct: without cargo-fuzz",
        run: checks::fuzz::command,
    },
    Command {
        name: "outside",
        usage: "",
        about: "build and run the crates of tests/outside, which use drystone as a user does",
        run: checks::outside::command,
    },
    Command {
        name: "package",
        usage: "",
        about: "package every published crate and build each package",
        run: checks::package::command,
    },
    Command {
        name: "unsafe-budget",
        usage: "[--write]",
        about: "unsafe blocks a crate against xtask/unsafe-budget.toml; --write: record them",
        run: checks::unsafe_budget::command,
    },
    Command {
        name: "c-header",
        usage: "[--write]",
        about: "the C header of drystone-malloc against its sources; --write: write it",
        run: checks::c_header::command,
    },
    Command {
        name: "bench",
        usage: "[ROW] [--features F] [--links N] …",
        about: "rows of the benchmark tables; --links: over N section orders; the rest is for `rows`",
        run: checks::bench::command,
    },
    Command {
        name: "bench-arena",
        usage: "[--processes N] [--links N] [--out FOLDER]",
        about: "every row and memory figure of the arena with every rival; needs cmake",
        run: checks::bench_arena::command,
    },
    Command {
        name: "real-programs",
        usage: "[--runs N] [--features F] [--no-rivals] [--csv FILE] [NAME]...",
        about: "programs of other people on drystone-malloc: the same output? how fast? how large?",
        run: real_programs::command,
    },
    Command {
        name: "security-suite",
        usage: "[--runs N] [--checkout DIR]",
        about: "which faults each build of drystone-malloc finds; --checkout: mimalloc-bench's, too",
        run: security_suite::command,
    },
    Command {
        name: "help",
        usage: "",
        about: "this list",
        run: help,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_else(|| "help".to_owned());
    let outcome = match COMMANDS.iter().find(|command| command.name == name) {
        Some(command) => (command.run)(Args::new(words)).map_err(|failure| match failure {
            Failure::Usage(reason) => Failure::Usage(format!(
                "{reason}\nusage: cargo xtask {} {}",
                command.name, command.usage
            )),
            other => other,
        }),
        None => Err(Failure::Usage(format!(
            "there is no command `{name}`; `cargo xtask help` lists them"
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            failure.exit_code()
        }
    }
}

fn help(args: Args) -> Result<(), Failure> {
    args.finish()?;
    println!("usage: cargo xtask COMMAND [ARGUMENTS]\n");
    for Command {
        name, usage, about, ..
    } in COMMANDS
    {
        println!("  {}", format!("{name} {usage}").trim_end());
        println!("      {about}");
    }
    Ok(())
}
