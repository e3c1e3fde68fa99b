//! The memory figures of the rivals of this package.

use std::process::ExitCode;

use drystone_benches::memory::program;
use drystone_benches_apart::Apart;

fn main() -> ExitCode {
    program::main::<Apart>(false)
}
