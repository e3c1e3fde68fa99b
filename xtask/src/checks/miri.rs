//! Tests under Miri: the aliasing models, provenance and alignment rules as code.

use crate::args::Args;
use crate::exec::{Cmd, run_in_pairs, tests_passed};
use crate::failure::Failure;
use crate::tools::{self, NIGHTLY};
use crate::workspace::{Package, Workspace};

/// Pointers come from pointers.
const FLAGS: &str = "-Zmiri-strict-provenance";
/// An allocator may not profit from a lucky address. Not for examples: they take buffers as users
/// do, and the check takes no notice of an alignment that is found at run time.
const SYMBOLIC: &str = "-Zmiri-symbolic-alignment-check";
const TREE: &str = "-Zmiri-tree-borrows";

/// Two ways to vary the schedule. Reusing addresses across threads adds synchronisation that
/// hides races, so one way forbids it and the other asks for it.
const SCHEDULES: &[&str] = &[
    "-Zmiri-many-seeds=0..64 -Zmiri-preemption-rate=0.05 \
     -Zmiri-address-reuse-cross-thread-rate=0.0",
    "-Zmiri-many-seeds=0..64 -Zmiri-compare-exchange-weak-failure-rate=0.9 \
     -Zmiri-address-reuse-cross-thread-rate=0.9",
];

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let model = if args.flag("--tree") {
        vec![FLAGS, TREE]
    } else {
        vec![FLAGS]
    };
    let many_seeds = args.flag("--many-seeds");
    let target = args.value("--target")?;
    let wanted = args.values("-p")?;
    let filter = args.trailing();
    args.finish()?;
    let workspace = Workspace::load()?;
    let packages = workspace.select(&wanted, |package| package.keys.miri)?;
    match (many_seeds, filter.is_empty()) {
        (true, true) => seeds(&packages, &model, target.as_deref()),
        (true, false) => Err(Failure::usage("--many-seeds chooses its tests by itself")),
        (false, _) => whole(&packages, &model, target.as_deref(), &filter),
    }
}

/// Every crate under Stacked Borrows, but for the tests that its manifest calls repeats of others.
pub(crate) fn stacked(workspace: &Workspace) -> Result<(), Failure> {
    prepare(None)?;
    let jobs = jobs(&marked(workspace), &[FLAGS], None);
    let commands: Vec<_> = jobs.into_iter().map(Job::without_repeats).collect();
    passes(&commands)
}

/// Every crate under Stacked Borrows, and every test of it.
pub(crate) fn stacked_whole(workspace: &Workspace) -> Result<(), Failure> {
    whole(&marked(workspace), &[FLAGS], None, &[])
}

/// The crates that ask for it, under Tree Borrows, but for the conformance runs and for repeats:
/// the larger matrix has those ([`tree`]).
pub(crate) fn tree_where_asked(workspace: &Workspace) -> Result<(), Failure> {
    prepare(None)?;
    let mut packages = marked(workspace);
    packages.retain(|package| package.keys.miri_tree);
    let mut jobs = jobs(&packages, &[FLAGS, TREE], None);
    jobs.retain(|job| !job.is_conformance);
    let commands: Vec<_> = jobs.into_iter().map(Job::without_repeats).collect();
    passes(&commands)
}

/// Every crate under Tree Borrows.
pub(crate) fn tree(workspace: &Workspace) -> Result<(), Failure> {
    whole(&marked(workspace), &[FLAGS, TREE], None, &[])
}

/// Variants that reject code which both models accept.
pub(crate) fn strict_variants(workspace: &Workspace) -> Result<(), Failure> {
    let crates = stones(workspace);
    whole(
        &crates,
        &[FLAGS, TREE, "-Zmiri-tree-borrows-implicit-writes"],
        None,
        &[],
    )?;
    whole(&crates, &[FLAGS, "-Zmiri-recursive-validation"], None, &[])
}

/// 32-bit words.
pub(crate) fn i686(workspace: &Workspace) -> Result<(), Failure> {
    whole(
        &stones(workspace),
        &[FLAGS],
        Some("i686-unknown-linux-gnu"),
        &[],
    )
}

/// Bytes in the other order.
pub(crate) fn s390x(workspace: &Workspace) -> Result<(), Failure> {
    whole(
        &stones(workspace),
        &[FLAGS],
        Some("s390x-unknown-linux-gnu"),
        &[],
    )
}

/// A thousand operations of each collection on each stack, where other runs do a thousand in all.
pub(crate) fn collections(workspace: &Workspace) -> Result<(), Failure> {
    const OPERATIONS: &str = "-Zmiri-env-set=DRYSTONE_COLLECTION_OPERATIONS=1000";
    prepare(None)?;
    let facade = workspace.select(&["drystone".to_owned()], |package| package.keys.miri)?;
    let tests = test(facade[0], &[FLAGS, OPERATIONS], None);
    passes(&["collections", "collections_std"].map(|test| tests.clone().args(["--test", test])))
}

/// Tests with threads under many schedules and both models.
pub(crate) fn many_seeds(workspace: &Workspace) -> Result<(), Failure> {
    let packages = marked(workspace);
    seeds(&packages, &[FLAGS], None)?;
    seeds(&packages, &[FLAGS, TREE], None)
}

