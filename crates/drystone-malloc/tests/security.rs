//! Faults of C and C++ programs, each in a process of its own, and when the build finds them.
//!
//! `security/cases.txt` says what is promised. A case that is found later than that fails the test; one
//! that is found and not promised is counted all the same. `SECURITY_RUNS` says how often each runs.
//!
//! With `SECURITY_CHECKOUT`, a checkout of mimalloc-bench, its own programs run too.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compile, compile_as, library, text};

const CASES: &str = include_str!("security/cases.txt");
const SIZES: [&str; 3] = ["8", "4096", "262144"];

const BUILD: &str = if cfg!(feature = "guard") {
    "guard"
} else if cfg!(feature = "hardened") {
    "hardened"
} else if cfg!(feature = "unchecked") {
    "unchecked"
} else {
    "default"
};

/// The column of the table; `None` for the build that promises nothing.
fn column() -> Option<usize> {
    ["default", "hardened", "guard"]
        .iter()
        .position(|&build| build == BUILD)
}

/// How many of the public suite's 113 reachable cases a build has to find.
fn bar() -> usize {
    match BUILD {
        "guard" => 111,
        "hardened" => 104,
        "default" => 55,
        _ => 0,
    }
}

/// When a fault was found; earlier is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    AtOnce,
    AtFree,
    AtExit,
    Never,
}

impl Found {
    fn promised(letter: char) -> Self {
        match letter {
            'a' => Self::AtOnce,
            'f' => Self::AtFree,
            'x' => Self::AtExit,
            '-' => Self::Never,
            other => panic!("no promise is written `{other}`"),
        }
    }
}

fn runs() -> usize {
    let wish = std::env::var("SECURITY_RUNS");
    wish.map_or(1, |wish| wish.parse().expect("a number of runs"))
}

/// Runs a case on the library, as often as is asked for: the latest that it was found.
fn run(program: &Path, case: &str, size: &str) -> Found {
    let once = || {
        let output = Command::new(program)
            .args([case, size])
            .env("LD_PRELOAD", library())
            .output()
            .expect("the program starts");
        let out = text(&output.stdout);
        assert!(out.contains("START"), "{case} {size}: {:?}", output.status);
        let err = text(&output.stderr);
        assert!(err.lines().count() <= 1, "more than a line: {err}");
        match (out.contains("MISSED"), out.contains("PAST")) {
            (true, _) if err.is_empty() => Found::Never,
            (true, _) => Found::AtExit,
            (false, true) => Found::AtFree,
            (false, false) => Found::AtOnce,
        }
    };
    (0..runs()).map(|_| once()).max().expect("at least one run")
}

#[test]
fn faults_are_found_as_promised() {
    let c = compile("cc", "security.c", &["-std=gnu11", "-w"]);
    let cpp = compile("c++", "security.cpp", &["-std=c++17", "-w"]);
    let (mut counts, mut all) = (BTreeMap::new(), 0);
    let mut broken = Vec::new();
    for row in CASES.lines().filter(|row| !row.starts_with('#')) {
        let mut words = row.split_whitespace();
        let case = words.next().expect("a case");
        let promises: Vec<&str> = words.collect();
        assert_eq!(promises.len(), 3, "{row}");
        let is_cpp = promises[0].len() == 1;
        let Some(program) = (if is_cpp { &cpp } else { &c }) else {
            continue;
        };
        for (index, size) in SIZES.iter().take(promises[0].len()).enumerate() {
            let found = run(program, case, size);
            *counts.entry(found).or_insert(0) += 1;
            all += 1;
            let promised = column().and_then(|column| promises[column].chars().nth(index));
            let promised = promised.map_or(Found::Never, Found::promised);
            if found > promised {
                broken.push(format!("{case} {size}: {found:?}, promised {promised:?}"));
            } else if found != promised {
                println!("{case} {size}: {found:?}, promised {promised:?}");
            }
        }
    }
    let of = |found| counts.get(&found).copied().unwrap_or(0);
    println!(
        "{BUILD}: of {all} cases {} found at once, {} at the free or reuse, {} at the exit, {} not",
        of(Found::AtOnce),
        of(Found::AtFree),
        of(Found::AtExit),
        of(Found::Never),
    );
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The programs of the checkout: those of C for each size, and those of C++.
fn public_programs(checkout: &Path) -> Vec<(String, PathBuf)> {
    let dir = checkout.join("bench/security");
    let listed = std::fs::read_dir(&dir).expect("the checkout has `bench/security`");
    let mut programs = Vec::new();
    for entry in listed {
        let source = entry.expect("an entry of the folder").path();
        let name = source.file_name().expect("a name").to_string_lossy();
        let mut enter = |compiler, name: String, flags: &[&str]| {
            let flags = [flags, &["-w", "-O0"]].concat();
            let program = compile_as(compiler, &source, &format!("public-{name}"), &flags);
            programs.extend(program.map(|program| (name, program)));
        };
        if name.ends_with(".c") {
            for size in SIZES {
                let define = format!("-DALLOCATION_SIZE={size}");
                enter("cc", format!("{name}-{size}"), &[&define]);
            }
        } else if name.ends_with(".cc") || name.ends_with(".cpp") {
            enter("c++", name.to_string(), &["-DALLOCATION_SIZE=8"]);
        }
    }
    programs
}

/// Compares a pointer with its own copy, so it always says that it was missed.
const UNREACHABLE: &str = "realloc_reuse";

#[test]
fn the_public_suite_is_met_where_it_can_be_had() {
    let Some(checkout) = std::env::var_os("SECURITY_CHECKOUT") else {
        println!(
            "not run: the public suite: SECURITY_CHECKOUT names no checkout of mimalloc-bench"
        );
        return;
    };
    let programs = public_programs(Path::new(&checkout));
    let (mut found, mut reachable) = (0, 0);
    for (name, program) in &programs {
        if name.starts_with(UNREACHABLE) {
            continue;
        }
        reachable += 1;
        let misses = (0..runs().max(3)).any(|_| {
            let output = Command::new(program)
                .env("LD_PRELOAD", library())
                .output()
                .expect("the program starts");
            text(&output.stdout).contains("NOT_CAUGHT")
        });
        if misses {
            println!("not found: {name}");
        } else {
            found += 1;
        }
    }
    println!("{BUILD}: {found} of {reachable} of the public suite");
    assert!(
        found >= bar(),
        "{found} of {reachable}, of {} wanted",
        bar()
    );
}
