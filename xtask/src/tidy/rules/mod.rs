//! The rules.

pub(crate) mod arrows;
pub(crate) mod atomics;
pub(crate) mod c_header;
pub(crate) mod file_length;
pub(crate) mod fuzz_seeds;
pub(crate) mod ignored_tests;
pub(crate) mod links;
pub(crate) mod machine_paths;
pub(crate) mod manifests;
pub(crate) mod module_docs;
pub(crate) mod named_in_docs;
pub(crate) mod provenance;
pub(crate) mod quiet;
pub(crate) mod static_mut;
pub(crate) mod unfinished;

use crate::tidy::Finding;
use crate::tidy::source::{Source, words};

/// The positions in the code of `source` where `phrase` stands, word by word, whatever space
/// lies between.
fn phrase_in<'s>(source: &'s Source, phrase: &str) -> Vec<usize> {
    let wanted: Vec<&str> = words(phrase).into_iter().map(|(_, word)| word).collect();
    let words: Vec<(usize, &'s str)> = words(&source.code);
    words
        .windows(wanted.len())
        .filter(|window| {
            window
                .iter()
                .map(|(_, word)| *word)
                .eq(wanted.iter().copied())
        })
        .map(|window| window[0].0)
        .collect()
}

/// A finding with `message` wherever `phrase` stands in the code of `source`.
fn wherever(source: &Source, phrase: &str, message: &str) -> Vec<Finding> {
    phrase_in(source, phrase)
        .into_iter()
        .map(|at| Finding::new(&source.path, source.line_of(at), message))
        .collect()
}
