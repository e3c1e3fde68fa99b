//! What ends a process or needs one of its own: each such scene runs in a child, which is this
//! test program again with the name of the scene in its environment.
#![cfg(all(feature = "mmap", target_os = "linux", not(miri)))]

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use drystone_backing::{BackingError, LockedMmapBacked, MmapBacked, page_size};
use drystone_core::{FixedRange, OsBacked, OsError, Protection};

const SCENE: &str = "DRYSTONE_SCENE";

/// Runs `test` again in a child that plays `scene`.
fn play(test: &str, scene: &str) -> ExitStatus {
    let program = env::current_exe().expect("knows itself");
    Command::new(program)
        .args(["--exact", test, "--test-threads=1"])
        .env(SCENE, scene)
        .output()
        .expect("runs")
        .status
}

fn scene() -> Option<String> {
    env::var(SCENE).ok()
}

/// Protects a page, and touches it or its neighbour.
fn touch_protected(protection: Protection, write: bool, offset: usize) {
    let page = page_size();
    let backing = MmapBacked::new(2 * page).expect("small");
    // SAFETY: not kept by the scenes that fault: the fault is what they are about, and the
    // process ends in it.
    unsafe { backing.protect(0, page, protection) }.expect("known");
    // SAFETY: the callers' offsets lie in the range.
    let byte = unsafe { backing.base().add(offset) };
    if write {
        // SAFETY: as above.
        unsafe { byte.write_volatile(1) };
    } else {
        // SAFETY: as above; the page is zero.
        unsafe { byte.read_volatile() };
    }
}

#[test]
fn forbidden_accesses_fault_and_allowed_ones_do_not() {
    const SELF: &str = "forbidden_accesses_fault_and_allowed_ones_do_not";
    let Some(scene) = scene() else {
        for (scene, dies) in [
            ("none-read", true),
            ("none-write", true),
            ("none-neighbour", false),
            ("read-read", false),
            ("read-write", true),
            ("read-write-write", false),
        ] {
            let ended = play(SELF, scene);
            if dies {
                assert_eq!(ended.signal(), Some(libc::SIGSEGV), "{scene}: {ended}");
            } else {
                assert!(ended.success(), "{scene}: {ended}");
            }
        }
        return;
    };
    match scene.as_str() {
        "none-read" => touch_protected(Protection::None, false, 0),
        "none-write" => touch_protected(Protection::None, true, 0),
        "none-neighbour" => touch_protected(Protection::None, true, page_size()),
        "read-read" => touch_protected(Protection::Read, false, 0),
        "read-write" => touch_protected(Protection::Read, true, 0),
        "read-write-write" => touch_protected(Protection::ReadWrite, true, 0),
        _ => panic!("unknown scene {scene}"),
    }
}

/// Without address space the constructor fails with the system's code; a smaller one succeeds.
fn map_under_a_limit() {
    const LIMIT: usize = 64 << 20;
    let in_use = std::fs::read_to_string("/proc/self/statm").expect("readable");
    let pages: usize = in_use
        .split(' ')
        .next()
        .and_then(|pages| pages.parse().ok())
        .expect("the first number");
    let cap = (pages * page_size() + LIMIT) as libc::rlim_t;
    let limit = libc::rlimit {
        rlim_cur: cap,
        rlim_max: cap,
    };
    // SAFETY: the pointer is to a live structure of the right type.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0);
    for _ in 0..100 {
        assert_eq!(
            MmapBacked::new(2 * LIMIT).expect_err("above the limit"),
            BackingError::Os(OsError::Call {
                call: "mmap",
                code: libc::ENOMEM
            })
        );
    }
    let small = MmapBacked::new(LIMIT / 4).expect("below the limit");
    // SAFETY: the range is exclusive and writable.
    unsafe { small.base().write_bytes(1, small.size()) };
}

#[test]
fn a_limit_on_address_space_is_reported_and_survived() {
    const SELF: &str = "a_limit_on_address_space_is_reported_and_survived";
    match scene() {
        None => {
            let ended = play(SELF, "limit");
            assert!(ended.success(), "{ended}");
        }
        Some(_) => map_under_a_limit(),
    }
}

/// Without the right to lock memory there is no locked mapping, the code says why, and nothing is left
/// mapped.
fn lock_without_the_right() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a live structure of the right type.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) };
    assert_eq!(set, 0);
    // SAFETY: the call has no requirements.
    if unsafe { libc::geteuid() } == 0 {
        // Root may lock what it likes; nobody may not.
        // SAFETY: the call has no requirements; the process has one thread that matters.
        let changed = unsafe { libc::setuid(65_534) };
        assert_eq!(changed, 0);
    }
    let mapped = || std::fs::read_to_string("/proc/self/statm").expect("readable");
    let total = |statm: String| -> usize {
        let first = statm.split(' ').next().expect("the first number");
        first.parse().expect("a number")
    };
    let before = total(mapped());
    for _ in 0..100 {
        match LockedMmapBacked::new(64 * page_size()) {
            Err(BackingError::Os(OsError::Call { call, code })) => {
                assert_eq!(call, "mlock");
                assert!(code == libc::EPERM || code == libc::ENOMEM, "{code}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(total(mapped()) < before + 100 * 64);
}

#[test]
fn locking_fails_closed() {
    const SELF: &str = "locking_fails_closed";
    match scene() {
        None => {
            let ended = play(SELF, "no right");
            assert!(ended.success(), "{ended}");
        }
        Some(_) => lock_without_the_right(),
    }
}
