//! Atomics come from one crate, so that loom sees every one of them.

use super::phrase_in;
use crate::tidy::Finding;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::Tree;

/// The crate that re-exports atomics or loom's imitations of them.
const HOME: &str = "drystone-sync";

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    tree.stone_sources()
        .filter(|source| source.is_in_src() && tree.stone_of(&source.path) != Some(HOME))
        .flat_map(|source| {
            let message = format!("an atomic that {HOME} does not hand out is invisible to loom");
            uses(source)
                .into_iter()
                .map(move |at| Finding::new(&source.path, source.line_of(at), message.clone()))
        })
        .collect()
}

/// Where the standard library's atomics are named, in full or in a grouped import, outside the
/// modules that only tests have.
fn uses(source: &Source) -> Vec<usize> {
    let mut found = phrase_in(source, "core::sync::atomic");
    found.extend(phrase_in(source, "std::sync::atomic"));
    found.extend(grouped_imports(source));
    found.sort_unstable();
    let tests = source.test_modules();
    found.retain(|at| !tests.iter().any(|module| module.contains(at)));
    found
}

/// `use std::sync::{atomic::…}` and the like, which no fixed phrase matches.
fn grouped_imports(source: &Source) -> Vec<usize> {
    let words = words(&source.code);
    let statements = words.split(|(_, word)| *word == ";");
    statements.filter_map(grouped_import).collect()
}

fn grouped_import(statement: &[(usize, &str)]) -> Option<usize> {
    let start = statement.iter().rposition(|(_, word)| *word == "use")?;
    let import: Vec<&str> = statement[start..].iter().map(|(_, word)| *word).collect();
    let from_std = matches!(import.get(1), Some(&("core" | "std")));
    let plain = import
        .windows(4)
        .any(|window| window == ["sync", ":", ":", "atomic"]);
    (from_std && !plain && import.contains(&"atomic")).then_some(statement[start].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        find(&Tree::sample(&[(path, text)]))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn catches_every_way_to_name_them() {
        for text in [
            "use core::sync::atomic::AtomicU8;",
            "use std::sync::atomic::{AtomicU8, Ordering};",
            "use core::sync::{atomic::AtomicU8};",
            "use std::{cell::Cell, sync::{Arc, atomic}};",
            "fn f() { ::core::sync::atomic::fence(o); }",
        ] {
            assert_eq!(
                found("crates/s/src/a.rs", &format!("\n{text}")),
                [2],
                "{text}"
            );
        }
    }

    #[test]
    fn the_shim_and_tests_pass() {
        let shim = "use drystone_sync::atomic::AtomicU8; use std::sync::Arc;";
        assert_eq!(found("crates/s/src/a.rs", shim), [0; 0]);
        let direct = "use std::sync::atomic::AtomicU8;";
        assert_eq!(found("crates/s/tests/a.rs", direct), [0; 0]);
        assert_eq!(found("crates/lab/src/a.rs", direct), [0; 0]);
        let in_tests = format!("#[cfg(test)]\nmod tests {{ {direct} }}");
        assert_eq!(found("crates/s/src/a.rs", &in_tests), [0; 0]);
        assert_eq!(
            found("crates/s/src/a.rs", &format!("{in_tests}\n{direct}")),
            [3]
        );
    }
}
