//! The fuzz targets, from their committed seeds.

use std::path::Path;

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::tools::{self, NIGHTLY};
use crate::workspace::Workspace;

const SECONDS_DEFAULT: u32 = 30;

/// What cargo-fuzz passes to the compiler for coverage feedback without a sanitizer.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Cdebug-assertions -Ccodegen-units=1";

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let list = args.flag("--list");
    let direct = args.flag("--direct");
    let seconds = args.value("--seconds")?;
    let named = args.positional()?;
    args.finish()?;
    let workspace = Workspace::load()?;
    let all = targets(&workspace.root)?;
    if list {
        println!("{}", all.join("\n"));
        return Ok(());
    }
    let seconds = match seconds {
        None => SECONDS_DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| {
                Failure::usage(format!("--seconds `{text}` is not a positive number"))
            })?,
    };
    let wanted = pick(all, &named)?;
    let fuzzer = if direct {
        direct_build(&workspace)?
    } else {
        fuzzer(&workspace)?
    };
    run(&workspace, &fuzzer, &wanted, seconds)
}

pub(crate) fn five_seconds(workspace: &Workspace) -> Result<(), Failure> {
    run(
        workspace,
        &fuzzer(workspace)?,
        &targets(&workspace.root)?,
        5,
    )
}

pub(crate) fn thirty_seconds(workspace: &Workspace) -> Result<(), Failure> {
    run(
        workspace,
        &fuzzer(workspace)?,
        &targets(&workspace.root)?,
        30,
    )
}

/// The names of the targets: one file each.
pub(crate) fn targets(root: &Path) -> Result<Vec<String>, Failure> {
    let dir = root.join("fuzz/fuzz_targets");
    let unreadable = |error| Failure::failed(format!("{}: {error}", dir.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

fn pick(all: Vec<String>, named: &[String]) -> Result<Vec<String>, Failure> {
    match named {
        [] => Ok(all),
        [name] if all.contains(name) => Ok(vec![name.clone()]),
        [name] => Err(Failure::usage(format!(
            "no fuzz target `{name}`; --list shows them"
        ))),
        _ => Err(Failure::usage("one target at a time")),
    }
}

/// How a target is started; what follows the two words are libFuzzer's arguments.
enum Fuzzer {
    CargoFuzz,
    /// The folder of the target programs.
    Built(std::path::PathBuf),
}

fn fuzzer(workspace: &Workspace) -> Result<Fuzzer, Failure> {
    tools::toolchain(NIGHTLY)?;
    match tools::cargo_subcommand("fuzz") {
        Ok(()) => Ok(Fuzzer::CargoFuzz),
        Err(failure) => {
            println!("cargo-fuzz: {failure}; building the targets without it");
            direct_build(workspace)
        }
    }
}

fn direct_build(workspace: &Workspace) -> Result<Fuzzer, Failure> {
    tools::toolchain(NIGHTLY)?;
    let dir = workspace.target_dir.join("fuzz-direct");
    // A named target keeps the coverage flags from the build scripts.
    let host = host()?;
    Cmd::cargo_of(NIGHTLY, "build")
        .env("RUSTFLAGS", COVERAGE)
        .target_dir(&dir)
        .args([
            "--release",
            "--bins",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--target",
            &host,
        ])
        .dir(&workspace.root)
        .run()?;
    Ok(Fuzzer::Built(dir.join(host).join("release")))
}

fn host() -> Result<String, Failure> {
    let output = Cmd::new("rustc")
        .args([&format!("+{NIGHTLY}"), "-vV"])
        .capture()?;
    output
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or_else(|| Failure::unavailable("rustc does not name its host"))
}

/// Runs each target from its seeds; what it finds interesting lands in fuzz/corpus, what breaks
/// it in fuzz/artifacts, neither of them committed.
fn run(
    workspace: &Workspace,
    fuzzer: &Fuzzer,
    targets: &[String],
    seconds: u32,
) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for target in targets {
        if run_one(workspace, fuzzer, target, seconds).is_err() {
            failed.push(target.as_str());
        }
    }
    match failed.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "fuzz targets: {}",
            failed.join(", ")
        ))),
    }
}

fn run_one(
    workspace: &Workspace,
    fuzzer: &Fuzzer,
    target: &str,
    seconds: u32,
) -> Result<(), Failure> {
    let corpus = format!("fuzz/corpus/{target}");
    let artifacts = format!("fuzz/artifacts/{target}/");
    for dir in [&corpus, &artifacts] {
        std::fs::create_dir_all(workspace.root.join(dir))
            .map_err(|error| Failure::failed(format!("{dir}: {error}")))?;
    }
    let command = match fuzzer {
        Fuzzer::CargoFuzz => Cmd::cargo_of(NIGHTLY, "fuzz")
            .target_dir(&workspace.target_dir.join("fuzz"))
            .args([
                "run",
                target,
                &corpus,
                &format!("fuzz/seeds/{target}"),
                "-s",
                "none",
                "--",
            ]),
        Fuzzer::Built(dir) => Cmd::new(&dir.join(target).display().to_string())
            .args([corpus, format!("fuzz/seeds/{target}")]),
    };
    command
        .arg(format!("-artifact_prefix={artifacts}"))
        .arg(format!("-max_total_time={seconds}"))
        .args([
            "-max_len=4096",
            "-timeout=10",
            "-verbosity=0",
            "-print_final_stats=1",
        ])
        .dir(&workspace.root)
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_one_target_or_all() {
        let all = || vec!["bump".to_owned(), "slab".to_owned()];
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(pick(all(), &[]).unwrap(), all());
        assert_eq!(pick(all(), &names(&["slab"])).unwrap(), ["slab"]);
        assert!(matches!(
            pick(all(), &names(&["slub"])),
            Err(Failure::Usage(_))
        ));
        assert!(matches!(
            pick(all(), &names(&["slab", "bump"])),
            Err(Failure::Usage(_))
        ));
    }
}
