//! The benchmark tables.

use std::path::Path;

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::Workspace;

/// The benches package owns the rows and their arguments; what is not taken here goes to it.
pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let features = args.values("--features")?.join(",");
    let links = args.value("--links")?;
    let rows = Cmd::cargo("run")
        .args(["--release", "-p", "drystone-benches", "--bin", "rows"])
        .args(["--features", &features, "--"])
        .args(args.all());
    match links {
        None => rows.run(),
        Some(links) => rows.args(binaries(&links, &features)?).run(),
    }
}

/// Builds of the rows that differ in the order of their sections only, as arguments for the rows.
/// The same loop runs up to 40 % faster or slower depending on its address, so one link is not a
/// measurement.
pub(crate) fn binaries(links: &str, features: &str) -> Result<Vec<String>, Failure> {
    let count: u32 = links
        .parse()
        .map_err(|_| Failure::usage(format!("--links is a number, not `{links}`")))?;
    let workspace = Workspace::load()?;
    let folder = workspace.target_dir.join("links");
    std::fs::create_dir_all(&folder)
        .map_err(|error| Failure::failed(format!("{}: {error}", folder.display())))?;
    (1..=count)
        .map(|seed| {
            let copy = folder.join(format!("rows-{seed}"));
            build(&workspace, features, seed, &copy)?;
            Ok(["--binary".to_owned(), copy.display().to_string()])
        })
        .collect::<Result<Vec<_>, _>>()
        .map(|pairs| pairs.into_iter().flatten().collect())
}

fn build(workspace: &Workspace, features: &str, seed: u32, copy: &Path) -> Result<(), Failure> {
    Cmd::cargo("rustc")
        .args(["--release", "-p", "drystone-benches", "--bin", "rows"])
        .args(["--features", features, "--"])
        .arg(format!("-Clink-arg=-Wl,--shuffle-sections=*={seed}"))
        .run()?;
    let built = workspace.target_dir.join("release").join("rows");
    std::fs::copy(&built, copy)
        .map(|_| ())
        .map_err(|error| Failure::failed(format!("{}: {error}", built.display())))
}
