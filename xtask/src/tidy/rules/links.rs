//! Links between the pages of the project lead somewhere.

use crate::tidy::Finding;
use crate::tidy::tree::{TextFile, Tree};

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let pages = tree.others.iter().filter(|file| file.path.ends_with(".md"));
    pages.flat_map(|page| broken_links(tree, page)).collect()
}

fn broken_links(tree: &Tree, page: &TextFile) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, target) in links(&page.text) {
        if let Some(reason) = broken(tree, page, target) {
            found.push(Finding::new(
                &page.path,
                line,
                format!("the link `{target}` {reason}"),
            ));
        }
    }
    found
}

/// The targets of `[text](target)` outside code blocks, with their lines.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (index, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            let rest = &line[at + 2..];
            found.extend(rest.find(')').map(|end| (index + 1, &rest[..end])));
        }
    }
    found
}

/// The lines outside fenced code, with their indices.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// Why `target` leads nowhere; `None` if it leads somewhere or out of the project.
fn broken(tree: &Tree, page: &TextFile, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        page.path.clone()
    } else {
        resolve(&page.path, path)
    };
    if !tree.has(&path) {
        return Some("names no file of the project");
    }
    let text = tree
        .text_of(&path)
        .filter(|_| !anchor.is_empty() && path.ends_with(".md"));
    match text {
        Some(text) if !anchors(text).any(|known| known == anchor) => Some("names no heading"),
        _ => None,
    }
}

/// `target` as a path from the root, when it stands on the page `from`.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The names under which the headings of a page can be linked to.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| line.trim_start_matches('#').trim())
        .map(|heading| {
            let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            heading
                .to_lowercase()
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<usize> {
        let tree = Tree::sample(&[
            ("docs/A.md", page),
            (
                "docs/B.md",
                "# Two words: `x`\n\n```text\n# not a heading\n```\n",
            ),
            ("crates/s/src/lib.rs", ""),
        ]);
        find(&tree).iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn catches_links_that_lead_nowhere() {
        for link in [
            "C.md",
            "../B.md",
            "B.md#three",
            "B.md#not-a-heading",
            "#here",
            "../src",
        ] {
            assert_eq!(found(&format!("# T\n\nsee [x]({link})\n")), [3], "{link}");
        }
    }

    #[test]
    fn follows_links_that_lead_somewhere() {
        for link in [
            "B.md",
            "B.md#two-words-x",
            "#t",
            "../crates/s",
            "../crates/s/src/",
            "https://a.b/c",
        ] {
            assert_eq!(
                found(&format!("# T\n\nsee [x]({link})\n")),
                [0; 0],
                "{link}"
            );
        }
        assert_eq!(found("```\n[x](nowhere)\n```\n"), [0; 0]);
    }
}
