//! The two lists of gates.

use crate::args::Args;
use crate::checks::{
    bench_arena, features, fuzz, loom, miri, msrv, outside, package, sanitizers, targets,
    unsafe_budget,
};
use crate::exec::Cmd;
use crate::failure::Failure;
use crate::gates::{self, Gate, Selection};
use crate::tidy;
use crate::tools::{self, NIGHTLY};
use crate::workspace::Workspace;

/// What every change passes, cheapest first; two cores need under forty minutes.
const CI: &[Gate] = &[
    Gate {
        name: "tidy",
        command: "cargo xtask tidy",
        run: tidy::check,
    },
    Gate {
        name: "fmt",
        command: "cargo fmt --check, everywhere",
        run: fmt,
    },
    Gate {
        name: "unsafe-budget",
        command: "cargo xtask unsafe-budget",
        run: unsafe_budget::check,
    },
    Gate {
        name: "build",
        command: "cargo build --workspace --all-targets",
        run: build,
    },
    Gate {
        name: "test",
        command: "cargo test --workspace",
        run: test,
    },
    Gate {
        name: "clippy",
        command: "cargo clippy, every target and feature",
        run: clippy,
    },
    Gate {
        name: "release",
        command: "cargo clippy --release on the libraries",
        run: release,
    },
    Gate {
        name: "doc",
        command: "cargo doc, warnings denied",
        run: doc,
    },
    Gate {
        name: "features",
        command: "cargo xtask features",
        run: features::gate,
    },
    Gate {
        name: "bare-metal",
        command: "cargo xtask bare-metal",
        run: targets::bare_metal,
    },
    Gate {
        name: "targets",
        command: "cargo xtask targets",
        run: targets::others,
    },
    Gate {
        name: "outside",
        command: "cargo xtask outside",
        run: outside::check,
    },
    Gate {
        name: "loom",
        command: "cargo xtask loom",
        run: loom::two_threads,
    },
    Gate {
        name: "fuzz",
        command: "cargo xtask fuzz --seconds 5",
        run: fuzz::five_seconds,
    },
    Gate {
        name: "miri",
        command: "cargo xtask miri, but for tests that repeat others",
        run: miri::stacked,
    },
    Gate {
        name: "miri-tree",
        command: "cargo xtask miri --tree, where manifests ask for it",
        run: miri::tree_where_asked,
    },
    Gate {
        name: "package",
        command: "cargo xtask package",
        run: package::check,
    },
];

/// What takes longer, in gates that a workflow can spread over machines.
const CI_FULL: &[Gate] = &[
    Gate {
        name: "test-all",
        command: "cargo test --all-features",
        run: test_all_features,
    },
    Gate {
        name: "test-release",
        command: "cargo test --release, overflow checks",
        run: release_test,
    },
    Gate {
        name: "test-abort",
        command: "cargo +nightly test, panic=abort",
        run: test_abort,
    },
    Gate {
        name: "test-doc",
        command: "cargo +nightly test --doc",
        run: test_doc,
    },
    Gate {
        name: "test-32",
        command: "cargo test --target i686-…",
        run: test_32_bit,
    },
    Gate {
        name: "msrv",
        command: "cargo xtask msrv",
        run: msrv::check,
    },
    Gate {
        name: "miri-stacked",
        command: "cargo xtask miri",
        run: miri::stacked_whole,
    },
    Gate {
        name: "miri-tree",
        command: "cargo xtask miri --tree",
        run: miri::tree,
    },
    Gate {
        name: "miri-collections",
        command: "cargo xtask ci-full miri-collections",
        run: miri::collections,
    },
    Gate {
        name: "miri-variants",
        command: "Miri's stricter variants",
        run: miri::strict_variants,
    },
    Gate {
        name: "miri-i686",
        command: "cargo xtask miri --target i686-…",
        run: miri::i686,
    },
    Gate {
        name: "miri-s390x",
        command: "cargo xtask miri --target s390x-…",
        run: miri::s390x,
    },
    Gate {
        name: "miri-seeds",
        command: "cargo xtask miri --many-seeds",
        run: miri::many_seeds,
    },
    Gate {
        name: "tsan",
        command: "cargo xtask tsan",
        run: sanitizers::tsan,
    },
    Gate {
        name: "asan",
        command: "cargo xtask asan",
        run: sanitizers::asan,
    },
    Gate {
        name: "loom-two",
        command: "cargo xtask loom",
        run: loom::two_threads,
    },
    Gate {
        name: "loom-three",
        command: "cargo xtask loom --threads 3",
        run: loom::three_threads,
    },
    Gate {
        name: "fuzz",
        command: "cargo xtask fuzz --seconds 30",
        run: fuzz::thirty_seconds,
    },
    Gate {
        name: "deny",
        command: "cargo deny check",
        run: deny,
    },
];

