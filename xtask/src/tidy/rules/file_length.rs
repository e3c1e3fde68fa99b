//! A file is short enough to be read in one sitting.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const LINES_MAX: usize = 799;

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let long = tree
        .sources
        .iter()
        .map(|source| (source, source.text.lines().count()));
    long.filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(source, lines)| {
            let message = format!("{lines} lines; a file holds one idea in at most {LINES_MAX}");
            Finding::new(&source.path, 0, message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_file_and_one_line_more() {
        let longest = "\n".repeat(LINES_MAX);
        let longer = "\n".repeat(LINES_MAX + 1);
        let found = find(&Tree::sample(&[
            ("a.rs", longest.as_str()),
            ("b.rs", longer.as_str()),
        ]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, "b.rs");
    }
}
