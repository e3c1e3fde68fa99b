//! Takes the memory figures of the arena and its rivals.

use std::process::ExitCode;

use drystone_benches::memory::program;
use drystone_benches::rivals::Linked;

fn main() -> ExitCode {
    program::main::<Linked>(true)
}
