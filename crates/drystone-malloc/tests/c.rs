//! Programs of C and C++ against the header, on the library.
#![cfg(target_os = "linux")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{compile, library, text};

/// Whatever a compiler warns of.
const STRICT: &[&str] = &["-Wall", "-Wextra", "-Werror"];

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
    run(compile(
        "cc",
        "family.c",
        &[STRICT, &["-std=gnu11"]].concat(),
    ));
}

#[test]
fn the_operators_of_cpp_are_served() {
    run(compile(
        "c++",
        "operators.cpp",
        &[STRICT, &["-std=c++17", "-fsized-deallocation"]].concat(),
    ));
}

#[test]
fn operators_of_the_program_are_called() {
    let flags = [
        "-std=c++17",
        "-fsized-deallocation",
        "-Wno-sized-deallocation",
    ];
    run(compile("c++", "replaced.cpp", &flags));
}

#[test]
fn operators_of_cpp_throw_where_there_is_no_memory() {
    run(compile("c++", "no_memory.cpp", &["-std=c++17", "-w"]));
}
