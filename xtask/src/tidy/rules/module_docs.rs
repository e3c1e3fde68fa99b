//! The docs of a crate and of an allocator's module say the same five things everywhere.

use crate::tidy::Finding;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::Tree;

const HEADINGS: &[&str] = &["What", "Memory picture", "Invariants", "Threads", "Cost"];

/// The traits whose implementation makes a type an allocator or a range.
const TRAITS: &[&str] = &["Allocator", "FixedRange"];

/// Holds the contracts and their adapters, no allocator with a memory of its own.
const CONTRACTS: &str = "drystone-core";

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let roots = tree.stone_sources().filter_map(root_finding);
    let modules = tree
        .stone_sources()
        .filter(|source| source.is_in_src() && tree.stone_of(&source.path) != Some(CONTRACTS))
        .filter(|source| !allocators(source).is_empty())
        .filter_map(|source| finding(tree, source));
    roots.chain(modules).collect()
}

fn root_finding(source: &Source) -> Option<Finding> {
    let missing = missing_headings(source);
    if !source.path.ends_with("/src/lib.rs") || missing.is_empty() {
        return None;
    }
    let message = format!(
        "the docs of the crate lack the headings {}",
        missing.join(", ")
    );
    Some(Finding::new(&source.path, 1, message))
}

/// A file in a module's folder may leave the headings to the module: they describe one memory.
fn finding(tree: &Tree, source: &Source) -> Option<Finding> {
    let missing = missing_headings(source);
    let parent = source
        .path
        .rsplit_once('/')
        .map(|(dir, _)| format!("{dir}/mod.rs"));
    let parent = tree
        .sources
        .iter()
        .find(|other| Some(&other.path) == parent.as_ref());
    if missing.is_empty() || parent.is_some_and(|parent| missing_headings(parent).is_empty()) {
        return None;
    }
    let message = format!(
        "the module docs of {} lack the headings {}: readers compare allocators by them",
        allocators(source).join(", "),
        missing.join(", ")
    );
    Some(Finding::new(&source.path, 1, message))
}

fn missing_headings(source: &Source) -> Vec<&'static str> {
    let docs = source.module_docs();
    HEADINGS
        .iter()
        .copied()
        .filter(|heading| !has_heading(&docs, heading))
        .collect()
}

fn has_heading(docs: &str, heading: &str) -> bool {
    docs.lines().any(|line| {
        line.starts_with('#')
            && line
                .trim_start_matches('#')
                .trim()
                .eq_ignore_ascii_case(heading)
    })
}

/// The public structs of `source` that it makes allocators or ranges.
pub(crate) fn allocators(source: &Source) -> Vec<&str> {
    let words = words(&source.code);
    let implementor = |at: usize| match (words[at].1, words.get(at + 1)?.1, words.get(at + 2)?.1) {
        (name, "for", implementor) if TRAITS.contains(&name) => Some(implementor),
        _ => None,
    };
    let implementors: Vec<&str> = (0..words.len()).filter_map(implementor).collect();
    words
        .windows(3)
        .filter(|window| window[0].1 == "pub" && window[1].1 == "struct")
        .map(|window| window[2].1)
        .filter(|name| implementors.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "pub struct Bump<B> { b: B }\nunsafe impl<B: FixedRange> Allocator\n    \
                        for Bump<B> {}\nunsafe impl Deallocator for Other {}\npub struct Other;";

    fn with_docs(headings: &[&str]) -> String {
        let docs: String = headings
            .iter()
            .map(|h| format!("//! # {h}\n//! Text.\n"))
            .collect();
        docs + CODE
    }

    fn found(path: &str, text: &str) -> Vec<Finding> {
        find(&Tree::sample(&[(path, text)]))
    }

    #[test]
    fn an_allocator_without_a_heading_is_found() {
        assert_eq!(found("crates/s/src/bump.rs", &with_docs(HEADINGS)), []);
        for missing in HEADINGS {
            let rest: Vec<&str> = HEADINGS.iter().copied().filter(|h| h != missing).collect();
            let found = found("crates/s/src/bump.rs", &with_docs(&rest));
            assert_eq!(found.len(), 1);
            assert!(found[0].message.contains(missing), "{}", found[0].message);
            assert!(
                found[0].message.contains("of Bump lack"),
                "{}",
                found[0].message
            );
        }
    }

    #[test]
    fn a_module_speaks_for_the_files_in_its_folder() {
        let found = |docs: &str| {
            let parent = ("crates/s/src/bump/mod.rs", docs);
            find(&Tree::sample(&[
                parent,
                ("crates/s/src/bump/scope.rs", CODE),
            ]))
            .len()
        };
        assert_eq!(found(&with_docs(HEADINGS)), 0);
        assert_eq!(found("//! # What\n"), 1);
    }

    #[test]
    fn a_crate_without_a_heading_is_found() {
        assert_eq!(found("crates/s/src/lib.rs", &with_docs(HEADINGS)).len(), 0);
        let without = found("crates/s/src/lib.rs", &with_docs(&HEADINGS[1..]));
        assert!(
            without[0]
                .message
                .contains("the crate lack the headings What")
        );
        assert_eq!(found("crates/other/src/lib.rs", "//! A crate.").len(), 0);
    }

    #[test]
    fn other_files_need_no_headings() {
        assert_eq!(found("crates/s/tests/bump.rs", CODE), []);
        assert_eq!(found("crates/other/src/bump.rs", CODE), []);
        assert_eq!(
            found("crates/s/src/a.rs", "unsafe impl<A> Allocator for &A {}"),
            []
        );
        let private = "struct A; unsafe impl FixedRange for A {}";
        assert_eq!(found("crates/s/src/a.rs", private), []);
    }
}
