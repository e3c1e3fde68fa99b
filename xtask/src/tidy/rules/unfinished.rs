//! Nothing is left for later in the sources, and no test passes by saying so.

use super::wherever;
use crate::tidy::Finding;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::Tree;

const MARKS: &[&str] = &["TODO", "FIXME", "XXX"];

const PHRASES: &[(&str, &str)] = &[
    ("todo!", "unfinished code does not enter the tree"),
    (
        "unimplemented!",
        "what cannot be done is a typed error, or no function at all",
    ),
    ("dbg!", "a trace of debugging"),
    ("assert!(true", "this cannot fail, so it tests nothing"),
];

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        found.extend(marks(source));
        for (phrase, reason) in PHRASES {
            found.extend(wherever(source, phrase, &format!("`{phrase}`: {reason}")));
        }
    }
    found
}

fn marks(source: &Source) -> impl Iterator<Item = Finding> {
    words(&source.comments)
        .into_iter()
        .filter(|(_, word)| MARKS.contains(word))
        .map(|(at, word)| {
            let message = format!("{word}: work left for later belongs to the issue list");
            Finding::new(&source.path, source.line_of(at), message)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        find(&Tree::sample(&[("a.rs", text)]))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn catches_each_mark_and_macro() {
        for text in [
            "// TODO: b",
            "/* FIXME */",
            "/// XXX",
            "todo!()",
            "unimplemented! ()",
            "dbg!(x)",
            "assert!(true)",
            "assert!( true, \"x\")",
        ] {
            assert_eq!(lines(&format!("fn f() {{}}\n{text}")), [2], "{text}");
        }
    }

    #[test]
    fn leaves_text_and_other_names_alone() {
        assert_eq!(lines("let a = \"TODO\"; let todo = 1; // todos"), [0; 0]);
        assert_eq!(lines("assert!(true_or(b)); debug_assert!(a)"), [0; 0]);
    }
}
