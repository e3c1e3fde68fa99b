//! Puts facts of the build into the program: compiler, profile, commit.

use std::path::Path;
use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    tell(
        "DRYSTONE_COMPILER",
        line(Command::new(rustc).arg("--version")),
    );
    tell("DRYSTONE_PROFILE", std::env::var("PROFILE").ok());
    tell(
        "DRYSTONE_COMMIT",
        line(Command::new("git").args(["rev-parse", "--short=12", "HEAD"])),
    );
    println!("cargo::rerun-if-changed=build.rs");
    let head = Path::new("../../.git/logs/HEAD");
    if head.exists() {
        println!("cargo::rerun-if-changed={}", head.display());
    }
}

fn tell(key: &str, value: Option<String>) {
    println!(
        "cargo::rustc-env={key}={}",
        value.as_deref().unwrap_or("not told")
    );
}

/// The first line that a command prints, if it succeeds.
fn line(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}
