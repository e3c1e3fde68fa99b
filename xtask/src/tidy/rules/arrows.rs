//! Which crate may use which: the table of docs/ARCHITECTURE.md, as code.

use crate::tidy::Finding;
use crate::tidy::tree::relative;
use crate::workspace::Workspace;

/// Whom a crate may use.
enum Uses {
    Only(&'static [&'static str]),
    Everything,
}

use Uses::{Everything, Only};

/// The faces use everything; the roots next to nothing; what lies between uses only the roots,
/// so that siblings do not know each other.
const TABLE: &[(&str, Uses)] = &[
    ("drystone", Everything),
    ("drystone-malloc", Everything),
    ("drystone-lab", Everything),
    ("drystone-benches", Everything),
    ("drystone-core", Only(&[])),
    ("drystone-sync", Only(&["drystone-core"])),
    (
        "drystone-backing",
        Only(&["drystone-core", "drystone-sync"]),
    ),
    ("drystone-wrap", Only(&["drystone-core", "drystone-sync"])),
    ("drystone-layout", Only(&["drystone-core", "drystone-sync"])),
    (
        "drystone-pool",
        Only(&["drystone-core", "drystone-sync", "drystone-backing"]),
    ),
    (
        "drystone-arena",
        Only(&["drystone-core", "drystone-sync", "drystone-backing"]),
    ),
    ("drystone-trace", Only(&["drystone-core", "drystone-sync"])),
    ("drystone-testkit", Only(TESTKIT)),
    ("xtask", Only(&[])),
];

/// Layouts, wrappers, the pool and the arena only for the fuzz targets, which drive the real ones.
const TESTKIT: &[&str] = &[
    "drystone-core",
    "drystone-sync",
    "drystone-backing",
    "drystone-layout",
    "drystone-wrap",
    "drystone-pool",
    "drystone-arena",
];

const REASON: &str = "a new arrow is a design decision: record it with its reason in \
                      docs/ARCHITECTURE.md and in xtask/src/tidy/rules/arrows.rs";

/// What a crate's tests use is their own affair; what it is built from is not.
pub(crate) fn find(workspace: &Workspace) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        let built_from = package
            .dependencies
            .iter()
            .filter(|dependency| !dependency.dev);
        for message in judge(&package.name, built_from.map(|dep| dep.name.as_str())) {
            let manifest = relative(&package.dir.join("Cargo.toml"), &workspace.root);
            found.push(Finding::new(&manifest, 0, message));
        }
    }
    found
}

fn judge<'d>(name: &str, dependencies: impl Iterator<Item = &'d str>) -> Vec<String> {
    let Some((_, uses)) = TABLE.iter().find(|(known, _)| *known == name) else {
        return vec![format!(
            "{name} has no row in the table of arrows; {REASON}"
        )];
    };
    let allowed = |dependency: &str| match uses {
        Everything => true,
        Only(allowed) => allowed.contains(&dependency),
    };
    dependencies
        .filter(|dependency| dependency.starts_with("drystone") && !allowed(dependency))
        .map(|dependency| format!("{name} -> {dependency} is no arrow of the table; {REASON}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(name: &str, dependencies: &[&str]) -> Vec<String> {
        judge(name, dependencies.iter().copied())
    }

    #[test]
    fn a_new_arrow_is_named() {
        let found = judged(
            "drystone-layout",
            &["drystone-core", "drystone-backing", "libc"],
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("drystone-layout -> drystone-backing is no arrow"));
        assert_eq!(judged("drystone-sync", &["drystone-wrap"]).len(), 1);
    }

    #[test]
    fn the_table_and_outside_crates_pass() {
        assert_eq!(
            judged("drystone-layout", &["drystone-core", "drystone-sync"]),
            [""; 0]
        );
        assert_eq!(judged("drystone-core", &["serde", "zeroize"]), [""; 0]);
        assert_eq!(
            judged("drystone", &["drystone-layout", "drystone-testkit"]),
            [""; 0]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_named() {
        let found = judged("drystone-new", &[]);
        assert!(
            found[0].starts_with("drystone-new has no row"),
            "{}",
            found[0]
        );
    }
}
