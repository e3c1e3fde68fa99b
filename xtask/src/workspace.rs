//! The workspace as `cargo metadata` tells it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::exec::Cmd;
use crate::failure::Failure;

/// The members of the workspace and where things lie.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) target_dir: PathBuf,
    pub(crate) packages: Vec<Package>,
}

/// One member.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) published: bool,
    /// Has a library and no program.
    pub(crate) is_library: bool,
    /// The programs below `tests/`, by name.
    pub(crate) test_programs: Vec<String>,
    pub(crate) rust_version: Option<String>,
    /// Declared features, in the order of their names, `default` among them.
    pub(crate) features: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) keys: Keys,
}

/// What a manifest says below `[package.metadata.drystone]`. Each key defaults to false or none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// `no-std`: builds without features for targets that have no operating system.
    pub(crate) no_std: bool,
    /// `miri`: its whole test target runs under Miri and under the sanitizers.
    pub(crate) miri: bool,
    /// `miri-tree`: those tests run under Tree Borrows too on every change, not in the larger
    /// matrix only.
    pub(crate) miri_tree: bool,
    /// `miri-repeats`: by the end of a test program's name, parts of the names of tests that are
    /// under Miri what other tests of the program are. The larger matrix alone has them there.
    pub(crate) miri_repeats: Vec<(String, Vec<String>)>,
    /// `loom`: has models named `loom2_…` or `loom3_…` in its library.
    pub(crate) loom: bool,
    /// `many-seeds`: the names of its test programs that run threads, and so depend on the
    /// schedule that Miri picks.
    pub(crate) many_seeds: Vec<String>,
    /// `tool`: serves development or measurement; the rules for allocator code do not apply.
    pub(crate) tool: bool,
}

/// A dependency as the manifest declares it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) dev: bool,
    pub(crate) default_features: bool,
}

impl Workspace {
    /// Reads the workspace that this program was built from.
    pub(crate) fn load() -> Result<Self, Failure> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .ok_or_else(|| Failure::failed("the xtask package has no parent folder"))?;
        let metadata = metadata(&root.join("Cargo.toml"))?;
        Self::parse(&metadata)
    }

    fn parse(metadata: &Value) -> Result<Self, Failure> {
        Ok(Self {
            root: PathBuf::from(text(metadata, "workspace_root")?),
            target_dir: PathBuf::from(text(metadata, "target_directory")?),
            packages: packages(metadata)?,
        })
    }

    pub(crate) fn published(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.published)
    }

    /// The crates that programs use.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.published().filter(|package| package.is_library)
    }

    /// The crates that hold allocator code: libraries that are not tools.
    pub(crate) fn stones(&self) -> impl Iterator<Item = &Package> {
        self.libraries().filter(|package| !package.keys.tool)
    }

    /// `wanted`, each checked to be a member, or every package that `default` picks.
    pub(crate) fn select(
        &self,
        wanted: &[String],
        default: impl Fn(&Package) -> bool,
    ) -> Result<Vec<&Package>, Failure> {
        if wanted.is_empty() {
            return Ok(self
                .packages
                .iter()
                .filter(|package| default(package))
                .collect());
        }
        wanted.iter().map(|name| self.package(name)).collect()
    }

    fn package(&self, name: &str) -> Result<&Package, Failure> {
        self.packages
            .iter()
            .find(|package| package.name == name)
            .ok_or_else(|| Failure::usage(format!("the workspace has no crate `{name}`")))
    }
}

/// What `cargo metadata` says of the workspace of `manifest`, dependencies outside it left out.
pub(crate) fn metadata(manifest: &Path) -> Result<Value, Failure> {
    let command = Cmd::cargo("metadata")
        .args(["--format-version", "1", "--no-deps", "--manifest-path"])
        .arg(manifest.display().to_string());
    let output = command.capture()?;
    if !output.success {
        return Err(Failure::failed(format!(
            "{}\n{}",
            command.line(),
            output.stderr
        )));
    }
    serde_json::from_str(&output.stdout)
        .map_err(|error| Failure::failed(format!("cargo metadata: {error}")))
}

