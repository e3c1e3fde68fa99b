//! How much unsafe code each crate holds, and that it does not grow unnoticed.

use std::collections::BTreeMap;
use std::path::Path;

use crate::args::Args;
use crate::failure::Failure;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::{Tree, relative};
use crate::workspace::Workspace;

const BUDGET: &str = "xtask/unsafe-budget.toml";

const HEADER: &str = "\
# The most unsafe blocks that each crate's sources (tests left out) may hold. A rise is a decision:
# `cargo xtask unsafe-budget --write` records it, and the review of that line asks why.
";

/// What a crate's sources hold.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Count {
    blocks: usize,
    functions: usize,
    impls: usize,
    traits: usize,
    code_lines: usize,
}

pub(crate) fn command(mut args: Args) -> Result<(), Failure> {
    let write = args.flag("--write");
    args.finish()?;
    let workspace = Workspace::load()?;
    if write {
        record(&workspace)
    } else {
        check(&workspace)
    }
}

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let counts = counts(workspace)?;
    let budget = read_budget(&workspace.root)?;
    print!("{}", table(&counts, &budget));
    let findings = over_budget(&counts, &budget);
    match findings.len() {
        0 => Ok(()),
        _ => Err(Failure::failed(findings.join("\n"))),
    }
}

fn record(workspace: &Workspace) -> Result<(), Failure> {
    let counts = counts(workspace)?;
    let lines = counts
        .iter()
        .map(|(name, count)| format!("{name} = {}\n", count.blocks));
    let text = HEADER.to_owned() + &lines.collect::<String>();
    let path = workspace.root.join(BUDGET);
    std::fs::write(&path, text)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// The counts of every published crate, by name.
fn counts(workspace: &Workspace) -> Result<BTreeMap<String, Count>, Failure> {
    let tree = Tree::load(workspace)?;
    let mut counts = BTreeMap::new();
    for package in workspace.published() {
        let mut total = Count::default();
        let dir = relative(&package.dir, &workspace.root);
        for source in tree.sources_below(&dir).filter(|source| source.is_in_src()) {
            total += count(source);
        }
        counts.insert(package.name.clone(), total);
    }
    Ok(counts)
}

fn count(source: &Source) -> Count {
    let mut count = Count::default();
    let words = words(&source.code);
    for (index, (_, word)) in words.iter().enumerate() {
        let next = words.get(index + 1).map_or("", |(_, word)| *word);
        match (*word, next) {
            ("unsafe", "{") => count.blocks += 1,
            ("unsafe", "fn" | "extern") => count.functions += 1,
            ("unsafe", "impl") => count.impls += 1,
            ("unsafe", "trait") => count.traits += 1,
            _ => {}
        }
    }
    count.code_lines = source
        .code
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    count
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.functions += other.functions;
        self.impls += other.impls;
        self.traits += other.traits;
        self.code_lines += other.code_lines;
    }
}

fn read_budget(root: &Path) -> Result<BTreeMap<String, usize>, Failure> {
    let path = root.join(BUDGET);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    parse_budget(&text).map_err(|reason| Failure::failed(format!("{}: {reason}", path.display())))
}

/// Lines of `name = number`, empty lines and comments.
fn parse_budget(text: &str) -> Result<BTreeMap<String, usize>, String> {
    let mut budget = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, blocks) = line
            .split_once(" = ")
            .and_then(|(name, blocks)| Some((name, blocks.parse().ok()?)))
            .ok_or_else(|| format!("`{line}` is not `crate = blocks`"))?;
        budget.insert(name.to_owned(), blocks);
    }
    Ok(budget)
}

fn over_budget(counts: &BTreeMap<String, Count>, budget: &BTreeMap<String, usize>) -> Vec<String> {
    let finding = |(name, count): (&String, &Count)| match budget.get(name) {
        None => Some(format!("{name} has no line in {BUDGET}")),
        Some(most) if count.blocks > *most => Some(format!(
            "{name} holds {} unsafe blocks, its budget is {most}",
            count.blocks
        )),
        Some(_) => None,
    };
    counts.iter().filter_map(finding).collect()
}

fn table(counts: &BTreeMap<String, Count>, budget: &BTreeMap<String, usize>) -> String {
    let mut text = format!(
        "{:<18} {:>7} {:>7} {:>10} {:>6} {:>7} {:>11}\n",
        "crate", "blocks", "budget", "functions", "impls", "traits", "code lines"
    );
    for (name, count) in counts {
        let budget = budget.get(name).map_or("none".to_owned(), usize::to_string);
        text += &format!(
            "{name:<18} {:>7} {budget:>7} {:>10} {:>6} {:>7} {:>11}\n",
            count.blocks, count.functions, count.impls, count.traits, count.code_lines
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_code_and_not_prose() {
        let source = Source::new(
            "crates/x/src/lib.rs",
            "// unsafe { no }\nunsafe impl A for B {}\nfn f() {\n    let _ = \"unsafe {\";\n    \
             unsafe { g() };\n    unsafe{ g() }\n}\nunsafe fn g() {}\nunsafe trait T {}\n",
        );
        let expected = Count {
            blocks: 2,
            functions: 1,
            impls: 1,
            traits: 1,
            code_lines: 8,
        };
        assert_eq!(count(&source), expected);
    }

    #[test]
    fn a_crate_above_or_without_its_budget_is_named() {
        let blocks = |blocks| Count {
            blocks,
            ..Count::default()
        };
        let counts = [("a", 3), ("b", 2), ("c", 0)];
        let counts = counts
            .map(|(name, count)| (name.to_owned(), blocks(count)))
            .into();
        let budget = parse_budget("# why\n\na = 2\nb = 2\n").unwrap();
        assert_eq!(
            over_budget(&counts, &budget),
            [
                "a holds 3 unsafe blocks, its budget is 2".to_owned(),
                format!("c has no line in {BUDGET}"),
            ]
        );
        assert!(parse_budget("a: 2").is_err());
        assert!(parse_budget("a = many").is_err());
    }
}
