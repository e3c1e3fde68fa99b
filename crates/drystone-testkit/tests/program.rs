//! The interpreter: deterministic, readable, and it finds what is wrong.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::ptr::NonNull;

use drystone_core::{
    AllocError, Allocator, BlockInfo, Corruption, Deallocator, Inspect, Misuse, NonZeroLayout,
    Report,
};
use drystone_testkit::FirstFit;
use drystone_testkit::program::{Limits, Operation, Pick, Program, run, run_with_reset};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    max_size: 300,
    max_align: 256,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 512 },
        // Failing programs print themselves; no file is kept, and none can be under Miri.
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_right_allocator_runs_any_program(data in program_bytes()) {
        let program = Program::decode(&data, LIMITS);
        run(FirstFit::new(16 << 10), &program);
        run_with_reset(FirstFit::new(16 << 10), &program);
    }

    #[test]
    fn decoding_is_deterministic_and_total(data in program_bytes()) {
        let program = Program::decode(&data, LIMITS);
        prop_assert_eq!(&program, &Program::decode(&data, LIMITS));
        prop_assert_eq!(program.operations.len(), data.len().div_ceil(4));
        prop_assert_eq!(program.to_string().lines().count(), program.operations.len());
    }
}

fn program_bytes() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..if cfg!(miri) { 120 } else { 1600 })
}

#[test]
fn all_256_first_bytes_reach_every_operation_and_every_edge() {
    let all: Vec<u8> = (0..=255u8)
        .flat_map(|a| (0..4u8).flat_map(move |b| [a, a, a, b]))
        .collect();
    let steps = Program::decode(&all, LIMITS).operations;
    let any = |wanted: &dyn Fn(&Operation) -> bool| steps.iter().any(wanted);
    let sized = |size: &dyn Fn(usize) -> bool| {
        any(&|step| match step {
            Operation::Allocate { layout, .. } => size(layout.size().get()),
            _ => false,
        })
    };
    assert!(any(&|step| matches!(step, Operation::Reset)));
    assert!(any(&|step| matches!(step, Operation::Check)));
    assert!(any(&|step| matches!(
        step,
        Operation::Free {
            pick: Pick::Oldest,
            ..
        }
    )));
    assert!(any(&|step| matches!(
        step,
        Operation::Free {
            pick: Pick::Newest,
            ..
        }
    )));
    assert!(any(&|step| matches!(
        step,
        Operation::Free {
            pick: Pick::Index(_),
            ..
        }
    )));
    assert!(any(&|step| matches!(
        step,
        Operation::Resize { zeroed: true, .. }
    )));
    assert!(sized(&|size| size == 1) && sized(&|size| size > isize::MAX as usize / 4));
    assert!(sized(&|size| size > 256 && size <= 300));
}

#[test]
fn a_program_prints_itself() {
    let layout = NonZeroLayout::from_size_align(24, 8).expect("valid");
    let program = Program {
        operations: vec![
            Operation::Allocate {
                layout,
                zeroed: true,
            },
            Operation::Resize {
                pick: Pick::Index(3),
                layout,
                zeroed: false,
            },
            Operation::Free {
                pick: Pick::Oldest,
                returned_size: true,
            },
            Operation::Reset,
            Operation::Check,
        ],
    };
    let expected = "   0  allocate 24 align 8 zeroed\n   1  resize #3 to 24 align 8\n   \
                    2  free oldest by its returned size\n   3  reset\n   4  check\n";
    assert_eq!(program.to_string(), expected);
}

/// First fit with a fault in one of its answers.
struct Faulty {
    inner: FirstFit,
    fault: Fault,
    calls: Cell<u64>,
}

#[derive(Clone, Copy)]
enum Fault {
    ShrinkKeepsTooLittle,
    VerifyFails,
    ForgetsLiveBlock,
    DigestMovesOnRefusal,
    CountsWrong,
}

// SAFETY: none: wrong on purpose, within its own range.
unsafe impl Deallocator for Faulty {
    unsafe fn deallocate(&self, ptr: NonNull<u8>, layout: NonZeroLayout) {
        // SAFETY: the caller's requirements.
        unsafe { self.inner.deallocate(ptr, layout) };
    }
}

// SAFETY: none: wrong on purpose, within its own range.
unsafe impl Allocator for Faulty {
    fn allocate(&self, layout: NonZeroLayout) -> Result<NonNull<[u8]>, AllocError> {
        self.calls.set(self.calls.get() + 1);
        self.inner.allocate(layout)
    }

    unsafe fn shrink(
        &self,
        ptr: NonNull<u8>,
        old: NonZeroLayout,
        new: NonZeroLayout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the caller's requirements.
        let block = unsafe { self.inner.shrink(ptr, old, new) }?;
        if matches!(self.fault, Fault::ShrinkKeepsTooLittle) {
            // SAFETY: the block has at least one byte.
            unsafe { block.cast::<u8>().write(0) };
        }
        Ok(block)
    }
}

impl Inspect for Faulty {
    fn validate(&self, ptr: NonNull<u8>) -> Result<BlockInfo, Misuse> {
        match self.fault {
            Fault::ForgetsLiveBlock => Err(Misuse::NeverAllocated),
            _ => self.inner.validate(ptr),
        }
    }

    fn verify_all(&self) -> Result<Report, Corruption> {
        match self.fault {
            Fault::VerifyFails => Err(Corruption {
                invariant: "I9: none",
                offset: 3,
            }),
            Fault::CountsWrong => Ok(Report {
                live_blocks: 99,
                ..Report::default()
            }),
            _ => self.inner.verify_all(),
        }
    }

    fn state_digest(&self) -> u64 {
        match self.fault {
            Fault::DigestMovesOnRefusal => self.calls.get(),
            _ => self.inner.state_digest(),
        }
    }
}

/// What running a short program on a faulty allocator says.
fn complaint(fault: Fault) -> String {
    let payload = catch_unwind(|| {
        let size = |size| NonZeroLayout::from_size_align(size, 1).expect("valid");
        let pick = Pick::Newest;
        let program = Program {
            operations: vec![
                Operation::Allocate {
                    layout: size(40),
                    zeroed: false,
                },
                Operation::Allocate {
                    layout: size(usize::MAX / 4),
                    zeroed: false,
                },
                Operation::Resize {
                    pick,
                    layout: size(20),
                    zeroed: false,
                },
                Operation::Free {
                    pick,
                    returned_size: false,
                },
            ],
        };
        let inner = FirstFit::new(4096);
        let calls = Cell::new(0);
        run(
            Faulty {
                inner,
                fault,
                calls,
            },
            &program,
        );
    })
    .expect_err("a fault");
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_else(|| {
            let words = payload.downcast_ref::<&str>();
            (*words.expect("words")).to_owned()
        })
}

#[test]
fn faults_are_found() {
    let cases = [
        (Fault::ShrinkKeepsTooLittle, "byte 0 of the live block"),
        (Fault::VerifyFails, "broken invariant at offset 3: I9: none"),
        (
            Fault::ForgetsLiveBlock,
            "Err(NeverAllocated) of the live block",
        ),
        (
            Fault::CountsWrong,
            "1 live blocks, and the allocator counts 99",
        ),
    ];
    for (fault, expected) in cases {
        let words = complaint(fault);
        assert!(words.starts_with(expected), "{words}");
    }
    let words = complaint(Fault::DigestMovesOnRefusal);
    assert!(
        words.contains("a refused request changed the bookkeeping"),
        "{words}"
    );
}
