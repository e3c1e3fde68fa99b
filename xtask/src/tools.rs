//! The parts of the toolchain that a check needs, installed when they are missing.

use crate::exec::Cmd;
use crate::failure::Failure;

/// The toolchain for Miri, the sanitizers and fuzzing.
pub(crate) const NIGHTLY: &str = "nightly";

/// Makes sure that the nightly toolchain has `components`.
pub(crate) fn nightly_with(components: &[&str]) -> Result<(), Failure> {
    toolchain(NIGHTLY)?;
    let missing = missing_from(&installed("component", Some(NIGHTLY))?, components);
    install(
        &missing,
        Cmd::new("rustup")
            .args(["component", "add", "--toolchain", NIGHTLY])
            .args(missing.clone()),
    )
}

/// Makes sure that the toolchain in use can compile for `target`.
pub(crate) fn target(target: &str) -> Result<(), Failure> {
    target_of(None, target)
}

/// Makes sure that `toolchain` can compile for `target`.
pub(crate) fn target_of(toolchain: Option<&str>, target: &str) -> Result<(), Failure> {
    let missing = missing_from(&installed("target", toolchain)?, &[target]);
    let add = Cmd::new("rustup").args(["target", "add"]);
    let add = match toolchain {
        Some(toolchain) => add.args(["--toolchain", toolchain]),
        None => add,
    };
    install(&missing, add.args(missing.clone()))
}

/// Makes sure that rustup has `toolchain`.
pub(crate) fn toolchain(toolchain: &str) -> Result<(), Failure> {
    if Cmd::new("cargo")
        .arg(format!("+{toolchain}"))
        .arg("--version")
        .succeeds()
    {
        return Ok(());
    }
    install(
        &[toolchain],
        Cmd::new("rustup").args(["toolchain", "install", toolchain, "--profile", "minimal"]),
    )
}

/// Makes sure that the Cargo subcommand of the package `cargo-NAME` is there.
pub(crate) fn cargo_subcommand(name: &str) -> Result<(), Failure> {
    if Cmd::cargo(name).arg("--version").succeeds() {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    install(
        &[&package],
        Cmd::cargo("install").args([package.as_str(), "--locked"]),
    )
}

fn install(missing: &[&str], command: Cmd) -> Result<(), Failure> {
    if missing.is_empty() || command.run().is_ok() {
        return Ok(());
    }
    let what = missing.join(", ");
    Err(Failure::unavailable(format!(
        "{what} is missing and `{}` failed",
        command.line()
    )))
}

fn installed(kind: &str, toolchain: Option<&str>) -> Result<String, Failure> {
    let list = Cmd::new("rustup").args([kind, "list", "--installed"]);
    let list = match toolchain {
        Some(toolchain) => list.args(["--toolchain", toolchain]),
        None => list,
    };
    Ok(list.capture()?.stdout)
}

/// Which of `wanted` have no line in `installed`. A component's line may carry the host triple
/// after the name.
fn missing_from<'a>(installed: &str, wanted: &[&'a str]) -> Vec<&'a str> {
    let has = |name: &&str| {
        installed.lines().any(|line| {
            line.strip_prefix(*name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    wanted.iter().copied().filter(|name| !has(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_missing() {
        let installed = "miri-x86_64-unknown-linux-gnu\nrust-src\nrust-std-i686\n";
        assert_eq!(missing_from(installed, &["miri", "rust-src"]), [""; 0]);
        assert_eq!(missing_from(installed, &["miri", "rust"]), [""; 0]);
        assert_eq!(
            missing_from(installed, &["clippy", "mir"]),
            ["clippy", "mir"]
        );
    }
}