fn marked(workspace: &Workspace) -> Vec<&Package> {
    workspace
        .packages
        .iter()
        .filter(|package| package.keys.miri)
        .collect()
}

fn stones(workspace: &Workspace) -> Vec<&Package> {
    workspace
        .stones()
        .filter(|package| package.keys.miri)
        .collect()
}

/// Two test programs at a time, since one uses one core.
fn whole(
    packages: &[&Package],
    flags: &[&str],
    target: Option<&str>,
    filter: &[String],
) -> Result<(), Failure> {
    prepare(target)?;
    if filter.is_empty() {
        return passes(&commands(jobs(packages, flags, target).into_iter()));
    }
    let filtered = |package: &&Package| test(package, flags, target).args(filter);
    let commands: Vec<_> = packages.iter().map(filtered).collect();
    some_passed(run_in_pairs(&commands)?, filter)
}

fn passes(commands: &[Cmd]) -> Result<(), Failure> {
    run_in_pairs(commands).map(drop)
}

/// A filter that no test answers to is a slip of its writer, not a success.
fn some_passed(passed: usize, filter: &[String]) -> Result<(), Failure> {
    match passed {
        0 => Err(Failure::failed(format!(
            "no test ran: none of the packages has one for `{}`",
            filter.join(" ")
        ))),
        _ => Ok(()),
    }
}

/// One test program.
struct Job {
    command: Cmd,
    is_conformance: bool,
    /// Parts of the names of tests that are under Miri what others of the program are.
    repeats: Vec<String>,
}

impl Job {
    fn without_repeats(self) -> Cmd {
        if self.repeats.is_empty() {
            return self.command;
        }
        let skips = self
            .repeats
            .into_iter()
            .flat_map(|name| ["--skip".to_owned(), name]);
        self.command.arg("--").args(skips)
    }
}

/// Every test program of `packages`. The conformance runs are the longest and go first.
fn jobs(packages: &[&Package], flags: &[&str], target: Option<&str>) -> Vec<Job> {
    let mut jobs = Vec::new();
    for package in packages {
        let tests = test(package, flags, target);
        jobs.extend(package.test_programs.iter().map(|program| Job {
            command: tests.clone().args(["--test", program]),
            is_conformance: program.ends_with("conformance"),
            repeats: repeats(package, program),
        }));
        let others = [tests.arg("--lib"), examples(package, flags, target)];
        jobs.extend(others.map(|command| Job {
            command,
            is_conformance: false,
            repeats: Vec::new(),
        }));
    }
    jobs.sort_by_key(|job| !job.is_conformance);
    jobs
}

fn repeats(package: &Package, program: &str) -> Vec<String> {
    let lists = package.keys.miri_repeats.iter();
    lists
        .filter(|(end, _)| program.ends_with(end))
        .flat_map(|(_, names)| names.clone())
        .collect()
}

fn commands(jobs: impl Iterator<Item = Job>) -> Vec<Cmd> {
    jobs.map(|job| job.command).collect()
}

/// The test programs with threads. One at a time: Miri runs the seeds on all cores by itself.
fn seeds(packages: &[&Package], flags: &[&str], target: Option<&str>) -> Result<(), Failure> {
    prepare(target)?;
    let mut passed = 0;
    for package in packages {
        for program in &package.keys.many_seeds {
            for schedule in SCHEDULES {
                let flags = [flags, &[*schedule]].concat();
                let command = test(package, &flags, target).args(["--test", program]);
                passed += tests_passed(&command.run_and_read()?);
            }
        }
    }
    match passed {
        0 => Err(Failure::failed(
            "no manifest names test programs under `many-seeds`",
        )),
        _ => Ok(()),
    }
}

fn prepare(target: Option<&str>) -> Result<(), Failure> {
    tools::nightly_with(&["miri", "rust-src"])?;
    let setup = Cmd::cargo_of(NIGHTLY, "miri").arg("setup");
    match target {
        Some(target) => setup.args(["--target", target]),
        None => setup,
    }
    .run()
}

/// Tests of a package.
fn test(package: &Package, flags: &[&str], target: Option<&str>) -> Cmd {
    miri(package, &[flags, &[SYMBOLIC]].concat(), target)
}

/// The examples in the documentation of a package.
fn examples(package: &Package, flags: &[&str], target: Option<&str>) -> Cmd {
    miri(package, flags, target).arg("--doc")
}

fn miri(package: &Package, flags: &[&str], target: Option<&str>) -> Cmd {
    let command = Cmd::cargo_of(NIGHTLY, "miri")
        .env("MIRIFLAGS", flags.join(" "))
        .args(["test", "--all-features", "-p", &package.name]);
    match target {
        Some(target) => command.args(["--target", target]),
        None => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_without_a_test_is_a_failure() {
        let filter = ["no_such_test".to_owned()];
        let failure = some_passed(0, &filter).unwrap_err().to_string();
        assert!(failure.contains("`no_such_test`"), "{failure}");
        assert!(some_passed(1, &filter).is_ok());
    }
}
