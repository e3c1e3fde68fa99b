//! Tables in the docs are complete: every wrapper and every result file has its line.

use super::module_docs::allocators;
use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const WRAPPERS: (&str, &str) = ("drystone-wrap", "docs/COMPOSING.md");
const RESULTS: &str = "benches/results/";
const PAGES: &[&str] = &["docs/BENCHMARKS.md", "docs/design/"];

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    wrappers(tree, WRAPPERS.0)
        .into_iter()
        .chain(results(tree))
        .collect()
}

/// Every public wrapper of the crate `wrap` stands in the page of wrapper × promise.
fn wrappers(tree: &Tree, wrap: &str) -> Vec<Finding> {
    let page = WRAPPERS.1;
    let Some(text) = tree.text_of(page) else {
        return Vec::new();
    };
    let sources = tree.stone_sources().filter(|source| source.is_in_src());
    sources
        .filter(|source| tree.stone_of(&source.path) == Some(wrap))
        .flat_map(|source| {
            allocators(source)
                .into_iter()
                .map(move |name| (source, name))
        })
        .filter(|(_, name)| !names(text, name))
        .map(|(source, name)| {
            let message =
                format!("{page} does not name `{name}`: what it forwards is part of its contract");
            Finding::new(&source.path, 0, message)
        })
        .collect()
}

/// Every committed table of figures stands in a page that says how the figures were made: the
/// page of benchmarks, or the design page of what was measured.
fn results(tree: &Tree) -> Vec<Finding> {
    let says_how = |table: &str| {
        let is_page = |path: &str| PAGES.iter().any(|start| path.starts_with(start));
        tree.others
            .iter()
            .any(|file| is_page(&file.path) && file.text.contains(table))
    };
    let tables = tree
        .paths
        .iter()
        .filter_map(|path| Some((path, path.strip_prefix(RESULTS)?)));
    tables
        .filter(|(_, table)| table.ends_with(".csv") && !says_how(table))
        .map(|(path, _)| {
            let message = format!("no page of {} says how it was made", PAGES.join(", "));
            Finding::new(path, 0, message)
        })
        .collect()
}

/// Whether `name` stands in `text` as code: `` `Name` `` or `` `Name<…>` ``.
fn names(text: &str, name: &str) -> bool {
    text.match_indices(&format!("`{name}"))
        .any(|(at, found)| text[at + found.len()..].starts_with(['`', '<', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRAPPER: (&str, &str) = (
        "crates/s/src/locked.rs",
        "pub struct Locked<A>(A);\nimpl<A> Allocator for Locked<A> {}",
    );

    fn missing_wrappers(page: &str) -> usize {
        wrappers(
            &Tree::sample(&[WRAPPER, ("docs/COMPOSING.md", page)]),
            "drystone-s",
        )
        .len()
    }

    #[test]
    fn a_wrapper_that_the_page_leaves_out_is_found() {
        assert_eq!(missing_wrappers("| `LockedRegion<A>` | Locked |"), 1);
        assert_eq!(missing_wrappers("| `Locked<A>` |"), 0);
        assert_eq!(missing_wrappers("| `Locked` |"), 0);
        assert_eq!(wrappers(&Tree::sample(&[WRAPPER]), "drystone-s"), []);
    }

    #[test]
    fn a_table_of_figures_without_its_making_is_found() {
        let found = |path, page| {
            let csv = ("benches/results/slab.csv", "a,b\n");
            results(&Tree::sample(&[csv, (path, page)])).len()
        };
        let made = "`results/slab.csv`: cargo xtask bench slab";
        assert_eq!(found("docs/BENCHMARKS.md", "made by hand"), 1);
        assert_eq!(found("docs/BENCHMARKS.md", made), 0);
        assert_eq!(found("docs/design/slab.md", made), 0);
        assert_eq!(found("README.md", made), 1);
    }
}
