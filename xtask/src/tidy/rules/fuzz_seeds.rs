//! A fuzz target starts from committed seeds and is declared where Cargo finds it.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const TARGETS: &str = "fuzz/fuzz_targets/";
const SEEDS: &str = "fuzz/seeds/";
const MANIFEST: &str = "fuzz/Cargo.toml";

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    let targets: Vec<&str> = tree.paths.iter().filter_map(|path| target(path)).collect();
    let manifest = tree.text_of(MANIFEST).unwrap_or_default();
    for name in &targets {
        let path = format!("{TARGETS}{name}.rs");
        if !tree.has(&format!("{SEEDS}{name}")) {
            let message = format!("{SEEDS}{name} is empty: without seeds five seconds find little");
            found.push(Finding::new(&path, 0, message));
        }
        if !manifest.contains(&format!("name = \"{name}\"")) {
            found.push(Finding::new(
                &path,
                0,
                format!("{MANIFEST} declares no program `{name}`"),
            ));
        }
    }
    for path in tree.paths.iter().filter(|path| path.starts_with(SEEDS)) {
        let name = path[SEEDS.len()..].split('/').next().unwrap_or_default();
        if !targets.contains(&name) {
            found.push(Finding::new(
                path,
                0,
                format!("a seed of `{name}`, which is no target"),
            ));
        }
    }
    found
}

fn target(path: &str) -> Option<&str> {
    path.strip_prefix(TARGETS)?.strip_suffix(".rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: (&str, &str) = ("fuzz/fuzz_targets/bump.rs", "");
    const DECLARED: (&str, &str) = ("fuzz/Cargo.toml", "[[bin]]\nname = \"bump\"\n");
    const SEED: (&str, &str) = ("fuzz/seeds/bump/empty", "");

    fn found(files: &[(&str, &str)]) -> usize {
        find(&Tree::sample(files)).len()
    }

    #[test]
    fn each_part_is_missed() {
        assert_eq!(found(&[TARGET, DECLARED, SEED]), 0);
        assert_eq!(found(&[TARGET, DECLARED]), 1);
        assert_eq!(found(&[TARGET, SEED]), 1);
        assert_eq!(found(&[SEED]), 1);
    }
}