pub(crate) fn ci(args: Args) -> Result<(), Failure> {
    command(CI, args)
}

pub(crate) fn ci_full(args: Args) -> Result<(), Failure> {
    command(CI_FULL, args)
}

fn command(gates: &[Gate], mut args: Args) -> Result<(), Failure> {
    let list = args.flag("--list");
    let strict = args.flag("--strict");
    let skip = args.values("--skip")?;
    let only = args.positional()?;
    args.finish()?;
    if list {
        for gate in gates {
            println!("{:<14} {}", gate.name, gate.command);
        }
        return Ok(());
    }
    gates::run(
        gates,
        &Selection { only, skip, strict },
        &Workspace::load()?,
    )
}

fn fmt(workspace: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("fmt").args(["--all", "--check"]).run()?;
    let mut others = vec![
        workspace.root.join("fuzz"),
        workspace.root.join(bench_arena::APART),
        workspace.root.join(targets::PROGRAM),
    ];
    others.extend(outside::crates(workspace)?);
    for dir in others {
        Cmd::cargo("fmt").arg("--check").dir(&dir).run()?;
    }
    Ok(())
}

fn build(_: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("build")
        .args(["--workspace", "--all-targets"])
        .run()
}

fn test(_: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("test").arg("--workspace").run()
}

fn clippy(_: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("clippy")
        .args([
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ])
        .run()
}

/// Without debug assertions other code is compiled, and other names are unused.
fn release(workspace: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("clippy")
        .arg("--release")
        .packages(workspace.stones().map(|package| package.name.as_str()))
        .args(["--", "-D", "warnings"])
        .run()
}

fn doc(_: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("doc")
        .env("RUSTDOCFLAGS", "-D warnings")
        .args(["--workspace", "--no-deps", "--all-features"])
        .run()
}

fn test_all_features(_: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("test")
        .args(["--workspace", "--all-features"])
        .run()
}

/// Optimised code with the checks of debug code: arithmetic that wraps is found at full length.
fn release_test(workspace: &Workspace) -> Result<(), Failure> {
    Cmd::cargo("test")
        .env("RUSTFLAGS", "-Coverflow-checks=on -Cdebug-assertions=on")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .target_dir(&workspace.target_dir.join("checked-release"))
        .args(["--workspace", "--release"])
        .run()
}

/// Programs that abort on panic: a test that needs unwinding says so and is left out there.
fn test_abort(workspace: &Workspace) -> Result<(), Failure> {
    tools::toolchain(NIGHTLY)?;
    Cmd::cargo_of(NIGHTLY, "test")
        .env("RUSTFLAGS", "-Cpanic=abort -Zpanic-abort-tests")
        .target_dir(&workspace.target_dir.join("panic-abort"))
        .args(["--workspace", "--tests"])
        .run()
}

/// Only nightly compares the error codes of `compile_fail` examples.
fn test_doc(workspace: &Workspace) -> Result<(), Failure> {
    tools::toolchain(NIGHTLY)?;
    Cmd::cargo_of(NIGHTLY, "test")
        .target_dir(&workspace.target_dir.join("nightly"))
        .args(["--workspace", "--doc"])
        .run()
}

/// A run with 32-bit words, not only a check.
fn test_32_bit(workspace: &Workspace) -> Result<(), Failure> {
    const TARGET: &str = "i686-unknown-linux-gnu";
    tools::target(TARGET)?;
    if !links_for_32_bits(workspace)? {
        let reason = "the C compiler does not link for 32 bits (Debian: gcc-multilib)";
        return Err(Failure::unavailable(reason));
    }
    Cmd::cargo("test")
        .packages(workspace.libraries().map(|package| package.name.as_str()))
        .args(["--target", TARGET])
        .run()
}

fn links_for_32_bits(workspace: &Workspace) -> Result<bool, Failure> {
    let dir = workspace.target_dir.join("probe-32");
    let source = dir.join("probe.c");
    std::fs::create_dir_all(&dir)
        .and_then(|()| std::fs::write(&source, "int main(void) { return 0; }\n"))
        .map_err(|error| Failure::failed(format!("{}: {error}", source.display())))?;
    Ok(Cmd::new("cc")
        .args(["-m32", "-o", "probe", "probe.c"])
        .dir(&dir)
        .succeeds())
}

/// Advisories, licences, bans and sources, as deny.toml has them. Compiling cargo-deny takes
/// longer than the other gates together, so it is not installed on the way.
fn deny(_: &Workspace) -> Result<(), Failure> {
    if !Cmd::cargo("deny").arg("--version").succeeds() {
        let reason = "cargo-deny is missing: cargo install cargo-deny --locked";
        return Err(Failure::unavailable(reason));
    }
    Cmd::cargo("deny")
        .args(["--workspace", "--all-features", "check"])
        .run()
}
