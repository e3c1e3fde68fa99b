//! Random programs: one decoder and one interpreter for property tests, Miri and fuzzers.
//!
//! [`Program::decode`] makes a list of operations of any bytes; [`run`] and [`run_with_reset`]
//! carry it out on an allocator under the [oracle](crate::oracle). After each operation every
//! invariant of the allocator is checked, and after a refused request its state digest. A
//! failing run prints the program as a list, with the step that failed.
//!
//! ```
//! use drystone_testkit::FirstFit;
//! use drystone_testkit::program::{Limits, Program, run_with_reset};
//!
//! let limits = Limits { max_size: 256, max_align: 64 };
//! let program = Program::decode(b"any bytes are a program", limits);
//! run_with_reset(FirstFit::new(16 << 10), &program);
//! ```

mod interpreter;
mod operation;

pub use interpreter::{run, run_with_reset};
pub use operation::{Limits, Operation, Pick, Program};
