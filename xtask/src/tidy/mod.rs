//! The project's own rules about its sources, each a file below `rules`.

mod rules;
pub(crate) mod source;
pub(crate) mod tree;

use crate::args::Args;
use crate::failure::Failure;
use crate::workspace::Workspace;
use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1; 0 means the file as a whole.
    pub(crate) line: usize,
    /// What is wrong there and why it matters.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

/// A rule and what looks for its breaches.
struct Rule {
    name: &'static str,
    find: fn(&Tree, &Workspace) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "file-length",
        find: |tree, _| rules::file_length::find(tree),
    },
    Rule {
        name: "unfinished",
        find: |tree, _| rules::unfinished::find(tree),
    },
    Rule {
        name: "module-docs",
        find: |tree, _| rules::module_docs::find(tree),
    },
    Rule {
        name: "arrows",
        find: |_, workspace| rules::arrows::find(workspace),
    },
    Rule {
        name: "machine-paths",
        find: |tree, _| rules::machine_paths::find(tree),
    },
    Rule {
        name: "ignored-tests",
        find: |tree, _| rules::ignored_tests::find(tree),
    },
    Rule {
        name: "static-mut",
        find: |tree, _| rules::static_mut::find(tree),
    },
    Rule {
        name: "provenance",
        find: |tree, _| rules::provenance::find(tree),
    },
    Rule {
        name: "atomics",
        find: |tree, _| rules::atomics::find(tree),
    },
    Rule {
        name: "quiet",
        find: |tree, _| rules::quiet::find(tree),
    },
    Rule {
        name: "links",
        find: |tree, _| rules::links::find(tree),
    },
    Rule {
        name: "named-in-docs",
        find: |tree, _| rules::named_in_docs::find(tree),
    },
    Rule {
        name: "fuzz-seeds",
        find: |tree, _| rules::fuzz_seeds::find(tree),
    },
    Rule {
        name: "c-header",
        find: |tree, _| rules::c_header::find(tree),
    },
    Rule {
        name: "manifests",
        find: rules::manifests::find,
    },
];

pub(crate) fn command(args: Args) -> Result<(), Failure> {
    args.finish()?;
    check(&Workspace::load()?)
}

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let tree = Tree::load(workspace)?;
    let mut broken = 0;
    for Rule { name, find } in RULES {
        for Finding {
            path,
            line,
            message,
        } in find(&tree, workspace)
        {
            println!("{path}:{line}: [{name}] {message}");
            broken += 1;
        }
    }
    println!(
        "{} rules over {} files: {broken} findings",
        RULES.len(),
        tree.paths.len()
    );
    match broken {
        0 => Ok(()),
        _ => Err(Failure::failed(format!("{broken} findings"))),
    }
}
