//! Operations on a stack, against the oracle.
#![no_main]

use drystone_testkit::targets::target_stack;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_stack(data));
