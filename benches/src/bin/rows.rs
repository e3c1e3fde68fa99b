//! Measures the rows of this package.

use std::process::ExitCode;

use drystone_benches::{program, rows};

fn main() -> ExitCode {
    program::main(rows::build)
}
