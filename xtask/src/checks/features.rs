//! Every crate alone, under combinations of its own features.

use crate::args::Args;
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::workspace::{Package, Workspace};

/// Above this number of pairs a crate is checked without them.
const PAIRS_MAX: usize = 66;

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let wanted = args.values("-p")?;
    args.finish()?;
    check(&Workspace::load()?, &wanted)
}

pub(crate) fn gate(workspace: &Workspace) -> Result<(), Failure> {
    check(workspace, &[])
}

fn check(workspace: &Workspace, wanted: &[String]) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for package in workspace.select(wanted, |package| package.published)? {
        for features in combinations(&package.features) {
            if let Err(Failure::Failed(reason)) = check_one(package, &features) {
                println!("{reason}");
                failed.push(format!("{} [{}]", package.name, features.join(",")));
            }
        }
    }
    match failed.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(format!(
            "feature sets: {}",
            failed.join(", ")
        ))),
    }
}

/// Clippy instead of a plain check: it denies the warnings of this workspace alone, and shares
/// its work on the dependencies with the clippy gate.
fn check_one(package: &Package, features: &[&str]) -> Result<(), Failure> {
    let command = Cmd::cargo("clippy")
        .args([
            "--quiet",
            "--no-default-features",
            "-p",
            package.name.as_str(),
        ])
        .args([
            "--features",
            features.join(",").as_str(),
            "--",
            "-D",
            "warnings",
        ]);
    println!("$ {}", command.line());
    let output = command.capture()?;
    if output.success {
        Ok(())
    } else {
        Err(Failure::failed(output.stderr))
    }
}

/// No feature, each one, each pair if these are few, and all. `default` counts as one feature
/// and joins no pair, since it only names others.
fn combinations(features: &[String]) -> Vec<Vec<&str>> {
    let all: Vec<&str> = features.iter().map(String::as_str).collect();
    let named: Vec<&str> = all
        .iter()
        .copied()
        .filter(|feature| *feature != "default")
        .collect();
    let pairs: Vec<Vec<&str>> = (0..named.len())
        .flat_map(|first| (first + 1..named.len()).map(move |second| (first, second)))
        .map(|(first, second)| vec![named[first], named[second]])
        .collect();
    let mut sets = vec![Vec::new()];
    sets.extend(all.iter().map(|feature| vec![*feature]));
    if pairs.len() <= PAIRS_MAX {
        sets.extend(pairs);
    }
    if !sets.contains(&named) {
        sets.push(named);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(features: &[&str]) -> Vec<String> {
        let features: Vec<String> = features.iter().map(|name| (*name).to_owned()).collect();
        combinations(&features)
            .iter()
            .map(|set| set.join("+"))
            .collect()
    }

    #[test]
    fn each_set_once() {
        assert_eq!(sets(&[]), [""]);
        assert_eq!(sets(&["a"]), ["", "a"]);
        assert_eq!(sets(&["a", "b"]), ["", "a", "b", "a+b"]);
        assert_eq!(
            sets(&["a", "b", "default"]),
            ["", "a", "b", "default", "a+b"]
        );
        assert_eq!(
            sets(&["a", "b", "c"]),
            ["", "a", "b", "c", "a+b", "a+c", "b+c", "a+b+c"]
        );
    }

    #[test]
    fn too_many_pairs_are_left_out_but_all_is_not() {
        let many: Vec<String> = (0..13).map(|index| format!("f{index:02}")).collect();
        let sets = combinations(&many);
        assert_eq!(sets.len(), 1 + 13 + 1);
        assert_eq!(sets.last().unwrap().len(), 13);
    }
}
