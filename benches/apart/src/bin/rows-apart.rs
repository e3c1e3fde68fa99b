//! The rows that take rivals, with those of this package.

use std::process::ExitCode;

use drystone_benches::{program, rows};
use drystone_benches_apart::Apart;

fn main() -> ExitCode {
    program::main(rows::build_with::<Apart>)
}
