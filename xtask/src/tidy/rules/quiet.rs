//! Allocator code writes nothing: printing allocates and locks.

use super::wherever;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const MACROS: &[&str] = &["print!", "println!", "eprint!", "eprintln!"];

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in tree.stone_sources().filter(|source| source.is_in_src()) {
        for name in MACROS {
            let message = format!("`{name}` allocates and locks: an allocator stays silent");
            found.extend(wherever(source, name, &message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catches_printing_in_sources_only() {
        for name in MACROS {
            let text = format!("fn f() {{\n    {name}(\"x\");\n}}");
            let found = |path| find(&Tree::sample(&[(path, text.as_str())])).len();
            assert_eq!(found("crates/s/src/a.rs"), 1, "{name}");
            assert_eq!(found("crates/s/tests/a.rs"), 0, "{name}");
        }
        let docs = "/// println!(\"in an example\");\nfn f() {}";
        assert_eq!(find(&Tree::sample(&[("crates/s/src/a.rs", docs)])), []);
    }
}
