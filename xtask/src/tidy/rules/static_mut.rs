//! Global state is reached through types that say who may touch it.

use super::wherever;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const MESSAGE: &str = "`static mut`: any thread may touch it at any time; use an atomic, a lock, or \
                       a thread-local cell";

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    tree.sources
        .iter()
        .flat_map(|source| wherever(source, "static mut", MESSAGE))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catches_it_and_leaves_references_alone() {
        let text = "static A: u8 = 0;\nstatic  mut B: u8 = 0;\nfn f(x: &'static mut u8) {}\n";
        let found = find(&Tree::sample(&[("a.rs", text)]));
        assert_eq!(
            found.iter().map(|finding| finding.line).collect::<Vec<_>>(),
            [2]
        );
    }
}
