//! Everything that is measured of the arena, in one go.

use std::path::{Path, PathBuf};

use crate::args::Args;
use crate::checks::bench;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::Workspace;

const FEATURES: &str = "rivals,reference";

/// The rivals that need programs of their own.
pub(crate) const APART: &str = "benches/apart";

/// Builds the programs, measures one after the other, and writes a CSV for each.
pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let out = args.value("--out")?;
    let processes = args.value("--processes")?.unwrap_or_else(|| "6".to_owned());
    let links = args.value("--links")?;
    args.finish()?;
    let workspace = Workspace::load()?;
    let out = out.map_or_else(|| workspace.root.join("benches/results"), PathBuf::from);
    let programs = Programs::build(&workspace)?;
    let rows = match links {
        None => Vec::new(),
        Some(links) => bench::binaries(&links, FEATURES)?,
    };
    for (names, csv) in [
        ("arena-", "arena.csv"),
        ("thread-cache-", "thread-cache.csv"),
    ] {
        programs
            .run("rows", &processes, &out.join(csv))
            .arg(names)
            .args(rows.clone())
            .run()?;
    }
    programs
        .run("memory", &processes, &out.join("memory.csv"))
        .run()
}

struct Programs {
    ours: PathBuf,
    apart: PathBuf,
}

impl Programs {
    fn build(workspace: &Workspace) -> Result<Self, Failure> {
        Cmd::cargo("build")
            .args(["--release", "-p", "drystone-benches", "--bins"])
            .args(["--features", FEATURES])
            .run()?;
        let target_dir = workspace.target_dir.join("apart");
        Cmd::cargo("build")
            .target_dir(&target_dir)
            .args(["--release", "--manifest-path"])
            .arg(shown(&workspace.root.join(APART).join("Cargo.toml")))
            .run()?;
        Ok(Self {
            ours: workspace.target_dir.join("release"),
            apart: target_dir.join("release"),
        })
    }

    /// A program together with its part that lies apart.
    fn run(&self, name: &str, processes: &str, csv: &Path) -> Cmd {
        Cmd::new(&shown(&self.ours.join(name)))
            .args(["--processes", processes, "--with"])
            .arg(shown(&self.apart.join(format!("{name}-apart"))))
            .args(["--csv".to_owned(), shown(csv)])
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
