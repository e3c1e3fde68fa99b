//! Programs of C and C++ against the header, on the library.
#![cfg(target_os = "linux")]

mod common;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{library, text};

/// Compiles a program below `tests/c`. `None`, and a line that says so, without the compiler.
fn compile(compiler: &str, source: &str, flags: &[&str]) -> Option<PathBuf> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(source.replace('.', "-"));
    let compiled = Command::new(compiler)
        .args([
            "-O1",
            "-fno-builtin",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pthread",
        ])
        .args(["-Wno-deprecated-declarations"])
        .args(flags)
        .args(if cfg!(target_arch = "x86") {
            &["-m32"][..]
        } else {
            &[]
        })
        .arg("-I")
        .arg(crate_dir.join("include"))
        .arg(crate_dir.join("tests/c").join(source))
        .arg("-o")
        .arg(&program)
        // What the C library lacks is the library's.
        .arg(library())
        .output();
    match compiled {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("not run: there is no compiler `{compiler}` for {source}");
            None
        }
        Err(error) => panic!("{compiler}: {error}"),
        Ok(output) => {
            assert!(output.status.success(), "{}", text(&output.stderr));
            Some(program)
        }
    }
}

fn run(program: Option<PathBuf>) {
    let Some(program) = program else {
        return;
    };
    let output = Command::new(&program)
        .env("LD_PRELOAD", library())
        .output()
        .expect("the program starts");
    let err = text(&output.stderr);
    assert!(output.status.success(), "{:?} {err}", output.status);
}

#[test]
fn c_calls_the_family() {
    run(compile("cc", "family.c", &["-std=gnu11"]));
}

#[test]
fn the_operators_of_cpp_are_served() {
    run(compile(
        "c++",
        "operators.cpp",
        &["-std=c++17", "-fsized-deallocation"],
    ));
}
