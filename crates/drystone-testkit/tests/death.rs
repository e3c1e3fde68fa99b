//! Misuse that the oracle finds ends the process with one exact line. Not under Miri, which starts
//! no processes.
#![cfg(not(miri))]

use std::ptr::NonNull;

use drystone_core::{Allocator, Deallocator, NonZeroLayout};
use drystone_testkit::FirstFit;
use drystone_testkit::death::{self, End, Expect};
use drystone_testkit::oracle::{AbortOnMisuse, Oracle};

fn layout(size: usize) -> NonZeroLayout {
    NonZeroLayout::from_size_align(size, 8).expect("valid")
}

type Watched = Oracle<FirstFit, AbortOnMisuse>;

/// `body` gets a live block of 24 bytes, and dies of `misuse`.
#[track_caller]
fn dies(test: &str, misuse: &str, body: impl FnOnce(&Watched, NonNull<u8>)) {
    let line = format!("drystone: {misuse}");
    let expected = Expect {
        end: End::Abort,
        line: &line,
    };
    death::expect(test, expected, || with_block(body));
}

fn with_block(body: impl FnOnce(&Watched, NonNull<u8>)) {
    let oracle = Oracle::with_red_zone(FirstFit::new(4096), AbortOnMisuse, 8);
    let block = oracle.allocate(layout(24)).expect("room").cast::<u8>();
    body(&oracle, block);
}

/// Frees `ptr` although it may be wrong.
fn free(oracle: &Watched, ptr: NonNull<u8>, layout: NonZeroLayout) {
    // SAFETY: a right block is not used again; a wrong one is refused by the oracle.
    unsafe { oracle.deallocate(ptr, layout) };
}

#[test]
fn double_free() {
    dies("double_free", "double free", |oracle, block| {
        free(oracle, block, layout(24));
        free(oracle, block, layout(24));
    });
}

#[test]
fn foreign_pointer() {
    dies("foreign_pointer", "foreign pointer", |oracle, _| {
        let stranger = 0u64;
        free(oracle, NonNull::from(&stranger).cast(), layout(8));
    });
}

#[test]
fn interior_pointer() {
    dies("interior_pointer", "interior pointer", |oracle, block| {
        // SAFETY: inside the block.
        free(oracle, unsafe { block.add(8) }, layout(16));
    });
}

#[test]
fn layout_mismatch() {
    dies("layout_mismatch", "layout mismatch", |oracle, block| {
        free(oracle, block, layout(32));
    });
}

#[test]
fn overrun() {
    dies("overrun", "buffer overrun", |oracle, block| {
        // SAFETY: the red zone belongs to the inner block.
        let past = unsafe { block.add(24) };
        // SAFETY: as above.
        unsafe { past.write(0) };
        free(oracle, block, layout(24));
    });
}

#[test]
fn a_fault_is_told_from_an_abort() {
    let wild = || {
        let nowhere: *mut u8 = std::ptr::without_provenance_mut(8);
        // SAFETY: none: the access is meant to fault.
        unsafe { nowhere.write_volatile(1) };
    };
    let expected = Expect {
        end: End::Fault,
        line: "",
    };
    death::expect("a_fault_is_told_from_an_abort", expected, wild);
}

#[test]
fn an_exit_code_is_seen() {
    let expected = Expect {
        end: End::Exit(3),
        line: "",
    };
    death::expect("an_exit_code_is_seen", expected, || std::process::exit(3));
}

/// How the runner says that `body` did not do as expected.
fn complaint(test: &str, expected: Expect<'_>, body: impl FnOnce()) -> String {
    death::try_expect(test, expected, body)
        .expect_err("not met")
        .to_string()
}

#[test]
fn a_clean_body_is_reported_as_alive() {
    let expected = Expect {
        end: End::Abort,
        line: "drystone: double free",
    };
    let words = complaint("a_clean_body_is_reported_as_alive", expected, || {
        with_block(|oracle, block| free(oracle, block, layout(24)));
    });
    assert!(words.starts_with("the body did not die"), "{words}");
}

#[test]
fn another_end_is_reported() {
    let expected = Expect {
        end: End::Fault,
        line: "",
    };
    let words = complaint("another_end_is_reported", expected, || {
        std::process::abort()
    });
    assert!(
        words.starts_with("expected Fault, and it ended with"),
        "{words}"
    );
}

#[test]
fn another_line_is_reported() {
    let expected = Expect {
        end: End::Abort,
        line: "drystone: double",
    };
    let words = complaint("another_line_is_reported", expected, || {
        with_block(|oracle, block| {
            free(oracle, block, layout(24));
            free(oracle, block, layout(24));
        });
    });
    assert!(
        words.starts_with("expected the line \"drystone: double\""),
        "{words}"
    );
    assert!(words.contains("drystone: double free at 0x"), "{words}");
}

#[test]
fn a_panic_is_no_abort() {
    let expected = Expect {
        end: End::Abort,
        line: "",
    };
    let words = complaint("a_panic_is_no_abort", expected, || panic!("unwinds"));
    assert!(
        words.starts_with("expected Abort, and it ended with exit status: 101"),
        "{words}"
    );
}
