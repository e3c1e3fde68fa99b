//! Programs of C and C++ against the header, on the library.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
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

#[test]
fn a_program_with_rights_that_its_user_lacks_reads_no_settings() {
    let folder = library().parent().expect("the library is in a folder");
    // The loader ignores LD_PRELOAD there, but not where the program itself says that the library is.
    let path = format!("-Wl,-rpath,{}", folder.display());
    let Some(program) = compile("cc", "secure.c", &[STRICT, &["-std=gnu11", &path]].concat())
    else {
        return;
    };
    let with_statistics = || {
        let output = Command::new(&program)
            .env("DRYSTONE_STATS", "1")
            .output()
            .expect("the program starts");
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{:?} {err}", output.status);
        (out, err)
    };
    let (out, err) = with_statistics();
    assert_eq!(out, "secure: 0\n");
    assert!(err.contains("drystone"), "{err}");

    let Some(group) = another_group() else {
        println!("not run: the user is in one group only");
        return;
    };
    chown(&program, None, Some(group)).expect("it is a group of the user's");
    set_permissions(&program, Permissions::from_mode(0o2755)).expect("the program is the user's");
    let (out, err) = with_statistics();
    if out == "secure: 0\n" {
        println!("not run: the file system gives programs no rights");
        return;
    }
    assert_eq!((out.as_str(), err.as_str()), ("secure: 1\n", ""));
}

/// A group that the user may give a file to, and that is not the process's own.
fn another_group() -> Option<libc::gid_t> {
    // SAFETY: no requirements.
    let user = unsafe { libc::geteuid() };
    // SAFETY: no requirements.
    let own = unsafe { libc::getgid() };
    if user == 0 {
        return Some(own + 1);
    }
    let mut groups = [0; 64];
    // SAFETY: as many places as are said.
    let count = unsafe { libc::getgroups(64, groups.as_mut_ptr()) };
    let count = usize::try_from(count).unwrap_or(0);
    groups[..count].iter().copied().find(|group| *group != own)
}
