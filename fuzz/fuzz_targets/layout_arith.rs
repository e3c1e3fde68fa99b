//! The arithmetic of layouts and offsets, against wider integers.
#![no_main]

use drystone_testkit::targets::target_layout_arith;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| target_layout_arith(data));