/// The packages in what [`metadata`] returned, in the order of their names.
pub(crate) fn packages(metadata: &Value) -> Result<Vec<Package>, Failure> {
    let mut packages = array(metadata, "packages")
        .map(Package::parse)
        .collect::<Result<Vec<_>, _>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

impl Package {
    fn parse(value: &Value) -> Result<Self, Failure> {
        let name = text(value, "name")?.to_owned();
        let manifest = PathBuf::from(text(value, "manifest_path")?);
        let dir = manifest.parent().map(Path::to_owned).unwrap_or_default();
        let keys = Keys::parse(&value["metadata"]["drystone"])
            .map_err(|reason| Failure::failed(format!("{}: {reason}", manifest.display())))?;
        let mut features: Vec<String> = value["features"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        features.sort();
        let targets = |wanted: &'static str| {
            array(value, "targets")
                .filter(move |target| array(target, "kind").any(|kind| kind == wanted))
        };
        let has_target = |wanted| targets(wanted).next().is_some();
        Ok(Self {
            dir,
            published: value["publish"].is_null(),
            is_library: has_target("lib") && !has_target("bin"),
            test_programs: targets("test")
                .map(|target| text(target, "name").map(str::to_owned))
                .collect::<Result<_, _>>()?,
            rust_version: value["rust_version"].as_str().map(str::to_owned),
            features,
            dependencies: array(value, "dependencies")
                .map(Dependency::parse)
                .collect::<Result<_, _>>()?,
            keys,
            name,
        })
    }
}

impl Keys {
    fn parse(value: &Value) -> Result<Self, String> {
        let mut keys = Self::default();
        for (name, value) in value.as_object().into_iter().flatten() {
            let flag = || {
                value
                    .as_bool()
                    .ok_or_else(|| format!("`{name}` is true or false"))
            };
            match name.as_str() {
                "no-std" => keys.no_std = flag()?,
                "miri" => keys.miri = flag()?,
                "miri-tree" => keys.miri_tree = flag()?,
                "miri-repeats" => keys.miri_repeats = lists(name, value)?,
                "loom" => keys.loom = flag()?,
                "many-seeds" => keys.many_seeds = names(name, value)?,
                "tool" => keys.tool = flag()?,
                _ => return Err(format!("unknown key `{name}` in package.metadata.drystone")),
            }
        }
        Ok(keys)
    }
}

fn names(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let list = value.as_array().into_iter().flatten();
    let names: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
    match names.len() {
        0 => Err(format!("`{key}` is a list of names")),
        _ => Ok(names),
    }
}

fn lists(key: &str, value: &Value) -> Result<Vec<(String, Vec<String>)>, String> {
    let table = value
        .as_object()
        .ok_or_else(|| format!("`{key}` is a table of lists"))?;
    table
        .iter()
        .map(|(name, list)| Ok((name.clone(), names(&format!("{key}.{name}"), list)?)))
        .collect()
}

impl Dependency {
    fn parse(value: &Value) -> Result<Self, Failure> {
        Ok(Self {
            name: text(value, "name")?.to_owned(),
            dev: value["kind"] == "dev",
            default_features: value["uses_default_features"].as_bool().unwrap_or(true),
        })
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, Failure> {
    value[key]
        .as_str()
        .ok_or_else(|| Failure::failed(format!("cargo metadata: no text under `{key}`")))
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Value {
        serde_json::json!({
            "workspace_root": "/r", "target_directory": "/r/target",
            "packages": [
                { "name": "tool", "manifest_path": "/r/tool/Cargo.toml", "publish": [],
                  "targets": [{ "kind": ["bin"] }, { "kind": ["lib"] }], "features": {}, "dependencies": [],
                  "metadata": null, "rust_version": null },
                { "name": "stone", "manifest_path": "/r/stone/Cargo.toml", "publish": null,
                  "targets": [{ "kind": ["lib"] }, { "kind": ["test"], "name": "laws" }],
                  "features": { "std": [], "default": ["std"] }, "rust_version": "1.87",
                  "dependencies": [
                      { "name": "root", "kind": null, "uses_default_features": false },
                      { "name": "kit", "kind": "dev", "uses_default_features": true } ],
                  "metadata": { "drystone": { "no-std": true, "loom": false } } },
            ],
        })
    }

    #[test]
    fn reads_members_their_keys_and_dependencies() {
        let workspace = Workspace::parse(&sample()).unwrap();
        assert_eq!(workspace.root, Path::new("/r"));
        let stone = workspace.package("stone").unwrap();
        assert_eq!(
            stone.keys,
            Keys {
                no_std: true,
                ..Keys::default()
            }
        );
        assert_eq!(stone.features, ["default", "std"]);
        assert_eq!(stone.rust_version.as_deref(), Some("1.87"));
        assert!(stone.published && stone.is_library);
        assert_eq!(stone.test_programs, ["laws"]);
        assert!(!workspace.package("tool").unwrap().is_library);
        assert!(!stone.dependencies[0].dev && !stone.dependencies[0].default_features);
        assert!(stone.dependencies[1].dev);
        let names: Vec<_> = workspace
            .stones()
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(names, ["stone"]);
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        let keys = Keys::parse(&serde_json::json!({ "no_std": true }));
        assert_eq!(
            keys,
            Err("unknown key `no_std` in package.metadata.drystone".to_owned())
        );
        let keys = Keys::parse(&serde_json::json!({ "miri": 1 }));
        assert_eq!(keys, Err("`miri` is true or false".to_owned()));
        let keys = Keys::parse(&serde_json::json!({ "many-seeds": true }));
        assert_eq!(keys, Err("`many-seeds` is a list of names".to_owned()));
        let keys = Keys::parse(&serde_json::json!({ "many-seeds": ["a", "b"] }));
        assert_eq!(keys.unwrap().many_seeds, ["a", "b"]);
        let keys = Keys::parse(&serde_json::json!({ "miri-repeats": { "laws": "a" } }));
        assert_eq!(
            keys,
            Err("`miri-repeats.laws` is a list of names".to_owned())
        );
        let keys = Keys::parse(&serde_json::json!({ "miri-repeats": { "laws": ["a"] } }));
        let expected = ("laws".to_owned(), vec!["a".to_owned()]);
        assert_eq!(keys.unwrap().miri_repeats, [expected]);
    }

    #[test]
    fn a_crate_that_is_not_a_member_is_a_usage_error() {
        let workspace = Workspace::parse(&sample()).unwrap();
        let outcome = workspace.select(&["absent".to_owned()], |_| true);
        assert_eq!(
            outcome.unwrap_err(),
            Failure::usage("the workspace has no crate `absent`")
        );
    }
}
