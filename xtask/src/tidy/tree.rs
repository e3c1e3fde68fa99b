//! The files of the project.

use std::path::Path;

use crate::exec::Cmd;
use crate::failure::Failure;
use crate::tidy::source::Source;
use crate::workspace::Workspace;

/// Every text file that git knows or would know, with what the manifests say of its crate.
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    /// Files that are not Rust.
    pub(crate) others: Vec<TextFile>,
    /// Paths of all files, also of those that are not text.
    pub(crate) paths: Vec<String>,
    /// Folders of the crates that hold allocator code, from the root, with their names.
    stones: Vec<(String, String)>,
}

/// A file that is not Rust.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Tree {
    pub(crate) fn load(workspace: &Workspace) -> Result<Self, Failure> {
        let mut tree = Self {
            sources: Vec::new(),
            others: Vec::new(),
            paths: list(&workspace.root)?,
            stones: workspace
                .stones()
                .map(|package| {
                    (
                        relative(&package.dir, &workspace.root),
                        package.name.clone(),
                    )
                })
                .collect(),
        };
        for path in &tree.paths {
            // Traces and other binary files hold no text to judge.
            let Ok(text) = std::fs::read_to_string(workspace.root.join(path)) else {
                continue;
            };
            match path.ends_with(".rs") {
                true => tree.sources.push(Source::new(path.as_str(), text)),
                false => tree.others.push(TextFile {
                    path: path.clone(),
                    text,
                }),
            }
        }
        Ok(tree)
    }

    /// A tree for tests of rules: one stone `drystone-s` in crates/s.
    #[cfg(test)]
    pub(crate) fn sample(files: &[(&str, &str)]) -> Self {
        let mut tree = Self {
            sources: Vec::new(),
            others: Vec::new(),
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            stones: vec![("crates/s".to_owned(), "drystone-s".to_owned())],
        };
        for (path, text) in files {
            match path.ends_with(".rs") {
                true => tree.sources.push(Source::new(*path, *text)),
                false => {
                    tree.others.push(TextFile {
                        path: (*path).into(),
                        text: (*text).into(),
                    });
                }
            }
        }
        tree
    }

    /// The sources of crates that hold allocator code, tests included.
    pub(crate) fn stone_sources(&self) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(|source| self.stone_of(&source.path).is_some())
    }

    /// The name of the allocator crate that holds `path`.
    pub(crate) fn stone_of(&self, path: &str) -> Option<&str> {
        self.stones
            .iter()
            .find(|(dir, _)| is_below(path, dir))
            .map(|(_, name)| name.as_str())
    }

    /// The sources below the folder `dir`, given from the root.
    pub(crate) fn sources_below(&self, dir: &str) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(move |source| is_below(&source.path, dir))
    }

    /// The text of a file that is not Rust, if it is there.
    pub(crate) fn text_of(&self, path: &str) -> Option<&str> {
        self.others
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    /// Whether `path` is a file or a folder of the project.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths
            .iter()
            .any(|file| file == path || is_below(file, path))
    }
}

/// Tracked files and those that a commit of everything would add.
fn list(root: &Path) -> Result<Vec<String>, Failure> {
    let command = Cmd::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .dir(root);
    let output = command.capture()?;
    if !output.success {
        return Err(Failure::failed(format!(
            "{}\n{}",
            command.line(),
            output.stderr
        )));
    }
    let mut paths: Vec<String> = output
        .stdout
        .split('\0')
        .filter(|path| !path.is_empty() && root.join(path).is_file())
        .map(str::to_owned)
        .collect();
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.starts_with('/'))
}

pub(crate) fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .to_string_lossy()
        .replace('\\', "/")
}
