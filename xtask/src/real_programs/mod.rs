//! Programs that nobody here wrote, on drystone-malloc and on its rivals.
//!
//! Every program runs with the system's allocator first; each later run has to print the same
//! bytes. Runs of the allocators take turns, so that what else the machine does falls on all of them.

mod measure;
mod programs;
mod report;
mod rivals;

use std::path::Path;
use std::time::Duration;

use crate::args::Args;
use crate::failure::Failure;
use crate::workspace::Workspace;
use measure::Run;
use programs::{PROGRAMS, Program};
use report::Row;
use rivals::{Allocator, OWN, SYSTEM};

const RUNS: usize = 3;

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let runs = match args.value("--runs")? {
        Some(runs) => match runs.parse() {
            Ok(runs) if runs > 0 => runs,
            _ => {
                return Err(Failure::usage(format!(
                    "--runs takes a number, not `{runs}`"
                )));
            }
        },
        None => RUNS,
    };
    let own_only = args.flag("--no-rivals");
    let features = args.value("--features")?.unwrap_or_default();
    let csv = args.value("--csv")?;
    let wanted = args.positional()?;
    args.finish()?;
    let programs = select(&wanted)?;
    if !cfg!(target_os = "linux") {
        return Err(Failure::unavailable("programs are preloaded on Linux only"));
    }
    let workspace = Workspace::load()?;
    let dir = workspace.target_dir.join("real-programs");
    make_dir(&dir)?;
    let (mut allocators, missing) = rivals::find(&workspace, &dir, &features)?;
    if own_only {
        allocators.retain(|allocator| [SYSTEM, OWN].contains(&allocator.name));
    }
    for line in missing {
        println!("not compared with {line}");
    }
    let mut rows = Vec::new();
    for program in programs {
        match absent(program) {
            Some(command) => println!("not run: {} ({command} is not here)", program.name),
            None => rows.push(run_program(program, &allocators, runs, &dir, &workspace)?),
        }
    }
    let names: Vec<&str> = allocators.iter().map(|allocator| allocator.name).collect();
    println!("\n{}", report::table(&rows, &names));
    if let Some(path) = csv {
        std::fs::write(&path, report::csv(&rows, &names))
            .map_err(|error| Failure::failed(format!("{path}: {error}")))?;
    }
    let wrong: Vec<&str> = rows.iter().flat_map(Row::wrong).collect();
    match wrong.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(wrong.join("\n"))),
    }
}

fn select(wanted: &[String]) -> Result<Vec<&'static Program>, Failure> {
    if wanted.is_empty() {
        return Ok(PROGRAMS.iter().collect());
    }
    let find = |name: &String| {
        let program = PROGRAMS.iter().find(|program| program.name == name);
        program.ok_or_else(|| {
            let names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
            Failure::usage(format!(
                "no program `{name}`; there are {}",
                names.join(", ")
            ))
        })
    };
    wanted.iter().map(find).collect()
}

fn make_dir(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)
        .map_err(|error| Failure::failed(format!("{}: {error}", dir.display())))
}

/// The first command that the program needs and the machine lacks.
fn absent(program: &Program) -> Option<&'static str> {
    let here = |command: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(command).is_file())
    };
    program.needs.iter().copied().find(|command| !here(command))
}

fn run_program(
    program: &Program,
    allocators: &[Allocator],
    runs: usize,
    dir: &Path,
    workspace: &Workspace,
) -> Result<Row, Failure> {
    let dir = dir.join(program.name);
    make_dir(&dir)?;
    let root = workspace.root.display().to_string();
    let prepared = measure::run(program.prepare, &dir, &[("ROOT", &root)], measure::LIMIT)?;
    if prepared.status != 0 {
        let said = String::from_utf8_lossy(&prepared.err).into_owned();
        return Err(Failure::failed(format!(
            "{}: no input: {said}",
            program.name
        )));
    }
    let mut row = Row::new(program.name, allocators.len());
    let expected = measure::run(program.run, &dir, &[], measure::LIMIT)?;
    let limit = measure::limit_beside(expected.wall);
    if expected.status != 0 {
        let said = String::from_utf8_lossy(&expected.err).into_owned();
        row.note(format!("{}: fails without us: {said}", program.name));
        return Ok(row);
    }
    for number in 0..runs {
        for (allocator, cell) in allocators.iter().zip(&mut row.cells) {
            let run = run_on(program, allocator, &dir, limit)?;
            if let Some(difference) = differs(&expected, &run) {
                row.differences.push(format!(
                    "{} on {}, run {}: {difference}",
                    program.name,
                    allocator.name,
                    number + 1
                ));
            }
            cell.runs.push(run);
        }
    }
    let own = allocators.iter().find(|allocator| allocator.name == OWN);
    if let Some(library) = own.and_then(|own| own.library.as_deref()) {
        if program.says_so && !is_served(program, library, &dir, limit)? {
            row.differences.push(format!(
                "{}: no process says that it was served",
                program.name
            ));
        }
    }
    println!("{}", report::line(&row, allocators.iter().map(|a| a.name)));
    Ok(row)
}

fn run_on(
    program: &Program,
    allocator: &Allocator,
    dir: &Path,
    limit: Duration,
) -> Result<Run, Failure> {
    match &allocator.library {
        Some(library) => {
            let library = library.display().to_string();
            measure::run(program.run, dir, &[("LD_PRELOAD", &library)], limit)
        }
        None => measure::run(program.run, dir, &[], limit),
    }
}

/// Whether the processes of a run print the library's table at their end.
fn is_served(
    program: &Program,
    library: &Path,
    dir: &Path,
    limit: Duration,
) -> Result<bool, Failure> {
    let library = library.display().to_string();
    let env = [("LD_PRELOAD", library.as_str()), ("DRYSTONE_STATS", "1")];
    let run = measure::run(program.run, dir, &env, limit)?;
    let says = |text: &[u8]| {
        let table = b"drystone-malloc\nlive";
        text.windows(table.len()).any(|words| words == table)
    };
    Ok(says(&run.err) || says(&run.out))
}

fn differs(expected: &Run, run: &Run) -> Option<String> {
    if run.is_over_time {
        let seconds = run.wall.as_secs();
        return Some(format!("ended after {seconds} s, which is too long"));
    }
    if run.status != expected.status {
        let said = String::from_utf8_lossy(&run.err).into_owned();
        return Some(format!("status {} {said}", run.status));
    }
    if run.out != expected.out {
        let said = String::from_utf8_lossy(&run.out).into_owned();
        return Some(format!("other output: {said}"));
    }
    if run.err != expected.err {
        let said = String::from_utf8_lossy(&run.err).into_owned();
        return Some(format!("other standard error: {said}"));
    }
    None
}
