//! No file speaks of the machine that it was written on.

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

/// First parts of paths that exist on one machine and not on the next.
const FOLDERS: &[&str] = &["work", "root", "home", "tmp"];

pub(crate) fn find(tree: &Tree) -> Vec<Finding> {
    let sources = tree
        .sources
        .iter()
        .map(|source| (&source.path, &source.text));
    let others = tree.others.iter().map(|file| (&file.path, &file.text));
    sources
        .chain(others)
        .flat_map(|(path, text)| {
            text.lines().enumerate().filter_map(|(index, line)| {
                let folder = machine_path(line)?;
                let message = format!("a path below /{folder}: it means nothing on other machines");
                Some(Finding::new(path, index + 1, message))
            })
        })
        .collect()
}

/// The folder of [`FOLDERS`] in which an absolute path of `line` begins.
fn machine_path(line: &str) -> Option<&'static str> {
    FOLDERS.iter().copied().find(|folder| {
        line.match_indices(&format!("/{folder}/")).any(|(at, _)| {
            !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~*/}>".contains(c))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catches_absolute_paths() {
        for folder in FOLDERS {
            let line = format!("let path = \"/{folder}/x\";");
            assert_eq!(machine_path(&line), Some(*folder));
            let tree = format!("# a\n{line}\n");
            let found = find(&Tree::sample(&[("Cargo.toml", tree.as_str())]));
            assert_eq!((found.len(), found[0].line), (1, 2));
        }
    }

    #[test]
    fn leaves_relative_paths_and_urls_alone() {
        for folder in FOLDERS {
            for line in [
                "https://a.org/F/x",
                "target/F/x",
                "a /F",
                "$HOME/F.txt",
                "../F/x",
            ] {
                assert_eq!(
                    machine_path(&line.replace('F', folder)),
                    None,
                    "{line} {folder}"
                );
            }
        }
    }
}
