//! Every member obeys the lints of the workspace, and every published crate explains itself.

use crate::tidy::Finding;
use crate::tidy::tree::{Tree, relative};
use crate::workspace::Workspace;

pub(crate) fn find(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in &workspace.packages {
        let path = relative(&package.dir.join("Cargo.toml"), &workspace.root);
        let Some(text) = tree.text_of(&path) else {
            continue;
        };
        found.extend(
            judge(text, package.published)
                .into_iter()
                .map(|m| Finding::new(&path, 0, m)),
        );
    }
    found
}

fn judge(manifest: &str, published: bool) -> Vec<String> {
    let mut found = Vec::new();
    if !manifest.contains("[lints]\nworkspace = true") {
        found.push("no `[lints] workspace = true`: the rules of the workspace do not hold here");
    }
    if published && !manifest.contains("\ndescription = \"") {
        found.push("no description: a registry shows nothing else at first sight");
    }
    found.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_missed() {
        let whole = "[package]\ndescription = \"x\"\n\n[lints]\nworkspace = true\n";
        assert_eq!(judge(whole, true), [""; 0]);
        assert_eq!(judge("[package]\ndescription = \"x\"\n", true).len(), 1);
        assert_eq!(
            judge("[package]\n[lints]\nworkspace = true\n", true).len(),
            1
        );
        assert_eq!(
            judge("[package]\n[lints]\nworkspace = true\n", false),
            [""; 0]
        );
    }
}
