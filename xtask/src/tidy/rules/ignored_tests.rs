//! A test that does not run says why.

use crate::tidy::Finding;
use crate::tidy::source::{Source, words};
use crate::tidy::tree::Tree;

const MESSAGE: &str = "an ignored test without a reason: write `ignore = \"why, and the command that \
                       runs it\"`";

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in &tree.sources {
        for at in bare_ignores(source) {
            found.push(Finding::new(&source.path, source.line_of(at), MESSAGE));
        }
    }
    found
}

/// Where `ignore` stands as an attribute, alone or inside `cfg_attr`, without a reason.
fn bare_ignores(source: &Source) -> Vec<usize> {
    let words = words(&source.code);
    let mut found = Vec::new();
    for (index, (at, word)) in words.iter().enumerate() {
        let nth = |index: usize| words.get(index).map_or("", |(_, word)| *word);
        let is_attribute = index > 0 && matches!(nth(index - 1), "[" | ",");
        if *word != "ignore" || !is_attribute {
            continue;
        }
        let bare = matches!(nth(index + 1), "]" | ")");
        let empty = nth(index + 1) == "=" && source.text[*at..].starts_with("ignore = \"\"");
        if in_attribute(&words[..index]) && (bare || empty) {
            found.push(*at);
        }
    }
    found
}

/// Whether the last `[` that is still open follows a `#`.
fn in_attribute(before: &[(usize, &str)]) -> bool {
    let mut depth = 0_usize;
    for (index, (_, word)) in before.iter().enumerate().rev() {
        match *word {
            "]" => depth += 1,
            "[" if depth == 0 => return index > 0 && before[index - 1].1 == "#",
            "[" => depth -= 1,
            ";" => return false,
            _ => {}
        }
    }
    false
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
    fn catches_ignores_without_reason() {
        for attribute in ["#[ignore]", "#[cfg_attr(miri, ignore)]", "#[ignore = \"\"]"] {
            assert_eq!(
                lines(&format!("#[test]\n{attribute}\nfn f() {{}}")),
                [2],
                "{attribute}"
            );
        }
    }

    #[test]
    fn a_reason_is_enough() {
        assert_eq!(
            lines("#[ignore = \"hours: cargo xtask soak\"]\nfn f() {}"),
            [0; 0]
        );
        assert_eq!(
            lines("#[cfg_attr(miri, ignore = \"forks\")]\nfn f() {}"),
            [0; 0]
        );
        assert_eq!(lines("let x = [a, ignore]; f(a, ignore)"), [0; 0]);
    }
}
