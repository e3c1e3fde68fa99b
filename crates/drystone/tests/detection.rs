//! How much of each class of fault is found: random cases, each in a process of its own that must end as
//! promised; and clean use, in which nothing may be found. docs/SECURITY-MODEL.md has the promises.
//!
//! Each class has [`DEATHS`] cases here and a hundred thousand in one process, with a policy that only writes
//! down: wrong frees in `detecting/reported.rs`, the others in the tests of the wrapper that finds them.
//! Clean use is as long as the environment says:
//!
//! ```text
//! DRYSTONE_CLEAN_OPERATIONS=10000000 cargo test -p drystone --features full --test detection clean
//! ```
#![cfg(all(target_os = "linux", not(miri)))] // Forks.
#![cfg(all(feature = "arena", feature = "siphash"))]
#![cfg(target_pointer_width = "64")] // One request is larger than an address space of 32 bits.

#[path = "detecting/clean.rs"]
mod clean;
#[path = "detecting/faults.rs"]
mod faults;
#[path = "detecting/forked.rs"]
mod forked;
#[path = "detecting/reported.rs"]
mod reported;

use std::sync::{Mutex, MutexGuard, PoisonError};

use drystone_testkit::Random;
use forked::Ending;

/// Cases of each class.
const DEATHS: usize = 250;

/// How the process of a case must end.
enum Promise {
    /// With this line, up to an address at its end.
    Line(&'static str),
    /// By a fault of the processor.
    Fault,
}

/// Who has to find the fault, how, and the fault, in random circumstances.
struct Kind {
    finder: &'static str,
    promise: Promise,
    commit: fn(&mut Random),
}

impl Kind {
    const fn line(finder: &'static str, line: &'static str, commit: fn(&mut Random)) -> Self {
        Self {
            finder,
            promise: Promise::Line(line),
            commit,
        }
    }

    const fn fault(finder: &'static str, commit: fn(&mut Random)) -> Self {
        Self {
            finder,
            promise: Promise::Fault,
            commit,
        }
    }

    fn is_kept(&self, ending: &Ending) -> bool {
        match (&self.promise, ending) {
            (Promise::Line(line), Ending::Aborted(said)) => {
                said.lines().any(|told| told.starts_with(line))
            }
            (Promise::Fault, Ending::Faulted) => true,
            _ => false,
        }
    }
}

/// One test at a time: a child of a fork has the locks of other threads as they were.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commits the faults of a class, in turn, and expects each to be found.
fn every_one_is_found(class: &[Kind]) {
    let _alone = alone();
    for case in 0..DEATHS {
        let kind = &class[case % class.len()];
        let ending = forked::run(|| (kind.commit)(&mut Random::new(case as u64)));
        assert!(
            kind.is_kept(&ending),
            "case {case}, {}: {ending:?}",
            kind.finder
        );
    }
}

/// A test for each class.
macro_rules! every {
    ($($class:ident)+) => { $(
        #[test]
        fn $class() {
            every_one_is_found(&faults::$class());
        }
    )+ };
}

every! {
    overflow
    underflow
    write_after_free
    double_free
    interior_free
    misaligned_free
    foreign_free
    stack_free
    wrong_size
    forged_link
}

/// What makes the tests above mean something: a child in which nothing is found ends otherwise, and one
/// that says something else too.
#[test]
fn what_is_not_found_is_told() {
    let _alone = alone();
    assert_eq!(forked::run(|| ()), Ending::Survived);
    let other = Kind::line("nobody", "drystone: double free", |_| ());
    assert!(!other.is_kept(&Ending::Survived) && !other.is_kept(&Ending::Faulted));
    assert!(!other.is_kept(&Ending::Aborted(
        "drystone: foreign pointer at 0x10".to_owned()
    )));
    assert!(other.is_kept(&Ending::Aborted(
        "drystone: double free at 0x10\n".to_owned()
    )));
}
